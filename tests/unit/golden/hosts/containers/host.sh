set -eu
# Containers run as root: their systemd needs cgroups, and this machine needs a route to the bridge.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
engine=podman
name=heat-sample-node-1
owner=/the/checkout

exists() { $engine container inspect "$name" >/dev/null 2>&1; }
owned() {
    [ "$($engine container inspect "$name" --format '{{index .Config.Labels "heat-scaleout"}}' 2>/dev/null)" = "$owner" ]
}

create() {
    if exists; then
        owned || {
            echo "a container $name exists that this checkout did not create." >&2
            echo "Remove it from the checkout that created it (make down), or use another stack name: make up STACK=other" >&2
            exit 1
        }
        $engine start "$name" >/dev/null
    else
        # shellcheck disable=SC2086 # flags are words
        $engine run -d --name "$name" --hostname node-1 --label heat-scaleout="$owner" \
            --network heat-sample --ip 10.0.0.2 --mac-address 02:42:0a:00:00:02 --systemd=always localhost/heat-scaleout-bookworm:0123456789ab >/dev/null
    fi
    # A bridge takes the lowest MAC address of its ports, so it changes when containers start or stop. A neighbour with
    # the old address would not reach this machine for up to a minute. An address that was set stays.
    bridge=$(ip route get 10.0.0.2 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    $sudo ip link set dev "$bridge" address "$(cat "/sys/class/net/$bridge/address")"
    # On stdin, so that the key appears on no command line.
    printf '%s\n' "$HOST_KEY" | $engine exec -i "$name" sh -c 'umask 077 && cat >/etc/ssh/ssh_host_ed25519_key'
    printf '%s\n' 'ssh-ed25519 AAAAsshkeyAAAAAAAAAAAAAA' | $engine exec -i "$name" sh -c 'umask 077 && mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys'
    $engine exec "$name" sh -c 'timeout 60 systemctl is-system-running --wait >/dev/null; systemctl restart ssh' </dev/null ||
        { echo "sshd does not start in $name:" >&2; $engine exec "$name" journalctl -u ssh -n 20 --no-pager >&2; exit 1; }
}

delete() {
    owned || return 0
    # Kill first: "rm" alone waits for systemd to stop all services, which are deleted anyway.
    $engine kill "$name" >/dev/null 2>&1 || true
    $engine rm -f "$name" >/dev/null
}

"$1"
