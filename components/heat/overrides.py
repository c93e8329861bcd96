"""The operator's own options of heat.conf: for all processes, a node, a kind of process, or one process.

The settings decide which options are allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pulumi

from components.heat.heat_conf import merge
from components.heat.options import Name, catalogue
from components.topology import Process

# Like heat_conf.Options, but secret values are known only later.
Options: TypeAlias = Mapping[str, Mapping[str, pulumi.Input[str]]]


def format_value(name: Name, value: str | tuple[str, ...]) -> str:
    """A value in the form of heat_conf.Options: a list option on one line, a repeated option with a line per value."""
    if isinstance(value, str):
        return value
    option = catalogue().options.get(name)
    return ("," if option and option.list else "\n").join(value)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Options by their scope. The narrowest scope wins: all, node, kind, process.

    Attributes:
        all: options of every process.
        nodes: options of a node's processes, by the node's name.
        kinds: options of a kind of process, by the name of its unit.
        processes: options of one process, by `Process.name`.
    """

    all: Options = field(default_factory=dict)
    nodes: Mapping[str, Options] = field(default_factory=dict)
    kinds: Mapping[str, Options] = field(default_factory=dict)
    processes: Mapping[str, Options] = field(default_factory=dict)

    def on_node(self, node: str) -> Options:
        """The options of every process of a node, for the node's files."""
        return merge(self.all, self.nodes.get(node, {}))

    def of_process(self, process: Process) -> Options:
        """The options of a process and of its kind, for the process's own file."""
        return merge(self.kinds.get(process.kind.value, {}), self.processes.get(process.name, {}))


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """The operator's own configuration of Heat.

    Attributes:
        public: options of heat.conf.
        secret: options whose values are secrets. No option is in both.
        allowed: options that Heat does not know and its plug-ins read: "section.option".
        policy: policy rules by their names.
    """

    public: Layers = field(default_factory=Layers)
    secret: Layers = field(default_factory=Layers)
    allowed: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)
