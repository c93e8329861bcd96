#!/bin/sh
# Wraps libvirt's program that runs an instance; libvirt calls it with --name NAME and more. On a machine with cgroups of
# both versions, libvirt leaves an instance in libvirt's own cgroup of those trees in which systemd tracks its services, and
# the instances' systemds would disturb each other.
set -eu
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -d "$tree" ] || continue
    mkdir -p "$tree/instances/$2"
    echo "$$" >"$tree/instances/$2/cgroup.procs"
done
exec /usr/lib/libvirt/libvirt_lxc.real "$@"
