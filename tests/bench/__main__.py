"""Measure how fast stacks are created and deleted, on the stack that tests/bench/run.sh creates; see there for options.

Reports the progress on stderr. Prints the tables at the end, or when it is interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.cases import Case
from tests.bench.choice import Choice, chosen, plan, too_long
from tests.bench.heat import FailedError, Heat
from tests.bench.journal import errors
from tests.bench.report import Row, Setup, bad, markdown
from tests.bench.run import Runner
from tests.bench.share import engines_of, find_controller, shared
from tests.bench.usage import Process
from tests.e2e.lab import Stack, engine, wait_for
from tests.faults.cloud import Cloud
from tests.faults.scene import sources

# Several client addresses: the proxy sends the requests of one address to one API.
_SOURCES = 5
_VHOSTS = ("heat", "heat-1.4")


class Bench:
    """A run.

    Args:
        stack: under test.
        choice: what to measure.
    """

    def __init__(self, stack: Stack, choice: Choice) -> None:
        self._stack, self._choice = stack, choice
        self._plan = plan(choice)
        self._left = sum(len(cases) for _, cases in self._plan)
        self.rows: list[Row] = []
        self.broken: list[str] = []

    def run(self) -> None:
        """Measure everything."""
        self._write()
        say(f"{self._left} cases under {len(self._plan)} settings, {os.cpu_count()} CPUs")
        for path, value in self._choice.settings.items():
            self._stack.pulumi("config", "set", "--path", path, value)
        for setup, cases in self._plan:
            say(f"{setup}: pulumi up; {self._left} cases left")
            waiting = list(cases)
            try:
                with self._ready(setup) as (runner, containers):
                    while waiting:
                        say(f"    next: {waiting[0]}; {self._left} left")
                        row = self._measured(runner, containers, setup, waiting[0])
                        waiting.pop(0)
                        self._add(row)
            except (AssertionError, FailedError, OSError, RuntimeError, subprocess.SubprocessError) as error:
                self.broken.append(str(error))
                say(f"    FAILED: {error}")
                for case in waiting:
                    self._add(Row(setup=setup, case=case, resources=case.resources, failed=str(error)))

    def _measured(self, runner: Runner, containers: dict[str, str], setup: Setup, case: Case) -> Row:
        if why := too_long(setup, case, self._choice.pause):
            return Row(setup=setup, case=case, resources=case.resources, skipped=why)
        began, before = time.time(), _pids(containers)
        row = runner.measure(setup, case)
        row.errors = errors(self._stack, [node for node in containers.values() if node != "front"], began)
        if _pids(containers) != before:
            row.failed = "; ".join(filter(None, (row.failed, "an engine has stopped or started meanwhile")))
        return row

    @contextlib.contextmanager
    def _ready(self, setup: Setup) -> Iterator[tuple[Runner, dict[str, str]]]:
        """Apply the settings, wait until the engines work, warm them up, and limit each to its share."""
        stack = self._stack
        for key, value in (
            ("heatVersion", setup.release),
            ("checksPerStack", setup.checks),
            ("engines", setup.engines),
        ):
            stack.set(key, value)
        done = stack.pulumi("up", "--yes", "--skip-preview", check=False)
        # The run reports failures at the end, below the list of cases.
        assert not done.code, (
            f"pulumi up failed: {(done.text.partition('Diagnostics:')[2] or done.text)[-1500:].strip()}"
        )
        wait_for(lambda: self._consumers() == setup.engines, f"{setup.engines} engines consume", 120)
        say(f"    up took {done.seconds:.0f} s")
        outputs = stack.outputs()
        cloud = Cloud(Path(outputs["cloudsYamlPath"]), outputs["heatApiUrl"], outputs["heatCfnUrl"])
        containers = {_container(stack, node["name"]): str(node["name"]) for node in outputs["nodes"]}
        heat = Heat(cloud, sources(stack, outputs, _SOURCES))
        runner = Runner(heat, containers, self._choice.limit)
        runner.clear()
        runner.warm_up(2 * setup.engines)
        with shared(stack, containers, setup.share):
            yield runner, containers

    def _consumers(self) -> int:
        """The consumers in both vhosts: engines with another RPC version have their own."""
        return sum(self._stack.consumers("engine_worker", vhost) for vhost in _VHOSTS)

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._left -= 1
        say(f"    {row.line()}")
        for line in row.errors[:5]:
            say(f"        {line[:300]}")
        self._write()

    def _write(self) -> None:
        if self._choice.report:
            result = {"cpus": os.cpu_count(), "rows": [one.as_json() for one in self.rows]}
            self._choice.report.write_text(json.dumps(result, indent=1) + "\n")


def _pids(containers: dict[str, str]) -> dict[tuple[str, str], list[Process]]:
    return {key: sorted(found, key=lambda one: one.pid) for key, found in engines_of(containers).items()}


def _container(stack: Stack, host: str) -> str:
    words = ["inspect", "--format", "{{.Id}}", f"heat-{stack.name}-{host}"]
    return subprocess.run([*engine(), *words], capture_output=True, text=True, check=True).stdout.strip()


def say(line: str) -> None:
    """Report progress."""
    print(f"bench: {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--stack", required=True)
    words.add_argument("--check", action="store_true", help="only check the options in the environment")
    asked = words.parse_args(arguments)
    try:
        choice = chosen(os.environ)
        if choice.share and choice.engines and choice.scaling:
            find_controller()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if asked.check:
        return 0
    # However the run ends, it removes the limits and prints the results so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(Stack(asked.stack), choice)
    try:
        bench.run()
    finally:
        print(markdown(bench.rows), end="", flush=True)
    return int(bad(bench.rows) or bool(bench.broken))


if __name__ == "__main__":
    sys.exit(main())
