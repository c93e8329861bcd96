# What is to be done on front when it leaves the deployment: only delete does it. A host that cannot be reached is
# left as it is: one that is dead must not keep anything else from going.
set -eu
[ "$1" = delete ] || exit 0
command -v ssh >/dev/null || { echo "ssh is missing: apt install openssh-client" >&2; exit 1; }

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/known" <<'END_OF_KEYS'
10.0.0.1 ssh-ed25519 AAAAfronthostkeyAAAAAAAA
END_OF_KEYS
cat >"$work/config" <<'END_OF_CONFIG'
Host leaving
    HostName 10.0.0.1
    Port 22
    User root
Host *
    BatchMode yes
    ConnectTimeout 10
    ServerAliveInterval 15
    StrictHostKeyChecking yes
    GlobalKnownHostsFile /dev/null
    LogLevel ERROR
END_OF_CONFIG
echo "    UserKnownHostsFile $work/known" >>"$work/config"
if [ -n "${PRIVATE_KEY-}" ]; then
    printf '%s\n' "$PRIVATE_KEY" >"$work/key"
    printf '    IdentityFile %s\n    IdentitiesOnly yes\n' "$work/key" >>"$work/config"
fi

status=0
ssh -F "$work/config" leaving '[ -e /usr/local/sbin/heat-scaleout ] || { echo '"'"'front (10.0.0.1) has no /usr/local/sbin/heat-scaleout, as after a reinstallation, and is left as it is: should it come back, HAProxy runs on; stop it there: systemctl disable --now haproxy'"'"' >&2; exit 0; }; heat-scaleout run haproxy-leave' >"$work/told" 2>&1 <<'END_OF_SCRIPT' || status=$?
heat-scaleout-input 176
# The proxy leaves its addresses.
set -eu
systemctl --quiet disable --now haproxy
rm -f /etc/systemd/system/haproxy.service.d/heat-scaleout-stamp.conf
systemctl daemon-reload

END_OF_SCRIPT
cat "$work/told" >&2
# ssh's own: no connection, another key, no login.
[ "$status" != 255 ] || { echo 'front (10.0.0.1) is left as it is: should it come back, HAProxy runs on; stop it there: systemctl disable --now haproxy' >&2; exit 0; }
exit "$status"
