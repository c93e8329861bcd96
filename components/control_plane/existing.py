"""What Heat leans on where it is there already: a database, one or several brokers, Keystone, perhaps a cache.

What may be made there is made, and what is missing and may not be made is told before Heat starts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pulumi

from components import loopback
from components.control_plane.bundled import (
    IDENTITY,
    ORPHANS,
    ControlPlane,
    ServiceLogin,
    identity,
    refuse_other_keys,
    run_program,
)
from components.control_plane.client_config import Login
from components.heat import heat_conf
from components.heat.heat_conf import Deployment, Secrets, Services
from components.heat.node import HeatNode
from components.remote import Host
from components.secrets import password
from components.topology import APIS

REACH = "/usr/local/lib/heat-scaleout/reach.py"
KEYSTONE_CHECK = "/usr/local/lib/heat-scaleout/keystone_check.py"
# What is made where nobody says how it is called.
_NAME = "heat"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the operator gives of it, each a secret; "" where it is not given.

    The URLs are Heat's own, `database_admin_url` and `broker_admin_url` those of users who may make what Heat needs: a
    database and its user, a virtual host and its user by RabbitMQ's management API. `keystone_admin_password` goes with
    `admin_user` of `Manage`.
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
    """What may be made, and who is asked to make it in Keystone."""

    database: bool = False
    broker: bool = False
    keystone: bool = False
    admin_user: str = "admin"
    admin_project: str = "admin"


def database_url(given: str, admin: str, made: str, ca_file: str = "") -> str:
    """Heat's URL of its database.

    Args:
        given: the operator's, or "".
        admin: that of a user who may make databases; where nothing is given, Heat's is on the same server.
        made: the password of a user that is made.
        ca_file: what the server is checked against; "" without TLS.
    """
    if given:
        url = given
    else:
        _, _, server = urlsplit(admin).netloc.rpartition("@")
        url = f"mysql+pymysql://{_NAME}:{made}@{server}/{_NAME}?charset=utf8mb4"
    return f"{url}{'&' if '?' in url else '?'}ssl_ca={ca_file}" if ca_file and "ssl_ca=" not in url else url


def transport_url(given: str, admin: str, made: str, port: int) -> str:
    """Heat's URL of its brokers; arguments as of `database_url`, and the broker's port where nothing is given."""
    host = loopback.bracketed(urlsplit(admin).hostname or "")
    return given or loopback.transport_url(_NAME, made, [f"{host}:{port}"], _NAME)


class ExistingControlPlane(ControlPlane):
    """A control plane that others run."""

    def __init__(
        self,
        name: str,
        *,
        deployment: pulumi.Input[Deployment],
        services: Services,
        ca: str,
        given: Given,
        manage: Manage,
        hosts: Collection[Host] = (),
        protect_secrets: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Put together what Heat is told of it.

        Args:
            name: the component's name.
            deployment: with the addresses that clients find the APIs at.
            services: where everything is, and Heat's names in Keystone.
            ca: the certificates of an operator's own, or "".
            given: what the operator gives.
            manage: what may be made.
            hosts: those that may have run Heat before.
            protect_secrets: keep what is made here, to log in or to read data with, from being taken away by mistake.
            opts: of the component.
        """
        super().__init__("heat:control:ExistingControlPlane", name, {}, opts)
        self._deployment, self._services, self._manage = deployment, services, manage
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
        self._secrets: pulumi.Output[Secrets] = pulumi.Output.secret(self._known.apply(self._put_together))
        refuse_other_keys(hosts, self._secrets, parent=self)
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
        self.register_outputs({})

    def _put_together(self, known: Mapping[str, str]) -> Secrets:
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
        """See that database, broker and cache let Heat in, after having made what may be made. Run on a Heat node."""
        services = self._services
        spec = pulumi.Output.all(self._known, self._secrets).apply(
            lambda both: {
                "database": {
                    "url": both[1].database_url,
                    "admin_url": both[0]["database_admin_url"] if self._manage.database else "",
                    "key": both[1].auth_encryption_key,
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
        purpose = "Heat's database, broker and cache let it in."
        return [run_program(node, "reach", REACH, purpose=purpose, spec=spec, parent=self, after=[node.encrypted])]

    def install_files(self, node: HeatNode) -> None:
        """What its options name is among `files`."""

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Have Keystone know Heat where it may be made to, else see that it does. Run on a Heat node."""
        services = self._services
        if self._manage.keystone:
            spec = pulumi.Output.all(self._known, self._secrets, self._deployment).apply(
                lambda known: identity(
                    known[2],
                    services,
                    admin=ServiceLogin(
                        user=self._manage.admin_user,
                        password=known[0]["keystone_admin_password"],
                        project=self._manage.admin_project,
                        domain=services.domain,
                    ),
                    secrets=known[1],
                )
            )
            return self._run(node, "identity", IDENTITY, "Keystone knows Heat.", spec)
        wanted = pulumi.Output.all(self._secrets, self._deployment).apply(lambda both: self._expected(*both))
        return self._run(node, "keystone-check", KEYSTONE_CHECK, "Keystone knows Heat.", wanted, shown=True)

    def _expected(self, known: Secrets, deployment: Deployment) -> dict[str, Any]:
        services = self._services
        return {
            "url": f"{services.keystone_url}/v3",
            "ca": services.ca_file,
            "login": {
                "username": services.user,
                "password": known.service_password,
                "user_domain_name": services.domain,
                "project_name": services.project,
                "project_domain_name": services.domain,
            },
            "roles": ["admin", "service"],
            "stack_domain": {
                "username": services.stack_domain_admin,
                "password": known.domain_admin_password,
                "user_domain_name": services.stack_domain,
                "domain_name": services.stack_domain,
            },
            "role": heat_conf.STACK_USER_ROLE,
            "endpoints": {api.catalog.type: deployment.urls[kind] for kind, api in APIS.items()},
        }

    def _run(
        self, node: HeatNode, name: str, path: str, purpose: str, spec: pulumi.Input[Any], *, shown: bool = False
    ) -> pulumi.Resource:
        return run_program(node, name, path, purpose=purpose, spec=spec, parent=self, after=self.ready, shown=shown)
