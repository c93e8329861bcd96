#!/bin/sh
# Connect the cloud's networks to the machine: br-public takes over the container's own address and interface, so that
# floating IPs are neighbours of the machine on the container's bridge. Runs at each start of the container.
set -eu
[ ! -e /sys/class/net/br-public ] || exit 0
address=$(ip -4 -o address show dev eth0 | sed -n 's/.* inet \([^ ]*\) .*/\1/p')
gateway=$(ip -4 route show default | sed -n 's/.* via \([^ ]*\) .*/\1/p')
ip link add br-public address "$(cat /sys/class/net/eth0/address)" mtu "$(cat /sys/class/net/eth0/mtu)" type bridge
ip address flush dev eth0
ip link set eth0 master br-public
ip link set br-public up
ip address add "$address" dev br-public
ip route add default via "$gateway"
