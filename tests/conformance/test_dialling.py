"""Hosts that answer late or not at all: attempts, pauses between them, and limits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.conformance.conftest import Compare
from tests.conformance.plugin import REMOTE, Plugin, in_background
from tests.conformance.sshd import Sshd, free_port
from tests.conformance.test_remote import Checked, _outputs, checked
from tools.offline.command_provider.properties import Properties

__all__ = ["checked"]


class Door:
    """A port in front of an SSH server that closes the first connections."""

    def __init__(self, closed_for: int, behind: int | None = None) -> None:
        self.calls: list[float] = []
        self._closed_for = closed_for
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port = float(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            self.calls.append(time.monotonic())
            if len(self.calls) <= self._closed_for or self._behind is None:
                # Read what the client has sent, so that it sees the end of the connection and not a reset.
                caller.shutdown(socket.SHUT_WR)
                threading.Thread(target=_read_out, args=(caller,), daemon=True).start()
                continue
            server = socket.create_connection(("127.0.0.1", self._behind))
            for source, target in ((caller, server), (server, caller)):
                threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    def close(self) -> None:
        self._listener.close()


def _read_out(caller: socket.socket) -> None:
    with contextlib.suppress(OSError), caller:
        while caller.recv(1 << 16):
            pass


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        target.close()


def _pauses(calls: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(calls)]


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_attempts_and_pauses(compare: Compare, checked: Checked, sshd: Sshd, limit: int) -> None:
    def observe(plugin: Plugin) -> tuple[str | None, int]:
        door = Door(closed_for=1000)
        connection = sshd.connection(port=door.port, dialErrorLimit=float(limit))
        error = plugin.create(REMOTE, checked(connection, create="x")).error
        door.close()
        for number, pause in enumerate(_pauses(door.calls)):
            assert 0.1 * 1.5**number <= pause < 0.1 * 1.5**number + 1
        return error, len(door.calls)

    error, calls = compare(observe)
    assert calls == limit + 1
    assert error == f"after {limit} failed attempts: ssh: handshake failed: EOF"


def test_a_host_that_comes_up_later(
    compare: Compare, checked: Checked, sshd: Sshd, request: pytest.FixtureRequest
) -> None:
    name = str(request.node.name)

    def observe(plugin: Plugin) -> tuple[str, list[str]]:
        door = Door(closed_for=3, behind=sshd.port)
        connection = sshd.connection(port=door.port, dialErrorLimit=10.0)
        answer = plugin.create(REMOTE, checked(connection, create="echo in", logging="none"), name=name)
        door.close()
        assert len(door.calls) == 4
        return _outputs(answer)[0], [line.message for line in plugin.log(REMOTE, name)]

    output, log = compare(observe)
    assert output == "in"
    assert log == [f"Dial {attempt}/10 failed: retrying" for attempt in (1, 2, 3)]


def test_a_refused_connection(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    port = free_port()
    inputs = checked(sshd.connection(port=float(port), dialErrorLimit=2.0), create="x")
    error = compare(lambda plugin: plugin.create(REMOTE, inputs)).error
    assert error == f"after 2 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"


def test_a_name_that_does_not_exist(plugins: dict[str, Plugin], checked: Checked, sshd: Sshd) -> None:
    """The real plugin also names its resolver."""
    inputs = checked(sshd.connection(host="nowhere.invalid"), create="x")
    for plugin in plugins.values():
        error = plugin.create(REMOTE, inputs).error
        assert error
        assert error.startswith("after 0 failed attempts: dial tcp: lookup nowhere.invalid")


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts no further connection, because its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = int(listener.getsockname()[1])
        waiting = []
        for _ in range(3):
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
            waiting.append(caller)
        yield port
        for caller in waiting:
            caller.close()


def test_a_host_that_does_not_answer(compare: Compare, checked: Checked, sshd: Sshd, silent: int) -> None:
    inputs = checked(sshd.connection(port=float(silent), perDialTimeout=1.0), create="x")

    def observe(plugin: Plugin) -> str | None:
        begin = time.monotonic()
        error = plugin.create(REMOTE, inputs).error
        assert 1 <= time.monotonic() - begin < 4
        return error

    assert compare(observe) == f"after 0 failed attempts: dial tcp 127.0.0.1:{silent}: i/o timeout"


def test_a_time_limit_ends_the_attempts(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(sshd.connection(port=float(free_port()), dialErrorLimit=-1.0), create="x")

    def observe(plugin: Plugin) -> str | None:
        begin = time.monotonic()
        error = plugin.create(REMOTE, inputs, timeout=1).error
        assert 1 <= time.monotonic() - begin < 4
        return error

    assert compare(observe) == "context deadline exceeded"


def test_cancelling_ends_the_attempts(compare_fresh: Compare, checked: Checked, sshd: Sshd) -> None:
    def observe(plugin: Plugin) -> str | None:
        door = Door(closed_for=1000)
        inputs = checked(sshd.connection(port=door.port, dialErrorLimit=-1.0), create="x")
        creating = in_background(plugin.create, REMOTE, inputs)
        _until(lambda: len(door.calls) >= 3)
        assert plugin.cancel().error is None
        error = creating.result(60).error
        door.close()
        return error

    assert compare_fresh(observe) == "context canceled"


def _until(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


# --- through a proxy ---


def _through(sshd: Sshd, target: Properties, **proxy: object) -> Properties:
    return {**target, "proxy": sshd.connection(**proxy)}


def test_a_proxy(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(_through(sshd, sshd.connection()), create='echo "${SSH_CONNECTION%% *}"')
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, inputs)))[0] == "127.0.0.1"


def test_a_proxy_that_refuses(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    port = free_port()
    inputs = checked(_through(sshd, sshd.connection(), port=float(port), dialErrorLimit=1.0), create="x")
    error = compare(lambda plugin: plugin.create(REMOTE, inputs)).error
    assert error == f"proxy: after 1 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"


def test_a_host_that_the_proxy_does_not_reach(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(_through(sshd, sshd.connection(port=float(free_port()), dialErrorLimit=1.0)), create="x")
    error = compare(lambda plugin: plugin.create(REMOTE, inputs)).error
    assert error == "proxy: after 1 failed attempts: ssh: rejected: connect failed (Connection refused)"


def test_a_proxy_without_a_key(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(_through(sshd, sshd.connection(), privateKey="none"), create="x")
    assert compare(lambda plugin: plugin.create(REMOTE, inputs)).error == "proxy: ssh: no key found"
