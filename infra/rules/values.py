"""Each value for itself."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable

from components.install import Method
from infra.model import HaproxySettings, Settings
from infra.reader import Reader, camel, seconds

_CHOICES = {
    "hosts": ("containers", "existing"),
    "control_plane": ("bundled", "existing"),
    "install": tuple(method.value for method in Method),
    "api_runner": ("uwsgi", "console"),
}
PORTS = ("api_port", "cfn_port", "stats_port")
_AT_LEAST_ONE = (
    "nodes", "engines", "apis", "cfn_apis", "engine_workers", "api_processes", "api_threads", "rpc_response_timeout",
    "graceful_shutdown_timeout",
)  # fmt: skip
_BALANCE = ("source", "roundrobin", "leastconn", "static-rr", "random")
MAX_PORT = 65535


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
        if error := _not_a_network(ipaddress.ip_network, entry):
            reader.refuse("statsAllow", list(settings.stats_allow), error)
    if error := _not_a_network(ipaddress.IPv4Network, settings.subnet):
        reader.refuse("subnet", settings.subnet, error, default.subnet)
    _check_haproxy(settings.haproxy, reader)


def _not_a_network(kind: Callable[[str], object], text: str) -> str:
    """Why a text is no network of this kind; empty where it is one."""
    try:
        kind(text)
    except ValueError as error:
        return str(error)
    return ""


def _check_haproxy(haproxy: HaproxySettings, reader: Reader) -> None:
    default = HaproxySettings()
    for item in dataclasses.fields(haproxy):
        key, value = f"haproxy.{camel(item.name)}", getattr(haproxy, item.name)
        duration = item.name.startswith("timeout") or item.name == "check_interval"
        if duration and value is not None and not seconds(value):
            reader.refuse(key, value, "a duration above 0 with its unit (ms, s, m, h) is wanted", item.default)
        if isinstance(value, int) and value < 1:
            reader.refuse(key, value, "at least 1 is wanted", item.default)
    if haproxy.balance not in _BALANCE:
        reader.refuse("haproxy.balance", haproxy.balance, f"this must be one of {', '.join(_BALANCE)}", default.balance)
