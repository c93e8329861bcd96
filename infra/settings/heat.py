"""Heat's processes: how many, where they listen, and how much one of them does at once."""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated

from pydantic import Field

from components.heat.api_server import ApiServer
from components.heat.heat_conf import (
    BROKER_PORT,
    DATABASE_PORT,
    KEYSTONE_PORT,
    MEMCACHED_PORT,
    WORKER_THREADS,
    Deployment,
)
from components.memory import DEFAULTS, Memory, megabytes
from components.timeouts import LINKS
from components.topology import Kind, PlacementError, Process, plan_processes
from infra.settings.existing import COUNTS, FRONT
from infra.settings.fields import MOST_PROCESSES, Integer, Section, camel
from infra.settings.formats import LINE, MEMORY, REGION
from infra.settings.install import InstallSection
from infra.settings.proxy import API_PORTS, ProxySection
from infra.settings.refusals import Refusals

# What the bundled MariaDB allows, and what Keystone and the operator need of that.
MAX_CONNECTIONS = 4000
OTHER_CONNECTIONS = 200
# What else listens on the front host with a bundled control plane.
_BUNDLED = {
    DATABASE_PORT: "MariaDB",
    KEYSTONE_PORT: "Keystone",
    BROKER_PORT: "RabbitMQ",
    MEMCACHED_PORT: "memcached",
}


class MemorySettings(Section):
    """How much memory each unit may use: systemd's MemoryMax=."""

    engine: Annotated[str, MEMORY] = ""
    """Each heat-engine. Unset: 4G, or 1G for each engine worker if that is more."""
    api: Annotated[str, MEMORY] = ""
    """Each heat-api. Unset: 2G, or 1G for each API process if that is more."""
    cfn_api: Annotated[str, MEMORY] = ""
    """Each heat-api-cfn. Unset: like memory.api."""
    caretaker: Annotated[str, MEMORY] = DEFAULTS.caretaker
    """The caretaker."""
    haproxy: Annotated[str, MEMORY] = DEFAULTS.haproxy
    """HAProxy in front of Heat's APIs."""
    keystone: Annotated[str, MEMORY] = DEFAULTS.keystone
    """The bundled Keystone."""
    keystone_proxy: Annotated[str, MEMORY] = DEFAULTS.keystone_proxy
    """HAProxy in front of the bundled Keystone."""
    database: Annotated[str, MEMORY] = DEFAULTS.database
    """The bundled MariaDB."""
    broker: Annotated[str, MEMORY] = DEFAULTS.broker
    """The bundled RabbitMQ."""
    cache: Annotated[str, MEMORY] = DEFAULTS.cache
    """The bundled memcached."""


class HeatSection(InstallSection, ProxySection):
    """Heat's processes."""

    engines: Integer = Field(default=2, ge=1, le=MOST_PROCESSES)
    """Number of heat-engine processes in all, spread evenly over the nodes."""
    apis: Integer = Field(default=2, ge=1, le=MOST_PROCESSES)
    """Number of heat-api processes in all, each on a port of its own."""
    cfn_apis: Integer = Field(default=2, ge=1, le=MOST_PROCESSES)
    """Number of heat-api-cfn processes in all, each on a port of its own."""
    engine_workers: Integer = Field(default=1, ge=1, le=1000)
    """Number of worker processes of each engine (num_engine_workers)."""
    checks_per_stack: Integer = Field(default=8, ge=0, le=1000)
    """How many resources of one stack an engine worker handles at once. 0: Heat's own pace, one more each second
    (docs/performance.md)."""
    api_processes: Integer = Field(default=1, ge=1, le=1000)
    """Number of processes of each API; each has apiThreads threads."""
    api_threads: Integer = Field(default=8, ge=1, le=10_000)
    """Number of threads of each API process, and of requests that it serves at once."""
    region: Annotated[str, REGION] = "RegionOne"
    """Keystone's region."""
    rolling_batch: Integer = Field(default=1, ge=1, le=MOST_PROCESSES)
    """How many processes of one kind restart at once after a change; the first one always restarts alone."""
    uwsgi_extra: tuple[Annotated[str, LINE], ...] = ()
    """Lines of your own for the APIs' uWSGI, such as max-requests = 1000 (docs/overrides.md)."""
    memory: MemorySettings = Field(default_factory=MemorySettings)
    """How much memory each unit may use (docs/reliability.md)."""

    @property
    def processes(self) -> tuple[Process, ...]:
        """The plan: every process of Heat, on its node."""
        return plan_processes(
            self.heat_nodes,
            counts={kind: getattr(self, name) for kind, name in COUNTS.items()},
            ports=self.api_ports,
        )

    @property
    def deployment(self) -> Deployment:
        """What every node's heat.conf is made from."""
        return self.deployment_at(self.addresses[FRONT])

    def api_urls(self, front: str) -> dict[Kind, str]:
        """The URL of each kind of API, if clients find the front host at this address."""
        return {kind: f"http://{front}:{port}" for kind, port in self.api_ports.items()}

    def deployment_at(self, front: str) -> Deployment:
        """The same if clients find the front host at another address than its own."""
        return Deployment(
            install=self.installation,
            urls=self.api_urls(front),
            region=self.region,
            engine_workers=self.engine_workers,
            checks_per_stack=self.checks_per_stack,
            timeouts=self.chain,
            strips_headers=not self.octavia,
        )

    @property
    def api_server(self) -> ApiServer:
        """How much one API process serves at once."""
        return ApiServer(
            processes=self.api_processes,
            threads=self.api_threads,
            console=self.console,
            max_body=self.request_limits.body,
            max_header=self.request_limits.header,
            extra=self.uwsgi_extra,
        )

    @property
    def memory_limits(self) -> Memory:
        """How much memory each unit may use."""
        given = self.memory
        api = f"{max(megabytes(DEFAULTS.api) // 1024, self.api_processes)}G"
        return dataclasses.replace(
            Memory(**given.model_dump()),
            engine=given.engine or f"{max(megabytes(DEFAULTS.engine) // 1024, self.engine_workers)}G",
            api=given.api or api,
            cfn_api=given.cfn_api or api,
        )

    @property
    def database_connections_per_worker(self) -> int:
        """How many connections to the database an engine's worker may open: its pool, and one for each thread."""
        most = self.options.most
        overflow = max(
            most(("database", "max_overflow"), 50), most(("DEFAULT", "executor_thread_pool_size"), WORKER_THREADS)
        )
        return most(("database", "max_pool_size"), 5) + overflow


# Keys of uWSGI that settings write. A key without a setting is set by this program: templates/heat/uwsgi.ini.j2.
UWSGI: dict[str, str] = {
    "processes": "apiProcesses",
    "workers": "apiProcesses",
    "threads": "apiThreads",
    "socket-timeout": "timeouts.uwsgi",
    "worker-reload-mercy": "timeouts.uwsgi",
    **dict.fromkeys(
        (
            "buffer-size", "enable-threads", "hook-master-start", "http-socket", "lazy-apps", "log-format",
            "limit-post", "log-x-forwarded-for", "master", "module", "need-app", "pyargv", "strict", "thunder-lock",
            "wsgi-file",
        ),
        "",
    ),
}  # fmt: skip
# Two names for one.
_OTHER_NAMES = {"logformat": "log-format", "file": "wsgi-file", "wsgi": "module"}


def check_uwsgi_lines(settings: HeatSection, refusals: Refusals) -> None:
    """The operator's lines for uWSGI."""
    for index, line in enumerate(settings.uwsgi_extra):
        console = "the APIs run without uWSGI: apiRunner = console" if settings.console else ""
        if rule := console or not_uwsgis(line, settings.timeouts.rpc_response):
            refusals.refuse(f"uwsgiExtra[{index}]", line, rule)


def not_uwsgis(line: str, rpc: int) -> str:
    """Why a line cannot be added to uWSGI's configuration; empty if it can."""
    match = re.fullmatch(r"\s*([a-z0-9-]+)\s*=\s*(\S.*)", line)
    if not match:
        return "must be one line of uWSGI's configuration, such as max-requests = 1000"
    key, value = match.groups()
    key = _OTHER_NAMES.get(key, key)
    if key in UWSGI:
        return f"{UWSGI[key]} sets this" if UWSGI[key] else "this program sets it itself, and for a reason"
    # uWSGI reads %(name), %n, $(NAME) and @(file) as other values.
    if re.search(r"%|[$@]\(", value):
        return "must not use %, $( or @(, which uWSGI replaces"
    if key == "harakiri" and not (re.fullmatch(r"[0-9]{1,9}", value) and int(value) > rpc):
        return f"must be longer than timeouts.rpcResponse ({rpc} s), or {LINKS[0].consequence}"
    return ""


def check_connections(settings: HeatSection, refusals: Refusals) -> None:
    """The bundled MariaDB allows as many connections as all engines may open."""
    each = settings.database_connections_per_worker
    if settings.engines * settings.engine_workers * each + OTHER_CONNECTIONS <= MAX_CONNECTIONS:
        return
    most = (MAX_CONNECTIONS - OTHER_CONNECTIONS) // each
    if settings.engine_workers > most:
        rule = f"the bundled MariaDB serves {most} workers in all"
        refusals.refuse("engineWorkers", settings.engine_workers, rule, most // settings.engines or 1)
    else:
        rule = f"with engineWorkers = {settings.engine_workers} the bundled MariaDB serves {most} workers in all"
        refusals.refuse("engines", settings.engines, rule, most // settings.engine_workers)


def check_ports(settings: HeatSection, refusals: Refusals, *, bundled: bool) -> bool:
    """Refuse impossible ports; return whether there is a plan."""
    usual = type(settings)()
    logins = {} if settings.kind.made else {name: host.port for name, host in settings.existing.by_name.items()}
    taken = {22: "sshd"} | (_BUNDLED if bundled else {})
    taken |= {logins[FRONT]: "sshd"} if logins else {}
    for name in (*API_PORTS.values(), "stats_port"):
        port, default = getattr(settings, name), getattr(usual, name)
        if port in taken:
            instead = default if default != port else "<another port>"
            refusals.refuse(camel(name), port, f"{taken[port]} listens there on the front host", instead)
    for name in API_PORTS.values():
        if settings.stats_port == getattr(settings, name):
            # The one to change is the one that was changed.
            moved, other = (name, "stats_port") if settings.stats_port == usual.stats_port else ("stats_port", name)
            refusals.refuse(camel(moved), settings.stats_port, f"{camel(other)} is the same", getattr(usual, moved))
    try:
        for process in settings.processes:
            if process.port and process.port == logins.get(process.node):
                name = API_PORTS[process.kind]
                rule = f"{process.unit} would listen on port {process.port} of {process.node}, where sshd does"
                refusals.refuse(camel(name), getattr(settings, name), rule, "<another port>")
    except PlacementError as error:
        remedy = "; ".join(refusals.set(camel(name), getattr(usual, name)) for name in API_PORTS.values())
        refusals.problems += [
            f"{', '.join(map(camel, API_PORTS.values()))}: {problem}. Type: {remedy}" for problem in error.ports
        ]
        for kind, problem in error.numbers.items():
            _refuse_number(settings, kind, problem, refusals)
        return False
    return True


def _refuse_number(settings: HeatSection, kind: Kind, rule: str, refusals: Refusals) -> None:
    """Refuse a total that the nodes' fixed numbers do not fit; the remedy gives every other node one process."""
    key, fixed = camel(COUNTS[kind]), [node.pinned.get(kind) for node in settings.heat_nodes]
    least = sum(number or 0 for number in fixed)
    total = min(least + fixed.count(None), MOST_PROCESSES)
    last = max(index for index, number in enumerate(fixed) if number is not None)
    remedy = "" if total >= max(least, 1) else refusals.remove(f"existing.nodes[{last}].{key}")
    refusals.refuse(key, getattr(settings, COUNTS[kind]), rule, total, remedy)
