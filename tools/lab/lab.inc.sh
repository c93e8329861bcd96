# shellcheck shell=sh
# Names and paths that the cloud's scripts share. Sourced in the project's directory.
# shellcheck disable=SC2034 # used by the scripts that source this
cloud=heat-cloud
# Not the repository of the containers' base image, which tools/remove-images.sh removes.
repository=localhost/heat-cloud
subnet=${CLOUD_SUBNET:-10.213.82.0/24}
prefix=${subnet%.*}
address=$prefix.2
state=.state/cloud
# Packets to the subnet never take the default route, not even while the bridge is down. This is the highest metric.
blackhole="blackhole $subnet metric 4294967295"
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# owned ENGINE KIND: whether this checkout created the container or network.
owned() {
    case "$2" in
    container) labels='{{index .Config.Labels "heat-scaleout"}}' ;;
    network) labels='{{index .Labels "heat-scaleout"}}' ;;
    esac
    [ "$($1 "$2" inspect "$cloud" --format "$labels" 2>/dev/null)" = "$PWD" ]
}

# base_image: print the engine and the containers' base image, after building it or loading its file if it is missing.
base_image() { .venv/bin/python -m tools.lab.scripts image "$PWD/.state/cache" "${DEBIAN_MIRROR-}" | sh; }

# discard ENGINE CONTAINER: remove a container, if it exists. "rm -f" alone would wait for systemd to stop.
discard() {
    $1 kill "$2" >/dev/null 2>&1 || true
    $1 rm -f "$2" >/dev/null 2>&1 || true
}
