"""Malicious clients, and the effect of an API that hangs. The attacks are limited in connections and in time.

Runs before test_dev_stack.py, which destroys the stack.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.lab import Stack, engine, wait_for

API, CFN = 8004, 8000
# An honest client waits less than a stopping API could make it wait (70 s), and less than an attack at one byte per
# second takes.
PATIENCE = 15
WORKER = "$(cat /proc/$(systemctl show --property MainPID --value heat-api@8004)/task/*/children | tr -d ' ')"
FORM = "Content-Type: application/x-www-form-urlencoded"


class Client:
    """Sends raw requests from this machine."""

    def __init__(self, stack: Stack, cloud: Any) -> None:
        self.stack = stack
        self.front = stack.outputs()["heatApiUrl"].split("//")[1].split(":")[0]
        self.token = f"X-Auth-Token: {cloud.auth_token}"
        self.path = f"/v1/{cloud.session.get_project_id()}/stacks"

    def connect(self, data: bytes, port: int = API, host: str = "") -> socket.socket:
        connection = socket.create_connection((host or self.front, port), timeout=PATIENCE)
        connection.sendall(data)
        return connection

    def ask(
        self, *lines: str, method: str = "GET", path: str = "/", body: bytes = b"", port: int = API, host: str = ""
    ) -> tuple[int, bytes]:
        """The status and body of the answer; 0 if the connection closes without an answer."""
        with self.connect(head(*lines, method=method, path=path), port, host) as connection:
            # A request that is too large is answered before all of it has been sent.
            with contextlib.suppress(OSError):
                connection.sendall(body)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
        return int(answer.split(b" ", 2)[1]) if answer else 0, answer.partition(b"\r\n\r\n")[2]

    def honest(self) -> None:
        """Check that both APIs answer: one through an engine, the other with its error for a missing signature."""
        assert self.ask(self.token, path=f"{self.path}?limit=1")[0] == 200
        status, body = self.ask(path="/v1/", port=CFN)
        assert (status, b"IncompleteSignature" in body) == (400, True)


def head(*lines: str, method: str = "GET", path: str = "/") -> bytes:
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", "Host: heat.example", "Connection: close", *lines, "", ""]
    ).encode()


@pytest.fixture
def client(stack: Stack, cloud: Any) -> Client:
    return Client(stack, cloud)


def answered(connections: list[socket.socket]) -> Iterator[int]:
    for connection in connections:
        answer = connection.recv(4096)
        yield int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize("count", [8, 20])
def test_bodies_that_come_byte_by_byte_hold_no_api(client: Client, count: int) -> None:
    slow = {
        API: head(client.token, "Content-Length: 1000", method="POST", path=client.path),
        CFN: head(FORM, "Content-Length: 1000", method="POST"),
    }
    with contextlib.ExitStack() as held:
        sent = [held.enter_context(client.connect(data, port)) for port, data in slow.items() for _ in range(count)]
        for _ in range(3):
            for connection in sent:
                connection.sendall(b"{")
            client.honest()
            time.sleep(0.5)
        # Each connection is closed after the time limit for a whole request.
        assert set(answered(sent)) == {408}


def test_headers_that_do_not_end_hold_nothing(client: Client) -> None:
    with contextlib.ExitStack() as held:
        sent = [held.enter_context(client.connect(b"GET / HTTP/1.1\r\nX-A: ", port)) for port in (API, CFN) * 25]
        client.honest()
        assert set(answered(sent)) == {408}


def memory(stack: Stack, node: str) -> int:
    """The peak memory of a CFN API's worker, in MB."""
    worker = WORKER.replace("heat-api@8004", "heat-api-cfn@8000")
    return int(stack.on(node, f"sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/{worker}/status")) // 1024


def test_what_is_too_large_is_refused_before_an_api_reads_it(client: Client) -> None:
    def most() -> list[int]:
        return [memory(client.stack, node) for node in ("node-1", "node-2")]

    before = most()
    with client.connect(head(FORM, "Content-Length: 150000000", method="POST"), CFN) as connection:
        with contextlib.suppress(OSError):
            for _ in range(150):
                connection.sendall(b"a" * 1000000)
        assert list(answered([connection])) == [413]
    chunks = b"%x\r\n%s\r\n" % (1000000, b"a" * 1000000) * 3
    assert client.ask("Transfer-Encoding: chunked", method="POST", body=chunks)[0] == 413
    # Without the limit, one such request with its headers took 150 MB.
    assert all(after - ago < 50 for ago, after in zip(before, most(), strict=True))


def test_the_largest_template_is_accepted(client: Client) -> None:
    # In a form, where each of its characters is escaped.
    body = b"Action=ValidateTemplate&TemplateBody=" + b"%20" * 524288
    assert client.ask(FORM, f"Content-Length: {len(body)}", method="POST", path="/v1/", body=body, port=CFN)[0] == 400
    value = json.dumps({"template": {"heat_template_version": "2018-08-31", "description": "d" * 500000}}).encode()
    path = client.path.replace("/stacks", "/validate")
    lines = (client.token, "Content-Type: application/json", f"Content-Length: {len(value)}")
    assert client.ask(*lines, method="POST", path=path, body=value)[0] == 200


def test_keystone_answers_a_large_token_and_the_proxy_one_that_is_too_large(client: Client) -> None:
    for length, status in ((20000, 401), (30000, 401), (40000, 431)):
        assert client.ask(f"X-Auth-Token: {'t' * length}", path=client.path)[0] == status


CLAIMS = (
    "X-Forwarded-Host: evil", "X_Forwarded_Host: evil", "x_forwarded-host: evil", "Forwarded: host=evil;proto=https",
    "X-Forwarded-Proto: https", "X_Forwarded_Proto: https", "X-Forwarded-Prefix: /evil", "X_Forwarded_Prefix: /evil",
)  # fmt: skip
STATE = ("X_Haproxy_Server_State: DOWN 0/2; scur=0/0", "X-Haproxy-Server-State: DOWN 0/2; scur=0/0")


def test_forwarded_headers_of_clients_are_ignored(client: Client) -> None:
    usual = client.ask()
    assert b'"http://heat.example' in usual[1]
    for claim in CLAIMS:
        assert client.ask(claim) == usual, claim


def test_an_api_trusts_only_the_proxy(client: Client) -> None:
    """The test asks from the API's own host, which no firewall blocks."""
    stack = client.stack
    address = next(node["address"] for node in stack.outputs()["nodes"] if node["name"] == "node-2")
    ask = "curl --silent --noproxy '*' --output /dev/null --write-out '%{http_code}'"

    def asked(path: str, *lines: str, host: str = "node-2") -> str:
        headers = " ".join(f"--header '{line}'" for line in lines)
        return stack.on(host, f"{ask} {headers} http://{address}:{API}{path}", check=False)

    assert asked("/", *CLAIMS) == "403"
    assert asked("/healthcheck", *STATE, "X-Forwarded-For: " + client.front) == "200"
    assert client.ask(*STATE, path="/healthcheck")[0] == 200
    log = "journalctl --unit heat-api@8004 --output cat --since -60s"
    for node in ("node-1", "node-2"):
        count = stack.on(node, f"{log} | grep -c 'scur=0/0\"' || true")
        assert count == "0"


def test_no_log_has_a_signature(client: Client) -> None:
    words = ("akid-of-a-test", "signature-of-a-test")
    query = f"?Timestamp=1&AWSAccessKeyId={words[0]}&Signature={words[1]}"
    client.ask("Content-Length: 0", method="PUT", path=f"/v1/waitcondition/arn/of-a-test{query}", port=CFN)
    client.ask(client.token, path=f"{client.path}{query}")

    def logged(host: str, text: str) -> bool:
        return client.stack.on(host, f"journalctl --since -120s --output cat | grep -c {text} || true") != "0"

    wait_for(lambda: logged("front", "of-a-test"), "the request in HAProxy's log")
    wait_for(lambda: logged("node-1", "of-a-test") or logged("node-2", "of-a-test"), "the request in uWSGI's log")
    for host in ("front", "node-1", "node-2"):
        for word in words:
            assert not logged(host, word), (host, word)


def serving(client: Client) -> str:
    """The node whose ReST API gets this machine's requests from the proxy."""
    client.ask(path="/which-api-is-it")
    line = "journalctl --unit haproxy --output cat | grep which-api-is-it | tail -n 1"
    entry = wait_for(lambda: client.stack.on("front", line, check=False), "the request in the log")
    return str(entry.split("rest_api_proxy/")[1].split("-8004")[0])


MASTER = "$(systemctl show --property MainPID --value heat-api@8004)"


def _signal(name: str, pids: str) -> Callable[[Stack, str], None]:
    def act(stack: Stack, node: str) -> None:
        stack.on(node, f"kill -{name} {pids}")
        # A thread stops when it is scheduled next.
        states = f"for pid in {pids}; do cat /proc/$pid/task/*/stat; done | sed 's/.*) //' | cut -c 1 | sort -u"
        wait_for(lambda: (stack.on(node, states) == "T") == (name == "STOP"), f"SIG{name} in {pids}")

    return act


def _machine(word: str) -> Callable[[Stack, str], None]:
    def act(stack: Stack, node: str) -> None:
        subprocess.run([*engine(), word, f"heat-{stack.name}-{node}"], check=True, capture_output=True)

    return act


HUNG = {
    "its worker hangs": (_signal("STOP", WORKER), _signal("CONT", WORKER)),
    "all of it hangs": (_signal("STOP", f"{MASTER} {WORKER}"), _signal("CONT", f"{MASTER} {WORKER}")),
    "its host is paused": (_machine("pause"), _machine("unpause")),
}


@pytest.mark.parametrize("what", HUNG)
def test_the_proxy_leaves_an_api_that_hangs_and_sends_a_get_to_another_one(client: Client, what: str) -> None:
    stop, go_on = HUNG[what]
    node = serving(client)
    stop(client.stack, node)
    try:
        # This request is in progress when the proxy notices. It needs no engine, which may be paused as well.
        posted = client.connect(head(client.token, "Content-Length: 2", method="POST", path=client.path) + b"{}")
        assert client.ask()[0] == 300
        with posted:
            # It is not sent twice, because its outcome is unknown.
            assert list(answered([posted])) == [502]
        assert client.ask()[0] == 300
        assert serving(client) != node
    finally:
        go_on(client.stack, node)
    wait_for(lambda: serving(client) == node, "the API to be back", 120)


@pytest.fixture
def trusted(client: Client) -> Iterator[str]:
    """This machine's address in the hosts' network, as a trusted proxy."""
    found = subprocess.run(["ip", "-o", "route", "get", client.front], capture_output=True, text=True, check=True)
    own = found.stdout.split(" src ")[1].split()[0]
    client.stack.set("haproxy.trustedProxies[0]", own)
    client.stack.up()
    yield own
    client.stack.pulumi("config", "rm", "--path", "haproxy.trustedProxies")
    client.stack.up()


@pytest.mark.usefixtures("trusted")
def test_behind_a_trusted_proxy_links_follow_its_headers(client: Client) -> None:
    forwarded = ("X-Forwarded-Proto: https", "X-Forwarded-Host: cloud.example", "X-Forwarded-For: 203.0.113.7")
    assert b'"https://cloud.example' in client.ask(*forwarded)[1]
    assert b'"https://heat.example' in client.ask(forwarded[0])[1]
    assert (
        b"evil"
        not in client.ask(*forwarded, "X_Forwarded_Host: evil", "X-Forwarded-Prefix: /evil", "Forwarded: host=evil")[1]
    )
    address = client.stack.outputs()["heatApiUrl"]
    # Headers of another host are still ignored.
    answer = client.stack.on("node-1", f"curl --silent --noproxy '*' --header 'X-Forwarded-Proto: https' {address}/")
    assert '"http://' in answer
    assert "https" not in answer
