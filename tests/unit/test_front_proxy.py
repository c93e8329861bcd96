"""What a real HAProxy does with its configuration, and which settings the configuration follows."""

from __future__ import annotations

import contextlib
import http.server
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.proxy.haproxy import Limits, configuration, listeners
from components.rendering import PROGRAMS
from components.topology import Kind, Process
from infra.settings.load import SettingsError, load
from infra.settings.model import Settings
from tests.unit.real_haproxy import HAPROXY, running_haproxy

ADDRESS, API_PORT, CFN_PORT = "127.0.0.1", 18004, 18000
# Small limits make the tests fast.
LIMITS = Limits(body=200000, header=16384, client_connections=24)


class Api(http.server.BaseHTTPRequestHandler):
    """An API that records its requests, with header names as WSGI has them."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        if self.path == "/healthcheck":
            self.answer(200)
            return
        length = int(self.headers.get("Content-Length", 0))
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        body = self.rfile.read(length) if not chunked else b""
        wsgi = {name.upper().replace("-", "_"): value for name, value in self.headers.items()}
        self.seen.append(wsgi | {"BODY": str(len(body))})
        self.answer(200)
        self.close_connection = True

    do_POST = do_GET  # noqa: N815  # the name that the server calls

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Front:
    """HAProxy with one API of each kind behind it."""

    def __init__(self, seen: list[dict[str, str]], log: Path) -> None:
        self.seen, self._log = seen, log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def connect(self, data: bytes, port: int = API_PORT) -> socket.socket:
        connection = socket.create_connection((ADDRESS, port), timeout=20)
        connection.sendall(data)
        return connection

    def ask(self, *lines: str, body: bytes = b"", method: str = "POST", path: str = "/v1/x") -> int:
        """The status of the answer; 0 where the connection is closed without one."""
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: heat.example:8004", *lines, "", ""])
        with contextlib.suppress(OSError), self.connect(head.encode()) as connection:
            # A request that is too large is answered before all of it has been sent.
            with contextlib.suppress(OSError):
                connection.sendall(body)
            return status(connection)
        return 0

    def headers(self, *lines: str) -> dict[str, str]:
        """The headers of a GET that the API gets."""
        assert self.ask(*lines, method="GET") == 200
        return self.seen[-1]


def status(connection: socket.socket) -> int:
    answer = connection.recv(65536)
    return int(answer.split(b" ", 2)[1]) if answer else 0


@contextlib.contextmanager
def front(tmp_path: Path, haproxy: dict[str, object], limits: Limits = LIMITS) -> Iterator[Front]:
    seen: list[dict[str, str]] = []
    api = http.server.ThreadingHTTPServer((ADDRESS, 0), type("RecordingApi", (Api,), {"seen": seen}))
    threading.Thread(target=api.serve_forever, args=(0.02,), daemon=True).start()
    processes = [
        Process(kind=kind, node="node-1", address=ADDRESS, instance=api.server_port) for kind in (Kind.API, Kind.CFN)
    ]
    text = configuration(
        ADDRESS,
        listeners(processes, ports={Kind.API: API_PORT, Kind.CFN: CFN_PORT}),
        haproxy=Settings().haproxy_values | haproxy,
        limits=limits,
        at_once=8,
        stats_port=18404,
        stats_allow=[],
        lua_program=str(PROGRAMS / "proxy/leave.lua"),
    )
    # Only root may change the user and the root directory.
    text = re.sub(r"(?m)^    (user|group|chroot|stats socket) .*\n", "", text)
    try:
        with running_haproxy(text, ADDRESS, API_PORT, tmp_path) as log:
            yield Front(seen, log)
    finally:
        api.shutdown()
        api.server_close()


real = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed here; tests/e2e/test_attacks.py has one")
SPELLINGS = (
    "X-Forwarded-Host", "x-forwarded-host", "X_Forwarded_Host", "X-Forwarded_Host", "x_forwarded-HOST",
    "X-Forwarded-Proto", "X_FORWARDED_PROTO", "X-Forwarded-Prefix", "X_Forwarded_Prefix", "Forwarded", "FORWARDED",
    "X-Forwarded-For", "X_Forwarded_For", "X_Haproxy_Server_State", "X-Haproxy_Server-State",
)  # fmt: skip


@real
def test_forwarding_headers_of_a_client_are_removed_in_any_spelling(tmp_path: Path) -> None:
    with front(tmp_path, {}) as proxy:
        for name in SPELLINGS:
            assert "evil" not in str(proxy.headers(f"{name}: evil", "X-Auth-Token: mine")), name
        headers = proxy.headers(*(f"{name}: evil" for name in SPELLINGS))
    assert headers["X_FORWARDED_PROTO"] == "http"
    assert headers["X_FORWARDED_FOR"] == ADDRESS


@real
def test_a_trusted_proxys_headers_are_kept_except_those_it_may_pass_on(tmp_path: Path) -> None:
    kept = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "cloud.example", "X-Forwarded-Proto": "https"}
    spoilt = ("Forwarded: host=evil", "X-Forwarded-Prefix: /evil", "X_Forwarded_Host: evil", "X-Forwarded-Port: evil")
    with front(tmp_path, {"trusted_proxies": ("127.0.0.0/8", "2001:db8::/32")}) as proxy:
        headers = proxy.headers(*(f"{name}: {value}" for name, value in kept.items()), *spoilt)
        unsaid = proxy.headers()
    assert (headers["X_FORWARDED_HOST"], headers["X_FORWARDED_PROTO"]) == ("cloud.example", "https")
    assert headers["X_FORWARDED_FOR"] == "203.0.113.7"
    assert "evil" not in str(headers)
    assert unsaid["X_FORWARDED_PROTO"] == "http"


@real
def test_another_proxy_is_not_trusted(tmp_path: Path) -> None:
    with front(tmp_path, {"trusted_proxies": ("192.0.2.0/24",)}) as proxy:
        headers = proxy.headers("X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-For: 203.0.113.7")
    assert headers["X_FORWARDED_PROTO"] == "http"
    assert "X_FORWARDED_HOST" not in headers
    assert headers["X_FORWARDED_FOR"] == ADDRESS


@real
@pytest.mark.parametrize(
    ("size", "expected"), [(0, 200), (70000, 200), (LIMITS.body, 200), (LIMITS.body + 1, 413), (10**15, 413)]
)
def test_a_body_above_the_limit_is_refused_before_it_is_sent(tmp_path: Path, size: int, expected: int) -> None:
    with front(tmp_path, {}) as proxy:
        assert proxy.ask(f"Content-Length: {size}", body=b"a" * min(size, 2 * LIMITS.body)) == expected
        assert [one["BODY"] for one in proxy.seen] == ([str(size)] if expected == 200 else [])


@real
@pytest.mark.parametrize(("size", "expected"), [(1000, 200), (LIMITS.body, 200), (LIMITS.body + 1, 413), (10**6, 413)])
def test_a_body_of_unknown_length_has_the_same_limit(tmp_path: Path, size: int, expected: int) -> None:
    with front(tmp_path, {}) as proxy:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"a" * size)
        assert proxy.ask("Transfer-Encoding: chunked", body=body) == expected


@real
def test_an_incomplete_request_is_cut_off_and_reaches_no_api(tmp_path: Path) -> None:
    sent = {
        "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
        "half a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nhalf",
        "half of the headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ",
    }
    with front(tmp_path, {"timeout_http_request": "300ms"}) as proxy:
        for what, data in sent.items():
            with proxy.connect(data) as connection:
                assert status(connection) == 408, what
        assert proxy.seen == []


@real
@pytest.mark.parametrize(("length", "expected"), [(15000, 200), (17000, 431), (60000, 431)])
def test_headers_above_the_limit_are_refused_with_431(tmp_path: Path, length: int, expected: int) -> None:
    with front(tmp_path, {"max_header": LIMITS.header}) as proxy:
        assert proxy.ask(f"X-Auth-Token: {'t' * length}", method="GET") == expected


@real
def test_a_url_above_the_limit_is_refused_with_414(tmp_path: Path) -> None:
    with front(tmp_path, {}) as proxy:
        assert proxy.ask(method="GET", path="/" + "u" * (LIMITS.longest_url - 1)) == 200
        assert proxy.ask(method="GET", path="/" + "u" * LIMITS.longest_url) == 414


@real
def test_one_client_has_a_limited_number_of_connections(tmp_path: Path) -> None:
    half, most = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", LIMITS.client_connections
    with front(tmp_path, {"client_connections": most}) as proxy, contextlib.ExitStack() as held:
        for _ in range(most - 1):
            held.enter_context(proxy.connect(half))
        # The last allowed connection works although all others are still sending headers.
        assert proxy.ask(method="GET") == 200
        deadline = time.monotonic() + 5
        while proxy.ask(method="GET") != 0:
            with contextlib.suppress(OSError):
                held.enter_context(proxy.connect(half))
            assert time.monotonic() < deadline


def refused_of(connections: list[socket.socket]) -> list[int]:
    """The status of each request that is answered before it has been sent completely."""
    answered: list[socket.socket] = []
    deadline = time.monotonic() + 5
    while len(answered) < MORE:
        answered, _, _ = select.select(connections, [], [], 0.1)
        assert time.monotonic() < deadline, f"{len(answered)} are answered"
    return [status(connection) for connection in answered]


# The number of requests that are sent above a limit; the last ones to arrive are refused.
MORE = 3


@real
def test_behind_a_trusted_proxy_each_client_has_its_own_limit(tmp_path: Path) -> None:
    # The client's own addresses come first, the trusted proxy's is the last.
    half = b"POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.%d, 203.0.113.7\r\nContent-Length: 9\r\n\r\nhalf"
    most = LIMITS.client_connections
    values = {"client_connections": most, "trusted_proxies": ("127.0.0.1",)}
    with front(tmp_path, values) as proxy, contextlib.ExitStack() as held:
        sent = [held.enter_context(proxy.connect(half % at)) for at in range(most + MORE)]
        assert refused_of(sent) == [429] * MORE
        assert proxy.ask("X-Forwarded-For: 203.0.113.7, 203.0.113.8", method="GET") == 200


@real
def test_one_client_sends_a_limited_number_of_large_bodies(tmp_path: Path) -> None:
    half = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMITS.large + 1}\r\n\r\nhalf".encode()
    with front(tmp_path, {}) as proxy, contextlib.ExitStack() as held:
        sent = [held.enter_context(proxy.connect(half)) for _ in range(LIMITS.large_bodies + MORE)]
        assert refused_of(sent) == [429] * MORE
        assert proxy.ask("Content-Length: 4", body=b"abcd") == 200


@real
def test_the_log_has_neither_a_query_nor_a_token(tmp_path: Path) -> None:
    with front(tmp_path, {}) as proxy:
        path = "/v1/waitcondition/arn/handle?Timestamp=1&AWSAccessKeyId=a-key&Signature=a-signature"
        assert proxy.ask("X-Auth-Token: a-token", "Content-Length: 0", path=path) == 200
        assert proxy.ask(method="GET", path="http://heat.example:8004/v1?Signature=a-signature") == 200
        assert proxy.ask(method="G\tT", path="/?Signature=a-signature") == 400
        deadline = time.monotonic() + 5
        while proxy.log.count("_api_proxy") < 3:
            assert time.monotonic() < deadline, proxy.log
            time.sleep(0.02)
        log = proxy.log
    assert '"POST /v1/waitcondition/arn/handle HTTP/1.1"' in log
    for secret in ("a-key", "a-signature", "a-token"):
        assert secret not in log


@real
def test_http_2_is_refused(tmp_path: Path) -> None:
    with front(tmp_path, {}) as proxy, proxy.connect(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") as connection:
        assert connection.recv(16).startswith(b"HTTP/1.1 400")


def settings(**haproxy: Any) -> Settings:
    return load("dev", {"haproxy": haproxy})


def refused(**haproxy: Any) -> str:
    with pytest.raises(SettingsError) as error:
        settings(**haproxy)
    return str(error.value)


def test_the_limit_on_bodies_follows_from_heats_own() -> None:
    def body(options: dict[str, Any]) -> int:
        return load("dev", {"options": options}).request_limits.body

    # A form has a template three times its size where every character of it is escaped.
    assert body({}) == 3 * 524288 + 65536
    assert body({"all": {"DEFAULT": {"max_json_body_size": 4000000}}}) == 4000000 + 65536
    assert body({"nodes": {"node-1": {"DEFAULT": {"max_template_size": 2000000}}}}) == 6000000 + 65536
    assert settings(maxBody=20000).request_limits.body == 20000


def test_a_body_that_haproxy_would_have_to_hold_and_cannot_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"haproxy\.maxBody = 200065536: .* haproxy\.maxBody 67108864"):
        load("dev", {"options": {"all": {"DEFAULT": {"max_json_body_size": 200000000}}}})


def test_one_client_cannot_fill_the_memory_of_haproxy() -> None:
    """Sixteen bodies of 64 MB are more than the 1 GB that HAProxy may use."""
    message = refused(maxBody=67108864)
    assert "memory.haproxy = 1G: one client may send 16 bodies of 67108864 bytes at once" in message
    assert "pulumi config set --path memory.haproxy 3G" in message
    for memory in ("3G", "infinity"):
        assert load("dev", {"haproxy": {"maxBody": 67108864}, "memory": {"haproxy": memory}})
    assert settings(maxBody=67108864, clientConnections=32)


@pytest.mark.parametrize("header", [8192, 32768, 49152])
def test_what_passes_the_proxy_fits_into_uwsgis_buffer(header: int) -> None:
    limits = settings(maxHeader=header).request_limits
    assert header + 2 * limits.longest_url + 101 * 5 + 1024 <= 65535
    assert limits.longest_url >= 7000
    assert limits.buffer >= limits.body + header + limits.longest_url


@pytest.mark.parametrize(
    ("key", "value"),
    [("maxBody", 0), ("maxBody", 16383), ("maxBody", 67108865), ("maxHeader", 8191), ("maxHeader", 49153),
     ("maxHeader", -1), ("clientConnections", 0)],
)  # fmt: skip
def test_a_limit_out_of_its_bounds_is_refused(key: str, value: int) -> None:
    assert f"haproxy.{key} = {value}: " in refused(**{key: value})


@pytest.mark.parametrize("entry", ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"])
def test_trusted_proxies_are_addresses_and_networks(entry: str) -> None:
    assert settings(trustedProxies=[entry]).haproxy.trusted_proxies == (entry,)


@pytest.mark.parametrize(
    "entry",
    ["", " ", "proxy.example", "192.0.2.1/255.255.255.0", "192.0.2.1/24", "fe80::1%eth0", "192.0.2.1 10.0.0.1",
     "192.0.2.1\n    http-request allow", "0.0.0.0/0", "::/0", "١٩٢.0.2.1", "192.0.2.0/٢٤", "192.0.2.1 # x", "all",
     "192.0.2.256", "192.0.2.0/33", "-f", "1" * 5000],
)  # fmt: skip
def test_a_trusted_proxy_must_be_an_address_or_a_network(entry: str) -> None:
    message = refused(trustedProxies=[entry])
    assert "haproxy.trustedProxies[0] = " in message
    assert "pulumi config set --path 'haproxy.trustedProxies[0]' " in message
