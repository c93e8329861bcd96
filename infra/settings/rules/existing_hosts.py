"""The hosts that are there already, each for itself and all of them together."""

from __future__ import annotations

import ipaddress

from infra.settings.formats import HOST_NAME
from infra.settings.model import FRONT, KEY_AGENT, KEY_SECRET, ExistingSettings, NodeSettings, Settings
from infra.settings.reader import Reader


def check_existing_hosts(settings: Settings, reader: Reader) -> None:
    """The hosts that are there already, each for itself and all of them together."""
    existing, remedy = settings.existing, f"make hostkeys STACK={reader.stack}"
    check_private_key(settings, reader)
    if not existing.nodes:
        rule = "at least one host is wanted that runs Heat"
        reader.refuse("existing.nodes", [], rule, remedy=reader.set("existing.nodes[0].name", "node-1"))
    elif settings.nodes not in (Settings.nodes, len(existing.nodes)):
        reader.refuse("nodes", settings.nodes, "the nodes are those of existing.nodes", len(existing.nodes))
    for path, host in existing.by_path.items():
        if error := _not_an_address(host.address) if path != "existing.jump" or not host.address else "":
            reader.refuse(f"{path}.address", host.address or "(none)", error, "<its address>")
        if not host.host_key:
            rule = "without its key another machine could pose as this host"
            reader.refuse(f"{path}.hostKey", "(none)", rule, remedy=remedy)
    for path, host in existing.by_path.items():
        if isinstance(host, NodeSettings):
            _check_node(path, host, reader)
    _refuse_twins(existing, reader)


def check_private_key(settings: Settings, reader: Reader) -> None:
    """The key that hosts know already: there, and a secret."""
    if settings.ssh_private_key not in (KEY_SECRET, KEY_AGENT):
        rule = "the private key has to be a secret" if settings.ssh_private_key else "no key and no ssh agent is there"
        set_key = f"pulumi config set --secret sshPrivateKey --stack {reader.stack} <~/.ssh/id_ed25519"
        reader.refuse("sshPrivateKey", settings.ssh_private_key or "(none)", rule, remedy=set_key)


def _check_node(path: str, node: NodeSettings, reader: Reader) -> None:
    free = f"node-{path.removeprefix('existing.nodes[').removesuffix(']')}"
    if not node.name:
        reader.refuse(f"{path}.name", "(none)", HOST_NAME.rule, free)
    elif node.name.split("-")[0] == FRONT:
        reader.refuse(f"{path}.name", node.name, "this is how the front host's things are called", free)


def _refuse_twins(existing: ExistingSettings, reader: Reader) -> None:
    """Two hosts with one name or one address; the later one is the one to change."""
    names, addresses = {FRONT: "existing.front"}, {existing.front.address: "existing.front"}
    for index, node in enumerate(existing.nodes):
        path = f"existing.nodes[{index}]"
        if node.name and names.setdefault(node.name, path) != path and node.name != FRONT:
            reader.refuse(f"{path}.name", node.name, f"{names[node.name]} has the same name", "<a name of its own>")
        if node.address and addresses.setdefault(node.address, path) != path:
            rule = f"{addresses[node.address]} has the same address, and their processes would meet on its ports"
            reader.refuse(f"{path}.address", node.address, rule, "<its address>")


def _not_an_address(text: str) -> str:
    """Why this is no address that other hosts can reach; empty where it is one."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return "an IPv4 address is wanted, at which the other hosts reach this one"
    if address.is_loopback:
        return "a loopback address leads every host to itself: the address at which the other hosts reach it is wanted"
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        return "other hosts cannot reach this address"
    return ""
