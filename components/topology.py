"""Which process runs where, on which port. Pure: the same numbers give the same plan.

Two rules make a deployment safe to grow:

* a process is known by its node and its ordinal (engines) or port (APIs) there, so that the processes of N are a
  subset of those of N+1 and a larger number moves nothing;
* processes are spread evenly, the first nodes taking what is left over.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# APIs of one kind on one node take every tenth port: 8004, 8014, … and 8000, 8010, …, so that the two kinds never
# meet however many there are.
PORT_STRIDE = 10


class Kind(enum.Enum):
    """The three processes of Heat, by the names of their systemd units."""

    ENGINE = "heat-engine"
    API = "heat-api"
    CFN = "heat-api-cfn"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A host that runs Heat processes.

    A number that is not None is the node's own: it takes that many, and the rest is spread over the other nodes.
    """

    name: str
    address: str
    engines: int | None = None
    apis: int | None = None
    cfn_apis: int | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One systemd unit instance."""

    kind: Kind
    node: str
    address: str
    # Engines: 1, 2, … on this node. APIs: the port it listens on.
    instance: int

    @property
    def port(self) -> int | None:
        """The port an API listens on; None for an engine."""
        return None if self.kind is Kind.ENGINE else self.instance

    @property
    def backend(self) -> str:
        """An API's name in the proxy, such as node-1-8004."""
        return f"{self.node}-{self.port}"

    @property
    def unit(self) -> str:
        """The systemd unit, such as heat-api@8004."""
        return f"{self.kind.value}@{self.instance}"

    @property
    def name(self) -> str:
        """Unique in the deployment: the name of its Pulumi resource and its `[DEFAULT] host`."""
        return f"{self.node}-{self.kind.value}-{self.instance}"


class PlacementError(ValueError):
    """Numbers that cannot be placed. `problems` has one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def spread(total: int, pinned: Sequence[int | None]) -> list[int]:
    """Share `total` among nodes: pinned numbers first, the rest evenly, the first nodes taking what is left over.

    >>> spread(5, [None, None])
    [3, 2]
    >>> spread(5, [1, None, None])
    [1, 2, 2]

    Raises:
        PlacementError: the pinned numbers exceed the total, or leave some over with no node to take them.
    """
    taken = sum(number for number in pinned if number is not None)
    free = sum(number is None for number in pinned)
    left = total - taken
    if left < 0:
        raise PlacementError([f"the nodes' own numbers add up to {taken}, more than the {total} in all"])
    if left and not free:
        raise PlacementError(
            [f"the nodes' own numbers add up to {taken}, and no node is free to take the other {left}"]
        )
    shares: list[int] = []
    ordinal = 0
    for number in pinned:
        if number is not None:
            shares.append(number)
            continue
        shares.append(left // free + (ordinal < left % free))
        ordinal += 1
    return shares


def place(
    nodes: Sequence[Node], *, engines: int, apis: int, cfn_apis: int, api_port: int, cfn_port: int
) -> tuple[Process, ...]:
    """Plan every process of a deployment.

    Args:
        nodes: the Heat nodes, in their lasting order.
        engines: how many heat-engine processes in all.
        apis: how many heat-api processes in all.
        cfn_apis: how many heat-api-cfn processes in all.
        api_port: the port of a node's first heat-api; further ones take every tenth port.
        cfn_port: the same for heat-api-cfn.

    Returns:
        The processes, by kind, then node, then instance.

    Raises:
        PlacementError: numbers or ports that cannot be had; all problems at once.
    """
    problems: list[str] = []
    if api_port % PORT_STRIDE == cfn_port % PORT_STRIDE:
        problems.append(
            f"ports {api_port} and {cfn_port} share their last digit: "
            f"APIs take every {PORT_STRIDE}th port, so theirs would meet"
        )
    wanted = (
        (Kind.ENGINE, engines, [node.engines for node in nodes], 1, 1),
        (Kind.API, apis, [node.apis for node in nodes], api_port, PORT_STRIDE),
        (Kind.CFN, cfn_apis, [node.cfn_apis for node in nodes], cfn_port, PORT_STRIDE),
    )
    processes: list[Process] = []
    for kind, total, pinned, first, step in wanted:
        try:
            shares = spread(total, pinned)
        except PlacementError as error:
            problems += [f"{kind.value}: {problem}" for problem in error.problems]
            continue
        for node, share in zip(nodes, shares, strict=True):
            instances = range(first, first + share * step, step)
            if kind is not Kind.ENGINE and share and instances[-1] > 65535:  # noqa: PLR2004
                problems.append(f"{kind.value}: port {instances[-1]} on {node.name} is beyond 65535")
            processes += [
                Process(kind=kind, node=node.name, address=node.address, instance=instance) for instance in instances
            ]
    if problems:
        raise PlacementError(problems)
    return tuple(processes)


def of_kind(processes: Iterable[Process], kind: Kind) -> tuple[Process, ...]:
    """The processes of one kind, in their order."""
    return tuple(process for process in processes if process.kind is kind)


def rolling_batches(processes: Sequence[Process], batch: int) -> list[tuple[Process, ...]]:
    """Who restarts together: the first alone, to be seen to work before another is touched, then `batch` at a time."""
    rest = processes[1:]
    return [tuple(processes[:1]), *(tuple(rest[at : at + batch]) for at in range(0, len(rest), batch))]


def on_node(processes: Iterable[Process], node: str) -> tuple[Process, ...]:
    """The processes of one node, in their order."""
    return tuple(process for process in processes if process.node == node)
