"""Subnets: an address for each host, and a free subnet for a bridge on this machine. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

# The first addresses are left to the bridge and to the operator.
_FIRST_HOST = 10
# The kernel's name for the device of a blackhole route. templates/hosts/containers/network.sh.j2 adds such a route,
# which identifies this project's bridge.
_BLACKHOLE = "*"


def assign_addresses(subnet: ipaddress.IPv4Network, names: Sequence[str], first: str = "") -> dict[str, str]:
    """Give each host an address by its position: .10, .11 and so on, or from `first` on.

    Args:
        subnet: the hosts' subnet.
        names: of the hosts. The order decides about the addresses.
        first: the first host's address, "" for .10.

    Raises:
        ValueError: the subnet is too small.
    """
    start = int(ipaddress.IPv4Address(first)) - int(subnet.network_address) if first else _FIRST_HOST
    if start < 1 or start + len(names) >= subnet.num_addresses:
        raise ValueError(f"{subnet} has no room for {len(names)} hosts from its address {first or start} on")
    return {name: str(subnet[start + index]) for index, name in enumerate(names)}


def mac_address(address: str) -> str:
    """The locally administered MAC address that belongs to an IPv4 address.

    After a restart with another MAC address, a container's neighbours would not reach it for a while.
    """
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def overlapping_routes(subnet: ipaddress.IPv4Network, routes: Iterable[tuple[ipaddress.IPv4Network, str]]) -> list[str]:
    """The machine's routes whose traffic a new bridge with this subnet would take.

    Args:
        subnet: the bridge's.
        routes: destination and device, from `parse_routes`.

    Returns:
        A phrase for each, such as "10.0.0.0/16 on eth0"; none if this project's bridge exists already.
    """
    known = list(routes)
    if (subnet, _BLACKHOLE) in known:
        return []
    return [f"{route} on {device}" for route, device in known if route.prefixlen and route.overlaps(subnet)]


def free_subnet(routes: Iterable[tuple[ipaddress.IPv4Network, str]]) -> str:
    """A /24 subnet for the bridge that overlaps no route of the machine; "" if there is none."""
    known = list(routes)
    candidates = ipaddress.IPv4Network("10.192.0.0/10").subnets(new_prefix=24)
    return next((str(candidate) for candidate in candidates if not overlapping_routes(candidate, known)), "")


def parse_routes(table: str) -> list[tuple[ipaddress.IPv4Network, str]]:
    """Parse the kernel's IPv4 routes.

    Args:
        table: the text of /proc/net/route, whose numbers are hexadecimal and in the machine's byte order.

    Returns:
        Destination and device of each route.
    """
    routes = []
    for line in table.splitlines()[1:]:
        device, destination, _, _, _, _, _, mask, *_ = line.split()
        network, netmask = (
            ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(word), "little")) for word in (destination, mask)
        )
        routes.append((ipaddress.IPv4Network(f"{network}/{netmask}"), device))
    return routes
