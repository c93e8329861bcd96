"""What clients reach: the one place that knows every kind."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.check import Proxy
from components.proxy.haproxy import FrontProxy, Listener, configuration, listeners
from components.proxy.take_over import TakeOver
from infra.build.inventory import Place
from infra.settings.model import FRONT, Settings


def plan_listeners(wanted: Settings) -> tuple[Listener, Listener]:
    """What it listens for, with the planned processes behind each."""
    return listeners(
        wanted.processes,
        api_port=wanted.api_port,
        cfn_port=wanted.cfn_port,
        api_extra=wanted.haproxy.api_extra,
        cfn_extra=wanted.haproxy.cfn_extra,
    )


def make_proxy(
    wanted: Settings, place: Place, fronted: Sequence[Listener], *, after: Sequence[pulumi.Resource]
) -> Proxy:
    """The proxy, told of every process of the plan.

    Args:
        wanted: the settings.
        place: where it is: on the front host, or in the cloud.
        fronted: what it listens for.
        after: what must be done before it is told, such as starting the APIs.
    """
    if place.balancer and wanted.balanced:
        # The provider's package is large, and no other stack needs it.
        from components.proxy.octavia import OctaviaProxy  # noqa: PLC0415

        return OctaviaProxy("proxy", balancer=place.balancer, wanted=wanted.balanced, fronted=fronted, after=after)
    conf = configuration(
        place.front.address,
        fronted,
        haproxy=wanted.haproxy_values,
        limits=wanted.request_limits,
        at_once=wanted.api_server.at_once,
        stats_port=wanted.stats_port,
        stats_allow=wanted.stats_networks,
    )
    return FrontProxy(
        "proxy",
        host=place.front,
        text=conf,
        after=after,
        memory=wanted.memory_limits.haproxy,
        take_over=_take_over(wanted, fronted),
    )


def _take_over(wanted: Settings, fronted: Sequence[Listener]) -> TakeOver | None:
    """What has the APIs' addresses until HAProxy takes them; None where nothing can have."""
    if not wanted.adopt:
        return None
    return TakeOver(
        address=wanted.addresses[FRONT],
        listeners=tuple((listener.name, listener.port) for listener in fronted),
        keep_engine=wanted.keep_original_engine,
    )
