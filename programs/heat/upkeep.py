"""Stack recovery: one run of the caretaker. The heat store and the broker are arguments, so tests need neither.

A run reports to the journal, in counters, and in a memory for the next run.
"""
# The methods of a protocol are documented where they are implemented.
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

from traversal import Decision, Engine, Seen, Step, Traversal, decide, is_presumed_dead

WORK = "engine_worker"
# A paced engine of this deployment reports one of these in addition to its locks: programs/heat/engine.py.
WAIT, NONE_WAIT = "checks wait", "no checks wait"
# Seconds that a node waits for the node of the last run: more than the difference between their starts.
HANDICAP = 8
# The oldest release of Heat whose store records.py can read.
FIRST = 24
# Bytes. No file of the caretaker is longer.
LONGEST = 64 * 2**20


def listener(engine: str) -> str:
    """The queue that an engine alone listens to while it is connected."""
    return f"heat-engine-listener.{engine}"


def explain_unsupported(release: str) -> str:
    """Explain why the caretaker does nothing for a release of Heat, such as "19.0.0"; "" if it supports the release."""
    if int(release.partition(".")[0]) >= FIRST:
        return ""
    return f"nothing was done: the caretaker supports Heat {FIRST} and later, and this is Heat {release}"


@dataclass(frozen=True)
class InProgress:
    """A stack that is IN_PROGRESS. `mark` changes with every change of its traversal."""

    id: str
    name: str
    owner: str | None
    mark: str
    traversal: Traversal


@dataclass(frozen=True)
class StackLock:
    """A lock on a whole stack. A lock that was released and taken again has another `created`."""

    stack: str
    engine: str
    created: str


class HeatStore(Protocol):
    """The heat store: Heat's rows of stacks and engines, and ways to repair them: programs/heat/records.py."""

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
    """The broker, by the connection that holds the lock: programs/heat/caretaker.py."""

    def consumers(self, queue: str) -> int: ...
    def waiting(self, queue: str) -> int: ...
    def prove(self) -> None: ...


class Counters:
    """A file of numbers in Prometheus' text format. Totals continue from run to run; a run sets all other numbers."""

    _LINE = re.compile(r'heat_caretaker_([a-z_]+(?:\{[a-z_]+="[a-z_]*"\})?) (\d\S*)')

    def __init__(self, path: Path) -> None:
        self._path = path
        self.read()

    def read(self) -> None:
        """Read the file, and drop what was counted since the last reading."""
        self.before: dict[str, float] = {}
        damaged = 0
        for line in _read(self._path).split("\n"):
            known = self._LINE.fullmatch(line)
            if known and (number := _number(known[2])) is not None:
                self.before[known[1]] = number
            elif line and not line.startswith("# TYPE "):
                damaged += 1
        if damaged:
            print(f"{self._path}: {damaged} lines cannot be read. Their counters start again at 0.", file=sys.stderr)
        self._now = {name: number for name, number in self.before.items() if self._is_total(name)}

    @staticmethod
    def _is_total(name: str) -> bool:
        return name.partition("{")[0].endswith("_total")

    def add(self, name: str, number: float = 1) -> None:
        """Increase a counter."""
        self._now[name] = self._now.get(name, 0) + number

    def count(self, what: str, number: int) -> str:
        """Increase a total, and return a line about it."""
        self.add(f"{what}_total", number)
        return f"{number} {what.replace('_', ' ')}"

    def set_gauge(self, name: str, number: float) -> None:
        """Set a gauge."""
        self._now[name] = number

    def write(self) -> None:
        """Replace the file atomically."""
        lines, last = [], ""
        for name, number in sorted(self._now.items()):
            family = name.partition("{")[0]
            if family != last:
                lines.append(f"# TYPE heat_caretaker_{family} {'counter' if self._is_total(name) else 'gauge'}")
            lines.append(f"heat_caretaker_{name} {number:.15g}")
            last = family
        _replace(self._path, "\n".join(lines) + "\n")


class Turn:
    """The order of the nodes, which all start at the same moment.

    The node of the last run goes first, and the others wait for HANDICAP seconds: only that node knows how long a stack
    is unchanged. If that node is gone, another node does this run and the next ones.
    """

    def __init__(self, counters: Counters, task: str) -> None:
        self._counters = counters
        self._leads, self._last = f'leads{{task="{task}"}}', f'last_run_timestamp_seconds{{task="{task}"}}'
        self._runs = f'runs_total{{task="{task}"}}'

    @property
    def wait(self) -> float:
        """Seconds to wait before this node asks for the lock."""
        return 0.0 if self._counters.before.get(self._leads) else HANDICAP

    def completed(self, began: float) -> None:
        """Note that this node did the run that began at this time."""
        self._counters.add(self._runs)
        self._counters.set_gauge(self._last, began)
        self._counters.set_gauge(self._leads, 1)
        self._counters.write()

    def skipped(self) -> None:
        """Note that another node does the run. This node drops the gauges of its own last run.

        A manual run on this node counts as another node, and may have changed the counters since this run began.
        """
        self._counters.read()
        if last := self._counters.before.get(self._last):
            self._counters.set_gauge(self._last, last)
        self._counters.set_gauge(self._leads, 0)
        self._counters.write()


def _number(text: object) -> float | None:
    """A finite number of at least 0; None for anything else."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        return None
    try:
        number = float(text)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _read(path: Path) -> str:
    """The text of a file; "" if there is no file, or, with a line for the journal, if it cannot be read."""
    try:
        if not path.exists():
            return ""
        # Reading a pipe would block.
        if not path.is_file() or path.stat().st_size > LONGEST:
            raise OSError("it is no file of the caretaker's")  # noqa: TRY301 # reported below like all others
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        print(f"{path} cannot be read, and starts empty: {error}", file=sys.stderr)
        return ""


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically. A full disk does not stop the recovery of stacks."""
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            # After a power failure the file has the old text or the new one.
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        print(f"{path} was not written: {error}", file=sys.stderr)


class Memory:
    """What this node's earlier runs since its boot have found about stacks, by their ids.

    Times are seconds since `boot`: setting the clock does not change how long a stack waits.
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
        """The contents of a text of `write`; empty if the text is damaged."""
        if not text and not self._path.exists():
            return {}
        try:
            known = json.loads(text)
        except (ValueError, RecursionError):
            known = None
        if isinstance(known, dict):
            return known
        print(f"{self._path} is damaged. The grace time of all stacks starts again.", file=sys.stderr)
        return {}

    @staticmethod
    def _seen(how: object) -> Seen | None:
        if not isinstance(how, dict):
            return None
        mark, since, runs = how.get("mark"), _number(how.get("since")), how.get("runs")
        if not isinstance(mark, str) or since is None or type(runs) is not int or runs < 1:
            return None
        return Seen(mark, since, runs)

    def observe(self, stack_id: str, mark: str, now: float) -> Seen:
        """Note the state of a stack."""
        before = self._before.get(stack_id)
        self._now[stack_id] = before.seen_again(mark, now) if before else Seen(mark, now)
        return self._now[stack_id]

    def note_denial(self, lock: str) -> bool:
        """Note that an engine denies a lock of its own; returns whether it denied the lock in the last run, too."""
        self._denied.add(lock)
        return lock in self._denied_before

    def write(self) -> None:
        """Write what this run has found, and nothing else."""
        seen = {stack_id: vars(how) for stack_id, how in self._now.items()}
        _replace(self._path, json.dumps({"boot": self._boot, "stacks": seen, "denied": sorted(self._denied)}))


def dead_engines(heat: HeatStore, broker: Broker, holders: Iterable[str]) -> set[str]:
    """The engines that are certainly dead: presumed dead by their rows, not connected to the broker, and silent.

    A healthy engine can meet any one of the three. A busy engine misses its reports or answers late, but is connected.
    After a restart of the broker no engine is connected for up to half a minute, but all report to the database.
    """
    engines, now, single = heat.engines(), heat.now(), heat.single_workers()
    return {
        engine
        for engine in holders
        if is_presumed_dead(engine, engines, now, single=single)
        and not broker.consumers(listener(engine))
        and not heat.answers(engine)
    }


def is_quiet(heat: HeatStore, broker: Broker, held: Callable[[str], set[str] | None]) -> bool:
    """Whether no check waits: neither in the queue, nor in a busy engine, nor in an engine without a connection.

    Args:
        heat: the heat store.
        broker: the broker.
        held: an engine's own report. An engine that does not report its waiting checks is judged by its locks.
    """
    engines, now, single = heat.engines(), heat.now(), heat.single_workers()
    living = [engine for engine in engines if not is_presumed_dead(engine, engines, now, single=single)]
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
    """The names of the locks that their engines have denied in two runs.

    An engine notes a lock before it takes the lock. So a lock that was in the database before the engine was asked, and
    that the engine denies, is forgotten as long as the row of the lock does not change.

    Args:
        locks: the name, the engine, and a text that changes when the lock is taken again.
        held: the locks that an engine reports; None if it does not report them.
        memory: with the denials of the last run.
    """
    idle = set()
    for name, engine, taken in locks:
        known = held(engine) if engine else None
        if known is not None and name not in known and memory.note_denial(f"{name} {engine} {taken}"):
            idle.add(name)
    return idle


def rescue(heat: HeatStore, broker: Broker, counters: Counters, memory: Memory, *, now: float, grace: float) -> str:
    """Recover stacks whose engine died or has forgotten them.

    Args:
        heat: the heat store.
        broker: the broker.
        counters: the counters to increase.
        memory: what this node's earlier runs have found.
        now: seconds since the machine booted.
        grace: how long a stack without an engine must be unchanged, in seconds.

    Returns:
        A line about what was found and done.
    """
    stacks, stack_locks = list(heat.in_progress()), list(heat.stack_locks())
    waited = {stack.id for stack in stacks if memory.observe(stack.id, stack.mark, now).waited(now, grace)}
    locked = [one for stack in stacks for one in stack.traversal.resources.values() if one.engine]
    dead = dead_engines(heat, broker, {one.engine for one in locked if one.engine})

    @cache
    def held(engine: str) -> set[str] | None:
        # An engine without a connection does not answer, and the call would wait for it.
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
                print(f"stack {lock.stack} is unlocked: engine {lock.engine} holds its lock and does not work on it")
    touched: set[str | None] = set()
    for stack in stacks:
        decision = decide(stack.traversal, dead, waited=stack.id in waited, quiet=quiet, idle=idle_resources)
        if decision.left:
            count["left"] += 1
            print(f"{stack.name} ({stack.id}) cannot be recovered: {decision.left}")
        if stack.owner in touched:
            # The recovery of the outer stack will reach the nested one.
            touched.add(stack.id)
        elif decision.steps or decision.restart or decision.fail:
            broker.prove()
            touched.add(stack.id)
            try:
                count["rescued"] += _carry_out(heat, stack, decision, counters)
            except Exception as error:  # a stack that cannot be loaded must not delay the others
                count["errors"] += 1
                print(f"{stack.name} ({stack.id}): the recovery failed: {error!r}", file=sys.stderr)
    counters.add("stacks_rescued_total", count["rescued"])
    counters.add("errors_total", count["errors"])
    counters.set_gauge("stacks_in_progress", len(stacks))
    counters.set_gauge("stacks_left", count["left"])
    counters.set_gauge("engines_dead", len(dead))
    counters.set_gauge("locks_idle", len(idle))
    return (
        f"{len(stacks)} stacks in progress, {len(dead)} dead engines with stacks, "
        f"{len(idle)} locks forgotten by living engines, {count['rescued']} stacks recovered"
    )


def _carry_out(heat: HeatStore, stack: InProgress, decision: Decision, counters: Counters) -> bool:
    """Carry out a decision; returns whether anything was done."""
    if decision.fail:
        done = heat.fail(stack, decision.fail)
        counters.add("stacks_failed_total", done)
        print(f"{stack.name} ({stack.id}) is marked as failed: {decision.fail}")
        return done
    if decision.restart:
        done = heat.restart(stack)
        counters.add("traversals_restarted_total", done)
        print(f"{stack.name} ({stack.id}): the traversal is restarted: {decision.restart}")
        return done
    steps = heat.trigger(stack, decision.steps)
    for step in steps:
        counters.add(f'resources_triggered_total{{reason="{step.why}"}}')
        print(f"{stack.name} ({stack.id}): resource {step.resource} is checked again: {step.why}")
    return bool(steps)
