#!/bin/sh
# Runs in the cloud's container, with its files next to it: "identity" sets up Keystone, "services" everything else.
# The lab has one password, which comes on stdin.
set -eu
cd "$(dirname "$0")"
IFS= read -r password
address=$(ip -4 -o address show dev br-public 2>/dev/null | sed -n 's/.* inet \([^/]*\).*/\1/p')

# fill OWNER FILE TARGET: install a file with the lab's values, readable by its owner only. The password goes by stdin.
fill() {
    printf 's|@password@|%s|g\ns|@address@|%s|g\ns|@mtu@|%s|g\n' "$password" "$address" "$mtu" |
        sed -f - "etc/$2" | install -m 0640 -o root -g "$1" /dev/stdin "$3"
}

identity() {
    install -m 0755 bridge.sh /usr/local/sbin/cloud-bridge
    dpkg-divert --quiet --local --rename --divert /usr/lib/libvirt/libvirt_lxc.real --add /usr/lib/libvirt/libvirt_lxc
    install -m 0755 libvirt_lxc.sh /usr/lib/libvirt/libvirt_lxc
    install -m 0644 etc/cloud-bridge.service /etc/systemd/system/
    install -m 0644 etc/mariadb.cnf /etc/mysql/mariadb.conf.d/90-cloud.cnf
    install -m 0644 etc/rabbitmq.conf etc/rabbitmq-env.conf /etc/rabbitmq/
    # Few processes of each API are enough here. Nova and Neutron have one thread per process: their APIs are written for
    # eventlet, and with several uWSGI threads some requests are never answered. Neutron has one process: a new one fails if
    # its first request creates a port. A kernel without AppArmor has no profiles. The header tells clients that the
    # connection ends with the response.
    while read -r ini processes threads; do
        sed -i "s/^processes = .*/processes = $processes/; s/^threads = .*/threads = $threads/
            s/^plugins = python3,apparmor\$/plugins = python3/; /^apparmor-profile/d; /^add-header/d
            s/^master = true\$/&\nadd-header = Connection: close/" "/etc/$ini-uwsgi.ini"
    done <<END
keystone/keystone 1 4
nova/nova-api 3 1
nova/nova-api-metadata 2 1
neutron/neutron-api 1 1
placement/placement-api 1 4
octavia/octavia-api 1 1
END
    for unit in nova-compute nova-conductor nova-scheduler; do
        install -D -m 0644 etc/patient.conf "/etc/systemd/system/$unit.service.d/patient.conf"
    done
    systemctl daemon-reload
    systemctl enable --quiet --now cloud-bridge mariadb rabbitmq-server
    address=$(ip -4 -o address show dev br-public | sed -n 's/.* inet \([^/]*\).*/\1/p')
    mtu=$(cat /sys/class/net/br-public/mtu)
    {
        for name in keystone glance placement neutron octavia nova nova_api nova_cell0; do
            echo "CREATE DATABASE IF NOT EXISTS $name;"
            echo "GRANT ALL ON $name.* TO '${name%_*}'@'127.0.0.1' IDENTIFIED BY '$password';"
        done
    } | mysql
    fill keystone keystone.conf /etc/keystone/keystone.conf
    keystone-manage db_sync 2>/dev/null
    keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
    keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
    url=http://$address:5000/v3
    OS_BOOTSTRAP_PASSWORD=$password keystone-manage bootstrap --bootstrap-region-id RegionOne \
        --bootstrap-public-url "$url" --bootstrap-internal-url "$url" --bootstrap-admin-url "$url"
    # root wrote these files; they belong to the service.
    chown -R keystone:keystone /var/log/keystone
    systemctl enable --quiet keystone
    systemctl restart keystone
}

services() {
    mtu=$(cat /sys/class/net/br-public/mtu)
    fill glance glance-api.conf /etc/glance/glance-api.conf
    fill placement placement.conf /etc/placement/placement.conf
    fill nova nova.conf /etc/nova/nova.conf
    fill nova nova-compute.conf /etc/nova/nova-compute.conf
    fill neutron neutron.conf /etc/neutron/neutron.conf
    for file in ml2_conf.ini linuxbridge_agent.ini; do
        fill neutron "$file" "/etc/neutron/plugins/ml2/$file"
    done
    for file in l3_agent.ini dhcp_agent.ini metadata_agent.ini; do
        fill neutron "$file" "/etc/neutron/$file"
    done
    fill octavia octavia.conf /etc/octavia/octavia.conf
    runuser -u glance -- glance-manage db_sync >/dev/null 2>&1 &
    glance=$!
    runuser -u placement -- placement-manage db sync >/dev/null 2>&1 &
    placement=$!
    runuser -u neutron -- neutron-db-manage --config-file /etc/neutron/neutron.conf \
        --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads >/dev/null 2>&1 &
    neutron=$!
    packages=/usr/lib/python3/dist-packages
    install -m 0644 etc/octavia_lab.py $packages/
    mkdir -p $packages/octavia_lab-1.dist-info
    printf 'Metadata-Version: 2.1\nName: octavia-lab\nVersion: 1\n' >$packages/octavia_lab-1.dist-info/METADATA
    printf '[octavia.network.drivers]\nlab = octavia_lab:LabNetworkDriver\n' >$packages/octavia_lab-1.dist-info/entry_points.txt
    [ -s /etc/octavia/ca.key ] || openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=lab \
        -keyout /etc/octavia/ca.key -out /etc/octavia/ca.pem 2>/dev/null
    chown octavia /etc/octavia/ca.key
    runuser -u octavia -- octavia-db-manage upgrade head >/dev/null 2>&1 &
    octavia=$!
    nova_manage api_db sync
    nova_manage cell_v2 map_cell0 --database_connection '{scheme}://{username}:{password}@{hostname}/nova_cell0'
    nova_manage cell_v2 list_cells | grep -q ' cell1 ' || nova_manage cell_v2 create_cell --name cell1
    nova_manage db sync
    wait "$glance"
    wait "$placement"
    wait "$neutron"
    wait "$octavia"
    # shellcheck disable=SC2086 # words
    systemctl enable --quiet $SERVICES
    # shellcheck disable=SC2086 # words
    systemctl restart --no-block $SERVICES
}

# Its progress messages matter only if it fails.
nova_manage() {
    runuser -u nova -- nova-manage "$@" 2>/tmp/nova-manage.log || { tail -n 20 /tmp/nova-manage.log >&2; return 1; }
}

SERVICES='glance-api placement-api nova-api nova-api-metadata nova-conductor nova-scheduler neutron-api neutron-rpc-server
    neutron-linuxbridge-agent neutron-l3-agent neutron-dhcp-agent neutron-metadata-agent octavia-api octavia-worker libvirtd
    nova-compute'
"$1"
