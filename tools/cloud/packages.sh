#!/bin/sh
# Runs in a container of the base image: the packages of the cloud, none of them started.
set -eu
# What would change the machine's own kernel, from a container that may.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-machined.service systemd-udevd.service \
    getty@.service console-getty.service lxc.service lxc-net.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
    mariadb-server rabbitmq-server python3-pymysql python3-openstackclient \
    keystone glance-api placement-api nova-api nova-conductor nova-scheduler nova-compute nova-compute-lxc \
    libvirt-daemon-system libvirt-daemon-driver-lxc libvirt-clients \
    neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent \
    ebtables ipset iptables conntrack dnsmasq-base qemu-utils e2fsprogs >/dev/null
apt-get -qq clean
rm /usr/sbin/policy-rc.d
