"""The bundled control plane: malicious clients, its units, and the upgrade from a version without a proxy.

Attacks are limited: to the given number of connections, and to the time that an honest client needs for its logins.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.lab import Stack, wait_for

PORT = 5000
# The units of this project that run on each host; %i stands for any instance.
UNITS = r"^(heat-(engine|api|api-cfn|caretaker)@[^.]*|keystone|keystone-proxy)\.service$"
MOST_EXPOSED = 2.5
# How many connections one address may have: templates/control_plane/keystone-proxy.cfg.j2.
OF_ONE_ADDRESS = 64
LARGEST_BODY = 114688


def front(stack: Stack) -> str:
    return str(stack.outputs()["nodes"][0]["address"])


class Keystone:
    """Keystone, with a member's login."""

    def __init__(self, stack: Stack) -> None:
        self.address = front(stack)
        auth = yaml.safe_load(Path(stack.outputs()["cloudsYamlPath"]).read_text())["clouds"]["heat"]["auth"]
        user = {"name": auth["username"], "password": auth["password"], "domain": {"name": "Default"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.login = json.dumps({"auth": {"identity": identity}}).encode()

    def ask(self, path: str = "/v3", body: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Send one request on a new connection. Returns status and body."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        given = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = urllib.request.Request(f"http://{self.address}:{PORT}{path}", body, given)
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def logs_in(self) -> bool:
        return self.ask("/v3/auth/tokens", self.login)[0] == 201


@pytest.fixture
def keystone(stack: Stack) -> Keystone:
    return Keystone(stack)


class Slow(threading.Thread):
    """A client that starts a request and sends it byte by byte; it reconnects when the server closes the connection."""

    def __init__(self, address: str, start: bytes, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._address, self._start, self._over = address, start, over
        self.connected = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError), socket.create_connection((self._address, PORT), 5) as connection:
                connection.sendall(self._start)
                self.connected.set()
                while not self._over.wait(0.5):
                    connection.sendall(b" ")
            self._over.wait(0.2)


@contextlib.contextmanager
def attack(address: str, count: int, start: bytes) -> Iterator[None]:
    over = threading.Event()
    clients = [Slow(address, start, over) for _ in range(count)]
    try:
        for client in clients:
            client.start()
        for client in clients:
            assert client.connected.wait(20)
        yield
    finally:
        over.set()
        for client in clients:
            client.join(20)


def token(keystone: Keystone, login: dict[str, Any]) -> str:
    """Log in, and return the token."""
    body = json.dumps({"auth": login}).encode()
    url = f"http://{keystone.address}:{PORT}/v3/auth/tokens"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return str(answer.headers["X-Subject-Token"])


def password(user: str, word: str, domain: str, scope: dict[str, Any]) -> dict[str, Any]:
    """A login by name and password, for a scope."""
    named = {"name": user, "password": word, "domain": {"name": domain}}
    return {"identity": {"methods": ["password"], "password": {"user": named}}, "scope": scope}


def test_each_of_several_requests_is_authorised_by_its_own_token(stack: Stack, keystone: Keystone) -> None:
    """A member creates trusts with a project's token, while others use a domain's token, as engines do."""
    auth = yaml.safe_load(Path(stack.outputs()["cloudsYamlPath"]).read_text())["clouds"]["heat"]["auth"]
    project = {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}}
    member = token(keystone, password(auth["username"], auth["password"], auth["user_domain_name"], project))
    conf = stack.on("node-1", "cat /etc/heat/heat.conf /etc/heat/secrets.conf")
    (word,) = re.findall(r"^stack_domain_admin_password = (.*)$", conf, re.MULTILINE)
    of_domain = token(keystone, password("heat_domain_admin", word, "heat", {"domain": {"name": "heat"}}))
    granted = json.loads(keystone.ask("/v3/auth/tokens", X_Auth_Token=member, X_Subject_Token=member)[1])["token"]
    trust = {
        "trustor_user_id": granted["user"]["id"],
        "trustee_user_id": granted["user"]["id"],
        "project_id": granted["project"]["id"],
        "impersonation": False,
        "roles": [{"name": "member"}],
    }
    body = json.dumps({"trust": trust}).encode()
    over = threading.Event()

    def of_the_domain() -> None:
        domain = json.loads(keystone.ask("/v3/auth/tokens", X_Auth_Token=of_domain, X_Subject_Token=of_domain)[1])
        while not over.is_set():
            keystone.ask(f"/v3/users?domain_id={domain['token']['domain']['id']}", X_Auth_Token=of_domain)

    others = [threading.Thread(target=of_the_domain) for _ in range(4)]
    for one in others:
        one.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(keystone.ask, "/v3/OS-TRUST/trusts", body, X_Auth_Token=member) for _ in range(200)]
        assert {one.result()[0] for one in asked} == {201}
    finally:
        over.set()
        for one in others:
            one.join(30)


SLOW_BODY = (
    b"POST /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
)
SLOW_CHUNKS = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: chunked\r\n\r\n9999\r\n{"
HALF_A_HEADER = b"GET /v3 HTTP/1.1\r\nHost: k\r\nX-Slow: "


@pytest.mark.parametrize(
    ("count", "start"),
    [(4, SLOW_BODY), (20, SLOW_CHUNKS), (50, HALF_A_HEADER)],
    ids=["four slow POSTs", "twenty slow POSTs of unknown length", "fifty half-sent headers"],
)
def test_slow_clients_do_not_prevent_other_logins(keystone: Keystone, count: int, start: bytes) -> None:
    """Each login has 30 s. Without the proxy Keystone answered no login during the attack."""
    with attack(keystone.address, count, start):
        assert [keystone.logs_in() for _ in range(5)] == [True] * 5


def test_the_limit_of_connections_for_one_address_does_not_affect_the_deployments_own_hosts(
    stack: Stack, keystone: Keystone
) -> None:
    """The attacker's address has reached its limit; a node has another address and can log in."""
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' --noproxy '*' -m 30 http://{keystone.address}:{PORT}/v3"
    python = (
        "import urllib.request as u; o = u.build_opener(u.ProxyHandler({}));"
        f" print(o.open('http://{keystone.address}:{PORT}/v3', timeout=30).status)"
    )
    with attack(keystone.address, OF_ONE_ADDRESS, HALF_A_HEADER):
        assert stack.on("node-1", f'python3 -c "{python}" || {ask}') == "200"


def answer(address: str, request: bytes) -> bytes:
    """Send a raw request, and return everything until the other side closes the connection."""
    with socket.create_connection((address, PORT), 30) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                got += piece
        return got


def test_a_request_that_takes_too_long_to_send_is_ended(keystone: Keystone) -> None:
    for start in (SLOW_BODY, SLOW_CHUNKS, HALF_A_HEADER):
        began = time.monotonic()
        assert answer(keystone.address, start).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 30  # 10 s for the headers and 10 s for the body are allowed


def test_a_body_above_keystones_own_limit_is_refused_with_and_without_a_content_length(keystone: Keystone) -> None:
    large = b" " * (LARGEST_BODY + 1)
    head = b"POST /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % (150 * 1024**2)
    assert answer(keystone.address, request).startswith(b"HTTP/1.1 413 ")
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(large) + large + b"\r\n0\r\n\r\n"
    # The proxy closes the connection while data still arrives, and the answer may be lost with it.
    assert answer(keystone.address, chunked)[:13] in (b"HTTP/1.1 413 ", b"")
    padded = keystone.login + b" " * (LARGEST_BODY - len(keystone.login))
    assert keystone.ask("/v3/auth/tokens", padded)[0] == 201


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X_Forwarded_Host", "X-Forwarded-Proto", "X_Forwarded_Proto"])
def test_identity_headers_of_clients_are_ignored(keystone: Keystone, name: str) -> None:
    request = f"GET /v3 HTTP/1.1\r\nHost: {keystone.address}:{PORT}\r\n{name}: https\r\nConnection: close\r\n\r\n"
    links = json.loads(answer(keystone.address, request.encode()).partition(b"\r\n\r\n")[2])["version"]["links"]
    assert [link["href"] for link in links] == [f"http://{keystone.address}:{PORT}/v3/"]


def test_keystone_itself_listens_only_on_loopback(stack: Stack, keystone: Keystone) -> None:
    listening = stack.on("front", f"ss -Hltn 'sport = :{PORT}' | awk '{{print $4}}' | sort").splitlines()
    assert sorted(listening) == sorted([f"127.0.0.1:{PORT}", f"{keystone.address}:{PORT}"])


def test_clients_wait_while_keystone_restarts(stack: Stack, keystone: Keystone) -> None:
    """The proxy retries until Keystone listens, and Keystone answers once it is loaded."""
    stack.on("front", "systemctl restart --no-block keystone")
    assert [keystone.ask()[0] for _ in range(3)] == [200] * 3


def test_no_secret_that_a_client_sends_is_logged(stack: Stack, keystone: Keystone) -> None:
    mark = "s3cr3t-in-a-request"
    keystone.ask(f"/v3/users?password={mark}", X_Auth_Token=mark)
    # A failed request is logged without its body.
    answer(keystone.address, SLOW_BODY.replace(b"/v3/auth/tokens", f"/v3/auth/tokens?{mark}".encode()) + mark.encode())
    log = wait_for(
        lambda: re.search(r".*POST /v3/auth/tokens 408.*", stack.on("front", "journalctl -u keystone-proxy -o cat")),
        "the request that timed out is in the log",
    )
    assert log
    assert mark not in stack.on("front", "journalctl -u keystone-proxy -u keystone -o cat")


def test_a_changed_file_of_the_proxy_reloads_it_and_does_not_restart_it(stack: Stack, keystone: Keystone) -> None:
    before = {unit: main_pid(stack, unit) for unit in ("keystone-proxy", "keystone")}
    stack.on("front", "echo '# another one' >>/etc/keystone-proxy/haproxy.cfg")
    stack.set("generation", 2)
    stack.up()
    assert {unit: main_pid(stack, unit) for unit in before} == before
    assert "another one" not in stack.on("front", "cat /etc/keystone-proxy/haproxy.cfg")
    assert keystone.logs_in()


def main_pid(stack: Stack, unit: str) -> str:
    return stack.on("front", f"systemctl show --property MainPID --value {unit}")


def units(stack: Stack, host: str) -> list[str]:
    """The units of this project on a host, with an instance of each template."""
    listed = stack.on(
        host,
        "systemctl list-units --all --plain --no-legend --type service,timer | cut -d ' ' -f 1;"
        " systemctl list-unit-files --no-legend --type service | cut -d ' ' -f 1",
    ).splitlines()
    # The caretaker's services run rarely; their timers show that they exist.
    names = {name.replace(".timer", ".service") for name in listed}
    return sorted(name for name in names if re.match(UNITS, name) and "@." not in name)


@pytest.mark.parametrize("host", ["front", "node-1", "node-2"])
def test_every_unit_of_the_project_is_sandboxed_and_has_a_memory_limit(stack: Stack, host: str) -> None:
    found = units(stack, host)
    kinds = {name.partition("@")[0].removesuffix(".service") for name in found}
    assert kinds >= (
        {"keystone", "keystone-proxy"} if host == "front" else {"heat-api", "heat-api-cfn", "heat-caretaker"}
    )
    for unit in found:
        report = stack.on(host, f"systemd-analyze security --no-pager '{unit}'", check=False)
        exposed = re.search(r"Overall exposure level for \S+ (\d+\.\d+)", report)
        assert exposed, report
        assert float(exposed[1]) <= MOST_EXPOSED, (unit, report)
    for unit in [*found, *(["mariadb", "rabbitmq-server", "memcached", "haproxy"] if host == "front" else [])]:
        limit = stack.on(host, f"systemctl show --property MemoryMax --value '{unit}'")
        assert limit.isdigit(), (unit, limit)
        # systemd restarts a process that the kernel has killed.
        if "caretaker" not in unit:
            assert stack.on(host, f"systemctl show --property Restart --value '{unit}'") != "no", unit


def test_a_changed_memory_limit_applies_without_a_restart_of_the_database(stack: Stack) -> None:
    before = main_pid(stack, "mariadb")
    stack.set("memory.database", "3G")
    stack.up()
    assert stack.on("front", "systemctl show --property MemoryMax --value mariadb") == str(3 * 1024**3)
    assert main_pid(stack, "mariadb") == before


def test_a_control_plane_without_a_proxy_hands_its_port_to_the_proxy(stack: Stack, keystone: Keystone) -> None:
    """Keystone listens on the address itself, as in earlier versions; the next `up` starts the proxy there."""
    stack.on(
        "front",
        "set -eu; systemctl disable --now keystone-proxy; cd /etc/keystone;"
        f" sed -i 's/^http-socket.*/http-socket = {keystone.address}:{PORT}/; /^ch[a-z]*-socket/d' keystone-uwsgi.ini;"
        " systemctl restart keystone",
    )
    wait_for(keystone.logs_in, "Keystone to answer without the proxy")
    refused: list[Any] = []
    over = threading.Event()

    @contextlib.contextmanager
    def noted() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            refused.append((time.monotonic(), error))

    def ask() -> None:
        while not over.wait(0.2):
            with noted():
                keystone.ask()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        stack.set("generation", 3)
        stack.up()
    finally:
        over.set()
        asking.join(40)
    moments = [when for when, _ in refused]
    print(f"{len(refused)} refused, within {max(moments) - min(moments) if moments else 0:.1f} s")
    assert keystone.logs_in()
    assert stack.on("front", "systemctl is-active keystone-proxy keystone") == "active\nactive"
