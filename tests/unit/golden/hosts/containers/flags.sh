set -eu
engine=podman
image=localhost/heat-scaleout-bookworm:0123456789ab
probe=heat-scaleout-probe-$$
log=$(mktemp)
trap 'remove; rm -f "$log"' EXIT

remove() {
    # Kill first: "rm -f" alone waits for systemd to stop.
    $engine kill "$probe" >/dev/null 2>&1 || true
    $engine rm -f "$probe" >/dev/null 2>&1 || true
}

boots() {
    remove
    # shellcheck disable=SC2086 # engine and flags are words
    $engine run -d --name "$probe" --network none $1 "$image" >/dev/null 2>"$log" &&
        timeout 30 $engine exec "$probe" sh -c '
            until systemctl is-system-running --wait 2>/dev/null | grep -qE "running|degraded"; do sleep 0.2; done' 2>>"$log"
}

# systemd must notice when the last process of a service has ended, to restart the service at once and not after its
# stop timeout. This requires cgroups version 2, alone or beside version 1.
follows() {
    $engine exec "$probe" stat -f -c %T /sys/fs/cgroup /sys/fs/cgroup/unified </dev/null 2>/dev/null | grep -q cgroup2fs || {
        echo "runs systemd, but does not notify it when a service has ended" >>"$log"
        return 1
    }
}

case "$engine" in
*podman)
    base=--systemd=always
    runtimes=" runc crun"
    ;;
*)
    base='--tmpfs /run --tmpfs /run/lock --tmpfs /tmp'
    runtimes=
    ;;
esac
cgroups_to_try() {
    echo --cgroupns=private
    # Both versions: systemd uses version 2 to track its services.
    if [ -f /sys/fs/cgroup/unified/cgroup.procs ]; then
        echo '--cgroupns=host --volume /sys/fs/cgroup/unified:/sys/fs/cgroup/unified'
    fi
}
# A container must not request more files or processes than the kernel allows. Try the engine's defaults first, and last
# what a Heat host needs.
limits_to_try() {
    echo
    echo "--ulimit nofile=$(sed -n 's/^Max open files  *[^ ]*  *\([0-9]*\).*/\1/p' /proc/self/limits) --ulimit nproc=65536"
    echo '--ulimit nofile=16384 --ulimit nproc=32768'
}
# Each host has its own firewall in its own network namespace.
base="$base --cap-add NET_ADMIN"
tried=
booted=
# Least privilege first: SYS_ADMIN only if systemd does not run without it.
for privilege in '' '--cap-add SYS_ADMIN --security-opt apparmor=unconfined'; do
    for runtime in '' $runtimes; do
        [ -z "$runtime" ] || command -v "$runtime" >/dev/null || continue
        while read -r limits; do
            while read -r cgroups; do
                flags="$base $cgroups${runtime:+ --runtime $runtime}${limits:+ $limits}${privilege:+ $privilege}"
                if boots "$flags" </dev/null; then
                    booted=${booted:-$flags}
                    if follows; then
                        echo "$flags"
                        exit 0
                    fi
                fi
                tried="$tried
  $flags: $(tail -n 1 "$log")"
            done <<END_OF_CGROUPS
$(cgroups_to_try)
END_OF_CGROUPS
        done <<END_OF_LIMITS
$(limits_to_try)
END_OF_LIMITS
    done
    # Good enough: services that exit are restarted at once.
    if [ -n "$booted" ]; then
        echo "$booted"
        exit 0
    fi
done
echo "$engine cannot run systemd as PID 1 on this machine. Tried:$tried" >&2
exit 1
