"""The stack's configuration, read, typed and checked. The only module that touches `pulumi.Config`.

`load` is pure: what a stack's file says goes in, `Settings` or every problem at once comes out. Each setting's name,
type, default and meaning stand in Pulumi.yaml too, for `pulumi config` and for people; a test holds the two together.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import difflib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pulumi

from components.heat_conf import BROKER_PORT, DATABASE_PORT, KEYSTONE_PORT, MEMCACHED_PORT, Deployment
from components.heat_node import ApiServer, lock_file
from components.hosts.containers import addresses, free_subnet, overlapping
from components.topology import Kind, Node, PlacementError, Process, place

Routes = Sequence[tuple[ipaddress.IPv4Network, str]]

FRONT = "front"
# What the bundled MariaDB allows; more than one worker of an engine opens at once (heat.conf: executor_thread_pool_size
# and five), and what Keystone and the operator need.
MAX_CONNECTIONS = 4000
WORKER_CONNECTIONS = 69
OTHER_CONNECTIONS = 200


class SettingsError(pulumi.RunError):
    """A configuration that cannot be. The text lists every problem, with what to type against each."""

    def __init__(self, stack: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "one setting" if len(problems) == 1 else f"{len(problems)} settings"
        listed = "\n".join(f"  * {problem}" for problem in problems)
        super().__init__(f"{count} of stack {stack} cannot be used:\n{listed}")


@dataclass(frozen=True, kw_only=True)
class HaproxySettings:
    """HAProxy's own numbers, by the names they have in its manual. Defaults: Heat's scaling guide."""

    global_maxconn: int = 4000
    maxconn: int = 8000
    retries: int = 3
    balance: str = "source"
    timeout_http_request: str = "10s"
    timeout_queue: str = "1m"
    timeout_connect: str = "10s"
    timeout_client: str = "1m"
    # None: ten seconds beyond Heat's own limit on a request. The guide's 1m is Heat's limit to the second, and HAProxy
    # would answer 504 for what Heat was about to answer.
    timeout_server: str | None = None
    timeout_check: str = "10s"
    check_interval: str = "2s"
    check_fall: int = 3
    check_rise: int = 2


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """A host that is there already, and how to log in to it. Without a user: the one that all the hosts have."""

    address: str = ""
    user: str = ""
    port: int = 22
    host_key: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeSettings(HostSettings):
    """One that runs Heat: its lasting name, and how many processes it takes if that is for it to say."""

    name: str = ""
    engines: int | None = None
    apis: int | None = None
    cfn_apis: int | None = None


@dataclass(frozen=True, kw_only=True)
class ExistingSettings:
    """The hosts of `hosts: existing`. The nodes are a list, as their order is a lasting one: new ones come last."""

    user: str = "root"
    front: HostSettings = field(default_factory=HostSettings)
    nodes: tuple[NodeSettings, ...] = ()
    jump: HostSettings | None = None

    @property
    def by_name(self) -> dict[str, HostSettings]:
        """Every host by its name, the front host first."""
        return {FRONT: self.front} | {node.name: node for node in self.nodes}

    @property
    def by_path(self) -> dict[str, HostSettings]:
        """Every host by where it stands in the stack's file, the jump host last."""
        nodes = {f"existing.nodes[{index}]": node for index, node in enumerate(self.nodes)}
        return {"existing.front": self.front, **nodes} | ({"existing.jump": self.jump} if self.jump else {})


# Where the key of `hosts: existing` comes from. Settings say no more of it: the key itself is a secret from the moment
# it is read, and is had by `private_key`.
KEY_SECRET, KEY_PLAIN, KEY_AGENT = "[secret]", "[not a secret]", "[agent]"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator wants. Field for field the keys of Pulumi.yaml, in snake case."""

    hosts: str = "containers"
    existing: ExistingSettings = field(default_factory=ExistingSettings)
    ssh_private_key: str = ""
    control_plane: str = "bundled"
    nodes: int = 2
    engines: int = 2
    apis: int = 2
    cfn_apis: int = 2
    engine_workers: int = 1
    api_processes: int = 1
    api_threads: int = 8
    heat_version: str = "27.0.1"
    region: str = "RegionOne"
    subnet: str = "10.213.77.0/24"
    api_port: int = 8004
    cfn_port: int = 8000
    stats_port: int = 8404
    stats_allow: tuple[str, ...] = ()
    rpc_response_timeout: int = 60
    graceful_shutdown_timeout: int = 60
    haproxy: HaproxySettings = field(default_factory=HaproxySettings)
    pip_index_url: str = ""
    debian_mirror: str = ""

    @property
    def network(self) -> ipaddress.IPv4Network:
        """The subnet, as a network."""
        return ipaddress.IPv4Network(self.subnet)

    @property
    def host_names(self) -> tuple[str, ...]:
        """Every host of ours: the front, then the Heat nodes in their lasting order."""
        if self.hosts == "existing":
            return tuple(self.existing.by_name)
        return (FRONT, *(f"node-{ordinal}" for ordinal in range(1, self.nodes + 1)))

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each host."""
        if self.hosts == "existing":
            return {name: host.address for name, host in self.existing.by_name.items()}
        return addresses(self.network, self.host_names)

    @property
    def heat_nodes(self) -> tuple[Node, ...]:
        """The hosts that run Heat."""
        if self.hosts == "existing":
            return tuple(
                Node(
                    name=node.name,
                    address=node.address,
                    engines=node.engines,
                    apis=node.apis,
                    cfn_apis=node.cfn_apis,
                )
                for node in self.existing.nodes
            )
        return tuple(Node(name=name, address=self.addresses[name]) for name in self.host_names if name != FRONT)

    @property
    def processes(self) -> tuple[Process, ...]:
        """The plan: every process of Heat, on its node."""
        return place(
            self.heat_nodes,
            engines=self.engines,
            apis=self.apis,
            cfn_apis=self.cfn_apis,
            api_port=self.api_port,
            cfn_port=self.cfn_port,
        )

    @property
    def timeout_server(self) -> str:
        """How long HAProxy waits for an API's answer."""
        return self.haproxy.timeout_server or f"{self.rpc_response_timeout + 10}s"

    @property
    def deployment(self) -> Deployment:
        """What every node's heat.conf is made from."""
        front = self.addresses[FRONT]
        return Deployment(
            heat_version=self.heat_version,
            api_url=f"http://{front}:{self.api_port}",
            cfn_url=f"http://{front}:{self.cfn_port}",
            keystone_url=f"http://{front}:{KEYSTONE_PORT}",
            database_host=front,
            broker_host=front,
            memcached=f"{front}:{MEMCACHED_PORT}",
            region=self.region,
            engine_workers=self.engine_workers,
            rpc_response_timeout=self.rpc_response_timeout,
            graceful_shutdown_timeout=self.graceful_shutdown_timeout,
        )

    @property
    def api_server(self) -> ApiServer:
        """How much one API process serves at once."""
        return ApiServer(processes=self.api_processes, threads=self.api_threads)

    @property
    def haproxy_values(self) -> dict[str, object]:
        """HAProxy's numbers and durations, by the names of its template."""
        return dataclasses.asdict(self.haproxy) | {"timeout_server": self.timeout_server}

    @property
    def stats_networks(self) -> tuple[str, ...]:
        """Who may see HAProxy's statistics."""
        return self.stats_allow or ((self.subnet,) if self.hosts == "containers" else tuple(self.addresses.values()))


def camel(name: str) -> str:
    """A field's name as its key in the stack's file: cfn_apis is cfnApis."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


_Part = TypeVar("_Part", bound=object)
# What a setting consists of that is an object, by the type of its field.
_PARTS: dict[str, type[object]] = {
    "HaproxySettings": HaproxySettings,
    "ExistingSettings": ExistingSettings,
    "HostSettings": HostSettings,
    "HostSettings | None": HostSettings,
}
_EXAMPLES: dict[type, str] = {
    HaproxySettings: "timeoutClient",
    ExistingSettings: "user",
    HostSettings: "address",
    NodeSettings: "address",
}


@dataclass
class _Reader:
    """Collects problems, so that all of them are told at once."""

    stack: str
    problems: list[str] = field(default_factory=list)

    def refuse(self, key: str, value: object, rule: str, instead: object = None, remedy: str = "") -> None:
        """Note a problem: which key, which value, which rule, and what to type.

        Args:
            key: the setting, or the path of a part of it.
            value: what it is.
            rule: why that cannot be.
            instead: a value that can; none means that the setting has to go.
            remedy: what to type where it is another command.
        """
        shown = value if isinstance(value, str) else json.dumps(value)
        if not remedy and instead is None:
            remedy = f"pulumi config rm {_typed_key(key)} --stack {self.stack}"
        elif not remedy:
            remedy = f"pulumi config set {_typed_key(key)} {instead} --stack {self.stack}"
        self.problems.append(f"{key} = {shown}: {rule}. Type: {remedy}")

    def unknown(self, keys: Iterable[str], known: Sequence[str], prefix: str = "") -> None:
        """Refuse keys that mean nothing: a misspelt setting would silently do nothing."""
        for key in keys:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f", did you mean {prefix}{close[0]}?" if close else "."
                remedy = f"pulumi config rm {_typed_key(prefix + key)} --stack {self.stack}"
                self.problems.append(f"{prefix}{key}: there is no such setting{hint} Type: {remedy}")

    def typed(self, kind: type, raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        """The values of a dataclass's fields that are given and have the right type."""
        fields = {camel(item.name): item for item in dataclasses.fields(kind)}
        self.unknown(raw, list(fields), prefix)
        values: dict[str, Any] = {}
        for key, item in fields.items():
            if key not in raw:
                continue
            value, wanted = raw[key], str(item.type)
            if wanted in ("int", "int | None"):
                if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
                    self.refuse(prefix + key, value, "a whole number is wanted", item.default)
                    continue
                values[item.name] = int(value)
            elif wanted == "tuple[NodeSettings, ...]":
                if not isinstance(value, list):
                    self.refuse(prefix + key, value, f"a list is wanted, such as {prefix}{key}[0].name")
                    continue
                nodes = [self.part(NodeSettings, entry, f"{prefix}{key}[{at}]") for at, entry in enumerate(value)]
                values[item.name] = tuple(node for node in nodes if node is not None)
            elif wanted.startswith("tuple"):
                if not isinstance(value, list):
                    self.refuse(prefix + key, value, "a list is wanted")
                    continue
                values[item.name] = tuple(str(entry) for entry in value)
            elif kind_of_part := _PARTS.get(wanted):
                part = self.part(kind_of_part, value, prefix + key)
                if part is not None:
                    values[item.name] = part
            else:
                values[item.name] = str(value)
        return values

    def part(self, kind: type[_Part], value: object, path: str) -> _Part | None:
        """An object within a setting; None where it is no object."""
        if not isinstance(value, dict):
            self.refuse(path, value, f"an object is wanted, such as {path}.{_EXAMPLES[kind]}")
            return None
        return kind(**self.typed(kind, value, f"{path}."))


def _typed_key(key: str) -> str:
    """A key or the path of a part of it, as one types it."""
    quoted = f"'{key}'" if "[" in key else key
    return f"--path {quoted}" if "." in key or "[" in key else key


_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(duration: str) -> float | None:
    """A duration as HAProxy writes them ("90s", "1m"), in seconds; None where it is not one.

    A unit is always wanted: HAProxy takes a bare number for milliseconds, and people mean seconds.
    """
    match = _DURATION.fullmatch(duration)
    return int(match[1]) * _SECONDS[match[2]] if match else None


_CHOICES = {
    "hosts": ("containers", "existing"),
    "control_plane": ("bundled",),
}
_PORTS = ("api_port", "cfn_port", "stats_port")
# What else listens on the front host's address.
_TAKEN = {
    22: "sshd",
    DATABASE_PORT: "MariaDB",
    KEYSTONE_PORT: "Keystone",
    BROKER_PORT: "RabbitMQ",
    MEMCACHED_PORT: "memcached",
}
_AT_LEAST_ONE = (
    "nodes", "engines", "apis", "cfn_apis", "engine_workers", "api_processes", "api_threads", "rpc_response_timeout",
    "graceful_shutdown_timeout",
)  # fmt: skip
_BALANCE = ("source", "roundrobin", "leastconn", "static-rr", "random")
_MAX_PORT = 65535


def _check_values(settings: Settings, reader: _Reader) -> None:
    """Each value for itself."""
    default = Settings()
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            listed = " or ".join(choices)
            reader.refuse(camel(name), getattr(settings, name), f"this must be {listed}", getattr(default, name))
    for name in _AT_LEAST_ONE:
        if getattr(settings, name) < 1:
            reader.refuse(camel(name), getattr(settings, name), "at least 1 is wanted", getattr(default, name))
    for name in _PORTS:
        if not 0 < getattr(settings, name) <= _MAX_PORT:
            reader.refuse(camel(name), getattr(settings, name), f"a port is 1 to {_MAX_PORT}", getattr(default, name))
    if not lock_file(settings.heat_version).exists():
        known = ", ".join(
            sorted(path.stem.removeprefix("requirements-") for path in lock_file("*").parent.glob(lock_file("*").name))
        )
        reader.refuse(
            "heatVersion",
            settings.heat_version,
            f"no list of its packages is here; known: {known}",
            default.heat_version,
        )
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", settings.region):
        reader.refuse("region", settings.region, "a region is letters, digits and _.-", default.region)
    for entry in settings.stats_allow:
        if error := _not_a_network(ipaddress.ip_network, entry):
            reader.refuse("statsAllow", list(settings.stats_allow), error)
    if error := _not_a_network(ipaddress.IPv4Network, settings.subnet):
        reader.refuse("subnet", settings.subnet, error, default.subnet)
    _check_haproxy(settings.haproxy, reader)
    if settings.hosts == "existing":
        _check_existing(settings, reader)


_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_.-]*")


def _check_existing(settings: Settings, reader: _Reader) -> None:
    """The hosts that are there already, each for itself and all of them together."""
    existing, remedy = settings.existing, f"make hostkeys STACK={reader.stack}"
    if settings.ssh_private_key not in (KEY_SECRET, KEY_AGENT):
        rule = "the private key has to be a secret" if settings.ssh_private_key else "no key and no ssh agent is there"
        set_key = f"pulumi config set --secret sshPrivateKey --stack {reader.stack} <~/.ssh/id_ed25519"
        reader.refuse("sshPrivateKey", settings.ssh_private_key or "(none)", rule, remedy=set_key)
    if not existing.nodes:
        rule = "at least one host is wanted that runs Heat"
        reader.refuse("existing.nodes", [], rule, remedy=_set(reader, "existing.nodes[0].name", "node-1"))
    elif settings.nodes not in (Settings.nodes, len(existing.nodes)):
        reader.refuse("nodes", settings.nodes, "the nodes are those of existing.nodes", len(existing.nodes))
    users = {"existing.user": existing.user} | {f"{path}.user": host.user for path, host in existing.by_path.items()}
    for key, user in users.items():
        if not _USER.fullmatch(user) and (user or key == "existing.user"):
            reader.refuse(key, user, "root or a user with passwordless sudo is wanted", ExistingSettings.user)
    for path, host in existing.by_path.items():
        if error := _not_an_address(host.address) if path != "existing.jump" else _not_a_host(host.address):
            reader.refuse(f"{path}.address", host.address or "(none)", error, "<its address>")
        if not 0 < host.port <= _MAX_PORT:
            reader.refuse(f"{path}.port", host.port, f"a port is 1 to {_MAX_PORT}", HostSettings.port)
        if error := _not_a_host_key(host.host_key):
            reader.refuse(f"{path}.hostKey", host.host_key or "(none)", error, remedy=remedy)
    for path, host in existing.by_path.items():
        if isinstance(host, NodeSettings):
            _check_node(path, host, reader)
    _refuse_twins(existing, reader)


def _check_node(path: str, node: NodeSettings, reader: _Reader) -> None:
    free = f"node-{path.removeprefix('existing.nodes[').removesuffix(']')}"
    if not _NAME.fullmatch(node.name):
        reader.refuse(f"{path}.name", node.name or "(none)", "a name is small letters, digits and -", free)
    elif node.name.split("-")[0] == FRONT:
        reader.refuse(f"{path}.name", node.name, "this is how the front host's things are called", free)
    for name in ("engines", "apis", "cfn_apis"):
        number = getattr(node, name)
        if number is not None and number < 0:
            reader.refuse(f"{path}.{camel(name)}", number, "a node's own number is 0 or more")


def _refuse_twins(existing: ExistingSettings, reader: _Reader) -> None:
    """Two hosts with one name or one address; the later one is the one to change."""
    names, addresses = {FRONT: "existing.front"}, {existing.front.address: "existing.front"}
    for index, node in enumerate(existing.nodes):
        path = f"existing.nodes[{index}]"
        if node.name and names.setdefault(node.name, path) != path and node.name != FRONT:
            reader.refuse(f"{path}.name", node.name, f"{names[node.name]} has the same name", "<a name of its own>")
        if node.address and addresses.setdefault(node.address, path) != path:
            rule = f"{addresses[node.address]} has the same address, and their processes would meet on its ports"
            reader.refuse(f"{path}.address", node.address, rule, "<its address>")


def _set(reader: _Reader, key: str, value: object) -> str:
    return f"pulumi config set {_typed_key(key)} {value} --stack {reader.stack}"


def _not_an_address(text: str) -> str:
    """Why this is no address that other hosts can reach; empty where it is one."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return "an IPv4 address is wanted, at which the other hosts reach this one"
    if address.is_loopback:
        return "a loopback address leads every host to itself: the address at which the other hosts reach it is wanted"
    if address.is_unspecified or address.is_multicast or address.is_link_local or address.is_reserved:
        return "other hosts cannot reach this address"
    return ""


def _not_a_host(text: str) -> str:
    """The same for a jump host, which is only logged in to: a name will do."""
    return "" if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?", text) else "an address or a name is wanted"


def _not_a_host_key(text: str) -> str:
    """Why this is no public key of a host; empty where it is one."""
    if not text:
        return "without its key another machine could pose as this host"
    kind, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error:
        blob = b""
    # The kind stands within the key too: its length in four bytes, then its name.
    named = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    if kind.startswith(("ssh-ed25519", "ecdsa-sha2-")) and named == kind:
        return ""
    return "a public key is wanted as ssh-keyscan prints it, after the address: ssh-ed25519 AAAA…"


def _not_a_network(kind: Callable[[str], object], text: str) -> str:
    """Why a text is no network of this kind; empty where it is one."""
    try:
        kind(text)
    except ValueError as error:
        return str(error)
    return ""


def _check_haproxy(haproxy: HaproxySettings, reader: _Reader) -> None:
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


def _check_together(settings: Settings, reader: _Reader, routes: Routes) -> None:
    """What only holds or fails between values; each is known to be good in itself."""
    network = settings.network
    if settings.hosts == "containers":
        if found := overlapping(network, routes):
            rule = f"this machine has a route to {', '.join(found)}, and the containers' bridge would take its traffic"
            reader.refuse("subnet", settings.subnet, rule, free_subnet(routes))
        try:
            addresses(network, settings.host_names)
        except ValueError as error:
            reader.refuse("subnet", settings.subnet, f"{error}", "<a larger IPv4 subnet>")
            return
    _check_ports(settings, reader)
    connections = settings.engines * settings.engine_workers * WORKER_CONNECTIONS + OTHER_CONNECTIONS
    if connections > MAX_CONNECTIONS:
        most = (MAX_CONNECTIONS - OTHER_CONNECTIONS) // WORKER_CONNECTIONS
        if settings.engine_workers > most:
            rule = f"the bundled MariaDB carries {most} workers in all"
            reader.refuse("engineWorkers", settings.engine_workers, rule, most // settings.engines or 1)
        else:
            rule = f"with engineWorkers = {settings.engine_workers} the bundled MariaDB carries {most} workers in all"
            reader.refuse("engines", settings.engines, rule, most // settings.engine_workers)
    server = seconds(settings.timeout_server)
    if server is not None and server <= settings.rpc_response_timeout:
        limit = settings.rpc_response_timeout
        rule = f"must be longer than rpcResponseTimeout ({limit} s), or HAProxy gives up before Heat answers"
        reader.refuse("haproxy.timeoutServer", settings.timeout_server, rule, f"{limit + 10}s")


def _check_ports(settings: Settings, reader: _Reader) -> None:
    default = Settings()
    logins = settings.existing.by_name if settings.hosts == "existing" else {}
    taken = _TAKEN | ({logins[FRONT].port: "sshd"} if logins else {})
    for name in _PORTS:
        port = getattr(settings, name)
        if port in taken:
            rule = f"{taken[port]} listens there on the front host"
            usual = getattr(default, name)
            reader.refuse(camel(name), port, rule, usual if usual != port else "<another port>")
    for name in ("api_port", "cfn_port"):
        if settings.stats_port == getattr(settings, name):
            # The one to change is the one that was changed.
            moved, other = (name, "stats_port") if settings.stats_port == default.stats_port else ("stats_port", name)
            reader.refuse(camel(moved), settings.stats_port, f"{camel(other)} is the same", getattr(default, moved))
    try:
        for process in settings.processes:
            if logins and process.port == logins[process.node].port:
                name = "api_port" if process.kind is Kind.API else "cfn_port"
                rule = f"{process.unit} would listen on port {process.port} of {process.node}, where sshd does"
                reader.refuse(camel(name), getattr(settings, name), rule, "<another port>")
    except PlacementError as error:
        remedy = "; ".join(
            f"pulumi config set {camel(name)} {getattr(default, name)} --stack {reader.stack}"
            for name in ("api_port", "cfn_port")
        )
        reader.problems += [f"apiPort, cfnPort: {problem}. Type: {remedy}" for problem in error.problems]


def load(stack: str, raw: Mapping[str, Any], routes: Routes = ()) -> Settings:
    """Type and check a stack's configuration.

    Args:
        stack: the stack's name, for messages.
        raw: the project's keys with their values, numbers and lists already decoded.
        routes: this machine's IPv4 routes with their devices.

    Raises:
        SettingsError: with every problem found.
    """
    reader = _Reader(stack)
    settings = Settings(**reader.typed(Settings, raw))
    _check_values(settings, reader)
    if not reader.problems:
        _check_together(settings, reader, routes)
    if reader.problems:
        raise SettingsError(stack, reader.problems)
    return settings


def read(config: pulumi.Config) -> dict[str, Any]:
    """The project's keys of the current stack, as `load` takes them: what looks like JSON is decoded."""
    prefix = config.name + ":"
    given = pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get()
    keys = [name.removeprefix(prefix) for name in given if name.startswith(prefix)]
    raw = {key: _decoded(config.require(key)) for key in keys if key != _PRIVATE_KEY}
    # The key's place is taken by a word for where it comes from.
    if given.get(prefix + _PRIVATE_KEY):
        secret = pulumi.runtime.config.is_config_secret(prefix + _PRIVATE_KEY)
        raw[_PRIVATE_KEY] = KEY_SECRET if secret else KEY_PLAIN
    elif os.environ.get("SSH_AUTH_SOCK"):
        raw[_PRIVATE_KEY] = KEY_AGENT
    return raw


_PRIVATE_KEY = "sshPrivateKey"


def private_key() -> pulumi.Output[str] | None:
    """The key that hosts which are there already take; None where the ssh agent has it."""
    config = pulumi.Config()
    given = pulumi.runtime.config.is_config_secret(f"{config.name}:{_PRIVATE_KEY}")
    return config.require_secret(_PRIVATE_KEY) if given else None


def _decoded(value: str) -> Any:  # noqa: ANN401 # whatever JSON holds
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
