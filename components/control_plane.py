"""What Heat leans on: MariaDB, RabbitMQ, memcached and Keystone, built on one host, as devstack would.

For trying Heat out and for small clouds: one of each, no TLS between them. Every secret is made here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi

from components import heat_conf, loopback
from components.client_config import Login
from components.heat_conf import Deployment, Options, Secrets, Services
from components.heat_node import HeatNode
from components.remote import Host
from components.rendering import TEMPLATES, UV_VERSION, render, render_output
from components.secrets import password

KEYSTONE_VERSION = "30.0.0"
_KEYSTONE_LOCK = f"/opt/keystone/requirements-{KEYSTONE_VERSION}.txt"
_IDENTITY = "/usr/local/lib/heat-scaleout/identity.py"
# Each API process and each engine worker keeps a few connections to the cache.
_CACHE_CONNECTIONS = 4096
# bcrypt, 2 to the power of this. Keystone's own 12 makes a login cost a quarter of a second of a core (8: 0.03 s); it
# protects passwords that people choose, and the ones made here have 128 random bits.
_HASH_ROUNDS = 8
_KEYSTONE_PROCESSES = 4
# Heat is used from the nodes, Keystone from its own host; Keystone's migrations make its tables utf8mb3 in any case.
_DATABASES = {"heat": {"charset": "utf8mb4", "host": "%"}, "keystone": {"charset": "utf8mb3"}}
_BROKER_USER = _BROKER_VHOST = "heat"
_CLIENT = "demo"


@dataclass(frozen=True, kw_only=True)
class ServiceLogin:
    """Heat's own user in Keystone."""

    user: str
    password: str
    project: str
    domain: str


class ControlPlane(Protocol):
    """What Heat leans on, wherever it comes from.

    Attributes:
        keystone_url: without version.
        public: the options of heat.conf that it makes.
        secret: those of secrets.conf.
        service: Heat's own user in Keystone.
        logins: for clients, by the name of the cloud in their clouds.yaml.
        ready: done when every part answers.
    """

    keystone_url: pulumi.Output[str]
    public: pulumi.Output[Options]
    secret: pulumi.Output[Options]
    service: pulumi.Output[ServiceLogin]
    logins: pulumi.Output[dict[str, Login]]
    ready: list[pulumi.Resource]

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat. Run on a Heat node."""


def identity(deployment: Deployment, services: Services, passwords: Mapping[str, str]) -> dict[str, Any]:
    """What Keystone should know, in the form of templates/control_plane/identity.py.

    Args:
        deployment: the addresses of the APIs.
        services: Keystone's address, and Heat's names there.
        passwords: by their purpose: "keystone-admin", "keystone-heat", "stack-domain-admin", "client".
    """
    return {
        "url": f"{services.keystone_url}/v3",
        "region": deployment.region,
        "admin": {
            "username": "admin",
            "password": passwords["keystone-admin"],
            "user_domain_name": services.domain,
            "project_name": "admin",
            "project_domain_name": services.domain,
        },
        "roles": ["reader", "member", heat_conf.STACK_USER_ROLE],
        "users": [
            {
                "name": services.user,
                "password": passwords["keystone-heat"],
                "domain": services.domain,
                # admin: for trusts and for stacks of other projects. service: to have EC2 signatures checked.
                "grants": [{"role": role, "project": services.project} for role in ("admin", "service")],
            },
            {
                "name": services.stack_domain_admin,
                "password": passwords["stack-domain-admin"],
                "domain": services.stack_domain,
                "grants": [{"role": "admin", "domain": services.stack_domain}],
            },
            {
                "name": _CLIENT,
                "password": passwords["client"],
                "domain": services.domain,
                "grants": [{"role": "member", "project": _CLIENT}],
            },
        ],
        "services": [
            {"name": "heat", "kind": "orchestration", "url": f"{deployment.api_url}/v1/%(project_id)s"},
            {"name": "heat-cfn", "kind": "cloudformation", "url": f"{deployment.cfn_url}/v1"},
        ],
    }


def _secrets(address: str, passwords: Mapping[str, str]) -> Secrets:
    """What Heat's secrets.conf is made from, with everything at one address."""
    return Secrets(
        database_url=f"mysql+pymysql://heat:{passwords['database-heat']}@{address}/heat?charset=utf8mb4",
        transport_url=loopback.transport_url(
            _BROKER_USER, passwords["broker"], [f"{address}:{heat_conf.BROKER_PORT}"], _BROKER_VHOST
        ),
        service_password=passwords["keystone-heat"],
        domain_admin_password=passwords["stack-domain-admin"],
        auth_encryption_key=passwords["auth-encryption-key"],
    )


class BundledControlPlane(pulumi.ComponentResource):
    """All of it on one host. Its attributes are those of ControlPlane."""

    keystone_url: pulumi.Output[str]
    public: pulumi.Output[Options]
    secret: pulumi.Output[Options]
    service: pulumi.Output[ServiceLogin]
    logins: pulumi.Output[dict[str, Login]]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        deployment: Deployment,
        max_connections: int,
        pip_index_url: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install, configure and start every part.

        Args:
            name: the component's name.
            host: where.
            deployment: the addresses that everything is reached at.
            max_connections: what MariaDB allows.
            pip_index_url: where Python packages come from, if not from PyPI.
            opts: of the component.
        """
        super().__init__("heat:control:BundledControlPlane", name, {}, opts)
        self._host = host
        self._installed: list[pulumi.Resource] = []
        self._deployment = deployment
        self._passwords = {
            purpose: password(f"secret-{purpose}", self)
            for purpose in (
                "database-heat", "database-keystone", "broker", "keystone-admin", "keystone-heat", "stack-domain-admin",
                "client", "auth-encryption-key",
            )
        }  # fmt: skip
        self._services = services = Services(
            keystone_url=f"http://{host.address}:{heat_conf.KEYSTONE_PORT}",
            memcached=(f"{host.address}:{heat_conf.MEMCACHED_PORT}",),
        )
        self.keystone_url = pulumi.Output.from_input(services.keystone_url)
        self.public = pulumi.Output.from_input(heat_conf.service_options(services))
        self.service = self._passwords["keystone-heat"].apply(
            lambda known: ServiceLogin(
                user=services.user, password=known, project=services.project, domain=services.domain
            )
        )
        self.secret = pulumi.Output.all(**self._passwords).apply(
            lambda known: heat_conf.secret_options(_secrets(host.address, known))
        )
        self.logins = pulumi.Output.all(**self._passwords).apply(
            lambda known: {
                "heat": Login(user=_CLIENT, project=_CLIENT, password=known["client"]),
                "heat-admin": Login(user="admin", project="admin", password=known["keystone-admin"]),
            }
        )
        # What the templates say of this host, but for its secrets: those go to the few texts that need them.
        self._values: dict[str, pulumi.Input[Any]] = {
            "address": host.address,
            "region": deployment.region,
            "keystone_lock": _KEYSTONE_LOCK,
            "uv_version": UV_VERSION,
            "pip_index_url": pip_index_url,
            "keystone_version": KEYSTONE_VERSION,
            "keystone_url": f"{services.keystone_url}/v3",
            "keystone_port": heat_conf.KEYSTONE_PORT,
            "keystone_processes": _KEYSTONE_PROCESSES,
            "password_hash_rounds": _HASH_ROUNDS,
            "database_port": heat_conf.DATABASE_PORT,
            "max_connections": max_connections,
            "innodb_buffer_pool_mb": 256,
            "broker_port": heat_conf.BROKER_PORT,
            "broker_user": _BROKER_USER,
            "broker_vhost": _BROKER_VHOST,
            "cache_port": heat_conf.MEMCACHED_PORT,
            "cache_mb": 128,
            "cache_connections": _CACHE_CONNECTIONS,
            "cache_servers": list(services.memcached),
        }
        lock = host.file(
            "keystone-requirements",
            _KEYSTONE_LOCK,
            (TEMPLATES / "control_plane" / f"requirements-keystone-{KEYSTONE_VERSION}.txt").read_text(),
            parent=self,
        )
        mapper = self._file("rabbitmq-epmd", "epmd-socket.conf", "/etc/systemd/system/epmd.socket.d/heat-scaleout.conf")
        self._installed = [self._script("install", [lock, mapper])]
        database, cache = self._database(), self._cache()
        self.ready = [database, cache, self._broker(), self._keystone([database, cache])]
        self.register_outputs({})

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat: its user, its domain, its services and a client's project. Run on a Heat node."""
        program = node.host.file(
            "identity-program",
            _IDENTITY,
            (TEMPLATES / "control_plane/identity.py").read_text(),
            parent=self,
            after=[node.installed],
        )
        text = pulumi.Output.all(**self._passwords).apply(
            lambda known: render(
                "control_plane/identity.sh.j2",
                python=f"{self._deployment.prefix}/bin/python",
                program=_IDENTITY,
                spec=identity(self._deployment, self._services, known),
            )
        )
        return node.host.script("identity", text, parent=self, after=[program, *self.ready])

    def _database(self) -> pulumi.Resource:
        conf = self._file("mariadb-cnf", "mariadb.cnf", "/etc/mysql/mariadb.conf.d/99-heat-scaleout.cnf")
        return self._script("mariadb", [conf], {"databases": self._databases()})

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
        ]
        return self._script("rabbitmq", files, secret)

    def _cache(self) -> pulumi.Resource:
        conf = self._file("memcached-conf", "memcached.conf", "/etc/memcached.conf")
        return self._script("memcached", [conf])

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
        ]
        return self._script("keystone", [*files, *after], {"admin_password": self._passwords["keystone-admin"]})

    def _file(
        self,
        name: str,
        template: str,
        path: str,
        secrets: Mapping[str, pulumi.Input[Any]] | None = None,
        group: str = "",
    ) -> pulumi.Resource:
        """Put templates/control_plane/<template>.j2 in place; one with secrets only for root and `group` to read."""
        return self._host.file(
            name,
            path,
            render_output(f"control_plane/{template}.j2", {**self._values, **(secrets or {})}),
            parent=self,
            after=self._installed,
            mode="0640" if secrets else "0644",
            owner=f"root:{group or 'root'}",
        )

    def _script(
        self, name: str, after: Sequence[pulumi.Resource], secrets: Mapping[str, pulumi.Input[Any]] | None = None
    ) -> pulumi.Resource:
        """Run templates/control_plane/<name>.sh.j2."""
        return self._host.script(
            name,
            render_output(f"control_plane/{name}.sh.j2", {**self._values, **(secrets or {})}),
            parent=self,
            after=[*self._installed, *after],
        )
