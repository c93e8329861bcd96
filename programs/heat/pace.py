"""How much of a stack is worked on at once. It needs neither Heat nor a broker.

Heat works on a stack by checks: one message for each resource, to whichever engine is free. Where many resources can
start at once, Heat's own engine sends one message a second, so that no engine is given more than it can carry. Here the
engines' own room is the measure: a message goes out when the queue is nearly empty (`Room`), an engine takes one from
the queue only when it has a thread for it, and shares its threads among the stacks (`Gate`). What many checks have to
write into one row goes there together (`Together`).
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
    """Which of the messages that wait in an engine begins next.

    A stack has at most `each` checks at work at once. Beside them it may have some that only wait for another service;
    with these it holds at most as many threads as it leaves free, so that a stack that comes later finds one. Stacks
    take turns.

    Args:
        threads: how many the engine has for checks.
        each: how many checks of one stack work at once.
    """

    def __init__(self, threads: int, each: int) -> None:
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._threads, self._each = threads, each
        self._waiting: OrderedDict[str, deque[Message]] = OrderedDict()
        self._working: Counter[str] = Counter()
        self._held: Counter[str] = Counter()

    def put(self, stack: str, message: Message) -> None:
        """Let a message wait."""
        with self._lock:
            self._waiting.setdefault(stack, deque()).append(message)

    def waits(self) -> bool:
        """Whether any message waits."""
        with self._lock:
            return bool(self._waiting)

    def waiting(self, stack: str) -> int:
        """How many messages of this stack wait."""
        with self._lock:
            return len(self._waiting.get(stack, ()))

    def clear(self) -> list[Message]:
        """Forget the messages that wait; which they were."""
        with self._lock:
            gone = [message for waiting in self._waiting.values() for message in waiting]
            self._waiting.clear()
            return gone

    def wait(self, seconds: float) -> None:
        """Wait until a message may begin, so many seconds at most."""
        with self._left:
            self._left.wait_for(lambda: self._next() is not None, seconds)

    def _next(self) -> str | None:
        """The stack whose turn it is, of those that may have one more check."""
        free = self._threads - sum(self._held.values())
        for stack in self._waiting:
            if self._working[stack] < self._each and self._held[stack] < free:
                return stack
        return None

    def take(self) -> tuple[str, Message] | None:
        """The next stack and message that may begin, which holds a thread from now on; None where none may."""
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

    def leave(self, stack: str) -> None:
        """A check of this stack is done: its thread is free."""
        with self._left:
            _less(self._working, stack)
            _less(self._held, stack)
            self._left.notify()

    @contextmanager
    def resting(self, stack: str) -> Iterator[None]:
        """A check of this stack only waits meanwhile, and another may work."""
        with self._left:
            _less(self._working, stack)
            self._left.notify()
        try:
            yield
        finally:
            with self._lock:
                self._working[stack] += 1


def _less(counts: Counter[str], what: str) -> None:
    """Count down; what is zero is not kept, as stacks come and go."""
    counts[what] -= 1
    if counts[what] <= 0:
        del counts[what]


class Room:
    """Holds messages back until their queue has room for them.

    Args:
        waiting: how many messages wait in the queue.
        most: how many may.
        longest: seconds that one message is held back at most: Heat's own pace.
    """

    # Seconds between two looks, the first and the longest.
    FIRST, LAST = 0.01, 0.05
    # Seconds that what was seen is believed: that there is room, and that there is none.
    FREE, FULL = 0.05, 0.01

    def __init__(self, waiting: Callable[[], int], most: int, longest: float = 1.0) -> None:
        self._waiting, self._most, self._longest = waiting, most, longest
        self._lock = threading.Lock()
        self._credit, self._until = 0, 0.0

    def enter(self, crowded: Callable[[], bool] = lambda: False) -> None:
        """Return when one more message may go: the queue has room, and its stack is not `crowded`."""
        deadline, pause = time.monotonic() + self._longest, self.FIRST
        while (crowded() or not self._has_room()) and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, self.LAST)

    def _has_room(self) -> bool:
        with self._lock:
            if time.monotonic() >= self._until:
                self._credit = self._most - self._waiting()
                self._until = time.monotonic() + (self.FREE if self._credit > 0 else self.FULL)
            if self._credit > 0:
                self._credit -= 1
                # What was seen has been used up.
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
        """What one more thread has to write; `more` are mappings, and truths that hold once they were said."""
        self.data.update(data or {})
        for name, value in more.items():
            before = self.more.get(name)
            self.more[name] = {**(before or {}), **value} if isinstance(value, Mapping) else before or value


class Together:
    """Writes what several threads have for the same row at once: the first of them does, for all.

    A thread returns when what it had is written, as if it had written alone.

    Args:
        sync: what writes, as heat.engine.sync_point.sync.
    """

    def __init__(self, sync: Callable[..., None]) -> None:
        self._sync = sync
        self._guard = threading.Lock()
        # The batches that may still grow, and who writes to a row or is about to.
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
        """Write `new_data`, and what failed where this release of Heat has that, into one row; go on from there."""
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
        """Nobody else in this process writes to the row meanwhile."""
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
        """Let nothing more into a batch: who comes from now on begins another one."""
        with self._guard:
            if self._open.get(row) is batch:
                del self._open[row]
