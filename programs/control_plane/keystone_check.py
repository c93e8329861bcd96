"""Check that Heat is registered in an existing Keystone, without changing it. Run by Heat's own Python.

Usage: keystone_check.py, with a JSON object on stdin:
    url             Keystone's URL with a version
    ca              the path of the certificates that Keystone is verified with, or "" for the system's
    login           Heat's own user: username, password, project_name, and user_domain_name, project_domain_name, or ids
    roles           the roles that this user must have
    stack_domain    the login of the administrator of the stacks' domain: username, password, user_domain_name and
                    domain_name, or ids; empty if the users of stacks have no domain of their own
    role            the role of the users of stacks
    endpoints       the URL of each service that clients should find, by the service's type

Reports all problems at once. A different endpoint is reported and is no problem: clients may reach the proxy otherwise.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from keystoneauth1.access import AccessInfo
from keystoneauth1.exceptions import ClientException, ConnectFailure, Unauthorized
from keystoneauth1.identity import v3
from keystoneauth1.session import Session


def log_in(spec: dict[str, Any], **login: str) -> tuple[Session, AccessInfo]:
    """Log in; returns the session, and the token's data."""
    auth = v3.Password(spec["url"], **login)  # type: ignore[arg-type] # all further arguments in use are texts
    session = Session(auth=auth, verify=spec["ca"] or True, timeout=30)
    return session, auth.get_access(session)


def problems(spec: dict[str, Any]) -> Iterator[str]:
    """Find everything that Heat needs and Keystone does not have."""
    login, where = spec["login"], f"Keystone at {spec['url']}"
    try:
        ours, access = log_in(spec, **login)
    except Unauthorized:
        domain = login.get("user_domain_name") or login["user_domain_id"]
        yield (
            f"{where} refuses user {login['username']} (domain {domain}) in project "
            f"{login['project_name']}: wrong servicePassword, or no role there"
        )
        return
    except ConnectFailure as error:
        yield f"{where} does not answer: {error}"
        return
    # Heat's requests on behalf of others need these roles.
    for role in spec["roles"]:
        if role not in (access.role_names or []):
            yield f"{where}: user {login['username']} lacks the role {role} in project {login['project_name']}"
    roles = ours.get(f"{spec['url']}/roles", params={"name": spec["role"]}, raise_exc=False)
    if roles.ok and not roles.json()["roles"]:
        yield f"{where} has no role {spec['role']}, which Heat gives to the users of stacks"
    admin = spec["stack_domain"]
    try:
        # Without a domain of their own, the users of stacks are ordinary users.
        if admin:
            log_in(spec, **admin)
    except Unauthorized:
        domain = admin.get("domain_name") or admin["domain_id"]
        yield (
            f"{where} refuses user {admin['username']} in the domain {domain}: wrong "
            "stackDomainAdminPassword, or not its admin"
        )
    for kind, url in spec["endpoints"].items():
        listed = access.service_catalog.get_endpoints_data(service_type=kind, interface="public").get(kind)
        found = str(listed[0].url) if listed else ""
        if not found.startswith(url):
            print(f"Keystone's catalogue has {kind} at {found or 'no address'}; the proxy is at {url}")


def main() -> None:
    """Check, and report."""
    spec = json.load(sys.stdin)
    try:
        found = list(problems(spec))
    except ClientException as error:
        found = [f"Keystone at {spec['url']}: {error}"]
    if found:
        sys.exit("Keystone cannot be used as it is:\n" + "\n".join(f"  * {problem}" for problem in found))


main()
