"""What an operator may ask for: the stack's configuration as typed values, with what follows from them. Pure.

Field for field the keys of Pulumi.yaml, in snake case; `infra.reader` makes these from what a stack's file says, and
`infra.rules` says which of them cannot be.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from components.heat_conf import CA, SYSTEM_CA, Deployment, Services
from components.heat_node import ApiServer
from components.hosts.containers import addresses
from components.install import Installation, Method, PackageSource
from components.topology import Node, Process, place

FRONT = "front"
_ROOT = Path(__file__).resolve().parents[1]


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


# What settings say of a secret: where it comes from, and no more. The secret itself is had by `infra.settings.secret`.
KEY_SECRET, KEY_PLAIN, KEY_AGENT = "[secret]", "[not a secret]", "[agent]"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator wants. Field for field the keys of Pulumi.yaml, in snake case."""

    hosts: str = "containers"
    existing: ExistingSettings = field(default_factory=ExistingSettings)
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
    nodes: int = 2
    engines: int = 2
    apis: int = 2
    cfn_apis: int = 2
    engine_workers: int = 1
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
            install=self.installation,
            api_url=f"http://{front}:{self.api_port}",
            cfn_url=f"http://{front}:{self.cfn_port}",
            region=self.region,
            engine_workers=self.engine_workers,
            rpc_response_timeout=self.rpc_response_timeout,
            graceful_shutdown_timeout=self.graceful_shutdown_timeout,
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
    def installation(self) -> Installation:
        """How Heat comes onto the nodes."""
        return Installation(
            method=Method(self.install),
            version=self.heat_version,
            git_url=self.git_url,
            git_ref=self.git_ref or self.heat_version,
            constraints=self.constraints_file.read_text() if self.constraints else "",
            packages=PackageSource(index_url=self.pip_index_url, wheelhouse=self.wheelhouse),
            console=self.api_server.console,
        )

    @property
    def api_server(self) -> ApiServer:
        """How much one API process serves at once."""
        return ApiServer(processes=self.api_processes, threads=self.api_threads, console=self.api_runner == "console")

    @property
    def haproxy_values(self) -> dict[str, object]:
        """HAProxy's numbers and durations, by the names of its template."""
        return dataclasses.asdict(self.haproxy) | {"timeout_server": self.timeout_server}

    @property
    def stats_networks(self) -> tuple[str, ...]:
        """Who may see HAProxy's statistics."""
        return self.stats_allow or ((self.subnet,) if self.hosts == "containers" else tuple(self.addresses.values()))
