"""Hosts that are containers on this machine: systemd as PID 1, sshd, an address each on a bridge of their own.

The dev stack's hosts, real in all that Heat can tell: own files, own processes, own addresses. Not for production.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_command as command

from components.remote import Host, Login
from components.rendering import TEMPLATES, render_output
from components.secrets import KeyPair

# The first addresses stay free for the bridge and for what the operator may add.
_FIRST_HOST = 10


def addresses(subnet: ipaddress.IPv4Network, names: Sequence[str], first: str = "") -> dict[str, str]:
    """An address for each host, by its place: .10, .11 and so on, or from `first` on.

    Raises:
        ValueError: the subnet is too small.
    """
    start = int(ipaddress.IPv4Address(first)) - int(subnet.network_address) if first else _FIRST_HOST
    if start < 1 or start + len(names) >= subnet.num_addresses:
        raise ValueError(f"{subnet} has no room for {len(names)} hosts from its address {first or start} on")
    return {name: str(subnet[start + place]) for place, name in enumerate(names)}


def mac_address(address: str) -> str:
    """The one hardware address that goes with an IPv4 address, locally administered.

    A restarted container that came back with another would not be found by its neighbours for a while.
    """
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


class ContainerHosts(pulumi.ComponentResource):
    """Local systemd containers on a bridge of their own.

    Attributes:
        hosts: each by its name, as far as it may be used: ready to take files and scripts.
    """

    hosts: dict[str, Host]

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        subnet: ipaddress.IPv4Network,
        names: Sequence[str],
        owner: Path,
        cache: Path,
        debian_mirror: str = "",
        protect: bool = False,
        generation: int = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the containers.

        Args:
            name: the component's name.
            stack: goes into the names of containers and network.
            subnet: the bridge's, IPv4.
            names: the hosts' names, in their lasting order; the first addresses of the subnet go to them.
            owner: the checkout, which tells whose containers and network these are.
            cache: where the base image is kept, so that it is built once.
            debian_mirror: where the base image's packages come from, if not from Debian's own address.
            protect: keep the front host, which may have the database, from being taken away by mistake.
            generation: another one has everything run again on the hosts.
            opts: of the component.
        """
        super().__init__("heat:hosts:ContainerHosts", name, {}, opts)
        self._owner, self._keeps = str(owner), protect
        recipe = hashlib.sha256((TEMPLATES / "hosts/containers/image.sh.j2").read_bytes()).hexdigest()
        found = self._script("image", "image", {"cache": str(cache), "debian_mirror": debian_mirror, "recipe": recipe})
        self._engine = found.stdout.apply(lambda lines: lines.split("\n")[0].strip())
        self._image = found.stdout.apply(lambda lines: lines.split("\n")[1])
        self._flags = self._script("flags", "flags", {"engine": self._engine, "image": self._image}).stdout
        network_name = f"heat-{stack}"
        network = self._script(
            "network",
            "network",
            {"engine": self._engine, "name": network_name, "subnet": str(subnet), "owner": self._owner},
            lasting=True,
            kept=True,
        )
        client_key = KeyPair("ssh-key", self, protect=protect)
        self.hosts = {}
        # The first one is the front host.
        for host, address in addresses(subnet, names).items():
            first = not self.hosts
            host_key = KeyPair(f"{host}-host-key", self, protect=protect and first)
            machine = self._script(
                f"{host}-machine",
                "host",
                {
                    "engine": self._engine,
                    "flags": self._flags,
                    "image": self._image,
                    "name": f"{network_name}-{host}",
                    "hostname": host,
                    "owner": self._owner,
                    "network": network_name,
                    "address": address,
                    "mac": mac_address(address),
                    "authorized_key": client_key.public_key,
                },
                environment={"HOST_KEY": host_key.private_key},
                lasting=True,
                kept=first,
                identity=[address, str(subnet)],
                after=[network],
            )
            self.hosts[host] = Host(
                host,
                address=address,
                login=Login(private_key=client_key.private_key, host_key=host_key.public_key),
                parent=self,
                machine=machine,
                generation=generation,
            )
        self.register_outputs({})

    def _script(
        self,
        name: str,
        template: str,
        values: Mapping[str, pulumi.Input[str]],
        *,
        environment: Mapping[str, pulumi.Input[str]] | None = None,
        lasting: bool = False,
        kept: bool = False,
        identity: Sequence[str] = (),
        after: Sequence[pulumi.Resource] = (),
    ) -> command.local.Command:
        """Run templates/containers/<template>.sh.j2 here.

        Args:
            name: of the resource.
            template: which script.
            values: for the template.
            environment: secrets, for the script's process alone.
            lasting: it makes a thing that stays: called with create, and with delete when the thing is to go.
            kept: the thing may not go by mistake, where that is asked for.
            identity: what makes it another thing when it changes. Replacing is right here, as for any machine.
            after: what must be there before.
        """
        return command.local.Command(
            name,
            create="sh -s create" if lasting else "sh -s",
            delete="sh -s delete" if lasting else None,
            stdin=render_output(f"hosts/containers/{template}.sh.j2", values),
            environment=environment,
            triggers=list(identity) or None,
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*after],
                protect=(kept and self._keeps) or None,
                # A container's name and address are taken until it is gone.
                delete_before_replace=True,
            ),
        )


def overlapping(subnet: ipaddress.IPv4Network, routes: Iterable[tuple[ipaddress.IPv4Network, str]]) -> list[str]:
    """Which of the machine's routes a new bridge with this subnet would take traffic from.

    Args:
        subnet: the bridge's.
        routes: destination and device, as `machine_routes` gives them.

    Returns:
        A phrase for each, such as "10.0.0.0/16 on eth0". None where the bridge is there already.
    """
    known = list(routes)
    if (subnet, _BLACKHOLE) in known:
        return []
    return [f"{route} on {device}" for route, device in known if route.prefixlen and route.overlaps(subnet)]


def free_subnet(routes: Iterable[tuple[ipaddress.IPv4Network, str]]) -> str:
    """A subnet for the bridge that overlaps no route of the machine; "" where there is none like it."""
    known = list(routes)
    candidates = ipaddress.IPv4Network("10.192.0.0/10").subnets(new_prefix=24)
    return next((str(candidate) for candidate in candidates if not overlapping(candidate, known)), "")


# How the kernel names the device of a blackhole route. templates/hosts/containers/network.sh.j2 adds one, so a bridge
# network of this project can be told from any other.
_BLACKHOLE = "*"


def machine_routes(table: str) -> list[tuple[ipaddress.IPv4Network, str]]:
    """Read the kernel's IPv4 routes, in the form of /proc/net/route: hexadecimal, in the byte order of the machine."""
    routes = []
    for line in table.splitlines()[1:]:
        device, destination, _, _, _, _, _, mask, *_ = line.split()
        network, netmask = (
            ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(word), "little")) for word in (destination, mask)
        )
        routes.append((ipaddress.IPv4Network(f"{network}/{netmask}"), device))
    return routes
