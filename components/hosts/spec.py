"""What a deployment wants of an OpenStack cloud, as values.

Apart from what looks it up and makes it: that needs the provider's package, which is for stacks that have a cloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.hosts.ingress import IngressRule
from components.proxy.monitor import Monitor

# What a floating IP may be beside an address.
NEW, NONE = "new", "none"


@dataclass(frozen=True, kw_only=True)
class BalancerSpec:
    """What a load balancer of Octavia's is to be; timeouts are in milliseconds.

    `method` is Octavia's name for how it chooses, `provider` that of what makes it, "" for the cloud's usual one.
    `clients_from` are the networks that it lets in, the hosts' own among them; `connections` is how many at once.
    `floating_ip` is NEW, NONE or an address that the project has.
    """

    method: str
    clients_from: Sequence[str]
    connections: int
    client_timeout: int
    connect_timeout: int
    server_timeout: int
    monitor: Monitor
    provider: str = ""
    floating_ip: str = NEW


@dataclass(frozen=True, kw_only=True)
class CloudSpec:
    """What a deployment wants of a cloud, by the names that the cloud has for it.

    An empty `cloud` is where the environment leads, an empty `external_network` the cloud's only one; without a
    `network` and a `key_pair` they are made. `floating_ip` is NEW, NONE or an address that the project has.
    `boot_volume` is in GB, 0 for the flavor's own disk. `server_group` is the policy of the nodes', "" for no group.
    `rebuild` names a host that is to be made anew, where it is not what is wanted now. `balanced` is None where HAProxy
    on the front host is what clients reach.
    """

    # Addresses by name, the front host first.
    hosts: Mapping[str, str]
    ingress_rules: Sequence[IngressRule]
    # What our own ports are marked with: they tell how many hosts are there already.
    mark: str
    subnet: str
    cloud: str = ""
    image: str
    front_flavor: str
    node_flavor: str
    boot_volume: int = 0
    external_network: str = ""
    floating_ip: str = NEW
    network: str = ""
    key_pair: str = ""
    availability_zones: Sequence[str] = ()
    server_group: str = ""
    user: str = "root"
    dns_servers: Sequence[str] = ()
    tags: Sequence[str] = ()
    protect: bool = False
    rebuild: str = ""
    balanced: BalancerSpec | None = None

    @property
    def floating_ips(self) -> list[tuple[str, str, str]]:
        """Each one's setting, what it says, and the address that it leads to, where that is known beforehand."""
        ours = [("openstack.floatingIp", self.floating_ip, next(iter(self.hosts.values())))]
        if self.balanced:
            ours.append(("openstack.loadBalancerFloatingIp", self.balanced.floating_ip, ""))
        return ours
