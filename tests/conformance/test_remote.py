"""Create, update and delete of remote commands, against a real SSH server.

How hosts are waited for is in test_dialling.
"""

# asyncssh names the callbacks and their arguments, of which some are unused here.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.conformance.conftest import Compare, Start
from tests.conformance.plugin import REMOTE, Answer, Plugin
from tests.conformance.sshd import Key, Sshd, free_port
from tests.conformance.values import UNKNOWN, secret
from tools.offline.command_provider.properties import Properties, bare

Checked = Callable[..., Properties]


@pytest.fixture
def checked(plugins: dict[str, Plugin], sshd: Sshd) -> Checked:
    """A remote command's inputs after Check, with a connection to `sshd` by default."""

    def checked(connection: Properties | None = None, **inputs: Any) -> Properties:
        answer = plugins["stand-in"].check(REMOTE, {"connection": connection or sshd.connection(), **inputs})
        assert answer["failures"] == []
        result: Properties = answer["inputs"]
        return result

    return checked


def _state(inputs: Properties, stdout: str = "", stderr: str = "") -> Properties:
    return {**inputs, "stdout": stdout, "stderr": stderr}


def _outputs(answer: Answer) -> tuple[str, str]:
    return answer["properties"]["stdout"], answer["properties"]["stderr"]


def test_create_runs_create_and_echoes_all_inputs(compare: Compare, checked: Checked) -> None:
    inputs = checked(
        create="echo out; echo err >&2",
        update="false",
        delete="false",
        logging="none",
        stdin=secret("x"),
        triggers=[1.0],
    )
    answer = compare(lambda plugin: plugin.create(REMOTE, inputs))
    assert answer["properties"] == _state(inputs, "out", "err")
    assert bare(answer["properties"]["connection"])["privateKey"].secret


def test_update_runs_update_and_else_create(compare: Compare, checked: Checked) -> None:
    old = checked(create="echo created")

    def updated(new: Properties) -> str:
        return _outputs(compare(lambda plugin: plugin.update(REMOTE, old, _state(old, "x"), new)))[0]

    assert updated(checked(create="echo a")) == "a"
    assert updated(checked(create="echo a", update="echo b")) == "b"


def test_only_a_new_connection_runs_it_again(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    old = checked(create="echo ran")
    new = checked(sshd.connection(dialErrorLimit=3.0), create="echo ran")
    answer = compare(lambda plugin: plugin.diff(REMOTE, old, _state(old, "before"), new))
    assert answer["detailedDiff"] == {"connection": ("UPDATE", False)}
    assert _outputs(compare(lambda plugin: plugin.update(REMOTE, old, _state(old, "before"), new)))[0] == "ran"


def test_without_a_command_nothing_connects(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(sshd.connection(port=float(free_port())), update=None)
    state = _state(inputs, "out")
    assert compare(lambda plugin: plugin.create(REMOTE, inputs)).error is None
    assert compare(lambda plugin: plugin.update(REMOTE, inputs, state, inputs))["properties"] == state
    assert compare(lambda plugin: plugin.delete(REMOTE, state)).error is None


def test_delete_runs_delete(compare: Compare, checked: Checked, work: Path) -> None:
    def observe(plugin: Plugin) -> str:
        assert plugin.delete(REMOTE, _state(checked(delete=f"echo deleted >{work}/mark"))).error is None
        return (work / "mark").read_text()

    assert compare(observe) == "deleted\n"


def test_a_preview_does_not_connect(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(sshd.connection(port=float(free_port())), create="echo x", stdin=UNKNOWN)
    answer = compare(lambda plugin: plugin.create(REMOTE, inputs, preview=True))
    assert answer["properties"] == {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
    old = checked(create="echo x")
    answer = compare(lambda plugin: plugin.update(REMOTE, old, _state(old, "x"), inputs, preview=True))
    assert answer["properties"]["stdout"] == UNKNOWN


GIVEN: dict[str, tuple[Properties, str]] = {
    "stdin": ({"create": "cat", "stdin": "a\nä\n"}, "a\nä"),
    "much stdin": ({"create": "wc -c", "stdin": "x" * 3_000_000}, "3000000"),
    "no stdin": ({"create": "cat; echo done"}, "done"),
    "a script on stdin": ({"create": "sh -s", "stdin": "set -eu\necho $((6 * 7))\n"}, "42"),
    "no terminal": ({"create": "tty; :"}, "not a tty"),
    "many lines in a command": ({"create": "echo 1\necho 2"}, "1\n2"),
    "much output": ({"create": "yes 0123456789 | head -n 300000"}, "0123456789\n" * 299999 + "0123456789"),
    "accepted variables": (
        {"create": 'echo "$ACCEPTED_A,$ACCEPTED_B"', "environment": {"ACCEPTED_A": "ä b", "ACCEPTED_B": ""}},
        "ä b,",
    ),
}


@pytest.mark.parametrize(("inputs", "expected"), GIVEN.values(), ids=GIVEN)
def test_given(compare: Compare, checked: Checked, inputs: Properties, expected: str) -> None:
    answer = compare(lambda plugin: plugin.create(REMOTE, checked(**inputs, logging="none")))
    assert _outputs(answer)[0] == expected


FAILURES: dict[str, tuple[str, str]] = {
    "a status": ("echo out; exit 3", 'Process exited with status 3: running "echo out; exit 3":\nout\n'),
    "another": (
        "echo err >&2; exit 255",
        'Process exited with status 255: running "echo err >&2; exit 255":\nerr\n',
    ),
    "a signal": (
        "kill -TERM $$",
        'Process exited with status 143 from signal TERM: running "kill -TERM $$":\n',
    ),
    "the server's end": (
        "kill -KILL $PPID; exec sleep 60",
        'wait: remote command exited without exit status or exit signal: running "kill -KILL $PPID; exec sleep 60":\n',
    ),
    "much output": (
        "yes 0123456789 | head -n 50000; exit 1",
        'Process exited with status 1: running "yes 0123456789 | head -n 50000; exit 1":\n' + "0123456789\n" * 50000,
    ),
}


def test_much_stdin_that_is_not_read(compare: Compare, checked: Checked) -> None:
    """A small input goes unnoticed, because it fits into the buffers."""
    assert compare(lambda plugin: plugin.create(REMOTE, checked(create=":", stdin="x"))).error is None
    answer = compare(lambda plugin: plugin.create(REMOTE, checked(create=":", stdin="x" * 9_000_000)))
    assert answer.error == 'EOF: running ":":\n'


def test_output_that_is_not_text(compare: Compare, checked: Checked) -> None:
    answer = compare(lambda plugin: plugin.create(REMOTE, checked(create=r"printf '\377'")))
    assert (answer.code, answer.error) == (
        "INTERNAL",
        "grpc: error while marshaling: string field contains invalid UTF-8",
    )


@pytest.mark.parametrize(("command", "expected"), FAILURES.values(), ids=FAILURES)
def test_a_failure(compare: Compare, checked: Checked, command: str, expected: str) -> None:
    answer = compare(lambda plugin: plugin.create(REMOTE, checked(create=command, logging="none")))
    assert answer.code == "UNKNOWN"
    assert answer.error == expected


def test_a_refused_variable_is_an_error_and_nothing_runs(
    compare: Compare, checked: Checked, work: Path, request: pytest.FixtureRequest
) -> None:
    name = str(request.node.name)
    inputs = checked(create=f"echo >{work}/mark", environment={"REFUSED": "x"})
    answer, log = compare(lambda plugin: (plugin.create(REMOTE, inputs, name=name), plugin.log(REMOTE, name)))
    assert answer.error == 'could not set environment variable "REFUSED": ssh: setenv failed'
    assert [(line.severity, line.status) for line in log] == [("ERROR", False)]
    assert log[0].message.startswith("Unable to set 'REFUSED'. This only works if")
    assert not (work / "mark").exists()


@pytest.mark.parametrize(("added", "warnings"), [(True, 2), (False, 0)])
def test_previous_output_that_is_refused_is_a_warning(
    compare: Compare, checked: Checked, request: pytest.FixtureRequest, added: bool, warnings: int
) -> None:
    name = str(request.node.name)
    inputs = checked(create="echo ran", addPreviousOutputInEnv=added, logging="none")

    def observe(plugin: Plugin) -> Any:
        answer = plugin.update(REMOTE, inputs, _state(inputs, "out", "err"), inputs, name=name)
        return answer, plugin.log(REMOTE, name)

    answer, log = compare(observe)
    assert _outputs(answer)[0] == "ran"
    assert [line.severity for line in log] == ["WARNING"] * warnings


def test_the_log(compare: Compare, checked: Checked, request: pytest.FixtureRequest) -> None:
    name = str(request.node.name)
    inputs = checked(create="echo 1; printf 2", logging="stdout")
    log = compare(lambda plugin: (plugin.create(REMOTE, inputs, name=name), plugin.log(REMOTE, name))[1])
    assert [(line.message, line.severity, line.status) for line in log] == [
        ("1", "INFO", True),
        ("2", "INFO", True),
    ]


def test_a_time_limit_does_not_end_a_command_that_runs(compare: Compare, checked: Checked) -> None:
    inputs = checked(create="sleep 2; echo done")
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, inputs, timeout=1)))[0] == "done"


def test_many_at_once(compare: Compare, checked: Checked, work: Path) -> None:
    """Each command waits for all others, so all of them must run at the same time."""
    count = 30

    def observe(plugin: Plugin) -> set[str]:
        for path in work.iterdir():
            path.unlink()

        def create(number: int) -> str:
            wait = f"while [ $(ls {work} | wc -l) -lt {count} ]; do sleep 0.1; done"
            script = checked(create=f">{work}/{number}; {wait}; echo {number}", logging="none")
            return _outputs(plugin.create(REMOTE, script))[0]

        with ThreadPoolExecutor(count) as pool:
            return set(pool.map(create, range(count)))

    assert compare(observe) == {str(number) for number in range(count)}


# --- logging in ---


def _error(compare: Compare, inputs: Properties) -> str:
    error = compare(lambda plugin: plugin.create(REMOTE, inputs)).error
    assert isinstance(error, str)
    return error


@pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519"])
def test_keys_of_each_kind(compare: Compare, checked: Checked, sshd: Sshd, kind: str) -> None:
    key = Key.make(kind)
    with sshd.also(key):
        inputs = checked(sshd.connection(privateKey=key.private), create="echo in")
        assert _outputs(compare(lambda plugin: plugin.create(REMOTE, inputs)))[0] == "in"


def test_a_key_with_a_passphrase(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    key = Key.make(passphrase="open")
    with sshd.also(key):
        right = checked(sshd.connection(privateKey=key.private, privateKeyPassword="open"), create="echo in")
        assert _outputs(compare(lambda plugin: plugin.create(REMOTE, right)))[0] == "in"
    wrong = checked(sshd.connection(privateKey=key.private, privateKeyPassword="shut"), create="echo in")
    assert _error(compare, wrong) == "x509: decryption password incorrect"
    none = checked(sshd.connection(privateKey=key.private), create="echo in")
    assert _error(compare, none) == "ssh: this private key is passphrase protected"


def test_no_key_at_all(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    connection = {name: value for name, value in sshd.connection().items() if name != "privateKey"}
    assert _error(compare, checked(connection, create="x")) == (
        "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate, "
        "attempted methods [none], no supported methods remain"
    )


def test_a_wrong_key(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(sshd.connection(privateKey=Key.make().private, password="p"), create="x")
    assert _error(compare, inputs) == (
        "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate, "
        "attempted methods [none publickey], no supported methods remain"
    )


def test_an_invalid_key(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    assert _error(compare, checked(sshd.connection(privateKey="none"), create="x")) == "ssh: no key found"


def test_a_pinned_host_key(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    commented = checked(sshd.connection(hostKey=sshd.host_key.public + " a comment\n"), create="echo in")
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, commented)))[0] == "in"
    unpinned = {name: value for name, value in sshd.connection().items() if name != "hostKey"}
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, checked(unpinned, create="echo in"))))[0] == "in"


def test_another_host_key(compare: Compare, checked: Checked, sshd: Sshd, work: Path) -> None:
    inputs = checked(sshd.connection(hostKey=Key.make().public), create=f"echo >{work}/mark")
    assert _error(compare, inputs) == "after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch"
    assert not (work / "mark").exists()


def test_a_host_key_of_another_kind(plugins: dict[str, Plugin], checked: Checked, sshd: Sshd) -> None:
    """Each plugin has its own message."""
    inputs = checked(sshd.connection(hostKey=Key.make("ecdsa-sha2-nistp256").public), create="x")
    why = {
        "stand-in": "host key mismatch",
        "real": "no common algorithm for host key; we offered: [ecdsa-sha2-nistp256]",
    }
    for name, plugin in plugins.items():
        error = plugin.create(REMOTE, inputs).error
        assert error
        assert error.startswith(f"after 0 failed attempts: ssh: handshake failed: ssh: {why[name]}")


def test_an_invalid_host_key(compare: Compare, checked: Checked, sshd: Sshd) -> None:
    inputs = checked(sshd.connection(hostKey="none"), create="x")
    assert _error(compare, inputs) == "failed to parse host key: ssh: no key found"


# --- an SSH agent ---


@pytest.fixture
def agent(sshd: Sshd, tmp_path: Path) -> Iterator[str]:
    """The path of an agent with the key of `sshd`."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    subprocess.run(["ssh-add", "-q", "-"], input=sshd.key.private.encode(), env=environment, check=True)
    yield str(path)
    process.terminate()
    process.wait()


def test_an_agent(compare: Compare, checked: Checked, sshd: Sshd, agent: str) -> None:
    connection = sshd.connection(agentSocketPath=agent)
    del connection["privateKey"]
    inputs = checked(connection, create="echo in")
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, inputs)))[0] == "in"


def test_a_given_key_is_preferred_to_the_agents_keys(
    compare: Compare, checked: Checked, sshd: Sshd, agent: str
) -> None:
    inputs = checked(sshd.connection(agentSocketPath=agent, privateKey=Key.make().private), create="echo in")
    assert "attempted methods [none publickey]" in _error(compare, inputs)


def test_the_agent_of_the_environment(
    binaries: dict[str, Path], start: Start, checked: Checked, sshd: Sshd, agent: str
) -> None:
    connection = sshd.connection()
    del connection["privateKey"]
    inputs = checked(connection, create="echo in")
    for name in binaries:
        assert _outputs(start(name, SSH_AUTH_SOCK=agent).create(REMOTE, inputs))[0] == "in"


def test_a_missing_agent_fails_at_once_whatever_the_key(
    compare: Compare, checked: Checked, sshd: Sshd, tmp_path: Path
) -> None:
    inputs = checked(sshd.connection(agentSocketPath=f"{tmp_path}/none", dialErrorLimit=100.0), create="x")
    assert _error(compare, inputs) == f"dial unix {tmp_path}/none: connect: no such file or directory"


# --- passwords, which this machine's sshd may not accept ---


class _PasswordServer(asyncssh.SSHServer):
    def __init__(self, asked: list[str], method: str) -> None:
        self._asked = asked
        self._method = method

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return self._method == "password"

    def validate_password(self, username: str, password: str) -> bool:
        self._asked.append("password")
        return (username, password) == ("someone", "right")

    def kbdint_auth_supported(self) -> bool:
        return self._method == "keyboard-interactive"

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        self._asked.append("keyboard-interactive")
        return "", "", "", [("Password: ", False), ("Again: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return list(responses) == ["right", "right"]


@pytest.fixture(params=["password", "keyboard-interactive"])
def password_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int, list[str]]]:
    """An SSH server that asks for a password by one method: the method, its port, and its questions."""
    asked: list[str] = []
    loop = asyncio.new_event_loop()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _PasswordServer(asked, request.param),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            process_factory=lambda process: (process.stdout.write("in\n"), process.exit(0)),
            public_key_auth=False,
        )

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield request.param, server.get_port(), asked
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.close()


def test_a_password(compare: Compare, checked: Checked, password_server: tuple[str, int, list[str]]) -> None:
    method, port, asked = password_server
    connection = {"host": "127.0.0.1", "port": float(port), "user": "someone", "dialErrorLimit": 0.0}
    right = checked({**connection, "password": "right"}, create="x")
    assert _outputs(compare(lambda plugin: plugin.create(REMOTE, right)))[0] == "in"
    wrong = checked({**connection, "password": "wrong", "privateKey": Key.make().private}, create="x")
    assert _error(compare, wrong) == (
        "after 0 failed attempts: ssh: handshake failed: ssh: unable to authenticate, "
        f"attempted methods [none {method}], no supported methods remain"
    )
    assert set(asked) == {method}
