"""Where database, broker, cache and Keystone come from: the one place that knows every kind."""

from __future__ import annotations

from components.adoption.merge import Wanted
from components.control_plane.adopted import AdoptedControlPlane, Source
from components.control_plane.bundled import BundledControlPlane, ControlPlane, broker_vhost
from components.control_plane.existing import ExistingControlPlane, Given, Manage
from components.hosts.firewall import HostFirewall
from infra.build.inventory import Place
from infra.settings.files import read_text
from infra.settings.load import secret
from infra.settings.model import Settings
from infra.settings.rules.together import MAX_CONNECTIONS


def find_control_plane(wanted: Settings, place: Place, firewall: HostFirewall) -> ControlPlane:
    """The control plane of the deployment.

    Args:
        wanted: the settings.
        place: its front host has it where it is bundled.
        firewall: of all hosts; closes the front host's ports where the control plane is bundled.
    """
    if wanted.adopt:
        return _adopted(wanted, place)
    deployment = place.entrance.apply(wanted.deployment_at)
    # Data that stay are of no use without what they are read with.
    protect = wanted.protected
    # Hosts that this program has not made may have run Heat before.
    before = list(place.hosts.values()) if wanted.hosts == "existing" else []
    if wanted.control_plane == "existing":
        control = wanted.control
        return ExistingControlPlane(
            "control-plane",
            deployment=deployment,
            hosts=before,
            protect_secrets=protect,
            services=wanted.services,
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
        host=place.front,
        region=wanted.region,
        deployment=deployment,
        vhost=broker_vhost(wanted.installation),
        auth_encryption_key=secret("authEncryptionKey"),
        hosts=before,
        close_ports=firewall.close_front,
        protect_secrets=protect,
        max_connections=MAX_CONNECTIONS,
        own_addresses=list(wanted.addresses.values()),
        memory=wanted.memory_limits,
        packages=wanted.installation.packages,
    )


def _adopted(wanted: Settings, place: Place) -> ControlPlane:
    host = place.hosts[wanted.adopt_host]
    return AdoptedControlPlane(
        "control-plane",
        host=host,
        front=place.front,
        hosts=place.hosts.values(),
        source=Source(paths=wanted.adopt_from, revision=wanted.adopt_revision),
        wanted=Wanted(
            control=host.address,
            address=place.front.address,
            max_body=wanted.request_limits.body,
            api_port=wanted.api_port,
            cfn_port=wanted.cfn_port,
            deployment=wanted.deployment,
            allow=wanted.adopt_allow,
        ),
    )
