"""What Heat leans on: MariaDB, RabbitMQ, memcached and Keystone, built on one host, as devstack would.

For trying Heat out and for small clouds: one of each, no TLS between them. Every secret is made here, once.
"""

from __future__ import annotations

import abc
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_command as command

from components import loopback
from components.control_plane.client_config import Login
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Options, Secrets, Services
from components.heat.install import NETRC, Installation, Method, PackageSource
from components.heat.node import Dump, HeatNode
from components.memory import USUAL, Memory, limit_of
from components.remote import Host
from components.rendering import LOCKS, UV_VERSION, program_text, render, render_output
from components.secrets import password
from components.topology import APIS

KEYSTONE_VERSION = "30.0.0"
_KEYSTONE_LOCK = f"/opt/keystone/requirements-{KEYSTONE_VERSION}.txt"
IDENTITY = "/usr/local/lib/heat-scaleout/identity.py"
# Each API process and each engine worker keeps a few connections to the cache.
_CACHE_CONNECTIONS = 4096
# bcrypt, 2 to the power of this. Keystone's own 12 makes a login cost a quarter of a second of a core (8: 0.03 s); it
# protects passwords that people choose, and the ones made here have 128 random bits.
_HASH_ROUNDS = 8
# Each answers one request at a time. With threads, Keystone 30 mixes what it knows of the requests that a process works
# on: a user's request was judged by the domain of another user's token. Its proxy keeps slow clients away from it.
_KEYSTONE_PROCESSES = 4
_KEYSTONE_PROXY = "/etc/keystone-proxy/haproxy.cfg"
_KEYSTONE_LIMITS = {
    # What Keystone itself takes at most (oslo.middleware's max_request_body_size), and what uWSGI takes of headers.
    "body": 114688,
    "headers": 65536,
    # For the headers of a request, and again for its body.
    "seconds": 10,
    "connections": 2000,
    # Of all clients together, and of one address. Neither counts the deployment's own hosts.
    "connections_of_clients": 1500,
    "connections_of_one": 64,
}
# Heat is used from the nodes, Keystone from its own host; Keystone's migrations make its tables utf8mb3 in any case.
_DATABASES = {"heat": {"charset": "utf8mb4", "host": "%"}, "keystone": {"charset": "utf8mb3"}}
_BROKER_USER = "heat"
# Up to Heat 25 engines speak version 1.4 among themselves, and one of a later release does not take what they say, nor
# they what it says (1.9): what the one sends and the other fetches is lost. So each has a vhost of its own.
_NEWER, _OLDER = "heat", "heat-1.4"
_FIRST_NEWER = 26
# RabbitMQ's policy for the queues that an engine leaves behind: each of its worker processes has some named by a new id
# at every start. Half an hour, in milliseconds, as oslo.messaging's own reply queues have it.
ORPHANS = {
    "pattern": r"^(engine|engine_worker|heat-engine-listener)\.",
    "definition": {"expires": 1800000},
    "apply-to": "queues",
    "priority": 0,
}
_CLIENT = "demo"
# Of each database: the newest that are not removed.
_DUMPS_KEPT = 5
_DUMP = re.compile(r"/var/lib/heat-scaleout/dumps/\S+\.sql\.gz")
_PYPI = PackageSource()
# The names of the logins in a client's clouds.yaml.
_CLIENT_CLOUD, _ADMIN_CLOUD = "heat", "heat-admin"


@dataclass(frozen=True, kw_only=True)
class ServiceLogin:
    """Heat's own user in Keystone, and its project. The project's domain is the user's, if it is not said.

    An id counts before a name.
    """

    user: str
    password: str
    project: str
    domain: str
    domain_id: str = ""
    project_domain: str = ""
    project_domain_id: str = ""


class ControlPlane(pulumi.ComponentResource, abc.ABC):
    """What Heat leans on, wherever it comes from.

    Attributes:
        keystone_url: without version, as hosts of ours reach it.
        public_keystone_url: the same for clients.
        public: the options of heat.conf that it makes.
        secret: those of secrets.conf.
        service: Heat's own user in Keystone.
        logins: for clients, by the name of the cloud in their clouds.yaml.
        files: what the options name, each text by its path on the nodes.
        ca_file: the certificates that Keystone is checked against, a path; "" for the system's.
        ready: done when every part answers.
    """

    keystone_url: pulumi.Output[str]
    public_keystone_url: pulumi.Output[str]
    public: pulumi.Output[Options]
    secret: pulumi.Output[Options]
    service: pulumi.Output[ServiceLogin]
    logins: pulumi.Output[dict[str, Login]]
    files: dict[str, pulumi.Input[str]]
    ca_file: pulumi.Input[str]
    ready: list[pulumi.Resource]

    @abc.abstractmethod
    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:
        """What must be done before Heat's schema can be. Run on a Heat node."""

    @property
    def dump(self) -> Dump | None:
        """Makes a dump of Heat's database before its schema is upgraded; None where others run the database."""
        return None

    @abc.abstractmethod
    def install_files(self, node: HeatNode) -> None:
        """Put on a node what the options name beside `files`: what is known only once a host has been asked."""

    @abc.abstractmethod
    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat, or see that it does. Run on a Heat node."""


def identity(
    deployment: Deployment,
    services: Services,
    *,
    admin: ServiceLogin,
    secrets: Secrets,
    clients: Sequence[ServiceLogin] = (),
) -> dict[str, Any]:
    """What Keystone should know, in the form of programs/control_plane/identity.py.

    Args:
        deployment: the addresses of the APIs.
        services: Keystone's address, and Heat's names there.
        admin: who is asked to make it so.
        secrets: with the passwords of Heat's users.
        clients: users of Heat, each a member of a project.
    """
    return {
        "url": f"{services.keystone_url}/v3",
        "ca": services.ca_file,
        "region": deployment.region,
        "admin": {
            "username": admin.user,
            "password": admin.password,
            "user_domain_name": admin.domain,
            "project_name": admin.project,
            "project_domain_name": admin.domain,
        },
        "roles": ["reader", "member", heat_conf.STACK_USER_ROLE],
        "users": [
            {
                "name": services.user,
                "password": secrets.service_password,
                "domain": services.domain,
                # admin: for trusts and for stacks of other projects. service: to have EC2 signatures checked.
                "grants": [{"role": role, "project": services.project} for role in ("admin", "service")],
            },
            {
                "name": services.stack_domain_admin,
                "password": secrets.domain_admin_password,
                "domain": services.stack_domain,
                "grants": [{"role": "admin", "domain": services.stack_domain}],
            },
            *(
                {
                    "name": client.user,
                    "password": client.password,
                    "domain": client.domain,
                    "grants": [{"role": "member", "project": client.project}],
                }
                for client in clients
            ),
        ],
        "services": [
            {"name": api.catalog.name, "kind": api.catalog.type, "url": deployment.urls[kind] + api.catalog.path}
            for kind, api in APIS.items()
        ],
    }


def run_program(
    node: HeatNode,
    name: str,
    path: str,
    *,
    purpose: str,
    spec: pulumi.Input[Any],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    shown: bool = False,
) -> pulumi.Resource:
    """Run a program of programs/control_plane/ by a node's Heat.

    Args:
        node: where.
        name: of the resource.
        path: where the program goes; its file name is the template's.
        purpose: a sentence for the head of the script.
        spec: what the program reads from stdin, as JSON.
        parent: the component that it belongs to.
        after: what must be done before.
        shown: the operator sees what it prints.
    """
    text = program_text("control_plane/" + path.rpartition("/")[2])
    program = node.host.file(f"{name}-program", path, text, parent=parent, after=[node.installed])
    script = pulumi.Output.from_input(spec).apply(
        lambda known: render(
            "control_plane/program.sh.j2", purpose=purpose, python=node.python, program=path, spec=known
        )
    )
    return node.host.script(name, script, parent=parent, after=[program, *node.files, *after], shown=shown)


def refuse_other_keys(hosts: Collection[Host], secrets: pulumi.Input[Secrets], *, parent: pulumi.Resource) -> None:
    """Change nothing on any host before none of them is known to have run Heat on this database with another key."""
    known = pulumi.Output.secret(secrets)

    def script(host: Host) -> pulumi.Output[str]:
        return known.apply(
            lambda told: render(
                "heat/known-key.sh.j2",
                name=host.name,
                key=told.auth_encryption_key,
                database=told.database_url.rpartition("@")[2].partition("?")[0],
            )
        )

    looked = [host.script("known-key", script(host), parent=parent) for host in hosts]
    for host in hosts:
        host.use_after(looked)


def broker_vhost(install: Installation) -> str:
    """The vhost of an installation's engines and APIs: its own where only the hosts can tell which release it is."""
    release = {Method.PIP: install.version, Method.GIT: install.git_ref, Method.APT: ""}[install.method]
    if not re.fullmatch(r"\d+\.\d+\.\d+", release):
        return f"heat-{install.name}"
    return _NEWER if int(release.partition(".")[0]) >= _FIRST_NEWER else _OLDER


def _secrets(address: str, vhost: str, passwords: Mapping[str, str]) -> Secrets:
    """What Heat's secrets.conf is made from, with everything at one address."""
    return Secrets(
        database_url=f"mysql+pymysql://heat:{passwords['database-heat']}@{address}/heat?charset=utf8mb4",
        transport_url=loopback.transport_url(
            _BROKER_USER, passwords["broker"], [f"{address}:{heat_conf.BROKER_PORT}"], vhost
        ),
        service_password=passwords["keystone-heat"],
        domain_admin_password=passwords["stack-domain-admin"],
        auth_encryption_key=passwords["auth-encryption-key"],
        token_cache_key=passwords["token-cache"],
    )


class BundledControlPlane(ControlPlane):
    """All of it on one host."""

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        region: str,
        deployment: pulumi.Input[Deployment],
        vhost: str,
        max_connections: int,
        auth_encryption_key: pulumi.Input[str] = "",
        hosts: Collection[Host] = (),
        close_ports: Callable[[], None] = lambda: None,
        own_addresses: Sequence[str] = (),
        memory: Memory = USUAL,
        protect_secrets: bool = False,
        packages: PackageSource = _PYPI,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install, configure and start every part.

        Args:
            name: the component's name.
            host: where.
            region: Keystone's.
            deployment: with the addresses that clients find the APIs at.
            vhost: the broker's, for the engines and APIs that are planned.
            max_connections: what MariaDB allows.
            auth_encryption_key: what Heat has encrypted the database with; "" where it is new.
            hosts: those that may have run Heat before.
            close_ports: closes the host's ports; called when nothing refuses the hosts any more.
            own_addresses: the deployment's hosts, which Keystone's proxy does not limit.
            memory: what each unit may use.
            protect_secrets: keep what its data can be read with from being taken away by mistake.
            packages: where Python packages come from.
            opts: of the component.
        """
        super().__init__("heat:control:BundledControlPlane", name, {}, opts)
        self._host = host
        self._memory = memory
        self._installed: list[pulumi.Resource] = []
        # Of the texts of the files that have been put in place.
        self._digests: dict[pulumi.Resource, pulumi.Output[str]] = {}
        self._deployment = deployment
        self._passwords = {
            purpose: password(f"secret-{purpose}", self, protect=protect_secrets)
            for purpose in (
                "database-heat", "database-keystone", "broker", "keystone-admin", "keystone-heat", "stack-domain-admin",
                "client", "auth-encryption-key", "token-cache",
            )
        }  # fmt: skip
        # A key that was made stays, unused, while one is given.
        made = self._passwords["auth-encryption-key"]
        self._passwords["auth-encryption-key"] = pulumi.Output.all(auth_encryption_key, made).apply(
            lambda known: str(known[0] or known[1])
        )
        self._secrets = pulumi.Output.all(**self._passwords).apply(lambda known: _secrets(host.address, vhost, known))
        refuse_other_keys(hosts, self._secrets, parent=self)
        close_ports()
        self._services = services = Services(
            keystone_url=f"http://{host.address}:{heat_conf.KEYSTONE_PORT}",
            memcached=(f"{host.address}:{heat_conf.MEMCACHED_PORT}",),
        )
        self.files, self.ca_file = {}, services.ca_file
        self.keystone_url = pulumi.Output.from_input(services.keystone_url)
        self.public_keystone_url = host.outside.apply(lambda address: f"http://{address}:{heat_conf.KEYSTONE_PORT}")
        self.public = self.public_keystone_url.apply(
            lambda url: heat_conf.service_options(
                services if url == services.keystone_url else replace(services, public_keystone_url=url)
            )
        )
        self.service = self._passwords["keystone-heat"].apply(
            lambda known: ServiceLogin(
                user=services.user, password=known, project=services.project, domain=services.domain
            )
        )
        self.secret = self._secrets.apply(heat_conf.secret_options)
        self.logins = pulumi.Output.all(**self._passwords).apply(
            lambda known: {
                _CLIENT_CLOUD: Login(user=_CLIENT, project=_CLIENT, password=known["client"]),
                _ADMIN_CLOUD: Login(user="admin", project="admin", password=known["keystone-admin"]),
            }
        )
        # What the templates say of this host, but for its secrets: those go to the few texts that need them.
        self._values: dict[str, pulumi.Input[Any]] = {
            "address": host.address,
            "region": region,
            "keystone_lock": _KEYSTONE_LOCK,
            "uv_version": UV_VERSION,
            "packages": packages,
            "netrc": NETRC,
            "keystone_version": KEYSTONE_VERSION,
            "keystone_url": f"{services.keystone_url}/v3",
            "public_keystone_url": pulumi.Output.concat(self.public_keystone_url, "/v3"),
            "keystone_port": heat_conf.KEYSTONE_PORT,
            "keystone_processes": _KEYSTONE_PROCESSES,
            "keystone_proxy": _KEYSTONE_LIMITS,
            "keystone_proxy_conf": _KEYSTONE_PROXY,
            "own_addresses": list(own_addresses),
            "memory": memory,
            "dumps_kept": _DUMPS_KEPT,
            "password_hash_rounds": _HASH_ROUNDS,
            "database_port": heat_conf.DATABASE_PORT,
            "max_connections": max_connections,
            "innodb_buffer_pool_mb": 256,
            "broker_port": heat_conf.BROKER_PORT,
            "broker_user": _BROKER_USER,
            "broker_vhosts": sorted({_NEWER, _OLDER, vhost}),
            "orphans": ORPHANS,
            "cache_port": heat_conf.MEMCACHED_PORT,
            "cache_mb": 128,
            "cache_connections": _CACHE_CONNECTIONS,
            "cache_servers": list(services.memcached),
        }
        lock = host.file(
            "keystone-requirements",
            _KEYSTONE_LOCK,
            (LOCKS / f"keystone-{KEYSTONE_VERSION}.txt").read_text(),
            parent=self,
        )
        mapper = self._file("rabbitmq-epmd", "epmd-socket.conf", "/etc/systemd/system/epmd.socket.d/heat-scaleout.conf")
        self._installed = [self._script("install", [lock, mapper])]
        database, cache = self._database(), self._cache()
        self.ready = [database, cache, self._broker(), self._keystone([database, cache])]
        self.register_outputs({})

    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:  # noqa: ARG002 # this one needs no node for it
        """Database, broker and cache are there when they are ready."""
        return self.ready

    @property
    def dump(self) -> Dump:
        """Runs on the host of the database, and shows the operator where the dump is."""

        def make(revisions: pulumi.Output[Mapping[str, str | None]], prefix: str) -> pulumi.Output[str]:
            told = self._script("dump", self.ready, {"revisions": revisions, "prefix": prefix}, shown=True)
            return pulumi.Output.unsecret(told.stdout.apply(lambda text: "".join(_DUMP.findall(text)[-1:])))

        return make

    def install_files(self, node: HeatNode) -> None:
        """What its options name is among `files`."""

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat: its user, its domain, its services and a client's project. Run on a Heat node."""
        spec = pulumi.Output.all(self._secrets, self.logins, self._deployment).apply(
            lambda known: identity(
                known[2],
                self._services,
                admin=self._user(known[1][_ADMIN_CLOUD]),
                secrets=known[0],
                clients=[self._user(known[1][_CLIENT_CLOUD])],
            )
        )
        return run_program(
            node, "identity", IDENTITY, purpose="Keystone knows Heat.", spec=spec, parent=self, after=self.ready
        )

    def _user(self, login: Login) -> ServiceLogin:
        return ServiceLogin(**vars(login), domain=self._services.domain)

    def _database(self) -> pulumi.Resource:
        conf = self._file("mariadb-cnf", "mariadb.cnf", "/etc/mysql/mariadb.conf.d/99-heat-scaleout.cnf")
        return self._script(
            "mariadb", [conf, self._limit("mariadb", self._memory.database)], {"databases": self._databases()}
        )

    def _databases(self) -> pulumi.Output[list[dict[str, str]]]:
        passwords = [self._passwords["database-heat"], self._passwords["database-keystone"]]
        return pulumi.Output.all(*passwords).apply(
            lambda known: [
                {"host": self._host.address}
                | _DATABASES[name]
                | {"name": name, "user": name, "address": self._host.address, "password": secret}
                for name, secret in zip(_DATABASES, known, strict=True)
            ]
        )

    def _broker(self) -> pulumi.Resource:
        secret = {"broker_password": self._passwords["broker"]}
        files = [
            self._file("rabbitmq-conf", "rabbitmq.conf", "/etc/rabbitmq/rabbitmq.conf"),
            self._file("rabbitmq-env", "rabbitmq-env.conf", "/etc/rabbitmq/rabbitmq-env.conf"),
            self._file(
                "rabbitmq-definitions",
                "rabbitmq-definitions.json",
                "/etc/rabbitmq/definitions.json",
                secret,
                group="rabbitmq",
            ),
            self._limit("rabbitmq-server", self._memory.broker),
        ]
        return self._script("rabbitmq", files)

    def _cache(self) -> pulumi.Resource:
        conf = self._file("memcached-conf", "memcached.conf", "/etc/memcached.conf")
        return self._script("memcached", [conf, self._limit("memcached", self._memory.cache)])

    def _limit(self, unit: str, size: str) -> pulumi.Resource:
        return limit_of(self._host, unit, size, parent=self, after=self._installed)

    def _keystone(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        files = [
            self._file("keystone-conf", "keystone.conf", "/etc/keystone/keystone.conf"),
            self._file(
                "keystone-secrets",
                "keystone-secrets.conf",
                "/etc/keystone/keystone.conf.d/secrets.conf",
                {"keystone_database": self._databases().apply(lambda both: both[1])},
                group="keystone",
            ),
            self._file("keystone-uwsgi", "keystone-uwsgi.ini", "/etc/keystone/keystone-uwsgi.ini"),
            self._file("keystone-unit", "keystone.service", "/etc/systemd/system/keystone.service"),
            self._file("keystone-proxy-unit", "keystone-proxy.service", "/etc/systemd/system/keystone-proxy.service"),
            self._file("keystone-proxy-cfg", "keystone-proxy.cfg", _KEYSTONE_PROXY, check="haproxy -c -dW -q -f"),
        ]
        return self._script(
            "keystone", [*files, *after], {"admin_password": self._passwords["keystone-admin"]}, shown=True
        )

    def _file(
        self,
        name: str,
        template: str,
        path: str,
        secrets: Mapping[str, pulumi.Input[Any]] | None = None,
        *,
        group: str = "",
        check: str = "",
    ) -> pulumi.Resource:
        """Put templates/control_plane/<template>.j2 in place; one with secrets only for root and `group` to read."""
        text = render_output(f"control_plane/{template}.j2", {**self._values, **(secrets or {})})
        put = self._host.file(
            name,
            path,
            text,
            parent=self,
            after=self._installed,
            mode="0640" if secrets else "0644",
            owner=f"root:{group or 'root'}",
            check=check,
        )
        self._digests[put] = text.apply(lambda known: hashlib.sha256(known.encode()).hexdigest())
        return put

    def _script(
        self,
        name: str,
        after: Sequence[pulumi.Resource],
        more: Mapping[str, pulumi.Input[Any]] | None = None,
        *,
        shown: bool = False,
    ) -> command.remote.Command:
        """Run templates/control_plane/<name>.sh.j2; again when one of the files that it comes after has changed."""
        files = pulumi.Output.all(*(self._digests[one] for one in after if one in self._digests))
        digest = files.apply(lambda known: hashlib.sha256("".join(known).encode()).hexdigest())
        return self._host.script(
            name,
            render_output(f"control_plane/{name}.sh.j2", {**self._values, "digest": digest, **(more or {})}),
            parent=self,
            after=[*self._installed, *after],
            shown=shown,
        )
