"""The order of the faults, and how requests and stacks are counted: tests/faults/."""

from __future__ import annotations

import pytest

from tests.faults.__main__ import account, ordered
from tests.faults.client import Answer
from tests.faults.faults import FAULTS
from tests.faults.load import Failure, Life, Record, Window, shows

NAMES = [fault.name for fault in FAULTS]


def names(seed: str, *chosen: str) -> list[str]:
    return [fault.name for fault in ordered(seed, chosen)]


def test_a_seed_gives_one_order_of_all_faults_and_another_seed_another() -> None:
    assert names("1") == names("1")
    assert sorted(names("1")) == sorted(NAMES)
    assert len({tuple(names(str(seed))) for seed in range(5)}) > 1


def test_a_fault_that_continues_another_comes_right_after_it_whatever_the_seed() -> None:
    for seed in range(20):
        order = names(str(seed))
        for first, second in (("engines-out", "engines-in"), ("node-added", "node-removed"), ("apis-out", "apis-in")):
            assert order.index(second) == order.index(first) + 1


def test_the_upgrade_is_first_whatever_the_seed() -> None:
    assert {tuple(names(str(seed))[:3]) for seed in range(20)} == {("upgrade-failed", "upgraded", "downgrade-refused")}


def test_faults_are_chosen_by_name_and_by_group() -> None:
    assert sorted(names("1", "nodes", "api-killed")) == [
        "api-killed",
        "node-added",
        "node-removed",
        "removed-node-back",
    ]


def test_an_unknown_fault_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(SystemExit, match="no such fault: api-kild; there are api-killed, "):
        names("1", "api-kild")


def test_every_stack_is_accounted_for() -> None:
    """A stack that has not ended is stuck; a stack that a fault hit and that completed is complete."""
    window = Window("x", sent=5, retried=1, seconds=[0.1, 0.2, 0.3, 9.0])
    window.failures.append(Failure(began=0, ended=1, port=0, to=8004, method="GET", path="/", status=502, what="502"))
    ends = ("complete", "complete", "lost", "stuck", "refused", "failed", "")
    lives = [Life(str(number), window, end=end) for number, end in enumerate(ends)]
    counts = account(window, lives, planned=False, rescued=3, seconds=1.26)
    assert (counts["requests"], counts["failed"], counts["retried"]) == (5, 1, 1)
    assert {key: counts[key] for key in ("stacks", "complete", "lost", "stuck", "refused", "wrong", "rescued")} == {
        "stacks": 7, "complete": 2, "lost": 1, "stuck": 2, "refused": 1, "wrong": 1, "rescued": 3,
    }  # fmt: skip
    assert (counts["p50"], counts["p99"], counts["seconds_to_whole"]) == (0.3, 9.0, 1.3)


@pytest.mark.parametrize(
    ("status", "body", "wrong"),
    [
        (200, b'{"stacks": [{"id": "a"}]}', ""),
        (200, b'{"stacks": [{"id": "b"}]}', "wrong content"),
        (200, b'{"stacks": []', "wrong content"),
        (200, b"{}", "wrong content"),
        (502, b"<html>", "502"),
    ],
)
def test_an_answer_needs_the_right_status_and_the_right_content(status: int, body: bytes, wrong: str) -> None:
    judged = shows(200, lambda found: found["stacks"][0]["id"] == "a")(
        Answer(status=status, body=body, seconds=0.1, retried=False, port=1)
    )
    assert judged.startswith(wrong)
    assert bool(judged) == bool(wrong)


def test_a_request_counts_in_the_window_in_which_it_was_sent() -> None:
    """Its answer may come during the next fault."""
    record = Record()
    first = record.begin("first")

    class Slow:
        def ask(self, *_: object) -> Answer:
            record.begin("second")
            return Answer(status=200, body=b"", seconds=0.1, retried=True, port=1)

    record.ask(Slow(), "GET", "/", {}, check=lambda _: "")  # type: ignore[arg-type]
    assert (first.sent, first.retried, record.window.sent) == (1, 1, 0)
