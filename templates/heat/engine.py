"""heat-engine, with two changes. Run by Heat's own Python.

It gives back to the broker what it is still sent while it stops.

oslo.messaging's server remains a consumer until its last handler has ended, and acknowledges what comes in until then,
although nobody takes it up any more: the stack or the request that it belongs to waits for ever. Here a server that is
told to stop is a consumer no longer, and another engine gets what was on its way.

It tells the caretaker, which asks over the broker, what it holds locks of. An engine whose database refuses a write
leaves a lock behind that it no longer knows of, and nobody else takes a lock from an engine that lives.
"""

import sys

# First of all: in some releases it replaces parts of Python's own library.
from heat.cmd.engine import main  # isort: skip

import functools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from heat.engine.resource import Resource
from heat.engine.service import EngineListener
from heat.objects.stack import Stack
from heat.objects.stack_lock import StackLock
from oslo_messaging._drivers.amqpdriver import AMQPListener, RpcAMQPListener
from oslo_messaging._drivers.impl_rabbit import RabbitMessage

_stop = AMQPListener.stop
_receive = RpcAMQPListener.__call__


def stop(self: AMQPListener) -> None:
    """End the polling thread, as ever; then tell the broker, on the connection that nobody polls now."""
    _stop(self)
    with self.conn._connection_lock:
        for consumer, tag in self.conn._consumers.items():
            consumer.cancel(tag)


def receive(self: RpcAMQPListener, message: RabbitMessage) -> None:
    """Take a message, or give it back."""
    if self._shutdown.is_set():
        message.requeue()
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
    """What the caretaker asks: templates/heat/records.py."""
    with _guard:
        return list(_held)


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
