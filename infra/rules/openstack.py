"""The VMs of a cloud, as far as it can be said without asking the cloud."""

from __future__ import annotations

import ipaddress
import re

from components.hosts.wanted import NEW, NONE
from infra.model import FRONT, SERVER_GROUPS, OpenstackSettings, Settings
from infra.reader import Reader, camel
from infra.rules.existing_hosts import USER, check_private_key
from infra.rules.values import not_a_network

# Nova takes no other, and Neutron no comma.
_TAG = re.compile(r"[^,/]{1,60}")


def check_openstack(settings: Settings, reader: Reader) -> None:
    """Each value for itself, and with its neighbours."""
    openstack, default = settings.openstack, OpenstackSettings()
    for key, value, usual in (
        ("image", openstack.image, default.image),
        ("frontFlavor", openstack.front_flavor, default.front_flavor),
        ("nodeFlavor", openstack.node_flavor, default.node_flavor),
    ):
        if not value:
            reader.refuse(f"openstack.{key}", "(none)", "a name is wanted that the cloud has for it", usual)
    if openstack.boot_volume < 0:
        rule = "GB are wanted, or 0 for the disk that the flavor has"
        reader.refuse("openstack.bootVolume", openstack.boot_volume, rule, default.boot_volume)
    if openstack.anti_affinity not in SERVER_GROUPS:
        rule = f"this must be {' or '.join(SERVER_GROUPS)}"
        reader.refuse("openstack.antiAffinity", openstack.anti_affinity, rule, default.anti_affinity)
    if not USER.fullmatch(openstack.user):
        reader.refuse("openstack.user", openstack.user, "root or the name of a user is wanted", default.user)
    for at, tag in enumerate(openstack.tags):
        if not _TAG.fullmatch(tag):
            reader.refuse(f"openstack.tags[{at}]", tag, "a tag is 1 to 60 characters, without comma and slash")
    if openstack.key_pair:
        check_private_key(settings, reader)
    _check_floating_ips(settings, reader)
    _check_network(settings, reader)
    _check_rebuild(settings, reader)


def _check_floating_ips(settings: Settings, reader: Reader) -> None:
    openstack, default = settings.openstack, OpenstackSettings()
    for name in ("floating_ip", "load_balancer_floating_ip"):
        value = getattr(openstack, name)
        if value not in (NEW, NONE) and _not_an_address(value):
            rule = f"this must be {NEW}, {NONE} or the IPv4 address of one that the project has"
            reader.refuse(f"openstack.{camel(name)}", value, rule, getattr(default, name))
    if not settings.octavia:
        for name in ("load_balancer_provider", "load_balancer_floating_ip"):
            if (value := getattr(openstack, name)) != getattr(default, name):
                remedy = reader.set("loadBalancer", "octavia")
                reader.refuse(f"openstack.{camel(name)}", value, "this is for loadBalancer octavia", remedy=remedy)


def _check_network(settings: Settings, reader: Reader) -> None:
    openstack = settings.openstack
    for key, networks in (("clientsFrom", openstack.clients_from), ("sshFrom", openstack.ssh_from)):
        for at, network in enumerate(networks):
            if error := not_a_network(ipaddress.IPv4Network, network):
                reader.refuse(f"openstack.{key}[{at}]", network, error, "<address>/32")
    if not openstack.ssh_from:
        rule = "nobody could log in to the front host, not even this program"
        reader.refuse("openstack.sshFrom", [], rule, remedy=reader.set("openstack.sshFrom[0]", "<address>/32"))
    for at, server in enumerate(openstack.dns_servers):
        if _not_an_address(server):
            reader.refuse(f"openstack.dnsServers[{at}]", server, "an IPv4 address is wanted", "<address>")
    first = openstack.first_address
    if not first:
        return
    if not openstack.network:
        reader.refuse("openstack.firstAddress", first, "this is for a network that is there: openstack.network")
    elif _not_an_address(first) or not_a_network(ipaddress.IPv4Network, settings.subnet):
        reader.refuse("openstack.firstAddress", first, "an IPv4 address is wanted", "<address>")
    elif ipaddress.IPv4Address(first) not in settings.network:
        reader.refuse("openstack.firstAddress", first, f"it is not in subnet {settings.subnet}", "<address>")


def _check_rebuild(settings: Settings, reader: Reader) -> None:
    host = settings.openstack.rebuild
    if host and host not in settings.host_names:
        rule = f"there is no such host; there are {', '.join(settings.host_names)}"
        reader.refuse("openstack.rebuild", host, rule)
    elif host == FRONT and settings.control_plane == "bundled":
        rule = "with the front host would go the database, and with it all that Heat knows of its stacks"
        reader.refuse("openstack.rebuild", host, rule)


def _not_an_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return True
    return False
