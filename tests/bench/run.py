"""Measure one case."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench.cases import REQUESTS, SMALL, Case, small
from tests.bench.heat import FailedError, Heat, Made
from tests.bench.report import Asked, Row, Setup
from tests.bench.usage import Watch, memory

PREFIX = "bench-"
# How many small stacks are created before the large one, and at most during it.
_ALONE, _BESIDE = 5, 20
_SMALL_LIMIT = 120.0
# How long the clients of `REQUESTS` ask.
_ASKED_SECONDS = 10.0


class Runner:
    """Measures cases.

    Args:
        heat: the client.
        containers: the stack's hosts, by their containers' ids.
        limit: seconds for one creation or deletion.
    """

    def __init__(self, heat: Heat, containers: Mapping[str, str], limit: float) -> None:
        self._heat, self._containers, self._limit = heat, containers, limit

    def measure(self, setup: Setup, case: Case) -> Row:
        """Create a case's stacks and delete them. Nothing is left afterwards, unless Heat fails to delete it."""
        row = Row(setup=setup, case=case, resources=case.resources)
        try:
            if case.shape == "beside":
                self._beside(row)
            else:
                self._plain(row)
        except FailedError as error:
            row.failed = str(error)
            self._clear(row)
        return row

    def warm_up(self, stacks: int) -> None:
        """Create and delete some stacks: engines and APIs that have just started are slower with their first ones.

        Raises:
            FailedError: creating or deleting a stack failed.
        """
        made = self._heat.create(_named("warm", small(), stacks))
        self._heat.created(made, self._limit)
        self._heat.delete(made)
        self._heat.deleted(made, self._limit)

    def clear(self) -> None:
        """Delete the leftovers of earlier cases or of a killed run.

        Raises:
            FailedError: a stack cannot be deleted.
        """
        left = self._heat.left(PREFIX)
        self._heat.delete(left)
        self._heat.deleted(left, self._limit)

    def _clear(self, row: Row) -> None:
        try:
            self.clear()
        except FailedError as error:
            row.failed += f"; its deletion: {error}"

    def _plain(self, row: Row) -> None:
        case = row.case
        watch = self._watch()
        made = self._heat.create(_named(str(case), case.template, case.stacks))
        self._heat.created(made, self._limit)
        row.create = watch.stop()
        if case.shape in REQUESTS:
            row.asked = self._ask(case, made[0])
        row.memory = memory(list(self._containers))
        watch = self._watch()
        self._heat.delete(made)
        self._heat.deleted(made, self._limit)
        row.delete = watch.stop()

    def _ask(self, case: Case, stack: Made) -> Asked:
        """Have several clients ask for a while, each one request after the other."""
        path = REQUESTS[case.shape].format(name=stack.name, id=stack.id)
        watch = self._watch()
        until = time.monotonic() + _ASKED_SECONDS
        answers = self._heat.ask_until(until, path, case.size[0])
        usage = watch.stop()
        taken = sorted(answer.seconds for answer in answers)
        return Asked(
            usage=usage,
            requests=len(taken),
            median=taken[len(taken) // 2],
            late=taken[len(taken) * 99 // 100],
            failed=sum(answer.status != 200 for answer in answers),
        )

    def _beside(self, row: Row) -> None:
        """Create the large stack, and meanwhile small ones, one after the other."""
        alone = [self._small(f"alone-{number}") for number in range(_ALONE)]
        over = threading.Event()
        watch = self._watch()
        large = self._heat.create(_named(str(row.case), row.case.template, 1))
        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(self._small_ones, over)
            try:
                self._heat.created(large, self._limit)
                row.create = watch.stop()
            finally:
                over.set()
            beside = others.result()
        row.resources += SMALL * len(beside)
        row.alone = statistics.median(alone)
        row.beside = statistics.median(beside) if beside else None
        watch = self._watch()
        self._heat.delete(large)
        self._heat.deleted(large, self._limit)
        row.delete = watch.stop()

    def _small_ones(self, over: threading.Event) -> list[float]:
        """The seconds of each small stack that was complete before the large one."""
        taken: list[float] = []
        while not over.is_set() and len(taken) < _BESIDE:
            seconds = self._small(f"beside-{len(taken)}")
            if not over.is_set():
                taken.append(seconds)
        return taken

    def _small(self, name: str) -> float:
        began = time.monotonic()
        made = self._heat.create(_named(name, small(), 1))
        self._heat.created(made, _SMALL_LIMIT)
        seconds = time.monotonic() - began
        self._heat.delete(made)
        self._heat.deleted(made, _SMALL_LIMIT)
        return seconds

    def _watch(self) -> Watch:
        return Watch(list(self._containers))


def _named(what: str, template: dict[str, Any], count: int) -> dict[str, dict[str, Any]]:
    """Templates by stack names that no other case uses."""
    stem = f"{PREFIX}{re.sub(r'[^a-z0-9]+', '-', what)}-{time.time_ns() // 1_000_000}"
    return {f"{stem}-{number}": template for number in range(count)}
