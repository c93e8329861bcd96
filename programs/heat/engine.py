"""heat-engine, with three changes. Run by Heat's own Python.

It gives back to the broker what it is still sent while it stops.

oslo.messaging's server remains a consumer until its last handler has ended, and acknowledges what comes in until then,
although nobody takes it up any more: the stack or the request that it belongs to waits for ever. Here a server that is
told to stop is a consumer no longer, and another engine gets what was on its way.

It tells the caretaker, which asks over the broker, what it holds locks of. An engine whose database refuses a write
leaves a lock behind that it no longer knows of, and nobody else takes a lock from an engine that lives.

It works on a stack as fast as engines have room for it: pace.py says how. CHECKS_PER_STACK in its environment is how
many resources of one stack it works on at once; 0, or nothing, is Heat's own pace.
"""

import sys

# First of all: in some releases it replaces parts of Python's own library.
from heat.cmd.engine import main  # isort: skip

import functools
import hashlib
import inspect
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import heat.engine.stack
from heat.common import messaging
from heat.engine import scheduler, service, sync_point
from heat.engine.resource import Resource
from heat.engine.service import EngineListener
from heat.objects.stack import Stack
from heat.objects.stack_lock import StackLock
from heat.rpc import worker_client
from oslo_config import cfg
from oslo_messaging._drivers.amqpdriver import AMQPListener, RpcAMQPListener
from oslo_messaging._drivers.common import PURPOSE_SEND, Timeout
from oslo_messaging._drivers.impl_rabbit import Consumer, RabbitMessage
from oslo_messaging.rpc.server import RPCServer

from pace import Gate, Room, Together

_stop = AMQPListener.stop
_receive = RpcAMQPListener.__call__


def stop(self: AMQPListener) -> None:
    """End the polling thread, as ever; then tell the broker, on the connection that nobody polls now."""
    _stop(self)
    with self.conn._connection_lock:
        for consumer, tag in self.conn._consumers.items():
            consumer.cancel(tag)
        for message in gate_of(self).clear():
            message.requeue()


def receive(self: RpcAMQPListener, message: RabbitMessage) -> None:
    """Take a message, or give it back."""
    if self._shutdown.is_set():
        message.requeue()
    elif (stack := traversal_of(message)) and paced:
        gate_of(self).put(stack, message)
    else:
        _receive(self, message)


# The releases whose code has been read: a resource is locked within `_action_recorder` and `lock` alone, and a stack by
# StackLock's methods. An engine of another release does not know the question, and keeps its locks.
KNOWN = ("24", "25", "26", "27")

_guard = threading.Lock()
# How many threads hold, or are about to take, the lock of "resource ID" or "stack ID".
_held: Counter[str] = Counter()


def take(what: str) -> None:
    """Note a lock, before the database has it."""
    with _guard:
        _held[what] += 1


def leave(what: str) -> None:
    """Note that nothing is done under a lock any more, whether the database has let go of it or not."""
    with _guard:
        _held[what] -= 1
        if _held[what] <= 0:
            del _held[what]


def noted(locking: Callable[..., Any]) -> Callable[..., Any]:
    """One of the context managers that a resource is locked within."""

    @contextmanager
    @functools.wraps(locking)
    def within(self: Resource, *words: Any, **named: Any) -> Iterator[None]:  # noqa: ANN401 # Heat's own
        what = f"resource {self.id}"
        take(what)
        try:
            with locking(self, *words, **named):
                yield
        finally:
            leave(what)

    return within


def acquiring(method: Any) -> Any:  # noqa: ANN401 # Heat's own
    """A class method that takes a stack's lock, and gives something other than None where another engine has it."""

    def acquire(_: object, context: object, stack_id: str, *words: str) -> object:
        what, got = f"stack {stack_id}", False
        take(what)
        try:
            result = method(context, stack_id, *words)
            got = result is None
            return result
        finally:
            if not got:
                leave(what)

    return classmethod(acquire)


def releasing(method: Any) -> Any:  # noqa: ANN401 # Heat's own
    """A class method after which this engine does nothing under a stack's lock."""

    def release(_: object, context: object, stack_id: str, *words: object) -> object:
        try:
            return method(context, stack_id, *words)
        finally:
            leave(f"stack {stack_id}")

    return classmethod(release)


def locks_held(_self: EngineListener, _context: object) -> list[str]:
    """What the caretaker asks: programs/heat/records.py. Also whether checks wait in this engine for their turn."""
    with _guard:
        locks = list(_held)
    wait = any(gate.waits() for gate in _gates)
    return [*locks, "checks wait" if wait else "no checks wait"] if paced else locks


# The queue of the checks: heat.rpc.worker_api.TOPIC.
WORK = "engine_worker"
# Checks that may wait in the queue before senders hold back; engines have more in their hands.
QUEUED = 8
# While checks wait: seconds, at most, between two looks at the connection, and how long one lasts.
PAUSE, LOOK = 0.05, 0.001
# Seconds, at most, until a row is tried again that another engine has written to meanwhile. Heat's own engine waits
# for up to ten, as each check would write for itself.
AGAIN = 0.05

checks_per_stack = int(os.environ.get("CHECKS_PER_STACK") or 0)
paced = False
_gates: list[Gate[RabbitMessage]] = []
_thread = threading.local()
_parsing = threading.Lock()


def traversal_of(message: RabbitMessage) -> str:
    """The traversal that a message has a check for, which names the stack and what is done to it; else ""."""
    is_check = message.get("method") in ("check_resource", "check_resource_delete_snapshot")
    return str(message["args"].get("current_traversal") or "") if is_check else ""


def gate_of(listener: AMQPListener) -> Gate[RabbitMessage]:
    """The checks that wait at a listener. They are not acknowledged yet: if this engine dies, another one has them."""
    if not hasattr(listener, "gate"):
        # One thread is left for what is no check: a cancellation. Where there is one in all, checks have it.
        listener.gate = Gate(max(1, cfg.CONF.executor_thread_pool_size - 1), checks_per_stack)
        listener.conn.connection.gate = listener.gate
        _gates.append(listener.gate)
    gate: Gate[RabbitMessage] = listener.gate
    return gate


def listen(self: RpcAMQPListener, *words: object, **named: object) -> None:
    """Begin checks whenever the connection is about to be read."""
    AMQPListener.__init__(self, *words, **named)
    self.conn.consume = functools.partial(consume, self, self.conn.consume)


def consume(listener: RpcAMQPListener, read: Callable[..., None], timeout: float | None = None) -> None:
    """Begin what may begin; if that is nothing, wait for messages. In the polling thread, where one acknowledges.

    Nothing begins on a connection that has broken and is to be subscribed to again: the broker delivers what waits to
    somebody else, and an acknowledgement would mean nothing, or another message.
    """
    gate = gate_of(listener)
    if not gate.waits() or listener.conn._new_tags:
        read(timeout=timeout)
    else:
        gate.wait(PAUSE)
        # One of another stack may begin before those that wait.
        with suppress(Timeout):
            read(timeout=LOOK)
    while not listener.conn._new_tags and (found := gate.take()):
        begin(listener, gate, *found)


def begin(listener: RpcAMQPListener, gate: Gate[RabbitMessage], stack: str, message: RabbitMessage) -> None:
    """Take a check that waited, as oslo.messaging does when one comes in."""
    message.leave = functools.partial(gate.leave, stack)
    message.resting = functools.partial(gate.resting, stack)
    _receive(listener, message)
    # One that could not be acknowledged, or has come twice, is not worked on.
    if not (listener.incoming and listener.incoming[-1].message is message):
        message.leave()


def subscribe(self: Consumer, connection: Any, tag: object) -> None:  # noqa: ANN401 # oslo.messaging's own
    """Forget what waits: on a new connection the broker delivers all of it once more, here or elsewhere.

    Not at the subscriptions after that of the checks' own queue, which delivers already.
    """
    if self.queue_name == WORK and hasattr(connection, "gate"):
        connection.gate.clear()
        # A channel that the broker has closed is opened again by its library, without a limit to what is delivered.
        connection._set_qos(connection.channel)
    _subscribe(self, connection, tag)


def process(self: RPCServer, incoming: Any) -> None:  # noqa: ANN401 # oslo.messaging's own
    """Handle a message; what is a check leaves its thread to another one at the end."""
    message = incoming[0].message
    if not hasattr(message, "leave"):
        _process(self, incoming)
        return
    _thread.resting = message.resting
    try:
        _process(self, incoming)
    finally:
        _thread.resting = nullcontext
        message.leave()


def sleep(self: scheduler.TaskRunner, wait_time: float | None) -> None:
    """Wait between two looks at what another service does; another check of the stack may work meanwhile.

    Every task sleeps for zero seconds after its first step: one that is about to work is no check that waits.
    """
    with getattr(_thread, "resting", nullcontext)() if wait_time else nullcontext():
        _sleep(self, wait_time)


def queued() -> int:
    """How many checks wait in the queue, by a passive declaration; 0 where the broker does not say.

    It does not answer then: what is sent waits for it anyway.
    """
    found: list[int] = []

    def ask() -> None:
        found.append(connection.channel.queue_declare(WORK, passive=True).message_count)

    try:
        with messaging.TRANSPORT._driver._get_connection(PURPOSE_SEND) as connection, connection._connection_lock:
            connection.ensure(ask, retry=0)
    except Exception:  # whatever the broker's library raises
        return 0
    return found[-1]


def send(
    self: worker_client.WorkerClient,
    ctxt: object,
    resource_id: object,
    current_traversal: str,
    *words: object,
    **named: object,
) -> None:
    """Send a check when there is room for it: of its stack only a few wait in this engine, and so in the others."""
    _room.enter(lambda: any(gate.waiting(current_traversal) >= checks_per_stack for gate in _gates))
    _send(self, ctxt, resource_id, current_traversal, *words, **named)


@functools.lru_cache(maxsize=2**16)
def unpack(text: str) -> Any:  # noqa: ANN401 # Heat's own
    """A node of the graph from its text, which each check reads for each other one of its stack.

    One thread at a time: Python 3.11's parser fails now and then when several parse at once (SystemError: AST
    constructor recursion depth mismatch, https://github.com/python/cpython/issues/106905), and with it the resource.
    """
    with _parsing:
        return _unpack(text)


def tell(self: heat.engine.stack.Stack, event: object) -> None:
    """Tell an event to those who want to hear it: where nobody does, no thread is needed for that."""
    if self.env.get_event_sinks():
        _tell(self, event)


def add_thread(self: Any, *words: object, **named: object) -> object:  # noqa: ANN401 # Heat's own
    """Start a thread for a stack. Those that have ended do not count: Heat refuses the thousandth."""
    with self._lock:
        self.threads[:] = [thread for thread in self.threads if thread.is_alive()]
    return _add_thread(self, *words, **named)


# What is replaced below, or relied upon, each as it has been read: the beginning of SHA-256 of its source.
READ = (
    (heat.engine.stack.Stack._converge_create_or_update, "c1a2abb0ff6c bff3d5ad4fa3 0f864423c656"),
    (heat.engine.stack.Stack.dispatch_event, "ae3ba20ca06d"),
    (sync_point.sync, "c077d6c02009 5e217150186f"),
    (sync_point._str_unpack_tuple, "06cd69b2e66c"),
    (scheduler.TaskRunner._sleep, "279b31027a61 042b66177b93"),
    (AMQPListener, "5b5d6ab91b36 2661eb8d033d"),
    (RpcAMQPListener, "76e3fb7e99af e067e26720db"),
    (RPCServer._process_incoming, "970d3b688adf 749d4e736f07 c4b521321581"),
)


def unknown() -> list[str]:
    """What is written otherwise here than it was read."""
    sources = ((thing.__qualname__, inspect.getsource(thing), digests) for thing, digests in READ)
    return [name for name, text, digests in sources if hashlib.sha256(text.encode()).hexdigest()[:12] not in digests]


if checks_per_stack:
    other = unknown()
    if other:
        print(f"Heat's own pace: this program does not know {', '.join(other)} of this release", file=sys.stderr)
    paced = not other
_subscribe, _process, _sleep = Consumer.consume, RPCServer._process_incoming, scheduler.TaskRunner._sleep
_send, _tell = worker_client.WorkerClient.check_resource, heat.engine.stack.Stack.dispatch_event
_unpack = sync_point._str_unpack_tuple
if paced:
    _room = Room(queued, QUEUED)
    RpcAMQPListener.__init__ = listen
    Consumer.consume = subscribe
    RPCServer._process_incoming = process
    scheduler.TaskRunner._sleep = sleep
    worker_client.WorkerClient.check_resource = send
    heat.engine.stack.Stack.dispatch_event = tell
    for name in ("heat.engine.stack", "heat.engine.snapshots"):
        # Both wait a second where Heat waits at all.
        if name in sys.modules:
            vars(sys.modules[name])["scheduler"] = SimpleNamespace(**{**vars(scheduler), "ENABLE_SLEEP": False})
    sync_point._str_unpack_tuple = unpack
    sync_point.sync = Together(sync_point.sync)
    _tenacity = sync_point.tenacity
    sync_point.tenacity = SimpleNamespace(
        **{**vars(_tenacity), "wait_random_exponential": lambda **_: _tenacity.wait_random(0, AGAIN)}
    )
    # Heat 24 has green threads, which count themselves.
    if hasattr(service, "ThreadWithCallback"):
        _add_thread = service.ThreadGroup.add_thread
        service.ThreadGroup.add_thread = add_thread
AMQPListener.stop = stop
RpcAMQPListener.__call__ = receive
if version("openstack-heat").partition(".")[0] in KNOWN:
    Resource._action_recorder = noted(Resource._action_recorder)
    Resource.lock = noted(Resource.lock)
    StackLock.create = acquiring(StackLock.create)
    StackLock.steal = acquiring(StackLock.steal)
    StackLock.release = releasing(StackLock.release)
    Stack.persist_state_and_release_lock = releasing(Stack.persist_state_and_release_lock)
    EngineListener.locks_held = locks_held

# As the programs of its workers are called.
sys.argv[0] = "heat-engine"
main()
