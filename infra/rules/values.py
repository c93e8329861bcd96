"""Each value for itself."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable

from components.install import Method
from infra.model import CaretakerSettings, HaproxySettings, Settings, TimeoutSettings
from infra.policy import read_policy
from infra.reader import Reader, camel, seconds

_CHOICES = {
    "hosts": ("containers", "openstack", "existing"),
    "control_plane": ("bundled", "existing"),
    "install": tuple(method.value for method in Method),
    "api_runner": ("uwsgi", "console"),
    "load_balancer": ("haproxy", "octavia"),
}
PORTS = ("api_port", "cfn_port", "stats_port")
_AT_LEAST_ONE = (
    "nodes",
    "engines",
    "apis",
    "cfn_apis",
    "engine_workers",
    "api_processes",
    "api_threads",
    "rolling_batch",
    "generation",
)
_BALANCE = ("source", "roundrobin", "leastconn", "static-rr", "random")
MAX_PORT = 65535
# Bytes of a request's headers: any token of Keystone's has room in the least, and a URL of 7000 is left by the most.
_SMALLEST_HEADER, _LARGEST_HEADER = 8192, 49152
# Bytes of a request's body.
_SMALLEST_BODY, LARGEST_BODY = 16384, 67108864


def check_values(settings: Settings, reader: Reader) -> None:
    """Each value for itself."""
    default = Settings()
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            listed = " or ".join(choices)
            reader.refuse(camel(name), getattr(settings, name), f"this must be {listed}", getattr(default, name))
    for name in _AT_LEAST_ONE:
        if getattr(settings, name) < 1:
            reader.refuse(camel(name), getattr(settings, name), "at least 1 is wanted", getattr(default, name))
    for name in PORTS:
        if not 0 < getattr(settings, name) <= MAX_PORT:
            reader.refuse(camel(name), getattr(settings, name), f"a port is 1 to {MAX_PORT}", getattr(default, name))
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", settings.region):
        reader.refuse("region", settings.region, "a region is letters, digits and _.-", default.region)
    for entry in settings.stats_allow:
        if error := not_a_network(ipaddress.ip_network, entry):
            reader.refuse("statsAllow", list(settings.stats_allow), error)
    if error := not_a_network(ipaddress.IPv4Network, settings.subnet):
        reader.refuse("subnet", settings.subnet, error, default.subnet)
    _check_policy(settings.policy, reader)
    _check_at_least_one("timeouts", settings.timeouts, reader)
    _check_caretaker(settings.caretaker, reader)
    _check_haproxy(settings.haproxy, reader)


def not_a_network(kind: Callable[[str], object], text: str) -> str:
    """Why a text is no network of this kind; empty where it is one."""
    try:
        kind(text)
    except ValueError as error:
        return str(error)
    return ""


def _check_policy(path: str, reader: Reader) -> None:
    try:
        if path:
            read_policy(path)
    except ValueError as error:
        reader.refuse("policy", path, f"{error}", "<a file of rules>")


def _check_at_least_one(key: str, part: HaproxySettings | TimeoutSettings, reader: Reader) -> None:
    for item in dataclasses.fields(part):
        value = getattr(part, item.name)
        if isinstance(value, int) and value < 1:
            reader.refuse(f"{key}.{camel(item.name)}", value, "at least 1 is wanted", item.default)


# A period that divides the hour or the day comes round at the same times each day.
_PERIODS = {"rescue_minutes": (60, "an hour", "minutes"), "clean_hours": (24, "a day", "hours")}


def _check_caretaker(caretaker: CaretakerSettings, reader: Reader) -> None:
    default = CaretakerSettings()
    for name, (whole, of, unit) in _PERIODS.items():
        value = getattr(caretaker, name)
        if value != 0 and (not 0 < value < whole or whole % value):
            fitting = ", ".join(str(number) for number in range(1, whole) if whole % number == 0)
            rule = f"{unit} that divide {of} are wanted ({fitting}), or 0 for never"
            reader.refuse(f"caretaker.{camel(name)}", value, rule, getattr(default, name))
    if caretaker.grace_seconds < 1:
        reader.refuse("caretaker.graceSeconds", caretaker.grace_seconds, "at least 1 is wanted", default.grace_seconds)
    if caretaker.purge_days < 0:
        rule = "a number of days is wanted, or 0 for never"
        reader.refuse("caretaker.purgeDays", caretaker.purge_days, rule, default.purge_days)
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", caretaker.purge_at):
        rule = "a time of the day is wanted, 00:00 to 23:59"
        reader.refuse("caretaker.purgeAt", caretaker.purge_at, rule, default.purge_at)


def _check_haproxy(haproxy: HaproxySettings, reader: Reader) -> None:
    default = HaproxySettings()
    _check_at_least_one("haproxy", haproxy, reader)
    for item in dataclasses.fields(haproxy):
        key, value = f"haproxy.{camel(item.name)}", getattr(haproxy, item.name)
        duration = item.name.startswith("timeout") or item.name.endswith("_interval")
        if duration and value is not None and not seconds(value):
            reader.refuse(key, value, "a duration above 0 with its unit (ms, s, m, h) is wanted", item.default)
    if haproxy.balance not in _BALANCE:
        reader.refuse("haproxy.balance", haproxy.balance, f"this must be one of {', '.join(_BALANCE)}", default.balance)
    if not _SMALLEST_HEADER <= haproxy.max_header <= _LARGEST_HEADER:
        rule = f"must be {_SMALLEST_HEADER} to {_LARGEST_HEADER} bytes: uWSGI takes no more"
        reader.refuse("haproxy.maxHeader", haproxy.max_header, rule, default.max_header)
    if haproxy.max_body is not None and not _SMALLEST_BODY <= haproxy.max_body <= LARGEST_BODY:
        rule = f"must be {_SMALLEST_BODY} to {LARGEST_BODY} bytes: HAProxy holds a whole request in memory"
        reader.refuse("haproxy.maxBody", haproxy.max_body, rule)
    for at, entry in enumerate(haproxy.trusted_proxies):
        if error := _not_trustworthy(entry):
            reader.refuse(f"haproxy.trustedProxies[{at}]", entry, error, "<the proxy's address>")


def _not_trustworthy(text: str) -> str:
    """Why this is no network of trusted proxies; empty where it is one."""
    # No scope, no netmask, nothing that HAProxy or Python read otherwise.
    if not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", text):
        return "must be an IPv4 or IPv6 address, or a network such as 192.0.2.0/24"
    if error := not_a_network(ipaddress.ip_network, text):
        return error
    return "" if ipaddress.ip_network(text).prefixlen else "this trusts everybody"
