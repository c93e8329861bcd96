"""heat-engine, with changes of three kinds. Run by Heat's own Python.

While it stops, it returns new messages to the broker. oslo.messaging's server remains a consumer until its last handler
has ended, and acknowledges messages until then that nothing handles any more: their stacks and requests wait for ever.
Here a stopping server stops consuming at once, and another engine gets the messages.

It reports its locks to the caretaker, which asks over the broker. An engine whose database refuses a write leaves a
lock behind that it has forgotten, and no other engine takes a lock from a living engine.

It works on a stack as fast as the engines have capacity, as pace.py explains. CHECKS_PER_STACK in its environment is
the number of a stack's resources that it works on at once. 0 or nothing is Heat's own pace.
"""

import sys

# First: in some releases this import replaces parts of Python's own library.
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
from heat.engine.resources.stack_resource import StackResource
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
    """End the polling thread, as before; then cancel the consumers, on the connection that no thread polls any more."""
    _stop(self)
    with self.conn._connection_lock:
        for consumer, tag in self.conn._consumers.items():
            consumer.cancel(tag)
        for message in gate_of(self).clear():
            message.requeue()


def receive(self: RpcAMQPListener, message: RabbitMessage) -> None:
    """Take a message, or return it to the broker."""
    if self._shutdown.is_set():
        message.requeue()
    elif (stack := traversal_of(message)) and paced:
        gate_of(self).put(stack, message)
    else:
        _receive(self, message)


# The releases whose code has been reviewed: a resource is locked only within `_action_recorder` and `lock`, and a stack
# only by StackLock's methods. An engine of another release does not report its locks, and keeps them.
RELEASES_WITH_REVIEWED_LOCKS = ("24", "25", "26", "27")

_guard = threading.Lock()
# The number of threads that hold, or are about to take, the lock of "resource ID" or "stack ID".
_held: Counter[str] = Counter()


def note_lock(what: str) -> None:
    """Note a lock, before it is in the database."""
    with _guard:
        _held[what] += 1


def forget_lock(what: str) -> None:
    """Note that this engine does nothing under a lock any more, whether the lock is still in the database or not."""
    with _guard:
        _held[what] -= 1
        if _held[what] <= 0:
            del _held[what]


def noting_lock(locking: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a context manager that locks a resource."""

    @contextmanager
    @functools.wraps(locking)
    def within(self: Resource, *words: Any, **named: Any) -> Iterator[None]:  # noqa: ANN401 # Heat's own
        what = f"resource {self.id}"
        note_lock(what)
        try:
            with locking(self, *words, **named):
                yield
        finally:
            forget_lock(what)

    return within


def noting_stack_lock(method: Any) -> Any:  # noqa: ANN401 # Heat's own
    """Wrap a class method that takes a stack's lock, and returns None unless another engine has the lock."""

    def acquire(_: object, context: object, stack_id: str, *words: str) -> object:
        what, got = f"stack {stack_id}", False
        note_lock(what)
        try:
            result = method(context, stack_id, *words)
            got = result is None
            return result
        finally:
            if not got:
                forget_lock(what)

    return classmethod(acquire)


def dropping_stack_lock(method: Any) -> Any:  # noqa: ANN401 # Heat's own
    """Wrap a class method after which this engine does nothing under a stack's lock."""

    def release(_: object, context: object, stack_id: str, *words: object) -> object:
        try:
            return method(context, stack_id, *words)
        finally:
            forget_lock(f"stack {stack_id}")

    return classmethod(release)


def locks_held(_self: EngineListener, _context: object) -> list[str]:
    """Report this engine's locks, and whether checks wait here, to the caretaker: programs/heat/records.py."""
    with _guard:
        locks = list(_held)
    wait = any(gate.has_waiting() for gate in _gates)
    return [*locks, "checks wait" if wait else "no checks wait"] if paced else locks


# The queue of the checks: heat.rpc.worker_api.TOPIC.
CHECKS_QUEUE = "engine_worker"
# The number of checks in the queue from which senders wait; engines hold more.
QUEUED = 4
# Seconds: the longest pause between two looks at the connection while checks wait, and the length of a look.
PAUSE, LOOK = 0.05, 0.001
# The longest wait in seconds before a write is repeated because another engine has written to the row. Heat's own
# engine waits for up to ten seconds, because each check writes separately there.
RETRY = 0.05
# Seconds between the first two looks at a nested stack. Each further wait is twice as long, up to Heat's own second.
FIRST_LOOK = 0.1

checks_per_stack = int(os.environ.get("CHECKS_PER_STACK") or 0)
paced = False
_gates: list[Gate[RabbitMessage]] = []
_thread = threading.local()
_parsing = threading.Lock()


def traversal_of(message: RabbitMessage) -> str:
    """The id of the traversal that a check belongs to, which stands for the stack; "" for another message."""
    is_check = message.get("method") in ("check_resource", "check_resource_delete_snapshot")
    return str(message["args"].get("current_traversal") or "") if is_check else ""


def gate_of(listener: AMQPListener) -> Gate[RabbitMessage]:
    """The checks that wait at a listener, unacknowledged: if this engine dies, another engine gets them."""
    if not hasattr(listener, "gate"):
        # One thread is reserved for other messages, such as a cancellation. A single thread is for checks.
        listener.gate = Gate(max(1, cfg.CONF.executor_thread_pool_size - 1), checks_per_stack)
        listener.conn.connection.gate = listener.gate
        _gates.append(listener.gate)
    gate: Gate[RabbitMessage] = listener.gate
    return gate


def listen(self: RpcAMQPListener, *words: object, **named: object) -> None:
    """Have checks begin whenever the connection is about to be read."""
    AMQPListener.__init__(self, *words, **named)
    # The broker sends no more checks to a worker while this many wait there: they go to a worker that is free.
    connection = self.conn.connection
    connection.rabbit_qos_prefetch_count = checks_per_stack
    connection._set_qos(connection.channel)
    self.conn.consume = functools.partial(consume, self, self.conn.consume)


def consume(listener: RpcAMQPListener, read: Callable[..., None], timeout: float | None = None) -> None:
    """Begin the checks that may begin; without any, wait for messages. Runs in the polling thread, which acknowledges.

    Nothing begins on a broken connection before it is subscribed again: the broker delivers the waiting messages to
    another engine, and an acknowledgement would have no effect, or be for another message.
    """
    gate = gate_of(listener)
    if not gate.has_waiting() or listener.conn._new_tags:
        read(timeout=timeout)
    else:
        gate.wait(PAUSE)
        # A check of another stack may begin before the waiting ones.
        with suppress(Timeout):
            read(timeout=LOOK)
    while not listener.conn._new_tags and (found := gate.take()):
        begin(listener, gate, *found)


def begin(listener: RpcAMQPListener, gate: Gate[RabbitMessage], stack: str, message: RabbitMessage) -> None:
    """Handle a check that waited, as oslo.messaging handles a new message."""
    message.finish = functools.partial(gate.finish, stack)
    message.paused = functools.partial(gate.paused, stack)
    _receive(listener, message)
    # A message that could not be acknowledged, or is a duplicate, is not handled.
    if not (listener.incoming and listener.incoming[-1].message is message):
        message.finish()


def subscribe(self: Consumer, connection: Any, tag: object) -> None:  # noqa: ANN401 # oslo.messaging's own
    """Drop the waiting checks: on a new connection the broker delivers all of them again, here or to another engine.

    Only at the subscription to the checks' own queue: at later subscriptions that queue delivers already.
    """
    if self.queue_name == CHECKS_QUEUE and hasattr(connection, "gate"):
        connection.gate.clear()
        # The library reopens a channel that the broker has closed, without a limit on unacknowledged messages.
        connection._set_qos(connection.channel)
    _subscribe(self, connection, tag)


def process(self: RPCServer, incoming: Any) -> None:  # noqa: ANN401 # oslo.messaging's own
    """Handle a message; a check returns its thread to the gate at the end."""
    message = incoming[0].message
    if not hasattr(message, "finish"):
        _process(self, incoming)
        return
    _thread.paused = message.paused
    try:
        _process(self, incoming)
    finally:
        _thread.paused = nullcontext
        message.finish()


def sleep(self: scheduler.TaskRunner, wait_time: float | None) -> None:
    """Wait between two looks at another service's progress; meanwhile another check of the stack may work.

    Every task sleeps for zero seconds after its first step. That is no wait.
    """
    with getattr(_thread, "paused", nullcontext)() if wait_time else nullcontext():
        _sleep(self, wait_for_nested(self, wait_time) if wait_time else wait_time)


def wait_for_nested(runner: scheduler.TaskRunner, wait_time: float) -> float:
    """How long to wait until the next look at a nested stack, which an engine may complete in less than a second.

    A look at it is a query of Heat's database. A look at anything else is a request to another service, and costs more:
    there the time stays as it is.
    """
    if not isinstance(getattr(runner._task, "__self__", None), StackResource):
        return wait_time
    waited: float = getattr(runner, "waited", FIRST_LOOK / 2)
    runner.waited = 2 * waited
    return min(2 * waited, wait_time)


def queued() -> int:
    """The number of checks in the queue, by a passive declaration; 0 if the broker does not answer.

    A message to such a broker waits anyway.
    """
    found: list[int] = []

    def ask() -> None:
        found.append(connection.channel.queue_declare(CHECKS_QUEUE, passive=True).message_count)

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
    """Send a check when the queue has room for it. The first checks of a stack are sent at once."""
    _room.wait(current_traversal)
    _send(self, ctxt, resource_id, current_traversal, *words, **named)


@functools.lru_cache(maxsize=2**16)
def unpack(text: str) -> Any:  # noqa: ANN401 # Heat's own
    """Parse a node of the graph. Each check parses all nodes of its stack, so the results are cached.

    One thread at a time: Python 3.11's parser fails now and then when several threads parse (SystemError: AST
    constructor recursion depth mismatch, https://github.com/python/cpython/issues/106905), and with it the resource.
    """
    with _parsing:
        return _unpack(text)


def dispatch_event(self: heat.engine.stack.Stack, event: object) -> None:
    """Dispatch an event if the stack has event sinks. Without a sink no thread is needed."""
    if self.env.get_event_sinks():
        _dispatch_event(self, event)


def add_thread(self: Any, *words: object, **named: object) -> object:  # noqa: ANN401 # Heat's own
    """Start a thread for a stack. Drop ended threads before: Heat refuses the thousandth thread."""
    with self._lock:
        self.threads[:] = [thread for thread in self.threads if thread.is_alive()]
    return _add_thread(self, *words, **named)


# The code that is replaced below or relied upon: the beginnings of the SHA-256 of the reviewed sources.
KNOWN_SOURCES = (
    (heat.engine.stack.Stack._converge_create_or_update, "c1a2abb0ff6c bff3d5ad4fa3 0f864423c656"),
    (heat.engine.stack.Stack.dispatch_event, "ae3ba20ca06d"),
    (sync_point.sync, "c077d6c02009 5e217150186f"),
    (sync_point._str_unpack_tuple, "06cd69b2e66c"),
    (scheduler.TaskRunner._sleep, "279b31027a61 042b66177b93"),
    (AMQPListener, "5b5d6ab91b36 2661eb8d033d"),
    (RpcAMQPListener, "76e3fb7e99af e067e26720db"),
    (RPCServer._process_incoming, "970d3b688adf 749d4e736f07 c4b521321581"),
)


def unknown_sources() -> list[str]:
    """The names of the code that differs from the reviewed sources."""
    sources = ((thing.__qualname__, inspect.getsource(thing), digests) for thing, digests in KNOWN_SOURCES)
    return [name for name, text, digests in sources if hashlib.sha256(text.encode()).hexdigest()[:12] not in digests]


if checks_per_stack:
    differing = unknown_sources()
    if differing:
        print(f"Heat's own pace: this program does not know {', '.join(differing)} of this release", file=sys.stderr)
    paced = not differing
_subscribe, _process, _sleep = Consumer.consume, RPCServer._process_incoming, scheduler.TaskRunner._sleep
_send, _dispatch_event = worker_client.WorkerClient.check_resource, heat.engine.stack.Stack.dispatch_event
_unpack = sync_point._str_unpack_tuple
if paced:
    _room = Room(queued, QUEUED, free=checks_per_stack)
    RpcAMQPListener.__init__ = listen
    Consumer.consume = subscribe
    RPCServer._process_incoming = process
    scheduler.TaskRunner._sleep = sleep
    worker_client.WorkerClient.check_resource = send
    heat.engine.stack.Stack.dispatch_event = dispatch_event
    for name in ("heat.engine.stack", "heat.engine.snapshots"):
        # Both modules wait a second where Heat waits at all.
        if name in sys.modules:
            vars(sys.modules[name])["scheduler"] = SimpleNamespace(**{**vars(scheduler), "ENABLE_SLEEP": False})
    sync_point._str_unpack_tuple = unpack
    sync_point.sync = Together(sync_point.sync)
    _tenacity = sync_point.tenacity
    sync_point.tenacity = SimpleNamespace(
        **{**vars(_tenacity), "wait_random_exponential": lambda **_: _tenacity.wait_random(0, RETRY)}
    )
    # Heat 24 uses green threads, which are dropped when they end.
    if hasattr(service, "ThreadWithCallback"):
        _add_thread = service.ThreadGroup.add_thread
        service.ThreadGroup.add_thread = add_thread
AMQPListener.stop = stop
RpcAMQPListener.__call__ = receive
if version("openstack-heat").partition(".")[0] in RELEASES_WITH_REVIEWED_LOCKS:
    Resource._action_recorder = noting_lock(Resource._action_recorder)
    Resource.lock = noting_lock(Resource.lock)
    StackLock.create = noting_stack_lock(StackLock.create)
    StackLock.steal = noting_stack_lock(StackLock.steal)
    StackLock.release = dropping_stack_lock(StackLock.release)
    Stack.persist_state_and_release_lock = dropping_stack_lock(Stack.persist_state_and_release_lock)
    EngineListener.locks_held = locks_held

# As the programs of its workers are called.
sys.argv[0] = "heat-engine"
main()
