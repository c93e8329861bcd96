"""Where database, broker, cache and Keystone come from: the one place that knows every kind."""

from __future__ import annotations

from pathlib import Path

from components.control_plane import BundledControlPlane, ControlPlane
from components.existing_control_plane import ExistingControlPlane, Given, Manage
from components.remote import Host
from infra.model import Settings
from infra.rules.together import MAX_CONNECTIONS
from infra.settings import secret


def find_control_plane(wanted: Settings, front: Host) -> ControlPlane:
    """The control plane of the deployment.

    Args:
        wanted: the settings.
        front: the host that has it where it is bundled.
    """
    if wanted.control_plane == "existing":
        control = wanted.control
        return ExistingControlPlane(
            "control-plane",
            deployment=wanted.deployment,
            services=wanted.services,
            ca=Path(control.ca).read_text() if control.ca else "",
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
        deployment=wanted.deployment,
        max_connections=MAX_CONNECTIONS,
    )
