"""Diff: which properties count as changed, and which change replaces the resource."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import Compare
from tests.conformance.plugin import LOCAL, REMOTE, Answer, Plugin
from tests.conformance.values import UNKNOWN, secret
from tools.offline.command_provider.properties import Properties

BASE: Properties = {
    "create": "a",
    "delete": "c",
    "stdin": "text",
    "environment": {"A": "1", "B": "2"},
    "interpreter": ["sh", "-c"],
    "triggers": [1.0, "x"],
    "logging": "none",
}
OUTPUTS = {"stdout": "out", "stderr": "err"}

CASES: dict[str, tuple[Properties, dict[str, str]]] = {
    "nothing": ({}, {}),
    "create": ({"create": "b"}, {"create": "UPDATE"}),
    "an update that was not there": ({"update": "b"}, {"update": "ADD"}),
    "a delete that is there no more": ({"delete": None}, {"delete": "DELETE"}),
    "stdin and logging": ({"stdin": "b", "logging": "stdout"}, {"stdin": "UPDATE", "logging": "UPDATE"}),
    "stdin that became secret": ({"stdin": secret("text")}, {"stdin": "UPDATE"}),
    "stdin that is not known yet": ({"stdin": UNKNOWN}, {"stdin": "UPDATE"}),
    "variables": (
        {"environment": {"A": "3", "C": "4"}},
        {"environment.A": "UPDATE", "environment.B": "DELETE", "environment.C": "ADD"},
    ),
    "variables with odd names": (
        {"environment": {"A": "1", "B": "2", 'a.b "c"': "3", "ä": "4", "0": "6"}},
        {
            'environment["a.b \\"c\\""]': "ADD",
            'environment["ä"]': "ADD",
            "environment.0": "ADD",
        },
    ),
    "a secret variable": ({"environment": {"A": secret("1"), "B": "2"}}, {"environment.A": "UPDATE"}),
    "all variables secret": ({"environment": secret({"A": "1", "B": "2"})}, {"environment": "UPDATE"}),
    "a longer interpreter": (
        {"interpreter": ["bash", "-c", "-x"]},
        {"interpreter[0]": "UPDATE", "interpreter[2]": "ADD"},
    ),
    "a shorter interpreter": ({"interpreter": ["sh"]}, {"interpreter[1]": "DELETE"}),
    "a trigger": ({"triggers": [2.0, "x"]}, {"triggers[0]": "UPDATE"}),
    "a trigger of another type": ({"triggers": [True, "x"]}, {"triggers[0]": "UPDATE"}),
    "a nested trigger": ({"triggers": [1.0, {"a": [1.0]}]}, {"triggers[1]": "UPDATE"}),
    "no triggers": ({"triggers": None}, {"triggers": "DELETE_REPLACE"}),
    "secret triggers": ({"triggers": secret([1.0, "x"])}, {"triggers": "UPDATE_REPLACE"}),
    "unknown triggers": ({"triggers": UNKNOWN}, {"triggers": "UPDATE_REPLACE"}),
}


def _diff(plugin: Plugin, old: Properties, new: Properties, type_: str = LOCAL, **more: Any) -> Answer:
    return plugin.diff(type_, old, {**old, **OUTPUTS}, new, **more)


@pytest.mark.parametrize(("change", "expected"), CASES.values(), ids=CASES)
def test_a_change_of(compare: Compare, change: Properties, expected: dict[str, str]) -> None:
    answer = compare(lambda plugin: _diff(plugin, BASE, {**BASE, **change}))
    assert answer["detailedDiff"] == {path: (kind, False) for path, kind in expected.items()}
    heads = {path.split("[")[0].split(".")[0] for path in expected}
    assert answer["diffs"] == sorted(heads)
    replacing = {path for path, kind in expected.items() if kind.endswith("REPLACE")}
    assert answer["replaces"] == sorted(replacing)
    # DIFF_NONE, DIFF_SOME
    assert answer["changes"] == (2 if expected else 1)
    assert not answer["deleteBeforeReplace"]


def test_first_triggers_replace(compare: Compare) -> None:
    answer = compare(lambda plugin: _diff(plugin, {"create": "a"}, {"create": "a", "triggers": ["x"]}))
    assert answer["detailedDiff"] == {"triggers": ("ADD_REPLACE", False)}


def test_a_connection_is_compared_as_a_whole(compare: Compare) -> None:
    old = {"create": "a", "connection": secret({"host": "a", "port": 22.0})}
    new = {"create": "a", "connection": secret({"host": "b", "port": 22.0})}
    assert compare(lambda plugin: _diff(plugin, old, new, REMOTE))["detailedDiff"] == {"connection": ("UPDATE", False)}
    assert compare(lambda plugin: _diff(plugin, old, old, REMOTE))["detailedDiff"] == {}


def test_an_ignored_change_does_not_count(compare: Compare) -> None:
    new = {**BASE, "create": "b", "stdin": "c"}
    answer = compare(lambda plugin: _diff(plugin, BASE, new, ignore=["stdin", "create", "nothing"]))
    assert answer["detailedDiff"] == {}


def test_the_outputs_do_not_count(compare: Compare) -> None:
    answer = compare(
        lambda plugin: plugin.diff(LOCAL, BASE, {**BASE, "stdout": "1", "stderr": "2", "create": "other"}, BASE)
    )
    assert answer["changes"] == 1
