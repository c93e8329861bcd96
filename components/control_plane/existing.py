"""A control plane that exists already: a database, one or several brokers, Keystone, and perhaps a cache.

What the operator allows is made there. Anything else that is missing is reported before Heat starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components import urls
from components.control_plane.base import Connections, ControlPlane, refuse_other_keys, run_program
from components.control_plane.broker import ORPHANS
from components.control_plane.client_config import Login
from components.control_plane.keystone import IDENTITY, KEYSTONE_CHECK, ServiceLogin, check_spec, registration_spec
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Secrets, Services
from components.heat.node import HeatNode
from components.remote import Host
from components.secrets import password

REACH = "/usr/local/lib/heat-scaleout/reach.py"
# The name of a database, a vhost and their users, if the operator gives none.
_NAME = "heat"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The operator's secrets for the control plane; "" for a secret that is not given.

    Attributes:
        database_url: Heat's own URL of the database, in SQLAlchemy's form.
        transport_url: Heat's own URL of the brokers, in oslo.messaging's form.
        service_password: the password of Heat's user in Keystone.
        stack_domain_admin_password: the password of the administrator of the stacks' domain.
        auth_encryption_key: the key that Heat encrypts the database with.
        database_admin_url: the URL of a user who may make a database and its user.
        broker_admin_url: RabbitMQ's management API, with a user who may make a vhost and its user.
        keystone_admin_password: the password of `Manage.admin_user`.
    """

    database_url: pulumi.Input[str] = ""
    transport_url: pulumi.Input[str] = ""
    service_password: pulumi.Input[str] = ""
    stack_domain_admin_password: pulumi.Input[str] = ""
    auth_encryption_key: pulumi.Input[str] = ""
    database_admin_url: pulumi.Input[str] = ""
    broker_admin_url: pulumi.Input[str] = ""
    keystone_admin_password: pulumi.Input[str] = ""


@dataclass(frozen=True, kw_only=True)
class Manage:
    """Where this program may make what Heat needs, and the administrator who makes it in Keystone."""

    database: bool = False
    broker: bool = False
    keystone: bool = False
    admin_user: str = "admin"
    admin_project: str = "admin"


def database_url(given: str, admin: str, made: str, ca_file: str = "") -> str:
    """Heat's URL of its database.

    Args:
        given: the operator's URL, or "".
        admin: the URL of a user who may make databases. Without `given`, Heat's database is on the same server.
        made: the password for a user that is made.
        ca_file: the path of the certificates that the server is verified with; "" without TLS.
    """
    if given:
        url = given
    else:
        _, _, server = urlsplit(admin).netloc.rpartition("@")
        url = f"mysql+pymysql://{_NAME}:{made}@{server}/{_NAME}?charset=utf8mb4"
    return f"{url}{'&' if '?' in url else '?'}ssl_ca={ca_file}" if ca_file and "ssl_ca=" not in url else url


def transport_url(given: str, admin: str, made: str, port: int) -> str:
    """Heat's URL of its brokers. Arguments as for `database_url`; `port` is for a URL that is not given."""
    host = urls.bracketed(urlsplit(admin).hostname or "")
    return given or urls.transport_url(_NAME, made, [f"{host}:{port}"], _NAME)


class ExistingControlPlane(ControlPlane):
    """A control plane that exists already."""

    def __init__(
        self,
        name: str,
        *,
        deployment: pulumi.Input[Deployment],
        services: Services,
        ca: str,
        given: Given,
        manage: Manage,
        connections: Connections,
        hosts: Collection[Host] = (),
        other_key_remedy: str = "",
        protect_secrets: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the missing passwords, and the options of heat.conf.

        Args:
            name: the component's name.
            deployment: with the URLs of the APIs for clients.
            services: the addresses of the services, and Heat's names in Keystone.
            ca: the text of the operator's own certificates, or "".
            given: the operator's secrets.
            manage: where this program may make what Heat needs.
            connections: how many connections to the database the engines may open.
            hosts: the hosts that may have run Heat before.
            other_key_remedy: what to do if one of these hosts uses another key: `refuse_other_keys`.
            protect_secrets: protect the generated passwords and keys from deletion.
            opts: of the component.
        """
        super().__init__("heat:control:ExistingControlPlane", name, {}, opts)
        self._deployment, self._services, self._manage = deployment, services, manage
        self._connections = connections
        self.ready = []
        self.files, self.ca_file = {heat_conf.CA: ca} if ca else {}, services.ca_file
        made = {
            purpose: password(f"secret-{purpose}", self, protect=protect_secrets)
            for purpose in (
                "database-heat", "broker", "keystone-heat", "stack-domain-admin", "auth-encryption-key", "token-cache",
            )
        }  # fmt: skip
        self._known: pulumi.Output[dict[str, Any]] = pulumi.Output.all(**made, **vars(given))
        self.keystone_url = self.public_keystone_url = pulumi.Output.from_input(services.keystone_url)
        self.public = pulumi.Output.from_input(heat_conf.service_options(services))
        self._secrets: pulumi.Output[Secrets] = pulumi.Output.secret(self._known.apply(self._make_secrets))
        refuse_other_keys(hosts, self._secrets, remedy=other_key_remedy, parent=self)
        self.secret = self._secrets.apply(heat_conf.secret_options)
        self.service = self._secrets.apply(
            lambda known: ServiceLogin(
                user=services.user,
                password=known.service_password,
                project=services.project,
                domain=services.domain,
            )
        )
        self.logins = self.service.apply(
            lambda known: {"heat-service": Login(user=known.user, project=known.project, password=known.password)}
        )
        self.register_addresses()

    def _make_secrets(self, known: Mapping[str, str]) -> Secrets:
        services = self._services
        broker_port = heat_conf.BROKER_TLS_PORT if services.broker_tls else heat_conf.BROKER_PORT
        return Secrets(
            database_url=database_url(
                known["database_url"],
                known["database_admin_url"],
                known["database-heat"],
                services.ca_file if services.database_tls else "",
            ),
            transport_url=transport_url(
                known["transport_url"], known["broker_admin_url"], known["broker"], broker_port
            ),
            service_password=known["service_password"] or known["keystone-heat"],
            domain_admin_password=known["stack_domain_admin_password"] or known["stack-domain-admin"],
            auth_encryption_key=known["auth_encryption_key"] or known["auth-encryption-key"],
            token_cache_key=known["token-cache"],
        )

    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:
        """Make what may be made, and check that database, broker and cache accept Heat's logins, on a Heat node."""
        services = self._services
        spec = pulumi.Output.all(self._known, self._secrets).apply(
            lambda both: {
                "database": {
                    "url": both[1].database_url,
                    "admin_url": both[0]["database_admin_url"] if self._manage.database else "",
                    "key": both[1].auth_encryption_key,
                    "connections": asdict(self._connections),
                },
                "broker": {
                    "url": both[1].transport_url,
                    "ca": services.ca_file if services.broker_tls else "",
                    "admin_url": both[0]["broker_admin_url"] if self._manage.broker else "",
                    "policy": ORPHANS,
                },
                "cache": list(services.memcached),
            }
        )
        purpose = "Check that Heat's database, broker and cache accept its logins."
        return [run_program(node, "reach", REACH, purpose=purpose, spec=spec, parent=self, after=[node.put_key_test()])]

    def install_files(self, node: HeatNode) -> None:
        """Do nothing: `files` has all files that the options name."""

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Register Heat in Keystone if that is allowed, else check that Heat is registered, on a Heat node."""
        if self._manage.keystone:
            spec = pulumi.Output.all(self._known, self._secrets, self._deployment).apply(
                lambda known: registration_spec(
                    known[2],
                    self._services,
                    admin=ServiceLogin(
                        user=self._manage.admin_user,
                        password=known[0]["keystone_admin_password"],
                        project=self._manage.admin_project,
                        domain=self._services.domain,
                    ),
                    secrets=known[1],
                )
            )
            return self._run(node, "identity", IDENTITY, "Register Heat in Keystone.", spec)
        expected = pulumi.Output.all(self._secrets, self._deployment).apply(
            lambda both: check_spec(self._services, *both)
        )
        return self._run(
            node,
            "keystone-check",
            KEYSTONE_CHECK,
            "Check that Heat is registered in Keystone.",
            expected,
            show_output=True,
        )

    def _run(
        self, node: HeatNode, name: str, path: str, purpose: str, spec: pulumi.Input[Any], *, show_output: bool = False
    ) -> pulumi.Resource:
        return run_program(
            node, name, path, purpose=purpose, spec=spec, parent=self, after=self.ready, show_output=show_output
        )
