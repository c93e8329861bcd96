"""programs/heat/pace.py: which check begins next, when a check may be sent, and which writes are combined."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import pace
from pace import Gate, Room, Together

SOON = 10


def gate(threads: int, each: int, *stacks: str) -> Gate[int]:
    """A gate at which these stacks' messages wait, numbered as they came."""
    made = Gate[int](threads, each)
    for number, stack in enumerate(stacks):
        made.put(stack, number)
    return made


def begun(made: Gate[int]) -> str:
    """The stacks of all that may begin, in turn."""
    stacks = ""
    while found := made.take():
        stacks += found[0]
    return stacks


@pytest.mark.parametrize(
    ("threads", "each", "waiting", "begins"),
    [
        (63, 2, "aaaa", "aa"),
        (63, 1, "aaaa", "a"),
        (63, 8, "aaa", "aaa"),
        (63, 2, "aaabbb", "abab"),
        (63, 3, "aaaabcc", "abcaca"),
        (63, 8, "", ""),
        # All stacks together have twice as many checks as one stack may have.
        (63, 2, "aabbcc", "abca"),
        (63, 1, "abc", "ab"),
        # A stack leaves as many threads free as it holds, rounded down; the last goes to one that has none.
        (1, 8, "aaab", "a"),
        (2, 8, "aaab", "ab"),
        (3, 8, "aaaa", "aa"),
        (4, 8, "aaaab", "aba"),
        (7, 8, "aaaaaaaab", "abaa"),
        (63, 1000, "a" * 100, "a" * 32),
    ],
)
def test_stacks_alternate_and_each_is_bounded_and_leaves_threads_to_others(
    threads: int, each: int, waiting: str, begins: str
) -> None:
    assert begun(gate(threads, each, *waiting)) == begins


def test_a_later_stack_gets_threads_that_an_earlier_one_leaves_free() -> None:
    made = gate(8, 1000, *"aaaaaaaa")
    assert begun(made) == "aaaa"
    for number, stack in enumerate("bbbb"):
        made.put(stack, number)
    assert begun(made) == "bb"
    made.put("c", 0)
    assert begun(made) == "c"


def test_checks_of_a_stack_begin_as_they_came() -> None:
    made = gate(63, 8, *"aba")
    assert [made.take() for _ in range(4)] == [("a", 0), ("b", 1), ("a", 2), None]


def test_a_check_that_only_waits_makes_room_for_another_stack() -> None:
    made = gate(63, 1, *"abc")
    assert begun(made) == "ab"
    with made.paused("a"):
        assert begun(made) == "c"


def test_a_check_that_ends_makes_room_for_the_next_of_its_stack() -> None:
    made = gate(63, 2, *"aaaab")
    assert begun(made) == "aba"
    made.finish("b")
    assert begun(made) == ""
    made.finish("a")
    assert begun(made) == "a"


def test_a_check_that_only_waits_lets_another_work_and_keeps_its_thread() -> None:
    made = gate(4, 1, *"aaaa")
    assert begun(made) == "a"
    with made.paused("a"):
        assert begun(made) == "a"
        with made.paused("a"):
            # Two of four threads are held.
            assert begun(made) == ""
    assert begun(made) == ""
    made.finish("a")
    # The other one still works.
    assert begun(made) == ""
    made.finish("a")
    assert begun(made) == "a"


def test_a_check_that_fails_while_it_waits_counts_as_working_again() -> None:
    made = gate(63, 1, *"aa")
    assert begun(made) == "a"
    with pytest.raises(ValueError, match="service"), made.paused("a"):
        raise ValueError("service")
    assert begun(made) == ""


def test_what_waits_can_be_forgotten_and_what_works_is_still_counted() -> None:
    made = gate(63, 1, *"aabab")
    assert made.has_waiting()
    assert begun(made) == "ab"
    assert sorted(made.clear()) == [1, 3, 4]
    assert not made.has_waiting()
    assert made.clear() == []
    made.put("a", 5)
    assert begun(made) == ""
    made.finish("a")
    assert begun(made) == "a"


def test_nothing_is_kept_of_complete_stacks() -> None:
    made = gate(63, 2, *"aab")
    for stack in begun(made):
        with made.paused(stack):
            pass
        made.finish(stack)
    assert (made._waiting, made._working, made._held) == ({}, {}, {})


@pytest.mark.parametrize("rests", [True, False])
def test_a_waiting_thread_is_notified_when_a_check_may_begin(rests: bool) -> None:
    made = gate(4, 1, "a", "a")
    made.take()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(made.wait, SOON)
        if rests:
            with made.paused("a"):
                waiting.result(SOON / 2)
        else:
            made.finish("a")
            waiting.result(SOON / 2)


class Clock:
    """Replaces the module `time`: sleeping only advances and records its own time."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def looking(*waiting: int) -> tuple[Callable[[], int], list[int]]:
    """What a queue holds at each look; the last value stays. And the looks."""
    looks: list[int] = []

    def look() -> int:
        looks.append(waiting[min(len(looks), len(waiting) - 1)])
        return looks[-1]

    return look, looks


def test_one_look_at_the_queue_lets_as_many_go_as_there_is_room_for(clock: Clock) -> None:
    look, looks = looking(5)
    room = Room(look, most=8)
    for _ in range(3):
        room.wait("t")
    assert (looks, clock.slept) == ([5], [])
    room.wait("t")
    assert (looks, clock.slept) == ([5, 5], [])


@pytest.mark.parametrize("waiting", [8, 9, 1000])
def test_a_check_is_held_back_until_the_queue_has_room(clock: Clock, waiting: int) -> None:
    look, looks = looking(waiting, waiting, 7)
    Room(look, most=8).wait("t")
    assert looks == [waiting, waiting, 7]
    assert clock.slept == [Room.FIRST, 2 * Room.FIRST]


@pytest.mark.parametrize("longest", [0.0, 0.5, 1.0])
def test_no_check_is_held_back_for_longer_than_by_heat(clock: Clock, longest: float) -> None:
    before = clock.now
    Room(lambda: 1000, most=8, longest=longest).wait("t")
    assert longest <= clock.now - before < longest + Room.LAST
    assert max(clock.slept, default=0.0) <= Room.LAST


def test_a_look_at_the_queue_is_valid_for_a_short_time(clock: Clock) -> None:
    look, looks = looking(0)
    room = Room(look, most=8)
    room.wait("t")
    clock.now += 2 * Room.FREE
    room.wait("t")
    assert looks == [0, 0]


def test_many_held_back_checks_look_as_often_as_one(clock: Clock) -> None:
    look, looks = looking(8)
    room = Room(look, most=8, longest=0)
    for _ in range(10):
        room.wait("t")
    assert looks == [8]
    clock.now += Room.FULL
    room.wait("t")
    assert looks == [8, 8]


def test_the_first_messages_of_each_stack_are_not_delayed(clock: Clock) -> None:
    look, looks = looking(1000)
    room = Room(look, most=8, free=3)
    for stack in "aabbab":
        room.wait(stack)
    assert (looks, clock.slept) == ([], [])
    room.wait("a")
    assert clock.slept
    delays = len(clock.slept)
    room.wait("c")
    assert len(clock.slept) == delays


def test_a_stack_is_forgotten_when_many_others_have_sent_since(clock: Clock) -> None:
    room = Room(lambda: 1000, most=8, free=1)
    room.wait("old")
    for number in range(Room.STACKS):
        room.wait(f"{number}")
    room.wait("old")
    assert not clock.slept
    room.wait("old")
    assert clock.slept


def test_a_look_that_fails_lets_the_next_one_look(clock: Clock) -> None:
    def look() -> int:
        clock.now += 1
        raise OSError("broker")

    room = Room(look, most=8)
    for _ in range(2):
        with pytest.raises(OSError, match="broker"):
            room.wait("t")


def test_many_threads_look_one_at_a_time_and_as_often_as_their_number_needs() -> None:
    lock, looks = threading.Lock(), list[int]()

    def look() -> int:
        assert lock.acquire(blocking=False)
        looks.append(4)
        lock.release()
        return 4

    room = Room(look, most=8)
    with ThreadPoolExecutor(16) as threads:
        results([threads.submit(room.wait, "t") for _ in range(64)])
    assert len(looks) >= 64 / 4


def wait_for(what: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    waited = threading.Event()
    for _ in range(SOON * 200):
        if what():
            return
        waited.wait(0.005)
    pytest.fail("it has not come")


def results(them: Iterable[Future[Any]]) -> list[Any]:
    return [one.result(SOON) for one in them]


class Row:
    """A sync point that is written to when `go` is set; `wrote` are the calls."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()
        self.wrote: list[tuple[Any, ...]] = []
        self.error: BaseException | None = None
        self.together = Together(self.sync)

    def sync(self, cnxt: object, entity_id: object, *words: Any, **more: Any) -> None:
        self.began.set()
        assert self.go.wait(SOON)
        self.wrote.append((entity_id, cnxt, words[-1], *([more] if more else [])))
        if self.error:
            raise self.error

    def write(self, number: int, entity: object = "row", **more: Any) -> None:
        self.together(f"context {number}", entity, "traversal", True, None, {1, 2, 3}, {number: "data"}, **more)

    def waiting(self) -> int:
        """How many items wait in batches that still grow."""
        return sum(len(batch.data) for batch in self.together._open.values())


def first_writes(row: Row, threads: ThreadPoolExecutor, others: int, **more: Any) -> list[Future[None]]:
    """A thread writes, and so many others wait for it."""
    futures = [threads.submit(row.write, 0)]
    assert row.began.wait(SOON)
    for number in range(1, others + 1):
        futures.append(threads.submit(row.write, number, **more))
        wait_for(lambda number=number: row.waiting() == number)  # type: ignore[misc]
    return futures


def test_data_that_arrives_during_a_write_is_written_by_its_first_thread() -> None:
    row = Row()
    with ThreadPoolExecutor() as threads:
        futures = first_writes(row, threads, 3)
        assert not any(one.done() for one in futures)
        row.go.set()
        results(futures)
    assert row.wrote == [
        ("row", "context 0", {0: "data"}),
        ("row", "context 1", {1: "data", 2: "data", 3: "data"}),
    ]


def test_a_single_thread_writes_as_heat_does() -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    together = Together(lambda *words, **named: calls.append((words, named)))
    words = ("context", 1, "traversal", False, print, {1}, {(1, True): None})
    together(*words)
    together(*words, new_resource_failures=None, is_skip=False)
    together(*words[:-1], None)
    assert calls == [
        (words, {}),
        (words, {"new_resource_failures": None, "is_skip": False}),
        ((*words[:-1], {}), {}),
    ]


@pytest.mark.parametrize(
    ("batches", "written"),
    [
        ([{"new_resource_failures": None, "is_skip": False}] * 2, {"new_resource_failures": None, "is_skip": False}),
        ([{"is_skip": False}, {"is_skip": True}, {"is_skip": False}], {"is_skip": True}),
        ([{"new_resource_failures": one} for one in (None, {"a": "x"}, None, {"b": "y"})],
         {"new_resource_failures": {"a": "x", "b": "y"}}),
        ([{}, {"new_resource_failures": {"a": "x"}}], {"new_resource_failures": {"a": "x"}}),
        ([{"new_resource_failures": {"a": "x"}}, {"new_resource_failures": {"a": "z"}}],
         {"new_resource_failures": {"a": "z"}}),
    ],
)  # fmt: skip
def test_failures_add_up_and_a_skip_holds(batches: list[dict[str, Any]], written: dict[str, Any]) -> None:
    batch = pace._Batch()
    for number, more in enumerate(batches):
        batch.add({number: None}, more)
    assert batch.more == written
    assert list(batch.data) == list(range(len(batches)))


def test_failures_of_a_batch_are_written_together() -> None:
    row = Row()
    with ThreadPoolExecutor() as threads:
        futures = first_writes(row, threads, 2, new_resource_failures={"server": "failed"}, is_skip=True)
        row.go.set()
        results(futures)
    assert row.wrote[1][-1] == {"new_resource_failures": {"server": "failed"}, "is_skip": True}


@pytest.mark.parametrize("error", [LookupError("no row"), KeyboardInterrupt()])
def test_an_error_reaches_all_of_its_batch_and_the_next_batch_is_written(error: BaseException) -> None:
    row = Row()
    row.error = error
    with ThreadPoolExecutor() as threads:
        futures = first_writes(row, threads, 3)
        row.go.set()
        assert [one.exception(SOON) for one in futures] == [error] * 4
        row.error = None
        row.write(4)
    assert row.wrote[-1] == ("row", "context 4", {4: "data"})


def test_nothing_is_kept_of_written_rows() -> None:
    row = Row()
    with ThreadPoolExecutor() as threads:
        futures = first_writes(row, threads, 2)
        row.go.set()
        results(futures)
        row.error = LookupError("no row")
        with pytest.raises(LookupError):
            row.write(3)
    assert (row.together._open, row.together._rows) == ({}, {})


@pytest.mark.parametrize(
    "other", [("other", "traversal", True), ("row", "next traversal", True), ("row", "traversal", False)]
)
def test_another_row_does_not_wait(other: tuple[str, str, bool]) -> None:
    busy, go, wrote = threading.Event(), threading.Event(), list[object]()

    def sync(_context: object, *row: Any) -> None:
        if row[:3] == ("row", "traversal", True):
            busy.set()
            assert go.wait(SOON)
        wrote.append(row[:3])

    together = Together(sync)
    with ThreadPoolExecutor() as threads:
        future = threads.submit(together, None, "row", "traversal", True, None, set(), {})
        assert busy.wait(SOON)
        together(None, *other, None, set(), {})
        assert wrote == [other]
        go.set()
        results([future])


def test_no_data_of_many_threads_is_lost_and_one_writes_at_a_time() -> None:
    lock, wrote = threading.Lock(), list[dict[object, object]]()

    def sync(*words: Any) -> None:
        assert lock.acquire(blocking=False)
        wrote.append(words[-1])
        lock.release()

    together = Together(sync)
    with ThreadPoolExecutor(16) as threads:
        results([threads.submit(together, None, 1, "t", True, None, set(), {number: None}) for number in range(500)])
    assert sorted(number for data in wrote for number in data) == list(range(500))  # type: ignore[type-var]
    assert (together._open, together._rows) == ({}, {})
