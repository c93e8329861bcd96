"""See that a Keystone that is there already knows what Heat needs, without changing it. Run by Heat's own Python.

Usage: keystone_check.py, with a JSON object on stdin:
    url             with version; ca, the certificates that it is checked against, or "" for the system's
    login           Heat's own user: username, password, project_name, and user_domain_name, project_domain_name, or ids
    roles           that this one must have
    stack_domain    the login of the one who keeps the users of stacks: username, password, user_domain_name and
                    domain_name, or ids; empty where they have no domain of their own
    role            that these users get
    endpoints       the URL of each service, by its type, that clients should find

Every problem is told at once. An endpoint that differs is told, and is no problem: clients may have a way of their own.
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
    """A session of one login, and what Keystone says of it."""
    auth = v3.Password(spec["url"], **login)  # type: ignore[arg-type] # every further argument that is used is a text
    session = Session(auth=auth, verify=spec["ca"] or True, timeout=30)
    return session, auth.get_access(session)


def problems(spec: dict[str, Any]) -> Iterator[str]:
    """What Heat would miss."""
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
    # What Heat asks of Keystone on behalf of others it may ask only with these.
    for role in spec["roles"]:
        if role not in (access.role_names or []):
            yield f"{where}: user {login['username']} lacks the role {role} in project {login['project_name']}"
    roles = ours.get(f"{spec['url']}/roles", params={"name": spec["role"]}, raise_exc=False)
    if roles.ok and not roles.json()["roles"]:
        yield f"{where} has no role {spec['role']}, which the users of stacks get"
    keeper = spec["stack_domain"]
    try:
        # Without a domain for them, the users of stacks are ordinary ones.
        if keeper:
            log_in(spec, **keeper)
    except Unauthorized:
        domain = keeper.get("domain_name") or keeper["domain_id"]
        yield (
            f"{where} refuses user {keeper['username']} in the domain {domain}: wrong "
            "stackDomainAdminPassword, or not its admin"
        )
    for kind, url in spec["endpoints"].items():
        listed = access.service_catalog.get_endpoints_data(service_type=kind, interface="public").get(kind)
        found = str(listed[0].url) if listed else ""
        if not found.startswith(url):
            print(f"clients find {kind} at {found or 'no address'} in Keystone's catalogue; the proxy is at {url}")


def main() -> None:
    """Look, and tell."""
    spec = json.load(sys.stdin)
    try:
        found = list(problems(spec))
    except ClientException as error:
        found = [f"Keystone at {spec['url']}: {error}"]
    if found:
        sys.exit("Keystone cannot be used as it is:\n" + "\n".join(f"  * {problem}" for problem in found))


main()
