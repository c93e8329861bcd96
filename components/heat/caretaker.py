"""Stack recovery and cleanup: stacks whose engine died, rows of dead engines, stacks that were deleted long ago.

A program with timers on every node. One node at a time does the work, as programs/heat/caretaker.py explains. There is
no leader to elect or to move, and the loss of a node does not matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.heat import heat_conf
from components.heat.node import HeatNode
from components.rendering import program_text, render

_DIRECTORY = "/usr/local/lib/heat-scaleout"
# The last is the program, the others are its modules. They import each other from one directory.
_PROGRAMS = ("traversal", "upkeep", "records", "caretaker")
# The directory of the counters, for --collector.textfile.directory of Prometheus' node exporter.
COUNTERS = "/var/lib/heat/caretaker"
_UNITS = "/etc/systemd/system"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When the caretaker runs its tasks; 0 is never.

    Attributes:
        rescue_minutes: the interval of stack recovery.
        grace_seconds: how long a stack without an engine must be unchanged until it counts as stuck.
        clean_hours: the interval at which the rows of dead engines are removed.
        purge_days: the age at which deleted stacks are purged.
        purge_at: the time of the purge, as systemd writes it.
    """

    rescue_minutes: int
    grace_seconds: int
    clean_hours: int
    purge_days: int
    purge_at: str

    @property
    def calendar(self) -> dict[str, tuple[str, str]]:
        """Each task that is enabled, with its times (as systemd writes them) and its purpose."""
        every = {
            "rescue": (self.rescue_minutes, f"*:0/{self.rescue_minutes}", "recover stacks whose engine died"),
            "clean": (self.clean_hours, f"0/{self.clean_hours}:30", "remove the rows of dead engines"),
            "purge": (self.purge_days, self.purge_at, f"purge stacks that were deleted {self.purge_days} days ago"),
        }
        return {task: (when, purpose) for task, (number, when, purpose) in every.items() if number}


class Caretaker(pulumi.ComponentResource):
    """The caretaker and its timers, on every node.

    Attributes:
        running: done when a node's timers run, by the node's name.
    """

    running: dict[str, pulumi.Resource]

    def __init__(
        self,
        name: str,
        *,
        nodes: Mapping[str, HeatNode],
        schedule: Schedule,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install the program and start the timers.

        Args:
            name: the component's name.
            nodes: the nodes by their names.
            schedule: when the tasks run.
            after: what must be done before the timers start, such as starting the engines.
            opts: of the component.
        """
        super().__init__("heat:caretaker:Caretaker", name, {}, opts)
        self.running = {name: self._on(node, schedule, after) for name, node in nodes.items()}
        timers = [f"heat-caretaker@{task}.timer" for task in schedule.calendar]
        self.register_outputs({"timers": timers, "counters": COUNTERS})

    def _on(self, node: HeatNode, schedule: Schedule, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        files = {part: (f"{_DIRECTORY}/{part}.py", program_text(f"heat/{part}.py")) for part in _PROGRAMS}
        files["unit"] = (
            f"{_UNITS}/heat-caretaker@.service",
            render(
                "heat/caretaker@.service.j2",
                python=node.python,
                program=f"{_DIRECTORY}/{_PROGRAMS[-1]}.py",
                node=node.host.name,
                directory=COUNTERS,
                grace=schedule.grace_seconds,
                days=schedule.purge_days,
                conf=heat_conf.CONF,
                secrets=heat_conf.SECRETS,
                memory=node.memory.caretaker,
            ),
        )
        timers = {task: f"heat-caretaker@{task}.timer" for task in schedule.calendar}
        for task, (calendar, purpose) in schedule.calendar.items():
            text = render("heat/caretaker.timer.j2", calendar=calendar, purpose=purpose)
            files[f"{task}-timer"] = (f"{_UNITS}/{timers[task]}", text)
        installed = [
            node.host.file(f"caretaker-{name}", path, text, parent=self, after=[node.installed])
            for name, (path, text) in files.items()
        ]
        digest = hashlib.sha256("\0".join(text for _, text in files.values()).encode()).hexdigest()
        script = render("heat/timers.sh.j2", digest=digest, timers=list(timers.values()))
        return node.host.script("caretaker", script, parent=self, after=[*installed, *node.files, *after])
