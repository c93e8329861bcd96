"""Hosts that are VMs of an OpenStack cloud, with the network, the addresses and the security groups that they need.

The front host is reached by its floating IP, the nodes over the front host. A VM that runs is left as it is, whatever
becomes of the image it was made from; one that was replaced is set up again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_openstack import Provider, compute, loadbalancer, networking

from components.hosts.cloud import Cloud
from components.hosts.ingress import FRONT, NODES, IngressRule
from components.hosts.spec import NEW, NONE, BalancerSpec, CloudSpec
from components.proxy.octavia import Balancer
from components.remote import Host, Jump, Login
from components.rendering import render_output
from components.secrets import KeyPair

# How long a node may take to boot, in seconds. The front host, which is logged in to directly, has BOOT_DIALS.
_BOOT_SECONDS = 600
# What a VM has from its birth. A running one is not made anew because the settings, or the cloud's newest image, are
# no longer what they were: only the host that `rebuild` names is.
_FROM_BIRTH = ("availabilityZone", "blockDevices", "imageId", "keyPair", "schedulerHints", "userData")


class OpenstackHosts(pulumi.ComponentResource):
    """VMs in a network of their own, or in one that is there.

    Attributes:
        hosts: each by its name, as far as it may be used: ready to take files and scripts.
        balancer: of Octavia's, where that is wanted; nothing is behind it yet.
    """

    hosts: dict[str, Host]
    balancer: Balancer | None

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        provider: Provider,
        spec: CloudSpec,
        cloud: Cloud,
        private_key: pulumi.Input[str] | None = None,
        generation: int = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make all of it.

        Args:
            name: the component's name.
            stack: goes into the names that the cloud shows.
            provider: the cloud, as it is logged in to.
            spec: what to make.
            cloud: what the cloud has of it.
            private_key: of an existing key pair; None where the ssh agent has it.
            generation: another one has everything run again on the hosts.
            opts: of the component.
        """
        super().__init__("heat:hosts:OpenstackHosts", name, {}, pulumi.ResourceOptions.merge(opts, _by(provider)))
        self._prefix = f"heat-{stack}"
        self._spec, self._cloud = spec, cloud
        self._tags = [*spec.tags, spec.mark]
        network_id, subnet_id, way_out = self._network()
        groups = self._groups()
        rules = [self._rule(opening, groups) for opening in spec.ingress_rules]
        client = None if spec.key_pair else KeyPair("ssh-key", self, protect=spec.protect)
        key_pair = self._key_pair(client)
        server_group = self._server_group()
        self._keys = {
            host: KeyPair(f"{host}-host-key", self, protect=spec.protect and host == FRONT) for host in spec.hosts
        }

        def login(host: str, jump: Jump | None = None) -> Login:
            return Login(
                private_key=client.private_key if client else private_key,
                host_key=self._keys[host].public_key,
                user=spec.user,
                jump=jump,
            )

        self.hosts = {}
        for place, (host, address) in enumerate(spec.hosts.items()):
            first = host == FRONT
            port = networking.Port(
                f"{host}-port",
                name=f"{self._prefix}-{host}",
                network_id=network_id,
                fixed_ips=[networking.PortFixedIpArgs(subnet_id=subnet_id, ip_address=address)],
                security_group_ids=[groups[FRONT if first else NODES].id],
                tags=self._tags,
                # A VM that boots is to be reached: what lets one in is there before. An address is taken until its
                # port is gone.
                opts=self._options(after=rules, lasting=first, delete_before_replace=True),
            )
            machine = self._machine(
                host,
                port,
                zone=self._zone(max(place - 1, 0)),
                key_pair=key_pair,
                authorized_key=client.public_key if client else cloud.public_key,
                server_group=None if first else server_group,
                after=way_out,
            )
            identity = self._standing(host, machine)
            if first:
                outside, reached = self._outside("floating-ip", spec.floating_ip, port.id, way_out)
                self.hosts[host] = front = Host(
                    host, address=address, login=login(host), parent=self, machine=machine, identity=identity,
                    generation=generation, outside=outside, after=reached,
                )  # fmt: skip
                hop = Jump(address=front.outside, host_key=self._keys[host].public_key, user=spec.user)
            else:
                booted = self._await(front, host, machine, identity)
                self.hosts[host] = Host(
                    host, address=address, login=login(host, hop), parent=self, machine=machine, identity=identity,
                    generation=generation, after=[booted],
                )  # fmt: skip
        self.balancer = None
        if spec.balanced:
            self.balancer = self._balancer(spec.balanced, provider, subnet_id, way_out)
        self.register_outputs({})

    def _options(
        self, *, after: Sequence[pulumi.Resource] = (), lasting: bool = False, delete_before_replace: bool = False
    ) -> pulumi.ResourceOptions:
        """Options of a child; a `lasting` one is what may not go by mistake, where that is asked for."""
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=[*after],
            protect=(lasting and self._spec.protect) or None,
            delete_before_replace=delete_before_replace or None,
        )

    def _network(self) -> tuple[pulumi.Input[str], pulumi.Input[str], list[pulumi.Resource]]:
        """Network and subnet, by their ids, and what must be there before a host reaches the world."""
        if self._spec.network:
            return self._cloud.network_id, self._cloud.subnet_id, []
        lasting, cidr = self._options(lasting=True), ipaddress.IPv4Network(self._spec.subnet)
        network = networking.Network("network", name=self._prefix, tags=self._tags, opts=lasting)
        subnet = networking.Subnet(
            "subnet",
            name=self._prefix,
            network_id=network.id,
            cidr=self._spec.subnet,
            ip_version=4,
            gateway_ip=str(cidr[1]),
            # What the cloud takes for itself, such as for DHCP, is from below the hosts.
            allocation_pools=[
                networking.SubnetAllocationPoolArgs(
                    start=str(cidr[2]), end=str(ipaddress.IPv4Address(self._spec.hosts[FRONT]) - 1)
                )
            ],
            dns_nameservers=[*self._spec.dns_servers],
            tags=self._tags,
            opts=lasting,
        )
        router = networking.Router(
            "router",
            name=self._prefix,
            external_network_id=self._cloud.external_network_id,
            tags=self._tags,
            opts=lasting,
        )
        interface = networking.RouterInterface(
            "router-interface", router_id=router.id, subnet_id=subnet.id, opts=lasting
        )
        return network.id, subnet.id, [interface]

    def _groups(self) -> dict[str, networking.SecGroup]:
        return {
            group: networking.SecGroup(
                f"{group}-security-group",
                name=f"{self._prefix}-{group}",
                description=f"What reaches the {group} of Heat's deployment {self._prefix}",
                tags=self._tags,
                opts=self._options(),
            )
            for group in (FRONT, NODES)
        }

    def _rule(self, opening: IngressRule, groups: Mapping[str, networking.SecGroup]) -> networking.SecGroupRule:
        group = groups.get(opening.source)
        return networking.SecGroupRule(
            opening.name,
            security_group_id=groups[opening.at].id,
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=opening.port,
            port_range_max=opening.port,
            remote_group_id=group.id if group else None,
            remote_ip_prefix=None if group else opening.source,
            opts=self._options(),
        )

    def _key_pair(self, client: KeyPair | None) -> pulumi.Input[str]:
        """The name of the key pair that the cloud gives to the image's own user."""
        if client is None:
            return self._spec.key_pair
        # A name is taken until its holder is gone.
        opts = self._options(delete_before_replace=True)
        return compute.Keypair("key-pair", name=self._prefix, public_key=client.public_key, opts=opts).name

    def _server_group(self) -> pulumi.Output[str] | None:
        policy = self._spec.server_group
        if not policy:
            return None
        group = compute.ServerGroup("server-group", name=self._prefix, policies=policy, opts=self._options())
        return group.id

    def _zone(self, place: int) -> str | None:
        """The availability zone of a host; nodes take turns, and the front host has the first node's."""
        zones = self._spec.availability_zones
        return zones[place % len(zones)] if zones else None

    def _machine(
        self,
        host: str,
        port: networking.Port,
        *,
        zone: str | None,
        key_pair: pulumi.Input[str],
        authorized_key: pulumi.Input[str],
        server_group: pulumi.Output[str] | None,
        after: Sequence[pulumi.Resource],
    ) -> compute.Instance:
        spec, image = self._spec, self._cloud.image_id
        disk = compute.InstanceBlockDeviceArgs(
            uuid=image,
            source_type="image",
            destination_type="volume",
            volume_size=spec.boot_volume,
            boot_index=0,
            delete_on_termination=True,
        )
        user_data = render_output(
            "hosts/openstack/user-data.yaml.j2",
            {
                "user": spec.user,
                "host_key": self._keys[host].private_key,
                "host_public_key": self._keys[host].public_key,
                "authorized_key": authorized_key,
            },
        )
        options = self._options(after=after, lasting=host == FRONT, delete_before_replace=True)
        return compute.Instance(
            f"{host}-machine",
            name=f"{self._prefix}-{host}",
            flavor_id=self._cloud.front_flavor_id if host == FRONT else self._cloud.node_flavor_id,
            image_id=None if spec.boot_volume else image,
            block_devices=[disk] if spec.boot_volume else None,
            networks=[compute.InstanceNetworkArgs(port=port.id)],
            availability_zone=zone,
            key_pair=key_pair,
            scheduler_hints=[compute.InstanceSchedulerHintArgs(group=server_group)]
            if server_group is not None
            else None,
            user_data=user_data,
            metadata={"heat-scaleout": self._prefix},
            # systemd has the time to end what runs.
            stop_before_destroy=True,
            opts=pulumi.ResourceOptions.merge(
                options,
                pulumi.ResourceOptions(
                    ignore_changes=[] if host == spec.rebuild else [*_FROM_BIRTH],
                    # The provider would have Nova wipe the VM under its old identifier, and nothing would be set up
                    # on it again.
                    replace_on_changes=["imageId"],
                ),
            ),
        )

    def _balancer(
        self,
        spec: BalancerSpec,
        provider: Provider,
        subnet_id: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
    ) -> Balancer:
        """A load balancer in the hosts' network, with the address that clients find it at."""
        made = loadbalancer.LoadBalancer(
            "load-balancer",
            name=self._prefix,
            description=f"Heat's deployment {self._prefix}",
            vip_subnet_id=subnet_id,
            loadbalancer_provider=spec.provider or None,
            tags=self._tags,
            opts=self._options(lasting=True),
        )
        name = "load-balancer-floating-ip"
        outside, reached = self._outside(name, spec.floating_ip, made.vip_port_id, after)
        return Balancer(
            provider=provider,
            prefix=self._prefix,
            tags=self._tags,
            ready=[made, *reached],
            id=made.id,
            subnet_id=subnet_id,
            internal_address=made.vip_address,
            public_address=made.vip_address if outside is None else outside,
        )

    def _outside(
        self, name: str, spec: str, port_id: pulumi.Input[str], after: Sequence[pulumi.Resource]
    ) -> tuple[pulumi.Output[str] | None, list[pulumi.Resource]]:
        """The floating IP that leads to a port, and what must be there for that."""
        if spec == NONE:
            return None, []
        address: pulumi.Input[str] = spec
        if spec == NEW:
            address = networking.FloatingIp(
                name,
                pool=self._cloud.external_network,
                description=f"Heat's deployment {self._prefix}",
                tags=self._tags,
                opts=self._options(lasting=True),
            ).address
        association = networking.FloatingIpAssociate(
            f"{name}-association",
            floating_ip=address,
            port_id=port_id,
            # The cloud leads an address to a port only where a router connects the two.
            opts=self._options(after=after),
        )
        return association.floating_ip, [association]

    def _standing(self, host: str, machine: compute.Instance) -> pulumi.Output[str]:
        """The identifier of a server, once it is seen that the cloud has made it.

        The provider fails at one that the cloud gives up, and takes it for one that is there from then on.
        """

        def seen(known: Sequence[str]) -> str:
            identity, state, urn = known
            if state == "error":
                raise pulumi.RunError(
                    f"{host}: its server {self._prefix}-{host} ({identity}) is in state ERROR: "
                    f"{fault(self._spec.cloud, identity)}. Once the cause is mended, have it made anew: "
                    f"pulumi up --replace '{urn}'"
                )
            return identity

        return pulumi.Output.all(machine.id, machine.power_state, machine.urn).apply(seen)

    def _await(self, front: Host, host: str, machine: compute.Instance, identity: pulumi.Input[str]) -> pulumi.Resource:
        """Have the front host wait until a node has booted: the login over it would fail at the first refusal."""
        text = render_output(
            "hosts/openstack/await.sh.j2",
            {
                "name": host,
                "server": f"{self._prefix}-{host}",
                "address": self._spec.hosts[host],
                "host_key": self._keys[host].public_key,
                "seconds": _BOOT_SECONDS,
                # Another machine is waited for again.
                "machine": identity,
            },
        )
        return front.script(f"await-{host}", text, parent=self, after=[machine])


def fault(cloud: str, server: str) -> str:
    """Why a server is in ERROR, in the cloud's words, which the provider does not pass on.

    Args:
        cloud: its name in clouds.yaml; "" for where the environment leads.
        server: its identifier.
    """
    import openstack  # noqa: PLC0415  # of use here alone, and it takes a second
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415

    try:
        found = openstack.connect(cloud=cloud or None).compute.get_server(server).fault
    except (openstack.exceptions.SDKException, ClientException) as error:
        return f"the cloud does not tell why ({error})"
    return str((found or {}).get("message") or "the cloud does not tell why").strip(". ")


def _by(provider: Provider) -> pulumi.ResourceOptions:
    """Everything below is made with this provider."""
    return pulumi.ResourceOptions(providers=[provider])
