"""What clients reach: HAProxy on the front host, or a load balancer of the cloud."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.check import Proxy
from components.proxy.haproxy import FrontProxy, Listener, configuration, listeners
from components.proxy.take_over import TakeOver
from infra.build.inventory import Inventory
from infra.settings.existing import FRONT
from infra.settings.model import Settings


def plan_listeners(settings: Settings) -> tuple[Listener, ...]:
    """The proxy's listeners, with the planned processes behind each."""
    return listeners(settings.processes, ports=settings.api_ports, extra=settings.haproxy.listener_lines)


def make_proxy(
    settings: Settings, inventory: Inventory, listeners: Sequence[Listener], *, after: Sequence[pulumi.Resource]
) -> Proxy:
    """The proxy, configured with every process of the plan.

    Args:
        settings: the settings.
        inventory: the hosts, and the cloud's load balancer.
        listeners: its listeners.
        after: what must be done before it is configured, such as starting the APIs.
    """
    if inventory.balancer and settings.octavia_spec:
        # The provider's package is large, and no other stack needs it.
        from components.proxy.octavia import OctaviaProxy  # noqa: PLC0415

        return OctaviaProxy(
            "proxy", balancer=inventory.balancer, spec=settings.octavia_spec, listeners=listeners, after=after
        )
    conf = configuration(
        inventory.front.address,
        listeners,
        haproxy=settings.haproxy_values,
        limits=settings.request_limits,
        at_once=settings.api_server.at_once,
        stats_port=settings.stats_port,
        stats_allow=settings.stats_networks,
    )
    return FrontProxy(
        "proxy",
        host=inventory.front,
        text=conf,
        after=after,
        memory=settings.memory_limits.haproxy,
        take_over=_take_over(settings, listeners),
    )


def _take_over(settings: Settings, listeners: Sequence[Listener]) -> TakeOver | None:
    """What serves the APIs' addresses until HAProxy takes them over; None without an adopted Heat."""
    if not settings.adopt:
        return None
    return TakeOver(
        address=settings.addresses[FRONT],
        listeners=tuple((listener.name, listener.port) for listener in listeners),
        keep_engine=settings.keep_original_engine,
    )
