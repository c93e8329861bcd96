"""The kinds of host, and what the rest of the program needs to know about each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HostKind:
    """What distinguishes one kind of host from the others.

    Attributes:
        title: what these hosts are, for documentation.
        made: this program makes the hosts. It chooses their names and addresses, and nothing ran on them before.
        local: they run on the operator's machine.
        lasting: their data are meant to last, so `destroy` is refused by default.
        cloud: a cloud decides which networks reach them, and may have a load balancer.
    """

    title: str
    made: bool = True
    local: bool = False
    lasting: bool = True
    cloud: bool = False


KINDS: Mapping[str, HostKind] = {
    "containers": HostKind(
        title="systemd containers on this machine, on a bridge of their own", local=True, lasting=False
    ),
    "openstack": HostKind(title="VMs of a cloud, with their network: docs/openstack.md", cloud=True),
    "existing": HostKind(title="hosts by address: docs/existing-hosts.md", made=False),
}
# Used unless another kind is chosen.
DEFAULT = next(iter(KINDS))


def named(**traits: bool) -> str:
    """The first kind with these traits, to be suggested in a message."""
    return next(name for name, kind in KINDS.items() if all(getattr(kind, key) == on for key, on in traits.items()))
