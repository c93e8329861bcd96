"""Each value for itself, as far as its form says too little: infra/formats.py."""

from __future__ import annotations

import dataclasses
import ipaddress

from components.install import Method
from components.memory import NONE, megabytes
from infra.model import CaretakerSettings, HaproxySettings, MemorySettings, Settings
from infra.policy import read_policy
from infra.reader import Reader, camel

_CHOICES = {
    "hosts": ("containers", "openstack", "existing"),
    "control_plane": ("bundled", "existing"),
    "install": tuple(method.value for method in Method),
    "api_runner": ("uwsgi", "console"),
    "load_balancer": ("haproxy", "octavia"),
    "protect": ("auto", "true", "false"),
}
PORTS = ("api_port", "cfn_port", "stats_port")
_BALANCE = ("source", "roundrobin", "leastconn", "static-rr", "random")
# In MB. Below this no unit starts.
_LEAST_MEMORY = 64


def check_values(settings: Settings, reader: Reader) -> None:
    """Each value for itself."""
    default = Settings()
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            listed = " or ".join(choices)
            reader.refuse(camel(name), getattr(settings, name), f"this must be {listed}", getattr(default, name))
    if settings.haproxy.balance not in _BALANCE:
        rule = f"this must be one of {', '.join(_BALANCE)}"
        reader.refuse("haproxy.balance", settings.haproxy.balance, rule, default.haproxy.balance)
    _check_policy(settings.policy, reader)
    _check_caretaker(settings.caretaker, reader)
    _check_memory(settings.memory, reader)
    _check_trust(settings.haproxy, reader)


def _check_policy(path: str, reader: Reader) -> None:
    try:
        if path:
            read_policy(path)
    except ValueError as error:
        reader.refuse("policy", path, f"{error}", "<a file of rules>")


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


def _check_memory(memory: MemorySettings, reader: Reader) -> None:
    for item in dataclasses.fields(memory):
        size = getattr(memory, item.name)
        if size and size != NONE and megabytes(size) < _LEAST_MEMORY:
            rule = f"must be at least {_LEAST_MEMORY}M, or {NONE} for no limit"
            reader.refuse(f"memory.{camel(item.name)}", size, rule, item.default or None)


def _check_trust(haproxy: HaproxySettings, reader: Reader) -> None:
    for at, entry in enumerate(haproxy.trusted_proxies):
        if not ipaddress.ip_network(entry).prefixlen:
            reader.refuse(f"haproxy.trustedProxies[{at}]", entry, "this trusts everybody", "<the proxy's address>")
