"""`openstack`: the VMs of a cloud, and what else is made for them; as far as that needs no question to the cloud."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from components.hosts.spec import NEW, NONE
from infra.settings.existing import FRONT
from infra.settings.fields import Integer, Section
from infra.settings.formats import ADDRESS, HOST_NAME, NAME, NETWORK4, TAG, USER, Format, one_of
from infra.settings.refusals import Refusals

# Nova's names for how close the members of a server group may be, by what the settings call it.
SERVER_GROUPS = {"soft": "soft-anti-affinity", "hard": "anti-affinity", "none": ""}
_FLOATING_IP = Format(
    f"must be {NEW}, {NONE} or the IPv4 address of a floating IP of the project",
    lambda text: text in (NEW, NONE) or not ADDRESS.refusal(text),
)


class OpenstackSettings(Section):
    """The VMs of `hosts: openstack`."""

    MOVED: ClassVar[Mapping[str, str]] = {"protect": "/protect"}

    cloud: Annotated[str, NAME] = ""
    """The cloud's name in clouds.yaml. Empty: the OS_* variables of the environment."""
    image: Annotated[str, NAME] = "debian-12"
    """Image that hosts are made from."""
    front_flavor: Annotated[str, NAME] = "m1.medium"
    """Flavor of the front host."""
    node_flavor: Annotated[str, NAME] = "m1.small"
    """Flavor of the nodes."""
    boot_volume: Integer = Field(default=0, ge=0, le=65536)
    """Size in GB of a volume to boot from. 0: the flavor's own disk."""
    external_network: Annotated[str, NAME] = ""
    """Network with the floating IPs, which the router leads to. Empty: the only external one."""
    floating_ip: Annotated[str, _FLOATING_IP] = NEW
    """The front host's public address: new (a floating IP is made), none (it has its address in the network only), or a
    floating IP of the project, which stays after `destroy`."""
    network: Annotated[str, NAME] = ""
    """An existing network that has `subnet`. Empty: network, subnet and router are made."""
    first_address: Annotated[str, ADDRESS] = ""
    """In an existing network: the front host's address, followed by those of the nodes. Empty: the tenth address of the
    subnet."""
    dns_servers: tuple[Annotated[str, ADDRESS], ...] = ()
    """Name servers of a network that is made. Empty: those of the cloud."""
    availability_zones: tuple[Annotated[str, NAME], ...] = ()
    """Zones that the nodes are spread over; the front host is in the first one."""
    anti_affinity: Annotated[str, one_of(*SERVER_GROUPS)] = "soft"
    """Whether nodes must be on different hypervisors: soft (if possible), hard, none."""
    ssh_from: tuple[Annotated[str, NETWORK4], ...] = ()
    """Networks that may log in, this machine's among them. Required."""
    clients_from: tuple[Annotated[str, NETWORK4], ...] = ()
    """Networks that may reach Keystone and the APIs, those of the stacks' servers among them. Empty: openstack.sshFrom.
    """
    key_pair: Annotated[str, NAME] = ""
    """An existing key pair; its private key is `sshPrivateKey` or in the ssh agent. Empty: one is made."""
    user: Annotated[str, USER] = "heat-scaleout"
    """User that Pulumi logs in as; it is made on every host."""
    tags: tuple[Annotated[str, TAG], ...] = ()
    """Tags for networks, routers, ports, security groups and floating IPs."""
    load_balancer_provider: Annotated[str, NAME] = ""
    """With `loadBalancer: octavia`: Octavia's provider, such as amphora. Empty: the default."""
    load_balancer_floating_ip: Annotated[str, _FLOATING_IP] = NEW
    """With `loadBalancer: octavia`: its public address, as in openstack.floatingIp."""
    rebuild: Annotated[str, HOST_NAME] = ""
    """A host to which changes of the image, disk, availability zone, server group, key pair and user data apply: if
    there are any, a new VM replaces its VM. Other VMs are kept."""

    @property
    def clients(self) -> tuple[str, ...]:
        """The networks from which clients reach Keystone and the APIs."""
        return self.clients_from or self.ssh_from


def check_openstack(openstack: OpenstackSettings, refusals: Refusals, *, octavia: bool) -> None:
    """The VMs of a cloud, and the load balancer in front of them."""
    if not octavia:
        usual = OpenstackSettings()
        for key, value, default in (
            ("loadBalancerProvider", openstack.load_balancer_provider, usual.load_balancer_provider),
            ("loadBalancerFloatingIp", openstack.load_balancer_floating_ip, usual.load_balancer_floating_ip),
        ):
            if value != default:
                remedy = refusals.set("loadBalancer", "octavia")
                refusals.refuse(f"openstack.{key}", value, "this is for loadBalancer octavia", remedy=remedy)
    if not openstack.ssh_from:
        rule = "nobody could log in to the front host, not even this program"
        refusals.refuse("openstack.sshFrom", [], rule, remedy=refusals.set("openstack.sshFrom[0]", "<address>/32"))


def check_first_address(openstack: OpenstackSettings, subnet: ipaddress.IPv4Network, refusals: Refusals) -> None:
    """The front host's address, in an existing network."""
    first = openstack.first_address
    if first and not openstack.network:
        refusals.refuse("openstack.firstAddress", first, "this is for an existing network: openstack.network")
    elif first and ipaddress.IPv4Address(first) not in subnet:
        refusals.refuse("openstack.firstAddress", first, f"it is not in subnet {subnet}", "<address>")


def check_rebuild(host: str, names: Sequence[str], refusals: Refusals, *, bundled: bool) -> None:
    """The host whose VM may be replaced."""
    if host and host not in names:
        refusals.refuse("openstack.rebuild", host, f"there is no such host; there are {', '.join(names)}")
    elif host == FRONT and bundled:
        rule = "the front host has the database, and with it all that Heat knows about its stacks"
        refusals.refuse("openstack.rebuild", host, rule)
