"""With the replacements in quick_pulumi.py Pulumi registers the same as without them."""

from __future__ import annotations

import contextlib
from typing import Any

import pulumi
import pytest
from pulumi.runtime import resource_cycle_breaker

from tests.unit import program, quick_pulumi
from tests.unit.program import Run, cached, run


def registered(result: Run) -> dict[str, bytes]:
    """Everything that Pulumi registers of each resource. Dependencies have no order."""
    for resource in result.registered:
        resource.request.dependencies.sort()
        for named in resource.request.propertyDependencies.values():
            named.urns.sort()
    return {resource.urn: resource.request.SerializeToString(deterministic=True) for resource in result.registered}


@pytest.mark.parametrize(
    "config",
    [{}, {"preview": True}, {"hosts": "openstack", "openstack": {"sshFrom": ["10.0.0.0/8"]}, "subnet": "10.0.0.0/24"}],
    ids=str,
)
def test_a_run_registers_the_same_as_with_pulumi_as_it_is(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = cached(**config)
    monkeypatch.setattr(program, "quick_pulumi", contextlib.nullcontext)
    plain = run(**config)
    assert len(quick.registered) > 50
    assert registered(quick) == registered(plain)
    assert quick.outputs == plain.outputs


class Node(pulumi.ComponentResource):
    """A resource without an engine, which may depend on another."""

    def __init__(self) -> None:
        """Nothing is registered."""


def test_a_cycle_is_found_as_by_pulumi(monkeypatch: pytest.MonkeyPatch) -> None:
    for reachable in (resource_cycle_breaker._reachable, quick_pulumi._reachable):
        monkeypatch.setattr(resource_cycle_breaker, "_reachable", reachable)
        nodes = [Node() for _ in range(4)]
        circles = [(0, 1), (1, 2), (0, 2), (2, 3), (3, 1), (3, 0), (3, 3)]
        made = [resource_cycle_breaker.declare_dependency(nodes[a], nodes[b]) for a, b in circles]
        assert made == [True, True, True, True, False, False, False]


def test_an_error_in_an_unused_output_fails_the_run() -> None:
    """An output with a result is no longer counted. A failed output is."""

    def body() -> None:
        pulumi.Output.from_input("x").apply(lambda _: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        program.in_pulumi(body, program.Monitor(program.Outputs(preview=False), []), config={}, preview=False)
