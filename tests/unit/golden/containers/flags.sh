set -eu
engine=podman
image=localhost/heat-scaleout-bookworm:0123456789ab
probe=heat-scaleout-probe-$$
trap '$engine rm -f "$probe" >/dev/null 2>&1 || true' EXIT

boots() {
    # shellcheck disable=SC2086 # engine and flags are words
    $engine run -d --name "$probe" --network none $1 "$image" >/dev/null 2>"$log" &&
        timeout 30 $engine exec "$probe" sh -c 'until systemctl is-system-running --wait 2>/dev/null | grep -qE "running|degraded"; do sleep 0.2; done' 2>>"$log"
    result=$?
    $engine rm -f "$probe" >/dev/null 2>&1 || true
    return $result
}

case "$engine" in
*podman)
    base=--systemd=always
    runtimes=" runc crun"
    ;;
*)
    base='--cgroupns=private --tmpfs /run --tmpfs /run/lock --tmpfs /tmp'
    runtimes=
    ;;
esac
# A container may not ask for more files or processes than the kernel grants: from what the engine asks for by itself
# down to what is enough for a host of Heat.
limits_to_try() {
    echo
    echo "--ulimit nofile=$(sed -n 's/^Max open files  *[^ ]*  *\([0-9]*\).*/\1/p' /proc/self/limits) --ulimit nproc=65536"
    echo '--ulimit nofile=16384 --ulimit nproc=32768'
}
log=$(mktemp)
tried=
# The least privilege first: SYS_ADMIN only where systemd cannot do without.
for privilege in '' '--cap-add SYS_ADMIN --security-opt apparmor=unconfined'; do
    for runtime in '' $runtimes; do
        [ -z "$runtime" ] || command -v "$runtime" >/dev/null || continue
        while read -r limits; do
            flags="$base${runtime:+ --runtime $runtime}${limits:+ $limits}${privilege:+ $privilege}"
            if boots "$flags" </dev/null; then
                rm -f "$log"
                echo "$flags"
                exit 0
            fi
            tried="$tried
  $flags: $(tail -n 1 "$log")"
        done <<END_OF_LIMITS
$(limits_to_try)
END_OF_LIMITS
    done
done
rm -f "$log"
echo "$engine cannot run systemd as PID 1 on this machine. Tried:$tried" >&2
exit 1
