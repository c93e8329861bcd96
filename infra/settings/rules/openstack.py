"""The VMs of a cloud, as far as it can be said without asking the cloud."""

from __future__ import annotations

import ipaddress

from components.hosts.spec import NEW, NONE
from infra.settings.formats import ADDRESS
from infra.settings.model import FRONT, SERVER_GROUPS, OpenstackSettings, Settings
from infra.settings.reader import Reader, camel
from infra.settings.rules.existing_hosts import check_private_key


def check_openstack(settings: Settings, reader: Reader) -> None:
    """Each value for itself, and with its neighbours."""
    openstack, default = settings.openstack, OpenstackSettings()
    if openstack.anti_affinity not in SERVER_GROUPS:
        rule = f"this must be {' or '.join(SERVER_GROUPS)}"
        reader.refuse("openstack.antiAffinity", openstack.anti_affinity, rule, default.anti_affinity)
    if openstack.key_pair:
        check_private_key(settings, reader)
    _check_floating_ips(settings, reader)
    _check_network(settings, reader)
    _check_rebuild(settings, reader)


def _check_floating_ips(settings: Settings, reader: Reader) -> None:
    openstack, default = settings.openstack, OpenstackSettings()
    for name in ("floating_ip", "load_balancer_floating_ip"):
        value = getattr(openstack, name)
        if value not in (NEW, NONE) and ADDRESS.refusal(value):
            rule = f"this must be {NEW}, {NONE} or the IPv4 address of one that the project has"
            reader.refuse(f"openstack.{camel(name)}", value, rule, getattr(default, name))
    if not settings.octavia:
        for name in ("load_balancer_provider", "load_balancer_floating_ip"):
            if (value := getattr(openstack, name)) != getattr(default, name):
                remedy = reader.set("loadBalancer", "octavia")
                reader.refuse(f"openstack.{camel(name)}", value, "this is for loadBalancer octavia", remedy=remedy)


def _check_network(settings: Settings, reader: Reader) -> None:
    openstack = settings.openstack
    if not openstack.ssh_from:
        rule = "nobody could log in to the front host, not even this program"
        reader.refuse("openstack.sshFrom", [], rule, remedy=reader.set("openstack.sshFrom[0]", "<address>/32"))
    first = openstack.first_address
    if not first:
        return
    if not openstack.network:
        reader.refuse("openstack.firstAddress", first, "this is for a network that is there: openstack.network")
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
