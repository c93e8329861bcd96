from __future__ import annotations

from components.check import unequal


def test_nodes_with_the_same_messaging_options_are_equal() -> None:
    assert unequal({"a": {"x.y": "1", "x.z": "2"}, "b": {"x.z": "2", "x.y": "1"}}) == []


def test_the_node_that_differs_from_most_is_named_with_the_option() -> None:
    nodes = {"a": {"x.y": "1"}, "b": {"x.y": "2"}, "c": {"x.y": "1"}}
    assert unequal(nodes) == ["x.y on b is not what it is on the other nodes"]


def test_an_option_that_one_node_does_not_know_differs() -> None:
    assert unequal({"a": {"x.y": "1"}, "b": {"x.y": "1"}, "c": {}}) == ["x.y on c is not what it is on the other nodes"]
