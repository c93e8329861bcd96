"""What an `up` observes from the operator's machine: silent hosts, and a service that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pulumi
import pytest

from components import endpoints, watch
from tests.unit import program
from tests.unit.program import Monitor, Outputs, in_pulumi
from tests.unit.test_existing_hosts import JUMP, KEY, hosts


@contextlib.contextmanager
def listening(banner: bytes | None) -> Iterator[int]:
    """A port that accepts connections and sends this banner on each; None: nothing, as on a paused host."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            held = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if banner is None:
                    held.append(connection)
                    continue
                with connection:
                    connection.sendall(banner)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    """A URL where this is the status of every answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/healthcheck"
    finally:
        server.shutdown()
        server.server_close()


# --- a host -----------------------------------------------------------------------------------------------------------


def test_a_host_that_sends_a_banner_is_healthy() -> None:
    with listening(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert watch.ssh_problem("127.0.0.1", port, 5) == ""


def test_a_host_that_accepts_a_connection_and_sends_nothing_is_silent() -> None:
    with listening(None) as port:
        assert watch.ssh_problem("127.0.0.1", port, 0.2) == "it accepts no connection, or sends nothing, for 0.2 s"


def test_a_host_that_closes_or_refuses_a_connection_is_unhealthy() -> None:
    with listening(b"") as port:
        assert "closes the connection" in watch.ssh_problem("127.0.0.1", port, 5)
    assert "refused" in watch.ssh_problem("127.0.0.1", closed_port(), 5)


def warned(port: int, *, wait: float, silent_after: float = 0.1) -> list[str]:
    """The warnings of a program that watches a host at this port and works for a while."""
    messages: list[str] = []

    async def work(_: object) -> bool:
        deadline = time.monotonic() + wait
        while not messages and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return True

    def body() -> None:
        watch.warn_if_silent("node-1", "127.0.0.1", port)
        _: pulumi.Output[bool] = pulumi.Output.from_input(1).apply(work)

    watch._watched.clear()
    with (
        mock.patch.object(watch, "_SILENT_AFTER", silent_after),
        mock.patch.object(pulumi.log, "warn", side_effect=messages.append),
    ):
        in_pulumi(body, Monitor(Outputs(preview=False), []), config={}, preview=False)
    return messages


def test_a_silent_host_is_named_with_its_address_and_a_remedy() -> None:
    with listening(None) as port:
        (message,) = warned(port, wait=30)
    assert message.startswith(f"node-1 (127.0.0.1) does not answer SSH on port {port}: ")
    assert "Check whether it is down" in message


def test_the_end_of_an_up_does_not_wait_for_a_silent_host() -> None:
    with listening(None) as port:
        # A machine under load may take longer than a tenth of a second.
        assert warned(port, wait=0, silent_after=60) == []


@functools.cache
def seen(*, existing: bool = False, jump: bool = False, preview: bool = False) -> tuple[list[Any], list[str]]:
    """Which hosts the program watches, and which URLs it asks."""
    watched: list[Any] = []
    config: dict[str, Any] = {}
    if existing:
        config = {"hosts": "existing", "sshPrivateKey": KEY, "existing": hosts(jump=JUMP) if jump else hosts()}
    with (
        mock.patch.object(program, "WARN_IF_SILENT", side_effect=lambda *words: watched.append(words)),
        mock.patch.object(program, "HTTP_PROBLEM", return_value="") as ask,
    ):
        program.run(preview=preview, **config)
    return watched, sorted(call.args[0] for call in ask.call_args_list)


def test_every_host_of_every_kind_is_watched_and_none_in_a_preview() -> None:
    containers = {("front", "10.213.77.10", 22), ("node-1", "10.213.77.11", 22), ("node-2", "10.213.77.12", 22)}
    assert set(seen()[0]) == containers
    assert seen(preview=True)[0] == []
    assert {name for name, _, _ in seen(existing=True)[0]} == {"front", "node-b", "node-c"}
    assert seen(existing=True, preview=True)[0] == []


def test_behind_a_jump_host_only_the_jump_host_is_watched() -> None:
    assert set(seen(existing=True, jump=True)[0]) == {("the jump host", "jump.example", 2222)}


# --- the service ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 300, 403, 429])
def test_an_answer_from_heat_or_the_proxy_is_an_answer(status: int) -> None:
    with answering(status) as url:
        assert endpoints.http_problem(url) == ""


def test_a_proxy_without_a_backend_is_broken() -> None:
    with answering(503) as url:
        assert endpoints.http_problem(url) == "HTTP status 503"


def test_a_port_without_a_listener_is_broken() -> None:
    assert "connection refused" in endpoints.http_problem(f"http://127.0.0.1:{closed_port()}/")


def test_a_service_that_accepts_a_connection_and_does_not_answer_is_broken() -> None:
    with listening(None) as port, mock.patch.object(endpoints, "_ANSWER_SECONDS", 0.1):
        assert "no answer within 0.1 s" in endpoints.http_problem(f"http://127.0.0.1:{port}/")
    with listening(b"not HTTP\r\n\r\n") as port:
        assert "no HTTP answer" in endpoints.http_problem(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("error", [TimeoutError("timed out"), OSError(113, "No route to host")])
def test_an_unreachable_address_proves_nothing_about_the_service(error: OSError) -> None:
    with (
        mock.patch.object(socket, "create_connection", side_effect=error),
        pytest.raises(endpoints.UnreachableError),
    ):
        endpoints.http_problem("http://192.0.2.1:8004/healthcheck")


URLS = {"the ReST API": "http://192.0.2.1:8004/healthcheck", "Keystone": "http://192.0.2.1:5000/v3"}


def looked(answer: Any, *, direct: bool = True, ssh: str = "") -> tuple[list[str], str]:
    """The log and the error of a run in which each URL has this answer."""
    logged: list[str] = []

    def ask(url: str) -> str:
        message = answer(url)
        if isinstance(message, Exception):
            raise message
        return str(message)

    with (
        mock.patch.object(endpoints, "http_problem", side_effect=ask),
        mock.patch.object(endpoints, "ssh_problem", return_value=ssh),
        mock.patch.object(endpoints, "_RETRY_SECONDS", 0),
        mock.patch.object(pulumi.log, "info", side_effect=logged.append),
    ):
        try:
            asyncio.run(endpoints.check_endpoints(URLS, stack="prod", front="192.0.2.1", port=22, direct=direct))
        except pulumi.RunError as error:
            return logged, str(error)
    return logged, ""


UNREACHABLE = endpoints.UnreachableError("No route to host")


def test_an_up_does_not_report_a_healthy_service() -> None:
    assert looked(lambda _: "") == ([], "")


def test_a_broken_service_is_named_with_its_url_and_what_to_type() -> None:
    logged, error = looked(lambda url: "nothing listens there" if ":8004" in url else "")
    assert logged == []
    assert "the ReST API (http://192.0.2.1:8004/healthcheck): nothing listens there" in error
    assert "Keystone" not in error
    assert "make verify STACK=prod" in error
    assert "make repair STACK=prod" in error


def test_one_line_says_that_nothing_was_looked_at_where_there_is_no_way_from_here() -> None:
    (line,), error = looked(lambda _: UNREACHABLE)
    assert error == ""
    assert "not checked" in line
    for url in URLS.values():
        assert url in line


def test_a_front_host_that_does_not_answer_either_is_no_matter_of_the_way() -> None:
    logged, error = looked(lambda _: UNREACHABLE, ssh="No route to host")
    assert logged == []
    assert "the front host does not answer SSH either (No route to host)" in error


def test_whoever_has_the_addresses_on_this_side_of_a_jump_host_is_not_believed() -> None:
    (line,), error = looked(lambda _: "nothing listens there", direct=False)
    assert error == ""
    assert "not checked" in line


def test_a_first_failure_is_looked_at_again() -> None:
    answers = iter(["HTTP status 503", "HTTP status 503", "", ""])
    assert looked(lambda _: next(answers)) == ([], "")


def test_the_program_asks_where_clients_do_and_not_in_a_preview() -> None:
    front = "http://10.213.77.10"
    assert seen()[1] == [f"{front}:5000/v3", f"{front}:8000/healthcheck", f"{front}:8004/healthcheck"]
    assert seen(preview=True)[1] == []


def test_an_up_fails_where_the_service_is_broken() -> None:
    with (
        mock.patch.object(program, "HTTP_PROBLEM", return_value="nothing listens there"),
        mock.patch.object(endpoints, "_RETRY_SECONDS", 0),
        pytest.raises(pulumi.RunError, match="the public endpoints do not answer"),
    ):
        program.run()
