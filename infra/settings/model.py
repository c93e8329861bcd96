"""What an operator may ask for: the stack's configuration as typed values, with what follows from them.

The fields are the keys of Pulumi.yaml in snake case. `infra.settings.reader` makes them from a stack's file, and
`infra.settings.rules` refuses those that cannot work.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeAlias

from components.heat.api_server import ApiServer
from components.heat.caretaker import Schedule
from components.heat.heat_conf import (
    BROKER_PORT,
    CA,
    DATABASE_PORT,
    KEYSTONE_PORT,
    MAX_JSON_BODY_SIZE,
    MAX_TEMPLATE_SIZE,
    MEMCACHED_PORT,
    SYSTEM_CA,
    Deployment,
    Services,
    largest_body,
)
from components.heat.install import NETRC, Installation, Method, PackageSource
from components.heat.options import Name, catalogue
from components.heat.overrides import Layers, Options, format_value
from components.hosts.ingress import ClosedPorts, IngressRule, closed_ports, ingress_rules
from components.hosts.spec import NEW, CloudSpec
from components.hosts.subnets import assign_addresses
from components.memory import Memory, megabytes
from components.proxy.balancer import BalancerSpec
from components.proxy.haproxy import Limits
from components.proxy.monitor import Monitor
from components.timeouts import Timeouts, complete_chain
from components.topology import APIS, Kind, Node, Process, plan_processes
from infra.settings.files import read_text
from infra.settings.reader import seconds, step

FRONT = "front"
# The settings of each kind of process: its number, an API's port, and lines for an API's listener in HAProxy.
COUNTS = {Kind.ENGINE: "engines", Kind.API: "apis", Kind.CFN: "cfn_apis"}
API_PORTS = {Kind.API: "api_port", Kind.CFN: "cfn_port"}
LISTENER_LINES = {Kind.API: "api_extra", Kind.CFN: "cfn_extra"}
_ANYWHERE = ("0.0.0.0/0",)
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class HaproxySettings:
    """HAProxy's own numbers, by the names they have in its manual. Defaults: Heat's scaling guide."""

    EXAMPLE: ClassVar[str] = "timeoutClient"

    global_maxconn: int = 4000
    maxconn: int = 8000
    retries: int = 3
    balance: str = "source"
    timeout_http_request: str = "10s"
    timeout_queue: str = "1m"
    timeout_connect: str = "10s"
    timeout_client: str = "1m"
    # None: that of the chain of timeouts. The guide's 1m is Heat's own limit on a request to the second, and HAProxy
    # would answer 504 for what Heat was about to answer.
    timeout_server: str | None = None
    timeout_check: str = "2s"
    check_interval: str = "2s"
    # While an API is down, or its state is about to change.
    check_fast_interval: str = "500ms"
    check_fall: int = 3
    check_rise: int = 2
    # Addresses of those whose X-Forwarded-For, -Host and -Proto are believed, such as a TLS terminator's.
    trusted_proxies: tuple[str, ...] = ()
    # The largest body, in bytes. None: what Heat's own limits allow.
    max_body: int | None = None
    # The largest headers, in bytes: a token has to fit.
    max_header: int = 32768
    # From one address at once.
    client_connections: int = 256
    # Lines of one's own, as they are.
    extra_global: tuple[str, ...] = ()
    extra_defaults: tuple[str, ...] = ()
    api_extra: tuple[str, ...] = ()
    cfn_extra: tuple[str, ...] = ()

    @property
    def listener_lines(self) -> dict[Kind, tuple[str, ...]]:
        """The lines of one's own for each listener."""
        return {kind: getattr(self, name) for kind, name in LISTENER_LINES.items()}


@dataclass(frozen=True, kw_only=True)
class TimeoutSettings:
    """The chain of timeouts, in seconds: `components.timeouts`. None: what follows from the others."""

    EXAMPLE: ClassVar[str] = "rpcResponse"

    rpc_response: int = 60
    uwsgi: int | None = None
    proxy_server: int | None = None
    api_stop: int | None = None
    engine_graceful: int = 60
    engine_stop: int | None = None


# An option's value, or several where it is a list or may be repeated.
Value: TypeAlias = "str | tuple[str, ...]"
Sections: TypeAlias = "Mapping[str, Mapping[str, Value]]"


@dataclass(frozen=True, kw_only=True)
class OptionSettings:
    """Options of heat.conf that are said otherwise, by whom they are for: `components.heat.overrides.Layers`."""

    EXAMPLE: ClassVar[str] = "all.DEFAULT.debug"
    MOVED: ClassVar[Mapping[str, str]] = {section: f"all.{section}" for section, _ in catalogue().options}

    all: Sections = field(default_factory=dict)
    nodes: Mapping[str, Sections] = field(default_factory=dict)
    kinds: Mapping[str, Sections] = field(default_factory=dict)
    processes: Mapping[str, Sections] = field(default_factory=dict)

    def each(self, path: str) -> Iterator[tuple[str, Name, Value]]:
        """Every option: the path, below `path`, of the sections that it is in, its name and its value."""
        scopes = [(step(path, "all"), self.all)]
        for whom in ("nodes", "kinds", "processes"):
            scopes += [(step(step(path, whom), name), sections) for name, sections in getattr(self, whom).items()]
        for scope, sections in scopes:
            for section, values in sections.items():
                for option, value in values.items():
                    yield scope, (section, option), value

    def most(self, name: Name, default: int) -> int:
        """The largest number that an option is given anywhere; `default` where it is given none above that."""
        said = (value for _, option, value in self.each("") if option == name)
        numbers = (int(value) for value in said if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value))
        return max(numbers, default=default)

    @property
    def layers(self) -> Layers:
        """The same, as they are written."""

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


@dataclass(frozen=True, kw_only=True)
class CaretakerSettings:
    """When what engines leave behind is looked after; 0 is never."""

    EXAMPLE: ClassVar[str] = "purgeDays"

    rescue_minutes: int = 1
    # Beyond what Heat's resources take between a message and their lock: API calls, retries, properties to be resolved.
    grace_seconds: int = 180
    clean_hours: int = 1
    # As `heat-manage purge_deleted` has it.
    purge_days: int = 90
    purge_at: str = "03:30"


@dataclass(frozen=True, kw_only=True)
class MemorySettings(Memory):
    """How much memory each unit may use. "" where the number of its processes decides: `Settings.memory_limits`."""

    EXAMPLE: ClassVar[str] = "engine"

    engine: str = ""
    api: str = ""
    cfn_api: str = ""


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """A host that is there already, and how to log in to it. Without a user: the one that all the hosts have."""

    EXAMPLE: ClassVar[str] = "address"

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

    EXAMPLE: ClassVar[str] = "user"

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


@dataclass(frozen=True, kw_only=True)
class OpenstackSettings:
    """The VMs of `hosts: openstack`, and what else is made for them. None named: what Pulumi.yaml says of each."""

    EXAMPLE: ClassVar[str] = "image"
    MOVED: ClassVar[Mapping[str, str]] = {"protect": "/protect"}

    cloud: str = ""
    image: str = "debian-12"
    front_flavor: str = "m1.medium"
    node_flavor: str = "m1.small"
    boot_volume: int = 0
    external_network: str = ""
    floating_ip: str = NEW
    network: str = ""
    first_address: str = ""
    dns_servers: tuple[str, ...] = ()
    availability_zones: tuple[str, ...] = ()
    anti_affinity: str = "soft"
    ssh_from: tuple[str, ...] = ()
    clients_from: tuple[str, ...] = ()
    key_pair: str = ""
    user: str = "heat-scaleout"
    tags: tuple[str, ...] = ()
    load_balancer_provider: str = ""
    load_balancer_floating_ip: str = NEW
    rebuild: str = ""

    @property
    def clients(self) -> tuple[str, ...]:
        """From where clients reach Keystone and the APIs."""
        return self.clients_from or self.ssh_from


# Nova's names for how close the members of a group may be, by what the settings call it.
SERVER_GROUPS = {"soft": "soft-anti-affinity", "hard": "anti-affinity", "none": ""}


# Octavia's names for how a load balancer chooses, by HAProxy's.
METHODS = {"source": "SOURCE_IP", "roundrobin": "ROUND_ROBIN", "leastconn": "LEAST_CONNECTIONS"}


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """The control plane of `controlPlane: existing`, but for its secrets."""

    EXAMPLE: ClassVar[str] = "keystoneUrl"

    keystone_url: str = ""
    memcached: tuple[str, ...] = ()
    # What may be made: database, broker, keystone.
    manage: tuple[str, ...] = ()
    # What is reached by TLS: database, broker; Keystone says so by its URL.
    tls: tuple[str, ...] = ()
    # The certificates that all of it is checked against, a file on the operator's machine; none means the system's.
    ca: str = ""
    user: str = Services.user
    project: str = Services.project
    domain: str = Services.domain
    stack_domain: str = Services.stack_domain
    stack_domain_admin: str = Services.stack_domain_admin
    admin_user: str = "admin"
    admin_project: str = "admin"

    @property
    def ca_path(self) -> Path:
        """Where the certificates are; a relative path starts at the checkout."""
        return _ROOT / self.ca


# What settings say of a secret: where it comes from. `infra.settings.load.secret` returns the secret itself.
KEY_SECRET, KEY_PLAIN, KEY_AGENT = "[secret]", "[not a secret]", "[agent]"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator wants. Field for field the keys of Pulumi.yaml, in snake case."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "rpcResponseTimeout": "timeouts.rpcResponse",
        "gracefulShutdownTimeout": "timeouts.engineGraceful",
    }

    hosts: str = "containers"
    existing: ExistingSettings = field(default_factory=ExistingSettings)
    openstack: OpenstackSettings = field(default_factory=OpenstackSettings)
    ssh_private_key: str = ""
    control_plane: str = "bundled"
    control: ControlSettings = field(default_factory=ControlSettings)
    database_url: str = ""
    transport_url: str = ""
    service_password: str = ""
    stack_domain_admin_password: str = ""
    auth_encryption_key: str = ""
    database_admin_url: str = ""
    broker_admin_url: str = ""
    keystone_admin_password: str = ""
    adopt: bool = False
    adopt_host: str = FRONT
    adopt_from: tuple[str, ...] = ("/etc/heat/heat.conf", "/etc/heat/heat.conf.d")
    adopt_allow: tuple[str, ...] = ()
    adopt_revision: int = 1
    keep_original_engine: bool = True
    nodes: int = 2
    engines: int = 2
    apis: int = 2
    cfn_apis: int = 2
    engine_workers: int = 1
    checks_per_stack: int = 8
    api_processes: int = 1
    api_threads: int = 8
    install: str = "pip"
    heat_version: str = "27.0.1"
    git_url: str = "https://opendev.org/openstack/heat"
    git_ref: str = ""
    constraints: str = ""
    wheelhouse: str = ""
    api_runner: str = "uwsgi"
    region: str = "RegionOne"
    subnet: str = "10.213.77.0/24"
    api_port: int = APIS[Kind.API].port
    cfn_port: int = APIS[Kind.CFN].port
    stats_port: int = 8404
    stats_allow: tuple[str, ...] = ()
    load_balancer: str = "haproxy"
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    rolling_batch: int = 1
    caretaker: CaretakerSettings = field(default_factory=CaretakerSettings)
    memory: MemorySettings = field(default_factory=MemorySettings)
    haproxy: HaproxySettings = field(default_factory=HaproxySettings)
    uwsgi_extra: tuple[str, ...] = ()
    options: OptionSettings = field(default_factory=OptionSettings)
    secret_options: OptionSettings = field(default_factory=OptionSettings)
    allow_options: tuple[str, ...] = ()
    policy: str = ""
    pip_index_url: str = ""
    netrc: str = ""
    debian_mirror: str = ""
    protect: str = "auto"
    generation: int = 1

    @property
    def protected(self) -> bool:
        """Whether what data are kept on and read with may not be taken away, by `destroy` or by replacing it.

        Containers are for trying things out, and an adopted Heat gets back what was its own.
        """
        if self.protect == "auto":
            return self.hosts != "containers" and not self.adopt
        return self.protect == "true"

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
        first = self.openstack.first_address if self.hosts == "openstack" else ""
        return assign_addresses(self.network, self.host_names, first)

    @property
    def heat_nodes(self) -> tuple[Node, ...]:
        """The hosts that run Heat."""
        if self.hosts == "existing":
            return tuple(
                Node(
                    name=node.name,
                    address=node.address,
                    pinned={kind: getattr(node, name) for kind, name in COUNTS.items()},
                )
                for node in self.existing.nodes
            )
        return tuple(Node(name=name, address=self.addresses[name]) for name in self.host_names if name != FRONT)

    @property
    def processes(self) -> tuple[Process, ...]:
        """The plan: every process of Heat, on its node."""
        return plan_processes(
            self.heat_nodes,
            counts={kind: getattr(self, name) for kind, name in COUNTS.items()},
            ports=self.api_ports,
        )

    @property
    def api_ports(self) -> dict[Kind, int]:
        """The port of each kind of API, on the proxy and for a node's first process."""
        return {kind: getattr(self, name) for kind, name in API_PORTS.items()}

    @property
    def given_timeouts(self) -> dict[str, int]:
        """What is given of the chain of timeouts; of HAProxy's under either of its two names."""
        given = {name: value for name, value in dataclasses.asdict(self.timeouts).items() if value is not None}
        if self.haproxy.timeout_server:
            given.setdefault("proxy_server", int(seconds(self.haproxy.timeout_server) or 0))
        return given

    @property
    def chain(self) -> Timeouts:
        """The whole of it."""
        return complete_chain(self.given_timeouts)[0]

    @property
    def deployment(self) -> Deployment:
        """What every node's heat.conf is made from."""
        return self.deployment_at(self.addresses[FRONT])

    def deployment_at(self, front: str) -> Deployment:
        """The same, where clients find the front host at another address than its own."""
        return Deployment(
            install=self.installation,
            urls={kind: f"http://{front}:{port}" for kind, port in self.api_ports.items()},
            region=self.region,
            engine_workers=self.engine_workers,
            checks_per_stack=self.checks_per_stack,
            timeouts=self.chain,
            strips_headers=not self.octavia,
        )

    @property
    def services(self) -> Services:
        """Where what Heat leans on is, when it is there already."""
        control = self.control
        ca_file = CA if control.ca else SYSTEM_CA if control.tls else ""
        return Services(
            keystone_url=control.keystone_url,
            memcached=control.memcached,
            ca_file=ca_file,
            database_tls="database" in control.tls,
            broker_tls="broker" in control.tls,
            user=control.user,
            project=control.project,
            domain=control.domain,
            stack_domain=control.stack_domain,
            stack_domain_admin=control.stack_domain_admin,
        )

    @property
    def constraints_file(self) -> Path:
        """Where the constraints are on the operator's machine; a relative path starts at the checkout."""
        return _ROOT / self.constraints

    @property
    def release_is_known(self) -> bool:
        """Whether `heat_version` says which release it is, and not a host."""
        return self.install == Method.PIP.value or (self.install == Method.GIT.value and not self.git_ref)

    @property
    def installation(self) -> Installation:
        """How Heat comes onto the nodes."""
        return Installation(
            method=Method(self.install),
            version=self.heat_version,
            git_url=self.git_url,
            git_ref=self.git_ref or self.heat_version,
            constraints=read_text(self.constraints_file) if self.constraints else "",
            packages=PackageSource(
                index_url=self.pip_index_url, wheelhouse=self.wheelhouse, netrc=NETRC if self.netrc else ""
            ),
            console=self.api_server.console,
        )

    @property
    def api_server(self) -> ApiServer:
        """How much one API process serves at once."""
        return ApiServer(
            processes=self.api_processes,
            threads=self.api_threads,
            console=self.api_runner == "console",
            max_body=self.request_limits.body,
            max_header=self.request_limits.header,
            extra=self.uwsgi_extra,
        )

    @property
    def schedule(self) -> Schedule:
        """When the caretaker does what."""
        return Schedule(**dataclasses.asdict(self.caretaker))

    @property
    def request_limits(self) -> Limits:
        """What a request may be at most."""
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
        """HAProxy's numbers and durations, by the names of its template."""
        timeout_server = self.haproxy.timeout_server or f"{self.chain.proxy_server}s"
        return dataclasses.asdict(self.haproxy) | {"timeout_server": timeout_server}

    @property
    def memory_limits(self) -> Memory:
        """How much memory each unit may use."""
        usual, given = Memory(), self.memory
        api = f"{max(megabytes(usual.api) // 1024, self.api_processes)}G"
        return dataclasses.replace(
            usual,
            **dataclasses.asdict(given)
            | {
                "engine": given.engine or f"{max(megabytes(usual.engine) // 1024, self.engine_workers)}G",
                "api": given.api or api,
                "cfn_api": given.cfn_api or api,
            },
        )

    @property
    def octavia(self) -> bool:
        """Whether clients reach a load balancer of the cloud's, and no HAProxy."""
        return self.load_balancer == "octavia"

    @property
    def monitor(self) -> Monitor:
        """How the proxy asks the APIs, as Octavia takes it."""
        delay, timeout = (
            math.ceil(seconds(text) or 0) for text in (self.haproxy.check_interval, self.haproxy.timeout_check)
        )
        # Octavia wants the answer before it asks again.
        return Monitor(
            delay=delay, timeout=min(timeout, delay - 1), fall=self.haproxy.check_fall, rise=self.haproxy.check_rise
        )

    @property
    def balanced(self) -> BalancerSpec | None:
        """The load balancer, where that is Octavia's."""
        if not self.octavia:
            return None

        def milliseconds(duration: object) -> int:
            return round((seconds(str(duration)) or 0) * 1000)

        openstack, haproxy = self.openstack, self.haproxy
        return BalancerSpec(
            method=METHODS[haproxy.balance],
            # As Octavia lists them: in another order each `up` would change them.
            clients_from=sorted({*openstack.clients, self.subnet}),
            connections=haproxy.maxconn,
            client_timeout=milliseconds(haproxy.timeout_client),
            connect_timeout=milliseconds(haproxy.timeout_connect),
            server_timeout=milliseconds(self.haproxy_values["timeout_server"]),
            monitor=self.monitor,
            provider=openstack.load_balancer_provider,
            floating_ip=openstack.load_balancer_floating_ip,
        )

    @property
    def stats_networks(self) -> tuple[str, ...]:
        """Who may see HAProxy's statistics, beside the front host."""
        usual = {"containers": (self.subnet,), "existing": tuple(self.addresses.values())}
        return self.stats_allow or usual.get(self.hosts, ())

    @property
    def ingress_rules(self) -> tuple[IngressRule, ...]:
        """Who may reach which port. Only a cloud has a word on clients and operators; elsewhere they are anywhere."""
        bundled, openstack = self.control_plane == "bundled", self.openstack
        cloud = self.hosts == "openstack"
        apis = () if self.octavia else tuple(self.api_ports.values())
        return ingress_rules(
            self.processes,
            client_ports=(*apis, *((KEYSTONE_PORT,) if bundled else ())),
            node_ports=(DATABASE_PORT, BROKER_PORT, KEYSTONE_PORT, MEMCACHED_PORT) if bundled else (),
            stats_port=self.stats_port,
            clients_from=openstack.clients if cloud else _ANYWHERE,
            stats_from=self.stats_networks,
            ssh_from=openstack.ssh_from if cloud else _ANYWHERE,
            # A load balancer's own machines are in the hosts' network, at addresses of the cloud's choice.
            requests_from=self.subnet if self.octavia else FRONT,
        )

    @property
    def closed(self) -> dict[str, ClosedPorts]:
        """What the hosts' own firewall closes, by the host's name."""
        return closed_ports(self.ingress_rules, self.processes, self.addresses)

    def wanted_of_cloud(self, stack: str) -> CloudSpec:
        """What is looked up and made in a cloud."""
        openstack = self.openstack
        return CloudSpec(
            hosts=self.addresses,
            ingress_rules=self.ingress_rules,
            mark=f"heat-scaleout-{stack}",
            subnet=self.subnet,
            cloud=openstack.cloud,
            image=openstack.image,
            front_flavor=openstack.front_flavor,
            node_flavor=openstack.node_flavor,
            boot_volume=openstack.boot_volume,
            external_network=openstack.external_network,
            floating_ip=openstack.floating_ip,
            network=openstack.network,
            key_pair=openstack.key_pair,
            availability_zones=openstack.availability_zones,
            server_group=SERVER_GROUPS[openstack.anti_affinity],
            user=openstack.user,
            dns_servers=openstack.dns_servers,
            tags=openstack.tags,
            protect=self.protected,
            rebuild=openstack.rebuild,
            balancer=self.balanced,
        )
