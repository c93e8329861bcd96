"""What Heat leans on: MariaDB, RabbitMQ, memcached and Keystone, built on one host, as devstack would.

For trying Heat out and for small clouds: one of each, no TLS between them. Every secret is made here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from components import heat_conf
from components.client_config import Login
from components.heat_conf import Deployment, Secrets
from components.heat_node import HeatNode
from components.remote import Host
from components.rendering import TEMPLATES, render_output
from components.secrets import password

KEYSTONE_VERSION = "30.0.0"
_KEYSTONE_LOCK = f"/opt/keystone/requirements-{KEYSTONE_VERSION}.txt"
_OBJECTS_PROGRAM = "/usr/local/lib/heat-scaleout/keystone_objects.py"
_PARTS = ("database", "broker", "cache", "keystone")
# Each API process and each engine worker keeps a few connections to the cache.
_CACHE_CONNECTIONS = 4096
# bcrypt, 2 to the power of this: Keystone's own default costs 0.2 s of a core for each login.
_HASH_ROUNDS = 12
_KEYSTONE_PROCESSES = 4
_CLIENT = "demo"


class BundledControlPlane(pulumi.ComponentResource):
    """All of it on one host.

    Attributes:
        ready: done when every part answers.
        secrets: what Heat's secrets.conf is made from.
        service_password: of Heat's own user in Keystone.
        logins: for clients, by the name of the cloud in their clouds.yaml.
    """

    ready: list[pulumi.Resource]
    secrets: pulumi.Output[Secrets]
    service_password: pulumi.Output[str]
    logins: pulumi.Output[dict[str, Login]]

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        deployment: Deployment,
        max_connections: int,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install, configure and start every part.

        Args:
            name: the component's name.
            host: where.
            deployment: the addresses that everything is reached at.
            max_connections: what MariaDB allows.
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
        self.service_password = self._passwords["keystone-heat"]
        self.secrets = pulumi.Output.all(**self._passwords).apply(
            lambda known: Secrets(
                database_password=known["database-heat"],
                broker_password=known["broker"],
                service_password=known["keystone-heat"],
                domain_admin_password=known["stack-domain-admin"],
                auth_encryption_key=known["auth-encryption-key"],
            )
        )
        self.logins = pulumi.Output.all(**self._passwords).apply(
            lambda known: {
                "heat": Login(user=_CLIENT, project=_CLIENT, password=known["client"]),
                "heat-admin": Login(user="admin", project="admin", password=known["keystone-admin"]),
            }
        )
        self._values: dict[str, pulumi.Input[Any]] = {
            "address": host.address,
            "region": deployment.region,
            "keystone_version": KEYSTONE_VERSION,
            "keystone_url": f"{deployment.keystone_url}/v3",
        }
        lock = host.file(
            "keystone-requirements",
            _KEYSTONE_LOCK,
            (TEMPLATES / "control_plane" / f"requirements-keystone-{KEYSTONE_VERSION}.txt").read_text(),
            parent=self,
        )
        mapper = self._file("rabbitmq-epmd", "epmd-socket.conf", "/etc/systemd/system/epmd.socket.d/heat-scaleout.conf")
        self._installed = [self._script("install", [lock, mapper], parts=_PARTS, uv_version=UV_VERSION)]
        database, cache = self._database(max_connections), self._cache()
        self.ready = [database, cache, self._broker(), self._keystone([database, cache])]
        self.register_outputs({})

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat: its user, its domain, its services and a client's project. Run on a Heat node."""
        program = node.host.file(
            "keystone-objects-program",
            _OBJECTS_PROGRAM,
            (TEMPLATES / "control_plane/keystone_objects.py").read_text(),
            parent=self,
            after=[node.installed],
        )
        deployment, known = self._deployment, self._passwords
        text = render_output(
            "control_plane/keystone_objects.sh.j2",
            self._values
            | {
                "python": f"{deployment.prefix}/bin/python",
                "keystone_objects": _OBJECTS_PROGRAM,
                "admin_password": known["keystone-admin"],
                "heat_password": known["keystone-heat"],
                "stack_domain_admin_password": known["stack-domain-admin"],
                "client_password": known["client"],
                "client": _CLIENT,
                "heat_user": heat_conf.SERVICE_USER,
                "service_project": heat_conf.SERVICE_PROJECT,
                "domain": heat_conf.SERVICE_DOMAIN,
                "stack_domain": heat_conf.STACK_DOMAIN,
                "stack_domain_admin": heat_conf.STACK_DOMAIN_ADMIN,
                "stack_user_role": heat_conf.STACK_USER_ROLE,
                "heat_api_url": deployment.api_url,
                "heat_cfn_url": deployment.cfn_url,
            },
        )
        return node.host.script("keystone-objects", text, parent=self, after=[program, *self.ready])

    def _database(self, max_connections: int) -> pulumi.Resource:
        values = {"database_port": 3306, "max_connections": max_connections, "innodb_buffer_pool_mb": 256}
        conf = self._file("mariadb-cnf", "mariadb.cnf", "/etc/mysql/mariadb.conf.d/99-heat-scaleout.cnf", **values)
        return self._script("mariadb", [conf], **values, databases=self._databases())

    def _databases(self) -> pulumi.Output[list[dict[str, str]]]:
        passwords = [self._passwords["database-heat"], self._passwords["database-keystone"]]
        return pulumi.Output.all(*passwords).apply(
            lambda known: [
                {"name": name, "user": name, "host": "%", "password": secret}
                for name, secret in zip(("heat", "keystone"), known, strict=True)
            ]
        )

    def _broker(self) -> pulumi.Resource:
        values: dict[str, pulumi.Input[Any]] = {
            "broker_port": 5672,
            "broker_user": "heat",
            "broker_vhost": "heat",
            "broker_password": self._passwords["broker"],
        }
        files = [
            self._file("rabbitmq-conf", "rabbitmq.conf", "/etc/rabbitmq/rabbitmq.conf", **values),
            self._file("rabbitmq-env", "rabbitmq-env.conf", "/etc/rabbitmq/rabbitmq-env.conf"),
            self._file(
                "rabbitmq-definitions",
                "rabbitmq-definitions.json",
                "/etc/rabbitmq/definitions.json",
                secret_for="rabbitmq",
                **values,
            ),
        ]
        return self._script("rabbitmq", files, **values)

    def _cache(self) -> pulumi.Resource:
        values = {"cache_port": 11211, "cache_mb": 128, "cache_connections": _CACHE_CONNECTIONS}
        conf = self._file("memcached-conf", "memcached.conf", "/etc/memcached.conf", **values)
        return self._script("memcached", [conf], **values)

    def _keystone(self, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        keystone_database = self._databases().apply(lambda both: both[1] | {"address": self._host.address})
        files = [
            self._file(
                "keystone-conf",
                "keystone.conf",
                "/etc/keystone/keystone.conf",
                cache_servers=[self._deployment.memcached],
                password_hash_rounds=_HASH_ROUNDS,
            ),
            self._file(
                "keystone-secrets",
                "keystone-secrets.conf",
                "/etc/keystone/keystone.conf.d/secrets.conf",
                secret_for="keystone",
                keystone_database=keystone_database,
                database_port=3306,
            ),
            self._file(
                "keystone-uwsgi",
                "keystone-uwsgi.ini",
                "/etc/keystone/keystone-uwsgi.ini",
                keystone_port=5000,
                keystone_processes=_KEYSTONE_PROCESSES,
            ),
            self._file("keystone-unit", "keystone.service", "/etc/systemd/system/keystone.service"),
        ]
        return self._script("keystone", [*files, *after], admin_password=self._passwords["keystone-admin"])

    def _file(self, name: str, template: str, path: str, *, secret_for: str = "", **values: pulumi.Input[Any]) -> pulumi.Resource:
        """Put templates/control_plane/<template>.j2 in place; `secret_for` is the one group that may read it."""
        return self._host.file(
            name,
            path,
            render_output(f"control_plane/{template}.j2", self._values | values),
            parent=self,
            after=self._installed,
            mode="0640" if secret_for else "0644",
            owner=f"root:{secret_for or 'root'}",
        )

    def _script(self, name: str, after: Sequence[pulumi.Resource], **values: pulumi.Input[Any]) -> pulumi.Resource:
        """Run templates/control_plane/<name>.sh.j2."""
        return self._host.script(
            name,
            render_output(f"control_plane/{name}.sh.j2", self._values | values),
            parent=self,
            after=[*self._installed, *after],
        )
