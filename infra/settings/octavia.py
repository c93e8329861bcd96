"""`loadBalancer: octavia`: which of HAProxy's settings it takes, and what becomes of them."""

from __future__ import annotations

import math

from components.hosts.kinds import named
from components.proxy.balancer import BalancerSpec
from components.proxy.monitor import Monitor
from infra.settings.fields import camel
from infra.settings.formats import seconds
from infra.settings.proxy import HaproxySettings, ProxySection
from infra.settings.refusals import Refusals

# Octavia's names for how a load balancer chooses, by HAProxy's.
_METHODS = {"source": "SOURCE_IP", "roundrobin": "ROUND_ROBIN", "leastconn": "LEAST_CONNECTIONS"}
# The settings of HAProxy that a load balancer of Octavia's has too.
_ACCEPTED = {
    "maxconn", "balance", "timeout_connect", "timeout_client", "timeout_server", "timeout_check", "check_interval",
    "check_fall", "check_rise",
}  # fmt: skip
# Octavia's limits: of the answers in a row that count, and of its timeouts in seconds.
_MOST_ANSWERS, _LONGEST = 10, 86400


def monitor(haproxy: HaproxySettings) -> Monitor:
    """How the APIs are checked, in Octavia's terms."""
    delay, timeout = (math.ceil(seconds(text) or 0) for text in (haproxy.check_interval, haproxy.timeout_check))
    # Octavia requires the answer before the next check.
    return Monitor(delay=delay, timeout=min(timeout, delay - 1), fall=haproxy.check_fall, rise=haproxy.check_rise)


def balancer_spec(settings: ProxySection) -> BalancerSpec | None:
    """The load balancer of the cloud; None with HAProxy."""
    if not settings.octavia:
        return None

    def milliseconds(duration: object) -> int:
        return round((seconds(str(duration)) or 0) * 1000)

    openstack, haproxy = settings.openstack, settings.haproxy
    return BalancerSpec(
        method=_METHODS[haproxy.balance],
        # In the order in which Octavia lists them: in another order each `up` would change them.
        clients_from=sorted({*openstack.clients, settings.subnet}),
        connections=haproxy.maxconn,
        client_timeout=milliseconds(haproxy.timeout_client),
        connect_timeout=milliseconds(haproxy.timeout_connect),
        server_timeout=milliseconds(settings.haproxy_values["timeout_server"]),
        monitor=monitor(haproxy),
        provider=openstack.load_balancer_provider,
        floating_ip=openstack.load_balancer_floating_ip,
    )


def check_octavia(settings: ProxySection, refusals: Refusals) -> None:
    """Each value for itself."""
    if not settings.kind.cloud:
        rule = f"a load balancer of the cloud requires hosts: {named(cloud=True)}"
        refusals.refuse("loadBalancer", settings.load_balancer, rule, type(settings)().load_balancer)
    if settings.stats_allow:
        rule = "these networks may see the statistics of HAProxy, and Octavia has none"
        refusals.refuse("statsAllow", list(settings.stats_allow), rule)
    haproxy, usual = settings.haproxy, HaproxySettings()
    for name in HaproxySettings.model_fields:
        value = getattr(haproxy, name)
        if name not in _ACCEPTED and value != getattr(usual, name):
            shown = list(value) if isinstance(value, tuple) else value
            refusals.refuse(f"haproxy.{camel(name)}", shown, "Octavia has nothing like it")
    if haproxy.balance not in _METHODS:
        rule = f"with Octavia this must be one of {', '.join(_METHODS)}"
        refusals.refuse("haproxy.balance", haproxy.balance, rule, usual.balance)
    _check_limits(haproxy, usual, refusals)


def _check_limits(haproxy: HaproxySettings, usual: HaproxySettings, refusals: Refusals) -> None:
    for name, least in (("check_interval", 2), ("timeout_check", 1)):
        length = seconds(getattr(haproxy, name)) or 0
        if length < least or length % 1:
            rule = f"with Octavia this must be whole seconds, {least} at least"
            refusals.refuse(f"haproxy.{camel(name)}", getattr(haproxy, name), rule, getattr(usual, name))
    for name in ("check_fall", "check_rise"):
        if getattr(haproxy, name) > _MOST_ANSWERS:
            rule = f"Octavia counts to {_MOST_ANSWERS} at most"
            refusals.refuse(f"haproxy.{camel(name)}", getattr(haproxy, name), rule, getattr(usual, name))
    for name in ("timeout_connect", "timeout_client", "timeout_server"):
        value = getattr(haproxy, name)
        if value is not None and (seconds(value) or 0) > _LONGEST:
            refusals.refuse(f"haproxy.{camel(name)}", value, "Octavia waits for a day at most", getattr(usual, name))


def check_monitor(settings: ProxySection, refusals: Refusals) -> None:
    """An API that is to stop has enough time for the load balancer to find it unhealthy."""
    found, stop = monitor(settings.haproxy), settings.chain.api_stop
    if found.delay * found.down >= stop:
        rule = (
            f"the load balancer needs {found.delay * found.down} s to take an API out (haproxy.checkFall = "
            f"{found.fall}), and the API has timeouts.apiStop ({stop} s) to finish its requests"
        )
        usual = HaproxySettings().check_interval
        refusals.refuse("haproxy.checkInterval", settings.haproxy.check_interval, rule, usual)
