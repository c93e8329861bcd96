"""Heat in Keystone: the specs of the programs that register Heat, or check that it is registered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.heat.heat_conf import STACK_USER_ROLE, Deployment, Secrets, Services
from components.topology import APIS

IDENTITY = "/usr/local/lib/heat-scaleout/identity.py"
KEYSTONE_CHECK = "/usr/local/lib/heat-scaleout/keystone_check.py"


@dataclass(frozen=True, kw_only=True)
class ServiceLogin:
    """Heat's own user in Keystone, and its project. Without a domain of its own the project is in the user's domain.

    An id takes precedence over a name.
    """

    user: str
    password: str
    project: str
    domain: str
    domain_id: str = ""
    project_domain: str = ""
    project_domain_id: str = ""


def registration_spec(
    deployment: Deployment,
    services: Services,
    *,
    admin: ServiceLogin,
    secrets: Secrets,
    clients: Sequence[ServiceLogin] = (),
) -> dict[str, Any]:
    """Heat's registration in Keystone, as the spec of programs/control_plane/identity.py.

    Args:
        deployment: with the URLs of the APIs.
        services: with Keystone's URL, and Heat's names in Keystone.
        admin: the administrator who registers Heat.
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
        "roles": ["reader", "member", STACK_USER_ROLE],
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


def check_spec(services: Services, secrets: Secrets, deployment: Deployment) -> dict[str, Any]:
    """The expected registration of Heat, as the spec of programs/control_plane/keystone_check.py."""
    return {
        "url": f"{services.keystone_url}/v3",
        "ca": services.ca_file,
        "login": {
            "username": services.user,
            "password": secrets.service_password,
            "user_domain_name": services.domain,
            "project_name": services.project,
            "project_domain_name": services.domain,
        },
        "roles": ["admin", "service"],
        "stack_domain": {
            "username": services.stack_domain_admin,
            "password": secrets.domain_admin_password,
            "user_domain_name": services.stack_domain,
            "domain_name": services.stack_domain,
        },
        "role": STACK_USER_ROLE,
        "endpoints": endpoints(deployment),
    }


def endpoints(deployment: Deployment) -> dict[str, str]:
    """The URL of each API, by the type of its service in Keystone's catalogue."""
    return {api.catalog.type: deployment.urls[kind] for kind, api in APIS.items()}
