"""The pace at which engines work on a stack. Tests need neither Heat nor a broker.

Heat works on a stack by checks: one message for each resource, to any free engine. If many resources can start at once,
Heat's own engine sends one message a second, so that no engine gets more than it can carry. Here the engines' capacity
sets the pace: a message is sent when the queue is nearly empty (`Room`), and an engine takes a message from the queue
only when it has a thread for it, and shares its threads among the stacks (`Gate`). What many checks write into one row
is written together (`Together`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Message = TypeVar("Message")


class Gate(Generic[Message]):
    """The messages that wait in an engine, and which of them begins next.

    A stack has at most `each` working checks at once, and all stacks together have at most twice as many. A stack may
    have further checks that only wait for another service. With these it holds at most as many threads as it leaves
    free, so that a later stack finds a thread. Stacks alternate.

    Args:
        threads: the number of the engine's threads for checks.
        each: the number of checks of one stack that work at once.
    """

    # All stacks together, as a multiple of one stack. More threads that work only take turns on one core, and each turn
    # costs CPU time: docs/performance.md.
    TOGETHER = 2

    def __init__(self, threads: int, each: int) -> None:
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._threads, self._each = threads, each
        self._waiting: OrderedDict[str, deque[Message]] = OrderedDict()
        self._working: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    def put(self, stack: str, message: Message) -> None:
        """Add a waiting message."""
        with self._lock:
            self._waiting.setdefault(stack, deque()).append(message)

    def has_waiting(self) -> bool:
        """Whether any message waits."""
        with self._lock:
            return bool(self._waiting)

    def clear(self) -> list[Message]:
        """Remove and return the waiting messages."""
        with self._lock:
            gone = [message for waiting in self._waiting.values() for message in waiting]
            self._waiting.clear()
            return gone

    def wait(self, seconds: float) -> None:
        """Wait until a message may begin, for this many seconds at most."""
        with self._left:
            self._left.wait_for(lambda: self._next() is not None, seconds)

    def _next(self) -> str | None:
        """The next stack that may have one more check."""
        if sum(self._working.values()) >= self.TOGETHER * self._each:
            return None
        free = self._threads - sum(self._held.values())
        for stack in self._waiting:
            if self._working[stack] < self._each and self._held[stack] < free:
                return stack
        return None

    def take(self) -> tuple[str, Message] | None:
        """Take the next message that may begin, with its stack, and a thread for it; None if there is none."""
        with self._lock:
            stack = self._next()
            if stack is None:
                return None
            waiting = self._waiting[stack]
            message = waiting.popleft()
            if waiting:
                self._waiting.move_to_end(stack)
            else:
                del self._waiting[stack]
            self._working[stack] += 1
            self._held[stack] += 1
            return stack, message

    def finish(self, stack: str) -> None:
        """Note that a check of this stack is done, and its thread is free."""
        with self._left:
            _decrement(self._working, stack)
            _decrement(self._held, stack)
            self._left.notify()

    @contextmanager
    def paused(self, stack: str) -> Iterator[None]:
        """Within this context a check of the stack only waits, and another one may work."""
        with self._left:
            _decrement(self._working, stack)
            self._left.notify()
        try:
            yield
        finally:
            with self._lock:
                self._working[stack] += 1


def _decrement(counts: Counter[str], what: str) -> None:
    """Decrease a count, and drop it at zero."""
    counts[what] -= 1
    if counts[what] <= 0:
        del counts[what]


class Room:
    """Delays messages until their queue has room for them.

    The first messages of each stack are not delayed, so that a small stack does not compete with a large one.

    Args:
        waiting: returns the number of messages in the queue.
        most: the number of messages that may wait in the queue.
        free: the number of messages of each stack that are not delayed.
        longest: the longest delay of a message, in seconds: Heat's own pace.
    """

    # Seconds between two looks at the queue, the first and the longest.
    FIRST, LAST = 0.01, 0.05
    # Seconds that a look is valid: one that found room, and one that found none.
    FREE, FULL = 0.05, 0.01
    # The number of stacks whose messages are counted. The stack with the oldest message is forgotten first.
    STACKS = 1000

    def __init__(self, waiting: Callable[[], int], most: int, free: int = 0, longest: float = 1.0) -> None:
        self._waiting, self._most, self._free, self._longest = waiting, most, free, longest
        self._lock = threading.Lock()
        self._credit, self._until = 0, 0.0
        self._sent: OrderedDict[str, int] = OrderedDict()

    def wait(self, stack: str) -> None:
        """Wait until one more message of this stack may be sent."""
        if self._is_free(stack):
            return
        deadline, pause = time.monotonic() + self._longest, self.FIRST
        while not self._has_room() and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, self.LAST)

    def _is_free(self, stack: str) -> bool:
        with self._lock:
            sent = self._sent[stack] = self._sent.pop(stack, 0) + 1
            if len(self._sent) > self.STACKS:
                self._sent.popitem(last=False)
            return sent <= self._free

    def _has_room(self) -> bool:
        with self._lock:
            if time.monotonic() >= self._until:
                self._credit = self._most - self._waiting()
                self._until = time.monotonic() + (self.FREE if self._credit > 0 else self.FULL)
            if self._credit > 0:
                self._credit -= 1
                # The room that was found is used up.
                if not self._credit:
                    self._until = 0.0
                return True
            return False


class _Batch:
    def __init__(self) -> None:
        self.data: dict[Any, Any] = {}
        self.more: dict[str, Any] = {}
        self.done = threading.Event()
        self.error: BaseException | None = None

    def add(self, data: Mapping[Any, Any] | None, more: Mapping[str, Any]) -> None:
        """Add the data of one more thread; `more` are mappings, and booleans that stay true once they are true."""
        self.data.update(data or {})
        for name, value in more.items():
            before = self.more.get(name)
            self.more[name] = {**(before or {}), **value} if isinstance(value, Mapping) else before or value


class Together:
    """Combines the writes of several threads to the same row: the first thread writes for all.

    A thread returns when its data are written, as if it had written alone.

    Args:
        sync: the function that writes: heat.engine.sync_point.sync.
    """

    def __init__(self, sync: Callable[..., None]) -> None:
        self._sync = sync
        self._guard = threading.Lock()
        # The batches that may still grow, and for each row the threads that write or wait to write.
        self._open: dict[tuple[object, ...], _Batch] = {}
        self._rows: dict[tuple[object, ...], tuple[threading.Lock, list[None]]] = {}

    def __call__(  # noqa: PLR0917 # Heat's own
        self,
        cnxt: object,
        entity_id: object,
        current_traversal: object,
        is_update: object,
        propagate: object,
        predecessors: object,
        new_data: Mapping[Any, Any] | None,
        **more: object,
    ) -> None:
        """Write `new_data`, and the failures if this release of Heat has them, into one row, and propagate."""
        row = (entity_id, current_traversal, is_update)
        with self._guard:
            found = self._open.get(row)
            batch = self._open[row] = found or _Batch()
            batch.add(new_data, more)
        if found:
            batch.done.wait()
            if batch.error is not None:
                raise batch.error
            return
        try:
            with self._alone(row):
                self._close(row, batch)
                self._sync(cnxt, *row, propagate, predecessors, batch.data, **batch.more)
        except BaseException as error:
            batch.error = error
            raise
        finally:
            self._close(row, batch)
            batch.done.set()

    @contextmanager
    def _alone(self, row: tuple[object, ...]) -> Iterator[None]:
        """Within this context no other thread of this process writes to the row."""
        with self._guard:
            lock, users = self._rows.setdefault(row, (threading.Lock(), []))
            users.append(None)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                users.pop()
                if not users:
                    del self._rows[row]

    def _close(self, row: tuple[object, ...], batch: _Batch) -> None:
        """Close a batch: a later thread begins another one."""
        with self._guard:
            if self._open.get(row) is batch:
                del self._open[row]
