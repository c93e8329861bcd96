"""Hold each engine to a fixed share of one CPU core.

On cgroup v2 systemd does that in the container, by CPUQuota= of the engine's unit. On cgroup v1 a container's systemd
does not control the CPU: there each engine gets a cgroup on this machine, below `GROUP`, and its processes move there.
For the other controllers and for systemd the processes stay where they were.

    python -m tests.bench.share      # remove the leftovers of a killed run
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.bench.usage import PROC, Process, processes
from tests.e2e.lab import Stack
from tests.faults.scene import root

GROUP = "heat-scaleout-bench"
# Microseconds. Short, so that an engine is slow instead of stopped: the kernel's default, 100,000, would stop an engine
# that holds a lock for most of a tenth of a second.
PERIOD = 20_000
_WITHOUT = "Run the benchmark without numbers of engines: ENGINES= make bench"
_V2 = Path("/sys/fs/cgroup/cgroup.controllers")


def controller(mounts: str, v2_controllers: str) -> Path | None:
    """Where the cpu controller of cgroup v1 is mounted; None if cgroup v2 has it.

    Args:
        mounts: /proc/mounts.
        v2_controllers: cgroup.controllers of the root of cgroup v2, "" if there is none.

    Raises:
        ValueError: there is no cpu controller.
    """
    if "cpu" in v2_controllers.split():
        return None
    for line in mounts.splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            return Path(where)
    raise ValueError(f"This machine has no cpu controller, in neither cgroup v1 nor v2. {_WITHOUT}")


def group_path(cpu: Path, node: str, unit: str) -> Path:
    """The cgroup of an engine, such as heat-scaleout-bench/node-1-2 for heat-engine@2 on node-1."""
    number = re.sub(r"\D", "", unit)
    return cpu / GROUP / f"{node}-{number}"


def v1_place(cgroups: str) -> str:
    """A process's place in the cpu controller of cgroup v1, from its /proc/PID/cgroup."""
    for line in cgroups.splitlines():
        _, controllers, place = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return place
    return "/"


def v2_place(cgroups: str) -> str:
    """A process's place in cgroup v2, from its /proc/PID/cgroup, relative to where that is mounted."""
    return next((line[len("0::/") :] for line in cgroups.splitlines() if line.startswith("0::/")), "")


def find_controller() -> Path | None:
    """Where this machine's cpu controller is: see `controller`."""
    return controller((PROC / "mounts").read_text(), _V2.read_text() if _V2.exists() else "")


def engines_of(containers: dict[str, str]) -> dict[tuple[str, str], list[Process]]:
    """The processes of each engine, by node and unit. `containers`: the nodes, by their containers' ids."""
    found: dict[tuple[str, str], list[Process]] = {}
    for process in processes(containers):
        if process.unit.startswith("heat-engine@"):
            found.setdefault((containers[process.container], process.unit), []).append(process)
    return found


@contextmanager
def shared(stack: Stack, containers: dict[str, str], percent: int) -> Iterator[None]:
    """Limit each engine to so many percent of one core.

    Args:
        stack: whose engines.
        containers: its nodes, by their containers' ids.
        percent: of a core; 0 holds nobody back.

    Raises:
        RuntimeError: no share can be given here.
    """
    if not percent:
        yield
        return
    cpu, engines = find_controller(), engines_of(containers)
    assert engines, "no process of an engine was found on this machine"
    try:
        for (node, unit), its_own in engines.items():
            if cpu:
                _hold(group_path(cpu, node, unit), [process.pid for process in its_own], percent)
            else:
                stack.on(node, f"systemctl set-property --runtime {unit} CPUQuota={percent}%")
                held = _V2.parent / v2_place((PROC / str(its_own[0].pid) / "cgroup").read_text()) / "cpu.max"
                if not held.exists() or held.read_text().startswith("max"):
                    raise RuntimeError(f"{held} has no effect: the container has no cpu controller. {_WITHOUT}")
        yield
    finally:
        if cpu:
            remove(cpu)
        else:
            for node, unit in engines:
                stack.on(node, f"systemctl set-property --runtime {unit} CPUQuota=", check=False)


def _hold(group: Path, pids: list[int], percent: int) -> None:
    root("mkdir", "-p", str(group))
    _write(group / "cpu.cfs_period_us", PERIOD)
    _write(group / "cpu.cfs_quota_us", PERIOD * percent // 100)
    for pid in pids:
        _write(group / "cgroup.procs", pid)


def remove(cpu: Path) -> None:
    """Remove the cgroups. Processes that still run in them return to their container's cgroup."""
    top = cpu / GROUP
    if not top.is_dir():
        return
    for group in [*(path for path in top.iterdir() if path.is_dir()), top]:
        for _ in range(20):
            for pid in map(int, (group / "cgroup.procs").read_text().split()):
                # The process may have ended.
                with suppress(AssertionError, OSError):
                    _write(_home(cpu, pid) / "cgroup.procs", pid)
            with suppress(AssertionError):
                root("rmdir", str(group))
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{group} cannot be removed: processes still run in it.")


def _home(cpu: Path, pid: int) -> Path:
    """The cgroup of a process before the limit: its container's first process is still there."""
    while pid > 1:
        place = v1_place((PROC / str(pid) / "cgroup").read_text())
        if not place.startswith(f"/{GROUP}"):
            home = cpu / place.lstrip("/")
            return home if home.is_dir() else cpu
        pid = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return cpu


def _write(path: Path, value: int) -> None:
    root("sh", "-c", 'echo "$1" >"$2"', "sh", str(value), str(path))


if __name__ == "__main__":
    if (found := find_controller()) is not None:
        remove(found)
