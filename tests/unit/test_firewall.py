"""What a cloud's security groups let through: derived again from who talks to whom, not from the code."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.hosts.ingress import IngressRule, ingress_rules
from infra.settings.load import load
from tests.unit.program import STACK

OPERATOR, CLIENTS, MONITOR = "198.51.100.7/32", "192.0.2.0/24", "203.0.113.0/28"


def rules_of(openstack: dict[str, Any] | None = None, **more: Any) -> set[tuple[str, int, str]]:
    given_settings = {"sshFrom": [OPERATOR], "clientsFrom": [CLIENTS]} | (openstack or {})
    settings = load(STACK, {"hosts": "openstack", "openstack": given_settings, **more})
    return {(one.at, one.port, one.source) for one in settings.ingress_rules}


# The guide's picture, as (target, port, client).
SSH = {("front", 22, OPERATOR), ("nodes", 22, "front")}
FROM_CLIENTS = {("front", 8004, CLIENTS), ("front", 8000, CLIENTS), ("front", 5000, CLIENTS)}
FROM_NODES = {("front", port, "nodes") for port in (3306, 5672, 5000, 11211)}
FROM_PROXY = {("nodes", 8004, "front"), ("nodes", 8000, "front")}


def test_what_is_needed_is_open_and_nothing_more() -> None:
    assert rules_of() == SSH | FROM_CLIENTS | FROM_NODES | FROM_PROXY


def test_only_the_allowed_networks_reach_the_statistics() -> None:
    stats = {("front", 8404, MONITOR)}
    assert rules_of(statsAllow=[MONITOR]) == SSH | FROM_CLIENTS | FROM_NODES | FROM_PROXY | stats
    # HAProxy listens on IPv4.
    assert rules_of(statsAllow=["2001:db8::/64"]) == rules_of()


def test_other_ports_are_open_if_the_settings_use_them() -> None:
    moved = rules_of(apiPort=9004, cfnPort=9000, statsPort=9404, statsAllow=[MONITOR])
    clients = {("front", port, CLIENTS) for port in (9004, 9000, 5000)}
    proxy = {("nodes", 9004, "front"), ("nodes", 9000, "front")}
    assert moved == SSH | clients | FROM_NODES | proxy | {("front", 9404, MONITOR)}


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12))
def test_the_proxy_reaches_every_api_and_no_other_port_of_a_node(nodes: int, apis: int, cfn_apis: int) -> None:
    # Evenly spread. The first nodes take the remainder, so the first node has the most.
    most = {8004: -(-apis // nodes), 8000: -(-cfn_apis // nodes)}
    ports = {first + 10 * step for first, number in most.items() for step in range(number)}
    opened = rules_of(nodes=nodes, apis=apis, cfnApis=cfn_apis)
    assert {port for at, port, source in opened if (at, source) == ("nodes", "front")} == ports | {22}
    assert {source for at, _, source in opened if at == "nodes"} == {"front"}


def test_by_default_clients_are_in_the_operators_networks() -> None:
    assert rules_of({"clientsFrom": []}) == SSH | FROM_NODES | FROM_PROXY | {
        ("front", port, OPERATOR) for port in (8004, 8000, 5000)
    }


def test_nothing_but_ssh_and_apis_is_open_with_an_existing_control_plane() -> None:
    opened = ingress_rules(
        (), client_ports=(8004, 8000), node_ports=(), stats_port=8404, clients_from=[CLIENTS], stats_from=(),
        ssh_from=[OPERATOR], requests_from="front",
    )  # fmt: skip
    assert {(one.at, one.port, one.source) for one in opened} == SSH | {
        ("front", 8004, CLIENTS),
        ("front", 8000, CLIENTS),
    }


@pytest.mark.parametrize("twice", ["sshFrom", "clientsFrom"])
def test_a_network_that_is_listed_twice_makes_one_rule(twice: str) -> None:
    assert len(rules_of({twice: ["192.0.2.0/24", "192.0.2.0/24"]})) == len(rules_of({twice: ["192.0.2.0/24"]}))


def test_each_ingress_rule_has_a_unique_descriptive_name() -> None:
    assert IngressRule(at="front", port=22, source="10.0.0.0/8").name == "front-22-from-10.0.0.0-8"
    settings = load(
        STACK,
        {"hosts": "openstack", "openstack": {"sshFrom": [OPERATOR], "clientsFrom": [CLIENTS, "0.0.0.0/0"]}},
    )
    assert len({one.name for one in settings.ingress_rules}) == len(settings.ingress_rules)
