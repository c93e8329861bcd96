"""What the caretaker does in a run. Heat and the broker are handed in: nothing of either is needed to test this.

What it finds and does is told in lines for the journal, in counters, and in a memory for the next run.
"""
# The methods of a protocol are told where they are.
# ruff: noqa: D102

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from traversal import Decision, Engine, Seen, Step, Traversal, decide, off_the_books

WORK = "engine_worker"
# What an engine says beside its locks, where it is this deployment's and has its pace: programs/heat/engine.py.
WAIT, NONE_WAIT = "checks wait", "no checks wait"
# Seconds that a node waits for the one that had the last run: more than one of them takes longer than another to start.
HANDICAP = 8
# The oldest Heat that records.py can read.
FIRST = 24
# No file of the caretaker's is longer: a longer one is not its own.
LONGEST = 64 * 2**20


def listener(engine: str) -> str:
    """The queue that only one engine listens to, for as long as it is connected."""
    return f"heat-engine-listener.{engine}"


def unserved(release: str) -> str:
    """Why the caretaker does nothing for a release of Heat, such as "19.0.0"; empty where it does."""
    if int(release.partition(".")[0]) >= FIRST:
        return ""
    return f"nothing is done: the caretaker knows Heat {FIRST} and later, and this is Heat {release}"


@dataclass(frozen=True)
class InProgress:
    """A stack that is IN_PROGRESS. `mark` is another as soon as anything about its traversal has changed."""

    id: str
    name: str
    owner: str | None
    mark: str
    traversal: Traversal


@dataclass(frozen=True)
class StackLock:
    """A lock on a whole stack. One that is taken anew has another `created`."""

    stack: str
    engine: str
    created: str


class Heat(Protocol):
    """Heat's records, and what Heat offers to set them right: programs/heat/records.py."""

    def now(self) -> float: ...
    def single_workers(self) -> bool: ...
    def engines(self) -> Mapping[str, Engine]: ...
    def answers(self, engine_id: str) -> bool: ...
    def full_engines(self) -> set[str]: ...
    def locks_held(self, engine_id: str) -> set[str] | None: ...
    def in_progress(self) -> Iterable[InProgress]: ...
    def stack_locks(self) -> Iterable[StackLock]: ...
    def unlock(self, lock: StackLock) -> bool: ...
    def trigger(self, found: InProgress, steps: Sequence[Step]) -> Sequence[Step]: ...
    def restart(self, found: InProgress) -> bool: ...
    def fail(self, found: InProgress, reason: str) -> bool: ...
    def clean(self) -> int: ...
    def purge(self, days: int) -> int: ...


class Broker(Protocol):
    """The broker, where this node holds the lock: programs/heat/caretaker.py."""

    def consumers(self, queue: str) -> int: ...
    def waiting(self, queue: str) -> int: ...
    def prove(self) -> None: ...


class Counters:
    """Numbers in Prometheus' text format, in a file: totals go on from run to run, all else is said anew."""

    _LINE = re.compile(r'heat_caretaker_([a-z_]+(?:\{[a-z_]+="[a-z_]*"\})?) (\d\S*)')

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read()

    def read(self) -> None:
        """Begin with what is there; what was counted since the last time is forgotten."""
        self.before: dict[str, float] = {}
        damaged = 0
        for line in _read(self._path).split("\n"):
            known = self._LINE.fullmatch(line)
            if known and (number := _number(known[2])) is not None:
                self.before[known[1]] = number
            elif line and not line.startswith("# TYPE "):
                damaged += 1
        if damaged:
            print(f"{self._path}: {damaged} lines cannot be read; what they counted begins anew", file=sys.stderr)
        self._now = {name: number for name, number in self.before.items() if self._is_total(name)}

    @staticmethod
    def _is_total(name: str) -> bool:
        return name.partition("{")[0].endswith("_total")

    def add(self, name: str, number: float = 1) -> None:
        """Count further."""
        self._now[name] = self._now.get(name, 0) + number

    def count(self, what: str, number: int) -> str:
        """Count further, in a run that does nothing else; a line that says so."""
        self.add(f"{what}_total", number)
        return f"{number} {what.replace('_', ' ')}"

    def say(self, name: str, number: float) -> None:
        """Say what it is now."""
        self._now[name] = number

    def write(self) -> None:
        """Put all of it in place, at once."""
        lines, last = [], ""
        for name, number in sorted(self._now.items()):
            family = name.partition("{")[0]
            if family != last:
                lines.append(f"# TYPE heat_caretaker_{family} {'counter' if self._is_total(name) else 'gauge'}")
            lines.append(f"heat_caretaker_{name} {number:.15g}")
            last = family
        _replace(self._path, "\n".join(lines) + "\n")


class Turn:
    """Whose turn a run is, of the nodes that all start at the same moment.

    The node that had the last run goes first, and the others wait for HANDICAP seconds: how long a stack has stood
    still is known only to the node that saw it before. When that node is gone, one of the others has the run, and the
    next ones.
    """

    def __init__(self, counters: Counters, task: str) -> None:
        self._counters = counters
        self._leads, self._last = f'leads{{task="{task}"}}', f'last_run_timestamp_seconds{{task="{task}"}}'
        self._runs = f'runs_total{{task="{task}"}}'

    @property
    def wait(self) -> float:
        """Seconds to wait before the lock is asked for."""
        return 0.0 if self._counters.before.get(self._leads) else HANDICAP

    def had(self, began: float) -> None:
        """This node had the run, which began at that time."""
        self._counters.add(self._runs)
        self._counters.say(self._last, began)
        self._counters.say(self._leads, 1)
        self._counters.write()

    def missed(self) -> None:
        """Another node has the run. What this one found in its own last one is no longer so, and is not told on.

        Or another run on this node, by hand, which may have counted since this one began.
        """
        self._counters.read()
        if last := self._counters.before.get(self._last):
            self._counters.say(self._last, last)
        self._counters.say(self._leads, 0)
        self._counters.write()


def _number(text: object) -> float | None:
    """A number that has a value, and is not below zero; None for anything else."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        return None
    try:
        number = float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _read(path: Path) -> str:
    """The text of a file; "" where there is none, or where it cannot be read, which the journal is told."""
    try:
        if not path.exists():
            return ""
        # What is no file, such as a pipe, would keep its reader waiting.
        if not path.is_file() or path.stat().st_size > LONGEST:
            raise OSError("it is no file of the caretaker's")  # noqa: TRY301 # told below like all others
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        print(f"{path} cannot be read, and begins anew: {error}", file=sys.stderr)
        return ""


def _replace(path: Path, text: str) -> None:
    """Put a text in place at once, where there is room for it: on a full disk stacks are rescued all the same."""
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # After a loss of power there is the old text or the new one.
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        print(f"{path} stays as it was: {error}", file=sys.stderr)


class Memory:
    """How this node's earlier runs since it booted have found stacks, by their ids.

    Times are of the machine's own clock since `boot`: one that is set does not make a stack wait longer or shorter.
    """

    def __init__(self, path: Path, boot: str) -> None:
        self._path, self._boot = path, boot
        known = self._known(_read(path))
        same = known.get("boot") == boot
        self._before: dict[str, Seen] = {}
        stacks, denied = (known.get("stacks"), known.get("denied")) if same else ({}, [])
        for stack_id, how in stacks.items() if isinstance(stacks, dict) else ():
            if seen := self._seen(how):
                self._before[stack_id] = seen
        self._denied_before = {one for one in denied if isinstance(one, str)} if isinstance(denied, list) else set()
        self._now: dict[str, Seen] = {}
        self._denied: set[str] = set()

    def _known(self, text: str) -> dict[str, Any]:
        """What a text says, where it is one that `write` wrote."""
        if not text and not self._path.exists():
            return {}
        try:
            known = json.loads(text)
        except (ValueError, RecursionError):
            known = None
        if isinstance(known, dict):
            return known
        print(f"{self._path} is damaged: how long stacks have stood still is learnt anew", file=sys.stderr)
        return {}

    @staticmethod
    def _seen(how: object) -> Seen | None:
        if not isinstance(how, dict):
            return None
        mark, since, runs = how.get("mark"), _number(how.get("since")), how.get("runs")
        if not isinstance(mark, str) or since is None or type(runs) is not int or runs < 1:
            return None
        return Seen(mark, since, runs)

    def see(self, stack_id: str, mark: str, now: float) -> Seen:
        """Note how a stack is found now."""
        before = self._before.get(stack_id)
        self._now[stack_id] = before.again(mark, now) if before else Seen(mark, now)
        return self._now[stack_id]

    def deny(self, lock: str) -> bool:
        """Note that an engine does not know of this lock of its own; whether it said so in the last run, too."""
        self._denied.add(lock)
        return lock in self._denied_before

    def write(self) -> None:
        """Keep what this run has seen, and nothing else."""
        seen = {stack_id: vars(how) for stack_id, how in self._now.items()}
        _replace(self._path, json.dumps({"boot": self._boot, "stacks": seen, "denied": sorted(self._denied)}))


def dead_engines(heat: Heat, broker: Broker, holders: Iterable[str]) -> set[str]:
    """Those engines that are gone for certain: off the books, not connected to the broker, and silent.

    Each of the three alone can be true of one that is well. A busy engine misses its reports or answers late, but is
    connected; after the broker's restart none is connected for up to half a minute, but all are on the books.
    """
    engines, now, single = heat.engines(), heat.now(), heat.single_workers()
    return {
        engine
        for engine in holders
        if off_the_books(engine, engines, now, single=single)
        and not broker.consumers(listener(engine))
        and not heat.answers(engine)
    }


def is_quiet(heat: Heat, broker: Broker, held: Callable[[str], set[str] | None]) -> bool:
    """Whether no check waits for an engine: not in the queue, nor within a busy one, nor in one that is cut off.

    Args:
        heat: the records.
        broker: where the queue is.
        held: what an engine says of itself. One that does not say whether checks wait is judged by its locks.
    """
    engines, now, single = heat.engines(), heat.now(), heat.single_workers()
    living = [engine for engine in engines if not off_the_books(engine, engines, now, single=single)]
    if (
        broker.waiting(WORK)
        or not broker.consumers(WORK)
        or not all(broker.consumers(listener(engine)) for engine in living)
    ):
        return False
    said = {engine: held(engine) or set() for engine in living}
    return not any(WAIT in words for words in said.values()) and not any(
        NONE_WAIT not in said.get(engine, ()) for engine in heat.full_engines()
    )


def _idle(
    locks: Iterable[tuple[str, str | None, str]], held: Callable[[str], set[str] | None], memory: Memory
) -> set[str]:
    """Those locks that their engines do not know of, as these have said in two runs.

    An engine notes a lock before it takes it: a lock that the database had before the engine was asked, and that it
    does not know, is one that it has forgotten, for as long as the row of the lock is the same.

    Args:
        locks: each with its name, its engine, and what is another text when the lock is taken anew.
        held: the locks that an engine says it has; None where it does not say.
        memory: what the engines said in the last run.
    """
    idle = set()
    for name, engine, taken in locks:
        known = held(engine) if engine else None
        if known is not None and name not in known and memory.deny(f"{name} {engine} {taken}"):
            idle.add(name)
    return idle


def rescue(heat: Heat, broker: Broker, counters: Counters, memory: Memory, *, now: float, grace: float) -> str:
    """Set stacks going again whose engine is gone, or has forgotten them.

    Args:
        heat: the records.
        broker: where the lock is.
        counters: are counted further.
        memory: of this node's earlier runs.
        now: seconds since the machine booted.
        grace: how long a stack that nobody seems to hold must stay as it is, in seconds.

    Returns:
        A line that says what was found and done.
    """
    stacks, stack_locks = list(heat.in_progress()), list(heat.stack_locks())
    waited = {stack.id for stack in stacks if memory.see(stack.id, stack.mark, now).waited(now, grace)}
    locked = [one for stack in stacks for one in stack.traversal.resources.values() if one.engine]
    dead = dead_engines(heat, broker, {one.engine for one in locked if one.engine})

    @cache
    def held(engine: str) -> set[str] | None:
        # One that is not connected does not answer, and would be waited for.
        return heat.locks_held(engine) if broker.consumers(listener(engine)) else None

    idle = _idle(
        [
            *(
                (f"resource {one.id}", one.engine, str(one.key))
                for one in locked
                if one.engine and one.engine not in dead
            ),
            *((f"stack {lock.stack}", lock.engine, lock.created) for lock in stack_locks),
        ],
        held,
        memory,
    )
    memory.write()
    idle_resources = {one.id for one in locked if f"resource {one.id}" in idle}
    quiet = bool(waited) and is_quiet(heat, broker, held)
    count = Counter({"rescued": 0, "left": 0, "errors": 0})
    for lock in stack_locks:
        if f"stack {lock.stack}" in idle:
            broker.prove()
            if heat.unlock(lock):
                counters.add("stacks_unlocked_total")
                print(f"stack {lock.stack} is unlocked: engine {lock.engine} has its lock, and does not work on it")
    touched: set[str | None] = set()
    for stack in stacks:
        decision = decide(stack.traversal, dead, waited=stack.id in waited, quiet=quiet, idle=idle_resources)
        if decision.left:
            count["left"] += 1
            print(f"{stack.name} ({stack.id}) is left as it is: {decision.left}")
        if stack.owner in touched:
            # What has been set going in the outer stack will come to the nested one.
            touched.add(stack.id)
        elif decision.steps or decision.restart or decision.fail:
            broker.prove()
            touched.add(stack.id)
            try:
                count["rescued"] += _carry_out(heat, stack, decision, counters)
            except Exception as error:  # one that cannot be loaded must not keep the others waiting
                count["errors"] += 1
                print(f"{stack.name} ({stack.id}) cannot be rescued: {error!r}", file=sys.stderr)
    counters.add("stacks_rescued_total", count["rescued"])
    counters.add("errors_total", count["errors"])
    counters.say("stacks_in_progress", len(stacks))
    counters.say("stacks_left", count["left"])
    counters.say("engines_dead", len(dead))
    counters.say("locks_idle", len(idle))
    return (
        f"{len(stacks)} stacks in progress, {len(dead)} dead engines hold some of them, "
        f"{len(idle)} locks of living engines are forgotten, {count['rescued']} rescued"
    )


def _carry_out(heat: Heat, stack: InProgress, decision: Decision, counters: Counters) -> bool:
    """Do what has been decided; whether anything came of it."""
    if decision.fail:
        done = heat.fail(stack, decision.fail)
        counters.add("stacks_failed_total", done)
        print(f"{stack.name} ({stack.id}) is marked as failed: {decision.fail}")
        return done
    if decision.restart:
        done = heat.restart(stack)
        counters.add("traversals_restarted_total", done)
        print(f"{stack.name} ({stack.id}) begins anew: {decision.restart}")
        return done
    steps = heat.trigger(stack, decision.steps)
    for step in steps:
        counters.add(f'resources_triggered_total{{reason="{step.why}"}}')
        print(f"{stack.name} ({stack.id}): resource {step.resource} is checked again: {step.why}")
    return bool(steps)
