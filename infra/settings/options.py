"""`options`, `secretOptions`, `allowOptions` and `policy`: overriding heat.conf options."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

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
from components.heat.overrides import Layers, Options, format_value
from components.topology import APIS, Kind
from infra.settings.fields import Section
from infra.settings.formats import ALLOWED, NAME, OPTION, PATH, SECTION, VALUE
from infra.settings.policy import read_policy
from infra.settings.refusals import ONE, SEVERAL, Refusals, step
from infra.settings.secret import KEY_PLAIN, KEY_SECRET

# An option's value, or several if the option is a list or may be repeated.
Value = Annotated[
    Annotated[str, VALUE, Tag(ONE)] | Annotated[tuple[Annotated[str, VALUE], ...], Tag(SEVERAL)],
    Discriminator(lambda value: SEVERAL if isinstance(value, (list, tuple)) else ONE),
]
Sections = dict[Annotated[str, SECTION.of_keys], dict[Annotated[str, OPTION.of_keys], Value]]


class OptionSettings(Section):
    """Options of heat.conf, by which processes they are for: `components.heat.overrides.Layers`."""

    MOVED: ClassVar[Mapping[str, str]] = {section: f"all.{section}" for section, _ in catalogue().options}

    all: Sections = Field(default_factory=dict)
    """For every process: all.SECTION.OPTION."""
    nodes: dict[Annotated[str, NAME.of_keys], Sections] = Field(default_factory=dict)
    """For the processes of one node: nodes.NODE.SECTION.OPTION."""
    kinds: dict[Annotated[str, NAME.of_keys], Sections] = Field(default_factory=dict)
    """For the processes of one kind (heat-engine, heat-api, heat-api-cfn): kinds.KIND.SECTION.OPTION."""
    processes: dict[Annotated[str, NAME.of_keys], Sections] = Field(default_factory=dict)
    """For one process: processes.PROCESS.SECTION.OPTION."""

    def each(self, path: str) -> Iterator[tuple[str, Name, str | tuple[str, ...]]]:
        """Every option: the path of its scope, which begins with `path`, its name and its value."""
        scopes = [(step(path, "all"), self.all)]
        for whom in ("nodes", "kinds", "processes"):
            scopes += [(step(step(path, whom), name), sections) for name, sections in getattr(self, whom).items()]
        for scope, sections in scopes:
            for section, values in sections.items():
                for option, value in values.items():
                    yield scope, (section, option), value

    def most(self, name: Name, default: int) -> int:
        """The largest number that an option has anywhere; `default` if that is larger."""
        given = (value for _, option, value in self.each("") if option == name)
        numbers = (int(value) for value in given if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value))
        return max(numbers, default=default)

    @property
    def layers(self) -> Layers:
        """The same, with values as they are written into heat.conf."""

        def options(sections: Sections) -> Options:
            return {
                section: {option: format_value((section, option), value) for option, value in values.items()}
                for section, values in sections.items()
            }

        return Layers(
            all=options(self.all),
            nodes={name: options(sections) for name, sections in self.nodes.items()},
            kinds={name: options(sections) for name, sections in self.kinds.items()},
            processes={name: options(sections) for name, sections in self.processes.items()},
        )


class OptionsSection(Section):
    """Overriding heat.conf options."""

    options: OptionSettings = Field(default_factory=OptionSettings)
    """Options of heat.conf (docs/overrides.md)."""
    secret_options: OptionSettings = Field(default_factory=OptionSettings)
    """Secret options of heat.conf, set with `--secret`; otherwise like options."""
    allow_options: tuple[Annotated[str, ALLOWED], ...] = ()
    """Options of a plug-in, which Heat itself does not know, such as my_plugin.colour."""
    policy: Annotated[str, PATH] = ""
    """A file of policy rules on this machine, which override this program's and Heat's own. A relative path starts at
    the checkout (docs/overrides.md)."""


# Options that a setting sets.
_SETTINGS: dict[Name, str] = {
    ("DEFAULT", "rpc_response_timeout"): "timeouts.rpcResponse",
    ("DEFAULT", "graceful_shutdown_timeout"): "timeouts.engineGraceful",
    ("DEFAULT", "num_engine_workers"): "engineWorkers",
    ("DEFAULT", "region_name_for_services"): "region",
    **{(api.section, "workers"): "apiProcesses" for api in APIS.values()},
    ("heat_api", "bind_port"): "apiPort",
    ("heat_api_cfn", "bind_port"): "cfnPort",
}
# By the option's name: the setting that sets it for an existing control plane. A bundled one sets it itself.
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
# Options that follow from a setting.
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
# Options that this program sets for a reason.
_OURS: dict[Name, str] = {
    **{name: reason for name, reason in SET_BY_PROGRAM.items() if name[1] not in ("environment_dir", "template_dir")},
    ("DEFAULT", "heat_stack_user_role"): "this program sets it itself: Keystone must have the same role",
    **{(api.section, "bind_host"): "this program sets it itself: clients reach the proxy" for api in APIS.values()},
}
_HINTS = 20
# What all processes must have in common to understand each other, in addition to everything for RabbitMQ.
_MESSAGING = {
    ("DEFAULT", "control_exchange"),
    ("DEFAULT", "executor_thread_pool_size"),
    ("DEFAULT", "rpc_ping_enabled"),
}


@dataclass(frozen=True)
class _Option:
    """An option in the settings: `scope` is the path of the sections that it is in."""

    scope: str
    name: Name
    value: str | tuple[str, ...]

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


def check_options(settings: OptionsSection, nodes: Sequence[str], version: str, refusals: Refusals) -> None:
    """All options; `check_processes` checks the names of single processes.

    Args:
        settings: the settings.
        nodes: the names of the Heat nodes.
        version: the release of Heat; "" if it is only known on a host.
        refusals: takes the problems.
    """
    for setting, options in _both(settings):
        refusals.unknown(options.nodes, nodes, f"{setting}.nodes", what="node")
        refusals.unknown(options.kinds, [kind.value for kind in Kind], f"{setting}.kinds", what="kind of process")
    plain = [_Option(*found) for found in settings.options.each("options")]
    secret = [_Option(*found) for found in settings.secret_options.each("secretOptions")]
    if any(KEY_SECRET in option.value for option in plain):
        rule = "one secret option makes all of them secret, and no preview shows them; they belong in secretOptions"
        remedy = f"{refusals.remove('options.<its path>')}; {refusals.set_secret('secretOptions.<its path>')}"
        refusals.refuse("options", KEY_SECRET, rule, remedy=remedy)
        plain = []
    hidden = {option.name for option in secret}
    for option in plain:
        away = refusals.remove(option.path)
        if problem := _problem(option, version, settings.allow_options, refusals):
            _refuse(option, *problem, refusals)
        elif option.secret:
            remedy = f"{away}; {_set(option, option.whom, option.name, refusals)}"
            refusals.refuse(option.path, KEY_PLAIN, "this is a secret, and would be kept in plain text", remedy=remedy)
        elif option.name in hidden:
            _refuse(option, "secretOptions has it too; remove one of the two", away, refusals)
    for option in secret:
        if problem := _problem(option, version, settings.allow_options, refusals):
            _refuse(option, *problem, refusals)
        elif KEY_PLAIN in option.value:
            _refuse(option, "must be a secret", refusals.set_secret(option.path), refusals)


def check_secret_options(given: str, refusals: Refusals) -> None:
    """The values of secret options, for which the settings have words only; none is shown."""
    if not given:
        return
    try:
        found = json.loads(given)
    except (ValueError, RecursionError):
        found = given
    hidden = Refusals(refusals.stack, hidden=True)
    hidden.typed(OptionsSection, {"secretOptions": found})
    reported = {problem.partition(" = ")[0] for problem in refusals.problems}
    refusals.problems += [problem for problem in hidden.problems if problem.partition(" = ")[0] not in reported]


def check_policy(path: str, refusals: Refusals) -> None:
    """The operator's policy rules."""
    try:
        if path:
            read_policy(path)
    except ValueError as error:
        refusals.refuse("policy", path, f"{error}", "<a file of rules>")


def check_processes(settings: OptionsSection, names: Sequence[str], refusals: Refusals) -> None:
    """The processes with options of their own are part of the plan."""
    for setting, options in _both(settings):
        refusals.unknown(options.processes, names, f"{setting}.processes", what="process")


def _both(settings: OptionsSection) -> tuple[tuple[str, OptionSettings], ...]:
    return ("options", settings.options), ("secretOptions", settings.secret_options)


def _refuse(option: _Option, rule: str, remedy: str, refusals: Refusals) -> None:
    # The value may be a secret by mistake.
    shown = KEY_PLAIN if option.secret and option.setting == "options" else option.value
    refusals.refuse(option.path, shown if isinstance(shown, str) else list(shown), rule, remedy=remedy)


def _problem(option: _Option, version: str, allowed: Sequence[str], refusals: Refusals) -> tuple[str, str] | None:
    """Why an option cannot be used, and what to type; None if it can."""
    away = refusals.remove(option.path)
    if rule := _not_overridable(option.name):
        same = _SETTINGS.get(option.name)
        return rule, f"{away}; {refusals.set_given(same, option.value)}" if same and isinstance(
            option.value, str
        ) and not option.hidden else away
    # If the release is only known on a host, the host refuses what the release does not know.
    looked_up = version and "{}.{}".format(*option.name) not in allowed
    if looked_up and (problem := _unknown(option, version, len(allowed), refusals)):
        return problem
    if option.whom != "all" and (option.name[0] == "oslo_messaging_rabbit" or option.name in _MESSAGING):
        rule = "all processes must have the same value, or messages are lost"
        return rule, f"{away}; {_set(option, 'all', option.name, refusals)}"
    known = catalogue().options.get(option.name)
    if not isinstance(option.value, str) and known and not (known.list or known.multi):
        return "must be one value", f"{away}; {refusals.set(option.path, '<its value>')}"
    if known and known.list and any("," in value for value in option.values if not isinstance(option.value, str)):
        return "must not have a comma within a value: oslo.config ends the value there", away
    return None


def _set(option: _Option, whom: str, name: Name, refusals: Refusals) -> str:
    """What to type to give this value to another option, or to other processes."""
    if option.hidden:
        return refusals.set_secret(_Option.at(f"secretOptions.{whom}", name))
    path = _Option.at(f"options.{whom}", name)
    if isinstance(option.value, str):
        return refusals.set_given(path, option.value)
    return "; ".join(refusals.set_given(f"{path}[{index}]", value) for index, value in enumerate(option.value))


def _not_overridable(name: Name) -> str:
    """Why an option cannot be overridden; empty if it can."""
    # oslo.config reads a name with - as the same with _.
    name = (name[0], name[1].lower().replace("-", "_"))
    setting = _SETTINGS.get(name) or _FOLLOWING.get(name)
    if name[0] in LOGINS and name[1] in _LOGIN_OPTIONS:
        setting = "controlPlane"
    if setting == "controlPlane" and (given := _CONTROL.get(name[1])):
        setting = f"controlPlane ({given} of an existing one)"
    return f"this program sets it, from {setting}" if setting else _OURS.get(name, "")


def _unknown(option: _Option, version: str, allowed: int, refusals: Refusals) -> tuple[str, str] | None:
    """What is reported if the release does not know an option by this name; None if it does."""
    known, name, away = catalogue(), option.name, refusals.remove(option.path)
    release = f"Heat {version}"
    try:
        series = known.series(version)
    except ValueError:
        return None  # heatVersion is refused.
    if known.knows(name, series):
        return None
    for today in (*known.renamed.get(name, ()), *([RENAMED[name]] if name in RENAMED else ())):
        if known.knows(today, series):
            if rule := _not_overridable(today):
                return f"it is {label(today)} now, and {rule}", away
            return f"it is {label(today)} now", f"{away}; {_set(option, option.whom, today, refusals)}"
    if older := known.options.get(name):
        return f"{release} does not know it, only {' and '.join(map(str, sorted(older.series)))} did", away
    # Hints are for misspelt options; many unknown options are no misspellings.
    few = len(refusals.problems) < _HINTS
    hint = few and alike(name, (other for other in known.options if known.knows(other, series)))
    allow = refusals.set(f"allowOptions[{allowed}]", "{}.{}".format(*name))
    return f"{release} does not know it{f' ({hint})' if hint else ''}", f"{away}; or, for a plug-in's: {allow}"
