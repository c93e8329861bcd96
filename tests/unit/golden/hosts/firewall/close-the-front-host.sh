#!/bin/sh
# The firewall of front: only the deployment's own hosts may connect to some ports, now and after each boot.
set -eu
# packages NAME …: install the missing packages. The lists are fetched only if a package is missing. The lock is for
# both steps: apt itself waits for other processes only in "install".
packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2016,SC2086 # the inner shell's; words
    output=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/heat-scaleout/private/apt.lock sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$output" | tail -n 20 >&2
        return 1
    }
}

rules=/etc/heat-scaleout/firewall.nft
unit=/etc/systemd/system/heat-scaleout-firewall.service

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

packages nftables
cat >"$work/rules" <<'END_OF_RULES'
#!/usr/sbin/nft -f
# Managed by heat-scaleout: changes are overwritten. Only the deployment's own hosts may connect to these ports of
# front. Connections from others are refused at once. Other ports and other tables are not affected.
table inet heat_scaleout
delete table inet heat_scaleout
table inet heat_scaleout {
    set ports {
        type inet_service
        elements = { 3306, 5672, 11211 }
    }
    set hosts {
        type ipv4_addr
        elements = { 10.0.0.2, 10.0.0.3 }
    }
    # Hosts that leave the deployment. They may connect until their teardown is done, for a day at most.
    set leaving {
        type ipv4_addr
        flags timeout
        timeout 1d
    }
    chain input {
        type filter hook input priority filter; policy accept;
        iif lo accept
        ip daddr 10.0.0.1 tcp dport @ports ip saddr != @hosts ip saddr != @leaving reject with tcp reset
    }
}
END_OF_RULES
cat >"$work/unit" <<'END_OF_UNIT'
[Unit]
Description=Firewall for ports of the Heat deployment's own hosts
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
DefaultDependencies=no
# The distribution's firewall flushes all tables when it loads its own file.
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/heat-scaleout/firewall.nft
ExecReload=/usr/sbin/nft -f /etc/heat-scaleout/firewall.nft
ExecStop=-/usr/sbin/nft delete table inet heat_scaleout

NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_ADMIN
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
PrivateTmp=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=sysinit.target
END_OF_UNIT

# The kernel checks the rules.
if ! output=$(nft -c -f "$work/rules" 2>&1); then
    {
        echo 'front (10.0.0.1) cannot close its ports: nft does not work there:'
        echo "$output" | head -n 5 | sed 's/^/  /'
        echo "A container needs the capability NET_ADMIN: create it again with --cap-add NET_ADMIN. For a dev stack, type: make down, then make up"
        echo "Any other host needs the kernel module nf_tables; type there, as root: modprobe nf_tables"
    } >&2
    exit 1
fi

# elements SET: print the elements of a set of the running firewall, one per line.
elements() {
    nft list set inet heat_scaleout "$1" 2>/dev/null | tr '\n' ' ' | sed -n 's/.*elements = {\([^}]*\)}.*/\1/p' |
        tr ',' '\n' | awk '{ print $1 }'
}

# A removed host may still finish work, and a process may still listen on a removed port. Keep both until that has ended
# and the unit is reloaded.
printf '%s\n' 10.0.0.2 10.0.0.3 >"$work/planned"
leaving=$({ elements hosts; elements leaving; } | grep -vxF -f "$work/planned" | sort -u | paste -s -d ,) || true
closing=$(elements ports | paste -s -d ,)
{
    cat "$work/rules"
    [ -z "$leaving" ] || echo "add element inet heat_scaleout leaving { $leaving }"
    [ -z "$closing" ] || echo "add element inet heat_scaleout ports { $closing }"
} >"$work/now"

# keep FILE PATH
keep() {
    if cmp -s "$1" "$2"; then return; fi
    install -m 0644 -o root -g root "$1" "$2.new"
    sync "$2.new"
    mv -f "$2.new" "$2"
}
install -d -m 0755 "${rules%/*}"
keep "$work/rules" "$rules"
keep "$work/unit" "$unit"
systemctl daemon-reload
systemctl --quiet enable "${unit##*/}"
systemctl start "${unit##*/}"
# If networks replace hosts in a set or the reverse: one set cannot hold both.
nft -f "$work/now" 2>/dev/null || nft -f "$work/rules"
