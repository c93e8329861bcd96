#!/bin/sh
# Runs in the cloud's container before it goes: gives back what is the machine's. Its loop devices would keep the disks
# of instances that are gone.
set -u
systemctl stop nova-compute
for domain in $(virsh --connect lxc:/// list --name); do
    virsh --connect lxc:/// destroy "$domain"
done
losetup --noheadings --output NAME,BACK-FILE | while read -r device file; do
    case "$file" in /var/lib/nova/instances/*) losetup --detach "$device" ;; esac
done
