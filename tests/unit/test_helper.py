"""The helper on a host, run here: how it handles truncated, late and duplicate input."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.remote import add_length_header, remove_length_header
from components.rendering import PROGRAMS, TEMPLATES, program_text

SECRET = "the first half\nand the second\n"  # noqa: S105


class HostHelper:
    """programs/hosts/heat-scaleout.sh with its state below the test's directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.program, self.state = tmp_path / "heat-scaleout", tmp_path / "run"
        text = program_text("hosts/heat-scaleout.sh")
        self.program.write_text(
            text.replace("/run/heat-scaleout", str(self.state))
            .replace("/run/lock", str(tmp_path))
            .replace("/etc/heat", str(tmp_path / "etc/heat"))
        )
        self.owner = f"{pwd.getpwuid(os.geteuid()).pw_name}:{grp.getgrgid(os.getegid()).gr_name}"
        self.path = tmp_path / "etc/heat/heat.conf"

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", self.program, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def put(self, stdin: bytes, *check: str, mode: str = "0640") -> tuple[int, str]:
        return self.end(self.start("put", str(self.path), mode, self.owner, *check), stdin)

    def run(self, stdin: bytes) -> tuple[int, str]:
        return self.end(self.start("run", "name"), stdin)

    @staticmethod
    def end(process: subprocess.Popen[bytes], stdin: bytes) -> tuple[int, str]:
        _, message = process.communicate(stdin, timeout=30)
        return process.returncode, message.decode()

    @property
    def left(self) -> list[str]:
        """What a call left behind: its work directory, and staged files."""
        beside = [*self.path.parent.iterdir()] if self.path.parent.exists() else []
        return [path.name for path in (*self.state.glob("private/work*"), *beside) if path != self.path]


@pytest.fixture
def helper(tmp_path: Path) -> HostHelper:
    return HostHelper(tmp_path)


def test_the_length_header_can_be_added_and_removed() -> None:
    for text in ("", "a", "ä\n\n", "heat-scaleout-input 3\nabc"):
        assert remove_length_header(add_length_header(text)) == text
    assert add_length_header("ä\n") == "heat-scaleout-input 3\nä\n"
    # The stdin of an earlier version.
    assert remove_length_header("[DEFAULT]\n") == "[DEFAULT]\n"


def test_complete_input_is_written_and_run(helper: HostHelper, tmp_path: Path) -> None:
    for text in (SECRET, "", "no line break at its end", "heat-scaleout-input 3\nabc"):
        assert helper.put(add_length_header(text).encode()) == (0, "")
        assert helper.path.read_text() == text
        assert helper.path.stat().st_mode & 0o777 == 0o640
    assert helper.run(add_length_header(f"echo ran >{tmp_path}/did").encode()) == (0, "")
    assert (tmp_path / "did").read_text() == "ran\n"
    assert helper.left == []


def cuts(text: str) -> list[bytes]:
    """Beginnings of what is sent: nothing, parts of the first line and of what follows, all but a byte."""
    whole = add_length_header(text).encode()
    first = whole.index(b"\n") + 1
    return [whole[:at] for at in sorted({0, 1, first - 2, first - 1, first, first + 1, len(whole) - 9, len(whole) - 1})]


def test_a_truncated_file_leaves_the_old_one(helper: HostHelper) -> None:
    assert helper.put(add_length_header("before").encode())[0] == 0
    for cut in (*cuts(SECRET), SECRET.encode(), add_length_header(SECRET).encode() + b"more"):
        code, message = helper.put(cut)
        assert (code, helper.path.read_text(), helper.left) == (1, "before", []), cut
        assert "Nothing was changed. Type: pulumi up\n" in message
        assert "half" not in message


def test_a_truncated_script_does_not_start(helper: HostHelper, tmp_path: Path) -> None:
    mark = tmp_path / "did"
    script = f"touch {mark}\n: and the rest of it\n"
    for cut in (*cuts(script), script.encode(), add_length_header(script).encode() + b"more"):
        code, message = helper.run(cut)
        assert code == 1, cut
        assert "Nothing was changed" in message
    assert not mark.exists()


@pytest.mark.parametrize("first", ["-1", "1e3", "0x8", "8 8", "99999999999999999999", "٣", ""])
def test_a_first_line_without_a_length_is_refused(helper: HostHelper, first: str) -> None:
    assert helper.put(f"heat-scaleout-input {first}\n12345678".encode())[0] == 1
    assert not helper.path.exists()


def test_a_teardown_script_of_an_earlier_version_runs_if_it_is_complete(helper: HostHelper, tmp_path: Path) -> None:
    """`destroy` after an upgrade that stopped half-way: the host has this program, Pulumi's state the old script."""
    mark = tmp_path / "did"
    last = "rm -f /run/haproxy/loaded.sha256"
    whole = f"touch {mark}\n{last.replace('/run', str(tmp_path))}\n\n".encode()
    helper.program.write_text(helper.program.read_text().replace(last, last.replace("/run", str(tmp_path))))
    for name, stdin in (("haproxy-leave", whole[:-4]), ("haproxy-leave", b""), ("haproxy", whole), ("leave", whole)):
        assert helper.end(helper.start("run", name), stdin)[0] == 1
    assert not mark.exists()
    assert helper.end(helper.start("run", "haproxy-leave"), whole) == (0, "")
    assert mark.exists()


def test_two_simultaneous_puts_do_not_mix(helper: HostHelper) -> None:
    texts = [f"{letter * 300_000}\n" for letter in "abcdef"]
    for _ in range(3):
        calls = [helper.start("put", str(helper.path), "0640", helper.owner) for _ in texts]
        for call, text in zip(calls, texts, strict=True):
            assert call.stdin
            call.stdin.write(add_length_header(text).encode())
        assert [helper.end(call, b"")[0] for call in calls] == [0] * len(texts)
        assert helper.path.read_text() in texts
        assert helper.left == []


def children(process: subprocess.Popen[bytes]) -> list[str]:
    """The programs that a call has running."""
    names = []
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        # One that has ended meanwhile is running no more.
        with contextlib.suppress(OSError):
            names.append(Path(f"/proc/{pid}/comm").read_text().strip())
    return names


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc is Linux's")
def test_two_runs_of_one_name_never_overlap(helper: HostHelper, tmp_path: Path) -> None:
    fifo, order = tmp_path / "go", tmp_path / "order"
    os.mkfifo(fifo)
    order.touch()
    scripts = (f"echo begin >>{order}; cat {fifo}; echo end >>{order}", f"echo begin >>{order}; echo end >>{order}")
    calls: list[subprocess.Popen[bytes]] = []
    waits = (lambda: bool(order.read_text()), lambda: "flock" in children(calls[1]))
    for script, wait in zip(scripts, waits, strict=True):
        calls.append(helper.start("run", "name"))
        stdin, calls[-1].stdin = calls[-1].stdin, None
        assert stdin
        with stdin:
            stdin.write(add_length_header(script).encode())
        until(wait)
    fifo.write_text("go\n")
    assert [helper.end(call, b"")[0] for call in calls] == [0, 0]
    assert order.read_text().split() == ["begin", "end"] * 2


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_killed_put_leaves_no_files(helper: HostHelper, tmp_path: Path, how: signal.Signals) -> None:
    fifo = tmp_path / "checking"
    os.mkfifo(fifo)
    call = helper.start("put", str(helper.path), "0640", helper.owner, "/bin/sh", "-c", f"cat {fifo}; exit 0")
    assert call.stdin
    call.stdin.write(add_length_header(SECRET).encode())
    call.stdin.close()
    call.stdin = None
    # Its check is under way from here on.
    with fifo.open("w"):
        call.send_signal(how)
    assert call.wait(timeout=30) != 0
    assert not helper.path.exists()
    # What nothing could clear away goes with the next call, whatever that is for.
    assert how != signal.SIGKILL or helper.left
    assert helper.run(add_length_header("true").encode())[0] == 0
    assert helper.left == []


def test_symbolic_links_do_not_redirect_a_write(helper: HostHelper, tmp_path: Path) -> None:
    """A directory may be that of a service's own user, as RabbitMQ's is."""
    other = tmp_path / "another's"
    other.write_text("as it was")
    helper.path.parent.mkdir(parents=True)
    for name in (".heat.conf.heat-scaleout", "heat.conf"):
        (helper.path.parent / name).symlink_to(other)
    assert helper.put(add_length_header(SECRET).encode()) == (0, "")
    assert other.read_text() == "as it was"
    assert not helper.path.is_symlink()
    assert helper.path.read_text() == SECRET


def test_a_staged_file_is_only_used_by_its_descriptor(helper: HostHelper, tmp_path: Path) -> None:
    """A link that comes in between is not followed: by content, owner or mode."""
    other = tmp_path / "another's"
    other.write_text("as it was")
    other.chmod(0o600)
    staged = helper.path.parent / ".heat.conf.heat-scaleout"
    text = helper.program.read_text()
    (created,) = [line for line in text.splitlines() if line.strip() == 'exec 8>"$staged"']
    swap = f'{created}\n    rm -f "{staged}"; ln -s "{other}" "{staged}"'
    helper.program.write_text(text.replace(created, swap))
    helper.put(add_length_header(SECRET).encode())
    assert (other.read_text(), other.stat().st_mode & 0o777) == ("as it was", 0o600)


def test_locks_are_in_a_directory_that_only_root_may_enter(helper: HostHelper) -> None:
    """And what others may look for, such as an API for its mark, is beside it."""
    helper.run(add_length_header("true").encode())
    assert helper.state.stat().st_mode & 0o777 == 0o755
    assert (helper.state / "private").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in helper.state.rglob("*.lock")] == ["run-name.lock"]
    for path in [*TEMPLATES.rglob("*"), *PROGRAMS.rglob("*")]:
        if path.is_file() and path.suffix != ".pyc":
            assert "/run/lock/" not in path.read_text(), path


def test_a_check_that_fails_leaves_the_old_file(helper: HostHelper) -> None:
    assert helper.put(add_length_header("before").encode())[0] == 0
    code, message = helper.put(add_length_header("after").encode(), "/bin/sh", "-c", "echo no good >&2; exit 1")
    assert (code, helper.path.read_text(), helper.left) == (1, "before", [])
    assert message.startswith("no good\nheat-scaleout: the check above refused the new ")


def test_a_script_continues_without_its_connection(helper: HostHelper, tmp_path: Path) -> None:
    """Nobody reads what it prints any more."""
    done = tmp_path / "done"
    process = helper.start("run", "name")
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stderr.close()
    process.stdin.write(add_length_header(f"echo one; echo two >&2; echo three; touch {done}\n").encode())
    process.stdin.close()
    process.wait(timeout=30)
    assert done.exists()


def test_a_scripts_output_and_exit_status_are_returned(helper: HostHelper) -> None:
    process = helper.start("run", "name")
    out, err = process.communicate(add_length_header("echo out; echo err >&2; exit 7\n").encode(), timeout=30)
    assert (process.returncode, out, err) == (7, b"out\n", b"err\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
@pytest.mark.parametrize("what", ["put", "run"])
def test_root_becomes_the_owner_of_heats_directories_again(helper: HostHelper, tmp_path: Path, what: str) -> None:
    """Debian's package of Heat gives /etc/heat to that user at each of its upgrades."""
    text = helper.program.read_text().replace("chown root:heat", "chown root:root")
    helper.program.write_text(text)
    (tmp_path / "etc/heat/processes").mkdir(parents=True)
    for path in (tmp_path / "etc/heat", tmp_path / "etc/heat/processes"):
        os.chown(path, 65534, 65534)
    assert (
        helper.put(add_length_header("x").encode())
        if what == "put"
        else helper.run(add_length_header("true\n").encode())
    )[0] == 0
    for path in (tmp_path / "etc/heat", tmp_path / "etc/heat/processes"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o750)


def test_a_symbolic_link_instead_of_heats_directory_is_refused(helper: HostHelper, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "etc/heat").mkdir(parents=True)
    (tmp_path / "etc/heat/processes").symlink_to(tmp_path / "elsewhere")
    code, message = helper.put(add_length_header("x").encode())
    assert code == 1
    assert "processes on " in message
    assert "is a symbolic link" in message
    assert not helper.path.exists()
