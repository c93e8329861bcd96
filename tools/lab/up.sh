#!/bin/sh
# Start an OpenStack cloud in one container, for the tests of `hosts: openstack`: what `make cloud` runs. The cloud is kept
# between runs, and a second run starts it again. Only that container and its bridge are added to the machine.
#
# Writes .state/cloud/clouds.yaml with two logins: `lab`, a member of an ordinary project, and `lab-admin`.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tools/lab/lab.inc.sh
. tools/lab/lab.inc.sh

begin=$(date +%s)
say() { printf 'cloud: %3d s  %s\n' "$(($(date +%s) - begin))" "$*"; }
contents() { .venv/bin/python -m tools.lab.contents --clouds "$state/clouds.yaml" "$@"; }
inside() { $engine exec -i "$cloud" "$@"; }
setup() { printf '%s\n' "$password" | inside /opt/cloud/setup.sh "$1"; }

found=$(tools/lab/image.sh)
{
    read -r engine
    read -r image
    read -r flags
} <<END
$found
END
guest=$(tools/lab/guest-image.sh "$found")

mkdir -p "$state"
chmod 0700 .state
[ -s "$state/password" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$state/password")
password=$(cat "$state/password")
(umask 077 && sed "s/@address@/$address/; s/@password@/$password/" tools/lab/etc/clouds.yaml >"$state/clouds.yaml")

# shellcheck disable=SC2086 # words
$sudo ip route replace $blackhole
for kind in network container; do
    ! $engine "$kind" inspect "$cloud" >/dev/null 2>&1 || owned "$engine" "$kind" || {
        echo "cloud: another checkout has created the $kind $cloud. To remove it, type there: make cloud-down" >&2
        exit 1
    }
done
$engine network inspect "$cloud" >/dev/null 2>&1 || {
    device=$(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    mtu=$(cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500)
    case "$engine" in
    *podman) set -- --disable-dns --opt mtu="$mtu" ;;
    *) set -- --opt com.docker.network.driver.mtu="$mtu" ;;
    esac
    $engine network create --label heat-scaleout="$PWD" --subnet "$subnet" "$@" "$cloud" >/dev/null
}

if $engine container inspect "$cloud" >/dev/null 2>&1; then
    $engine start "$cloud" >/dev/null
else
    # The cloud creates its own bridges, network namespaces, loop devices and containers. For the containers libvirt needs
    # cgroups as on a machine: in a namespace, with nothing mounted over them. Some fifteen services and the instances get
    # a larger share of a busy processor than one host does.
    flags=$(printf '%s' "$flags" | sed 's| --cgroupns=host --volume [^ ]*| --cgroupns=private|')
    # shellcheck disable=SC2086 # words
    $engine run -d --name "$cloud" --hostname cloud --label heat-scaleout="$PWD" --network "$cloud" --ip "$address" \
        $flags --privileged --cpu-shares 4096 "$image" sh -c '
            umount /sys/fs/cgroup/systemd/release_agent /sys/fs/cgroup/systemd 2>/dev/null || true
            exec /sbin/init' >/dev/null
fi
if ! inside test -e /opt/cloud/complete </dev/null; then
    say "setting up Keystone"
    tar -C tools/lab -c bridge.sh setup.sh libvirt_lxc.sh etc | inside sh -c 'mkdir -p /opt/cloud && tar -C /opt/cloud -x'
    setup identity
    say "creating users, then databases and services"
    contents identity --host "$address"
    setup services
    say "waiting for the services"
    contents wait
    say "creating flavors, image and network"
    inside runuser -u nova -- nova-manage cell_v2 discover_hosts </dev/null 2>/dev/null
    contents resources --subnet "$subnet" --image "$guest"
    inside touch /opt/cloud/complete </dev/null
fi
contents wait
say "ready. Logins lab and lab-admin: OS_CLIENT_CONFIG_FILE=$PWD/$state/clouds.yaml"
