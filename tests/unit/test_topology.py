from __future__ import annotations

import doctest
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components import topology
from components.topology import (
    APIS,
    PORT_STRIDE,
    Kind,
    Node,
    PlacementError,
    Process,
    of_kind,
    on_node,
    plan_processes,
    spread,
)

TOTALS = st.integers(min_value=0, max_value=40)
PINNED = st.none() | st.integers(min_value=0, max_value=6)
PORTS = st.integers(min_value=1024, max_value=40000)


def some_nodes(numbers: list[tuple[int | None, int | None, int | None]]) -> list[Node]:
    return [
        Node(name=f"node-{place}", address=f"10.0.0.{place}", pinned=dict(zip(Kind, pinned, strict=True)))
        for place, pinned in enumerate(numbers, start=2)
    ]


# At least one node without fixed numbers, which takes the rest.
NODES = (
    st.lists(st.tuples(PINNED, PINNED, PINNED), max_size=5)
    .flatmap(lambda pinned: st.permutations([*pinned, (None, None, None)]))
    .map(some_nodes)
)


def pinned(nodes: list[Node], kind: Kind) -> list[int | None]:
    return [node.pinned[kind] for node in nodes]


@st.composite
def deployments(draw: st.DrawFn) -> tuple[list[Node], dict[Kind, int], tuple[int, int]]:
    """Nodes, numbers of processes of each kind, and first ports that can be placed."""
    nodes = draw(NODES)
    totals = {kind: sum(number or 0 for number in pinned(nodes, kind)) + draw(TOTALS) for kind in Kind}
    api_port, cfn_port = draw(st.tuples(PORTS, PORTS))
    assume(api_port % PORT_STRIDE != cfn_port % PORT_STRIDE)
    return nodes, totals, (api_port, cfn_port)


def planned(nodes: list[Node], totals: dict[Kind, int], ports: tuple[int, int]) -> tuple[Process, ...]:
    return plan_processes(nodes, counts=totals, ports=dict(zip(APIS, ports, strict=True)))


@given(deployments())
def test_every_process_of_every_total_is_placed_and_no_other(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    processes = planned(*deployment)
    assert Counter(process.kind for process in processes) == Counter(deployment[1])
    addresses = {node.name: node.address for node in deployment[0]}
    assert all(process.address == addresses[process.node] for process in processes)


@given(deployments())
def test_a_nodes_fixed_number_is_kept_and_the_others_differ_by_one_at_most(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    nodes, processes = deployment[0], planned(*deployment)
    for kind in Kind:
        shares = [len(on_node(of_kind(processes, kind), node.name)) for node in nodes]
        own = pinned(nodes, kind)
        assert all(share == number for share, number in zip(shares, own, strict=True) if number is not None)
        free = [share for share, number in zip(shares, own, strict=True) if number is None]
        assert max(free) - min(free) <= 1
        assert free == sorted(free, reverse=True), "the first nodes take what is left over"


@given(deployments())
def test_no_two_apis_share_an_address_and_a_port(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    listening = [(process.address, process.port) for process in planned(*deployment) if process.port]
    assert len({*listening}) == len(listening)


@given(deployments())
def test_only_engines_have_no_port_and_a_port_is_the_instance(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    for process in planned(*deployment):
        assert process.port == (None if process.kind is Kind.ENGINE else process.instance)


@given(deployments())
def test_names_are_unique_in_the_deployment_and_units_on_their_node(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    processes = planned(*deployment)
    assert len({process.name for process in processes}) == len(processes)
    assert len({(process.node, process.unit) for process in processes}) == len(processes)


@given(deployments())
def test_the_instances_of_a_node_are_the_first_ones_without_a_gap(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    nodes, _, (api_port, cfn_port) = deployment
    processes = planned(*deployment)
    for kind, first, step in ((Kind.ENGINE, 1, 1), (Kind.API, api_port, 10), (Kind.CFN, cfn_port, 10)):
        for node in nodes:
            instances = [process.instance for process in on_node(of_kind(processes, kind), node.name)]
            assert instances == [first + step * ordinal for ordinal in range(len(instances))]


@given(deployments(), st.sampled_from(Kind))
def test_another_process_moves_none(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]], kind: Kind
) -> None:
    nodes, totals, ports = deployment
    before = {*planned(nodes, totals, ports)}
    after = {*planned(nodes, totals | {kind: totals[kind] + 1}, ports)}
    assert before < after
    assert {process.kind for process in after - before} == {kind}


@given(st.integers(1, 6), st.integers(1, 4))
def test_another_node_with_its_share_of_processes_moves_none(count: int, each: int) -> None:
    def grown(nodes: int) -> set[Process]:
        free = some_nodes([(None, None, None)] * nodes)
        return {*planned(free, dict.fromkeys(Kind, nodes * each), (8004, 8000))}

    assert grown(count) < grown(count + 1)


@given(deployments())
def test_a_plan_is_by_kind_then_node_then_instance(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    order = [node.name for node in deployment[0]]
    keys = [([*Kind].index(one.kind), order.index(one.node), one.instance) for one in planned(*deployment)]
    assert keys == sorted(keys)


@given(deployments())
def test_kinds_and_nodes_divide_the_plan(
    deployment: tuple[list[Node], dict[Kind, int], tuple[int, int]],
) -> None:
    nodes, processes = deployment[0], planned(*deployment)
    assert tuple(process for kind in Kind for process in of_kind(processes, kind)) == processes
    assert {process for node in nodes for process in on_node(processes, node.name)} == {*processes}


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 9))
def test_a_total_below_the_fixed_numbers_is_refused(own: list[int], fewer: int) -> None:
    total = sum(own) - fewer
    with pytest.raises(ValueError, match=f"add up to {sum(own)}, more than the total of {total}"):
        spread(total, own)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 9))
def test_a_remainder_without_a_node_for_it_is_refused(own: list[int], more: int) -> None:
    with pytest.raises(ValueError, match=f"add up to {sum(own)}, fewer than the total of {sum(own) + more}"):
        spread(sum(own) + more, own)


def test_every_problem_of_a_placement_is_reported_at_once() -> None:
    nodes = [
        Node(name="b", address="10.0.0.2", pinned={Kind.ENGINE: 3, Kind.API: 1}),
        Node(name="c", address="10.0.0.3", pinned={Kind.ENGINE: 3, Kind.API: 1, Kind.CFN: None}),
    ]
    with pytest.raises(PlacementError) as caught:
        planned(nodes, {Kind.ENGINE: 4, Kind.API: 5, Kind.CFN: 3}, (8000, 65530))
    assert caught.value.ports == (
        "ports 8000 and 65530 share their last digit: APIs use every 10th port, so they would collide",
        "heat-api-cfn: port 65540 on b is beyond 65535",
    )
    assert caught.value.numbers == {
        Kind.ENGINE: "the fixed numbers of 2 of 2 nodes add up to 6, more than the total of 4",
        Kind.API: "the fixed numbers of 2 of 2 nodes add up to 2, fewer than the total of 5",
    }
    assert all(text in str(caught.value) for text in (*caught.value.ports, "heat-engine: the fixed numbers"))


@given(PORTS, st.integers(0, 100))
def test_apis_whose_ports_would_meet_are_refused(api_port: int, strides: int) -> None:
    with pytest.raises(PlacementError, match="share their last digit"):
        planned(some_nodes([(None, None, None)]), dict.fromkeys(Kind, 1), (api_port, api_port + strides * PORT_STRIDE))


def test_a_process_is_called_by_its_node_its_kind_and_its_instance() -> None:
    nodes = some_nodes([(None, None, None)])
    processes = planned(nodes, {Kind.ENGINE: 1, Kind.API: 2, Kind.CFN: 1}, (8004, 8000))
    assert [(process.name, process.unit) for process in processes] == [
        ("node-2-heat-engine-1", "heat-engine@1"),
        ("node-2-heat-api-8004", "heat-api@8004"),
        ("node-2-heat-api-8014", "heat-api@8014"),
        ("node-2-heat-api-cfn-8000", "heat-api-cfn@8000"),
    ]


def test_the_examples_in_the_docstrings_are_right() -> None:
    tried = doctest.testmod(topology)
    assert tried.attempted > 0
    assert tried.failed == 0
