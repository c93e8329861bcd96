"""Make Keystone hold what Heat needs: roles, domains, projects, users with their roles, services, endpoints.

Reads what there should be as JSON on standard input (keystone_objects.json.j2 shows its fields), adds what is
missing, changes what differs, and prints a line for each thing it did. It removes nothing and never prints a
password. It needs nothing but Python itself, and serves a Keystone of ours and any other.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

PATIENCE = 60.0  # seconds, for a Keystone that refuses or resets a connection
PAUSE = 0.5
BUSY = {http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT}
INTERFACES = ("public", "internal", "admin")

Object = dict[str, Any]


class KeystoneError(Exception):
    """What the operator has to know."""


class Keystone:
    """Keystone's API, version 3, as one user."""

    def __init__(self, url: str, cacert: str | None) -> None:
        self.url = url.rstrip("/") if url.rstrip("/").endswith("/v3") else url.rstrip("/") + "/v3"
        self.cacert = cacert
        self.token = ""

    def call(self, method: str, path: str, body: Object | None = None) -> tuple[int, Object, str]:
        """Send one request; return its status, its answer and the token in its headers."""
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                status, text, token = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as problem:
                # Keystone may be starting, or its server may close a connection as the request arrives.
                trouble = f"{type(problem).__name__}: {problem}"
            else:
                if status not in BUSY:
                    return status, parse(text), token
                trouble = f"HTTP {status}"
            if time.monotonic() > give_up_at:
                raise KeystoneError(f"Keystone does not answer at {self.url}: {trouble}")
            time.sleep(PAUSE)

    def _exchange(self, method: str, path: str, body: Object | None) -> tuple[int, bytes, str]:
        parts = urlsplit(self.url)
        if parts.hostname is None or parts.scheme not in {"http", "https"}:
            raise KeystoneError(f"{self.url} is not the address of a Keystone: http://host:5000/v3 is wanted")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=self.cacert)
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        headers = {"Accept": "application/json", "Content-Type": "application/json", "Connection": "close"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        try:
            connection.request(method, parts.path + path, None if body is None else json.dumps(body).encode(), headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers.get("X-Subject-Token", "")
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """Send a request that has to succeed and return its answer."""
        status, answer, _ = self.call(method, path, body)
        if status >= http.client.BAD_REQUEST:
            raise KeystoneError(f"Keystone refuses {method} {path}: HTTP {status}, {reason(answer)}")
        return answer

    def exists(self, path: str) -> bool:
        """Say whether there is something at this path."""
        status, answer, _ = self.call("GET", path)
        if status == http.client.NOT_FOUND:
            return False
        if status >= http.client.BAD_REQUEST:
            raise KeystoneError(f"Keystone refuses GET {path}: HTTP {status}, {reason(answer)}")
        return True

    def log_in(self, auth: Object) -> None:
        """Become the administrator."""
        scope = {
            "project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}},
        }
        user = {"name": auth["username"], "domain": {"name": auth["user_domain_name"]}}
        status, answer, self.token = self._password_token({**user, "password": auth["password"]}, scope)
        if status != http.client.CREATED:
            raise KeystoneError(
                f"Keystone at {self.url} does not let {auth['username']} of domain {auth['user_domain_name']}"
                f" into project {auth['project_name']}: HTTP {status}, {reason(answer)}"
            )

    def accepts(self, user_id: str, password: str) -> bool:
        """Say whether this is the user's password."""
        status, answer, _ = self._password_token({"id": user_id, "password": password}, None)
        if status in {http.client.CREATED, http.client.UNAUTHORIZED}:
            return status == http.client.CREATED
        raise KeystoneError(f"Keystone cannot check a password: HTTP {status}, {reason(answer)}")

    def _password_token(self, user: Object, scope: Object | None) -> tuple[int, Object, str]:
        auth: Object = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope is not None:
            auth["scope"] = scope
        return self.call("POST", "/auth/tokens", {"auth": auth})

    def find(self, kind: str, **filters: str) -> list[Object]:
        """Return the objects of a kind ("user", "project", ...) that have these values."""
        found: list[Object] = self.ask("GET", f"/{kind}s?{urlencode(filters)}")[f"{kind}s"]
        return found

    def add(self, kind: str, **values: object) -> Object:
        """Create an object of a kind."""
        made: Object = self.ask("POST", f"/{kind}s", {kind: values})[kind]
        return made


def parse(text: bytes) -> Object:
    """Return an answer's JSON object, or nothing where there is none."""
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        answer = {}
    return answer if isinstance(answer, dict) else {}


def reason(answer: Object) -> str:
    """Return what Keystone says of a refusal."""
    error = answer.get("error")
    return str(error.get("message", "no reason given")) if isinstance(error, dict) else "no reason given"


class Objects:
    """What there should be, brought about one thing at a time."""

    def __init__(self, keystone: Keystone) -> None:
        self.keystone = keystone
        self.done: list[str] = []

    def one(self, kind: str, name: str, **filters: str) -> Object | None:
        """Return the object of this name, or None."""
        found = self.keystone.find(kind, name=name, **filters)
        return found[0] if found else None

    def named(self, kind: str, name: str, **filters: str) -> Object:
        """Return the object of this name, which has to be there."""
        found = self.one(kind, name, **filters)
        if found is None:
            raise KeystoneError(f"Keystone has no {kind} {name}")
        return found

    def domain_id(self, name: str) -> str:
        """Return the id of a domain."""
        return str(self.named("domain", name)["id"])

    def role(self, name: str) -> None:
        """Have a role."""
        if self.one("role", name) is None:
            self.keystone.add("role", name=name)
            self.done.append(f"made role {name}")

    def domain(self, name: str, description: str) -> None:
        """Have a domain."""
        if self.one("domain", name) is None:
            self.keystone.add("domain", name=name, description=description)
            self.done.append(f"made domain {name}")

    def project(self, name: str, domain: str, description: str) -> None:
        """Have a project in a domain."""
        domain_id = self.domain_id(domain)
        if self.one("project", name, domain_id=domain_id) is None:
            self.keystone.add("project", name=name, domain_id=domain_id, description=description)
            self.done.append(f"made project {name} of domain {domain}")

    def user(self, name: str, domain: str, password: str, grants: list[Object]) -> None:
        """Have a user with this password and these roles."""
        domain_id = self.domain_id(domain)
        user = self.one("user", name, domain_id=domain_id)
        if user is None:
            user = self.keystone.add("user", name=name, domain_id=domain_id, password=password)
            self.done.append(f"made user {name} of domain {domain}")
        elif not self.keystone.accepts(user["id"], password):
            # Only then: a new password ends every token that the user has.
            change = {"user": {"password": password, "enabled": True}}
            self.keystone.ask("PATCH", f"/users/{user['id']}", change)
            self.done.append(f"changed the password of user {name} of domain {domain}")
        for grant in grants:
            self.grant(user, grant)

    def grant(self, user: Object, grant: Object) -> None:
        """Have a user hold a role on a project, or on a domain."""
        domain_id = self.domain_id(grant["domain"])
        place, where = f"/domains/{domain_id}", f"domain {grant['domain']}"
        if "project" in grant:
            project = self.named("project", grant["project"], domain_id=domain_id)
            place, where = f"/projects/{project['id']}", f"project {grant['project']}"
        role = self.named("role", grant["role"])
        path = f"{place}/users/{user['id']}/roles/{role['id']}"
        if not self.keystone.exists(path):
            self.keystone.ask("PUT", path)
            self.done.append(f"gave {user['name']} the role {grant['role']} on {where}")

    def region(self, name: str) -> None:
        """Have a region."""
        if not self.keystone.exists(f"/regions/{quote(name, safe='')}"):
            self.keystone.add("region", id=name)
            self.done.append(f"made region {name}")

    def service(self, kind: str, name: str, description: str, url: str, region: str) -> None:
        """Have a service with its endpoints in a region, all at one address."""
        # A catalogue is read by type; its names are as whoever made it liked.
        found = self.keystone.find("service", type=kind)
        service = next((one for one in found if one.get("name") == name), found[0] if found else None)
        if service is None:
            service = self.keystone.add("service", type=kind, name=name, description=description)
            self.done.append(f"made service {name} ({kind})")
        endpoints = self.keystone.find("endpoint", service_id=service["id"], region_id=region)
        for interface in INTERFACES:
            there = next((one for one in endpoints if one["interface"] == interface), None)
            if there is None:
                self.keystone.add("endpoint", service_id=service["id"], region_id=region, interface=interface, url=url)
                self.done.append(f"made {interface} endpoint of {kind}: {url}")
            elif there["url"] != url:
                self.keystone.ask("PATCH", f"/endpoints/{there['id']}", {"endpoint": {"url": url}})
                self.done.append(f"moved {interface} endpoint of {kind} from {there['url']} to {url}")


def converge(spec: Object) -> list[str]:
    """Bring about what the spec says and return what was done."""
    keystone = Keystone(spec["auth"]["url"], spec["auth"].get("cacert"))
    keystone.log_in(spec["auth"])
    objects = Objects(keystone)
    for role in spec["roles"]:
        objects.role(role)
    for domain in spec["domains"]:
        objects.domain(domain["name"], domain["description"])
    for project in spec["projects"]:
        objects.project(project["name"], project["domain"], project["description"])
    for user in spec["users"]:
        objects.user(user["name"], user["domain"], user["password"], user["grants"])
    objects.region(spec["region"])
    for service in spec["services"]:
        objects.service(service["type"], service["name"], service["description"], service["url"], spec["region"])
    return objects.done


def without_secrets(text: str, spec: Object) -> str:
    """Return a message with every password of the spec taken out: Keystone may quote what it refuses."""
    for secret in [spec["auth"]["password"], *(user["password"] for user in spec["users"])]:
        text = text.replace(secret, "(a password)")
    return text


def main() -> int:
    """Read the spec, bring it about and say what was done."""
    spec = json.load(sys.stdin)
    try:
        done = converge(spec)
    except KeystoneError as problem:
        sys.stderr.write(without_secrets(str(problem), spec) + "\n")
        return 1
    sys.stdout.write("\n".join(done or ["Keystone holds what it should."]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
