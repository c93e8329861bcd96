"""The kinds of Heat process, and which process runs where on which port. Pure: equal inputs give an equal plan.

`Kind` and `APIS` are the table of process kinds: whatever differs between kinds is in a row of it.

Two rules make a deployment safe to grow:

* a process is identified by its node and its ordinal (engines) or port (APIs) on that node, so the processes of N are
  a subset of the processes of N+1, and a larger number moves nothing;
* processes are spread evenly, and the first nodes take the remainder.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

# APIs of one kind on one node take every tenth port: 8004, 8014, … and 8000, 8010, …, so that two kinds never meet,
# however many there are.
PORT_STRIDE = 10
_MAX_PORT = 65535


class Kind(enum.Enum):
    """A kind of Heat process, by the name of its systemd unit."""

    ENGINE = "heat-engine"
    API = "heat-api"
    CFN = "heat-api-cfn"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A request that only a working API answers in this way, sent through the proxy at the end of an `up`.

    Attributes:
        path: of the URL; {project} is the id of the project that `token` is for.
        status: the HTTP status of the answer.
        contains: a text in the body of the answer.
        token: whether the request has a token of Keystone.
    """

    path: str
    status: int
    contains: str
    token: bool


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A service in Keystone's catalogue. The URL of its endpoints is the proxy's, followed by `path`."""

    name: str
    type: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Api:
    """What differs between Heat's APIs.

    Attributes:
        title: the API's name in a sentence.
        port: the default port of the proxy and of the first process on a node.
        listener: the listener's name in the proxy.
        client_path: what clients append to the proxy's URL.
        application: the WSGI application, as module:name.
        section: the section of heat.conf where Heat's own program finds its address and port.
        probe: the request that checks the API.
        catalog: the API's entry in Keystone's catalogue.
    """

    title: str
    port: int
    listener: str
    client_path: str
    application: str
    section: str
    probe: Probe
    catalog: CatalogEntry


APIS: Mapping[Kind, Api] = {
    Kind.API: Api(
        title="ReST",
        port=8004,
        listener="rest_api_proxy",
        client_path="",
        application="heat.wsgi.api:application",
        section="heat_api",
        # An engine answers this one: it takes the whole way, through proxy, API, broker, engine and database.
        probe=Probe(path="/v1/{project}/stacks?limit=1", status=200, contains='"stacks"', token=True),
        catalog=CatalogEntry(name="heat", type="orchestration", path="/v1/%(project_id)s"),
    ),
    Kind.CFN: Api(
        title="CFN",
        port=8000,
        listener="cfn_api_proxy",
        client_path="/v1/",
        application="heat.wsgi.cfn:application",
        section="heat_api_cfn",
        # The answer to a request without a signature. Any other answer takes Keystone's word.
        probe=Probe(path="/v1/", status=400, contains="IncompleteSignature", token=False),
        catalog=CatalogEntry(name="heat-cfn", type="cloudformation", path="/v1"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Node:
    """A host that runs Heat processes.

    `pinned` has the node's own number of processes of a kind. Where it has none (or None), the node takes a share of
    what the other nodes leave.
    """

    name: str
    address: str
    pinned: Mapping[Kind, int | None] = field(default_factory=dict)


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
    # Engines: 1, 2, … on this node. APIs: the port that the process listens on.
    instance: int

    @property
    def port(self) -> int | None:
        """The port that an API listens on; None for an engine."""
        return self.instance if self.kind in APIS else None

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
        """The process's name, unique in the deployment: also of its Pulumi resource, and its `[DEFAULT] host`."""
        return f"{self.node}-{self.kind.value}-{self.instance}"


class PlacementError(ValueError):
    """Numbers or ports that do not fit the nodes.

    Attributes:
        ports: one sentence for each problem with the ports.
        numbers: a sentence for each kind whose number does not fit the nodes' fixed numbers.
    """

    def __init__(self, ports: Sequence[str], numbers: Mapping[Kind, str]) -> None:
        super().__init__("\n".join([*ports, *(f"{kind.value}: {problem}" for kind, problem in numbers.items())]))
        self.ports, self.numbers = tuple(ports), dict(numbers)


def spread(total: int, pinned: Sequence[int | None]) -> list[int]:
    """Share `total` among nodes: pinned numbers first, the rest evenly; the first nodes take the remainder.

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
        ValueError: the pinned numbers exceed the total, or every node is pinned and the numbers fall short of it.
    """
    fixed = sum(number for number in pinned if number is not None)
    free = sum(number is None for number in pinned)
    rest = total - fixed
    if rest < 0 or (rest and not free):
        compared = "more" if rest < 0 else "fewer"
        raise ValueError(
            f"the fixed numbers of {len(pinned) - free} of {len(pinned)} nodes add up to {fixed}, "
            f"{compared} than the total of {total}"
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
    nodes: Sequence[Node], *, counts: Mapping[Kind, int], ports: Mapping[Kind, int]
) -> tuple[Process, ...]:
    """Plan every process of a deployment.

    Args:
        nodes: the Heat nodes, in their lasting order.
        counts: the number of processes of each kind in the deployment.
        ports: for each kind of API, the port of a node's first process; further processes take every tenth port.

    Returns:
        The processes, by kind, then node, then instance.

    Raises:
        PlacementError: numbers or ports that do not fit; all problems at once.
    """
    port_problems = [
        f"ports {one} and {other} share their last digit: APIs use every {PORT_STRIDE}th port, so they would collide"
        for one, other in combinations(ports.values(), 2)
        if one % PORT_STRIDE == other % PORT_STRIDE
    ]
    numbers: dict[Kind, str] = {}
    processes: list[Process] = []
    for kind in Kind:
        first, step = (ports[kind], PORT_STRIDE) if kind in APIS else (1, 1)
        try:
            shares = spread(counts[kind], [node.pinned.get(kind) for node in nodes])
        except ValueError as error:
            numbers[kind] = str(error)
            continue
        for node, share in zip(nodes, shares, strict=True):
            instances = range(first, first + share * step, step)
            if kind in APIS and share and instances[-1] > _MAX_PORT:
                port_problems.append(f"{kind.value}: port {instances[-1]} on {node.name} is beyond {_MAX_PORT}")
            processes += [
                Process(kind=kind, node=node.name, address=node.address, instance=instance) for instance in instances
            ]
    if port_problems or numbers:
        raise PlacementError(port_problems, numbers)
    return tuple(processes)


def of_kind(processes: Iterable[Process], kind: Kind) -> tuple[Process, ...]:
    """The processes of one kind, in their order."""
    return tuple(process for process in processes if process.kind is kind)


def rolling_batches(processes: Sequence[Process], batch: int) -> list[tuple[Process, ...]]:
    """Which processes restart together: the first alone, as a test for the others, then `batch` at a time."""
    rest = processes[1:]
    return [tuple(processes[:1]), *(tuple(rest[at : at + batch]) for at in range(0, len(rest), batch))]


def on_node(processes: Iterable[Process], node: str) -> tuple[Process, ...]:
    """The processes of one node, in their order."""
    return tuple(process for process in processes if process.node == node)
