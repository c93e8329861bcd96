"""Options of heat.conf that an operator says otherwise: for all, on a node, for a kind of process, for one process.

Which options may be overridden is checked before: infra/settings/options.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import pulumi

from components.heat.heat_conf import merge
from components.heat.options import Name, catalogue
from components.topology import Process

# As heat_conf.Options, with values that may be known later only, as those of secrets are.
Options: TypeAlias = Mapping[str, Mapping[str, pulumi.Input[str]]]


def written(name: Name, value: str | tuple[str, ...]) -> str:
    """A value as heat_conf.Options have it: a list's entries on one line, a repeated option's on lines of their own."""
    if isinstance(value, str):
        return value
    option = catalogue().options.get(name)
    return ("," if option and option.list else "\n").join(value)


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Options by whom they are for; of one that stands in several the last counts: all, node, kind, process.

    Nodes are known by their names, kinds by those of their units, processes by their `Process.name`.
    """

    all: Options = field(default_factory=dict)
    nodes: Mapping[str, Options] = field(default_factory=dict)
    kinds: Mapping[str, Options] = field(default_factory=dict)
    processes: Mapping[str, Options] = field(default_factory=dict)

    def on_node(self, node: str) -> Options:
        """Those of every process of a node, for the node's own files."""
        return merge(self.all, self.nodes.get(node, {}))

    def of_process(self, process: Process) -> Options:
        """Those of a process and its like, for the file that only it reads, after the node's."""
        return merge(self.kinds.get(process.kind.value, {}), self.processes.get(process.name, {}))


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What an operator says otherwise.

    Attributes:
        public: options of heat.conf.
        secret: those whose values are secrets; none of them is in `public`.
        allowed: options that are none of Heat's, but of plug-ins: "section.option".
        policy: rules by their names.
    """

    public: Layers = field(default_factory=Layers)
    secret: Layers = field(default_factory=Layers)
    allowed: tuple[str, ...] = ()
    policy: Mapping[str, str] = field(default_factory=dict)
