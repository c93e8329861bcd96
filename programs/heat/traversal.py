"""The state of a stack's traversal, and what would continue it. Pure: rows of Heat's database in, decisions out.

In a traversal Heat's engines create, update or delete a stack together: its graph has a node for each resource to be
updated or cleaned up. A node is checked when the results of all required nodes have arrived; its own result then goes
to the nodes that require it, or to the stack. Every step is a message, which the broker drops as soon as an engine has
taken it. So a step is lost with its engine, and nothing in Heat repeats it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

# The id of a resource (or of a snapshot, a text), and whether it is updated (True) or cleaned up.
Node = tuple[int | str, bool]

# Seconds. Runs do not start to the second: a run that is this much early need not wait for the next one.
JITTER = 5

DEAD, IDLE, LOST = "dead_engine", "idle_lock", "lost_message"
# Heat's own reason for a stack whose timeout is over.
TIMED_OUT = "Timed out"

# The actions that the database has enough data to restart.
REPEATABLE = ("CREATE", "UPDATE", "DELETE", "ROLLBACK", "RESTORE")


@dataclass(frozen=True)
class Resource:
    """A row of a resource.

    Attributes:
        id: the row's id.
        engine: the engine that holds the lock.
        key: changes with each change of the lock.
        replaces: the id of the resource that this one replaces.
        replaced_by: the id of the resource that replaces this one.
        paused: whether the resource waits for a user, at a hook.
    """

    id: int
    engine: str | None = None
    key: int | None = None
    replaces: int | None = None
    replaced_by: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Traversal:
    """A stack's traversal in the database.

    Attributes:
        action: the stack's action.
        begun: whether the graph and all sync points have been written.
        requires: the nodes that each node requires.
        arrived: the nodes whose results each node has. A node that was triggered again also has its own.
        finished: the nodes whose results the stack has.
        resources: the stack's resources by their ids.
        referenced: whether the stack is not nested, or the resource of the outer stack refers to it.
        whole: whether the database has everything that the stack's messages carry.
        overdue: whether the stack's timeout is over.
    """

    action: str
    begun: bool
    requires: Mapping[Node, Set[Node]]
    arrived: Mapping[Node, Set[Node]]
    finished: Set[Node]
    resources: Mapping[int | str, Resource]
    referenced: bool = True
    whole: bool = True
    overdue: bool = False


@dataclass(frozen=True)
class Step:
    """Check a node again, by a message for a resource.

    Attributes:
        node: the node.
        resource: the id of the node's own resource, or of the resource that has replaced it meanwhile.
        why: the reason, DEAD, IDLE or LOST.
        freed: the resource to unlock before, if a living engine has forgotten its lock.
    """

    node: Node
    resource: int | str
    why: str
    freed: Resource | None = None


@dataclass(frozen=True)
class Decision:
    """What to do for a stack: at most one of the three. Without any of them the stack needs nothing, or not yet.

    Heat stores the reason of a failure, and of a restart that becomes one.

    Attributes:
        steps: the nodes to check again.
        restart: the reason to restart the traversal.
        fail: the reason to mark the stack as failed; Heat then rolls it back if a rollback was requested.
        left: the reason why the stack cannot be recovered.
    """

    steps: tuple[Step, ...] = ()
    restart: str = ""
    fail: str = ""
    left: str = ""


def pending(traversal: Traversal) -> Iterator[tuple[Node, bool]]:
    """The nodes that may be checked and are not done, each with whether a node that requires it has its result."""
    required_by: dict[Node, set[Node]] = defaultdict(set)
    for node, needs in traversal.requires.items():
        for need in needs:
            required_by[need].add(node)
    for node, needs in traversal.requires.items():
        if not needs <= traversal.arrived.get(node, frozenset()):
            continue
        delivered = {one for one in required_by[node] if node in traversal.arrived.get(one, frozenset())}
        if (delivered != required_by[node]) if required_by[node] else node not in traversal.finished:
            yield node, bool(delivered)


def _worked_on(node: Node, traversal: Traversal) -> Resource | None:
    """The resource of a node: its own, or the replacement that this traversal has made for it."""
    own = traversal.resources.get(node[0])
    if own is None or own.engine or not node[1] or own.replaced_by is None:
        return own
    # A replacement in the graph comes from an earlier traversal, and has its own node.
    if {(own.replaced_by, True), (own.replaced_by, False)} & traversal.requires.keys():
        return own
    return traversal.resources.get(own.replaced_by, own)


def decide(
    traversal: Traversal,
    dead: Set[str],
    *,
    waited: bool,
    quiet: bool,
    idle: Set[int] = frozenset(),
) -> Decision:
    """Decide what a stack IN_PROGRESS needs.

    A stack whose timeout is over fails. Heat does the same when a check of the stack reaches an engine; here none does.

    A node whose engine is dead is checked again at once, and so is a node whose living engine has forgotten the lock. A
    node without an engine may be on its way: its message may wait in the queue, or its engine may be busy before it
    takes the lock. The node is lost only if nothing has changed for the grace time and no message waits anywhere.

    Args:
        traversal: the state of the traversal.
        dead: the engines that are certainly dead.
        waited: whether nothing about the stack has changed for the grace time.
        quiet: whether no message waits for an engine.
        idle: the ids of the resources whose lock a living engine has forgotten.
    """
    if traversal.overdue and waited and not any(one.paused for one in traversal.resources.values()):
        return Decision(fail=TIMED_OUT)
    decision = _decide_steps(traversal, dead, idle, waited=waited, quiet=quiet)
    if decision.restart and not traversal.referenced:
        return Decision(fail=f"{decision.restart}, and the stack that it was for knows nothing of it")
    if (decision.steps or decision.restart) and not traversal.whole:
        return Decision(left=f"{traversal.action} cannot be repeated from the data in the database")
    if decision.restart and traversal.action not in REPEATABLE:
        return Decision(left=f"{decision.restart}, and {traversal.action} cannot be restarted")
    return decision


def _decide_steps(traversal: Traversal, dead: Set[str], idle: Set[int], *, waited: bool, quiet: bool) -> Decision:
    lost = waited and quiet
    if not traversal.begun:
        return Decision(restart="its engine died before the first step") if lost else Decision()
    steps: list[Step] = []
    partly: list[Step] = []
    moving = waiting = False
    for node, delivered in pending(traversal):
        waiting = True
        resource = _worked_on(node, traversal)
        if resource is None and isinstance(node[0], int):
            if lost:
                return Decision(restart=f"resource {node[0]} is gone, and its completion was not reported")
        elif resource is not None and resource.engine:
            if resource.engine not in dead and resource.id in idle:
                # Without the lock no message of the resource is on its way. A replacement is treated as below.
                steps.append(Step(node, node[0], IDLE, resource))
            elif resource.engine not in dead:
                moving = True
            # A node that was triggered before has a message on its way, unless nothing has changed for long.
            elif waited or node not in traversal.arrived.get(node, frozenset()):
                # A replacement cannot be replaced within the traversal that made it (Heat takes the new resource for a
                # node of the graph, which it is not). So the original resource is replaced once more.
                steps.append(Step(node, node[0], DEAD))
        elif lost and not (resource and resource.paused):
            step = Step(node, resource.id if resource else node[0], LOST)
            (partly if delivered else steps).append(step)
    if not waiting:
        return Decision(restart="all is done, and the stack was not notified") if lost else Decision()
    # A second check of such a node triggers the requirers that have its result once more. That would cancel a requirer
    # that is a nested stack in progress.
    return Decision(steps=tuple(steps if moving else steps + partly))


@dataclass(frozen=True)
class Seen:
    """The state of a stack in this node's runs: its mark, since when (seconds since boot), and the number of runs."""

    mark: str
    since: float
    runs: int = 1

    def seen_again(self, mark: str, now: float) -> Seen:
        """The state after one more run."""
        return dataclasses.replace(self, runs=self.runs + 1) if mark == self.mark else Seen(mark, now)

    def waited(self, now: float, grace: float) -> bool:
        """Whether the stack is unchanged in at least two runs, and for the grace time (less JITTER)."""
        return self.runs > 1 and now - self.since >= grace - JITTER


@dataclass(frozen=True)
class Engine:
    """A row of Heat's table of services: a worker process. Times in seconds; `interval` is between two reports."""

    id: str
    host: str
    created: float
    reported: float
    interval: float


def is_late(engine: Engine, now: float) -> bool:
    """Whether Heat itself counts an engine as down: two reports are missing."""
    return now - engine.reported > 2 * engine.interval


def is_presumed_dead(engine_id: str, engines: Mapping[str, Engine], now: float, *, single: bool) -> bool:
    """Whether an engine is dead by the table of services: it has no row, its reports are late, or it has a successor.

    Args:
        engine_id: the engine.
        engines: every row by its engine.
        now: the time on the engines' clock.
        single: whether engines have one worker each, so that a later row of the same `host` is the successor's.
    """
    row = engines.get(engine_id)
    if row is None or is_late(row, now):
        return True
    return single and any(other.host == row.host and other.created > row.reported for other in engines.values())
