#!/bin/sh
# Runs in the cloud's container before its removal: releases the machine's loop devices, which would otherwise keep the
# disks of deleted instances.
set -u
systemctl stop nova-compute
for domain in $(virsh --connect lxc:/// list --name); do
    virsh --connect lxc:/// destroy "$domain"
done
losetup --noheadings --output NAME,BACK-FILE | while read -r device file; do
    case "$file" in /var/lib/nova/instances/*) losetup --detach "$device" ;; esac
done
