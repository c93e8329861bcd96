#!/bin/sh
# Runs in a container of the base image: makes of it what Debian's own cloud images are, as far as an instance that is
# a Linux container can tell.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends cloud-init ifupdown isc-dhcp-client >/dev/null
apt-get -qq clean

# The one source of data that there is, and no guessing.
echo 'datasource_list: [OpenStack]' >/etc/cloud/cloud.cfg.d/90-cloud.cfg
# A container has no firmware that would name the cloud; cloud-init takes it from the environment of PID 1 as well.
rm /sbin/init
cat >/sbin/init <<'END'
#!/bin/sh
# What libvirt has instead is too little for the likes of free.
umount /proc/meminfo 2>/dev/null
export product_name='OpenStack Nova'
exec /lib/systemd/systemd "$@"
END
chmod 0755 /sbin/init
# No terminals, no kernel of its own, no disk to check or grow.
for unit in console-getty.service getty@.service systemd-modules-load.service systemd-sysctl.service systemd-remount-fs.service \
    systemd-ask-password-console.path systemd-ask-password-wall.path; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
printf 'growpart: {mode: "off"}\nresize_rootfs: false\nlocale: false\nmanage_etc_hosts: true\n' >>/etc/cloud/cloud.cfg.d/90-cloud.cfg
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
: >/etc/fstab
printf 'auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n' >/etc/network/interfaces
