"""Who may connect to which port. Pure.

One list of ingress rules serves two firewalls. A cloud's security groups close all other ports of a host. The hosts'
own firewall (`closed_ports`) closes only the ports that no client or operator uses, on every kind of host. Egress is
open, because packages come from anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.topology import Process

# The two groups of hosts: the front host, and the nodes that run Heat.
FRONT, NODES = "front", "nodes"
SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class IngressRule:
    """One TCP port of a group of hosts, open to one source.

    Attributes:
        at: the group, FRONT or NODES.
        port: the port.
        source: a group of hosts or an IPv4 network in CIDR notation.
        internal: only the deployment's own hosts connect, never a client or an operator.
    """

    at: str
    port: int
    source: str
    internal: bool = False

    @property
    def name(self) -> str:
        """The rule's resource name, unique in a deployment."""
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
    """Every ingress rule of a deployment, each once.

    Args:
        processes: all planned processes.
        client_ports: ports of the front host for clients.
        node_ports: ports of the front host for Heat, such as the broker's.
        stats_port: the port of the proxy's statistics.
        clients_from: the clients' networks.
        stats_from: networks that may see the statistics. HAProxy listens on IPv4 only, so IPv6 networks get no rule.
        ssh_from: networks from which this machine logs in to the front host. Nodes accept SSH from the front host only.
        requests_from: where the proxy is: a group of hosts or a network.
    """
    apis = sorted({process.port for process in processes if process.port is not None})
    readers = [network for network in stats_from if ipaddress.ip_network(network).version == 4]  # noqa: PLR2004
    rules = [
        *(IngressRule(at=FRONT, port=port, source=network) for network in clients_from for port in client_ports),
        *(IngressRule(at=FRONT, port=stats_port, source=network) for network in readers),
        *(IngressRule(at=FRONT, port=port, source=NODES, internal=True) for port in node_ports),
        *(IngressRule(at=FRONT, port=SSH_PORT, source=network) for network in ssh_from),
        *(IngressRule(at=NODES, port=port, source=requests_from, internal=True) for port in apis),
        IngressRule(at=NODES, port=SSH_PORT, source=FRONT),
    ]
    return tuple(dict.fromkeys(rules))


@dataclass(frozen=True, kw_only=True)
class ClosedPorts:
    """The ports of one host that its own firewall closes to all but the host itself and the sources.

    Attributes:
        address: the host's IPv4 address.
        ports: TCP ports, in ascending order.
        sources: names of the deployment's hosts, and IPv4 networks.
    """

    address: str
    ports: tuple[int, ...]
    sources: tuple[str, ...]


def closed_ports(
    rules: Iterable[IngressRule], processes: Iterable[Process], addresses: Mapping[str, str]
) -> dict[str, ClosedPorts]:
    """The ports that each host's own firewall closes. No host closes a port that clients or operators use.

    Args:
        rules: the ingress rules of the deployment.
        processes: all planned processes. A node closes only its own APIs' ports: another service may use the others.
        addresses: of the hosts, by name.

    Returns:
        By host name: every node, even one without an API, and the front host if it has such ports.
    """
    internal = [rule for rule in rules if rule.internal]
    public = {(rule.at, rule.port) for rule in rules if not rule.internal}
    nodes = tuple(name for name in addresses if name != FRONT)
    found = {}
    for name, address in addresses.items():
        at = FRONT if name == FRONT else NODES
        own = {process.port for process in processes if process.node == name}
        here = [rule for rule in internal if rule.at == at and (at, rule.port) not in public]
        ports = sorted({rule.port for rule in here if at == FRONT or rule.port in own})
        sources = {source for rule in here for source in (nodes if rule.source == NODES else (rule.source,))}
        if at == NODES or ports:
            found[name] = ClosedPorts(address=address, ports=tuple(ports), sources=tuple(sorted(sources)))
    return found
