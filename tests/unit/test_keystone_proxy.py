"""The proxy of the bundled Keystone, while Keystone dies during a request, with a real HAProxy."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.control_plane.bundled import _KEYSTONE_LIMITS
from components.rendering import render
from tests.unit.real_haproxy import HAPROXY, running_haproxy

ADDRESS, KEYSTONE = "127.0.0.2", "127.0.0.1"
pytestmark = pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed here")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Keystone:
    """A Keystone that dies after reading the first request, and answers the next ones."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listening = socket.create_server((KEYSTONE, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    self.asked.append(connection.recv(65536).split(b"\r\n", 1)[0].decode())
                    if len(self.asked) > 1:
                        connection.sendall(ANSWER)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def keystone(tmp_path: Path) -> Iterator[Keystone]:
    keystone = Keystone()
    conf = render(
        "control_plane/keystone-proxy.cfg.j2",
        address=ADDRESS,
        own_addresses=[],
        keystone_port=keystone.port,
        keystone_processes=2,
        keystone_proxy=_KEYSTONE_LIMITS,
    )
    try:
        with running_haproxy(conf, ADDRESS, keystone.port, tmp_path):
            yield keystone
    finally:
        keystone.close()


def ask(keystone: Keystone, method: str, path: str) -> int:
    head = f"{method} {path} HTTP/1.1\r\nHost: keystone\r\nContent-Length: 0\r\n\r\n"
    with socket.create_connection((ADDRESS, keystone.port), timeout=20) as connection:
        connection.sendall(head.encode())
        return int(connection.recv(65536).split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v3/users"), ("POST", "/v3/auth/tokens"), ("POST", "/v3/ec2tokens")]
)
def test_a_repeatable_request_is_sent_again_if_keystone_dies(keystone: Keystone, method: str, path: str) -> None:
    """CFN's signatures are checked by a POST, which changes nothing, like a login."""
    assert ask(keystone, method, path) == 200
    assert keystone.asked == [f"{method} {path} HTTP/1.1"] * 2


@pytest.mark.parametrize(("method", "path"), [("POST", "/v3/users"), ("DELETE", "/v3/auth/tokens/x")])
def test_a_request_that_may_have_changed_something_is_not_repeated(keystone: Keystone, method: str, path: str) -> None:
    assert ask(keystone, method, path) == 502
    assert keystone.asked == [f"{method} {path} HTTP/1.1"]
