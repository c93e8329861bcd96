set -eu
# Containers run as root: their systemd needs cgroups, and this machine needs a route to the bridge.
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'
engine=podman
name=heat-sample
subnet=10.0.0.0/24
owner=/the/checkout
# While the bridge is down, packets to the subnet must not leave through the default route. The metric is the highest
# one.
blackhole="blackhole $subnet metric 4294967295"

owned() {
    [ "$($engine network inspect "$name" --format '{{index .Labels "heat-scaleout"}}' 2>/dev/null)" = "$owner" ]
}

create() {
    # shellcheck disable=SC2086 # words
    $sudo ip route replace $blackhole
    if $engine network inspect "$name" >/dev/null 2>&1; then
        if owned; then return; fi
        echo "a network $name exists that this checkout did not create." >&2
        echo "Remove it from the checkout that created it (make down), or use another stack name: make up STACK=other" >&2
        exit 1
    fi
    # Without path MTU discovery, packets larger than the default route's MTU would be lost.
    device=$(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    mtu=$(cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500)
    case "$engine" in
    *podman) set -- --disable-dns --opt mtu="$mtu" ;;
    *) set -- --opt com.docker.network.driver.mtu="$mtu" ;;
    esac
    $engine network create --label heat-scaleout="$owner" --subnet "$subnet" "$@" "$name" >/dev/null
}

delete() {
    if owned; then $engine network rm "$name" >/dev/null; fi
    # shellcheck disable=SC2086 # words
    $sudo ip route del $blackhole 2>/dev/null || true
}

"$1"
