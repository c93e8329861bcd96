"""templates/heat/engine.py on a made-up Heat: which locks an engine says that it holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.unit.shipped import shipped_program


class DatabaseError(Exception):
    """(1290, 'The MariaDB server is running with the --read-only option')."""


def heat(monkeypatch: pytest.MonkeyPatch, release: str) -> SimpleNamespace:
    """A Heat whose database refuses what `refused` names; what the program makes of it."""
    refused: set[str] = set()

    def write(what: str) -> None:
        if what in refused:
            raise DatabaseError

    class Resource:
        def __init__(self, number: int) -> None:
            self.id = number

        @contextmanager
        def _action_recorder(self, action: str, expected: type[Exception] = NotADirectoryError) -> Iterator[None]:
            write(f"{action} begins")
            try:
                yield
            except expected:
                write(f"{action} ends")
                raise
            except Exception as error:
                write(f"{action} ends")
                raise RuntimeError("resource failed") from error
            else:
                write(f"{action} ends")

        @contextmanager
        def lock(self, engine: str) -> Iterator[None]:
            write(f"{engine} locks")
            yield
            write(f"{engine} unlocks")

    class StackLock:
        owner: str | None = None

        @classmethod
        def create(cls, _context: object, _stack_id: str, _engine_id: str) -> str | None:
            write("lock")
            return cls.owner

        @classmethod
        def steal(cls, _context: object, _stack_id: str, _old: str, _new: str) -> str | bool | None:
            write("steal")
            return cls.owner or (True if cls.owner == "" else None)

        @classmethod
        def release(cls, _context: object, _stack_id: str, _engine_id: str) -> None:
            write("release")

    class Stack:
        @classmethod
        def persist_state_and_release_lock(
            cls, _context: object, _stack_id: str, _engine_id: str, _values: dict[str, str]
        ) -> None:
            write("persist")

    class Listener:
        stop = __call__ = None

    class EngineListener:
        pass

    began: list[str] = []
    contents: dict[str, dict[str, Any]] = {
        "heat": {},
        "heat.cmd": {},
        "heat.cmd.engine": {"main": lambda: began.append(sys.argv[0])},
        "heat.engine": {},
        "heat.engine.resource": {"Resource": Resource},
        "heat.engine.service": {"EngineListener": EngineListener},
        "heat.objects": {},
        "heat.objects.stack": {"Stack": Stack},
        "heat.objects.stack_lock": {"StackLock": StackLock},
        "oslo_messaging": {},
        "oslo_messaging._drivers": {},
        "oslo_messaging._drivers.amqpdriver": {"AMQPListener": Listener, "RpcAMQPListener": Listener},
        "oslo_messaging._drivers.impl_rabbit": {"RabbitMessage": object},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("importlib.metadata.version", lambda _: release)
    monkeypatch.setattr(sys, "argv", ["engine.py"])
    shipped_program("heat/engine.py")
    assert began == ["heat-engine"]
    return SimpleNamespace(
        Resource=Resource,
        StackLock=StackLock,
        Stack=Stack,
        EngineListener=EngineListener,
        refused=refused,
        held=lambda: EngineListener().locks_held(None),  # type: ignore[attr-defined]
    )


@pytest.fixture(params=["24.0.0", "25.0.2", "26.0.2", "27.0.1"])
def known(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> SimpleNamespace:
    return heat(monkeypatch, request.param)


@pytest.mark.parametrize("release", ["19.0.0", "23.1.0", "28.0.0", "2.4", "240.1"])
def test_an_engine_of_a_release_that_was_not_read_does_not_know_the_question(
    monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    assert not hasattr(heat(monkeypatch, release).EngineListener, "locks_held")


def test_a_resource_is_held_for_as_long_as_it_is_worked_on(known: SimpleNamespace) -> None:
    assert known.held() == []
    with known.Resource(7)._action_recorder("CREATE"):
        assert known.held() == ["resource 7"]
        with known.Resource(7).lock("engine"), known.Resource(8)._action_recorder("UPDATE"):
            assert sorted(known.held()) == ["resource 7", "resource 8"]
        assert known.held() == ["resource 7"]
    assert known.held() == []


@pytest.mark.parametrize("refused", ["CREATE begins", "CREATE ends"])
def test_a_resource_whose_state_could_not_be_written_is_not_worked_on(known: SimpleNamespace, refused: str) -> None:
    known.refused.add(refused)
    with pytest.raises(DatabaseError), known.Resource(7)._action_recorder("CREATE"):
        assert known.held() == ["resource 7"]
    assert known.held() == []


def test_what_a_resource_raises_comes_through_as_it_was(known: SimpleNamespace) -> None:
    with pytest.raises(RuntimeError, match="resource failed"), known.Resource(7)._action_recorder("CREATE"):
        raise ValueError
    with pytest.raises(LookupError), known.Resource(7)._action_recorder("UPDATE", LookupError):
        raise LookupError
    assert known.held() == []


def task(recorder: Callable[..., Any]) -> Iterator[None]:
    with recorder("CREATE"):
        yield


def test_a_task_that_is_dropped_is_not_worked_on(known: SimpleNamespace) -> None:
    running = task(known.Resource(7)._action_recorder)
    next(running)
    assert known.held() == ["resource 7"]
    running.close()  # type: ignore[attr-defined]
    assert known.held() == []


def test_a_stack_is_held_from_its_lock_to_its_release_even_where_the_database_refuses_that(
    known: SimpleNamespace,
) -> None:
    releases: list[Callable[[], object]] = [
        lambda: known.StackLock.release(None, "s", "engine"),
        lambda: known.Stack.persist_state_and_release_lock(None, "s", "engine", {}),
    ]
    for release in releases:
        for refused in ((), ("release", "persist")):
            known.refused.clear()
            known.refused.update(refused)
            assert known.StackLock.create(None, "s", "engine") is None
            assert known.held() == ["stack s"]
            if refused:
                with pytest.raises(DatabaseError):
                    release()
            else:
                release()
            assert known.held() == []


def test_a_stack_that_another_engine_has_is_not_held_and_a_second_try_loses_nothing(known: SimpleNamespace) -> None:
    known.StackLock.owner = "other"
    assert known.StackLock.create(None, "s", "engine") == "other"
    assert known.StackLock.steal(None, "s", "other", "engine") == "other"
    assert known.held() == []
    known.StackLock.owner = None
    known.StackLock.steal(None, "s", "other", "engine")
    known.StackLock.owner = "engine"
    assert known.StackLock.create(None, "s", "engine") == "engine"
    assert known.held() == ["stack s"]


def test_a_lock_that_could_not_be_taken_is_not_held(known: SimpleNamespace) -> None:
    known.refused.add("lock")
    with pytest.raises(DatabaseError):
        known.StackLock.create(None, "s", "engine")
    assert known.held() == []
