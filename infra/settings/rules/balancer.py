"""Octavia in place of HAProxy: what it takes of HAProxy's settings, and what it cannot do."""

from __future__ import annotations

import dataclasses

from infra.settings.model import METHODS, HaproxySettings, Settings
from infra.settings.reader import Reader, camel, seconds

# What has its place in a load balancer of Octavia's.
_TAKEN = {
    "maxconn", "balance", "timeout_connect", "timeout_client", "timeout_server", "timeout_check", "check_interval",
    "check_fall", "check_rise",
}  # fmt: skip
# Octavia's limits: of the answers in a row that count, and of its timeouts, in seconds.
_MOST_ANSWERS, _LONGEST = 10, 86400


def check_balancer(settings: Settings, reader: Reader) -> None:
    """Each value for itself, where `loadBalancer` is octavia; of values that are good in themselves."""
    if settings.hosts != "openstack":
        rule = "a load balancer of a cloud's is for hosts: openstack"
        reader.refuse("loadBalancer", settings.load_balancer, rule, Settings().load_balancer)
    if settings.stats_allow:
        rule = "these read the statistics of HAProxy, and Octavia has none"
        reader.refuse("statsAllow", list(settings.stats_allow), rule)
    _check_haproxy(settings.haproxy, reader)


def _check_haproxy(haproxy: HaproxySettings, reader: Reader) -> None:
    default = HaproxySettings()
    for item in dataclasses.fields(haproxy):
        key, value = f"haproxy.{camel(item.name)}", getattr(haproxy, item.name)
        if item.name not in _TAKEN and value != getattr(default, item.name):
            shown = list(value) if isinstance(value, tuple) else value
            reader.refuse(key, shown, "Octavia has nothing like it")
    if haproxy.balance not in METHODS:
        rule = f"with Octavia this must be one of {', '.join(METHODS)}"
        reader.refuse("haproxy.balance", haproxy.balance, rule, default.balance)
    for name, least, does in (("check_interval", 2, "asks every"), ("timeout_check", 1, "waits for an answer")):
        value = getattr(haproxy, name)
        length = seconds(value) or 0
        if length < least or length % 1:
            rule = f"Octavia {does} so many whole seconds, {least} at least"
            reader.refuse(f"haproxy.{camel(name)}", value, rule, getattr(default, name))
    for name in ("check_fall", "check_rise"):
        if getattr(haproxy, name) > _MOST_ANSWERS:
            rule = f"Octavia counts to {_MOST_ANSWERS} at most"
            reader.refuse(f"haproxy.{camel(name)}", getattr(haproxy, name), rule, getattr(default, name))
    for name in ("timeout_connect", "timeout_client", "timeout_server"):
        value = getattr(haproxy, name)
        if value is not None and (seconds(value) or 0) > _LONGEST:
            rule = "Octavia waits for a day at most"
            reader.refuse(f"haproxy.{camel(name)}", value, rule, getattr(default, name))
