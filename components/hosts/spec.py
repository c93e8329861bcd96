"""The specification of what a deployment needs from an OpenStack cloud, as values.

Separate from the modules that look it up and create it: they need the provider's package, which only stacks with a
cloud have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.hosts.ingress import IngressRule
from components.proxy.balancer import BalancerSpec

# Values of a floating IP that are not an address.
NEW, NONE = "new", "none"


@dataclass(frozen=True, kw_only=True)
class CloudSpec:
    """What a deployment needs from a cloud, in the cloud's names.

    Attributes:
        hosts: IPv4 addresses by name, the front host first.
        ingress_rules: who may reach which port.
        mark: a tag of this deployment's ports, by which its existing hosts are counted.
        subnet: the hosts' subnet in CIDR notation.
        cloud: its name in clouds.yaml; "" for the environment's.
        image: the name of the hosts' image.
        front_flavor: the name of the front host's flavor.
        node_flavor: the name of the nodes' flavor.
        boot_volume: in GB; 0 for the flavor's own disk.
        external_network: its name; "" for the cloud's only one.
        floating_ip: of the front host: NEW, NONE or an address that the project has.
        network: the name of an existing network; "" to create one.
        key_pair: the name of an existing key pair; "" to create one.
        availability_zones: of the servers, used in rotation.
        server_group: the policy of the nodes' server group; "" for no group.
        user: whom to log in as.
        dns_servers: of a created subnet.
        tags: of all resources that can have tags.
        protect: protect the resources whose loss loses data.
        rebuild: the name of a host to create again where it differs from this specification; "" for none.
        balancer: None if clients reach HAProxy on the front host.
    """

    hosts: Mapping[str, str]
    ingress_rules: Sequence[IngressRule]
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
    balancer: BalancerSpec | None = None

    @property
    def floating_ips(self) -> list[tuple[str, str, str]]:
        """The field of each floating IP, its value, and the fixed address behind it; "" if that is not known yet."""
        found = [("floating_ip", self.floating_ip, next(iter(self.hosts.values())))]
        if self.balancer:
            found.append(("balancer.floating_ip", self.balancer.floating_ip, ""))
        return found
