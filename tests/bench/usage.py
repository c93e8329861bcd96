"""CPU usage: by process of the stack under test, and the machine's idle time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_UNIT = re.compile(r"/([^/\n]+\.service)(?:/|$)", re.MULTILINE)
# The units that an engine works with: the database, the broker, and Heat's APIs.
_API = "heat-api"
_CARRIERS = ("mariadb", "mysql", "rabbitmq-server", _API)


@dataclass(frozen=True)
class Process:
    """A process of one of the containers: its id on this machine, its container, and its systemd unit."""

    pid: int
    container: str
    unit: str


@dataclass(frozen=True)
class Times:
    """Seconds since the machine booted, of all CPUs together."""

    total: float
    idle: float


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One half of a case: its creation, or its deletion.

    Args:
        seconds: how long it took.
        engines: CPU seconds of the engines.
        carriers: CPU seconds of the database, the broker and the APIs.
        apis: the APIs' part of that.
        idle: the idle share of all CPUs of the machine.
        others: the share of everything outside the stack's containers, including this client.
    """

    seconds: float
    engines: float
    carriers: float
    idle: float
    others: float = 0.0
    apis: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 3) for name, value in asdict(self).items()}


def unit_of(cgroups: str) -> str:
    """The systemd unit in a process's /proc/PID/cgroup; "" if it has none."""
    found = _UNIT.search(cgroups)
    return found[1] if found else ""


def kind_of(unit: str) -> str:
    """Whether a unit is one of the "engines" or "carriers"; "" for the rest."""
    if unit.startswith("heat-engine@"):
        return "engines"
    return "carriers" if unit.startswith(_CARRIERS) else ""


def cpu_seconds(stat: str) -> float:
    """The CPU seconds of a process, from its /proc/PID/stat. Its name may contain blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def times_of(stat: str) -> Times:
    """The times of all CPUs, from /proc/stat. User time already includes guest time."""
    fields = [int(field) / _TICKS for field in stat.split("\n", 1)[0].split()[1:9]]
    return Times(total=sum(fields), idle=fields[3] + fields[4])


def processes(containers: Collection[str]) -> Iterator[Process]:
    """The processes in these containers, by the containers' ids."""
    for directory in PROC.iterdir():
        if not directory.name.isdigit():
            continue
        try:
            cgroups = (directory / "cgroup").read_text()
        except OSError:  # it has ended
            continue
        for container in containers:
            if container in cgroups:
                yield Process(int(directory.name), container, unit_of(cgroups))


def memory(containers: Collection[str]) -> dict[str, int]:
    """The resident memory in MiB of the largest process of an engine, and of the ReST API."""
    largest: dict[str, int] = {}
    for process in processes(containers):
        kind = process.unit.partition("@")[0]
        if kind in ("heat-engine", _API):
            with suppress(OSError):  # it has ended
                size = resident((PROC / str(process.pid) / "statm").read_text())
                largest[kind] = max(largest.get(kind, 0), size)
    return largest


def resident(statm: str) -> int:
    """The resident memory of a process in MiB, from its /proc/PID/statm."""
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


class Watch:
    """Measure the usage from the creation of this object.

    Args:
        containers: the ids of the stack's containers.
    """

    def __init__(self, containers: Collection[str]) -> None:
        self._containers = containers
        self._began = time.monotonic()
        self._times = times_of((PROC / "stat").read_text())
        self._used = self._usage()

    def stop(self) -> Phase:
        """The usage until now."""
        seconds = time.monotonic() - self._began
        used, times = self._usage(), times_of((PROC / "stat").read_text())
        total = times.total - self._times.total
        sums = {"engines": 0.0, "carriers": 0.0, "": 0.0}
        apis = 0.0
        for process, now in used.items():
            seconds_used = now - self._used.get(process, 0.0)
            sums[kind_of(process.unit)] += seconds_used
            apis += seconds_used if process.unit.startswith(_API) else 0.0
        idle = times.idle - self._times.idle
        return Phase(
            seconds=seconds,
            engines=sums["engines"],
            carriers=sums["carriers"],
            idle=idle / total if total else 0.0,
            apis=apis,
            others=max(total - idle - sum(sums.values()), 0.0) / total if total else 0.0,
        )

    def _usage(self) -> dict[Process, float]:
        used = {}
        for process in processes(self._containers):
            with suppress(OSError):  # it has ended
                used[process] = cpu_seconds((PROC / str(process.pid) / "stat").read_text())
        return used
