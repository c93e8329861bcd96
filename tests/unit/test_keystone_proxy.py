"""The proxy of the bundled Keystone, when a Keystone dies while it answers: requests through a real HAProxy."""

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
    """A Keystone that dies with the first request that it has read, and answers the next ones."""

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
def test_what_may_be_asked_twice_is_asked_again_when_keystone_dies(keystone: Keystone, method: str, path: str) -> None:
    """A signature of CFN is checked by a POST. It is a question, as a login is."""
    assert ask(keystone, method, path) == 200
    assert keystone.asked == [f"{method} {path} HTTP/1.1"] * 2


@pytest.mark.parametrize(("method", "path"), [("POST", "/v3/users"), ("DELETE", "/v3/auth/tokens/x")])
def test_what_may_have_been_done_is_not_asked_twice(keystone: Keystone, method: str, path: str) -> None:
    assert ask(keystone, method, path) == 502
    assert keystone.asked == [f"{method} {path} HTTP/1.1"]
