"""A control plane on one host, like devstack's: MariaDB, RabbitMQ, memcached and Keystone.

For trying Heat out and for small clouds: one of each, without TLS between them. Every secret is generated once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_command as command

from components import urls
from components.control_plane.base import ControlPlane, refuse_other_keys, run_program
from components.control_plane.broker import NEWER, OLDER, ORPHANS
from components.control_plane.client_config import Login
from components.control_plane.keystone import IDENTITY, ServiceLogin, registration_spec
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Secrets, Services
from components.heat.install import NETRC, PackageSource
from components.heat.node import HeatNode
from components.heat.schema import Dump
from components.memory import DEFAULTS, Memory
from components.outputs import render_output
from components.remote import Host
from components.rendering import LOCKS, UV_VERSION
from components.secrets import password

KEYSTONE_VERSION = "30.0.0"
_KEYSTONE_LOCK = f"/opt/keystone/requirements-{KEYSTONE_VERSION}.txt"
# Each API process and each engine worker keeps a few connections to memcached.
_CACHE_CONNECTIONS = 4096
# The logarithm of bcrypt's rounds. With Keystone's default of 12 a login costs a quarter of a second of a core, with 8
# it costs 0.03 s. More rounds protect passwords that people choose; the generated ones have 128 random bits.
_HASH_ROUNDS = 8
# Each process answers one request at a time. With threads, Keystone 30 mixes the state of a process's requests: a
# user's request was judged by the domain of another user's token. Keystone's proxy keeps slow clients away from it.
_KEYSTONE_PROCESSES = 4
_KEYSTONE_PROXY = "/etc/keystone-proxy/haproxy.cfg"
_KEYSTONE_LIMITS = {
    # Bytes: Keystone's own limit (oslo.middleware's max_request_body_size), and uWSGI's limit on headers.
    "body": 114688,
    "headers": 65536,
    # The time for the headers of a request, and again for its body.
    "seconds": 10,
    "connections": 2000,
    # Connections of all clients together, and of one address, without the deployment's own hosts.
    "connections_of_clients": 1500,
    "connections_of_one": 64,
}
# The nodes use Heat's database, only this host uses Keystone's. Keystone's migrations always make utf8mb3 tables.
_DATABASES = {"heat": {"charset": "utf8mb4", "host": "%"}, "keystone": {"charset": "utf8mb3"}}
_BROKER_USER = "heat"
_CLIENT = "demo"
# The number of dumps of each database that are kept.
_DUMPS_KEPT = 5
_DUMP = re.compile(r"/var/lib/heat-scaleout/dumps/\S+\.sql\.gz")
_PYPI = PackageSource()
# The names of the logins in a client's clouds.yaml.
_CLIENT_CLOUD, _ADMIN_CLOUD = "heat", "heat-admin"


def _secrets(address: str, vhost: str, passwords: Mapping[str, str]) -> Secrets:
    """The secrets of secrets.conf, with every service at one address."""
    return Secrets(
        database_url=f"mysql+pymysql://heat:{passwords['database-heat']}@{address}/heat?charset=utf8mb4",
        transport_url=urls.transport_url(
            _BROKER_USER, passwords["broker"], [f"{address}:{heat_conf.BROKER_PORT}"], vhost
        ),
        service_password=passwords["keystone-heat"],
        domain_admin_password=passwords["stack-domain-admin"],
        auth_encryption_key=passwords["auth-encryption-key"],
        token_cache_key=passwords["token-cache"],
    )


class BundledControlPlane(ControlPlane):
    """A control plane on one host."""

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
        other_key_remedy: str = "",
        close_ports: Callable[[], None] = lambda: None,
        own_addresses: Sequence[str] = (),
        memory: Memory = DEFAULTS,
        protect_secrets: bool = False,
        packages: PackageSource = _PYPI,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install, configure and start every service.

        Args:
            name: the component's name.
            host: the host.
            region: Keystone's region.
            deployment: with the URLs of the APIs for clients.
            vhost: the broker's vhost for the planned engines and APIs.
            max_connections: the number of connections that MariaDB allows.
            auth_encryption_key: the key that Heat has encrypted the database with; "" for a new database.
            hosts: the hosts that may have run Heat before.
            other_key_remedy: what to do if one of these hosts uses another key: `refuse_other_keys`.
            close_ports: closes the host's ports; called after all checks that may refuse the hosts.
            own_addresses: the addresses of the deployment's hosts, which Keystone's proxy does not limit.
            memory: the memory limit of each unit.
            protect_secrets: protect the generated passwords and keys from deletion.
            packages: where Python packages come from.
            opts: of the component.
        """
        super().__init__("heat:control:BundledControlPlane", name, {}, opts)
        self._host = host
        self._memory = memory
        self._installed: list[pulumi.Resource] = []
        # A digest of each file's text.
        self._digests: dict[pulumi.Resource, pulumi.Output[str]] = {}
        self._deployment = deployment
        self._passwords = {
            purpose: password(f"secret-{purpose}", self, protect=protect_secrets)
            for purpose in (
                "database-heat", "database-keystone", "broker", "keystone-admin", "keystone-heat", "stack-domain-admin",
                "client", "auth-encryption-key", "token-cache",
            )
        }  # fmt: skip
        # The generated key stays, unused, while the operator gives one.
        made = self._passwords["auth-encryption-key"]
        self._passwords["auth-encryption-key"] = pulumi.Output.all(auth_encryption_key, made).apply(
            lambda known: str(known[0] or known[1])
        )
        self._secrets = pulumi.Output.all(**self._passwords).apply(lambda known: _secrets(host.address, vhost, known))
        refuse_other_keys(hosts, self._secrets, remedy=other_key_remedy, parent=self)
        close_ports()
        self._services = services = Services(
            keystone_url=f"http://{host.address}:{heat_conf.KEYSTONE_PORT}",
            memcached=(f"{host.address}:{heat_conf.MEMCACHED_PORT}",),
        )
        self.files, self.ca_file = {}, services.ca_file
        self.keystone_url = pulumi.Output.from_input(services.keystone_url)
        self.public_keystone_url = host.public_address.apply(
            lambda address: f"http://{address}:{heat_conf.KEYSTONE_PORT}"
        )
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
        # The public values of the templates. Secrets go only to the few texts that need them.
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
            "broker_vhosts": sorted({NEWER, OLDER, vhost}),
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
        port_mapper = self._file(
            "rabbitmq-epmd", "epmd-socket.conf", "/etc/systemd/system/epmd.socket.d/heat-scaleout.conf"
        )
        self._installed = [self._script("install", [lock, port_mapper])]
        database, cache = self._database(), self._cache()
        self.ready = [database, cache, self._broker(), self._keystone([database, cache])]
        self.register_addresses()

    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:  # noqa: ARG002 # the host runs everything itself
        """Wait for database, broker, cache and Keystone."""
        return self.ready

    @property
    def dump(self) -> Dump:
        """Makes a dump on the host of the database, and shows the operator its path."""

        def make(revisions: pulumi.Output[Mapping[str, str | None]], prefix: str) -> pulumi.Output[str]:
            done = self._script("dump", self.ready, {"revisions": revisions, "prefix": prefix}, show_output=True)
            return pulumi.Output.unsecret(done.stdout.apply(lambda text: "".join(_DUMP.findall(text)[-1:])))

        return make

    def install_files(self, node: HeatNode) -> None:
        """Do nothing: `files` has all files that the options name."""

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Register Heat in Keystone: its user, its domain, its services and a client's project, on a Heat node."""
        spec = pulumi.Output.all(self._secrets, self.logins, self._deployment).apply(
            lambda known: registration_spec(
                known[2],
                self._services,
                admin=self._user(known[1][_ADMIN_CLOUD]),
                secrets=known[0],
                clients=[self._user(known[1][_CLIENT_CLOUD])],
            )
        )
        return run_program(
            node, "identity", IDENTITY, purpose="Register Heat in Keystone.", spec=spec, parent=self, after=self.ready
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
        return self._host.limit_memory(unit, size, parent=self, after=self._installed)

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
            "keystone", [*files, *after], {"admin_password": self._passwords["keystone-admin"]}, show_output=True
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
        """Put templates/control_plane/<template>.j2 in place. With secrets only root and `group` may read the file."""
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
        show_output: bool = False,
    ) -> command.remote.Command:
        """Run templates/control_plane/<name>.sh.j2, again whenever a file in `after` has changed."""
        files = pulumi.Output.all(*(self._digests[one] for one in after if one in self._digests))
        digest = files.apply(lambda known: hashlib.sha256("".join(known).encode()).hexdigest())
        return self._host.script(
            name,
            render_output(f"control_plane/{name}.sh.j2", {**self._values, "digest": digest, **(more or {})}),
            parent=self,
            after=[*self._installed, *after],
            show_output=show_output,
        )
