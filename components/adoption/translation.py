"""An existing heat.conf as the nodes of a scale-out may read it. Pure: texts in, options and what became of each out.

What a host says of itself (127.0.0.1, localhost) becomes its address, old names become today's, what the release no
longer knows is left out and told, and what nobody knows is refused. Does not read files, and does not decide whose
option wins where this program has one of its own: `components.heat.heat_conf`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from components import loopback, urls
from components.adoption.oslo_files import DEFAULT, Entry, Resolver, UnresolvedError, read, section_name
from components.heat.options import LOGINS, Name, alike, catalogue, looks_secret
from components.text import shortened

# As components.heat.heat_conf has them: section, option, value.
Sections = Mapping[str, Mapping[str, str]]


class Outcome(Enum):
    """What became of an option."""

    KEPT = "kept"
    RENAMED = "renamed"
    REWRITTEN = "rewritten"
    ADDED = "added"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of one option, fit to be shown: `old` and `new` are values without their secrets."""

    name: Name
    outcome: Outcome
    old: str = ""
    new: str = ""
    targets: tuple[Name, ...] = ()
    reason: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where an API was reached, and so where the proxy is to be."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The options of today, the proxy's addresses, and the fate of every option that was read.

    `public` and `secret` have no option in common; an option that is repeated has its values on lines of their own.
    Nothing of it may be used while there are `problems`.
    """

    public: Sections
    secret: Sections = field(repr=False)
    api: Listener
    cfn: Listener
    fates: tuple[Fate, ...]
    added: tuple[Fate, ...]
    files: Mapping[Name, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


_ONE_PLACE = "this program sets it itself"
# What this program sets itself, and why.
OURS: Mapping[Name, str] = {
    (DEFAULT, "host"): f"{_ONE_PLACE}: each process has a name of its own",
    ("oslo_messaging_rabbit", "hostname"): f"{_ONE_PLACE}: each host has a name of its own",
    ("oslo_messaging_rabbit", "processname"): f"{_ONE_PLACE}: each process has a name of its own",
    (DEFAULT, "environment_dir"): f"{_ONE_PLACE}: it is where Heat is installed on the nodes",
    (DEFAULT, "template_dir"): f"{_ONE_PLACE}: it is where Heat is installed on the nodes",
    ("paste_deploy", "api_paste_config"): f"{_ONE_PLACE}: the release's own file",
    ("oslo_middleware", "enable_proxy_headers_parsing"): f"{_ONE_PLACE}: a proxy is in front",
} | {
    (DEFAULT, option): f"{_ONE_PLACE}: processes log to the journal"
    for option in (
        "log_config_append", "log_dir", "log_file", "syslog_log_facility", "use_journal", "use_stderr", "use_syslog",
        "watch_log_file",
    )
}  # fmt: skip

# The APIs' own sections, from when they were servers themselves.
_APIS = ("heat_api", "heat_api_cfn")
_PORTS = {"heat_api": 8004, "heat_api_cfn": 8000}
_MAX_PORT = 65535
_TLS = ("cert_file", "key_file")
_SERVER_OPTIONS = ("backlog", "max_header_line", "tcp_keepidle", "workers")
_LISTENING = ("bind_host", "bind_port", *_TLS, *_SERVER_OPTIONS)

_RABBIT = "oslo_messaging_rabbit"
_TRANSPORT: Name = (DEFAULT, "transport_url")
_BROKER_PARTS = (
    "rabbit_host",
    "rabbit_port",
    "rabbit_hosts",
    "rabbit_userid",
    "rabbit_password",
    "rabbit_virtual_host",
)
# What rabbit_hosts refers to in the files that Heat once came with.
_DEFAULTS = {"rabbit_host": "localhost", "rabbit_port": "5672"}
_RPC_BACKEND: Name = (DEFAULT, "rpc_backend")

_AUTH = "keystone_authtoken"
_AUTH_URL: Name = (_AUTH, "auth_url")
_AUTH_PARTS = ("auth_protocol", "auth_host", "auth_port", "auth_admin_prefix")
_ADMIN = {"admin_user": "username", "admin_password": "password", "admin_tenant_name": "project_name"}
_EC2_URI: Name = ("ec2authtoken", "auth_uri")


def _moved(new: str, *old: str) -> dict[Name, Name]:
    def name(text: str) -> Name:
        section, _, option = text.rpartition(".")
        return section or DEFAULT, option

    return {name(text): name(new) for text in old}


# Names that went before the oldest release in the table. That table knows those that went later.
RENAMED: dict[Name, Name] = {
    **_moved("database.connection", "sql_connection", "database.sql_connection", "sql.connection"),
    **_moved("database.backend", "db_backend", "database.db_backend"),
    **_moved(
        "database.connection_recycle_time",
        "sql_idle_timeout", "database.sql_idle_timeout", "database.idle_timeout", "sql.idle_timeout",
    ),
    **_moved("database.max_pool_size", "sql_max_pool_size", "database.sql_max_pool_size"),
    **_moved("database.max_retries", "sql_max_retries", "database.sql_max_retries"),
    **_moved(
        "database.retry_interval", "sql_retry_interval", "database.sql_retry_interval", "database.reconnect_interval"
    ),
    **_moved("database.max_overflow", "sql_max_overflow", "database.sqlalchemy_max_overflow"),
    **_moved("database.connection_debug", "sql_connection_debug"),
    **_moved("database.connection_trace", "sql_connection_trace"),
    **_moved("database.pool_timeout", "database.sqlalchemy_pool_timeout"),
    **_moved("oslo_messaging_notifications.driver", "notification_driver"),
    **_moved("oslo_messaging_notifications.topics", "notification_topics", "rpc_notifier2.topics"),
    **_moved("oslo_messaging_notifications.transport_url", "notification_transport_url"),
    **_moved("oslo_policy.policy_file", "policy_file"),
    **_moved("oslo_policy.policy_dirs", "policy_dirs"),
    **_moved("oslo_policy.policy_default_rule", "policy_default_rule"),
    **_moved("keystone_authtoken.www_authenticate_uri", "keystone_authtoken.auth_uri"),
    **{(_AUTH, old): (_AUTH, new) for old, new in _ADMIN.items()},
    **_moved(f"{_RABBIT}.ssl", "rabbit_use_ssl", f"{_RABBIT}.rabbit_use_ssl"),
    **_moved(f"{_RABBIT}.ssl_version", "kombu_ssl_version", f"{_RABBIT}.kombu_ssl_version"),
    **_moved(f"{_RABBIT}.ssl_key_file", "kombu_ssl_keyfile", f"{_RABBIT}.kombu_ssl_keyfile"),
    **_moved(f"{_RABBIT}.ssl_cert_file", "kombu_ssl_certfile", f"{_RABBIT}.kombu_ssl_certfile"),
    **_moved(f"{_RABBIT}.ssl_ca_file", "kombu_ssl_ca_certs", f"{_RABBIT}.kombu_ssl_ca_certs"),
    **_moved(
        f"{_RABBIT}.amqp_durable_queues",
        "amqp_durable_queues", "rabbit_durable_queues", f"{_RABBIT}.rabbit_durable_queues",
    ),
    **_moved(f"{_RABBIT}.kombu_missing_consumer_retry_timeout", "kombu_reconnect_timeout"),
    **{
        (DEFAULT, option): (_RABBIT, option)
        for option in (
            "amqp_auto_delete", "heartbeat_rate", "heartbeat_timeout_threshold", "kombu_reconnect_delay",
            "rabbit_ha_queues", "rabbit_interval_max", "rabbit_login_method", "rabbit_retry_backoff",
            "rabbit_retry_interval", "rpc_conn_pool_size",
        )
    },
}  # fmt: skip

_ENDLESS = "RabbitMQ's clients try without end now"
_GONE: dict[Name, str] = {
    (DEFAULT, "rabbit_max_retries"): _ENDLESS,
    (_RABBIT, "rabbit_max_retries"): _ENDLESS,
    (_RABBIT, "heartbeat_in_pthread"): "heartbeats always have a thread of their own now",
    (DEFAULT, "heat_watch_server_url"): "the CloudWatch API is gone",
    (DEFAULT, "enable_cloud_watch_lite"): "the CloudWatch API is gone",
}
# Sections, and options of sections, that were Heat's or its libraries' before the oldest release in the table.
_FORGOTTEN: dict[str, re.Pattern[str]] = {
    section: re.compile(options)
    for section, options in {
        DEFAULT: r"verbose|use_syslog_rfc_format|log_format|logging_.*|fake_rabbit|lock_path|"
        r"disable_process_locking|instance_user|instance_driver|onready|state_path|auth_strategy|allowed_rpc_.*|"
        r"qpid_.*|rpc_zmq_.*|zmq_.*|matchmaker_.*|rpc_cast_timeout|rpc_poll_timeout|use_pub_sub|use_router_proxy|"
        r"default_notification_exchange|notification_topics_.*|list_notifier_drivers|rabbit_notification_.*|"
        r"sql_min_pool_size|sqlite_.*|max_header_line|wsgi_.*|client_socket_timeout|"
        r"ringfile|pybasedir|bindir|amqp_rpc_.*|heartbeat_in_pthread|"
        r"max_template_size_.*",
        "database": r"sql_.*|min_pool_size|sqlite_clean_db|sqlite_db|use_tpool|mysql_enable_ndb",
        _AUTH: r"signing_dir|revocation_cache_time|check_revocations_for_cached|hash_algorithms|"
        r"admin_token",
        "ec2authtoken": r"keystone_ec2_url",
        _RABBIT: r"fake_rabbit|send_single_reply|pool_.*|socket_timeout|tcp_user_timeout|heartbeat_interval|"
        r"host_connection_reconnect_delay|connection_factory|channel_max|frame_max",
        "oslo_middleware": r"secure_proxy_ssl_header",
        "oslo_policy": r"policy_overrides",
        **dict.fromkeys(
            (
                "clients_ceilometer", "clients_monasca", "clients_sahara", "clients_senlin", "clients_vitrage",
                "clients_zun", "cors.subdomain", "eventlet_opts",
                "heat_api_cloudwatch", "matchmaker_redis", "matchmaker_ring", "oslo_concurrency", "oslo_messaging_amqp",
                "oslo_messaging_qpid", "oslo_messaging_zmq", "rpc_notifier2", "sql", "ssl",
            ),
            r".*",
        ),
    }.items()
}  # fmt: skip

_SERVERS = re.compile(r"(^|_)(host|hosts|hostname|server|servers|sentinels|ip)$")
_FILES = re.compile(r"(file|files|dir|dirs|path|ca_certs)$")
_KEYSTONE_URLS = ("auth_uri", "auth_url", "identity_uri", "www_authenticate_uri", "endpoint_override")
_GUEST = "RabbitMQ lets guest in from its own host only: give Heat a user of its own"
# Without these an engine starts and does not work, or works with what everybody knows.
_NEEDED = {
    _TRANSPORT: "without it Heat looks for a broker on its own host",
    ("database", "connection"): "without it there is no database",
    _AUTH_URL: "without it no request can be checked",
    (_AUTH, "auth_type"): "without it nobody logs in to Keystone",
    (DEFAULT, "auth_encryption_key"): "without it what Heat encrypts is open to everyone who knows its source",
}
_HINTS = 20
_LONG = 8  # A shorter secret is hidden where it stands, but not wherever its letters happen to be.


_PARTS = {
    _EC2_URI,
    _RPC_BACKEND,
    *((section, option) for section in (DEFAULT, _RABBIT) for option in _BROKER_PARTS),
    *((_AUTH, option) for option in ("identity_uri", *_AUTH_PARTS)),
}


def label(name: Name) -> str:
    """An option as people write it."""
    return f"[{name[0]}] {name[1]}"


def _keystone_v3(value: str) -> str:
    return re.sub(r"/v2\.0/?$", "/v3", value)


def keystone_root(value: str) -> str:
    """Keystone's URL without version."""
    return re.sub(r"/(v2\.0|v3)(/ec2tokens)?$", "", value.rstrip("/"))


def _backend_argument(value: str, address: str) -> str:
    """One of a cache's own arguments, as `name:value`."""
    name, colon, rest = value.partition(":")
    if name in ("url", "host", "hosts", "server", "servers"):
        return name + colon + loopback.rewrite_servers(rest, address)
    return loopback.rewrite_urls(value, address)


# What is known of an option's value by its name; the others are gone through for URLs.
_REWRITING: dict[Name, loopback.Rewrite] = {
    _TRANSPORT: loopback.rewrite_transport_url,
    ("oslo_messaging_notifications", "transport_url"): loopback.rewrite_notification_url,
    ("cache", "backend_argument"): _backend_argument,
    **{
        ("database", option): loopback.rewrite_database_url
        for option in ("connection", "slave_connection", "asyncio_connection", "asyncio_slave_connection")
    },
}


@dataclass
class _Claim:
    """A value that wants to be an option's: of several the one from the latest file wins, then the newest name."""

    entry: Entry
    value: str
    rank: int
    secret: bool


@dataclass
class _Work:
    """One translation under way."""

    entries: Mapping[Name, Entry]
    address: str
    release: str
    allow: frozenset[Name]
    problems: list[str]
    claims: dict[Name, list[_Claim]] = field(default_factory=dict)
    values: dict[Name, str] = field(default_factory=dict)
    secrets: set[Name] = field(default_factory=set)
    fates: dict[Name, Fate] = field(default_factory=dict)
    refused: dict[Name, str] = field(default_factory=dict)
    added: list[Fate] = field(default_factory=list)
    listeners: dict[str, dict[str, str]] = field(default_factory=lambda: {section: {} for section in _APIS})
    hidden: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.catalogue = catalogue()
        self.series = self.catalogue.series(self.release)
        self.plugins = self._plugins()

    # Names.

    def _plugins(self) -> dict[str, str]:
        """The sections that log in to Keystone, each with how."""
        found = dict.fromkeys(LOGINS, "password")
        for section in LOGINS:
            for option in ("auth_type", "auth_plugin"):
                if entry := self.entries.get((section, option)):
                    found[section] = entry.last or "password"
                    break
            if entry := self.entries.get((section, "auth_section")):
                kind = self.entries.get((section_name(entry.last), "auth_type"))
                found[section_name(entry.last)] = kind.last if kind else "password"
        return found

    def _knows(self, name: Name) -> bool:
        option = self.catalogue.options.get(name)
        if option:
            return self.series in option.series
        section, key = name
        if section not in self.plugins:
            return False
        return (f"auth:{self.plugins[section]}", key) in self.catalogue.options or (
            section not in LOGINS and key in ("auth_type", "auth_section")
        )

    def _older(self, name: Name) -> tuple[Name, ...]:
        """What an option is called today, if this is an older name of it."""
        section, key = name
        todays = self.catalogue.renamed.get(name, ())
        if section in self.plugins:
            plugin = self.catalogue.renamed.get((f"auth:{self.plugins[section]}", key), ())
            todays += tuple((section, new) for _, new in plugin if (section, new) not in todays)
        if name in RENAMED:
            todays += (RENAMED[name],)
        return tuple(dict.fromkeys(today for today in todays if self._knows(today)))

    def _is_secret(self, name: Name) -> bool:
        option = self.catalogue.options.get(name) or self.catalogue.options.get(
            (f"auth:{self.plugins.get(name[0], '')}", name[1])
        )
        return bool(option and option.secret) or looks_secret(name[1]) or self._is_strange(name)

    def _is_strange(self, name: Name) -> bool:
        """Whether nobody here knows what an option that is allowed by name holds; the path of a file is no secret."""
        if name not in self.allow or name in self.catalogue.options or self._knows(name) or self._older(name):
            return False
        entry = self.entries.get(name)
        return not (entry and entry.last.startswith("/") and self._is_file(name))

    # What is shown.

    def _hide(self, value: str) -> None:
        for line in value.splitlines():
            self.hidden.update(urls.passwords(line) if "://" in line else (line,))

    def _shown(self, value: str, *, secret: bool) -> str:
        if not secret:
            return value
        return "\n".join(urls.masked(line) for line in value.split("\n"))

    def _without_secrets(self, fate: Fate) -> Fate:
        """No secret is shown where another option's value repeats it."""
        hidden = [text for text in self.hidden if len(text) >= _LONG]

        def clean(text: str) -> str:
            return urls.HIDDEN if any(secret in text for secret in hidden) else text

        return Fate(
            name=fate.name,
            outcome=fate.outcome,
            old=clean(fate.old),
            new=clean(fate.new),
            targets=fate.targets,
            reason=fate.reason,
            where=fate.where,
        )

    def _fate(
        self,
        entry: Entry,
        outcome: Outcome,
        reason: str = "",
        *,
        targets: tuple[Name, ...] = (),
        new: str = "",
        secret: bool = False,
        told: bool = False,
    ) -> None:
        old = "\n".join(entry.values) if self._repeated(entry.name) else entry.last
        if outcome is Outcome.REFUSED and not told:
            self.refused[entry.name] = f"{entry.where}: {label(entry.name)}: {reason}"
        sure = any(map(self._is_secret, (entry.name, *self._older(entry.name)))) or urls.has_login(old)
        if sure:
            self._hide(old)
        secret = secret or sure
        self.fates[entry.name] = Fate(
            name=entry.name,
            outcome=outcome,
            old=self._shown(old, secret=secret),
            new=self._shown(new, secret=secret),
            targets=targets,
            reason=reason,
            where=entry.where,
        )

    def _repeated(self, name: Name) -> bool:
        return any(
            option.multi for today in (name, *self._older(name)) if (option := self.catalogue.options.get(today))
        )

    # Values.

    def _resolved(self, entry: Entry) -> tuple[str, bool]:
        """An option's value with its references in place, and whether a secret came in with one.

        Raises:
            UnresolvedError: one leads nowhere.
            loopback.UndecidableError: the value runs over several lines where it cannot.
        """
        resolver = Resolver(self.entries, _DEFAULTS, self._knows)
        option = self.catalogue.options.get((*self._older(entry.name), entry.name)[0])
        values = entry.values if self._repeated(entry.name) else (entry.last,)
        lines = []
        for value in values:
            line = resolver.resolve(entry.name[0], value, (entry.name,))
            if "\n" in line:
                if not (option and option.list):
                    raise loopback.UndecidableError("its value runs over several lines: write it on one")
                line = " ".join(line.split("\n"))
            lines.append(line)
        secret = any(self._is_secret(name) or urls.has_login(self.entries[name].last) for name in resolver.used)
        return "\n".join(lines), secret

    def _value(self, entry: Entry) -> tuple[str, bool] | None:
        """As `_resolved`; an option that cannot be is refused."""
        try:
            return self._resolved(entry)
        except (UnresolvedError, loopback.UndecidableError) as problem:
            self._fate(entry, Outcome.REFUSED, str(problem))
            return None

    def _rewriting(self, name: Name) -> loopback.Rewrite:
        section, key = name
        if name in _REWRITING:
            return _REWRITING[name]
        if self._is_secret(name):
            return lambda value, _: value
        if section.startswith("cors"):
            # An origin's loopback address is the machine of whoever looks at the page.
            return loopback.refuse_loopback
        if key in _KEYSTONE_URLS:
            return lambda value, address: _keystone_v3(loopback.rewrite_urls(value, address))
        return loopback.rewrite_servers if _SERVERS.search(key) else loopback.rewrite_urls

    def _rewrite(self, name: Name, value: str) -> str:
        rewriting = self._rewriting(name)
        return "\n".join(rewriting(line, self.address) for line in value.split("\n"))

    # Each option's way.

    def _claim(self, entry: Entry, targets: Iterable[Name], rank: int) -> None:
        if (resolved := self._value(entry)) is None:
            return
        value, secret = resolved
        for target in targets:
            self.claims.setdefault(target, []).append(_Claim(entry=entry, value=value, rank=rank, secret=secret))

    def _unknown(self, entry: Entry) -> None:
        name = entry.name
        older = self.catalogue.options.get(name)
        if older:
            known = " and ".join(str(series) for series in sorted(older.series))
            reason = f"Heat {self.series} does not know it, only {known} did"
            self._fate(entry, Outcome.DROPPED, reason)
        elif name in _GONE:
            self._fate(entry, Outcome.DROPPED, f"Heat {self.series} does not know it: {_GONE[name]}")
        elif name[0] in _FORGOTTEN and _FORGOTTEN[name[0]].fullmatch(name[1]):
            self._fate(entry, Outcome.DROPPED, f"Heat {self.series} does not know it any more")
        else:
            self._fate(entry, Outcome.REFUSED, self._what_else(name), secret=True)

    def _what_else(self, name: Name) -> str:
        # Of many unknown ones the first may have been meant to be others.
        few = len(self.refused) < _HINTS
        hint = alike(name, filter(self._knows, self.catalogue.options)) if few else ""
        hint = f"{hint}{'' if hint.endswith('?') else '.'} Else" if hint else "if a plug-in reads it,"
        return f"no release of Heat knows it: {hint} allow it by name: {name[0]}.{name[1]}"

    def _listen(self, entry: Entry, sections: tuple[str, ...]) -> None:
        key = entry.name[1]
        if key in _TLS:
            self._fate(
                entry, Outcome.REFUSED, "the API spoke TLS, and the proxy in its place does not: allow it by name"
            )
            return
        if key in _SERVER_OPTIONS:
            self._fate(entry, Outcome.DROPPED, "belongs to uWSGI now")
            return
        if (resolved := self._value(entry)) is None:
            return
        value, _ = resolved
        new, moved = value, False
        if key == "bind_port" and not (re.fullmatch(r"[0-9]{1,5}", value) and 0 < int(value) <= _MAX_PORT):
            self._fate(entry, Outcome.REFUSED, f"a port is 1 to {_MAX_PORT}")
            return
        if key == "bind_host" and value not in ("0.0.0.0", "::") and loopback.is_loopback(value):  # noqa: S104
            new, moved = self.address, True
        for section in sections:
            # An API's own section comes before what both had in common.
            if entry.name[0] == section or key not in self.listeners[section]:
                self.listeners[section][key] = new
        reason = "the proxy is there now" + (", on the address that other hosts reach" if moved else "")
        self._fate(entry, Outcome.DROPPED, reason, new=new if moved else "")

    def _keep(self, entry: Entry) -> None:
        if (resolved := self._value(entry)) is None:
            return
        value, secret = resolved
        name = entry.name
        self._set(name, value, secret=secret)
        self._fate(entry, Outcome.KEPT, "allowed by name", targets=(name,), new=value, secret=name in self.secrets)

    def _sort(self, entry: Entry) -> None:
        """Find what an option is today."""
        name = entry.name
        section, key = name
        if name in self.allow:
            self._keep(entry)
        elif section in _APIS or (section == DEFAULT and key in _LISTENING):
            sections = (section,) if section in _APIS else _APIS
            if key in _LISTENING:
                self._listen(entry, sections)
            else:
                self._unknown(entry)
        elif name in _PARTS:
            pass  # Several make one option: below.
        elif name in OURS:
            self._fate(entry, Outcome.DROPPED, OURS[name])
        elif self._knows(name):
            self._claim(entry, (name,), rank=0)
        elif targets := self._older(name):
            if all(target in OURS for target in targets):
                self._fate(entry, Outcome.DROPPED, OURS[targets[0]])
            else:
                self._claim(entry, targets, rank=1)
        else:
            self._unknown(entry)

    def _set(self, name: Name, value: str, *, secret: bool = False) -> None:
        self.values[name] = value
        if secret or self._is_secret(name) or urls.has_login(value):
            self.secrets.add(name)
            self._hide(value)

    def _add(self, name: Name, value: str, reason: str, *, secret: bool = False) -> None:
        self._set(name, value, secret=secret)
        shown = self._shown(value, secret=name in self.secrets)
        self.added.append(Fate(name=name, outcome=Outcome.ADDED, new=shown, targets=(name,), reason=reason))

    def _settle(self, target: Name, claims: list[_Claim]) -> None:
        """Give an option the value that Heat would have read, fit for other hosts."""
        ordered = sorted(claims, key=lambda claim: (-claim.entry.file, claim.rank))
        option = self.catalogue.options.get(target)
        together = len(ordered) > 1 and bool(option and option.multi)
        if together:
            counted = sorted(ordered, key=lambda claim: claim.entry.file)
        else:
            counted = ordered[:1]
            for claim in ordered[1:]:
                reason = f"{label(ordered[0].entry.name)} comes before it"
                self._fate(claim.entry, Outcome.DROPPED, reason, targets=(target,))
        kept: list[str] = []
        for claim in counted:
            value = self._settled(target, claim)
            if value is not None:
                kept.append(value)
        if kept:
            self._set(target, "\n".join(kept), secret=any(claim.secret for claim in ordered))

    def _settled(self, target: Name, claim: _Claim) -> str | None:
        entry = claim.entry
        if reason := self._worthless(target, claim.value):
            self._fate(entry, Outcome.DROPPED, reason)
            return None
        try:
            value = self._rewrite(target, claim.value)
        except loopback.UndecidableError as problem:
            self._fate(entry, Outcome.REFUSED, f"{problem}", secret=claim.secret)
            return None
        outcome = Outcome.KEPT
        if entry.name != target:
            outcome = Outcome.RENAMED
        elif value != claim.value:
            outcome = Outcome.REWRITTEN
        self._fate(
            entry, outcome, self._note(target, claim.value, value), targets=(target,), new=value, secret=claim.secret
        )
        return value

    def _worthless(self, target: Name, value: str) -> str:
        if target == (DEFAULT, "num_engine_workers") and value.strip() in ("0", ""):
            return "it said nothing: as many workers as there are cores"
        if target == (_AUTH, "auth_version") and value.startswith(("v2", "2")):
            return "Keystone has no version 2 any more"
        return ""

    def _note(self, target: Name, old: str, new: str) -> str:
        notes = []
        if target[1] == "transport_url" and old != new and re.search(r"//guest[:@]|,guest[:@]", new):
            notes.append(_GUEST)
        if new.startswith("/") and self._is_file(target):
            notes.append("a file of its host: each node needs it")
        return "; ".join(notes)

    @staticmethod
    def _is_file(name: Name) -> bool:
        return bool(_FILES.search(name[1])) and name != ("healthcheck", "path")

    # What several options together became.

    def _parts(self, names: Iterable[Name]) -> dict[str, Entry]:
        """By option the entry that counts; an older one in another section is told as well."""
        found: dict[str, Entry] = {}
        for name in names:
            entry = self.entries.get(name)
            if entry is None or name in self.allow:
                continue
            before = found.get(name[1])
            if before is None or entry.file > before.file:
                found[name[1]] = entry
        return found

    def _together(
        self, names: Iterable[Name], target: Name, built: Callable[[dict[str, str]], str], instead: str
    ) -> None:
        """Make one option of several, unless it is there already."""
        names = [name for name in names if name in self.entries and name not in self.allow]
        if not names:
            return
        parts = self._parts(names)
        counted = list(parts.values())
        for name in names:
            if self.entries[name] not in counted:
                winner = parts[name[1]].name
                self._fate(self.entries[name], Outcome.DROPPED, f"{label(winner)} comes before it")
        if target in self.claims or target in self.allow:
            for entry in counted:
                self._fate(entry, Outcome.DROPPED, instead)
            return
        self._build(parts, target, built)

    def _build(self, parts: Mapping[str, Entry], target: Name, built: Callable[[dict[str, str]], str]) -> None:
        resolved = {key: found for key, entry in parts.items() if (found := self._value(entry)) is not None}
        if len(resolved) < len(parts):
            self._refuse_rest(parts, f"{label(target)} cannot be made without the others")
            return
        if not self._knows(target):
            self._refuse_rest(parts, f"it would become {label(target)}, which this auth_type does not have")
            return
        try:
            value = self._rewrite(target, built({key: text for key, (text, _) in resolved.items()}))
        except loopback.UndecidableError as problem:
            self._refuse_rest(parts, str(problem))
            return
        self._set(target, value, secret=any(secret for _, secret in resolved.values()))
        for entry in parts.values():
            self._fate(entry, Outcome.RENAMED, targets=(target,))
        reason = f"made of {', '.join(label(entry.name) for entry in parts.values())}"
        if target == _TRANSPORT and "//guest:" in value:
            reason += f"; {_GUEST}"
        shown = self._shown(value, secret=target in self.secrets)
        self.added.append(Fate(name=target, outcome=Outcome.ADDED, new=shown, targets=(target,), reason=reason))

    def _refuse_rest(self, parts: Mapping[str, Entry], reason: str) -> None:
        """Refuse what has no fate yet, as one problem at most."""
        told = any(entry.name in self.refused for entry in parts.values())
        for entry in parts.values():
            if entry.name not in self.fates:
                self._fate(entry, Outcome.REFUSED, reason, told=told)
                told = True

    def _broker(self) -> None:
        names = [(section, key) for key in _BROKER_PARTS for section in (_RABBIT, DEFAULT)]
        self._together([*names, _RPC_BACKEND], _TRANSPORT, self._broker_url, f"{label(_TRANSPORT)} says it")

    def _broker_url(self, parts: dict[str, str]) -> str:
        backend = parts.get("rpc_backend", "rabbit")
        if not re.fullmatch(r"(.*\.)?(impl_kombu|rabbit|kombu)", backend):
            raise loopback.UndecidableError(
                f"rpc_backend is {backend}, and only RabbitMQ shares the work among engines here"
            )
        port = parts.get("rabbit_port", "5672")
        hosts = parts.get("rabbit_hosts") or urls.bracketed(parts.get("rabbit_host", "localhost"))
        servers = [
            server
            if re.search(r"^[^:]*:[0-9]+$|\]:[0-9]+$", server)
            else f"{urls.bracketed(server.strip('[]'))}:{port}"
            for server in re.findall(r"[^,\s]+", hosts)
        ]
        if not servers:
            raise loopback.UndecidableError("it names no broker")
        return urls.transport_url(
            parts.get("rabbit_userid", "guest"),
            parts.get("rabbit_password", "guest"),
            servers,
            parts.get("rabbit_virtual_host", "/"),
        )

    def _keystone(self) -> None:
        if (_AUTH, "identity_uri") in self.entries and (_AUTH, "identity_uri") not in self.allow:
            self._together(
                [(_AUTH, "identity_uri")], _AUTH_URL, lambda parts: parts["identity_uri"], f"{label(_AUTH_URL)} says it"
            )
            made = self.values.get(_AUTH_URL)
            names = [(_AUTH, key) for key in _AUTH_PARTS]
            for name in names:
                if name in self.entries and name not in self.allow:
                    instead = _AUTH_URL if made is None else (_AUTH, "identity_uri")
                    self._fate(self.entries[name], Outcome.DROPPED, f"{label(instead)} says it")
            return

        def url(parts: dict[str, str]) -> str:
            host = urls.bracketed(parts.get("auth_host", "127.0.0.1").strip("[]"))
            prefix = parts.get("auth_admin_prefix", "").strip("/")
            root = f"{parts.get('auth_protocol', 'https')}://{host}:{parts.get('auth_port', '35357')}"
            return f"{root}/{prefix}" if prefix else root

        self._together([(_AUTH, key) for key in _AUTH_PARTS], _AUTH_URL, url, f"{label(_AUTH_URL)} says it")

    def _old_login(self) -> None:
        """Complete what was a login before there were domains."""
        renamed = {name for name, fate in self.fates.items() if fate.outcome is Outcome.RENAMED}
        if not renamed & {(_AUTH, old) for old in _ADMIN}:
            return
        reason = "the old names meant it"
        if (_AUTH, "auth_type") not in self.values:
            self._add((_AUTH, "auth_type"), "password", reason)
        for kind in ("user", "project"):
            if not {(_AUTH, f"{kind}_domain_id"), (_AUTH, f"{kind}_domain_name")} & set(self.values):
                self._add((_AUTH, f"{kind}_domain_id"), "default", reason)
        www = self.values.get((_AUTH, "www_authenticate_uri"))
        if _AUTH_URL not in self.values and www:
            self._add(
                _AUTH_URL,
                www,
                "www_authenticate_uri is Keystone's too",
                secret=(_AUTH, "www_authenticate_uri") in self.secrets,
            )

    def _ec2(self) -> None:
        """Give the CFN API a login of its own: Keystone checks EC2 signatures for services only."""
        entry = None if _EC2_URI in self.allow else self.entries.get(_EC2_URI)
        login = {key: value for (section, key), value in self.values.items() if section == _AUTH}
        own = {key for section, key in self.values if section == "ec2authtoken"}
        complete = login.get("auth_type", "") in ("password", "v3password") and {
            "auth_url",
            "username",
            "password",
        } <= set(login)
        if not own & {"auth_type", "auth_section"} and not complete:
            if entry:
                reason = (
                    f"it needs a whole login, and [{_AUTH}] has none to take: auth_type, auth_url, username, password"
                )
                self._fate(entry, Outcome.REFUSED, reason)
            return
        uri, secret = "", False
        if entry:
            if (resolved := self._value(entry)) is None:
                return
            uri, secret = resolved
            try:
                uri = loopback.rewrite_urls(uri, self.address)
            except loopback.UndecidableError as problem:
                self._fate(entry, Outcome.REFUSED, str(problem))
                return
        had_type = bool(own & {"auth_type", "auth_section"})
        if not had_type:
            self._copy_login(login)
            for name in (("clients_keystone", "auth_uri"), (_AUTH, "www_authenticate_uri"), _AUTH_URL):
                uri = uri or self.values.get(name, "")
        override: Name = ("ec2authtoken", "endpoint_override")
        if override in self.values:
            if entry:
                self._fate(entry, Outcome.DROPPED, f"{label(override)} says it")
            return
        root = keystone_root(uri)
        if entry:
            self._set(override, root, secret=secret)
            self._fate(
                entry, Outcome.RENAMED, "Heat adds /v3/ec2tokens itself", targets=(override,), new=root, secret=secret
            )
        elif not had_type and root:
            self._add(override, root, "Keystone's root: Heat adds /v3/ec2tokens itself")

    def _copy_login(self, login: Mapping[str, str]) -> None:
        keys = ("auth_type", "auth_url", "username", "password", "project_name", "project_id")
        domains = tuple(f"{kind}_domain_{by}" for kind in ("user", "project") for by in ("id", "name"))
        for key in (*keys, *domains):
            name: Name = ("ec2authtoken", key)
            if key in login and name not in self.values:
                secret = (_AUTH, key) in self.secrets
                self._add(name, login[key], f"the CFN API logs in to Keystone as [{_AUTH}] does", secret=secret)

    def run(self) -> None:
        """Translate everything."""
        for entry in self.entries.values():
            self._sort(entry)
        self._broker()
        self._keystone()
        for target, claims in self.claims.items():
            if target in self.allow and target in self.entries:
                for claim in claims:
                    self._fate(claim.entry, Outcome.DROPPED, f"{label(target)} comes before it", targets=(target,))
            else:
                self._settle(target, claims)
        self._old_login()
        self._ec2()

    def result(self) -> Translation:
        """What came out."""
        public: dict[str, dict[str, str]] = {}
        secret: dict[str, dict[str, str]] = {}
        for (section, key), value in self.values.items():
            (secret if (section, key) in self.secrets else public).setdefault(section, {})[key] = value
        files = {
            name: value
            for name, value in self.values.items()
            if value.startswith("/") and self._is_file(name) and name not in self.secrets
        }
        return Translation(
            public=public,
            secret=secret,
            api=self._listener("heat_api"),
            cfn=self._listener("heat_api_cfn"),
            fates=tuple(self._without_secrets(self.fates[name]) for name in self.entries),
            added=tuple(self._without_secrets(fate) for fate in self.added),
            files=files,
            missing=tuple(f"{label(name)}: {reason}" for name, reason in _NEEDED.items() if name not in self.values),
            problems=(*self.problems, *(self.refused[name] for name in self.entries if name in self.refused)),
        )

    def _listener(self, section: str) -> Listener:
        given = self.listeners[section]
        return Listener(host=given.get("bind_host", "0.0.0.0"), port=int(given.get("bind_port", _PORTS[section])))  # noqa: S104


def allowed(names: Iterable[str]) -> frozenset[Name]:
    """Options allowed by name, each as section.option.

    Raises:
        ValueError: one is no such name.
    """
    found = set()
    for text in names:
        section, dot, option = text.strip().rpartition(".")
        if not dot or not section or not option:
            raise ValueError(f"{shortened(text)}: an option is allowed as section.option, such as DEFAULT.my_option")
        found.add((section_name(section), option))
    return frozenset(found)


def translate(files: Mapping[str, str], *, control: str, release: str, allow: Collection[str] = ()) -> Translation:
    """Translate a configuration.

    Args:
        files: the texts by their names, in the order in which Heat reads them: heat.conf, then its conf.d's in order.
        control: the address under which other hosts reach the one that the files are of.
        release: the release of Heat that is to read the result, such as 27.0.1 or 27.
        allow: options that are kept as they are, whoever knows them: section.option.

    Raises:
        ValueError: the release is not known, the address is a loopback one, or what is allowed is no option's name.
    """
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", control) or loopback.is_loopback(control):
        raise ValueError(f"{shortened(control)} must be an address at which other hosts reach the control host")
    entries, problems = read(files)
    work = _Work(entries=entries, address=control, release=release, allow=allowed(allow), problems=problems)
    work.run()
    return work.result()
