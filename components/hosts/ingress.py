"""Who may reach whom on which port. Pure.

One list of ingress rules serves two firewalls. A cloud's security groups close every other port of a host. The hosts'
own firewall (`closed`) closes only the ports that the deployment's hosts alone use, on every kind of host. Egress is
open, because packages come from anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.topology import Process

# The two groups of hosts: the front host, and those that run Heat.
FRONT, NODES = "front", "nodes"
SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class IngressRule:
    """One TCP port of a group's hosts, open to `source`: the hosts of a group, or an IPv4 network.

    `inside`: what connects is a part of the deployment, and never a client or an operator.
    """

    at: str
    port: int
    source: str
    inside: bool = False

    @property
    def name(self) -> str:
        """Unique among ingress_rules."""
        return f"{self.at}-{self.port}-from-{self.source.replace('/', '-')}"


def ingress_rules(
    processes: Iterable[Process],
    *,
    client_ports: Sequence[int],
    node_ports: Sequence[int],
    stats_port: int,
    clients_from: Sequence[str],
    stats_from: Sequence[str],
    ssh_from: Sequence[str],
    requests_from: str,
) -> tuple[IngressRule, ...]:
    """Every opening that a deployment needs, each once.

    Args:
        processes: the plan.
        client_ports: what clients reach on the front host.
        node_ports: what Heat reaches there, such as the broker.
        stats_port: the proxy's statistics.
        clients_from: where clients are, as networks.
        stats_from: who may see the statistics. HAProxy listens on IPv4 alone, and so nothing is opened to others.
        ssh_from: from where hosts are logged in to. Nodes are so from the front host alone.
        requests_from: from where the proxy reaches the APIs: a group of hosts, or a network.
    """
    apis = sorted({process.port for process in processes if process.port is not None})
    readers = [network for network in stats_from if ipaddress.ip_network(network).version == 4]  # noqa: PLR2004
    wanted = [
        *(IngressRule(at=FRONT, port=port, source=network) for network in clients_from for port in client_ports),
        *(IngressRule(at=FRONT, port=stats_port, source=network) for network in readers),
        *(IngressRule(at=FRONT, port=port, source=NODES, inside=True) for port in node_ports),
        *(IngressRule(at=FRONT, port=SSH_PORT, source=network) for network in ssh_from),
        *(IngressRule(at=NODES, port=port, source=requests_from, inside=True) for port in apis),
        IngressRule(at=NODES, port=SSH_PORT, source=FRONT),
    ]
    return tuple(dict.fromkeys(wanted))


@dataclass(frozen=True, kw_only=True)
class ClosedPorts:
    """The ports of one host that its own firewall closes to everybody but the host itself and `sources`.

    A source is another host of the deployment, by its name, or an IPv4 network.
    """

    address: str
    ports: tuple[int, ...]
    sources: tuple[str, ...]


def closed(
    opened: Iterable[IngressRule], processes: Iterable[Process], addresses: Mapping[str, str]
) -> dict[str, ClosedPorts]:
    """What each host closes by itself. A port that clients or operators use is closed on no host.

    Every node is among the hosts, even one without an API; the front host is where it has such ports.

    Args:
        opened: the ingress_rules of the deployment.
        processes: the plan. A node closes the ports of its own APIs and no others: another service may use them there.
        addresses: of each host, by its name.
    """
    inside = [opening for opening in opened if opening.inside]
    public = {(opening.at, opening.port) for opening in opened if not opening.inside}
    nodes = tuple(name for name in addresses if name != FRONT)
    found = {}
    for name, address in addresses.items():
        at = FRONT if name == FRONT else NODES
        own = {process.port for process in processes if process.node == name}
        here = [one for one in inside if one.at == at and (at, one.port) not in public]
        ports = sorted({one.port for one in here if at == FRONT or one.port in own})
        sources = {source for one in here for source in (nodes if one.source == NODES else (one.source,))}
        if at == NODES or ports:
            found[name] = ClosedPorts(address=address, ports=tuple(ports), sources=tuple(sorted(sources)))
    return found
