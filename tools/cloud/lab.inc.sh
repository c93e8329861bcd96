# shellcheck shell=sh
# What the cloud's scripts have in common: names, and where things are. Sourced in the project's directory.
# shellcheck disable=SC2034 # used by those who source this
cloud=heat-cloud
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
