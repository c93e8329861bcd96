"""Where Heat runs: `hosts`, `nodes`, `subnet` and what else is the same for all kinds of host."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from components.hosts.kinds import DEFAULT, KINDS, HostKind
from components.hosts.subnets import assign_addresses, free_subnet, overlapping_routes
from components.topology import Node
from infra.settings.existing import FRONT, ExistingSettings, check_existing
from infra.settings.fields import MOST_NODES, Integer, Section
from infra.settings.formats import NETWORK4, PRIVATE_KEY, URL, one_of
from infra.settings.openstack import OpenstackSettings, check_first_address, check_openstack, check_rebuild
from infra.settings.refusals import Refusals
from infra.settings.secret import check_private_key

Routes = Sequence[tuple[ipaddress.IPv4Network, str]]


class HostsSection(Section):
    """Hosts."""

    hosts: Annotated[str, one_of(*KINDS, titles={name: kind.title for name, kind in KINDS.items()})] = DEFAULT
    """Where the hosts come from."""
    existing: ExistingSettings = Field(default_factory=ExistingSettings)
    """The hosts of `hosts: existing`: docs/existing-hosts.md."""
    openstack: OpenstackSettings = Field(default_factory=OpenstackSettings)
    """The VMs of `hosts: openstack`: docs/openstack.md."""
    ssh_private_key: Annotated[str, PRIVATE_KEY.kept_secret] = ""
    """Private key that existing hosts accept, or VMs with an existing key pair. Unset: the ssh agent."""
    nodes: Integer = Field(default=2, ge=1, le=MOST_NODES)
    """Hosts that run Heat, in addition to the front host. With existing hosts: as many as are listed."""
    subnet: Annotated[str, NETWORK4] = "10.213.77.0/24"
    """IPv4 network of the containers' bridge or of the VMs. A bridge must not overlap a route of this machine."""
    debian_mirror: Annotated[str, URL] = ""
    """Where the containers' base image comes from. Empty: Debian's own mirror."""
    protect: Annotated[str, one_of("auto", "true", "false")] = "auto"
    """Whether `destroy` is refused, and the front host, its data, and the keys and passwords for these data cannot be
    deleted or replaced. auto: true, but false for containers and an adopted Heat (docs/state.md)."""
    generation: Integer = Field(default=1, ge=1, le=10**9)
    """Increase it to re-apply every file and process and repair drift (`make repair` does that)."""

    @property
    def kind(self) -> HostKind:
        """What kind of hosts these are."""
        return KINDS[self.hosts]

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The subnet, as a network."""
        return ipaddress.IPv4Network(self.subnet)

    @property
    def host_names(self) -> tuple[str, ...]:
        """Every host: the front, then the Heat nodes in their lasting order."""
        if not self.kind.made:
            return tuple(self.existing.by_name)
        return (FRONT, *(f"node-{ordinal}" for ordinal in range(1, self.nodes + 1)))

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each host."""
        if not self.kind.made:
            return {name: host.address for name, host in self.existing.by_name.items()}
        return assign_addresses(self.network, self.host_names, self.openstack.first_address if self.kind.cloud else "")

    @property
    def heat_nodes(self) -> tuple[Node, ...]:
        """The hosts that run Heat."""
        if self.kind.made:
            return tuple(Node(name=name, address=at) for name, at in self.addresses.items() if name != FRONT)
        return tuple(Node(name=node.name, address=node.address, pinned=node.pinned) for node in self.existing.nodes)


def _check_existing_hosts(settings: HostsSection, refusals: Refusals, **_: bool) -> None:
    check_private_key(settings.ssh_private_key, refusals)
    check_existing(settings.existing, refusals)
    listed = len(settings.existing.nodes)
    if listed and settings.nodes not in (HostsSection().nodes, listed):
        refusals.refuse("nodes", settings.nodes, "the nodes are those of existing.nodes", listed)


def _check_cloud(settings: HostsSection, refusals: Refusals, *, octavia: bool, bundled: bool) -> None:
    openstack = settings.openstack
    if openstack.key_pair:
        check_private_key(settings.ssh_private_key, refusals)
    check_openstack(openstack, refusals, octavia=octavia)
    check_first_address(openstack, settings.network, refusals)
    check_rebuild(openstack.rebuild, settings.host_names, refusals, bundled=bundled)


# The rules of the kinds of host that have settings of their own: `components.hosts.kinds`.
_RULES: Mapping[str, Callable[..., None]] = {"existing": _check_existing_hosts, "openstack": _check_cloud}


def check_kind(settings: HostsSection, refusals: Refusals, *, octavia: bool, bundled: bool) -> None:
    """The settings of this kind of host; `octavia` and `bundled` say what else the deployment has."""
    if check := _RULES.get(settings.hosts):
        check(settings, refusals, octavia=octavia, bundled=bundled)


def check_subnet(settings: HostsSection, refusals: Refusals, routes: Routes) -> bool:
    """Whether the subnet has an address for every host, and no address that this machine needs."""
    if settings.kind.local and (found := overlapping_routes(settings.network, routes)):
        rule = f"this machine has a route to {', '.join(found)}, and the containers' bridge would take its traffic"
        refusals.refuse("subnet", settings.subnet, rule, free_subnet(routes))
    if settings.kind.made:
        try:
            _ = settings.addresses
        except ValueError as error:
            refusals.refuse("subnet", settings.subnet, f"{error}", "<a larger IPv4 subnet>")
            return False
    return True
