# Run HAProxy with the configuration in place, which has passed haproxy -c. HAProxy is reloaded and never restarted, so
# that connections stay open.
# The configuration: 6e68046928a68087a8a014e876cac86d6f367e50631772ef58ab8aba44909dd7
set -eu
# holder ADDRESS PORT UNIT: print the process, other than UNIT's own, that listens on UNIT's port, such as "nginx
# (process 812)", or nothing if the port is free. A socket reports the control group that created it, and thus its unit,
# even where root cannot see its process, as in a container.
holder() {
    ss -Hltnp --cgroup "sport = :$2" | awk -v own="$1:$2" -v all="0.0.0.0:$2" -v any="*:$2" '$4 == own || $4 == all || $4 == any' |
        while read -r socket; do
            case "$socket " in
            # Users may create control groups with any name below their own.
            *" cgroup:"*"/user.slice/"*) ;;
            *" cgroup:"*"/system.slice/$3.service "* | *" cgroup:"*"/system.slice/"*".slice/$3.service "*) continue ;;
            esac
            pid=$(echo "$socket" | sed -n 's/.*,pid=\([0-9]*\),.*/\1/p')
            if [ -z "$pid" ]; then
                group=$(echo "$socket" | sed -n 's/.* cgroup:[^ ]*\/\([^/ ]*\).*/\1/p')
                echo "a process that cannot be seen from here${group:+ ($group)}"
            elif grep -qsF "/user.slice/" "/proc/$pid/cgroup" || ! grep -qsF "/$3.service" "/proc/$pid/cgroup"; then
                echo "$(cat "/proc/$pid/comm") (process $pid)"
            fi
        done | head -n 1
}
# limit_memory UNIT SIZE: apply the limit in a unit's drop-in to the running unit, without a restart.
limit_memory() {
    systemctl daemon-reload
    systemctl set-property --runtime "$1" "MemoryMax=$2"
    # set-property writes another file of the unit, which systemd has not read yet.
    systemctl daemon-reload
}
# The digest of what HAProxy read at its last start or reload: templates/proxy/install.sh.j2.
loaded=/run/heat-scaleout/haproxy/read

failed() {
    echo "HAProxy on $(hostname): $1. The last lines of its log (journalctl -u haproxy):" >&2
    journalctl --unit haproxy --lines 20 --no-pager --output cat >&2
    exit 1
}

# workers: the PIDs of HAProxy's workers. The last one has the present configuration, and the others are exiting.
workers() {
    master=$(systemctl show --property MainPID --value haproxy)
    cat "/proc/$master/task/$master/children"
}

sed -n 's/^ *bind \([0-9.]*\):\([0-9]*\)$/\1 \2/p' /etc/haproxy/haproxy.cfg | while read -r address port; do
    other=$(holder "$address" "$port" haproxy)
    [ -z "$other" ] || failed "port $port is taken by $other"
done
if ! systemctl is-active --quiet haproxy; then
    systemctl --quiet enable haproxy
    systemctl reset-failed haproxy 2>/dev/null || true
    systemctl start haproxy || failed "it does not start"
    leaving=
elif sha256sum --check --status "$loaded" 2>/dev/null; then
    # Old workers remain if a run was cut off after its reload.
    leaving=$(workers | sed 's/[0-9]* *$//')
else
    leaving=$(workers)
    systemctl reload haproxy || failed "it does not reload"
fi
# The old worker accepts one more request on each connection that a client keeps open. Until it has exited, APIs that are
# no longer in the configuration still get requests.
deadline=$(($(date +%s) + 30))
for worker in $leaving; do
    while [ -e "/proc/$worker" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
done
limit_memory haproxy.service 1G
