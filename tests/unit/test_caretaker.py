"""The caretaker's decisions, without Heat: which traversals are stuck, and what is done about them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traversal import (
    DEAD,
    IDLE,
    LOST,
    TIMED_OUT,
    Decision,
    Engine,
    Node,
    Resource,
    Seen,
    Step,
    Traversal,
    decide,
    is_late,
    is_presumed_dead,
)
from upkeep import (
    HANDICAP,
    NONE_WAIT,
    WAIT,
    WORK,
    Counters,
    InProgress,
    Memory,
    StackLock,
    Turn,
    dead_engines,
    explain_unsupported,
    is_quiet,
    listener,
    rescue,
)

ALIVE, GONE = "engine-alive", "engine-gone"


def chain(*resources: Resource, done: int = 0, action: str = "CREATE", begun: bool = True, **more: Any) -> Traversal:
    """A traversal where each resource requires the one before it; the first `done` of them are reported as complete."""
    nodes = [(resource.id, True) for resource in resources]
    requires: dict[Node, set[Node]] = {node: set(nodes[at - 1 : at]) if at else set() for at, node in enumerate(nodes)}
    arrived: dict[Node, set[Node]] = {node: {need for need in requires[node] if need in nodes[:done]} for node in nodes}
    return Traversal(
        action=action,
        begun=begun,
        requires=requires,
        arrived=arrived,
        finished={nodes[-1]} if done == len(nodes) else set(),
        resources={resource.id: resource for resource in resources} | more.pop("others", {}),
        **more,
    )


def calmly(traversal: Traversal) -> Decision:
    """The decision about a traversal that has been unchanged for long, while no message waits."""
    return decide(traversal, {GONE}, waited=True, quiet=True)


def at_once(traversal: Traversal) -> Decision:
    """The decision about a traversal that was not seen before."""
    return decide(traversal, {GONE}, waited=False, quiet=False)


# Dead engines.


def test_a_resource_whose_engine_is_gone_is_checked_again_at_once() -> None:
    stuck = chain(Resource(1), Resource(2, engine=GONE), Resource(3), done=1)
    assert at_once(stuck) == Decision(steps=(Step((2, True), 2, DEAD),))


def test_several_resources_of_several_engines_are_checked_again_in_one_run() -> None:
    side_by_side = Traversal(
        action="CREATE",
        begun=True,
        requires={(1, True): set(), (2, True): set(), (3, True): set()},
        arrived={},
        finished=set(),
        resources={1: Resource(1, engine=GONE), 2: Resource(2, engine="gone too"), 3: Resource(3, engine=ALIVE)},
    )
    decision = decide(side_by_side, {GONE, "gone too"}, waited=False, quiet=False)
    assert {step.resource for step in decision.steps} == {1, 2}


def test_a_requested_check_is_not_requested_again_until_it_had_no_effect() -> None:
    asked = chain(Resource(1, engine=GONE))
    asked = replace(asked, arrived={(1, True): {(1, True)}})
    assert at_once(asked) == Decision()
    assert calmly(asked).steps == (Step((1, True), 1, DEAD),)


def test_the_clean_up_of_a_resource_is_repeated_and_not_its_update() -> None:
    """The update is complete: repeating it would replace what is being deleted."""
    update, clean_up = (1, True), (1, False)
    stuck = Traversal(
        action="UPDATE",
        begun=True,
        requires={update: set(), clean_up: {update}},
        arrived={clean_up: {update}},
        finished=set(),
        resources={1: Resource(1, engine=GONE)},
    )
    assert at_once(stuck).steps == (Step(clean_up, 1, DEAD),)


def replaced(**replacement: Any) -> Traversal:
    return chain(Resource(1, replaced_by=7), Resource(2), others={7: Resource(7, replaces=1, **replacement)})


def test_a_replacement_whose_engine_is_dead_is_created_again_from_what_it_replaces() -> None:
    assert at_once(replaced(engine=GONE)).steps == (Step((1, True), 1, DEAD),)


def test_a_replacement_without_an_engine_is_checked_itself() -> None:
    assert calmly(replaced()).steps == (Step((1, True), 7, LOST),)


def test_a_replacement_that_an_engine_works_on_is_not_touched() -> None:
    assert calmly(replaced(engine=ALIVE)) == Decision()


def test_a_replacement_of_an_earlier_traversal_does_not_replace_another_check() -> None:
    """After a rollback the old resource is required again, and its replacement is cleaned up."""
    back = replaced()
    back = replace(back, requires={**back.requires, (7, False): {(1, True)}})
    assert calmly(back).steps == (Step((1, True), 1, LOST),)


# Locks that a live engine has forgotten.


def test_a_resource_whose_lock_its_living_engine_has_forgotten_is_freed_and_checked_again_at_once() -> None:
    held = Resource(2, engine=ALIVE, key=5)
    stuck = chain(Resource(1), held, Resource(3), done=1)
    assert decide(stuck, {GONE}, waited=False, quiet=False, idle={2}).steps == (Step((2, True), 2, IDLE, held),)
    # Another resource's lock does not matter.
    assert decide(stuck, {GONE}, waited=True, quiet=True, idle={1, 3}) == Decision()


def test_a_replacement_whose_lock_was_forgotten_is_freed_and_created_again_from_what_it_replaces() -> None:
    stuck = replaced(engine=ALIVE, key=2)
    assert decide(stuck, set(), waited=False, quiet=False, idle={7}).steps == (
        Step((1, True), 1, IDLE, stuck.resources[7]),
    )


def test_the_clean_up_of_a_resource_whose_lock_was_forgotten_is_repeated() -> None:
    held = Resource(1, engine=ALIVE)
    stuck = Traversal(
        action="DELETE", begun=True, requires={(1, False): set()}, arrived={}, finished=set(), resources={1: held}
    )
    assert decide(stuck, set(), waited=False, quiet=False, idle={1}).steps == (Step((1, False), 1, IDLE, held),)


def test_a_forgotten_lock_does_not_delay_a_lost_message() -> None:
    """Its engine does nothing: other lost messages are sent again with it."""
    stuck = told_one_of_two(Resource(2, engine=ALIVE))
    assert {step.why for step in decide(stuck, set(), waited=True, quiet=True, idle={2}).steps} == {IDLE, LOST}


# Stacks past their timeouts.


@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "DELETE", "ROLLBACK", "ADOPT", "SUSPEND", "CHECK", "SNAPSHOT"])
@pytest.mark.parametrize("resource", [Resource(1), Resource(1, engine=ALIVE), Resource(1, engine=GONE)])
def test_a_stack_past_its_timeout_in_which_nothing_moves_fails(action: str, resource: Resource) -> None:
    is_late = chain(resource, action=action, overdue=True, whole=action != "ADOPT")
    assert calmly(is_late) == Decision(fail=TIMED_OUT)
    assert calmly(replace(is_late, begun=False)) == Decision(fail=TIMED_OUT)
    # A message in a queue may wait for long, but the stack is past its timeout.
    assert decide(is_late, set(), waited=True, quiet=False) == Decision(fail=TIMED_OUT)
    assert not decide(is_late, set(), waited=False, quiet=True).fail


def test_a_stack_past_its_timeout_that_waits_for_its_user_is_not_touched() -> None:
    assert calmly(chain(Resource(1, paused=True), overdue=True)) == Decision()


# Lost messages.


def test_a_resource_without_an_engine_is_checked_again_after_the_grace_time_if_no_message_waits() -> None:
    lost = chain(Resource(1), Resource(2), done=1)
    assert calmly(lost).steps == (Step((2, True), 2, LOST),)
    for waited, quiet in ((False, False), (False, True), (True, False)):
        assert decide(lost, set(), waited=waited, quiet=quiet) == Decision()


def test_a_resource_that_waits_for_its_user_is_not_touched() -> None:
    assert calmly(chain(Resource(1, paused=True))) == Decision()


def told_one_of_two(other: Resource) -> Traversal:
    """1 is complete, and its engine died after the message to 2 and before the message to 3."""
    return Traversal(
        action="CREATE",
        begun=True,
        requires={(1, True): set(), (2, True): {(1, True)}, (3, True): {(1, True)}},
        arrived={(2, True): {(1, True)}},
        finished=set(),
        resources={1: Resource(1), 2: other, 3: Resource(3)},
    )


def test_a_partly_delivered_result_is_sent_again_only_if_nothing_of_the_stack_is_in_work() -> None:
    assert calmly(told_one_of_two(Resource(2, engine=ALIVE))) == Decision()
    assert Step((1, True), 1, LOST) in calmly(told_one_of_two(Resource(2))).steps


def test_work_in_other_parts_of_the_stack_does_not_delay_a_lost_message() -> None:
    apart = Traversal(
        action="CREATE",
        begun=True,
        requires={(1, True): set(), (2, True): set()},
        arrived={},
        finished=set(),
        resources={1: Resource(1, engine=ALIVE), 2: Resource(2)},
    )
    assert calmly(apart).steps == (Step((2, True), 2, LOST),)


def test_an_abandoned_deletion_of_a_snapshot_is_checked_again() -> None:
    alone = Traversal(
        action="DELETE", begun=True, requires={("snap", False): set()}, arrived={}, finished=set(), resources={}
    )
    assert calmly(alone).steps == (Step(("snap", False), "snap", LOST),)


# Traversals that must be restarted.


@pytest.mark.parametrize("action", ["CREATE", "UPDATE", "DELETE", "ROLLBACK"])
def test_a_traversal_whose_engine_died_before_its_first_step_is_restarted(action: str) -> None:
    unbegun = chain(Resource(1), begun=False, action=action)
    assert calmly(unbegun) == Decision(restart="its engine died before the first step")
    assert at_once(unbegun) == Decision()


def test_a_traversal_whose_last_result_was_lost_is_restarted() -> None:
    done = chain(Resource(1), Resource(2), done=2)
    assert calmly(done).restart
    assert at_once(done) == Decision()


def test_a_traversal_that_lost_a_resource_s_row_is_restarted() -> None:
    """A resource that was never created is deleted with its row, and nothing is left to check."""
    gone = Traversal(
        action="DELETE", begun=True, requires={(1, False): set()}, arrived={}, finished=set(), resources={}
    )
    assert calmly(gone).restart
    assert at_once(gone) == Decision()


def test_an_empty_stack_whose_last_result_was_lost_is_restarted() -> None:
    assert calmly(replace(chain(Resource(1)), requires={})).restart


def test_an_orphaned_nested_stack_is_not_restarted_but_fails() -> None:
    orphan = chain(Resource(1), begun=False, referenced=False)
    assert calmly(orphan).fail
    assert not calmly(orphan).restart
    assert calmly(replace(orphan, begun=True)).steps


def test_a_stack_with_too_little_data_in_the_database_is_left_and_reported() -> None:
    adopted = chain(Resource(1, engine=GONE), action="ADOPT", whole=False)
    assert at_once(adopted) == Decision(left="ADOPT cannot be repeated from the data in the database")
    assert calmly(chain(Resource(1), begun=False, action="SNAPSHOT")).left


# Healthy stacks.


IDS = st.integers(1, 6)
NODES = st.tuples(IDS, st.booleans())


@st.composite
def traversals(draw: st.DrawFn, engines: Sequence[str | None]) -> Traversal:
    nodes: list[Node] = sorted(draw(st.sets(NODES, min_size=1)))
    requires: dict[Node, set[Node]] = {
        node: draw(st.sets(st.sampled_from(nodes[:at]))) if at else set() for at, node in enumerate(nodes)
    }
    return Traversal(
        action=draw(st.sampled_from(["CREATE", "UPDATE", "DELETE", "ADOPT", "CHECK"])),
        begun=draw(st.booleans()),
        requires=requires,
        arrived={node: draw(st.sets(st.sampled_from(nodes))) for node in nodes},
        finished=draw(st.sets(st.sampled_from(nodes))),
        resources={
            one: Resource(
                one,
                key=draw(st.integers(1, 3)),
                engine=draw(st.sampled_from(engines)),
                replaced_by=draw(st.none() | IDS),
                paused=draw(st.booleans()),
            )
            for one in draw(st.sets(IDS))
        },
        referenced=draw(st.booleans()),
        whole=draw(st.booleans()),
    )


@given(traversals([ALIVE]), st.booleans(), st.booleans())
def test_what_a_live_engine_holds_is_never_touched(traversal: Traversal, waited: bool, quiet: bool) -> None:
    decision = decide(traversal, {GONE}, waited=waited, quiet=quiet)
    held = {one.id for one in traversal.resources.values() if one.engine}
    assert not held & {step.resource for step in decision.steps}


@given(traversals([None, ALIVE]), st.booleans())
def test_without_a_dead_engine_nothing_is_touched_before_the_grace_time(traversal: Traversal, quiet: bool) -> None:
    assert decide(traversal, {GONE}, waited=False, quiet=quiet) == Decision()


@given(traversals([None, ALIVE, GONE]), st.booleans(), st.booleans())
def test_there_is_at_most_one_decision_and_only_about_nodes_of_the_graph(
    traversal: Traversal,
    waited: bool,
    quiet: bool,
) -> None:
    decision = decide(traversal, {GONE}, waited=waited, quiet=quiet)
    assert sum(map(bool, (decision.steps, decision.restart, decision.fail, decision.left))) <= 1
    nodes = [step.node for step in decision.steps]
    assert set(nodes) <= traversal.requires.keys()
    assert len(nodes) == len(set(nodes))


@given(traversals([None, ALIVE, GONE]), st.booleans(), st.booleans(), st.sets(IDS))
def test_only_a_lock_that_its_living_engine_has_forgotten_is_released(
    traversal: Traversal, waited: bool, quiet: bool, idle: set[int]
) -> None:
    decision = decide(traversal, {GONE}, waited=waited, quiet=quiet, idle=idle)
    for step in decision.steps:
        assert (step.why == IDLE) is (step.freed is not None)
        assert step.freed is None or (step.freed.id in idle and step.freed.engine == ALIVE)


def test_the_grace_time_needs_two_runs_and_begins_with_each_change() -> None:
    first = Seen("as it was", 100.0)
    assert not first.waited(1000, grace=300)
    again = first.seen_again("as it was", 400.0)
    assert again.waited(400, grace=300)
    # The run of three hundred seconds later, which started a little sooner after its timer.
    assert again.waited(399.9, grace=300)
    assert not again.waited(340, grace=300)
    assert first.seen_again("changed", 400.0) == Seen("changed", 400.0)


# Which engines are dead.


def engine(name: str, *, host: str = "one", created: float = 0, reported: float = 0) -> Engine:
    return Engine(id=name, host=host, created=created, reported=reported, interval=60)


def test_an_engine_is_presumed_dead_without_a_row_after_two_missed_reports_or_with_a_successor() -> None:
    old, new = engine("old", reported=1000), engine("new", created=1010, reported=1010)
    elsewhere = replace(new, host="two")
    assert is_presumed_dead("old", {}, 1000, single=True)
    assert not is_presumed_dead("old", {"old": old}, 1120, single=True)
    assert is_presumed_dead("old", {"old": old}, 1121, single=True)
    assert is_presumed_dead("old", {"old": old, "new": new}, 1015, single=True)
    assert not is_presumed_dead("new", {"old": old, "new": new}, 1015, single=True)
    assert not is_presumed_dead("old", {"old": old, "new": elsewhere}, 1015, single=True)


def test_the_workers_of_one_engine_are_distinguished() -> None:
    old, new = engine("old", reported=1000), engine("new", created=1010, reported=1010)
    assert not is_presumed_dead("old", {"old": old, "new": new}, 1015, single=False)


# A run.


@dataclass
class FakeHeat:
    stacks: list[InProgress] = field(default_factory=list)
    books: dict[str, Engine] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    did: list[tuple[str, str]] = field(default_factory=list)
    time: float = 1000
    held: dict[str, set[str]] = field(default_factory=dict)
    locks: list[StackLock] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def single_workers(self) -> bool:
        return True

    def engines(self) -> Mapping[str, Engine]:
        return self.books

    def answers(self, engine_id: str) -> bool:
        return engine_id in self.answering

    def full_engines(self) -> set[str]:
        return self.full

    def locks_held(self, engine_id: str) -> set[str] | None:
        return self.held.get(engine_id)

    def in_progress(self) -> Iterable[InProgress]:
        return self.stacks

    def stack_locks(self) -> Iterable[StackLock]:
        return self.locks

    def unlock(self, lock: StackLock) -> bool:
        self.did.append(("unlock", lock.stack))
        return True

    def trigger(self, found: InProgress, steps: Sequence[Step]) -> Sequence[Step]:
        if found.id in self.broken:
            raise ValueError("no such template")
        self.did += [("free", f"{found.id}/{step.freed.id}") for step in steps if step.freed]
        self.did += [("trigger", f"{found.id}/{step.resource}") for step in steps]
        return steps

    def restart(self, found: InProgress) -> bool:
        self.did.append(("restart", found.id))
        return True

    def fail(self, found: InProgress, reason: str) -> bool:  # noqa: ARG002
        self.did.append(("fail", found.id))
        return True

    def clean(self) -> int:
        raise NotImplementedError

    def purge(self, days: int) -> int:
        raise NotImplementedError


@dataclass
class FakeBroker:
    connected: dict[str, int] = field(default_factory=lambda: {WORK: 1})
    messages: int = 0
    lost: bool = False

    def consumers(self, queue: str) -> int:
        return self.connected.get(queue, 0)

    def waiting(self, queue: str) -> int:
        assert queue == WORK
        return self.messages

    def prove(self) -> None:
        if self.lost:
            raise ConnectionError("the lock is gone")


def stack(name: str, traversal: Traversal, *, owner: str | None = None, mark: str = "") -> InProgress:
    return InProgress(id=name, name=name, owner=owner, mark=mark, traversal=traversal)


STUCK = chain(Resource(1, engine=GONE))
IDLE_STACK = chain(Resource(1))


class Node1:
    """A node with its files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, heat: FakeHeat, broker: FakeBroker, now: float = 0.0) -> dict[str, float]:
        """One run of the rescue; the counters after it."""
        counters = Counters(self.directory / "rescue.prom")
        rescue(heat, broker, counters, Memory(self.directory / "seen.json", "boot"), now=now, grace=300)
        counters.write()
        return Counters(self.directory / "rescue.prom").before


@pytest.fixture
def node(tmp_path: Path) -> Node1:
    return Node1(tmp_path)


def test_a_stack_of_a_dead_engine_is_recovered_and_counted(node: Node1) -> None:
    heat = FakeHeat([stack("a", STUCK), stack("b", chain(Resource(1, engine=ALIVE)))], answering={ALIVE})
    counted = node.run(heat, FakeBroker())
    assert heat.did == [("trigger", "a/1")]
    assert counted["stacks_rescued_total"] == 1
    assert counted['resources_triggered_total{reason="dead_engine"}'] == 1
    assert (counted["stacks_in_progress"], counted["engines_dead"]) == (2, 1)


@pytest.mark.parametrize("sign", ["on the books", "connected", "answers"])
def test_one_sign_of_life_is_enough_for_an_engine(sign: str) -> None:
    heat, broker = FakeHeat(), FakeBroker()
    assert dead_engines(heat, broker, {GONE}) == {GONE}
    if sign == "on the books":
        heat.books[GONE] = engine(GONE, reported=heat.time)
    elif sign == "connected":
        broker.connected[listener(GONE)] = 1
    else:
        heat.answering.add(GONE)
    assert dead_engines(heat, broker, {GONE}) == set()


def forgotten(key: int = 5) -> InProgress:
    return stack("a", chain(Resource(1, engine=ALIVE, key=key)), mark=str(key))


def test_a_lock_that_its_living_engine_has_denied_twice_is_released(node: Node1) -> None:
    heat, broker = FakeHeat([forgotten()], held={ALIVE: {"resource 11"}}), FakeBroker()
    broker.connected[listener(ALIVE)] = 1
    assert node.run(heat, broker)["locks_idle"] == 0
    assert heat.did == []
    counted = node.run(heat, broker, now=60)
    assert heat.did == [("free", "a/1"), ("trigger", "a/1")]
    assert counted['resources_triggered_total{reason="idle_lock"}'] == 1
    assert (counted["locks_idle"], counted["stacks_rescued_total"]) == (1, 1)


@pytest.mark.parametrize("what", ["works on it", "does not know the question", "is not connected", "took it anew"])
def test_a_lock_of_a_living_engine_is_kept_while_it_may_be_in_use(node: Node1, what: str) -> None:
    heat, broker = FakeHeat([forgotten()], held={ALIVE: set()}, answering={ALIVE}), FakeBroker()
    if what != "is not connected":
        broker.connected[listener(ALIVE)] = 1
    if what == "works on it":
        heat.held[ALIVE].add("resource 1")
    elif what == "does not know the question":
        heat.held.clear()
    for run in range(4):
        if what == "took it anew":
            heat.stacks = [forgotten(key=run)]
        node.run(heat, broker, now=run * 1000)
    assert heat.did == []


def test_an_engine_that_knew_the_lock_in_between_is_asked_twice_more(node: Node1) -> None:
    heat, broker = FakeHeat([forgotten()]), FakeBroker()
    broker.connected[listener(ALIVE)] = 1
    answers: list[set[str]] = [set(), {"resource 1"}, set()]
    for heat.held[ALIVE] in answers:
        node.run(heat, broker)
        assert heat.did == []
    node.run(heat, broker)
    assert heat.did == [("free", "a/1"), ("trigger", "a/1")]


def test_a_stack_s_lock_that_its_living_engine_has_forgotten_is_released(node: Node1) -> None:
    heat, broker = FakeHeat(locks=[StackLock("s", ALIVE, "noon"), StackLock("t", ALIVE, "noon")]), FakeBroker()
    broker.connected[listener(ALIVE)] = 1
    heat.held[ALIVE] = {"stack t"}
    node.run(heat, broker)
    assert heat.did == []
    assert node.run(heat, broker)["stacks_unlocked_total"] == 1
    assert heat.did == [("unlock", "s")]
    # A lock that was taken again is another lock.
    heat.locks = [StackLock("s", ALIVE, "later")]
    node.run(heat, broker)
    assert heat.did == [("unlock", "s")]


def test_a_stack_past_its_timeout_fails_after_the_grace_time(node: Node1, capsys: pytest.CaptureFixture[str]) -> None:
    heat = FakeHeat([stack("a", chain(Resource(1, engine=ALIVE), overdue=True))], answering={ALIVE})
    node.run(heat, FakeBroker())
    assert heat.did == []
    assert node.run(heat, FakeBroker(), now=300)["stacks_failed_total"] == 1
    assert heat.did == [("fail", "a")]
    assert "a (a) is marked as failed: Timed out" in capsys.readouterr().out


# Files that were damaged by a full disk, a power cut, or a person.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, -1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["boot", "stacks", "denied", "a", "mark", "since", "runs"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MEMORIES = st.fixed_dictionaries({"boot": st.just("boot"), "stacks": JSON, "denied": JSON}) | st.fixed_dictionaries(
    {
        "boot": st.just("boot"),
        "stacks": st.fixed_dictionaries(
            {"a": st.fixed_dictionaries({"mark": st.just("") | JSON, "since": JSON, "runs": JSON})}
        ),
    }
)
NAMES = st.sampled_from(["heat_caretaker_stacks_rescued_total", 'heat_caretaker_leads{task="rescue"}'])
NUMBERS = st.sampled_from(["NaN", "inf", "-1", "1e999", "9" * 5000, "1", "", "x", "0x1"])
LINES = st.text(max_size=20) | st.tuples(NAMES, NUMBERS).map(" ".join)
DAMAGED = st.binary() | (JSON | MEMORIES).map(lambda value: json.dumps(value).encode()) | st.just(b"[" * 100_000)


def rescued_with(directory: Path, memory: bytes, counters: bytes) -> dict[str, float]:
    """Two runs that must rescue a stack, with these files; the counters after them."""
    (directory / "seen.json").write_bytes(memory)
    (directory / "rescue.prom").write_bytes(counters)
    node, heat = Node1(directory), FakeHeat([stack("a", STUCK), stack("b", IDLE_STACK)])
    node.run(heat, FakeBroker(), now=1000)
    counted = node.run(heat, FakeBroker(), now=2000)
    assert [one for one in heat.did if one[1] == "a/1"] == [("trigger", "a/1")] * 2
    assert ("trigger", "b/1") in heat.did
    assert set(json.loads((directory / "seen.json").read_text())["stacks"]) == {"a", "b"}
    return counted


@given(DAMAGED, st.binary() | st.lists(LINES).map(lambda lines: "\n".join(lines).encode(errors="replace")))
def test_the_caretaker_works_with_any_content_of_its_files(
    tmp_path_factory: pytest.TempPathFactory, memory: bytes, counters: bytes
) -> None:
    counted = rescued_with(tmp_path_factory.mktemp("node"), memory, counters)
    assert all(math.isfinite(number) and number >= 0 for number in counted.values())
    assert counted["stacks_rescued_total"] >= 2  # the two runs'


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b'{"boot": "bo', b"\0" * 4096, b"null", b'"text"', b"[]"])
def test_a_damaged_file_starts_empty_and_is_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    counted = rescued_with(tmp_path, damage, damage or b"\0")
    printed = capsys.readouterr().err
    assert str(tmp_path / "seen.json") in printed
    assert str(tmp_path / "rescue.prom") in printed
    assert counted["stacks_rescued_total"] == 3  # "a" twice, "b" once


def test_a_directory_or_a_pipe_instead_of_a_file_does_not_stop_the_recovery(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seen.json").mkdir()
    os.mkfifo(tmp_path / "rescue.prom")
    heat = FakeHeat([stack("a", STUCK)])
    assert Node1(tmp_path).run(heat, FakeBroker())["stacks_rescued_total"] == 1
    assert heat.did == [("trigger", "a/1")]
    assert f"{tmp_path / 'seen.json'} cannot be read, and starts empty" in capsys.readouterr().err


def test_readable_totals_continue_if_another_line_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rescue.prom"
    path.write_text("# TYPE heat_caretaker_a_total counter\nheat_caretaker_a_total 7\nheat_caretaker_b_total NaN\nhea")
    assert Counters(path).before == {"a_total": 7}


def test_a_lost_message_is_found_by_the_second_run_after_the_grace_time(node: Node1) -> None:
    heat = FakeHeat([stack("a", IDLE_STACK)])
    node.run(heat, FakeBroker(), now=0)
    node.run(heat, FakeBroker(), now=200)
    assert heat.did == []
    assert node.run(heat, FakeBroker(), now=301)['resources_triggered_total{reason="lost_message"}'] == 1
    assert heat.did == [("trigger", "a/1")]


def test_a_stack_that_changes_never_counts_as_stuck(node: Node1) -> None:
    heat = FakeHeat()
    for run in range(5):
        heat.stacks = [stack("a", IDLE_STACK, mark=str(run))]
        node.run(heat, FakeBroker(), now=run * 1000)
    assert heat.did == []


def test_what_was_seen_before_the_machine_was_restarted_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "seen.json"
    first = Memory(path, "boot")
    first.observe("a", "mark", 1000)
    first.write()
    assert Memory(path, "boot").observe("a", "mark", 2000).runs == 2
    assert Memory(path, "another boot").observe("a", "mark", 2000) == Seen("mark", 2000)


def test_a_complete_stack_is_forgotten(node: Node1) -> None:
    node.run(FakeHeat([stack("a", IDLE_STACK)]), FakeBroker())
    node.run(FakeHeat(), FakeBroker())
    assert json.loads((node.directory / "seen.json").read_text())["stacks"] == {}


@pytest.mark.parametrize(
    "what", ["in the queue", "in a busy engine", "in one that says so", "in one that is cut off", "no engine"]
)
def test_a_message_that_may_still_wait_somewhere_is_not_lost(what: str) -> None:
    living = {"one": engine("one", created=995, reported=1000)}
    broker = FakeBroker(connected={WORK: 1, listener("one"): 1})
    # Two dead engines: one for long, one that "one" has succeeded.
    heat = FakeHeat(books=living | {"dead": engine("dead", host="two"), "before": engine("before", reported=990)})
    assert is_quiet(heat, broker, heat.locks_held)
    if what == "in the queue":
        broker.messages = 1
    elif what == "in one that says so":
        heat.held["one"] = {WAIT}
    elif what == "in a busy engine":
        heat.full.add("one")
    elif what == "no engine":
        broker.connected[WORK] = 0
    else:
        del broker.connected[listener("one")]
    assert not is_quiet(heat, broker, heat.locks_held)


def test_an_engine_that_reports_no_waiting_check_is_trusted_with_any_number_of_locks() -> None:
    heat = FakeHeat(books={"one": engine("one", created=995, reported=1000)}, full={"one"})
    broker = FakeBroker(connected={WORK: 1, listener("one"): 1})
    assert not is_quiet(heat, broker, heat.locks_held)
    heat.held["one"] = {NONE_WAIT, "resource 7"}
    assert is_quiet(heat, broker, heat.locks_held)


def test_a_nested_stack_waits_while_the_outer_one_is_recovered(node: Node1) -> None:
    heat = FakeHeat([stack("outer", STUCK), stack("inner", STUCK, owner="outer"), stack("core", STUCK, owner="inner")])
    assert node.run(heat, FakeBroker())["stacks_rescued_total"] == 1
    assert heat.did == [("trigger", "outer/1")]


def test_a_nested_stack_is_recovered_if_the_outer_one_is_healthy(node: Node1) -> None:
    heat = FakeHeat([stack("outer", chain(Resource(1, engine=ALIVE))), stack("inner", STUCK, owner="outer")])
    heat.answering.add(ALIVE)
    node.run(heat, FakeBroker())
    assert heat.did == [("trigger", "inner/1")]


def test_a_stack_that_cannot_be_recovered_does_not_delay_the_others(
    node: Node1, capsys: pytest.CaptureFixture[str]
) -> None:
    heat = FakeHeat([stack("a", STUCK), stack("b", STUCK)], broken={"a"})
    counted = node.run(heat, FakeBroker())
    assert heat.did == [("trigger", "b/1")]
    assert (counted["errors_total"], counted["stacks_rescued_total"]) == (1, 1)
    assert "a (a): the recovery failed: ValueError('no such template')" in capsys.readouterr().err


def test_a_node_that_has_lost_the_lock_does_nothing(node: Node1) -> None:
    heat = FakeHeat([stack("a", STUCK)])
    with pytest.raises(ConnectionError):
        node.run(heat, FakeBroker(lost=True))
    assert heat.did == []


def test_a_full_disk_does_not_stop_the_recovery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heat = FakeHeat([stack("a", STUCK)])
    Node1(tmp_path / "which is not there").run(heat, FakeBroker())
    assert heat.did == [("trigger", "a/1")]
    assert "seen.json was not written: [Errno 2]" in capsys.readouterr().err


def test_an_orphan_fails_and_an_unbegun_stack_is_restarted(node: Node1) -> None:
    unbegun = chain(Resource(1), begun=False)
    heat = FakeHeat([stack("a", unbegun), stack("b", replace(unbegun, referenced=False))])
    for now in (0, 300):
        counted = node.run(heat, FakeBroker(), now=now)
    assert heat.did == [("restart", "a"), ("fail", "b")]
    assert (counted["traversals_restarted_total"], counted["stacks_failed_total"]) == (1, 1)


def test_a_stack_that_is_left_is_reported_and_counted(node: Node1, capsys: pytest.CaptureFixture[str]) -> None:
    heat = FakeHeat([stack("a", chain(Resource(1, engine=GONE), action="ADOPT", whole=False))])
    assert node.run(heat, FakeBroker())["stacks_left"] == 1
    assert "a (a) cannot be recovered: ADOPT cannot be repeated" in capsys.readouterr().out


def test_totals_continue_from_run_to_run_and_every_run_sets_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "clean.prom"
    for number in (2, 3):
        counters = Counters(path)
        assert counters.count("services_cleaned", number) == f"{number} services cleaned"
        counters.add('runs_total{task="clean"}')
        counters.set_gauge("seconds" if number == 2 else "minutes", number)
        counters.write()
    assert path.read_text() == (
        "# TYPE heat_caretaker_minutes gauge\nheat_caretaker_minutes 3\n"
        '# TYPE heat_caretaker_runs_total counter\nheat_caretaker_runs_total{task="clean"} 2\n'
        "# TYPE heat_caretaker_services_cleaned_total counter\nheat_caretaker_services_cleaned_total 5\n"
    )


def next_run(directories: Mapping[str, Path], starts: Mapping[str, float]) -> str:
    """Which node runs when all timers fire, each process so many seconds late."""
    mine = {
        name: Turn(Counters(path / "rescue.prom"), "rescue") for name, path in directories.items() if name in starts
    }
    first = min(mine, key=lambda name: starts[name] + mine[name].wait)
    for name, turn in mine.items():
        if name == first:
            turn.completed(1000.0)
        else:
            turn.skipped()
    return first


def test_the_node_of_the_last_run_also_does_the_next_and_another_node_replaces_a_dead_one(tmp_path: Path) -> None:
    nodes = {name: tmp_path / name for name in ("one", "two", "three")}
    for path in nodes.values():
        path.mkdir()
    assert next_run(nodes, {"one": 0.2, "two": 0.0, "three": 0.1}) == "two"
    # It starts later than the others.
    assert next_run(nodes, {"one": 0.0, "two": HANDICAP - 1, "three": 0.1}) == "two"
    assert next_run(nodes, {"one": 0.3, "three": 0.1}) == "three"
    assert next_run(nodes, {"one": 0.0, "three": 5.0}) == "three"
    # When it comes back, it does the next run, with what it saw long ago if a stack is unchanged.
    assert next_run(nodes, {"one": 0.0, "two": 1.0, "three": 1.5}) == "two"
    assert next_run(nodes, {"one": 0.0, "two": 1.5, "three": 1.0}) == "two"


def test_a_node_that_skips_a_run_drops_the_gauges_of_its_last_one(tmp_path: Path) -> None:
    path = tmp_path / "rescue.prom"
    counters = Counters(path)
    counters.set_gauge("stacks_in_progress", 3)
    counters.add("stacks_rescued_total", 2)
    Turn(counters, "rescue").completed(1000.0)
    assert Counters(path).before == {
        "stacks_in_progress": 3,
        "stacks_rescued_total": 2,
        'runs_total{task="rescue"}': 1,
        'last_run_timestamp_seconds{task="rescue"}': 1000,
        'leads{task="rescue"}': 1,
    }
    Turn(Counters(path), "rescue").skipped()
    assert Counters(path).before == {
        "stacks_rescued_total": 2,
        'runs_total{task="rescue"}': 1,
        'last_run_timestamp_seconds{task="rescue"}': 1000,
        'leads{task="rescue"}': 0,
    }


def test_the_counts_of_a_manual_run_on_the_same_node_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "rescue.prom"
    waiting = Turn(Counters(path), "rescue")
    by_hand = Counters(path)
    by_hand.add("stacks_rescued_total", 5)
    Turn(by_hand, "rescue").completed(1000.0)
    waiting.skipped()
    assert Counters(path).before["stacks_rescued_total"] == 5


def test_an_engine_is_late_if_two_reports_are_missing() -> None:
    assert not is_late(engine("one", reported=1000), 1120)
    assert is_late(engine("one", reported=1000), 1121)


@pytest.mark.parametrize(("release", "served"), [("24.0.0", True), ("27.0.1", True), ("23.0.1", False), ("9.1", False)])
def test_an_unsupported_release_is_not_touched(release: str, *, served: bool) -> None:
    assert (explain_unsupported(release) == "") is served
    assert served or release in explain_unsupported(release)
