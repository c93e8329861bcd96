"""Database, broker, cache and Keystone: bundled, existing, or those of an adopted Heat."""

from __future__ import annotations

import shlex

from components.adoption.merge import AdoptionSpec, Problem, Subject
from components.control_plane.adopted import AdoptedControlPlane, Source
from components.control_plane.base import Connections, ControlPlane
from components.control_plane.broker import broker_vhost
from components.control_plane.bundled import BundledControlPlane
from components.control_plane.existing import ExistingControlPlane, Given, Manage
from components.hosts.firewall import HostFirewall
from infra.build.inventory import Inventory
from infra.remedies import CONNECTIONS, OTHER_KEY
from infra.settings.files import read_text
from infra.settings.heat import MAX_CONNECTIONS
from infra.settings.load import secret
from infra.settings.model import Settings
from infra.settings.refusals import typed_key


def find_control_plane(settings: Settings, inventory: Inventory, firewall: HostFirewall) -> ControlPlane:
    """The control plane of the deployment.

    Args:
        settings: the settings.
        inventory: the hosts; a bundled control plane is on the front host.
        firewall: the firewall of all hosts; it closes the front host's ports for a bundled control plane.
    """
    if settings.adopt:
        return _adopted(settings, inventory)
    deployment = inventory.public_address.apply(settings.deployment_at)
    # Data that are kept are useless without the keys and passwords that they are read with.
    protect = settings.protected
    # Existing hosts may have run Heat before.
    before = list(inventory.hosts.values()) if not settings.kind.made else []
    if not settings.bundled:
        control = settings.control
        return ExistingControlPlane(
            "control-plane",
            deployment=deployment,
            hosts=before,
            other_key_remedy=OTHER_KEY,
            connections=_connections(settings),
            protect_secrets=protect,
            services=settings.services,
            ca=read_text(control.ca_path) if control.ca else "",
            given=Given(
                database_url=secret("databaseUrl"),
                transport_url=secret("transportUrl"),
                service_password=secret("servicePassword"),
                stack_domain_admin_password=secret("stackDomainAdminPassword"),
                auth_encryption_key=secret("authEncryptionKey"),
                database_admin_url=secret("databaseAdminUrl"),
                broker_admin_url=secret("brokerAdminUrl"),
                keystone_admin_password=secret("keystoneAdminPassword"),
            ),
            manage=Manage(
                **{part: part in control.manage for part in ("database", "broker", "keystone")},
                admin_user=control.admin_user,
                admin_project=control.admin_project,
            ),
        )
    return BundledControlPlane(
        "control-plane",
        host=inventory.front,
        region=settings.region,
        deployment=deployment,
        vhost=broker_vhost(settings.installation),
        auth_encryption_key=secret("authEncryptionKey"),
        hosts=before,
        other_key_remedy=OTHER_KEY,
        close_ports=firewall.close_front,
        protect_secrets=protect,
        max_connections=MAX_CONNECTIONS,
        own_addresses=list(settings.addresses.values()),
        memory=settings.memory_limits,
        packages=settings.installation.packages,
    )


def _connections(settings: Settings) -> Connections:
    return Connections(
        workers=settings.engines * settings.engine_workers,
        each=settings.database_connections_per_worker,
        remedy=CONNECTIONS,
    )


def _adopted(settings: Settings, inventory: Inventory) -> ControlPlane:
    host = inventory.hosts[settings.adopt_host]
    return AdoptedControlPlane(
        "control-plane",
        host=host,
        front=inventory.front,
        hosts=inventory.hosts.values(),
        source=Source(paths=settings.adopt_from, revision=settings.adopt_revision),
        spec=AdoptionSpec(
            control=host.address,
            address=inventory.front.address,
            max_body=settings.request_limits.body,
            api_port=settings.api_port,
            cfn_port=settings.cfn_port,
            deployment=settings.deployment,
            allow=settings.adopt_allow,
        ),
        connections=_connections(settings),
        describe=lambda problem: describe_problem(problem, settings),
    )


_KEYS = {
    Subject.RELEASE: "heatVersion",
    Subject.ADDRESS: "existing.front.address",
    Subject.API_PORT: "apiPort",
    Subject.CFN_PORT: "cfnPort",
    Subject.RPC_RESPONSE: "timeouts.rpcResponse",
    Subject.ENGINE_GRACEFUL: "timeouts.engineGraceful",
    Subject.MAX_BODY: "haproxy.maxBody",
}


def describe_problem(problem: Problem, settings: Settings) -> str:
    """A sentence about a configuration that cannot be adopted: the key, its value, the rule and what to type."""
    if problem.subject is None:
        return problem.rule
    if problem.subject is Subject.ALLOW:
        key = typed_key(f"adoptAllow[{len(settings.adopt_allow)}]")
        return f"{problem.rule}; or allow the option. Type: pulumi config set {key} {problem.remedy}"
    key, remedy = _KEYS[problem.subject], shlex.quote(problem.remedy)
    return f"{key} = {problem.value}: {problem.rule}. Type: pulumi config set {typed_key(key)} {remedy}"
