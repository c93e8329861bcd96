# HAProxy runs with the configuration that is in place, which has passed haproxy -c. Reloaded, never restarted: what is
# connected stays connected.
# The configuration: 1ed6cbeecfc97f5f84f750f22f69ad66c581d6b5e9d9a78bc49ed43d83fdf1ef
set -eu
loaded=/run/haproxy/loaded.sha256

failed() {
    echo "HAProxy on $(hostname): $1. The last lines of its log (journalctl -u haproxy):" >&2
    journalctl --unit haproxy --lines 20 --no-pager --output cat >&2
    exit 1
}

if ! systemctl is-active --quiet haproxy; then
    systemctl --quiet enable haproxy
    systemctl reset-failed haproxy 2>/dev/null || true
    systemctl start haproxy || failed "it does not start"
elif ! sha256sum --check --status "$loaded" 2>/dev/null; then
    systemctl reload haproxy || failed "it does not reload"
fi
sha256sum /etc/haproxy/haproxy.cfg >"$loaded"
