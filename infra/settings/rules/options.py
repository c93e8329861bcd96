"""Options of heat.conf that are said otherwise: such as Heat knows, none that this program sets, secrets as secrets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from components import urls
from components.adoption.names import label
from components.adoption.tables import RENAMED, SET_BY_PROGRAM
from components.heat.heat_conf import (
    ENCRYPTED_TOKENS,
    TOKEN_CACHE_KEY,
    Secrets,
    Services,
    secret_options,
    service_options,
)
from components.heat.options import LOGINS, Name, alike, catalogue, looks_secret, may_be_secret
from components.topology import APIS, Kind
from infra.settings.model import API_PORTS, FRONT, KEY_PLAIN, KEY_SECRET, OptionSettings, Settings, Value
from infra.settings.reader import Reader, camel, step

# Options, and the settings that say the same.
_SETTINGS: dict[Name, str] = {
    ("DEFAULT", "rpc_response_timeout"): "timeouts.rpcResponse",
    ("DEFAULT", "graceful_shutdown_timeout"): "timeouts.engineGraceful",
    ("DEFAULT", "num_engine_workers"): "engineWorkers",
    ("DEFAULT", "region_name_for_services"): "region",
    **{(api.section, "workers"): "apiProcesses" for api in APIS.values()},
    **{(APIS[kind].section, "bind_port"): camel(name) for kind, name in API_PORTS.items()},
}
# What says the same of a control plane that is there already, by the option's name; the bundled one says it itself.
_CONTROL = {
    "auth_encryption_key": "authEncryptionKey",
    "auth_uri": "control.keystoneUrl",
    "auth_url": "control.keystoneUrl",
    "ca_file": "control.ca",
    "cafile": "control.ca",
    "connection": "databaseUrl",
    "endpoint_override": "control.keystoneUrl",
    "memcache_servers": "control.memcached",
    "memcached_servers": "control.memcached",
    "password": "servicePassword",
    "project_domain_name": "control.domain",
    "project_name": "control.project",
    "ssl": "control.tls",
    "ssl_ca_file": "control.ca",
    "stack_domain_admin": "control.stackDomainAdmin",
    "stack_domain_admin_password": "stackDomainAdminPassword",
    "stack_user_domain_name": "control.stackDomain",
    "transport_url": "transportUrl",
    "user_domain_name": "control.domain",
    "username": "control.user",
    "www_authenticate_uri": "control.keystoneUrl",
}
# How the APIs keep tokens in memcached has a default here, and no setting.
_DEFAULTS = {*ENCRYPTED_TOKENS, TOKEN_CACHE_KEY}
# Options that follow from a setting that says more.
_FOLLOWING: dict[Name, str] = {
    ("oslo_policy", "policy_file"): "policy",
    **{
        (section, option): "controlPlane"
        for options in (
            service_options(Services(keystone_url="", memcached=("",), ca_file="/")),
            secret_options(Secrets(**{item.name: "" for item in dataclasses.fields(Secrets)})),
        )
        for section, values in options.items()
        for option in values
        if option not in _DEFAULTS
    },
}
_LOGIN_OPTIONS = {option for section, option in catalogue().options if section.startswith("auth:")}
# Options that are as they are for a reason.
_OURS: dict[Name, str] = {
    **{name: reason for name, reason in SET_BY_PROGRAM.items() if name[1] not in ("environment_dir", "template_dir")},
    ("DEFAULT", "heat_stack_user_role"): "this program sets it itself: Keystone has to know the same role",
    **{
        (api.section, "bind_host"): "this program sets it itself: the proxy is where clients look"
        for api in APIS.values()
    },
}
_HINTS = 20
# What processes have to have in common to understand one another, beside all that is RabbitMQ's.
_MESSAGING = {
    ("DEFAULT", "control_exchange"),
    ("DEFAULT", "executor_thread_pool_size"),
    ("DEFAULT", "rpc_ping_enabled"),
}


@dataclass(frozen=True)
class _Option:
    """An option as it is said: `scope` is the path of the sections that it is in."""

    scope: str
    name: Name
    value: Value

    @property
    def setting(self) -> str:
        return self.scope.partition(".")[0]

    @property
    def path(self) -> str:
        return self.at(self.scope, self.name)

    @property
    def whom(self) -> str:
        return self.scope.removeprefix(f"{self.setting}.")

    @property
    def values(self) -> tuple[str, ...]:
        return (self.value,) if isinstance(self.value, str) else self.value

    @property
    def secret(self) -> bool:
        known = catalogue().options.get(self.name)
        if known is None and any(may_be_secret(self.name[1], value) for value in self.values):
            return True
        return bool(known and known.secret) or looks_secret(self.name[1]) or any(map(urls.has_login, self.values))

    @property
    def hidden(self) -> bool:
        """Whether its value is not to be shown."""
        return self.secret or self.setting == "secretOptions"

    @staticmethod
    def at(scope: str, name: Name) -> str:
        return step(step(scope, name[0]), name[1])


def check_options(settings: Settings, reader: Reader) -> None:
    """All of them, wherever they stand; those of single processes are looked up by `check_processes`."""
    nodes = [name for name in settings.host_names if name != FRONT]
    for setting, options in _both(settings):
        reader.unknown(options.nodes, nodes, f"{setting}.nodes", what="node")
        reader.unknown(options.kinds, [kind.value for kind in Kind], f"{setting}.kinds", what="kind of process")
    plain = [_Option(*found) for found in settings.options.each("options")]
    secret = [_Option(*found) for found in settings.secret_options.each("secretOptions")]
    if any(KEY_SECRET in option.value for option in plain):
        rule = "one that is a secret makes all of them one, and no preview shows any: it has a place of its own"
        remedy = f"{reader.remove('options.<its path>')}; {reader.set_secret('secretOptions.<its path>')}"
        reader.refuse("options", KEY_SECRET, rule, remedy=remedy)
        plain = []
    hidden = {option.name for option in secret}
    for option in plain:
        away = reader.remove(option.path)
        if told := _problem(option, settings, reader):
            _refuse(option, *told, reader)
        elif option.secret:
            remedy = f"{away}; {_set(option, option.whom, option.name, reader)}"
            reader.refuse(option.path, KEY_PLAIN, "this is a secret, and here it would be kept as it is", remedy=remedy)
        elif option.name in hidden:
            _refuse(option, "secretOptions has it too, and one of the two has to go", away, reader)
    for option in secret:
        if told := _problem(option, settings, reader):
            _refuse(option, *told, reader)
        elif KEY_PLAIN in option.value:
            _refuse(option, "a secret is wanted here", reader.set_secret(option.path), reader)


def check_secret_options(given: str, reader: Reader) -> None:
    """The values themselves of options that are secrets, of which `Settings` has words only; none is shown."""
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = given
    hidden = Reader(reader.stack, hidden=True)
    hidden.typed(Settings, {"secretOptions": found})
    told = {problem.partition(" = ")[0] for problem in reader.problems}
    reader.problems += [problem for problem in hidden.problems if problem.partition(" = ")[0] not in told]


def check_processes(settings: Settings, reader: Reader) -> None:
    """The processes that have options of their own are among those of the plan."""
    names = [process.name for process in settings.processes]
    for setting, options in _both(settings):
        reader.unknown(options.processes, names, f"{setting}.processes", what="process")


def _both(settings: Settings) -> tuple[tuple[str, OptionSettings], ...]:
    return ("options", settings.options), ("secretOptions", settings.secret_options)


def _refuse(option: _Option, rule: str, remedy: str, reader: Reader) -> None:
    # Its value may be a secret by mistake.
    shown = KEY_PLAIN if option.secret and option.setting == "options" else option.value
    reader.refuse(option.path, shown if isinstance(shown, str) else list(shown), rule, remedy=remedy)


def _problem(option: _Option, settings: Settings, reader: Reader) -> tuple[str, str] | None:
    """Why an option cannot be, and what to type; None where it can."""
    away = reader.remove(option.path)
    if rule := _in_our_hands(option.name):
        same = _SETTINGS.get(option.name)
        return rule, f"{away}; {reader.set_given(same, option.value)}" if same and isinstance(
            option.value, str
        ) and not option.hidden else away
    # Where a host says which release it is, it also refuses what that one does not know.
    looked_up = settings.release_is_known and "{}.{}".format(*option.name) not in settings.allow_options
    if looked_up and (told := _unknown(option, settings, reader)):
        return told
    if option.whom != "all" and (option.name[0] == "oslo_messaging_rabbit" or option.name in _MESSAGING):
        rule = "messages come through only where all processes have the same here"
        return rule, f"{away}; {_set(option, 'all', option.name, reader)}"
    known = catalogue().options.get(option.name)
    if not isinstance(option.value, str) and known and not (known.list or known.multi):
        return "this option has one value", f"{away}; {reader.set(option.path, '<its value>')}"
    if known and known.list and any("," in value for value in option.values if not isinstance(option.value, str)):
        return "oslo.config would read the comma in one of its values as the end of it", away
    return None


def _set(option: _Option, whom: str, name: Name, reader: Reader) -> str:
    """What to type for the option's value to be that of another one, or for others."""
    if option.hidden:
        return reader.set_secret(_Option.at(f"secretOptions.{whom}", name))
    path = _Option.at(f"options.{whom}", name)
    if isinstance(option.value, str):
        return reader.set_given(path, option.value)
    return "; ".join(reader.set_given(f"{path}[{index}]", value) for index, value in enumerate(option.value))


def _in_our_hands(name: Name) -> str:
    """Why an option is none to be said otherwise; empty where it may be."""
    # Whatever way there may be to write its name, as - for _: of what is this program's own only one is known.
    name = (name[0], name[1].lower().replace("-", "_"))
    setting = _SETTINGS.get(name) or _FOLLOWING.get(name)
    if name[0] in LOGINS and name[1] in _LOGIN_OPTIONS:
        setting = "controlPlane"
    if setting == "controlPlane" and (given := _CONTROL.get(name[1])):
        setting = f"controlPlane ({given} of an existing one)"
    return f"this program sets it, from {setting}" if setting else _OURS.get(name, "")


def _unknown(option: _Option, settings: Settings, reader: Reader) -> tuple[str, str] | None:
    """What is told of an option that the release does not know by this name; None where it does."""
    known, name, away = catalogue(), option.name, reader.remove(option.path)
    release = f"Heat {settings.heat_version}"
    try:
        series = known.series(settings.heat_version)
    except ValueError:
        return None  # It is heatVersion that is refused.
    if known.knows(name, series):
        return None
    for today in (*known.renamed.get(name, ()), *([RENAMED[name]] if name in RENAMED else ())):
        if known.knows(today, series):
            if rule := _in_our_hands(today):
                return f"it is {label(today)} now, and {rule}", away
            return f"it is {label(today)} now", f"{away}; {_set(option, option.whom, today, reader)}"
    if older := known.options.get(name):
        return f"{release} does not know it, only {' and '.join(map(str, sorted(older.series)))} did", away
    # Of many unknown ones the first may have been meant to be others.
    few = len(reader.problems) < _HINTS
    hint = few and alike(name, (other for other in known.options if known.knows(other, series)))
    allow = reader.set(f"allowOptions[{len(settings.allow_options)}]", "{}.{}".format(*name))
    return f"{release} does not know it{f' ({hint})' if hint else ''}", f"{away}; or, for a plug-in's: {allow}"
