"""Plan which process runs on which node and port. Pure: the same numbers give the same plan.

Two rules make a deployment safe to grow:

* a process is identified by its node and its number (engines) or port (APIs) there, so that a plan with N processes is
  a subset of the plan with N+1, and a larger number moves no process;
* processes are spread evenly, and the first nodes take the remainder.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# APIs of one kind on one node use every tenth port: 8004, 8014, … and 8000, 8010, …, so that the two kinds never
# collide.
PORT_STRIDE = 10


class Kind(enum.Enum):
    """The kinds of Heat processes, by the names of their systemd units."""

    ENGINE = "heat-engine"
    API = "heat-api"
    CFN = "heat-api-cfn"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A host that runs Heat processes.

    Attributes:
        name: such as "node-1".
        address: its IPv4 address.
        engines: a fixed number of heat-engine processes; None for a share of the total.
        apis: the same for heat-api.
        cfn_apis: the same for heat-api-cfn.
    """

    name: str
    address: str
    engines: int | None = None
    apis: int | None = None
    cfn_apis: int | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """A planned process, one instance of a systemd template unit.

    Attributes:
        kind: which process of Heat.
        node: the node's name.
        address: the node's IPv4 address.
        instance: engines: 1, 2, … on this node. APIs: the port.
    """

    kind: Kind
    node: str
    address: str
    instance: int

    @property
    def port(self) -> int | None:
        """The port on which an API listens; None for an engine."""
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
        """The name of its Pulumi resource and its `[DEFAULT] host`, unique in the deployment."""
        return f"{self.node}-{self.kind.value}-{self.instance}"


class PlacementError(ValueError):
    """Numbers of processes that no plan can satisfy.

    Attributes:
        problems: a sentence for each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def spread(total: int, pinned: Sequence[int | None]) -> list[int]:
    """Distribute a total over nodes: fixed numbers first, the rest evenly, and the remainder to the first nodes.

    >>> spread(5, [None, None])
    [3, 2]
    >>> spread(5, [1, None, None])
    [1, 2, 2]

    Args:
        total: the sum of the result.
        pinned: for each node, its fixed number, or None for a share of the rest.

    Returns:
        The number of each node, in the order of `pinned`.

    Raises:
        PlacementError: the fixed numbers exceed the total, or are smaller and no node takes the rest.
    """
    fixed = sum(number for number in pinned if number is not None)
    free = sum(number is None for number in pinned)
    rest = total - fixed
    if rest < 0:
        raise PlacementError([f"the nodes' fixed numbers add up to {fixed}, more than the total of {total}"])
    if rest and not free:
        raise PlacementError(
            [f"the nodes' fixed numbers add up to {fixed}, and no node is left for the other {rest} of {total}"]
        )
    shares: list[int] = []
    index = 0
    for number in pinned:
        if number is not None:
            shares.append(number)
            continue
        shares.append(rest // free + (index < rest % free))
        index += 1
    return shares


def plan_processes(
    nodes: Sequence[Node], *, engines: int, apis: int, cfn_apis: int, api_port: int, cfn_port: int
) -> tuple[Process, ...]:
    """Plan every process of a deployment.

    Args:
        nodes: the Heat nodes, in their permanent order.
        engines: the total of heat-engine processes.
        apis: the total of heat-api processes.
        cfn_apis: the total of heat-api-cfn processes.
        api_port: the port of a node's first heat-api; the others use every tenth port from there.
        cfn_port: the same for heat-api-cfn.

    Returns:
        The processes, by kind, then node, then instance.

    Raises:
        PlacementError: numbers or ports that no plan can satisfy, with all problems.
    """
    problems: list[str] = []
    if api_port % PORT_STRIDE == cfn_port % PORT_STRIDE:
        problems.append(
            f"ports {api_port} and {cfn_port} share their last digit: "
            f"APIs use every {PORT_STRIDE}th port, so they would collide"
        )
    requested = (
        (Kind.ENGINE, engines, [node.engines for node in nodes], 1, 1),
        (Kind.API, apis, [node.apis for node in nodes], api_port, PORT_STRIDE),
        (Kind.CFN, cfn_apis, [node.cfn_apis for node in nodes], cfn_port, PORT_STRIDE),
    )
    processes: list[Process] = []
    for kind, total, pinned, first, step in requested:
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
    """Which processes restart together: the first alone, as a test of the change, then `batch` at a time."""
    rest = processes[1:]
    return [tuple(processes[:1]), *(tuple(rest[at : at + batch]) for at in range(0, len(rest), batch))]


def on_node(processes: Iterable[Process], node: str) -> tuple[Process, ...]:
    """The processes of one node, in their order."""
    return tuple(process for process in processes if process.node == node)
