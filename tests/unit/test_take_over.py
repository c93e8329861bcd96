"""The program that takes addresses over, as far as it can be run here: on processes of this test's own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from components.proxy.take_over import TakeOver
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
    return shipped_program("proxy/take_over.py")


@contextlib.contextmanager
def serving(
    tmp_path: Path, word: str, *before: str, executable: str = sys.executable
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", SERVER, word],
        executable=None if before else executable,
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
    # A pipe cannot be had again, a file can, and as it was open.
    log = tmp_path / "log"
    there = log.stat()
    assert found["output"] == [None, {"path": str(log), "flags": os.O_WRONLY, "file": [there.st_dev, there.st_ino]}]
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
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed here")
def test_a_process_with_fewer_rights_than_its_host_has_is_refused(program: ModuleType, tmp_path: Path) -> None:
    """Started again by root it would have them all: one of a container, or one that gave them up."""
    with (
        serving(tmp_path, "heat-api", "setpriv", "--no-new-privs") as (process, port),
        pytest.raises(SystemExit) as refused,
    ):
        program.originals([port])
    assert f"(process {process.pid}), which is no service of this host and has fewer rights" in str(refused.value)


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


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may share another one's socket")
def test_a_file_that_has_taken_the_sockets_number_meanwhile_is_not_touched(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        ((_, file),) = program.holders(port)
        with pytest.raises(OSError, match=r"Stale|not permitted"):
            program.fetched(process.pid, file, "socket:[1]")


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


# What a process had open, it gets again, and nothing else: what it says of itself is its user's word.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
NOBODY = 65534


def written_by(program: ModuleType, *output: dict[str, Any] | str | None, uid: int = 0) -> str:
    """What a process of the record writes to its two outputs; the error of one that cannot be had again."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.dup2(writing, 2)
        try:
            program.become(
                {
                    "output": list(output),
                    "groups": [],
                    "gid": uid or os.getgid(),
                    "uid": uid or os.getuid(),
                    "umask": 0o22,
                }
            )
            for number in range(1, 1 + len(output)):
                os.write(number, f"{number}: hello\n".encode())
        except OSError as error:
            os.write(2, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


@pytest.fixture
def as_told(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, for a test without root: a user of its own may be as he is."""
    if os.geteuid() != 0:
        monkeypatch.setattr(program.os, "setgroups", lambda _: None)
    return program


def kept(path: Path, flags: int = os.O_WRONLY | os.O_APPEND, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "flags": flags, "file": None, **more}


def whose(path: Path) -> list[int]:
    return [path.stat().st_dev, path.stat().st_ino]


@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_APPEND, os.O_WRONLY, os.O_RDWR | os.O_APPEND])
def test_a_process_goes_on_in_its_log_as_it_had_it_open(as_told: ModuleType, tmp_path: Path, flags: int) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("r+b") as file:
        assert as_told.opened(os.getpid(), file.fileno())["flags"] == os.O_RDWR
    written_by(as_told, kept(log, flags), kept(log, flags))
    assert log.read_text() == "before\n1: hello\n2: hello\n"


def test_what_was_open_for_reading_is_not_open_for_writing_now(as_told: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    written_by(as_told, kept(log, os.O_RDONLY, file=whose(log)))
    assert log.read_text() == "before\n"


def test_a_link_is_not_followed_wherever_it_stands(as_told: ModuleType, tmp_path: Path) -> None:
    other = tmp_path / "a directory/another's"
    other.parent.mkdir()
    other.write_text("as it was")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "way").symlink_to(other.parent)
    (tmp_path / "fifo").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "link", tmp_path / "way/another's", tmp_path / "fifo", tmp_path, tmp_path / "nothing"):
        written_by(as_told, kept(path))
    assert other.read_text() == "as it was"
    assert not (tmp_path / "nothing").exists()


def test_a_record_of_an_earlier_version_is_understood(as_told: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    written_by(as_told, os.devnull, str(log))
    assert log.read_text() == "before\n2: hello\n"


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that a user of any number reaches."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@needs_root
def test_a_file_that_the_user_may_not_write_is_not_opened_for_him(program: ModuleType, open_to_all: Path) -> None:
    roots = open_to_all / "root's"
    roots.write_text("as it was")
    roots.chmod(0o600)
    for more in ({}, {"file": [0, 0]}, {"flags": os.O_RDONLY, "file": whose(roots)}):
        written_by(program, {**kept(roots), **more}, uid=NOBODY)
    (open_to_all / "second").hardlink_to(roots)
    written_by(program, kept(open_to_all / "second", file=whose(roots)), uid=NOBODY)
    assert roots.read_text() == "as it was"
    his = open_to_all / "his"
    his.touch()
    os.chown(his, NOBODY, NOBODY)
    written_by(program, kept(his), uid=NOBODY)
    assert his.read_text() == "1: hello\n"


@needs_root
def test_a_file_that_root_had_opened_for_a_process_is_had_again_as_long_as_it_is_the_same(
    program: ModuleType, open_to_all: Path
) -> None:
    """As by a script of root's that starts Heat's own API with >>/var/log/heat/cfn.log."""
    log = open_to_all / "log"
    log.touch(mode=0o600)
    was = kept(log, file=whose(log))
    written_by(program, was, uid=NOBODY)
    assert log.read_text() == "1: hello\n"
    log.rename(open_to_all / "log.1")
    log.touch(mode=0o600)
    written_by(program, was, uid=NOBODY)
    assert log.read_text() == ""


@needs_root
@needs_proc
def test_a_file_that_a_process_has_by_its_name_alone_is_not_taken_for_open(
    program: ModuleType, open_to_all: Path
) -> None:
    roots = open_to_all / "root's"
    roots.touch(mode=0o600)
    held = os.open(roots, os.O_PATH)
    try:
        assert program.opened(os.getpid(), held) is None
    finally:
        os.close(held)


@needs_proc
def test_a_title_that_is_no_command_line_stops_nothing(program: ModuleType) -> None:
    title = "heat-engine: master process ['not closed]"
    with subprocess.Popen([title], executable=sys.executable, stdin=subprocess.PIPE) as process:
        assert program.until(lambda: title.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes(), 5)
        assert program.command_of(process.pid) == []
        process.kill()


@needs_proc
def test_a_process_that_calls_itself_haproxy_is_not_taken_for_it(program: ModuleType, tmp_path: Path) -> None:
    impostor = tmp_path / "haproxy"
    impostor.symlink_to(sys.executable)
    with serving(tmp_path, "heat-api", executable=str(impostor)) as (process, port):
        assert program.status_of(process.pid)["Name"] == "haproxy"
        assert process.pid in [pid for pid, _ in program.holders(port)]


def test_a_control_group_of_a_users_own_is_no_option_of_systemctl(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user may call one below his own as he likes."""
    asked: list[tuple[str, ...]] = []

    def run(*words: str, check: bool = True) -> str:  # noqa: ARG001
        asked.append(words)
        return "MainPID=7"

    group = tmp_path / "7/cgroup"
    group.parent.mkdir()
    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr(program, "Path", lambda path: Path(path.replace("/proc", str(tmp_path))))
    group.write_text("0::/user.slice/user@7.service/-Hroot@evil.service/--host=evil service/$(id).service\n")
    program.unit_of(7)
    group.write_text("0::/system.slice/system-devstack.slice/devstack@h-api.service\n")
    assert program.unit_of(7) == "devstack@h-api.service"
    for words in asked:
        assert words[-2] == "--"
        assert words[-1] in ("user@7.service", "-Hroot@evil.service", "devstack@h-api.service")


def test_what_is_told_to_the_program_is_the_same_for_every_action() -> None:
    over = TakeOver(address="10.0.0.1", listeners=(("rest_api_proxy", 8004),), keep_engine=True)
    specs = {over.text(action, "purpose").partition("<<")[2] for action in ("look", "take", "give-back")}
    assert len(specs) == 1
    assert over.teardown.partition("<<")[2] in specs
