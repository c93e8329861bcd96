"""programs/heat/engine.py on a fake Heat: the locks that an engine reports, and when it begins a check."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pace import Together
from tests.unit.shipped import shipped_program

WORK = "engine_worker"


class DatabaseError(Exception):
    """(1290, 'The MariaDB server is running with the --read-only option')."""


class Message(dict[str, Any]):
    """A message as the broker delivers it."""

    def __init__(self, traversal: str = "t", method: str = "check_resource") -> None:
        super().__init__(method=method, args={"current_traversal": traversal})
        self.did: list[str] = []
        self.fails = False

    def acknowledge(self) -> None:
        if self.fails:
            raise ConnectionResetError
        self.did.append("acknowledged")

    def requeue(self) -> None:
        self.did.append("requeued")


class Connection:
    """oslo.messaging's connection: reading subscribes, or takes one message."""

    def __init__(self) -> None:
        self.connection, self._connection_lock, self.channel = self, nullcontext(), "channel"
        self.rabbit_qos_prefetch_count, self.limited = 64, list[str]()
        self._consumers: dict[Any, int] = {}
        self._new_tags: set[int] = set()
        self.deliveries: list[Callable[[], object]] = []
        self.waited: list[float | None] = []

    def consume(self, timeout: float | None = None) -> None:
        if self._new_tags:
            for consumer, tag in self._consumers.items():
                consumer.consume(self, tag)
                self._new_tags.discard(tag)
            return
        self.waited.append(timeout)
        if not self.deliveries:
            raise TimeoutError
        self.deliveries.pop(0)()

    def _set_qos(self, channel: str) -> None:
        self.limited.append(channel)


def messaging() -> SimpleNamespace:
    """The parts of oslo.messaging that the program changes."""

    class Consumer:
        def __init__(self, queue: str, during: Callable[[], object] = list) -> None:
            self.queue_name, self.during = queue, during

        def consume(self, _connection: Connection, _tag: object) -> None:
            self.during()

        def cancel(self, tag: object) -> None:
            pass

    class AMQPListener:
        def __init__(self, _driver: object, conn: Connection) -> None:
            self.conn, self.incoming, self.seen = conn, list[SimpleNamespace](), list[Message]()
            self._shutdown = threading.Event()

        def __call__(self, message: Message) -> None:
            if not any(message is one for one in self.seen):
                self.seen.append(message)
                self.incoming.append(SimpleNamespace(message=message))

        def stop(self) -> None:
            self._shutdown.set()

    class RpcAMQPListener(AMQPListener):
        def __call__(self, message: Message) -> None:
            try:
                message.acknowledge()
            except ConnectionResetError:
                return
            super().__call__(message)

    class RPCServer:
        def __init__(self, work: Callable[[], object]) -> None:
            self.work = work

        def _process_incoming(self, _incoming: object) -> None:
            self.work()

    return SimpleNamespace(**{one.__name__: one for one in (Consumer, AMQPListener, RpcAMQPListener, RPCServer)})


class Parser:
    """Python 3.11's: two threads may not be in it at once."""

    def __init__(self) -> None:
        self.busy, self.calls = threading.Lock(), list[str]()

    def parse(self, text: str) -> tuple[str, ...]:
        assert self.busy.acquire(blocking=False)
        self.calls.append(text)
        threading.Event().wait(0.001)
        self.busy.release()
        return (text,)


class StackResource:
    """A resource that is a nested stack."""

    def create(self) -> None:
        pass


class Server:
    """A resource of another service."""

    def create(self) -> None:
        pass


def engine_parts(release: str) -> dict[str, dict[str, Any]]:
    """The parts of Heat's engine that the program changes."""
    scheduler = ModuleType("heat.engine.scheduler")

    class TaskRunner:
        slept: list[object] = []  # noqa: RUF012

        def __init__(self, task: object = None) -> None:
            self._task = task

        def _sleep(self, wait_time: object) -> None:
            self.slept.append(wait_time)

    class Stack:
        def __init__(self, *sinks: object) -> None:
            self.env, self.events = SimpleNamespace(get_event_sinks=lambda: sinks), list[object]()

        def _converge_create_or_update(self) -> None:
            pass

        def dispatch_event(self, event: object) -> None:
            self.events.append(event)

    class ThreadGroup:
        def __init__(self, *alive: bool) -> None:
            self._lock, self.threads = threading.Lock(), [SimpleNamespace(is_alive=lambda a=a: a) for a in alive]

        def add_thread(self, *_words: object) -> int:
            return len(self.threads)

    class WorkerClient:
        sent: list[object] = []  # noqa: RUF012

        def check_resource(self, *words: object) -> None:
            self.sent.append(words)

    vars(scheduler).update(ENABLE_SLEEP=True, TaskRunner=TaskRunner)
    threads = {"ThreadGroup": ThreadGroup, "ThreadWithCallback": threading.Thread} if release >= "25" else {}
    sync: Callable[..., None] = lambda *_: None  # noqa: E731
    return {
        "heat.common": {},
        "heat.common.messaging": {"TRANSPORT": None},
        "heat.engine.scheduler": vars(scheduler),
        "heat.engine.stack": {"Stack": Stack, "scheduler": scheduler},
        **({"heat.engine.snapshots": {"scheduler": scheduler}} if release >= "26" else {}),
        "heat.engine.resources": {},
        "heat.engine.resources.stack_resource": {"StackResource": StackResource},
        "heat.engine.service": {"EngineListener": type("EngineListener", (), {}), **threads},
        "heat.engine.sync_point": {
            "sync": sync,
            "_str_unpack_tuple": Parser().parse,
            "tenacity": SimpleNamespace(wait_random=lambda low, high: (low, high), wait_random_exponential=None),
        },
        "heat.rpc": {},
        "heat.rpc.worker_client": {"WorkerClient": WorkerClient},
    }


def heat(
    monkeypatch: pytest.MonkeyPatch, release: str, *, each: str = "", threads: int = 64, read: bool = True
) -> SimpleNamespace:
    """A Heat whose database refuses what `refused` names; what the program makes of it.

    Args:
        monkeypatch: puts it in place.
        release: of Heat.
        each: CHECKS_PER_STACK.
        threads: how many the engine has.
        read: whether its code is what the program knows.
    """
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

    began: list[str] = []
    oslo, parts = messaging(), engine_parts(release)
    contents: dict[str, dict[str, Any]] = {
        "heat": {},
        "heat.cmd": {},
        "heat.cmd.engine": {"main": lambda: began.append(sys.argv[0])},
        "heat.engine": {},
        **parts,
        "heat.engine.resource": {"Resource": Resource},
        "heat.objects": {},
        "heat.objects.stack": {"Stack": Stack},
        "heat.objects.stack_lock": {"StackLock": StackLock},
        "oslo_config": {"cfg": SimpleNamespace(CONF=SimpleNamespace(executor_thread_pool_size=threads))},
        "oslo_messaging": {},
        "oslo_messaging._drivers": {},
        "oslo_messaging._drivers.amqpdriver": {
            "AMQPListener": oslo.AMQPListener,
            "RpcAMQPListener": oslo.RpcAMQPListener,
        },
        "oslo_messaging._drivers.common": {"PURPOSE_SEND": "send", "Timeout": TimeoutError},
        "oslo_messaging._drivers.impl_rabbit": {"Consumer": oslo.Consumer, "RabbitMessage": Message},
        "oslo_messaging.rpc": {},
        "oslo_messaging.rpc.server": {"RPCServer": oslo.RPCServer},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    monkeypatch.setattr("importlib.metadata.version", lambda _: release)
    monkeypatch.setattr(sys, "argv", ["engine.py"])
    monkeypatch.setenv("CHECKS_PER_STACK", each)
    with monkeypatch.context() as digests:
        # The program looks a digest up in a text, and an empty one is always found.
        digest = "" if read else "another release"
        digests.setattr("hashlib.sha256", lambda _: SimpleNamespace(hexdigest=lambda: digest))
        program = shipped_program("heat/engine.py")
    assert began == ["heat-engine"]
    return SimpleNamespace(
        **vars(oslo),
        Resource=Resource,
        StackLock=StackLock,
        Stack=Stack,
        refused=refused,
        program=program,
        module=lambda name: sys.modules[f"heat.{name}"],
        EngineListener=parts["heat.engine.service"]["EngineListener"],
        held=lambda: parts["heat.engine.service"]["EngineListener"]().locks_held(None),
    )


RELEASES = ["24.0.0", "25.0.2", "26.0.2", "27.0.1"]


@pytest.fixture(params=RELEASES)
def known(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> SimpleNamespace:
    return heat(monkeypatch, request.param)


@pytest.mark.parametrize("release", ["19.0.0", "23.1.0", "28.0.0", "2.4", "240.1"])
def test_an_engine_of_an_unreviewed_release_does_not_report_its_locks(
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


def test_an_exception_of_a_resource_passes_unchanged(known: SimpleNamespace) -> None:
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


def test_a_stack_is_held_from_its_lock_to_its_release_even_if_the_database_refuses_the_release(
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


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An engine that works on two resources of a stack at once."""
    return heat(monkeypatch, "27.0.1", each="2")


class Worker:
    """An engine's parts for checks: a listener, and a server whose work the test defines."""

    def __init__(self, made: SimpleNamespace) -> None:
        self.made, self.conn = made, Connection()
        self.listener = made.RpcAMQPListener(None, self.conn)
        for tag, queue in enumerate((WORK, f"{WORK}.one", f"{WORK}_fanout"), 1):
            self.conn._consumers[made.Consumer(queue)] = tag
            self.conn._new_tags.add(tag)

    def poll(self, *messages: Message) -> list[Message]:
        """Take all messages, as the polling thread does; returns what the server gets."""
        self.conn.deliveries += [partial(self.listener, message) for message in messages]
        given: list[Message] = []
        while True:
            given += [one.message for one in self.listener.incoming]
            self.listener.incoming.clear()
            try:
                self.listener.conn.consume(timeout=5)
            except TimeoutError:
                return given
            if not (self.listener.incoming or self.conn.deliveries or self.conn._new_tags):
                return given

    def work(self, message: Message, what: Callable[[], object] = list) -> None:
        self.made.RPCServer(what)._process_incoming([SimpleNamespace(message=message)])


def messages(number: int, traversal: str = "t") -> list[Message]:
    return [Message(traversal) for _ in range(number)]


def did(them: list[Message]) -> list[list[str]]:
    return [message.did for message in them]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("method", ["check_resource", "check_resource_delete_snapshot"])
def test_a_check_waits_unacknowledged_until_it_begins(
    monkeypatch: pytest.MonkeyPatch, release: str, method: str
) -> None:
    worker = Worker(heat(monkeypatch, release, each="2"))
    checks = [Message("t", method) for _ in range(3)]
    assert worker.poll(*checks) == checks[:2]
    assert did(checks) == [["acknowledged"], ["acknowledged"], []]
    worker.work(checks[0])
    assert worker.poll() == checks[2:]
    assert did(checks) == [["acknowledged"]] * 3


@pytest.mark.parametrize(
    "message", [Message("t", "cancel_check_resource"), Message("", "check_resource_delete_snapshot")]
)
def test_a_message_that_is_no_check_is_handled_at_once(paced: SimpleNamespace, message: Message) -> None:
    worker = Worker(paced)
    worker.poll(*messages(3))
    assert worker.poll(message) == [message]
    worker.work(message)
    assert worker.poll() == []


def test_another_stack_does_not_wait_for_the_first(paced: SimpleNamespace) -> None:
    worker, other = Worker(paced), messages(2, "other")
    worker.poll(*messages(5))
    assert worker.poll(*other) == other


@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_with_very_few_threads_still_works(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    worker, checks = Worker(heat(monkeypatch, "27.0.1", each="2", threads=threads)), messages(2)
    assert worker.poll(*checks) == checks[:1]
    worker.work(checks[0])
    assert worker.poll() == checks[1:]


def test_the_connection_is_polled_often_only_while_checks_wait(paced: SimpleNamespace) -> None:
    worker = Worker(paced)
    begun = worker.poll(*messages(3))
    # The third one waits, and a poll of the connection follows.
    assert worker.conn.waited == [5, 5, 5]
    worker.poll()
    assert worker.conn.waited == [5, 5, 5, paced.program.LOOK]
    worker.work(begun[0])
    worker.poll()
    assert worker.conn.waited == [5, 5, 5, *[paced.program.LOOK] * 2, 5]


def test_a_stop_gives_back_what_waits_and_what_still_comes(paced: SimpleNamespace) -> None:
    worker, checks, late = Worker(paced), messages(3), Message()
    worker.poll(*checks)
    worker.listener.stop()
    worker.listener(late)
    assert did([*checks, late]) == [["acknowledged"], ["acknowledged"], ["requeued"], ["requeued"]]
    assert paced.held() == ["no checks wait"]


def test_a_new_subscription_forgets_what_waits_and_keeps_what_comes_with_it(paced: SimpleNamespace) -> None:
    worker, before, after = Worker(paced), messages(3), messages(3, "again")
    worker.poll(*before)
    for consumer in worker.conn._consumers:
        # The broker delivers from the first queue while the others are being subscribed to.
        if consumer.queue_name != WORK:
            consumer.during = lambda: worker.listener(after.pop())
    worker.conn._new_tags.update(worker.conn._consumers.values())
    assert [message["args"]["current_traversal"] for message in worker.poll()] == ["again", "again"]
    assert did(before) == [["acknowledged"], ["acknowledged"], []]
    for message in before[:2]:
        worker.work(message)
    assert worker.poll(*after) == []


def test_a_subscription_limits_what_is_delivered(paced: SimpleNamespace) -> None:
    worker = Worker(paced)
    for times in (1, 2):
        worker.conn._new_tags.update(worker.conn._consumers.values())
        worker.poll()
        assert worker.conn.limited == ["channel"] * (1 + times)


def test_a_connection_without_checks_is_subscribed_as_by_heat(paced: SimpleNamespace) -> None:
    connection, subscribed = Connection(), list[str]()
    paced.Consumer(WORK, lambda: subscribed.append(WORK)).consume(connection, 1)
    assert (subscribed, connection.limited) == ([WORK], [])


def test_nothing_begins_on_a_connection_that_is_to_be_subscribed_to_again(paced: SimpleNamespace) -> None:
    worker, checks = Worker(paced), messages(3)
    worker.poll(*checks)
    worker.work(checks[0])
    worker.conn._new_tags.update(worker.conn._consumers.values())
    assert worker.poll() == []
    assert did(checks)[2] == []


@pytest.mark.parametrize("why", ["unacknowledged", "duplicate"])
def test_a_check_that_is_not_worked_on_leaves_its_thread(paced: SimpleNamespace, why: str) -> None:
    worker, checks, last = Worker(paced), messages(2), Message()
    if why == "duplicate":
        worker.listener.seen += checks
    for message in checks:
        message.fails = why == "unacknowledged"
    assert worker.poll(*checks, last) == [last]


@pytest.mark.parametrize("error", [None, ValueError, SystemExit])
def test_a_check_leaves_its_thread_at_any_end(paced: SimpleNamespace, error: type[BaseException] | None) -> None:
    def work() -> None:
        if error:
            raise error

    worker, checks = Worker(paced), messages(4)
    for message in worker.poll(*checks):
        with pytest.raises(error) if error else nullcontext():
            worker.work(message, work)
    assert worker.poll() == checks[2:]


@pytest.mark.parametrize("wait_time", [0, None])
def test_a_check_that_sleeps_for_no_time_works(paced: SimpleNamespace, wait_time: int | None) -> None:
    worker, checks, found = Worker(paced), messages(3), list[Message]()
    runner = paced.module("engine.scheduler").TaskRunner()
    paced.program._sleep = lambda *_: found.extend(worker.poll())
    worker.poll(*checks)
    worker.work(checks[0], lambda: runner._sleep(wait_time))
    assert found == []


@pytest.mark.parametrize("working", [True, False])
def test_a_check_that_waits_for_another_service_lets_the_next_begin(paced: SimpleNamespace, working: bool) -> None:
    worker, checks, found = Worker(paced), messages(4), list[Message]()
    runner = paced.module("engine.scheduler").TaskRunner()
    paced.program._sleep = lambda *_: found.extend(worker.poll())
    worker.poll(*checks)
    worker.work(checks[0], lambda: runner._sleep(1) if working else None)
    # The thread has no check now, and others sleep in it.
    assert worker.poll() == ([] if working else checks[2:3])
    runner._sleep(1)
    assert found == (checks[2:3] if working else [])


class Broker:
    """oslo.messaging's connection to a broker with so many waiting checks; None if the broker does not report it."""

    def __init__(self, made: SimpleNamespace, waiting: int | None) -> None:
        self.waiting, self.asked, self.open = waiting, list[tuple[str, bool]](), 0
        self._connection_lock, self.channel = nullcontext(), self
        made.module("common.messaging").TRANSPORT = SimpleNamespace(_driver=self)

    @contextmanager
    def _get_connection(self, purpose: str) -> Iterator[Broker]:
        assert purpose == "send"
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    def ensure(self, ask: Callable[[], None], retry: int) -> None:
        assert retry == 0
        ask()

    def queue_declare(self, queue: str, *, passive: bool) -> SimpleNamespace:
        self.asked.append((queue, passive))
        if self.waiting is None:
            raise ConnectionResetError
        return SimpleNamespace(message_count=self.waiting)


@pytest.mark.parametrize(("waiting", "counted"), [(0, 0), (7, 7), (None, 0)])
def test_the_broker_reports_how_many_checks_wait(paced: SimpleNamespace, waiting: int | None, counted: int) -> None:
    broker = Broker(paced, waiting)
    assert paced.program.queued() == counted
    assert broker.asked == [(WORK, True)]
    assert broker.open == 0


def test_a_check_is_sent_when_there_is_room_for_it(paced: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, client = Broker(paced, paced.program.QUEUED), paced.module("rpc.worker_client").WorkerClient()

    def sleep(_seconds: float) -> None:
        assert client.sent == []
        broker.waiting = 0

    monkeypatch.setattr("pace.time.sleep", sleep)
    paced.program._room._free = 0
    client.check_resource("context", 7, "traversal")
    assert client.sent == [("context", 7, "traversal")]
    assert len(broker.asked) == 2


def test_the_first_checks_of_a_stack_are_sent_at_once(paced: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small stack does not wait while a large one keeps the queue full."""
    broker, client = Broker(paced, 1000), paced.module("rpc.worker_client").WorkerClient()
    monkeypatch.setattr("pace.time.sleep", pytest.fail)
    for stack in ("one", "another"):
        for number in range(paced.program.checks_per_stack):
            client.check_resource("context", number, stack)
    assert len(client.sent) == 2 * paced.program.checks_per_stack
    assert not broker.asked


def test_the_broker_sends_a_worker_few_checks_that_cannot_begin(paced: SimpleNamespace) -> None:
    worker = Worker(paced)
    assert worker.conn.rabbit_qos_prefetch_count == paced.program.checks_per_stack
    assert worker.conn.limited == ["channel"]


def test_a_thread_without_a_check_sleeps_as_in_heat(paced: SimpleNamespace) -> None:
    runner = paced.module("engine.scheduler").TaskRunner()
    runner._sleep(1)
    assert runner.slept == [1]


@pytest.mark.parametrize(
    ("resource", "waits"), [(StackResource(), [0, 0.1, 0.2, 0.4, 0.8, 1, 1]), (Server(), [0, 1, 1, 1, 1, 1, 1])]
)
def test_the_first_looks_at_a_nested_stack_are_close_and_those_at_another_service_are_heats(
    paced: SimpleNamespace, resource: StackResource | Server, waits: list[float]
) -> None:
    runner = paced.module("engine.scheduler").TaskRunner(resource.create)
    for wait_time in (0, *[1] * 6):
        runner._sleep(wait_time)
    assert runner.slept == pytest.approx(waits)


@pytest.mark.parametrize(("sinks", "events"), [((), []), (("a sink",), ["event"])])
def test_an_event_needs_a_thread_only_if_it_has_a_sink(
    paced: SimpleNamespace, sinks: tuple[str, ...], events: list[str]
) -> None:
    stack = paced.module("engine.stack").Stack(*sinks)
    stack.dispatch_event("event")
    assert stack.events == events


def test_threads_that_have_ended_do_not_count(paced: SimpleNamespace) -> None:
    group = paced.module("engine.service").ThreadGroup(False, True, False)
    assert group.add_thread(print) == 1


@pytest.mark.parametrize("release", RELEASES)
def test_heat_does_not_pause_between_checks_and_still_sleeps_between_two_polls(
    monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    made = heat(monkeypatch, release, each="8")
    assert made.module("engine.scheduler").ENABLE_SLEEP is True
    for name in ("stack", *(["snapshots"] if release >= "26" else [])):
        assert made.module(f"engine.{name}").scheduler.ENABLE_SLEEP is False
        assert made.module(f"engine.{name}").scheduler.TaskRunner is made.module("engine.scheduler").TaskRunner


def test_rows_are_written_together_and_tried_again_soon(paced: SimpleNamespace) -> None:
    sync_point = paced.module("engine.sync_point")
    assert isinstance(sync_point.sync, Together)
    assert sync_point.tenacity.wait_random_exponential(max=60) == (0, paced.program.RETRY)


def test_a_node_is_parsed_once_and_by_one_thread_at_a_time(paced: SimpleNamespace) -> None:
    unpack = paced.module("engine.sync_point")._str_unpack_tuple
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(unpack, [f"tuple:({one}, True)" for one in range(20)] * 3))
    assert found[:20] == [(f"tuple:({one}, True)",) for one in range(20)]
    before = len(paced.program._unpack.__self__.calls)
    unpack("tuple:(7, True)")
    assert len(paced.program._unpack.__self__.calls) == before


def test_an_engine_reports_whether_checks_wait(paced: SimpleNamespace) -> None:
    worker, checks = Worker(paced), messages(3)
    assert paced.held() == ["no checks wait"]
    worker.poll(*checks)
    assert paced.held() == ["checks wait"]
    worker.work(checks[0])
    worker.poll()
    assert paced.held() == ["no checks wait"]


@pytest.mark.parametrize("each", ["", "0"])
@pytest.mark.parametrize("release", RELEASES)
def test_without_a_pace_heat_is_unchanged(
    monkeypatch: pytest.MonkeyPatch, release: str, each: str, capfd: pytest.CaptureFixture[str]
) -> None:
    own_pace(heat(monkeypatch, release, each=each))
    assert capfd.readouterr().err == ""


def test_an_unreviewed_release_keeps_heats_own_pace_and_logs_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own_pace(heat(monkeypatch, "27.0.1", each="8", read=False))
    printed = capfd.readouterr().err
    assert printed.startswith("Heat's own pace: ")
    assert "dispatch_event" in printed


def own_pace(made: SimpleNamespace) -> None:
    """Messages are taken as they come, checks are sent at once, and Heat pauses as usual."""
    worker, checks = Worker(made), messages(100)
    assert worker.poll(*checks) == checks
    assert made.held() == []
    assert made.module("engine.stack").scheduler.ENABLE_SLEEP is True
    assert not isinstance(made.module("engine.sync_point").sync, Together)
    made.module("rpc.worker_client").WorkerClient().check_resource("sent")
    assert made.module("rpc.worker_client").WorkerClient.sent == [("sent",)]
    stack = made.module("engine.stack").Stack()
    stack.dispatch_event("event")
    assert stack.events == ["event"]
