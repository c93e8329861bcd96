"""Which failures are unavoidable, and that no other failure is excused: tests/faults/cut.py."""

from __future__ import annotations

import dataclasses

import pytest

from tests.faults.__main__ import account
from tests.faults.cut import Cause, Cut, excused, failed_with_the_database
from tests.faults.load import Failure, Life, Window

REST, CFN = 8004, 8000
# A POST that began a second before the cut, and ended during the cut.
FAILURE = Failure(began=99, ended=100.5, port=40000, to=REST, method="POST", path="/v1/p/stacks", status=502, what="")


def failure(**changes: object) -> Failure:
    return dataclasses.replace(FAILURE, **changes)  # type: ignore[arg-type]


def cut(cause: Cause, **changes: int) -> Cut:
    return dataclasses.replace(Cut(cause=cause, began=100, ended=102, port=REST), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cause", "one"),
    [
        (Cause.API, failure()),
        (Cause.API, failure(method="PUT")),
        (Cause.API, failure(method="DELETE", began=101.9, ended=103)),
        (Cause.HOST, failure(method="GET", status=504, ended=169.5)),
        (Cause.ENGINE, failure(method="GET", status=500, ended=160)),
        (Cause.BROKER, failure(status=500, began=101, ended=161)),
        (Cause.BROKER, failure(status=504, began=101, ended=171)),
        (Cause.DATABASE, failure(method="GET", status=500)),
        (Cause.DATABASE, failure(status=503, what="503 b'The Keystone service is temporarily unavailable. '")),
        (Cause.KEYSTONE, failure(status=503, what="503 b'The Keystone service is temporarily unavailable. '")),
        (Cause.PROXY, failure(method="GET", status=0)),
    ],
)
def test_an_unavoidable_failure_is_recognised(cause: Cause, one: Failure) -> None:
    assert excused(one, [cut(cause)])


@pytest.mark.parametrize(
    ("cause", "one"),
    [
        # The proxy sends a GET to another API, and no other status comes from the proxy.
        (Cause.API, failure(method="GET")),
        (Cause.API, failure(status=500)),
        (Cause.API, failure(status=503)),
        (Cause.API, failure(status=0)),
        (Cause.API, failure(status=200)),
        # The other API was not cut off.
        (Cause.API, failure(to=CFN)),
        (Cause.HOST, failure(status=504)),
        (Cause.HOST, failure(status=502, ended=169.5)),
        (Cause.HOST, failure(status=0, ended=190)),
        (Cause.HOST, failure(method="GET", status=0, ended=107)),
        (Cause.HOST, failure(status=502, ended=107)),
        # An API waits for a dead engine as long as for any other; an immediate 500 has another reason.
        (Cause.ENGINE, failure(status=500)),
        (Cause.ENGINE, failure(status=502, ended=160)),
        (Cause.BROKER, failure(status=500)),
        (Cause.BROKER, failure(status=0, ended=190)),
        (Cause.BROKER, failure(status=504)),
        (Cause.DATABASE, failure(status=502)),
        (Cause.DATABASE, failure(status=503, what="503 b'All heat engines are down.'")),
        (Cause.DATABASE, failure(status=0)),
        (Cause.KEYSTONE, failure(status=500)),
        (Cause.KEYSTONE, failure(status=503, what="503 b'All heat engines are down.'")),
        (Cause.PROXY, failure(status=502)),
    ],
)
def test_another_failure_during_the_cut_counts(cause: Cause, one: Failure) -> None:
    assert not excused(one, [cut(cause)])


@pytest.mark.parametrize("when", [{"began": 90, "ended": 99.9}, {"began": 102.1, "ended": 103}])
@pytest.mark.parametrize(("cause", "status"), [(Cause.API, 502), (Cause.DATABASE, 500), (Cause.PROXY, 0)])
def test_a_failure_outside_the_cut_counts(when: dict[str, float], cause: Cause, status: int) -> None:
    assert not excused(failure(status=status, **when), [cut(cause)])


def test_a_request_that_began_after_the_engine_was_killed_counts() -> None:
    assert not excused(failure(status=500, began=102.1, ended=170), [cut(Cause.ENGINE)])


def test_without_a_cut_every_failure_counts() -> None:
    assert not excused(failure(), [])


def test_a_failed_stack_is_excused_only_if_heat_names_the_database_and_the_database_was_cut_off() -> None:
    life = Life("a", Window("x"), end="failed", reason="UPDATE_FAILED DBConnectionError: lost")
    assert failed_with_the_database(life, [cut(Cause.DATABASE)])
    assert not failed_with_the_database(life, [cut(Cause.BROKER)])
    assert not failed_with_the_database(life, [])
    assert not failed_with_the_database(dataclasses.replace(life, reason="UPDATE_FAILED"), [cut(Cause.DATABASE)])
    refused = (
        "CREATE_FAILED (1290, 'The MariaDB server is running with the --read-only option so it cannot execute this')"
    )
    assert failed_with_the_database(dataclasses.replace(life, reason=refused), [cut(Cause.DATABASE)])
    for end in ("stuck", "lost", "complete"):
        assert not failed_with_the_database(dataclasses.replace(life, end=end), [cut(Cause.DATABASE)])


@pytest.mark.parametrize(("planned", "failed", "wrong"), [(False, 1, 1), (True, 2, 2)])
def test_unavoidable_failures_are_counted_separately_and_never_in_a_planned_change(
    planned: bool, failed: int, wrong: int
) -> None:
    window = Window("x", failures=[failure(status=500), failure(method="GET", status=502)])
    lives = [Life("a", window, end="failed", reason="DBConnectionError"), Life("b", window, end="failed", reason="")]
    counts = account(window, lives, planned=planned, cuts=[cut(Cause.DATABASE)])
    assert (counts["failed"], counts["cut"]) == (failed, 2 - failed)
    assert (counts["wrong"], counts["wrong_cut"]) == (wrong, 2 - wrong)
