"""Where a stack's traversal stands, and what would set it going again. Pure: rows of Heat's database in, decisions out.

A traversal is how Heat's engines create, update or delete a stack together: a graph whose nodes are resources to be
updated or to be cleaned up. A node is checked when all that it requires has arrived at it; its result then goes to all
that require it, or to the stack itself. Every step is a message, which the broker forgets as soon as an engine has
taken it: an engine that dies takes the step with it, and nobody in Heat looks after it.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

# A resource (or a snapshot, whose id is a text), and whether it is updated or cleaned up.
Node = tuple[int | str, bool]

# Runs do not start to the second: one that comes so many seconds early does not have the next one waited for.
JITTER = 5

DEAD, IDLE, LOST = "dead_engine", "idle_lock", "lost_message"
# What Heat itself says of a stack whose time is up.
TIMED_OUT = "Timed out"

# What can be begun anew from what the database knows.
REPEATABLE = ("CREATE", "UPDATE", "DELETE", "ROLLBACK", "RESTORE")


@dataclass(frozen=True)
class Resource:
    """A row of a resource. `engine` holds its lock; a `paused` one waits for a user, at a hook.

    `key` is another one after each change of the lock.
    """

    id: int
    engine: str | None = None
    key: int | None = None
    replaces: int | None = None
    replaced_by: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Traversal:
    """A stack's traversal as the database has it.

    Attributes:
        action: the stack's.
        begun: its graph and all of its sync points have been written.
        requires: each node, with the nodes that it requires.
        arrived: each node, with the nodes whose results it has. A node that was triggered again has its own, too.
        finished: the nodes whose results the stack has.
        resources: the stack's, by id.
        wanted: it is no nested stack, or the resource that it belongs to knows of it.
        whole: what its messages carry can all be had from the database.
        overdue: the stack's timeout is over.
    """

    action: str
    begun: bool
    requires: Mapping[Node, Set[Node]]
    arrived: Mapping[Node, Set[Node]]
    finished: Set[Node]
    resources: Mapping[int | str, Resource]
    wanted: bool = True
    whole: bool = True
    overdue: bool = False


@dataclass(frozen=True)
class Step:
    """Check a node again: by a message for `resource`, which is the node's own or what has replaced it meanwhile.

    Before that, `freed` is to lose the lock that a living engine has forgotten.
    """

    node: Node
    resource: int | str
    why: str
    freed: Resource | None = None


@dataclass(frozen=True)
class Decision:
    """What to do for a stack: at most one of the three. Nothing at all means that it needs nothing, or not yet.

    Attributes:
        steps: nodes to check again.
        restart: begin the traversal anew, for this reason.
        fail: mark the stack as failed, for this reason; Heat rolls it back where it was asked to.
        left: nothing can be done, for this reason.
    """

    steps: tuple[Step, ...] = ()
    restart: str = ""
    fail: str = ""
    left: str = ""


def pending(traversal: Traversal) -> Iterator[tuple[Node, bool]]:
    """The nodes that may be checked and are not done; with each, whether its result has reached some that want it."""
    required_by: dict[Node, set[Node]] = defaultdict(set)
    for node, needs in traversal.requires.items():
        for need in needs:
            required_by[need].add(node)
    for node, needs in traversal.requires.items():
        if not needs <= traversal.arrived.get(node, frozenset()):
            continue
        told = {one for one in required_by[node] if node in traversal.arrived.get(one, frozenset())}
        if (told != required_by[node]) if required_by[node] else node not in traversal.finished:
            yield node, bool(told)


def _worked_on(node: Node, traversal: Traversal) -> Resource | None:
    """The resource that stands for a node: its own, or the replacement that this traversal has made for it."""
    own = traversal.resources.get(node[0])
    if own is None or own.engine or not node[1] or own.replaced_by is None:
        return own
    # One that is in the graph was made by an earlier traversal, and is a node of its own.
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
    """What a stack IN_PROGRESS needs.

    A stack whose timeout is over fails, as it does in Heat when any of its checks comes to an engine: here none comes.

    A node whose engine is dead is checked again at once, and so is one whose living engine has forgotten its lock. One
    that nobody holds may be on its way: its message can wait in the queue, or its engine be busy before it takes the
    lock. Only when nothing has changed for long, and no message waits anywhere, is it lost.

    Args:
        traversal: where it stands.
        dead: the engines that are known to be gone.
        waited: nothing about the stack has changed for the grace time.
        quiet: no message waits for an engine.
        idle: the resources whose lock is held by a living engine that does not work on them.
    """
    if traversal.overdue and waited and not any(one.paused for one in traversal.resources.values()):
        return Decision(fail=TIMED_OUT)
    decision = _needed(traversal, dead, idle, waited=waited, quiet=quiet)
    if decision.restart and not traversal.wanted:
        return Decision(fail=f"{decision.restart}, and the stack that it was for knows nothing of it")
    if (decision.steps or decision.restart) and not traversal.whole:
        return Decision(left=f"{traversal.action} cannot be repeated from what the database knows")
    if decision.restart and traversal.action not in REPEATABLE:
        return Decision(left=f"{decision.restart}, and {traversal.action} cannot be begun anew")
    return decision


def _needed(traversal: Traversal, dead: Set[str], idle: Set[int], *, waited: bool, quiet: bool) -> Decision:
    lost = waited and quiet
    if not traversal.begun:
        return Decision(restart="its engine died before the first step") if lost else Decision()
    steps: list[Step] = []
    partly: list[Step] = []
    moving = waiting = False
    for node, told in pending(traversal):
        waiting = True
        resource = _worked_on(node, traversal)
        if resource is None and isinstance(node[0], int):
            if lost:
                return Decision(restart=f"resource {node[0]} is gone, and its end was not told")
        elif resource is not None and resource.engine:
            if resource.engine not in dead and resource.id in idle:
                # Without its lock nothing of it is on its way. A replacement is treated as below.
                steps.append(Step(node, node[0], IDLE, resource))
            elif resource.engine not in dead:
                moving = True
            # What was triggered before has a message on its way, unless nothing has come of it for long.
            elif waited or node not in traversal.arrived.get(node, frozenset()):
                # A replacement cannot be replaced within the traversal that made it (Heat takes the new one for a node
                # of the graph, which it is not): the resource that it was for is replaced once more.
                steps.append(Step(node, node[0], DEAD))
        elif lost and not (resource and resource.paused):
            step = Step(node, resource.id if resource else node[0], LOST)
            (partly if told else steps).append(step)
    if not waiting:
        return Decision(restart="all is done, and the stack was not told") if lost else Decision()
    # A second check of this one sends those that have its result already on their way once more; where one of them is
    # a nested stack in work, this would cancel it.
    return Decision(steps=tuple(steps if moving else steps + partly))


@dataclass(frozen=True)
class Seen:
    """How a stack was found: what it looked like, since when it does (seconds), and in how many runs."""

    mark: str
    since: float
    runs: int = 1

    def again(self, mark: str, now: float) -> Seen:
        """The same a run later."""
        return dataclasses.replace(self, runs=self.runs + 1) if mark == self.mark else Seen(mark, now)

    def waited(self, now: float, grace: float) -> bool:
        """Whether it has looked like this in two runs or more, and for the grace time (less JITTER)."""
        return self.runs > 1 and now - self.since >= grace - JITTER


@dataclass(frozen=True)
class Engine:
    """A row of Heat's table of services: one worker process. Times are seconds, `interval` is between its reports."""

    id: str
    host: str
    created: float
    reported: float
    interval: float


def late(engine: Engine, now: float) -> bool:
    """Whether Heat itself calls an engine down: two reports are missing."""
    return now - engine.reported > 2 * engine.interval


def off_the_books(engine_id: str, engines: Mapping[str, Engine], now: float, *, single: bool) -> bool:
    """Whether the books say that an engine is gone: it has no row, has missed its reports, or another took its place.

    Args:
        engine_id: which.
        engines: every row, by its engine.
        now: on the engines' clock.
        single: an engine has one worker, so that a later row of the same `host` is its successor's.
    """
    row = engines.get(engine_id)
    if row is None or late(row, now):
        return True
    return single and any(other.host == row.host and other.created > row.reported for other in engines.values())
