"""The specification of an Octavia load balancer, as values.

Separate from the component, which needs the provider's package: only stacks with a cloud have that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.proxy.monitor import Monitor


@dataclass(frozen=True, kw_only=True)
class BalancerSpec:
    """What a load balancer should be. Timeouts are in milliseconds.

    Attributes:
        method: Octavia's name for how it chooses a backend, such as "SOURCE_IP".
        clients_from: the networks that may connect, the hosts' own among them.
        connections: how many may be open at once.
        monitor: how it checks the backends.
        provider: of the load balancer, such as "amphora"; "" for the cloud's default.
        floating_ip: "new", "none" or an address that the project has.
    """

    method: str
    clients_from: Sequence[str]
    connections: int
    client_timeout: int
    connect_timeout: int
    server_timeout: int
    monitor: Monitor
    provider: str = ""
    floating_ip: str = "new"
