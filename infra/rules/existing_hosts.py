"""The hosts that are there already, each for itself and all of them together."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

from infra.model import FRONT, KEY_AGENT, KEY_SECRET, ExistingSettings, HostSettings, NodeSettings, Settings
from infra.reader import Reader, camel
from infra.rules.values import MAX_PORT

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_.-]*")


def check_existing_hosts(settings: Settings, reader: Reader) -> None:
    """The hosts that are there already, each for itself and all of them together."""
    existing, remedy = settings.existing, f"make hostkeys STACK={reader.stack}"
    check_private_key(settings, reader)
    if not existing.nodes:
        rule = "at least one host is wanted that runs Heat"
        reader.refuse("existing.nodes", [], rule, remedy=reader.set("existing.nodes[0].name", "node-1"))
    elif settings.nodes not in (Settings.nodes, len(existing.nodes)):
        reader.refuse("nodes", settings.nodes, "the nodes are those of existing.nodes", len(existing.nodes))
    users = {"existing.user": existing.user} | {f"{path}.user": host.user for path, host in existing.by_path.items()}
    for key, user in users.items():
        if not USER.fullmatch(user) and (user or key == "existing.user"):
            reader.refuse(key, user, "root or a user with passwordless sudo is wanted", ExistingSettings.user)
    for path, host in existing.by_path.items():
        if error := _not_an_address(host.address) if path != "existing.jump" else _not_a_host(host.address):
            reader.refuse(f"{path}.address", host.address or "(none)", error, "<its address>")
        if not 0 < host.port <= MAX_PORT:
            reader.refuse(f"{path}.port", host.port, f"a port is 1 to {MAX_PORT}", HostSettings.port)
        if error := _not_a_host_key(host.host_key):
            reader.refuse(f"{path}.hostKey", host.host_key or "(none)", error, remedy=remedy)
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
    if not _NAME.fullmatch(node.name):
        reader.refuse(f"{path}.name", node.name or "(none)", "a name is small letters, digits and -", free)
    elif node.name.split("-")[0] == FRONT:
        reader.refuse(f"{path}.name", node.name, "this is how the front host's things are called", free)
    for name in ("engines", "apis", "cfn_apis"):
        number = getattr(node, name)
        if number is not None and number < 0:
            reader.refuse(f"{path}.{camel(name)}", number, "a node's own number is 0 or more")


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


def _not_a_host(text: str) -> str:
    """The same for a jump host, which is only logged in to: a name will do."""
    return "" if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?", text) else "an address or a name is wanted"


def _not_a_host_key(text: str) -> str:
    """Why this is no public key of a host; empty where it is one."""
    if not text:
        return "without its key another machine could pose as this host"
    kind, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error:
        blob = b""
    # The kind stands within the key too: its length in four bytes, then its name.
    named = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if kind.startswith(("ssh-ed25519", "ecdsa-sha2-")) and named == kind:
        return ""
    return "a public key is wanted as ssh-keyscan prints it, after the address: ssh-ed25519 AAAA…"
