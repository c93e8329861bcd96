"""Inject faults into a stack under load, and account for every request and every stack.

tests/faults/run.sh creates the stack. Prints a line for each fault, below it what failed, and at the end one JSON line.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.e2e.lab import Stack
from tests.faults.cloud import Cloud
from tests.faults.cut import Cut, excused, failed_with_the_database
from tests.faults.faults import FAULTS, FIRST, Fault
from tests.faults.load import Failure, Life, Load, Window, chance, ends
from tests.faults.scene import Scene, sources

# The minimum of a full run, in all.
REQUESTS, STACKS = 20_000, 200
# Several client addresses: the proxy sends the requests of one address to one API.
_SOURCES = 5


def ordered(seed: str, chosen: Sequence[str]) -> list[Fault]:
    """The faults in the seed's order. `chosen` names faults or groups; empty means all."""
    groups: dict[str, list[Fault]] = {}
    for fault in FAULTS:
        if not chosen or fault.name in chosen or fault.group in chosen:
            groups.setdefault(fault.group, []).append(fault)
    known = {fault.name for fault in FAULTS} | {fault.group for fault in FAULTS}
    if unknown := set(chosen) - known:
        raise SystemExit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    names = sorted(groups)
    chance(seed, "order").shuffle(names)
    names.sort(key=lambda name: name != FIRST)
    return [fault for name in names for fault in groups[name]]


def account(
    window: Window,
    lives: Sequence[Life],
    *,
    planned: bool,
    cuts: Sequence[Cut] = (),
    rescued: int = 0,
    seconds: float = 0,
) -> dict[str, Any]:
    """The counts for a fault. `cut` and `wrong_cut` were unavoidable, which nothing is in a planned change."""
    excuses = () if planned else cuts
    cut = sum(excused(failure, excuses) for failure in window.failures)
    wrong_cut = sum(failed_with_the_database(life, excuses) for life in lives)
    ended = ends(lives)
    return {
        "fault": window.name,
        "planned": planned,
        "requests": window.sent,
        "failed": len(window.failures) - cut,
        "cut": cut,
        "retried": window.retried,
        "p50": round(window.percentile(50), 3),
        "p99": round(window.percentile(99), 3),
        "stacks": len(lives),
        "complete": ended["complete"],
        "refused": ended["refused"],
        "lost": ended["lost"],
        "stuck": ended["stuck"],
        "wrong": ended["failed"] - wrong_cut,
        "wrong_cut": wrong_cut,
        "rescued": rescued,
        "seconds_to_whole": round(seconds, 1),
    }


def describe(failure: Failure, cut: bool) -> str:
    """A line that also helps to find the request in the proxy's log."""
    at = time.strftime("%H:%M:%S", time.gmtime(failure.began))
    seconds = f"{failure.ended - failure.began:.1f} s"
    return f"{at} :{failure.port} {failure.method} {failure.path}: {failure.what[:300]} after {seconds}{' (cut)' * cut}"


def inject(scene: Scene, fault: Fault, *, lead: float, tail: float, patience: float) -> dict[str, Any]:
    """Run one fault, from a healthy stack to a healthy stack."""
    load, began = scene.load, time.time()
    first, before = len(load.lives), scene.rescued()
    window = load.record.begin(fault.name)
    scene.broken, scene.cuts = [], []
    load.resume()
    time.sleep(lead)
    start = time.monotonic()
    try:
        fault.do(scene)
    except AssertionError as error:
        scene.broken.append(f"{fault.name}: {error}")
    seconds = scene.wait_until_healthy(patience) - start
    time.sleep(tail)
    # Each of a stack's three steps may take that long.
    load.pause(3 * patience + 30)
    lives = load.lives[first:]
    rescued = sum(max(0, count - before.get(node, 0)) for node, count in scene.rescued().items())
    done = account(window, lives, planned=fault.planned, cuts=scene.cuts, rescued=rescued, seconds=seconds)
    done |= {"broken": scene.broken}
    print(" ".join(f"{key}={value}" for key, value in done.items() if key != "broken"), flush=True)
    for failure in window.failures[:20]:
        print(f"    {describe(failure, excused(failure, () if fault.planned else scene.cuts))}")
    for life in lives:
        if life.end != "complete" or life.hit:
            print(f"    {life.name}: {life.end or 'goes on'}{', an engine died on it' * life.hit}: {life.reason}")
    for what in scene.broken:
        print(f"    {what}")
    if window.failures:
        scene.journal(began)
    sys.stdout.flush()
    return done | {"failures": [asdict(failure) for failure in window.failures]}


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--stack", required=True)
    words.add_argument("--seed", required=True)
    words.add_argument("--faults", default="", help="names, with commas; all by default")
    words.add_argument("--short", action="store_true", help="shorter waits, no minimum number of requests")
    words.add_argument("--reads", type=float, default=20)
    words.add_argument("--stacks", type=float, default=0.3)
    words.add_argument("--patience", type=float, default=420, help="seconds until a stack counts as stuck")
    words.add_argument("--report", type=Path, help="a file for all of it, as JSON")
    asked = words.parse_args()
    # However the run ends, each fault has to undo its changes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stack = Stack(asked.stack)
    outputs = stack.outputs()
    cloud = Cloud(Path(outputs["cloudsYamlPath"]), outputs["heatApiUrl"], outputs["heatCfnUrl"])
    seed = asked.seed
    load = Load(
        cloud,
        seed=seed,
        sources=sources(stack, outputs, _SOURCES),
        reads=asked.reads,
        stacks=asked.stacks,
        patience=asked.patience,
    )
    scene = Scene(stack, load, short=asked.short, outputs=outputs)
    calm = load.record.begin("calm")
    load.start()
    done = [account(calm, [], planned=True) | _unbroken(calm)]
    for fault in ordered(seed, [name for name in asked.faults.split(",") if name]):
        scene.chance = chance(seed, fault.name)
        done.append(inject(scene, fault, lead=5, tail=5 if asked.short else 10, patience=asked.patience))
        _write(asked.report, done)
    # Without faults, until the minimum of a full run is reached.
    first = len(load.lives)
    steady = load.record.begin("steady")
    load.resume()
    short_of = (0, 0) if asked.short or asked.faults else (REQUESTS, STACKS)
    counted = sum(one["requests"] for one in done), sum(one["stacks"] for one in done)
    while counted[0] + steady.sent < short_of[0] or counted[1] + len(load.lives) - first < short_of[1]:
        time.sleep(1)
    load.pause(3 * asked.patience + 30)
    done.append(account(steady, load.lives[first:], planned=True) | _unbroken(steady))
    load.stop()
    _write(asked.report, done)
    total = {key: sum(one[key] for one in done) for key in _TOTALS}
    print(
        json.dumps(
            {"seed": seed}
            | total
            | {"broken": sum(bool(one["broken"]) for one in done)}
            | {"seconds_to_whole": {one["fault"]: one["seconds_to_whole"] for one in done[:-1]}}
        )
    )
    return int(any(total[key] for key in ("failed", "lost", "stuck", "wrong")) or any(one["broken"] for one in done))


_TOTALS = (
    "requests", "failed", "cut", "retried", "stacks", "refused", "lost", "stuck", "wrong", "wrong_cut", "rescued",
)  # fmt: skip


def _unbroken(window: Window) -> dict[str, Any]:
    return {"broken": [], "failures": [asdict(failure) for failure in window.failures]}


def _write(report: Path | None, done: Sequence[Mapping[str, Any]]) -> None:
    """Write the results so far: a run takes an hour and may be interrupted."""
    if report:
        report.write_text(json.dumps(done, indent=1))


if __name__ == "__main__":
    sys.exit(main())
