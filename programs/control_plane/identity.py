"""Register Heat in Keystone: roles, domains, projects, users with their roles, services, endpoints.

Usage: identity.py, with a JSON object on stdin; its fields are in components/control_plane/keystone.py. It adds what is
missing, changes what differs, prints a line for each change, and removes nothing. Run by Heat's own Python.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

import openstack
from keystoneauth1.exceptions import ClientException, Unauthorized
from openstack.exceptions import SDKException

DOMAIN = "Default"
INTERFACES = ("public", "internal", "admin")


def connect(url: str, region: str, ca: str, **login: str) -> Any:  # noqa: ANN401 # openstacksdk's types are its own
    """Connect without any setting of the environment. Connections that the server resets are tried again.

    Requests go to `url`, whatever Keystone's catalogue says: its URLs may be for clients elsewhere.
    """
    return openstack.connect(
        auth={"auth_url": url, **login},
        region_name=region,
        cacert=ca or None,
        identity_api_version="3",
        identity_endpoint_override=url,
        identity_connect_retries=10,
        load_yaml_config=False,
        load_envvars=False,
    )


class Identity:
    """Keystone, with an administrator's login."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.address = spec["url"], spec["region"], spec["ca"]
        self.region = spec["region"]
        self.identity = connect(*self.address, **spec["admin"]).identity

    def ensure(self, kind: str, name: str, **properties: Any) -> Any:  # noqa: ANN401
        """Find or make a role, domain, project or user by its name, in its domain if it has one."""
        scope = {key: value for key, value in properties.items() if key == "domain_id"}
        found = getattr(self.identity, f"find_{kind}")(name, **scope)
        if found is None:
            found = getattr(self.identity, f"create_{kind}")(name=name, **properties)
            print(f"made {kind} {name}")
        return found

    def user(self, name: str, password: str, domain: str, grants: Iterable[dict[str, str]]) -> None:
        """Make a user, or change it: with this password and at least these roles."""
        home = self.ensure("domain", domain)
        user = self.ensure("user", name, domain_id=home.id, password=password)
        try:
            # A new password ends the user's tokens, so it is set only if a login with it fails.
            connect(*self.address, username=name, password=password, user_domain_name=domain).session.get_token()
        except Unauthorized:
            self.identity.update_user(user, password=password)
            print(f"gave user {name} its password")
        for grant in grants:
            role = self.ensure("role", grant["role"])
            if "project" in grant:
                default = self.ensure("domain", DOMAIN)
                scope, target = "project", self.ensure("project", grant["project"], domain_id=default.id)
            else:
                scope, target = "domain", self.ensure("domain", grant["domain"])
            if not getattr(self.identity, f"validate_user_has_{scope}_role")(target, user, role):
                getattr(self.identity, f"assign_{scope}_role_to_user")(target, user, role)
                print(f"gave user {name} the role {role.name} in {scope} {target.name}")

    def service(self, name: str, kind: str, url: str) -> None:
        """Make a service, or change it: with one URL on all interfaces."""
        service = next(iter(self.identity.services(type=kind)), None)
        if service is None:
            service = self.identity.create_service(name=name, type=kind)
            print(f"made service {name}")
        existing = {
            endpoint.interface: endpoint
            for endpoint in self.identity.endpoints(service_id=service.id, region_id=self.region)
        }
        for interface in INTERFACES:
            endpoint = existing.get(interface)
            if endpoint is None:
                self.identity.create_endpoint(
                    service_id=service.id, interface=interface, region_id=self.region, url=url
                )
                print(f"made the {interface} endpoint of {name}")
            elif endpoint.url != url:
                self.identity.update_endpoint(endpoint, url=url)
                print(f"the {interface} endpoint of {name} was {endpoint.url}, and is {url}")


def main() -> None:
    """Register everything in the spec."""
    spec = json.load(sys.stdin)
    try:
        identity = Identity(spec)
        for role in spec["roles"]:
            identity.ensure("role", role)
        for user in spec["users"]:
            identity.user(**user)
        for service in spec["services"]:
            identity.service(**service)
    except (ClientException, SDKException) as error:
        sys.exit(f"Keystone at {spec['url']} refuses a change by user {spec['admin']['username']}: {error}")


main()
