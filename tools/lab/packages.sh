#!/bin/sh
# Runs in a container of the base image: the packages of the cloud, none of them started.
set -eu
# What would change the machine's own kernel, from a container that may; and what has no place in one.
for unit in systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-machined.service \
    proc-sys-fs-binfmt_misc.automount getty@.service console-getty.service lxc.service lxc-net.service ssh.service; do
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
    octavia-api octavia-worker \
    ebtables ipset conntrack dnsmasq-base qemu-utils >/dev/null
apt-get -qq clean
# Not before they have been set up: they would end and be started again all the while.
systemctl disable --quiet keystone glance-api placement-api nova-api nova-api-metadata nova-conductor nova-scheduler nova-compute \
    neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent \
    octavia-api octavia-worker libvirtd libvirt-guests radvd mariadb rabbitmq-server
# libvirt would have machined make the instances' cgroups, which it cannot do in a container.
rm /usr/share/dbus-1/system-services/org.freedesktop.machine1.service
rm /usr/sbin/policy-rc.d
