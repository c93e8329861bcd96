# shellcheck shell=sh
# What the cloud's scripts have in common: names, and where things are. Sourced in the project's directory.
# shellcheck disable=SC2034 # used by those who source this
cloud=heat-cloud
# By its name apart from the containers' base image, which goes with the last of them: tools/remove-images.sh.
repository=localhost/heat-cloud
subnet=${CLOUD_SUBNET:-10.213.82.0/24}
prefix=${subnet%.*}
address=$prefix.2
state=.state/cloud
# Packets to the subnet never leave by the default route, not even while the bridge is down: the highest metric there is.
blackhole="blackhole $subnet metric 4294967295"
sudo=
[ "$(id -u)" = 0 ] || sudo='sudo -n'

# owned ENGINE KIND: the container or network is this checkout's.
owned() {
    case "$2" in
    container) labels='{{index .Config.Labels "heat-scaleout"}}' ;;
    network) labels='{{index .Labels "heat-scaleout"}}' ;;
    esac
    [ "$($1 "$2" inspect "$cloud" --format "$labels" 2>/dev/null)" = "$PWD" ]
}

# base_image: two lines, the engine and the containers' base image, which is made, or taken from its file, where it is not there.
base_image() { .venv/bin/python -m tools.lab.scripts image "$PWD/.state/cache" "${DEBIAN_MIRROR-}" | sh; }

# discard ENGINE CONTAINER: take a container away, if it is there. Not "rm -f" alone: it waits for systemd to stop.
discard() {
    $1 kill "$2" >/dev/null 2>&1 || true
    $1 rm -f "$2" >/dev/null 2>&1 || true
}
