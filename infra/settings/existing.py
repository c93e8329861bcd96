"""`existing`: existing hosts, and how Pulumi logs in to them."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field

from components.topology import Kind
from infra.settings.fields import MOST_PROCESSES, Integer, Section
from infra.settings.formats import ADDRESS, HOST, HOST_KEY, HOST_NAME, USER
from infra.settings.refusals import Refusals

FRONT = "front"
# The setting with the number of processes of each kind, in all or on one node.
COUNTS = {Kind.ENGINE: "engines", Kind.API: "apis", Kind.CFN: "cfn_apis"}


class HostSettings(Section):
    """An existing host."""

    address: Annotated[str, ADDRESS] = ""
    """IPv4 address at which the other hosts and this machine reach the host."""
    user: Annotated[str, USER] = ""
    """User that Pulumi logs in as: root, or a user with passwordless sudo. Empty: existing.user."""
    port: Integer = Field(default=22, ge=1, le=65535)
    """Port of sshd."""
    host_key: Annotated[str, HOST_KEY] = ""
    """Public host key, which is pinned. `make hostkeys` fetches it."""


class JumpSettings(HostSettings):
    """A host on the way to the others."""

    address: Annotated[str, HOST] = ""
    """Address or name of the jump host."""


class NodeSettings(HostSettings):
    """A host that runs Heat."""

    name: Annotated[str, HOST_NAME] = ""
    """Lasting name of the node, such as node-1."""
    engines: Integer | None = Field(default=None, ge=0, le=MOST_PROCESSES)
    """Number of heat-engine processes on this node. Unset: an even share."""
    apis: Integer | None = Field(default=None, ge=0, le=MOST_PROCESSES)
    """Number of heat-api processes on this node. Unset: an even share."""
    cfn_apis: Integer | None = Field(default=None, ge=0, le=MOST_PROCESSES)
    """Number of heat-api-cfn processes on this node. Unset: an even share."""

    @property
    def pinned(self) -> dict[Kind, int | None]:
        """The node's own number of processes of each kind."""
        return {kind: getattr(self, name) for kind, name in COUNTS.items()}


class ExistingSettings(Section):
    """The hosts of `hosts: existing`."""

    user: Annotated[str, USER] = "root"
    """User that Pulumi logs in as on every host: root, or a user with passwordless sudo."""
    front: HostSettings = Field(default_factory=HostSettings)
    """The host that clients reach."""
    nodes: tuple[NodeSettings, ...] = ()
    """The hosts that run Heat. Their order is a lasting one: add new nodes at the end."""
    jump: JumpSettings | None = None
    """Jump host on the way to all others."""

    @property
    def by_name(self) -> dict[str, HostSettings]:
        """Every host by its name, the front host first."""
        return {FRONT: self.front} | {node.name: node for node in self.nodes}

    @property
    def by_path(self) -> dict[str, HostSettings]:
        """Every host by its path in the stack's file, the jump host last."""
        nodes = {f"existing.nodes[{index}]": node for index, node in enumerate(self.nodes)}
        return {"existing.front": self.front, **nodes} | ({"existing.jump": self.jump} if self.jump else {})


def check_existing(existing: ExistingSettings, refusals: Refusals) -> None:
    """The hosts, each for itself and all of them together."""
    if not existing.nodes:
        rule = "at least one host must run Heat"
        refusals.refuse("existing.nodes", [], rule, remedy=refusals.set("existing.nodes[0].name", "node-1"))
    for path, host in existing.by_path.items():
        if error := _not_an_address(host.address) if path != "existing.jump" or not host.address else "":
            refusals.refuse(f"{path}.address", host.address or "(none)", error, "<its address>")
        if not host.host_key:
            rule = "without its key another machine could pose as this host"
            refusals.refuse(f"{path}.hostKey", "(none)", rule, remedy=f"make hostkeys STACK={refusals.stack}")
    for index, node in enumerate(existing.nodes):
        _check_name(f"existing.nodes[{index}].name", node.name, f"node-{index}", refusals)
    _refuse_twins(existing, refusals)


def _check_name(path: str, name: str, free: str, refusals: Refusals) -> None:
    if not name:
        refusals.refuse(path, "(none)", HOST_NAME.rule, free)
    elif name.split("-", maxsplit=1)[0] == FRONT:
        refusals.refuse(path, name, "names that begin with front are those of the front host's resources", free)


def _refuse_twins(existing: ExistingSettings, refusals: Refusals) -> None:
    """Two hosts with one name or one address; the later one is the one to change."""
    names, addresses = {FRONT: "existing.front"}, {existing.front.address: "existing.front"}
    for index, node in enumerate(existing.nodes):
        path = f"existing.nodes[{index}]"
        if node.name and names.setdefault(node.name, path) != path and node.name != FRONT:
            refusals.refuse(f"{path}.name", node.name, f"{names[node.name]} has the same name", "<a name of its own>")
        if node.address and addresses.setdefault(node.address, path) != path:
            rule = f"{addresses[node.address]} has the same address, and their processes would use the same ports"
            refusals.refuse(f"{path}.address", node.address, rule, "<its address>")


def _not_an_address(text: str) -> str:
    """Why other hosts cannot reach this address; empty if they can."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return "must be the IPv4 address at which the other hosts reach this one"
    if address.is_loopback:
        return "must be the address at which the other hosts reach this one; a loopback address leads each to itself"
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        return "other hosts cannot reach this address"
    return ""
