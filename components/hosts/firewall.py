"""Who may reach whom on which port, among hosts whose every other port is closed to others. Pure.

What leaves a host may go anywhere: packages come from wherever they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.topology import Process

# The two groups of hosts: the front host, and those that run Heat.
FRONT, NODES = "front", "nodes"
SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One TCP port of a group's hosts, open to `source`: the hosts of a group, or an IPv4 network."""

    at: str
    port: int
    source: str

    @property
    def name(self) -> str:
        """Unique among openings."""
        return f"{self.at}-{self.port}-from-{self.source.replace('/', '-')}"


def openings(
    processes: Iterable[Process],
    *,
    client_ports: Sequence[int],
    node_ports: Sequence[int],
    stats_port: int,
    clients_from: Sequence[str],
    stats_from: Sequence[str],
    ssh_from: Sequence[str],
    requests_from: str,
) -> tuple[Opening, ...]:
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
        *((FRONT, port, network) for network in clients_from for port in client_ports),
        *((FRONT, stats_port, network) for network in readers),
        *((FRONT, port, NODES) for port in node_ports),
        *((FRONT, SSH_PORT, network) for network in ssh_from),
        *((NODES, port, requests_from) for port in apis),
        (NODES, SSH_PORT, FRONT),
    ]
    return tuple(Opening(at=at, port=port, source=source) for at, port, source in dict.fromkeys(wanted))
