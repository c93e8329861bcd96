"""Look up what a cloud has, and check the project's quotas, before anything is created.

Each lookup is the provider's own. All shortfalls are collected and raised together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pulumi
from pulumi_openstack import Provider, blockstorage, compute, identity, images, loadbalancer, networking

from components.hosts.spec import NEW, NONE, CloudSpec

_Found = TypeVar("_Found")
# A quota without a limit.
_UNLIMITED = -1
# Each new security group has two egress rules.
_RULES_OF_A_GROUP = 2
# In addition to the hosts' ports: the router's and the DHCP agent's.
_OTHER_PORTS = 2


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """What the lookups found: identifiers, or names where the provider expects them. Empty if not needed."""

    image_id: str
    front_flavor_id: str
    node_flavor_id: str
    external_network_id: str = ""
    external_network: str = ""
    network_id: str = ""
    subnet_id: str = ""
    public_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """Something that the specification requires and the cloud does not have.

    Attributes:
        field: the field of CloudSpec that requires it, such as "image" or "availability_zones[0]"; "nodes" for their
            number; "project" for a quota that depends on no field.
        value: the field's value; "" for "project".
        rule: what is wrong with the value, as the end of "the value …: ".
    """

    field: str
    value: object
    rule: str


class CloudError(Exception):
    """All shortfalls of a cloud."""

    def __init__(self, shortfalls: Sequence[Shortfall]) -> None:
        super().__init__("; ".join(f"{each.field} = {each.value}: {each.rule}" for each in shortfalls))
        self.shortfalls = tuple(shortfalls)


def quota_shortfall(what: str, *, required: int, limit: int, used: int = 0) -> str:
    """Why a quota is too small; empty if it is large enough.

    Args:
        what: the quota's name in the message.
        required: how much is needed in addition to `used`.
        limit: how much the project may have in all; -1 for no limit.
        used: how much the project has.
    """
    if limit == _UNLIMITED or required <= 0 or used + required <= limit:
        return ""
    return f"{what}: {required} required, but only {max(limit - used, 0)} of the project's quota of {limit} are left"


def look_up(provider: Provider, spec: CloudSpec) -> Cloud:
    """Find everything that the specification names, and check the quotas.

    Raises:
        CloudError: the cloud has any shortfall. The error has all of them.
    """
    search = _Search(provider, spec)
    project = search.project()
    if project is None:
        raise CloudError(search.shortfalls)
    image = search.image()
    front = search.flavor("front_flavor", spec.front_flavor, image)
    node = search.flavor("node_flavor", spec.node_flavor, image)
    external, subnet, key = search.external_network(), search.subnet(), search.key_pair()
    for field, address, fixed_address in spec.floating_ips:
        search.floating_ip(field, address, fixed_address)
    search.balancer()
    search.zones()
    existing = search.count_existing_hosts(project)
    search.check_network_quotas(project, existing)
    search.check_volume_quotas(project, existing)
    if front is not None and node is not None:
        search.check_server_quotas(front, node, existing)
    if search.shortfalls or image is None or front is None or node is None:
        raise CloudError(search.shortfalls)
    return Cloud(
        image_id=image.id,
        front_flavor_id=front.id,
        node_flavor_id=node.id,
        external_network_id=external.id if external else "",
        external_network=external.name or "" if external else "",
        network_id=subnet.network_id if subnet else "",
        subnet_id=subnet.id if subnet else "",
        public_key=key.public_key if key else "",
    )


class _Search:
    """Lookups with one provider. `shortfalls` collects what they do not find."""

    def __init__(self, provider: Provider, spec: CloudSpec) -> None:
        self._options = pulumi.InvokeOptions(provider=provider)
        self._spec = spec
        self.shortfalls: list[Shortfall] = []

    def _shortfall(self, field: str, value: object, rule: str) -> None:
        """Add a shortfall, unless the rule is empty."""
        if rule:
            self.shortfalls.append(Shortfall(field=field, value=value, rule=rule))

    def _find(self, field: str, value: str, what: str, look: Callable[[], _Found]) -> _Found | None:
        """The result of a lookup; None, and a shortfall, if it fails."""
        try:
            return look()
        except Exception as error:  # the type of every failed invoke
            reason = _reason(error)
            if _NOTHING.search(reason):
                reason = f"the cloud has no {what} that this project may use"
            elif _SEVERAL.search(reason):
                reason = f"the cloud has more than one {what} that matches"
            self._shortfall(field, value or "(none)", reason)
            return None

    def _quota(self, look: Callable[[], _Found]) -> _Found | None:
        """A quota; None, and a warning, if the cloud does not report it to this user."""
        try:
            return look()
        except Exception as error:
            self._warn_unchecked(error)
            return None

    @staticmethod
    def _warn_unchecked(error: Exception) -> None:
        pulumi.log.warn(f"a quota is not checked in advance, because the cloud does not report it: {_reason(error)}")

    def project(self) -> str | None:
        """The project's identifier; None if the login fails."""
        try:
            return identity.get_auth_scope(name="heat-scaleout", opts=self._options).project_id
        except Exception as error:
            self._shortfall("cloud", self._spec.cloud or "(from the environment)", _reason(error))
            return None

    def image(self) -> images.GetImageResult | None:
        """The newest image of its name."""
        name = self._spec.image
        return self._find(
            "image", name, "image", lambda: images.get_image(name=name, most_recent=True, opts=self._options)
        )

    def flavor(self, field: str, name: str, image: images.GetImageResult | None) -> compute.GetFlavorResult | None:
        """A flavor, checked against what the image requires."""
        found = self._find(field, name, "flavor", lambda: compute.get_flavor(name=name, opts=self._options))
        if found is None or image is None:
            return found
        ram, disk = found.ram or 0, self._spec.boot_volume or found.disk or 0
        if ram < image.min_ram_mb:
            self._shortfall(field, name, f"it has {ram} MB of memory, and the image requires {image.min_ram_mb}")
        if not disk:
            self._shortfall("boot_volume", 0, f"flavor {name} has no disk of its own")
        elif disk < image.min_disk_gb:
            too_small, value = ("boot_volume", disk) if self._spec.boot_volume else (field, name)
            self._shortfall(too_small, value, f"the disk has {disk} GB, and the image requires {image.min_disk_gb}")
        return found

    def external_network(self) -> networking.GetNetworkResult | None:
        """The network of new floating IPs and of a new router; None if neither is created."""
        name = self._spec.external_network
        if self._spec.network and NEW not in (address for _, address, _ in self._spec.floating_ips):
            return None
        return self._find(
            "external_network",
            name,
            "external network",
            lambda: networking.get_network(name=name or None, external=True, opts=self._options),
        )

    def subnet(self) -> networking.GetSubnetResult | None:
        """The hosts' subnet in an existing network; None if the network is created."""
        name, cidr = self._spec.network, self._spec.subnet
        if not name:
            return None
        network = self._find("network", name, "network", lambda: networking.get_network(name=name, opts=self._options))
        if network is None:
            return None
        return self._find(
            "subnet",
            cidr,
            f"subnet like this in network {name}",
            lambda: networking.get_subnet(network_id=network.id, cidr=cidr, opts=self._options),
        )

    def key_pair(self) -> compute.GetKeypairResult | None:
        """An existing key pair; None if it is created."""
        name = self._spec.key_pair
        if not name:
            return None
        return self._find("key_pair", name, "key pair", lambda: compute.get_keypair(name=name, opts=self._options))

    def floating_ip(self, field: str, address: str, fixed_address: str) -> None:
        """Check that a floating IP is the project's, and associated with nothing but its own fixed address.

        Args:
            field: of CloudSpec.
            address: the floating IP, NEW or NONE.
            fixed_address: what it should be associated with; "" if that is not known yet.
        """
        if address in (NEW, NONE):
            return
        found = self._find(
            field,
            address,
            "floating IP",
            lambda: networking.get_floating_ip(address=address, opts=self._options),
        )
        if fixed_address and found is not None and found.fixed_ip not in ("", None, fixed_address):
            self._shortfall(field, address, f"it is already associated with {found.fixed_ip}")

    def balancer(self) -> None:
        """Check that the cloud has load balancers, by a lookup of one that does not exist."""
        if self._spec.balancer is None:
            return
        try:
            loadbalancer.get_loadbalancer_v2(name=f"no-{self._spec.mark}", opts=self._options)
        except Exception as error:
            if _NO_SERVICE in _reason(error):
                self._shortfall("balancer", "octavia", "the cloud has no load balancers")
            elif not _NOTHING.search(_reason(error)):
                self._shortfall("balancer", "octavia", _reason(error))

    def zones(self) -> None:
        """Check that every availability zone exists."""
        if not self._spec.availability_zones:
            return
        known = self._quota(lambda: compute.get_availability_zones(opts=self._options))
        for index, zone in enumerate(self._spec.availability_zones):
            if known is not None and zone not in known.names:
                rule = f"the cloud has no such zone for servers; it has {', '.join(known.names) or 'none'}"
                self._shortfall(f"availability_zones[{index}]", zone, rule)

    def count_existing_hosts(self, project: str) -> int:
        """How many hosts this deployment has already. They need no more quota."""
        found = self._quota(
            lambda: networking.get_port_ids(tags=[self._spec.mark], tenant_id=project, opts=self._options)
        )
        return len(found.ids) if found is not None else 0

    def check_server_quotas(self, front: compute.GetFlavorResult, node: compute.GetFlavorResult, existing: int) -> None:
        """Check the quotas of servers, cores, memory and server groups.

        Args:
            front: the front host's flavor.
            node: the nodes' flavor.
            existing: how many hosts exist already.
        """
        # An empty identifier means the own project; only administrators may ask by identifier.
        quota = self._quota(lambda: compute.get_limits_v2(project_id="", opts=self._options))
        if quota is None:
            return
        nodes = len(self._spec.hosts) - 1
        flavors = ([front] + [node] * nodes)[existing:]
        for what, required, limit, used in (
            ("servers", len(flavors), quota.max_total_instances, quota.total_instances_used),
            ("cores", sum(one.vcpus or 0 for one in flavors), quota.max_total_cores, quota.total_cores_used),
            ("MB of memory", sum(one.ram or 0 for one in flavors), quota.max_total_ram_size, quota.total_ram_used),
        ):
            self._shortfall("nodes", nodes, quota_shortfall(what, required=required, limit=limit, used=used))
        if self._spec.server_group:
            rule = quota_shortfall("servers in a group", required=nodes, limit=quota.max_server_group_members)
            self._shortfall("nodes", nodes, rule)
            groups = quota_shortfall(
                "server groups", required=0 if existing else 1,
                limit=quota.max_server_groups, used=quota.total_server_groups_used,
            )  # fmt: skip
            self._shortfall("project", "", groups)

    def check_network_quotas(self, project: str, existing: int) -> None:
        """Check the quotas of ports, security groups and all parts of a created network.

        The cloud reports how many of these a project may have. How many it has can be counted for ports alone.

        Args:
            project: its identifier.
            existing: how many hosts exist already.
        """
        quota = self._quota(lambda: networking.get_quota_v2(project_id=project, opts=self._options))
        if quota is None:
            return
        new_network = not self._spec.network
        used = self._quota(lambda: networking.get_port_ids(tenant_id=project, opts=self._options))
        hosts = len(self._spec.hosts)
        others = (_OTHER_PORTS if new_network else 0) + (1 if self._spec.balancer else 0)
        ports = quota_shortfall(
            "ports", required=hosts - existing + (0 if existing else others),
            limit=quota.port, used=len(used.ids) if used is not None else 0,
        )  # fmt: skip
        self._shortfall("nodes", hosts - 1, ports)
        groups = len({rule.at for rule in self._spec.ingress_rules})
        for what, required, limit in (
            ("networks", new_network, quota.network),
            ("subnets", new_network, quota.subnet),
            ("routers", new_network, quota.router),
            (
                "floating IPs",
                sum(address == NEW for _, address, _ in self._spec.floating_ips),
                quota.floatingip,
            ),
            ("security groups", groups, quota.security_group),
            (
                "rules of security groups",
                len(self._spec.ingress_rules) + groups * _RULES_OF_A_GROUP,
                quota.security_group_rule,
            ),
        ):
            rule = quota_shortfall(what, required=int(required), limit=limit)
            self._shortfall("project", "", rule)

    def check_volume_quotas(self, project: str, existing: int) -> None:
        """Check the quotas of volumes, of which the cloud reports only the limits.

        Args:
            project: its identifier.
            existing: how many hosts exist already.
        """
        size, hosts = self._spec.boot_volume, len(self._spec.hosts)
        if not size:
            return
        try:
            quota = blockstorage.get_quotaset_v3(project_id=project, opts=self._options)
        except Exception as error:
            if _NO_SERVICE in _reason(error):
                self._shortfall("boot_volume", size, "the cloud has no volumes")
            else:
                self._warn_unchecked(error)
            return
        if existing:
            return
        for field, value, what, required, limit in (
            ("nodes", hosts - 1, "volumes", hosts, quota.volumes),
            ("boot_volume", size, "GB in volumes", hosts * size, quota.gigabytes),
            ("boot_volume", size, "GB in one volume", size, quota.per_volume_gigabytes),
        ):
            self._shortfall(field, value, quota_shortfall(what, required=required, limit=limit))


# The provider's messages.
_NOTHING = re.compile(r"returned no |^No \S+ found|got 404 ")
_NO_SERVICE = "No suitable endpoint"
_SEVERAL = re.compile(r"more than one|^Multiple ")


def _reason(error: Exception) -> str:
    """The cause, without the provider's words around it."""
    return " ".join(str(error).rpartition("* ")[2].split())
