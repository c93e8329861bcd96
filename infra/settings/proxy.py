"""What clients reach: `loadBalancer`, `haproxy`, and the ports of the APIs and of the statistics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from components.heat.heat_conf import MAX_JSON_BODY_SIZE, MAX_TEMPLATE_SIZE, largest_body
from components.memory import megabytes
from components.proxy.haproxy import Limits
from components.timeouts import LINKS, Timeouts, complete_chain
from components.topology import APIS, Kind
from infra.settings.fields import Integer, Section, camel
from infra.settings.formats import DURATION, LINE, NETWORK, TRUSTED, one_of, seconds
from infra.settings.hosts import HostsSection
from infra.settings.options import OptionsSection
from infra.settings.refusals import Refusals
from infra.settings.timeouts import TimeoutsSection

# Of a request's body, in bytes: HAProxy keeps a whole request in memory.
LARGEST_BODY = 64 * 1024 * 1024
# Two descriptors for each connection, of the 524,288 that systemd allows a service.
_MOST_CONNECTIONS = 200_000
OCTAVIA = "octavia"
# The settings of each kind of API: its port, and the lines for its listener in HAProxy.
API_PORTS = {Kind.API: "api_port", Kind.CFN: "cfn_port"}
LISTENER_LINES = {Kind.API: "api_extra", Kind.CFN: "cfn_extra"}
_Lines = tuple[Annotated[str, LINE], ...]


class HaproxySettings(Section):
    """HAProxy's own settings, by the names in its manual. Defaults: Heat's scaling guide."""

    global_maxconn: Integer = Field(default=4000, ge=1, le=_MOST_CONNECTIONS)
    """Most connections of the whole HAProxy (global maxconn)."""
    maxconn: Integer = Field(default=8000, ge=1, le=_MOST_CONNECTIONS)
    """Most connections of each listener."""
    retries: Integer = Field(default=3, ge=1, le=100)
    """How often HAProxy tries again to connect to an API."""
    balance: Annotated[str, one_of("source", "roundrobin", "leastconn", "static-rr", "random")] = "source"
    """How an API is chosen for a request."""
    timeout_http_request: Annotated[str, DURATION] = "10s"
    """How long a client may take to send its headers."""
    timeout_queue: Annotated[str, DURATION] = "1m"
    """How long a request waits for a free API."""
    timeout_connect: Annotated[str, DURATION] = "10s"
    """How long a connection to an API may take."""
    timeout_client: Annotated[str, DURATION] = "1m"
    """How long a client may be silent."""
    # The guide's 1m is exactly Heat's own limit on a request: HAProxy would answer 504 to what Heat is about to answer.
    timeout_server: Annotated[str, DURATION] | None = None
    """How long an API may be silent. Unset: timeouts.proxyServer."""
    timeout_check: Annotated[str, DURATION] = "2s"
    """How long the answer to a health check may take."""
    check_interval: Annotated[str, DURATION] = "2s"
    """Time between two health checks of an API."""
    check_fast_interval: Annotated[str, DURATION] = "500ms"
    """Time between two health checks while an API is down or its state is about to change."""
    check_fall: Integer = Field(default=3, ge=1, le=100)
    """Failed checks after which an API is down."""
    check_rise: Integer = Field(default=2, ge=1, le=100)
    """Good checks after which an API is up."""
    trusted_proxies: tuple[Annotated[str, TRUSTED], ...] = ()
    """Addresses, such as those of a TLS terminator, whose X-Forwarded-For, -Host and -Proto are kept."""
    max_body: Integer | None = Field(default=None, ge=16_384, le=LARGEST_BODY)
    """Largest body in bytes. Unset: what Heat's limits allow."""
    # The least has room for any token of Keystone's. The most leaves 7000 for the URL: uWSGI takes 65535 in all.
    max_header: Integer = Field(default=32_768, ge=8192, le=49_152)
    """Largest headers in bytes, with a token."""
    client_connections: Integer = Field(default=256, ge=1, le=_MOST_CONNECTIONS)
    """Most connections at once from one address."""
    extra_global: _Lines = ()
    """Lines of your own for the section global (docs/overrides.md)."""
    extra_defaults: _Lines = ()
    """Lines of your own for the section defaults."""
    api_extra: _Lines = ()
    """Lines of your own for the ReST API."""
    cfn_extra: _Lines = ()
    """Lines of your own for the CFN API."""

    @property
    def listener_lines(self) -> dict[Kind, tuple[str, ...]]:
        """The operator's lines for each listener."""
        return {kind: getattr(self, name) for kind, name in LISTENER_LINES.items()}


class ProxySection(HostsSection, OptionsSection, TimeoutsSection):
    """Load balancer."""

    load_balancer: Annotated[str, one_of("haproxy", OCTAVIA)] = "haproxy"
    """What clients reach: haproxy (on the front host), or octavia (a load balancer of the cloud, with `hosts:
    openstack`: docs/octavia.md)."""
    api_port: Integer = Field(default=APIS[Kind.API].port, ge=1, le=65535)
    """Port of the ReST API for clients. A node's first heat-api has it too, further ones every tenth port."""
    cfn_port: Integer = Field(default=APIS[Kind.CFN].port, ge=1, le=65535)
    """Port of the CFN API for clients; otherwise like apiPort."""
    stats_port: Integer = Field(default=8404, ge=1, le=65535)
    """Port of HAProxy's statistics on the front host, with Prometheus metrics under /metrics."""
    stats_allow: tuple[Annotated[str, NETWORK], ...] = ()
    """Networks that may see the statistics, besides the front host. Empty: the containers' subnet, the existing hosts,
    or none with VMs."""
    haproxy: HaproxySettings = Field(default_factory=HaproxySettings)
    """HAProxy's own settings, and lines of your own (docs/overrides.md)."""

    @property
    def octavia(self) -> bool:
        """Whether clients reach a load balancer of the cloud instead of HAProxy."""
        return self.load_balancer == OCTAVIA

    @property
    def api_ports(self) -> dict[Kind, int]:
        """The port of each kind of API, on the proxy and for a node's first process."""
        return {kind: getattr(self, name) for kind, name in API_PORTS.items()}

    @property
    def given_timeouts(self) -> dict[str, int]:
        """The timeouts that are set; HAProxy's under either of its two names."""
        given = self.timeouts.model_dump(exclude_none=True)
        if self.haproxy.timeout_server:
            given.setdefault("proxy_server", int(seconds(self.haproxy.timeout_server) or 0))
        return given

    @property
    def chain(self) -> Timeouts:
        """All timeouts."""
        return complete_chain(self.given_timeouts)[0]

    @property
    def request_limits(self) -> Limits:
        """How large a request may be."""
        fitting = largest_body(
            self.options.most(("DEFAULT", "max_json_body_size"), MAX_JSON_BODY_SIZE),
            self.options.most(("DEFAULT", "max_template_size"), MAX_TEMPLATE_SIZE),
        )
        return Limits(
            body=fitting if self.haproxy.max_body is None else self.haproxy.max_body,
            header=self.haproxy.max_header,
            client_connections=self.haproxy.client_connections,
        )

    @property
    def haproxy_values(self) -> dict[str, object]:
        """HAProxy's settings, by the names of its template."""
        timeout_server = self.haproxy.timeout_server or f"{self.chain.proxy_server}s"
        return self.haproxy.model_dump() | {"timeout_server": timeout_server}

    @property
    def stats_networks(self) -> tuple[str, ...]:
        """Who may see HAProxy's statistics, besides the front host."""
        if self.stats_allow or self.kind.cloud:
            return self.stats_allow
        return (self.subnet,) if self.kind.made else tuple(self.addresses.values())


def check_timeouts(settings: ProxySection, refusals: Refusals) -> None:
    """The chain of timeouts holds, link by link: a corrected link is what the next one is compared with."""
    own, server = settings.timeouts.proxy_server, settings.haproxy.timeout_server
    if own is not None and server and seconds(server) != own:
        rule = f"timeouts.proxyServer is the same timeout, and is {own} s"
        refusals.refuse("haproxy.timeoutServer", server, rule)
    given, before = settings.given_timeouts, {link.longer: link for link in LINKS}
    for link, longer, shorter in complete_chain(given)[1]:
        source = ""
        if given.get(link.shorter) != shorter:
            source = f", {before[link.shorter].margin} more than timeouts.{camel(before[link.shorter].shorter)}"
        rule = f"must be longer than timeouts.{camel(link.shorter)} ({shorter} s{source}), or {link.consequence}"
        instead = shorter + link.margin
        if link.longer == "proxy_server" and own is None:
            refusals.refuse("haproxy.timeoutServer", server, rule, f"{instead}s")
        else:
            refusals.refuse(f"timeouts.{camel(link.longer)}", longer, rule, instead)


def check_bodies(settings: ProxySection, memory: str, refusals: Refusals) -> None:
    """A client alone cannot fill HAProxy's memory: half of it holds the large bodies that one may send at once.

    Args:
        settings: the settings.
        memory: how much of it HAProxy may use.
        refusals: takes the problems.
    """
    limits = settings.request_limits
    if limits.body > LARGEST_BODY:
        rule = f"follows from options; HAProxy keeps a whole request in memory, {LARGEST_BODY} bytes at most"
        refusals.refuse("haproxy.maxBody", limits.body, rule, LARGEST_BODY)
        return
    needed = 2 * limits.large_bodies * limits.buffer
    if not settings.octavia and megabytes(memory) and needed > megabytes(memory) * 1024**2:
        each = f"one client may send {limits.large_bodies} bodies of {limits.body} bytes at once"
        rule = f"{each} (haproxy.maxBody, haproxy.clientConnections), and HAProxy needs twice as much memory"
        refusals.refuse("memory.haproxy", memory, rule, f"{-(-needed // 1024**3)}G")


# The words that begin a section of haproxy.cfg.
_SECTIONS = {
    "acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "namespace_list", "peers", "program", "resolvers", "ring", "traces",
    "userlist",
}  # fmt: skip
# By the list of lines: the first words of lines of haproxy.cfg, and the settings that write such lines.
_SERVER = {"timeout server": "timeouts.proxyServer"}
_SET_BY_PROGRAM: dict[str, dict[str, str]] = {
    "extra_global": {"maxconn": "haproxy.globalMaxconn", "tune.bufsize": "haproxy.maxBody"},
    "extra_defaults": {
        **{name: f"haproxy.{name}" for name in ("maxconn", "retries", "balance")},
        **{
            name.replace("_", " ", 1).replace("_", "-"): f"haproxy.{camel(name)}"
            for name in HaproxySettings.model_fields
            if name.startswith("timeout_")
        },
        **_SERVER,
    },
    **dict.fromkeys(LISTENER_LINES.values(), _SERVER),
}


def check_haproxy_lines(settings: ProxySection, refusals: Refusals) -> None:
    """The operator's lines for haproxy.cfg. Whether HAProxy knows them is found out on the host."""
    for name, taken in _SET_BY_PROGRAM.items():
        for index, line in enumerate(getattr(settings.haproxy, name)):
            if rule := not_haproxys(line, taken):
                refusals.refuse(f"haproxy.{camel(name)}[{index}]", line, rule)


def not_haproxys(line: str, taken: Mapping[str, str]) -> str:
    """Why a line cannot be added to a section of haproxy.cfg; empty if it can."""
    words = re.split(r"[ \t]+", line.strip(" \t"))
    # These two come before the keyword that they negate or reset.
    if words[0] in ("no", "default"):
        words = words[1:]
    # HAProxy evaluates quotes, backslashes, variables and comments within a word, and takes words that begin with a dot
    # for conditions. A plain keyword makes clear what the line does.
    if not words or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", words[0]):
        return "must be one line of haproxy.cfg that begins with its keyword, without quotes and without # before it"
    if words[0] in _SECTIONS:
        return "must not begin a section of its own"
    if not _closed(line):
        return "must close its quotes, and must not end with a backslash"
    setting = taken.get(words[0]) or taken.get(" ".join(words[:2]))
    return f"{setting} sets this" if setting else ""


def _closed(line: str) -> bool:
    """Whether every quote and backslash of a line of haproxy.cfg ends within the line."""
    plain = r"[^'\"\\]|\\."
    return bool(re.fullmatch(rf"(?:{plain}|'[^']*'|\"(?:[^\"\\]|\\.)*\")*", line))
