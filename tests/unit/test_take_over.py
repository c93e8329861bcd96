"""The program that takes addresses over, as far as it can run here: on processes of the test itself."""

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
def test_a_listening_process_is_described_completely(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        (found,) = program.find_originals([port])
    assert (found["kind"], found["pid"], found["ports"]) == ("process", process.pid, [port])
    assert found["argv"] == [sys.executable, "-c", SERVER, "heat-api"]
    assert found["cwd"] == str(tmp_path)
    assert "SAYS=a secret = of its own" in found["environment"]
    # A pipe cannot be opened again. A file can, with the same flags.
    log = tmp_path / "log"
    there = log.stat()
    assert found["output"] == [None, {"path": str(log), "flags": os.O_WRONLY, "file": [there.st_dev, there.st_ino]}]
    assert found["uid"] == os.getuid()
    assert json.loads(json.dumps(found)) == found


@needs_proc
def test_the_command_line_in_a_title_is_found(program: ModuleType) -> None:
    """Heat's engine has one."""
    title = "heat-engine: master process [/opt/heat/bin/heat-engine --config-file /etc/heat/heat.conf]"
    with subprocess.Popen([title], executable=sys.executable, stdin=subprocess.PIPE) as process:
        # Until the process has replaced the copy of this test.
        assert program.wait_until(lambda: program.command_line(process.pid)[:1] == ["/opt/heat/bin/heat-engine"], 5)
        assert program.command_line(process.pid)[1:] == ["--config-file", "/etc/heat/heat.conf"]
        process.kill()


@needs_proc
def test_a_process_that_is_not_heats_is_refused_by_name(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "something") as (process, port), pytest.raises(SystemExit) as refused:
        program.find_originals([port])
    assert f"port {port} is taken by " in str(refused.value)
    assert f"(process {process.pid}), which is not Heat's own API" in str(refused.value)


@needs_proc
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed here")
def test_a_process_with_fewer_rights_than_its_host_has_is_refused(program: ModuleType, tmp_path: Path) -> None:
    """Started again by root, a process of a container, or one that dropped rights, would have them all."""
    with (
        serving(tmp_path, "heat-api", "setpriv", "--no-new-privs") as (process, port),
        pytest.raises(SystemExit) as refused,
    ):
        program.find_originals([port])
    assert f"(process {process.pid}), which is not a service of this host and has fewer rights" in str(refused.value)


@needs_proc
def test_a_free_port_has_no_original_process(program: ModuleType) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert program.find_originals([free.getsockname()[1]]) == []


@needs_proc
def test_a_process_is_not_confused_with_a_later_one_with_its_pid(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (_, port):
        (found,) = program.find_originals([port])
        assert program.is_running(found)
        assert not program.is_running({**found, "born": "1"})
    assert not program.is_running(found)


@needs_proc
def test_a_process_is_stopped_or_killed(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        found = program.find_originals([port])
        threading.Thread(target=process.wait, daemon=True).start()
        program.stop(found, 5)
        assert process.wait(5) == -signal.SIGTERM
    with serving(tmp_path, "heat-api") as (process, port):
        found = program.find_originals([port])
        os.kill(process.pid, signal.SIGSTOP)
        # Wait until it is stopped: otherwise it would end by the first signal.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        threading.Thread(target=process.wait, daemon=True).start()
        program.stop(found, 0.1)
        assert process.wait(5) == -signal.SIGKILL


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may share another one's socket")
def test_a_second_process_can_bind_beside_it_and_gets_the_new_connections(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (_, port), socket.socket() as beside:
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            beside.bind(("127.0.0.1", port))
        handles = program.share_sockets([port])
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
def test_a_descriptor_that_is_another_file_by_now_is_not_used(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        ((_, file),) = program.find_listening(port)
        with pytest.raises(OSError, match=r"Stale|not permitted"):
            program.duplicate_socket(process.pid, file, "socket:[1]")


def test_it_is_reported_if_sockets_cannot_be_shared(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(program, "duplicate_socket", refused)
    with serving(tmp_path, "heat-api") as (_, port):
        assert program.share_sockets([port]) == []
    assert "which are stopped first" in capsys.readouterr().out


@needs_proc
def test_a_watch_reports_how_long_nobody_answered(program: ModuleType, tmp_path: Path) -> None:
    with serving(tmp_path, "heat-api") as (process, port):
        watch = program.Watch("127.0.0.1", port)
        watch.start()
        assert program.wait_until(lambda: watch.requests > 3, 5)
        process.kill()
        assert program.wait_until(lambda: watch.failed > 3, 5)
        message = watch.report()
    assert watch.longest > 0
    assert message.startswith(f"127.0.0.1:{port} was ")
    assert message.endswith(f"{watch.failed} of {watch.requests} requests failed")


@pytest.fixture
def apache(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "APACHE", tmp_path)
    (tmp_path / "sites-available").mkdir()
    (tmp_path / "sites-enabled").mkdir()
    (tmp_path / "sites-available/heat-api.conf").write_text("# Heat\n  Listen 10.0.0.1:8004\n<VirtualHost *:8004>\n")
    return tmp_path


def test_a_site_of_apache_is_found_by_its_listen_line(program: ModuleType, apache: Path) -> None:
    (apache / "sites-enabled/heat-api.conf").symlink_to("../sites-available/heat-api.conf")
    found = program.apache_site(8004)
    assert (found["kind"], found["target"]) == ("site", "../sites-available/heat-api.conf")
    with pytest.raises(SystemExit) as refused:
        program.apache_site(800)
    assert "Apache listens on port 800, and none of its sites has the line Listen 800" in str(refused.value)


def test_a_site_that_could_not_be_restored_is_refused(program: ModuleType, apache: Path) -> None:
    (apache / "sites-enabled/heat-api.conf").write_text("Listen 8004\n")
    with pytest.raises(SystemExit, match="a2ensite heat-api"):
        program.apache_site(8004)


def test_only_root_can_read_the_record(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "STATE", tmp_path / "state")
    monkeypatch.setattr(program, "RECORD", tmp_path / "state/record.json")
    record: dict[str, Any] = {"entries": [{"name": "one"}], "guarded": []}
    for _ in range(2):
        program.save_record(record)
        assert program.load_record() == record
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state/record.json").stat().st_mode & 0o777 == 0o600


def test_a_guard_is_a_condition_and_leaves_nothing_behind(
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


# A restarted process gets the files that it had open and no others: a user can make up what /proc says.

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
NOBODY = 65534


def written_by(program: ModuleType, *output: dict[str, Any] | str | None, uid: int = 0) -> str:
    """Let a recorded process write to its two outputs; returns the error, if any."""
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
    with os.fdopen(reading) as output_pipe:
        return output_pipe.read()


@pytest.fixture
def as_this_user(program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program; without root, it keeps the test's user."""
    if os.geteuid() != 0:
        monkeypatch.setattr(program.os, "setgroups", lambda _: None)
    return program


def kept(path: Path, flags: int = os.O_WRONLY | os.O_APPEND, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "flags": flags, "file": None, **more}


def identity(path: Path) -> list[int]:
    return [path.stat().st_dev, path.stat().st_ino]


@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_APPEND, os.O_WRONLY, os.O_RDWR | os.O_APPEND])
def test_a_process_continues_its_log_with_the_same_flags(as_this_user: ModuleType, tmp_path: Path, flags: int) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("r+b") as file:
        assert as_this_user.describe_open_file(os.getpid(), file.fileno())["flags"] == os.O_RDWR
    written_by(as_this_user, kept(log, flags), kept(log, flags))
    assert log.read_text() == "before\n1: hello\n2: hello\n"


def test_a_file_that_was_open_for_reading_is_not_opened_for_writing(as_this_user: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    written_by(as_this_user, kept(log, os.O_RDONLY, file=identity(log)))
    assert log.read_text() == "before\n"


def test_no_link_in_a_path_is_followed(as_this_user: ModuleType, tmp_path: Path) -> None:
    other = tmp_path / "a directory/another's"
    other.parent.mkdir()
    other.write_text("as it was")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "way").symlink_to(other.parent)
    (tmp_path / "fifo").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "link", tmp_path / "way/another's", tmp_path / "fifo", tmp_path, tmp_path / "nothing"):
        written_by(as_this_user, kept(path))
    assert other.read_text() == "as it was"
    assert not (tmp_path / "nothing").exists()


def test_a_record_of_an_earlier_version_is_accepted(as_this_user: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    written_by(as_this_user, os.devnull, str(log))
    assert log.read_text() == "before\n2: hello\n"


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that every user can reach."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@needs_root
def test_a_file_that_the_user_cannot_write_is_not_opened(program: ModuleType, open_to_all: Path) -> None:
    roots = open_to_all / "root's"
    roots.write_text("as it was")
    roots.chmod(0o600)
    for more in ({}, {"file": [0, 0]}, {"flags": os.O_RDONLY, "file": identity(roots)}):
        written_by(program, {**kept(roots), **more}, uid=NOBODY)
    (open_to_all / "second").hardlink_to(roots)
    written_by(program, kept(open_to_all / "second", file=identity(roots)), uid=NOBODY)
    assert roots.read_text() == "as it was"
    his = open_to_all / "his"
    his.touch()
    os.chown(his, NOBODY, NOBODY)
    written_by(program, kept(his), uid=NOBODY)
    assert his.read_text() == "1: hello\n"


@needs_root
def test_a_file_that_root_had_opened_for_a_process_is_reopened_if_it_is_the_same(
    program: ModuleType, open_to_all: Path
) -> None:
    """As by a script of root's that starts Heat's own API with >>/var/log/heat/cfn.log."""
    log = open_to_all / "log"
    log.touch(mode=0o600)
    was = kept(log, file=identity(log))
    written_by(program, was, uid=NOBODY)
    assert log.read_text() == "1: hello\n"
    log.rename(open_to_all / "log.1")
    log.touch(mode=0o600)
    written_by(program, was, uid=NOBODY)
    assert log.read_text() == ""


@needs_root
@needs_proc
def test_a_descriptor_with_o_path_does_not_count_as_open(program: ModuleType, open_to_all: Path) -> None:
    roots = open_to_all / "root's"
    roots.touch(mode=0o600)
    held = os.open(roots, os.O_PATH)
    try:
        assert program.describe_open_file(os.getpid(), held) is None
    finally:
        os.close(held)


@needs_proc
def test_a_title_that_is_not_a_command_line_is_ignored(program: ModuleType) -> None:
    title = "heat-engine: master process ['not closed]"
    with subprocess.Popen([title], executable=sys.executable, stdin=subprocess.PIPE) as process:
        assert program.wait_until(lambda: title.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes(), 5)
        assert program.command_line(process.pid) == []
        process.kill()


@needs_proc
def test_a_process_with_the_name_haproxy_is_not_trusted(program: ModuleType, tmp_path: Path) -> None:
    impostor = tmp_path / "haproxy"
    impostor.symlink_to(sys.executable)
    with serving(tmp_path, "heat-api", executable=str(impostor)) as (process, port):
        assert program.process_status(process.pid)["Name"] == "haproxy"
        assert process.pid in [pid for pid, _ in program.find_listening(port)]


def test_a_control_groups_name_never_becomes_an_option_of_systemctl(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user can make one with any name below its own."""
    asked: list[tuple[str, ...]] = []

    def run(*words: str, check: bool = True) -> str:  # noqa: ARG001
        asked.append(words)
        return "MainPID=7"

    group = tmp_path / "7/cgroup"
    group.parent.mkdir()
    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr(program, "Path", lambda path: Path(path.replace("/proc", str(tmp_path))))
    group.write_text("0::/user.slice/user@7.service/-Hroot@evil.service/--host=evil service/$(id).service\n")
    program.service_of(7)
    group.write_text("0::/system.slice/system-devstack.slice/devstack@h-api.service\n")
    assert program.service_of(7) == "devstack@h-api.service"
    for words in asked:
        assert words[-2] == "--"
        assert words[-1] in ("user@7.service", "-Hroot@evil.service", "devstack@h-api.service")


def test_every_action_gets_the_same_spec() -> None:
    over = TakeOver(address="10.0.0.1", listeners=(("rest_api_proxy", 8004),), keep_engine=True)
    specs = {over.script(action, "purpose").partition("<<")[2] for action in ("look", "take", "give-back")}
    assert len(specs) == 1
    assert over.teardown.partition("<<")[2] in specs
