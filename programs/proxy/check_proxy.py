"""Check that every backend answers through the proxy, all the way to an engine. Run by the front host's python3.

Usage: check_proxy.py, with a JSON object on stdin:
    socket        HAProxy's admin socket; "" for another proxy, which gets one request and chooses the backend itself
    seconds       how long to wait until HAProxy's own checks find every backend up
    keystone_url  Keystone's URL without version
    ca            the file of CA certificates for Keystone; "" for the system's certificates
    login         user, password, project and domain names or ids, for a token
    apis          for each: listener, url, backends ({server name: what it is, for people}), and probe: a request of
                  the API (path, where {project} is the project's id; token, whether it has one) with the right answer
                  (status, and contains, a text in the body)

It uses the standard library only: the front host may have nothing of Heat installed.
"""

import csv
import io
import json
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import Any

TRIES = 3
PAUSE = 0.5


def server_states(path: str) -> dict[tuple[str, str], dict[str, str]]:
    """The state of each server in HAProxy, by listener and name: the columns of `show stat`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
        admin.connect(path)
        admin.sendall(b"show stat\n")
        text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    rows = csv.DictReader(io.StringIO(text.lstrip("# ")))
    return {(row["pxname"], row["svname"]): row for row in rows}


def ask(url: str, headers: dict[str, str], body: object = None, ca: str = "") -> tuple[int, Message, bytes]:
    """Send an HTTP request, and again if the connection breaks.

    Returns:
        The status, the headers and the body, whatever the status.

    Raises:
        OSError: the connection broke every time.
        HTTPException: the answer was no HTTP every time.
    """
    data = None if body is None else json.dumps(body).encode()
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca or None))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    for attempt in range(1, TRIES + 1):
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310  # http, from the program
        try:
            with opener.open(request, timeout=90) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()
        except (OSError, HTTPException):
            if attempt == TRIES:
                raise
            time.sleep(PAUSE)
    raise AssertionError("unreachable")


def token(keystone_url: str, ca: str, login: dict[str, str]) -> tuple[str, str]:
    """Get a token from Keystone. The program ends if there is none.

    Returns:
        The token, and the id of its project.
    """
    user_domain = {"id": login["domain_id"]} if login["domain_id"] else {"name": login["domain"]}
    project_domain = user_domain
    if login["project_domain_id"]:
        project_domain = {"id": login["project_domain_id"]}
    elif login["project_domain"]:
        project_domain = {"name": login["project_domain"]}
    request = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": login["user"], "password": login["password"], "domain": user_domain}},
            },
            "scope": {"project": {"name": login["project"], "domain": project_domain}},
        }
    }
    status, headers, body = ask(f"{keystone_url}/v3/auth/tokens", {"Content-Type": "application/json"}, request, ca)
    if status != 201:  # noqa: PLR2004
        sys.exit(f"Keystone at {keystone_url} refuses a token to user {login['user']}: HTTP {status}")
    return headers["X-Subject-Token"], json.loads(body)["token"]["project"]["id"]


def wait_until_up(spec: dict[str, Any]) -> None:
    """Wait for HAProxy's own health checks. If a server stays down, the program ends and shows its last check."""
    planned = {(side["listener"], name): what for side in spec["apis"] for name, what in side["backends"].items()}
    deadline = time.monotonic() + spec["seconds"]
    while True:
        states = server_states(spec["socket"])
        # Right after a reload a server counts as up until its first check: only a passed check is proof.
        missing = {
            key: states.get(key, {})
            for key in planned
            if not (states.get(key, {}).get("status") == "UP" and states[key]["check_status"] == "L7OK")
        }
        if not missing:
            return
        if time.monotonic() > deadline:
            reasons = [
                f"{listener}: {planned[listener, name]} is {row.get('status', 'unknown to HAProxy')} "
                f"({row.get('check_status', '')} {row.get('last_chk', '')})"
                for (listener, name), row in missing.items()
            ]
            sys.exit("HAProxy does not find every API healthy:\n" + "\n".join(reasons))
        time.sleep(PAUSE)


def main() -> None:
    """Send a request to each backend by name, through the proxy."""
    spec = json.load(sys.stdin)
    if spec["socket"]:
        wait_until_up(spec)
    value, project = token(spec["keystone_url"], spec["ca"], spec["login"])
    problems = []
    for side in spec["apis"]:
        probe = side["probe"]
        path = probe["path"].format(project=project)
        for name, what in side["backends"].items() if spec["socket"] else [("", "Heat")]:
            headers = {"X-Heat-Backend": name} if name else {}
            if probe["token"]:
                headers |= {"X-Auth-Token": value, "Accept": "application/json"}
            try:
                status, _, body = ask(side["url"] + path, headers)
            except (OSError, HTTPException) as error:
                problems.append(f"{what} does not answer through {side['url']}: {error}")
                continue
            if status != probe["status"] or probe["contains"].encode() not in body:
                problems.append(
                    f"{what} answers HTTP {status} through {side['url']}{path}: {body[:300].decode(errors='replace')}"
                )
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
