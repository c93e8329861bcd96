"""What a cloud has of what a deployment wants: looked up, and counted, before anything is made.

Each look-up is the provider's own. What the cloud shortfalls is collected, so that all of it is told at once.
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
# How a quota says that it has no end.
_UNLIMITED = -1
# Every security group is made with two rules, for what leaves a host.
_RULES_OF_A_GROUP = 2
# Beside the hosts': the router's, and the one that Neutron answers DHCP from.
_OTHER_PORTS = 2


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """What was found: identifiers, and names where the provider wants names. Empty where nothing was looked for."""

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
    """What cannot be had: the part of the settings that asks for it, its value, and why."""

    key: str
    value: object
    rule: str


class CloudError(Exception):
    """What the cloud shortfalls, all of it."""

    def __init__(self, shortfalls: Sequence[Shortfall]) -> None:
        super().__init__("; ".join(f"{each.key} = {each.value}: {each.rule}" for each in shortfalls))
        self.shortfalls = tuple(shortfalls)


def short(what: str, *, wanted: int, limit: int, used: int = 0) -> str:
    """Why a quota does not do; empty where it does.

    Args:
        what: the quota's name, for people.
        wanted: how much is to be had beside what is used.
        limit: how much the project may have in all; -1 for as much as it likes.
        used: how much it has.
    """
    if limit == _UNLIMITED or wanted <= 0 or used + wanted <= limit:
        return ""
    return f"{what}: {wanted} wanted, and the project's quota has {max(limit - used, 0)} of {limit} left"


def look_up(provider: Provider, spec: CloudSpec) -> Cloud:
    """Find everything.

    Raises:
        CloudError: with all that the cloud shortfalls.
    """
    search = _Search(provider, spec)
    project = search.project()
    if project is None:
        raise CloudError(search.shortfalls)
    image = search.image()
    front = search.flavor("openstack.frontFlavor", spec.front_flavor, image)
    node = search.flavor("openstack.nodeFlavor", spec.node_flavor, image)
    external, subnet, key = search.external_network(), search.subnet(), search.key_pair()
    for key_of, address, taker in spec.floating_ips:
        search.floating_ip(key_of, address, taker)
    search.balancer()
    search.zones()
    there = search.hosts_there(project)
    search.count_networking(project, there)
    search.count_volumes(project, there)
    if front is not None and node is not None:
        search.count_machines(front, node, there)
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
    """Look-ups with one provider, and what they did not find."""

    def __init__(self, provider: Provider, spec: CloudSpec) -> None:
        self._by = pulumi.InvokeOptions(provider=provider)
        self._spec = spec
        self.shortfalls: list[Shortfall] = []

    def _shortfall(self, key: str, value: object, rule: str) -> None:
        if rule:
            self.shortfalls.append(Shortfall(key=key, value=value, rule=rule))

    def _find(self, key: str, value: str, what: str, look: Callable[[], _Found]) -> _Found | None:
        """The result of a look-up; None where there is none, which is noted."""
        try:
            return look()
        except Exception as error:  # the provider's look-ups raise nothing else
            reason = _reason(error)
            if _NOTHING.search(reason):
                reason = f"the cloud has no {what} that this project may use"
            elif _SEVERAL.search(reason):
                reason = f"the cloud has more than one {what} that this may mean"
            self._shortfall(key, value or "(none)", reason)
            return None

    def _quota(self, look: Callable[[], _Found]) -> _Found | None:
        """A quota; None where the cloud does not tell it to this user, and is left to refuse by itself."""
        try:
            return look()
        except Exception as error:
            self._untold(error)
            return None

    @staticmethod
    def _untold(error: Exception) -> None:
        pulumi.log.warn(f"a quota is not counted beforehand, as the cloud does not tell it: {_reason(error)}")

    def project(self) -> str | None:
        """The project that all of it is for; None where the cloud lets nobody in."""
        try:
            return identity.get_auth_scope(name="heat-scaleout", opts=self._by).project_id
        except Exception as error:
            self._shortfall("openstack.cloud", self._spec.cloud or "(from the environment)", _reason(error))
            return None

    def image(self) -> images.GetImageResult | None:
        """The newest one of its name."""
        name = self._spec.image
        return self._find(
            "openstack.image", name, "image", lambda: images.get_image(name=name, most_recent=True, opts=self._by)
        )

    def flavor(self, key: str, name: str, image: images.GetImageResult | None) -> compute.GetFlavorResult | None:
        """One that has what the image wants."""
        found = self._find(key, name, "flavor", lambda: compute.get_flavor(name=name, opts=self._by))
        if found is None or image is None:
            return found
        ram, disk = found.ram or 0, self._spec.boot_volume or found.disk or 0
        if ram < image.min_ram_mb:
            self._shortfall(key, name, f"it has {ram} MB of memory, and the image wants {image.min_ram_mb}")
        if not disk:
            self._shortfall("openstack.bootVolume", 0, f"flavor {name} has no disk of its own")
        elif disk < image.min_disk_gb:
            at, value = ("openstack.bootVolume", disk) if self._spec.boot_volume else (key, name)
            self._shortfall(at, value, f"the disk has {disk} GB, and the image wants {image.min_disk_gb}")
        return found

    def external_network(self) -> networking.GetNetworkResult | None:
        """Where floating IPs are and the router leads to; none is looked for where neither is made."""
        name = self._spec.external_network
        if self._spec.network and NEW not in (address for _, address, _ in self._spec.floating_ips):
            return None
        return self._find(
            "openstack.externalNetwork",
            name,
            "external network",
            lambda: networking.get_network(name=name or None, external=True, opts=self._by),
        )

    def subnet(self) -> networking.GetSubnetResult | None:
        """The part of an existing network that hosts get their addresses from."""
        name, cidr = self._spec.network, self._spec.subnet
        if not name:
            return None
        network = self._find(
            "openstack.network", name, "network", lambda: networking.get_network(name=name, opts=self._by)
        )
        if network is None:
            return None
        return self._find(
            "subnet",
            cidr,
            f"subnet like this in network {name}",
            lambda: networking.get_subnet(network_id=network.id, cidr=cidr, opts=self._by),
        )

    def key_pair(self) -> compute.GetKeypairResult | None:
        """An existing key pair's public half."""
        name = self._spec.key_pair
        if not name:
            return None
        return self._find("openstack.keyPair", name, "key pair", lambda: compute.get_keypair(name=name, opts=self._by))

    def floating_ip(self, key: str, address: str, taker: str) -> None:
        """See that an address that is to be used is the project's, and in nobody's use but the taker's.

        Args:
            key: the setting that names it.
            address: the floating IP, NEW or NONE.
            taker: the address that it is to lead to; "" where that is not known beforehand.
        """
        if address in (NEW, NONE):
            return
        found = self._find(
            key,
            address,
            "floating IP",
            lambda: networking.get_floating_ip(address=address, opts=self._by),
        )
        if taker and found is not None and found.fixed_ip not in ("", None, taker):
            self._shortfall(key, address, f"it leads to {found.fixed_ip} already")

    def balancer(self) -> None:
        """See that the cloud has load balancers, by asking for one that is not there."""
        if self._spec.balanced is None:
            return
        try:
            loadbalancer.get_loadbalancer_v2(name=f"no-{self._spec.mark}", opts=self._by)
        except Exception as error:
            if _NO_SERVICE in _reason(error):
                self._shortfall("loadBalancer", "octavia", "the cloud has no load balancers")
            elif not _NOTHING.search(_reason(error)):
                self._shortfall("loadBalancer", "octavia", _reason(error))

    def zones(self) -> None:
        """See that every availability zone is there."""
        if not self._spec.availability_zones:
            return
        known = self._quota(lambda: compute.get_availability_zones(opts=self._by))
        for at, zone in enumerate(self._spec.availability_zones):
            if known is not None and zone not in known.names:
                rule = f"the cloud has no such zone for servers; it has {', '.join(known.names) or 'none'}"
                self._shortfall(f"openstack.availabilityZones[{at}]", zone, rule)

    def hosts_there(self, project: str) -> int:
        """How many hosts of ours are there already, and are no longer to be counted."""
        found = self._quota(lambda: networking.get_port_ids(tags=[self._spec.mark], tenant_id=project, opts=self._by))
        return len(found.ids) if found is not None else 0

    def count_machines(self, front: compute.GetFlavorResult, node: compute.GetFlavorResult, there: int) -> None:
        """See that the project may have the servers, with their cores and their memory."""
        # An empty name is the project that is logged in to, which may see its own; by its id only administrators may.
        quota = self._quota(lambda: compute.get_limits_v2(project_id="", opts=self._by))
        if quota is None:
            return
        nodes = len(self._spec.hosts) - 1
        flavors = ([front] + [node] * nodes)[there:]
        for what, wanted, limit, used in (
            ("servers", len(flavors), quota.max_total_instances, quota.total_instances_used),
            ("cores", sum(one.vcpus or 0 for one in flavors), quota.max_total_cores, quota.total_cores_used),
            ("MB of memory", sum(one.ram or 0 for one in flavors), quota.max_total_ram_size, quota.total_ram_used),
        ):
            self._shortfall("nodes", nodes, short(what, wanted=wanted, limit=limit, used=used))
        if self._spec.server_group:
            rule = short("servers in a group", wanted=nodes, limit=quota.max_server_group_members)
            self._shortfall("nodes", nodes, rule)
            groups = short(
                "server groups", wanted=0 if there else 1,
                limit=quota.max_server_groups, used=quota.total_server_groups_used,
            )  # fmt: skip
            self._shortfall("hosts", "openstack", groups)

    def count_networking(self, project: str, there: int) -> None:
        """See that the project may have the ports, groups and rules, and what else is made of a network.

        Of these the cloud tells how many a project may have, and not how many it has, but for ports.
        """
        quota = self._quota(lambda: networking.get_quota_v2(project_id=project, opts=self._by))
        if quota is None:
            return
        own = not self._spec.network
        taken = self._quota(lambda: networking.get_port_ids(tenant_id=project, opts=self._by))
        hosts = len(self._spec.hosts)
        others = (_OTHER_PORTS if own else 0) + (1 if self._spec.balanced else 0)
        ports = short(
            "ports", wanted=hosts - there + (0 if there else others),
            limit=quota.port, used=len(taken.ids) if taken is not None else 0,
        )  # fmt: skip
        self._shortfall("nodes", hosts - 1, ports)
        groups = len({opening.at for opening in self._spec.ingress_rules})
        for what, wanted, limit in (
            ("networks", own, quota.network),
            ("subnets", own, quota.subnet),
            ("routers", own, quota.router),
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
            self._shortfall("hosts", "openstack", short(what, wanted=int(wanted), limit=limit))

    def count_volumes(self, project: str, there: int) -> None:
        """See that the project may have the volumes; how many it has is not told."""
        size, hosts = self._spec.boot_volume, len(self._spec.hosts)
        if not size:
            return
        try:
            quota = blockstorage.get_quotaset_v3(project_id=project, opts=self._by)
        except Exception as error:
            if _NO_SERVICE in _reason(error):
                self._shortfall("openstack.bootVolume", size, "the cloud has no volumes")
            else:
                self._untold(error)
            return
        if there:
            return
        self._shortfall("nodes", hosts - 1, short("volumes", wanted=hosts, limit=quota.volumes))
        self._shortfall(
            "openstack.bootVolume", size, short("GB in volumes", wanted=hosts * size, limit=quota.gigabytes)
        )
        self._shortfall("openstack.bootVolume", size, short("GB in one", wanted=size, limit=quota.per_volume_gigabytes))


# What the provider says where there is nothing, or too much.
_NOTHING = re.compile(r"returned no |^No \S+ found|got 404 ")
_NO_SERVICE = "No suitable endpoint"
_SEVERAL = re.compile(r"more than one|^Multiple ")


def _reason(error: Exception) -> str:
    """What went wrong, without the provider's words around it."""
    return " ".join(str(error).rpartition("* ")[2].split())
