#!/bin/sh
# Stands before libvirt's own program, which runs an instance: called with --name NAME and more. Where cgroups are of
# both versions, libvirt leaves an instance in its own cgroup of those trees in which systemd follows its services; the
# instances' systemds would be in each other's way there.
set -eu
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -d "$tree" ] || continue
    mkdir -p "$tree/instances/$2"
    echo "$$" >"$tree/instances/$2/cgroup.procs"
done
exec /usr/lib/libvirt/libvirt_lxc.real "$@"
