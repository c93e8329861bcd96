"""Each value for itself, as far as its form says too little: infra/settings/formats.py."""

from __future__ import annotations

from components.heat.install import Method
from infra.settings.model import API_PORTS, CaretakerSettings, Settings
from infra.settings.policy import read_policy
from infra.settings.reader import Reader, camel

_CHOICES = {
    "hosts": ("containers", "openstack", "existing"),
    "control_plane": ("bundled", "existing"),
    "install": tuple(method.value for method in Method),
    "api_runner": ("uwsgi", "console"),
    "load_balancer": ("haproxy", "octavia"),
    "protect": ("auto", "true", "false"),
}
PORTS = (*API_PORTS.values(), "stats_port")
_BALANCE = ("source", "roundrobin", "leastconn", "static-rr", "random")


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
