"""What the load generator counts as a failure, and which requests it may repeat: tests/faults/client.py."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.client import Client, UnansweredError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def request(connection: socket.socket) -> bytes:
    """The first line of the next request. All of it is read: closing with unread data would reset the connection."""
    with connection.makefile("rb") as stream:
        first = stream.readline().rstrip()
        headers = http.client.parse_headers(stream)
        stream.read(int(headers.get("Content-Length", 0)))
    return first


@contextmanager
def server(*connections: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """A server that accepts each connection in turn, answers its requests with the listed answers, and closes it.

    b"" stands for no answer: the server reads the request and closes the connection. Yields the port and the requests.
    """
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answers in connections:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with accepted:
                for answer in answers:
                    asked.append(request(accepted))
                    accepted.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_kept_connection_is_used_again() -> None:
    with server([OK, OK]) as (port, asked):
        client = Client("127.0.0.1", port, kept=True)
        answers = [client.ask("GET", "/", {}) for _ in range(2)]
    assert [(answer.status, answer.body, answer.retried) for answer in answers] == [(200, b"ok", False)] * 2
    assert answers[0].port == answers[1].port
    assert len(asked) == 2


def test_a_client_without_keep_alive_opens_a_connection_for_each_request() -> None:
    with server([OK, OK], [OK]) as (port, _):
        client = Client("127.0.0.1", port, kept=False)
        first = client.ask("GET", "/", {})
        second = client.ask("GET", "/", {})
    assert first.port != second.port


def test_a_connection_that_was_closed_while_idle_is_replaced_for_any_method() -> None:
    """Nothing was sent on the old connection, so nothing is repeated."""
    with server([LAST], [OK]) as (port, asked):
        client = Client("127.0.0.1", port, kept=True)
        client.ask("GET", "/", {})
        assert not client.ask("POST", "/", {}, b"x").retried
    assert asked == [b"GET / HTTP/1.1", b"POST / HTTP/1.1"]


def test_a_get_on_a_kept_connection_that_closes_without_an_answer_is_sent_again_once() -> None:
    with server([OK, b""], [OK]) as (port, asked):
        client = Client("127.0.0.1", port, kept=True)
        client.ask("GET", "/", {})
        assert client.ask("GET", "/", {}).retried
    assert len(asked) == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_request_that_changes_something_is_not_repeated(method: str) -> None:
    with server([OK, b""], [OK]) as (port, asked):
        client = Client("127.0.0.1", port, kept=True)
        client.ask("GET", "/", {})
        with pytest.raises(UnansweredError, match="closed without an answer"):
            client.ask(method, "/", {}, b"x")
        assert len(asked) == 2


def test_a_get_on_a_new_connection_that_closes_without_an_answer_fails() -> None:
    with server([b""], [OK]) as (port, asked):
        with pytest.raises(UnansweredError, match="closed without an answer"):
            Client("127.0.0.1", port, kept=True).ask("GET", "/", {})
        assert len(asked) == 1


def test_an_incomplete_answer_fails() -> None:
    """Its first byte arrived: the server has accepted the request, so it is not repeated."""
    with server([OK, OK[:-1]], [OK]) as (port, asked):
        client = Client("127.0.0.1", port, kept=True)
        client.ask("GET", "/", {})
        with pytest.raises(UnansweredError, match="IncompleteRead"):
            client.ask("GET", "/", {})
        assert len(asked) == 2


def test_a_missing_server_fails() -> None:
    with server() as (port, _):
        pass
    with pytest.raises(UnansweredError, match="refused"):
        Client("127.0.0.1", port, kept=True).ask("GET", "/", {})
