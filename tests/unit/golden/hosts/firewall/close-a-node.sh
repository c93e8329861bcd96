#!/bin/sh
# The firewall of node-1: some of its ports are for the deployment's own hosts alone, now and whenever it boots.
set -eu
# packages NAME …: make sure that these are installed. The lists are fetched only when something is missing, and one
# script at a time asks: apt itself waits for its neighbours in one of its two steps only.
packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2016,SC2086 # the inner shell's; words
    told=$(DEBIAN_FRONTEND=noninteractive flock -w 600 /run/heat-scaleout/private/apt.lock sh -c '
        apt-get -qq -o DPkg::Lock::Timeout=600 update &&
            apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold \
                install -y --no-install-recommends "$@"' sh $missing 2>&1) || {
        echo "apt-get cannot install$missing on $(hostname):" >&2
        echo "$told" | tail -n 20 >&2
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
# Managed by heat-scaleout: changes are overwritten. The deployment's own hosts alone reach these ports of node-1;
# others are told at once that the connection is refused. No other port, and nobody else's table, is touched.
table inet heat_scaleout
delete table inet heat_scaleout
table inet heat_scaleout {
    set ports {
        type inet_service
        elements = { 8000, 8004 }
    }
    set hosts {
        type ipv4_addr
        elements = { 10.0.0.1 }
    }
    # Hosts that are about to leave: let in until they have ended what they have begun, and for a day at most.
    set leaving {
        type ipv4_addr
        flags timeout
        timeout 1d
    }
    chain input {
        type filter hook input priority filter; policy accept;
        iif lo accept
        ip daddr 10.0.0.2 tcp dport @ports ip saddr != @hosts ip saddr != @leaving reject with tcp reset
    }
}
END_OF_RULES
cat >"$work/unit" <<'END_OF_UNIT'
[Unit]
Description=The ports that only hosts of Heat's deployment may reach
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
DefaultDependencies=no
# The distribution's own firewall empties all tables when it loads its file.
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

# As the kernel takes them, and not as they look.
if ! told=$(nft -c -f "$work/rules" 2>&1); then
    {
        echo 'node-1 (10.0.0.2) cannot close its ports: nft does not work there:'
        echo "$told" | head -n 5 | sed 's/^/  /'
        echo "A container needs the capability NET_ADMIN: make it anew with --cap-add NET_ADMIN; one of ours with make down, then make up."
        echo "Any other host needs its kernel's nf_tables; type there, as root: modprobe nf_tables"
    } >&2
    exit 1
fi

# elements SET: what the running firewall has in a set, one a line.
elements() {
    nft list set inet heat_scaleout "$1" 2>/dev/null | tr '\n' ' ' | sed -n 's/.*elements = {\([^}]*\)}.*/\1/p' |
        tr ',' '\n' | awk '{ print $1 }'
}

# A host that is no longer planned has work to end, and a port that is no longer planned is still listened on. Both stay
# as they are until that is over, and the unit is reloaded.
printf '%s\n' 10.0.0.1 >"$work/planned"
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
# A network where hosts were, or hosts where one was: the two cannot stand in one set.
nft -f "$work/now" 2>/dev/null || nft -f "$work/rules"
