"""Where database, broker, cache and Keystone come from: the one place that knows every kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.adopted_control_plane import AdoptedControlPlane, Source
from components.adoption import Wanted
from components.control_plane import BundledControlPlane, ControlPlane, broker_vhost
from components.existing_control_plane import ExistingControlPlane, Given, Manage
from components.front_proxy import Listener
from components.remote import Host
from components.take_over import TakeOver
from infra.model import FRONT, Settings
from infra.rules.together import MAX_CONNECTIONS
from infra.settings import secret


def find_control_plane(wanted: Settings, hosts: Mapping[str, Host]) -> ControlPlane:
    """The control plane of the deployment.

    Args:
        wanted: the settings.
        hosts: by name; the front host has it where it is bundled.
    """
    if wanted.adopt:
        return _adopted(wanted, hosts)
    front = hosts[FRONT]
    deployment = front.outside.apply(wanted.deployment_at)
    # Data that stay are of no use without what they are read with.
    protect = wanted.hosts == "openstack" and wanted.openstack.protect
    if wanted.control_plane == "existing":
        control = wanted.control
        return ExistingControlPlane(
            "control-plane",
            deployment=deployment,
            protect_secrets=protect,
            services=wanted.services,
            ca=control.ca_path.read_text() if control.ca else "",
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
        host=front,
        region=wanted.region,
        deployment=deployment,
        vhost=broker_vhost(wanted.installation),
        protect_secrets=protect,
        max_connections=MAX_CONNECTIONS,
        packages=wanted.installation.packages,
    )


def _adopted(wanted: Settings, hosts: Mapping[str, Host]) -> ControlPlane:
    host = hosts[wanted.adopt_host]
    return AdoptedControlPlane(
        "control-plane",
        host=host,
        front=hosts[FRONT],
        hosts=hosts.values(),
        source=Source(paths=wanted.adopt_from, revision=wanted.adopt_revision),
        wanted=Wanted(
            control=host.address,
            address=hosts[FRONT].address,
            api_port=wanted.api_port,
            cfn_port=wanted.cfn_port,
            deployment=wanted.deployment,
            allow=wanted.adopt_allow,
        ),
    )


def find_take_over(wanted: Settings, fronted: Sequence[Listener]) -> TakeOver | None:
    """What has the APIs' addresses until HAProxy takes them; None where nothing can have."""
    if not wanted.adopt:
        return None
    return TakeOver(
        address=wanted.addresses[FRONT],
        listeners=tuple((listener.name, listener.port) for listener in fronted),
        keep_engine=wanted.keep_original_engine,
    )
