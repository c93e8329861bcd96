# HAProxy runs with the configuration that is in place, which has passed haproxy -c. Reloaded, never restarted: what is
# connected stays connected.
# The configuration: cb9e7177c271857b05628f54223a2b52f16060840508b96a1bbdcbfd2411fc45
set -eu
# holder ADDRESS PORT UNIT: which process, other than UNIT's own, listens where UNIT is to listen, such as "nginx
# (process 812)". Prints nothing where the port is free.
holder() {
    ss -Hltnp "sport = :$2" | awk -v own="$1:$2" -v all="0.0.0.0:$2" -v any="*:$2" '$4 == own || $4 == all || $4 == any' |
        while read -r socket; do
            pid=$(echo "$socket" | sed -n 's/.*,pid=\([0-9]*\),.*/\1/p')
            if [ -z "$pid" ]; then
                echo "a process that cannot be seen from here"
            elif ! grep -qsF "/$3.service" "/proc/$pid/cgroup"; then
                echo "$(cat "/proc/$pid/comm") (process $pid)"
            fi
        done | head -n 1
}
loaded=/run/haproxy/loaded.sha256

failed() {
    echo "HAProxy on $(hostname): $1. The last lines of its log (journalctl -u haproxy):" >&2
    journalctl --unit haproxy --lines 20 --no-pager --output cat >&2
    exit 1
}

# Once it runs with a file of ours, its ports are its own.
if ! systemctl is-active --quiet haproxy || [ ! -e "$loaded" ]; then
    sed -n 's/^ *bind \([0-9.]*\):\([0-9]*\)$/\1 \2/p' /etc/haproxy/haproxy.cfg | while read -r address port; do
        other=$(holder "$address" "$port" haproxy)
        [ -z "$other" ] || failed "port $port is taken by $other"
    done
fi
if ! systemctl is-active --quiet haproxy; then
    systemctl --quiet enable haproxy
    systemctl reset-failed haproxy 2>/dev/null || true
    systemctl start haproxy || failed "it does not start"
elif ! sha256sum --check --status "$loaded" 2>/dev/null; then
    master=$(systemctl show --property MainPID --value haproxy)
    workers=$(cat "/proc/$master/task/$master/children")
    systemctl reload haproxy || failed "it does not reload"
    # The worker before takes one more request on each connection that a client keeps: until it is gone, requests still
    # come to APIs that have left the configuration.
    deadline=$(($(date +%s) + 30))
    for worker in $workers; do
        while [ -e "/proc/$worker" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.2; done
    done
fi
sha256sum /etc/haproxy/haproxy.cfg >"$loaded"
