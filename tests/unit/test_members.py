"""The deployment's members at the broker: programs/heat/members.py, on a fake broker."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.rendering import TEMPLATES
from tests.unit.shipped import shipped_program


class AMQPError(Exception):
    """As amqp's, and so are the next ones."""


class ChannelError(AMQPError):
    pass


class NotFoundError(ChannelError):
    pass


class NotImplementedByBrokerError(AMQPError):
    pass


class KombuError(Exception):
    """As kombu's."""


class Word:
    delivery_tag = 1

    def __init__(self, body: bytes) -> None:
        self.body = body


class Channel:
    """A broker with one queue, which holds one message; `busy` is how often another engine has it in hand."""

    def __init__(self, busy: int = 0) -> None:
        self.exists, self.word, self.taken, self.busy = False, b"", b"", busy
        self.arguments: dict[str, int] = {}
        self.error: Exception | None = None

    def queue_declare(
        self, queue: str, *, passive: bool = False, arguments: dict[str, int] | None = None, **_: Any
    ) -> None:
        assert queue == "heat-members"
        assert self.exists or not passive
        self.exists = True
        self.arguments = arguments or self.arguments

    def prepare_message(self, body: bytes, properties: dict[str, int]) -> bytes:
        assert properties == {"delivery_mode": 2}, "a restarted broker keeps no other"
        return body

    def basic_publish(self, word: bytes, *, exchange: str, routing_key: str) -> None:
        assert (exchange, routing_key) == ("", "heat-members")
        self.word = word

    def basic_get(self, queue: str) -> Word | None:
        assert queue == "heat-members"
        if self.error:
            raise self.error
        if not self.exists:
            raise NotFoundError
        self.busy -= 1
        if self.busy >= 0 or not self.word:
            return None
        self.taken, self.word = self.word, b""
        return Word(self.taken)

    def basic_ack(self, tag: int) -> None:
        assert tag == 1
        self.taken = b""

    def queue_delete(self, queue: str) -> None:
        assert queue == "heat-members"
        self.exists = False

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        assert (tag, requeue) == (1, True), "the next one that asks finds it there"
        self.word = self.taken


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    """The program, with what it has of Heat's own packages made up."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield made_up(monkeypatch)


def made_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    exceptions = ModuleType("amqp.exceptions")
    for name, kind in {
        "AMQPError": AMQPError,
        "ChannelError": ChannelError,
        "NotFound": NotFoundError,
        "AMQPNotImplementedError": NotImplementedByBrokerError,
    }.items():
        setattr(exceptions, name, kind)
    consumers = ModuleType("broker_consumers")
    consumers.broker = consumers.read = None  # type: ignore[attr-defined]
    config = ModuleType("oslo_config")
    config.cfg = SimpleNamespace(ConfigOpts=object)  # type: ignore[attr-defined]
    transport = ModuleType("kombu.transport.base")
    transport.StdChannel = Channel  # type: ignore[attr-defined]
    message = ModuleType("amqp.basic_message")
    message.Message = Word  # type: ignore[attr-defined]
    packages = [ModuleType(name) for name in ("amqp", "kombu", "kombu.transport")]
    packages[1].exceptions = SimpleNamespace(KombuError=KombuError)  # type: ignore[attr-defined]
    for module in (*packages, message, exceptions, consumers, transport, config):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    made = shipped_program("heat/members.py")
    monkeypatch.setattr(made, "RETRY_PAUSE", 0)
    monkeypatch.setattr(made, "PAUSE", 0)
    return made


def test_the_queue_holds_only_the_newest_message(program: Any) -> None:
    """One that is given back while a newer one is there is dropped by the broker, as it holds one alone."""
    channel = Channel()
    program.publish(channel, ["node-2", "node-1"])
    assert channel.arguments == {"x-max-length": 1}
    assert program.read_members(channel) == ["node-1", "node-2"]


def test_it_is_there_for_the_next_one_that_asks(program: Any) -> None:
    channel = Channel()
    program.publish(channel, ["node-1", "node-2"])
    assert program.read_members(channel) == program.read_members(channel) == ["node-1", "node-2"]


def test_the_message_is_waited_for_while_another_engine_holds_it(program: Any) -> None:
    channel = Channel(busy=5)
    program.publish(channel, ["node-1", "node-2"])
    assert program.read_members(channel) == ["node-1", "node-2"]


def test_without_published_members_every_node_may_start(program: Any) -> None:
    assert program.read_members(Channel()) is None
    empty = Channel()
    empty.exists = True
    assert program.read_members(empty) is None


def test_a_node_that_is_not_a_member_gets_the_reason(program: Any) -> None:
    channel = Channel()
    assert program.explain_not_a_member(channel, "node-3") == ""
    program.publish(channel, ["node-1", "node-2"])
    assert program.explain_not_a_member(channel, "node-2") == ""
    why = program.explain_not_a_member(channel, "node-3")
    assert why == "node-3 is not a member of the deployment any more. The members are node-1, node-2."


def test_a_node_that_leaves_is_no_member_and_with_the_last_one_nothing_is_left(program: Any) -> None:
    channel = Channel()
    program.publish(channel, ["node-1", "node-2"])
    program.remove(channel, "node-1")
    assert program.read_members(channel) == ["node-2"]
    program.remove(channel, "node-1")
    assert program.read_members(channel) == ["node-2"]
    program.remove(channel, "node-2")
    assert not channel.exists
    program.remove(channel, "node-2")


# What an engine's start makes of a broker that cannot be asked.

# As amqp, kombu and ssl raise them when a connection is made.
REFUSALS = [
    ConnectionRefusedError("nobody there"),
    AMQPError("(0, 0): (403) ACCESS_REFUSED - Login was refused"),
    ChannelError("(10, 40): (403) ACCESS_REFUSED - access to vhost refused"),
    AMQPError("(10, 40): (541) INTERNAL_ERROR - access to vhost 'heat' refused: vhost 'heat' is down"),
    AMQPError("(10, 40): (530) NOT_ALLOWED - vhost heat not found"),
    KombuError("limit of connections"),
    ssl.SSLCertVerificationError("certificate verify failed"),
    FileNotFoundError("no CA file"),
    TimeoutError("timed out"),
]


def ask(program: Any, monkeypatch: pytest.MonkeyPatch, channel: Channel, *errors: Exception) -> Any:
    """Run `members.py ask node-3` at a broker that refuses with these errors, one after the other, and then answers."""
    left = list(errors)

    class Connection:
        default_channel = channel

        def ensure_connection(self, *, max_retries: int) -> None:
            assert max_retries == 1
            if left:
                raise left.pop(0)

    @contextmanager
    def broker(_: object) -> Iterator[Connection]:
        yield Connection()

    monkeypatch.setattr(program, "broker", broker)
    monkeypatch.setattr(program, "read", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["members.py", "ask", "node-3", "--", "heat.conf"])
    return program.main()


@pytest.mark.parametrize("error", REFUSALS, ids=str)
def test_a_broker_that_refuses_is_asked_again_and_the_journal_says_why(
    program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    channel = Channel()
    assert ask(program, monkeypatch, channel, error, error, error) == 0
    # Once: the same reason every second would fill the journal.
    assert capsys.readouterr().out.count(repr(error)) == 1
    program.publish(channel, ["node-1"])
    assert ask(program, monkeypatch, channel, error) == program.NOT_A_MEMBER


@pytest.mark.parametrize(
    "error", [ChannelError("(60, 70): (403) ACCESS_REFUSED"), NotImplementedByBrokerError("(540) a stream")]
)
def test_a_queue_that_cannot_be_read_keeps_no_engine_from_starting(
    program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    channel = Channel()
    channel.exists, channel.error = True, error
    assert ask(program, monkeypatch, channel) == 0
    assert f"cannot be read, and is ignored: {error}" in capsys.readouterr().out


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000))
def test_a_message_that_is_no_list_of_nodes_stops_no_engine(program: Any, body: bytes) -> None:
    channel = Channel()
    channel.exists, channel.word = True, body
    known = program.read_members(channel)
    assert known is None or (known and all(isinstance(node, str) for node in known))
    assert channel.word == body
    assert known or program.explain_not_a_member(channel, "node-3") == ""
    program.remove(channel, "node-3")
    assert known or not channel.exists or not body


@pytest.mark.parametrize(("status", "result"), [(0, 0), (77, 1), (1, 255), (2, 255), (120, 255), (203, 255)])
def test_systemd_skips_an_engine_only_where_its_node_is_no_member(tmp_path: Path, status: int, result: int) -> None:
    """At a status of 1 to 254 it never tries again."""
    assert condition(tmp_path, f"#!/bin/sh\necho $*\nexit {status}\n") == (result, "members.py ask node-1 -- CONF\n")


def test_an_engine_whose_python_is_gone_is_not_skipped(tmp_path: Path) -> None:
    assert condition(tmp_path, "") == (255, "")


def condition(tmp_path: Path, python: str) -> tuple[int, str]:
    """The exit status and the output of the unit's condition, where Heat's Python is this script."""
    unit = (TEMPLATES / "heat/engine@.service.j2").read_text()
    found = re.search(r"(?m)^ExecCondition=/bin/sh -c '(.*?)' sh ", unit)
    assert found
    if python:
        (tmp_path / "python").write_text(python)
        (tmp_path / "python").chmod(0o755)
    words = [str(tmp_path / "python"), "members.py", "ask", "node-1", "--", "CONF"]
    done = subprocess.run(
        ["/bin/sh", "-c", found[1].replace("$$", "$"), "sh", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout
