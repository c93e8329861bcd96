"""Which nodes belong to the deployment, as the broker keeps it: templates/heat/members.py, on a made-up broker."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.unit.shipped import shipped_program


class NotFoundError(Exception):
    """As amqp's."""


class Word:
    delivery_tag = 1

    def __init__(self, body: bytes) -> None:
        self.body = body


class Channel:
    """A broker with one queue, which holds one message; `busy` is how often another engine has it in hand."""

    def __init__(self, busy: int = 0) -> None:
        self.exists, self.word, self.taken, self.busy = False, b"", b"", busy
        self.arguments: dict[str, int] = {}

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


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with what it has of Heat's own packages made up."""
    exceptions = ModuleType("amqp.exceptions")
    exceptions.NotFound = NotFoundError  # type: ignore[attr-defined]
    consumers = ModuleType("broker_consumers")
    consumers.broker = consumers.read = None  # type: ignore[attr-defined]
    transport = ModuleType("kombu.transport.base")
    transport.StdChannel = Channel  # type: ignore[attr-defined]
    message = ModuleType("amqp.basic_message")
    message.Message = Word  # type: ignore[attr-defined]
    packages = [ModuleType(name) for name in ("amqp", "kombu", "kombu.transport")]
    for module in (*packages, message, exceptions, consumers, transport):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    made = shipped_program("heat/members.py")
    monkeypatch.setattr(made, "MOMENT", 0)
    return made


def test_the_word_is_one_and_the_newest_one(program: Any) -> None:
    """One that is given back while a newer one is there is dropped by the broker, as it holds one alone."""
    channel = Channel()
    program.tell(channel, ["node-2", "node-1"])
    assert channel.arguments == {"x-max-length": 1}
    assert program.members(channel) == ["node-1", "node-2"]


def test_it_is_there_for_the_next_one_that_asks(program: Any) -> None:
    channel = Channel()
    program.tell(channel, ["node-1", "node-2"])
    assert program.members(channel) == program.members(channel) == ["node-1", "node-2"]


def test_it_is_waited_for_while_another_engine_has_it_in_hand(program: Any) -> None:
    channel = Channel(busy=5)
    program.tell(channel, ["node-1", "node-2"])
    assert program.members(channel) == ["node-1", "node-2"]


def test_nobody_is_refused_by_a_broker_that_was_told_nothing(program: Any) -> None:
    assert program.members(Channel()) is None
    empty = Channel()
    empty.exists = True
    assert program.members(empty) is None


def test_a_node_that_is_no_member_is_told_why_nothing_of_it_starts(program: Any) -> None:
    channel = Channel()
    assert program.stranger(channel, "node-3") == ""
    program.tell(channel, ["node-1", "node-2"])
    assert program.stranger(channel, "node-2") == ""
    why = program.stranger(channel, "node-3")
    assert why == "node-3 does not belong to the deployment any more, which is node-1, node-2"


def test_a_node_that_leaves_is_no_member_and_with_the_last_one_nothing_is_left(program: Any) -> None:
    channel = Channel()
    program.tell(channel, ["node-1", "node-2"])
    program.leave(channel, "node-1")
    assert program.members(channel) == ["node-2"]
    program.leave(channel, "node-1")
    assert program.members(channel) == ["node-2"]
    program.leave(channel, "node-2")
    assert not channel.exists
    program.leave(channel, "node-2")
