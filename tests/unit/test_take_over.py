"""The program that takes addresses over, as far as it can be run here: on processes of this test's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.take_over import TakeOver
from tests.unit.shipped import shipped_program

# An HTTP server by whose command line it could be Heat's, or not.
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""
needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="/proc is Linux's")


@pytest.fixture
def program() -> ModuleType:
    return shipped_program("haproxy/take_over.py")


@contextlib.contextmanager
def serving(tmp_path: Path, word: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, word],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
        cwd=tmp_path,
        env={"SAYS": "a secret = of its own"},
    )
    try:
        assert process.stdout
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@needs_proc
def test_whoever_listens_is_found_with_all_that_it_takes_to_start_it_again(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        (found,) = program.originals([port])
    assert (found["kind"], found["pid"], found["ports"]) == ("process", process.pid, [port])
    assert found["argv"] == [sys.executable, "-c", SERVER, "heat-api"]
    assert found["cwd"] == str(tmp_path)
    assert "SAYS=a secret = of its own" in found["environment"]
    # A pipe cannot be had again, a file can.
    assert found["output"] == [os.devnull, str(tmp_path / "log")]
    assert found["uid"] == os.getuid()
    assert json.loads(json.dumps(found)) == found


@needs_proc
def test_a_process_with_a_title_is_known_by_the_command_line_in_it(program: ModuleType) -> None:
    """As Heat's engine has one."""
    title = "heat-engine: master process [/opt/heat/bin/heat-engine --config-file /etc/heat/heat.conf]"
    with subprocess.Popen([title], executable=sys.executable, stdin=subprocess.PIPE) as process:
        # Until it is no copy of this test any more.
        assert program.until(lambda: program.command_of(process.pid)[:1] == ["/opt/heat/bin/heat-engine"], 5)
        assert program.command_of(process.pid)[1:] == ["--config-file", "/etc/heat/heat.conf"]
        process.kill()


@needs_proc
def test_what_is_not_heats_own_is_refused_by_its_name(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "something") as (process, port), pytest.raises(SystemExit) as refused:
        program.originals([port])
    assert f"port {port} is taken by " in str(refused.value)
    assert f"(process {process.pid}), which is not Heat's own API" in str(refused.value)


@needs_proc
def test_a_free_port_has_nothing_to_be_taken_over(program: ModuleType) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert program.originals([free.getsockname()[1]]) == []


@needs_proc
def test_a_process_that_has_gone_is_not_taken_for_a_later_one_with_its_number(
    program: ModuleType, tmp_path: Path
) -> None:
    with serving(tmp_path, "heat-api") as (_, port):
        (found,) = program.originals([port])
        assert program.lives(found)
        assert not program.lives({**found, "born": "1"})
    assert not program.lives(found)


@needs_proc
def test_a_process_is_stopped_and_what_does_not_end_is_killed(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        found = program.originals([port])
        threading.Thread(target=process.wait, daemon=True).start()
        program.stop(found, 5)
        assert process.wait(5) == -signal.SIGTERM
    with serving(tmp_path, "heat-api") as (process, port):
        found = program.originals([port])
        os.kill(process.pid, signal.SIGSTOP)
        # Not before it stands still: it would end by what it is told first.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        threading.Thread(target=process.wait, daemon=True).start()
        program.stop(found, 0.1)
        assert process.wait(5) == -signal.SIGKILL


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may share another one's socket")
def test_another_one_can_listen_beside_it_and_gets_what_is_new_once_it_makes_room(
    program: ModuleType, tmp_path: Path
) -> None:
    with serving(tmp_path, "heat-api") as (_, port), socket.socket() as beside:
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            beside.bind(("127.0.0.1", port))
        handles = program.shared([port])
        if not handles:
            pytest.skip("the system does not allow it here")
        beside.bind(("127.0.0.1", port))
        beside.listen()
        for handle in handles:
            handle.shutdown(socket.SHUT_RD)
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), 5):
                beside.settimeout(5)
                beside.accept()[0].close()


def test_where_sockets_cannot_be_shared_it_is_told_and_done_without(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(program, "fetched", refused)
    with serving(tmp_path, "heat-api") as (_, port):
        assert program.shared([port]) == []
    assert "which are stopped first" in capsys.readouterr().out


@needs_proc
def test_a_watch_tells_how_long_nobody_answered(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        watch = program.Watch("127.0.0.1", port)
        watch.start()
        assert program.until(lambda: watch.asked > 3, 5)
        process.kill()
        assert program.until(lambda: watch.failed > 3, 5)
        told = watch.told()
    assert watch.longest > 0
    assert told.startswith(f"127.0.0.1:{port} was ")
    assert told.endswith(f"{watch.failed} of {watch.asked} requests failed")


@pytest.fixture
def apache(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "APACHE", tmp_path)
    (tmp_path / "sites-available").mkdir()
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "sites-available/heat-api.conf").write_text("# Heat\n  Listen 10.0.0.1:8004\n<VirtualHost *:8004>\n")
    return tmp_path


def test_a_site_of_apache_is_known_by_the_port_that_it_brings(program: ModuleType, apache: Path) -> None:
    (apache / "sites-enabled/heat-api.conf").symlink_to("../sites-available/heat-api.conf")
    found = program.apache_site(8004)
    assert (found["kind"], found["target"]) == ("site", "../sites-available/heat-api.conf")
    with pytest.raises(SystemExit) as refused:
        program.apache_site(800)
    assert "Apache listens on port 800, and none of its sites says so" in str(refused.value)


def test_a_site_that_could_not_be_put_back_is_refused(program: ModuleType, apache: Path) -> None:
    (apache / "sites-enabled/heat-api.conf").write_text("Listen 8004\n")
    with pytest.raises(SystemExit, match="a2ensite heat-api"):
        program.apache_site(8004)


def test_the_record_is_for_root_alone(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "STATE", tmp_path / "state")
    monkeypatch.setattr(program, "RECORD", tmp_path / "state/record.json")
    record: dict[str, Any] = {"entries": [{"name": "one"}], "guarded": []}
    for _ in range(2):
        program.save(record)
        assert program.load() == record
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/record.json").stat().st_mode & 0o777 == 0o600


def test_a_guarded_unit_starts_again_when_the_guard_is_gone(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(program, "UNITS", tmp_path)
    monkeypatch.setattr(program, "run", lambda *words: called.append(words))
    program.guard(["devstack@h-api.service"])
    path = tmp_path / "devstack@h-api.service.d/heat-scaleout.conf"
    assert f"\nConditionPathExists=!{program.IN_FORCE}\n" in path.read_text()
    program.unguard(["devstack@h-api.service"])
    assert not [*tmp_path.iterdir()]
    assert called == [("systemctl", "daemon-reload")] * 2


def test_what_is_told_to_the_program_is_the_same_for_every_action() -> None:
    over = TakeOver(address="10.0.0.1", listeners=(("rest_api_proxy", 8004),), keep_engine=True)
    specs = {over.text(action, "purpose").partition("<<")[2] for action in ("look", "take", "give-back")}
    assert len(specs) == 1
    assert over.farewell.partition("<<")[2] in specs
