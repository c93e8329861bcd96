# HAProxy runs with the configuration that is in place, which has passed haproxy -c. Reloaded, never restarted: what is
# connected stays connected.
# The configuration: ff8aad8fa4bd2cf436c6aa2bebecd9345f74bb5c2571a760cdf7a049ee3c8fdc
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
# What HAProxy has read, as of its last start or reload: templates/proxy/install.sh.j2.
loaded=/run/heat-scaleout/haproxy/read

failed() {
    echo "HAProxy on $(hostname): $1. The last lines of its log (journalctl -u haproxy):" >&2
    journalctl --unit haproxy --lines 20 --no-pager --output cat >&2
    exit 1
}

# workers: HAProxy's, the one with the present configuration last; others before it are on their way out.
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
    # Those of a run that was cut off after its reload, if there are any.
    leaving=$(workers | sed 's/[0-9]* *$//')
else
    leaving=$(workers)
    systemctl reload haproxy || failed "it does not reload"
fi
# The worker before takes one more request on each connection that a client keeps: until it is gone, requests still come
# to APIs that have left the configuration.
deadline=$(($(date +%s) + 30))
for worker in $leaving; do
    while [ -e "/proc/$worker" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
done
limit_memory haproxy.service 1G
