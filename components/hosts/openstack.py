"""Hosts that are VMs of an OpenStack cloud, with their network, addresses and security groups.

This machine reaches the front host at its floating IP, and the nodes through the front host. A running VM stays even if
its image changes. A replaced VM is set up again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_openstack import Provider, compute, loadbalancer, networking

from components.hosts.cloud import Cloud
from components.hosts.ingress import FRONT, NODES, IngressRule
from components.hosts.spec import NEW, NONE, CloudSpec
from components.outputs import render_output
from components.proxy.balancer import BalancerSpec
from components.proxy.octavia import Balancer
from components.remote import Host, Jump, Login
from components.secrets import KeyPair

# How long a node may take to boot, in seconds. The front host's limit is BOOT_DIALS.
_BOOT_SECONDS = 600
# Properties of a VM that cannot change after its creation. A changed setting or a newer image does not replace a
# running VM, unless `rebuild` names its host.
_FIXED_AT_CREATION = ("availabilityZone", "blockDevices", "imageId", "keyPair", "schedulerHints", "userData")


class OpenstackHosts(pulumi.ComponentResource):
    """VMs in a new or an existing network.

    Attributes:
        hosts: by name.
        balancer: an Octavia load balancer without listeners; None if the specification has none.
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
        """Create the VMs and everything that they need.

        Args:
            name: the component's name.
            stack: a part of the names in the cloud.
            provider: with a login to the cloud.
            spec: what to create.
            cloud: what the lookups found.
            private_key: of an existing key pair, in OpenSSH's format; None if the ssh agent has it.
            generation: a new value runs everything on the hosts again.
            opts: of the component.
        """
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[provider]))
        super().__init__("heat:hosts:OpenstackHosts", name, {}, opts)
        self._prefix = f"heat-{stack}"
        self._spec, self._cloud = spec, cloud
        self._tags = [*spec.tags, spec.mark]
        network_id, subnet_id, egress = self._network()
        groups = self._groups()
        rules = [self._rule(rule, groups) for rule in spec.ingress_rules]
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
        for index, (host, address) in enumerate(spec.hosts.items()):
            is_front = host == FRONT
            port = networking.Port(
                f"{host}-port",
                name=f"{self._prefix}-{host}",
                network_id=network_id,
                fixed_ips=[networking.PortFixedIpArgs(subnet_id=subnet_id, ip_address=address)],
                security_group_ids=[groups[FRONT if is_front else NODES].id],
                tags=self._tags,
                # The first login needs the rules. A port holds its address until it is deleted.
                opts=self._options(after=rules, protect=is_front, delete_before_replace=True),
            )
            machine = self._machine(
                host,
                port,
                zone=self._zone(max(index - 1, 0)),
                key_pair=key_pair,
                authorized_key=client.public_key if client else cloud.public_key,
                server_group=None if is_front else server_group,
                after=egress,
            )
            identity = self._server_id(host, machine)
            if is_front:
                public_address, association = self._floating_ip("floating-ip", spec.floating_ip, port.id, egress)
                self.hosts[host] = front = Host(
                    host, address=address, login=login(host), parent=self, machine=machine, identity=identity,
                    generation=generation, public_address=public_address, after=association,
                )  # fmt: skip
                hop = Jump(address=front.public_address, host_key=self._keys[host].public_key, user=spec.user)
            else:
                booted = self._wait_for_boot(front, host, machine, identity)
                self.hosts[host] = Host(
                    host, address=address, login=login(host, hop), parent=self, machine=machine, identity=identity,
                    generation=generation, after=[booted],
                )  # fmt: skip
        self.balancer = None
        if spec.balancer:
            self.balancer = self._balancer(spec.balancer, provider, subnet_id, egress)
        self.register_outputs(
            {
                "addresses": {**spec.hosts},
                "public_address": front.public_address,
                "load_balancer_address": self.balancer.public_address if self.balancer else None,
            }
        )

    def _options(
        self, *, after: Sequence[pulumi.Resource] = (), protect: bool = False, delete_before_replace: bool = False
    ) -> pulumi.ResourceOptions:
        """Options of a child. `protect` has an effect only if the specification protects anything."""
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=[*after],
            protect=(protect and self._spec.protect) or None,
            delete_before_replace=delete_before_replace or None,
        )

    def _network(self) -> tuple[pulumi.Input[str], pulumi.Input[str], list[pulumi.Resource]]:
        """The identifiers of network and subnet, and the resources that a host's egress needs."""
        if self._spec.network:
            return self._cloud.network_id, self._cloud.subnet_id, []
        opts, cidr = self._options(protect=True), ipaddress.IPv4Network(self._spec.subnet)
        network = networking.Network("network", name=self._prefix, tags=self._tags, opts=opts)
        subnet = networking.Subnet(
            "subnet",
            name=self._prefix,
            network_id=network.id,
            cidr=self._spec.subnet,
            ip_version=4,
            gateway_ip=str(cidr[1]),
            # The cloud takes addresses for DHCP from below the hosts'.
            allocation_pools=[
                networking.SubnetAllocationPoolArgs(
                    start=str(cidr[2]), end=str(ipaddress.IPv4Address(self._spec.hosts[FRONT]) - 1)
                )
            ],
            dns_nameservers=[*self._spec.dns_servers],
            tags=self._tags,
            opts=opts,
        )
        router = networking.Router(
            "router",
            name=self._prefix,
            external_network_id=self._cloud.external_network_id,
            tags=self._tags,
            opts=opts,
        )
        interface = networking.RouterInterface("router-interface", router_id=router.id, subnet_id=subnet.id, opts=opts)
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

    def _rule(self, rule: IngressRule, groups: Mapping[str, networking.SecGroup]) -> networking.SecGroupRule:
        group = groups.get(rule.source)
        return networking.SecGroupRule(
            rule.name,
            security_group_id=groups[rule.at].id,
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=rule.port,
            port_range_max=rule.port,
            remote_group_id=group.id if group else None,
            remote_ip_prefix=None if group else rule.source,
            opts=self._options(),
        )

    def _key_pair(self, client: KeyPair | None) -> pulumi.Input[str]:
        """The name of the key pair for the image's own user."""
        if client is None:
            return self._spec.key_pair
        # A key pair holds its name until it is deleted.
        opts = self._options(delete_before_replace=True)
        return compute.Keypair("key-pair", name=self._prefix, public_key=client.public_key, opts=opts).name

    def _server_group(self) -> pulumi.Output[str] | None:
        policy = self._spec.server_group
        if not policy:
            return None
        group = compute.ServerGroup("server-group", name=self._prefix, policies=policy, opts=self._options())
        return group.id

    def _zone(self, index: int) -> str | None:
        """The availability zone of a node by its index: the zones in rotation."""
        zones = self._spec.availability_zones
        return zones[index % len(zones)] if zones else None

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
        options = self._options(after=after, protect=host == FRONT, delete_before_replace=True)
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
            # systemd gets time to stop its services.
            stop_before_destroy=True,
            opts=pulumi.ResourceOptions.merge(
                options,
                pulumi.ResourceOptions(
                    ignore_changes=[] if host == spec.rebuild else [*_FIXED_AT_CREATION],
                    # Without this, the provider has Nova rebuild the VM under its old identifier, and Pulumi would not
                    # set it up again.
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
        """A load balancer in the hosts' network, with its public address."""
        balancer = loadbalancer.LoadBalancer(
            "load-balancer",
            name=self._prefix,
            description=f"Heat's deployment {self._prefix}",
            vip_subnet_id=subnet_id,
            loadbalancer_provider=spec.provider or None,
            tags=self._tags,
            opts=self._options(protect=True),
        )
        name = "load-balancer-floating-ip"
        public_address, association = self._floating_ip(name, spec.floating_ip, balancer.vip_port_id, after)
        return Balancer(
            provider=provider,
            prefix=self._prefix,
            tags=self._tags,
            ready=[balancer, *association],
            id=balancer.id,
            subnet_id=subnet_id,
            internal_address=balancer.vip_address,
            public_address=balancer.vip_address if public_address is None else public_address,
        )

    def _floating_ip(
        self, name: str, spec: str, port_id: pulumi.Input[str], after: Sequence[pulumi.Resource]
    ) -> tuple[pulumi.Output[str] | None, list[pulumi.Resource]]:
        """A floating IP for a port, and its association. `spec` is NEW, NONE or an address."""
        if spec == NONE:
            return None, []
        address: pulumi.Input[str] = spec
        if spec == NEW:
            address = networking.FloatingIp(
                name,
                pool=self._cloud.external_network,
                description=f"Heat's deployment {self._prefix}",
                tags=self._tags,
                opts=self._options(protect=True),
            ).address
        association = networking.FloatingIpAssociate(
            f"{name}-association",
            floating_ip=address,
            port_id=port_id,
            # The association fails if no router connects the two networks.
            opts=self._options(after=after),
        )
        return association.floating_ip, [association]

    def _server_id(self, host: str, machine: compute.Instance) -> pulumi.Output[str]:
        """The identifier of a server, which must not be in state ERROR.

        The provider fails once on a server that the cloud could not create, and later accepts it as an existing one.
        """

        def checked(known: Sequence[str]) -> str:
            identity, state, urn = known
            if state == "error":
                raise pulumi.RunError(
                    f"{host}: its server {self._prefix}-{host} ({identity}) is in state ERROR: "
                    f"{server_fault(self._spec.cloud, identity)}. After removing the cause, create it again with: "
                    f"pulumi up --replace '{urn}'"
                )
            return identity

        return pulumi.Output.all(machine.id, machine.power_state, machine.urn).apply(checked)

    def _wait_for_boot(
        self, front: Host, host: str, machine: compute.Instance, identity: pulumi.Input[str]
    ) -> pulumi.Resource:
        """Wait on the front host until a node has booted. A login through the front host fails at the first refusal."""
        text = render_output(
            "hosts/openstack/await.sh.j2",
            {
                "name": host,
                "server": f"{self._prefix}-{host}",
                "address": self._spec.hosts[host],
                "host_key": self._keys[host].public_key,
                "seconds": _BOOT_SECONDS,
                # A replaced machine makes the script run again.
                "machine": identity,
            },
        )
        return front.script(f"await-{host}", text, parent=self, after=[machine])


def server_fault(cloud: str, server: str) -> str:
    """The cloud's message about a server in state ERROR, which the provider does not report.

    Args:
        cloud: its name in clouds.yaml; "" for the environment's.
        server: its identifier.
    """
    import openstack  # noqa: PLC0415  # only needed here, and takes a second to import
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415

    try:
        found = openstack.connect(cloud=cloud or None).compute.get_server(server).fault
    except (openstack.exceptions.SDKException, ClientException) as error:
        return f"the cloud does not report why ({error})"
    return str((found or {}).get("message") or "the cloud does not report why").strip(". ")
