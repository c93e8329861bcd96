"""`loadBalancer: octavia` against Octavia's real API, which starts no balancer here: create, change, destroy.

The tests go on from one another.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.lab.contents import leftovers

PROGRAM = Path(__file__).parent / "balancer"
STACK = "e2e-openstack-balancer"


def pulumi(*words: str) -> str:
    done = subprocess.run(
        ["pulumi", "--cwd", PROGRAM, "--non-interactive", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def up(*words: str) -> str:
    return pulumi("up", "--stack", STACK, "--yes", "--skip-preview", *words)


@pytest.fixture(scope="module", autouse=True)
def brought_up() -> None:
    """A load balancer for two nodes. tests/openstack/run.sh removes it after a failure."""
    pulumi("stack", "init", STACK)
    up()


def members(project: Any) -> dict[str, set[tuple[str, int]]]:
    """The members of each pool, by its name."""
    octavia = project.load_balancer
    found = {pool.name: list(octavia.members(pool)) for pool in octavia.pools()}
    assert {one.provisioning_status for some in found.values() for one in some} == {"ACTIVE"}
    return {name: {(one.address, one.protocol_port) for one in some} for name, some in found.items()}


def plan(nodes: int, port: int) -> set[tuple[str, int]]:
    return {(f"10.213.93.{11 + at}", port) for at in range(nodes)}


def test_octavia_matches_the_settings(project: Any) -> None:
    octavia = project.load_balancer
    (balancer,) = octavia.load_balancers()
    assert balancer.provisioning_status == "ACTIVE"
    listeners = {one.name: one for one in octavia.listeners()}
    assert {name: (one.protocol, one.protocol_port) for name, one in listeners.items()} == {
        "heat-balancer-rest_api_proxy": ("HTTP", 8004),
        "heat-balancer-cfn_api_proxy": ("HTTP", 8000),
    }
    for one in listeners.values():
        assert (one.timeout_client_data, one.timeout_member_connect, one.timeout_member_data) == (60000, 10000, 70000)
        assert sorted(one.allowed_cidrs) == ["10.213.93.0/24", "198.51.100.0/24"]
        assert (one.connection_limit, one.insert_headers) == (8000, {"X-Forwarded-For": "true"})
    for one in octavia.health_monitors():
        assert (one.type, one.url_path, one.delay, one.timeout) == ("HTTP", "/healthcheck", 2, 1)
        assert (one.max_retries, one.max_retries_down) == (2, 3)
    assert {pool.lb_algorithm for pool in octavia.pools()} == {"SOURCE_IP"}
    assert members(project) == {
        "heat-balancer-rest_api_proxy": plan(2, 8004),
        "heat-balancer-cfn_api_proxy": plan(2, 8000),
    }


def test_a_second_up_changes_nothing() -> None:
    up("--expect-no-changes")


def test_nodes_come_and_go_and_a_number_changes_in_place(project: Any) -> None:
    before = {pool.id for pool in project.load_balancer.pools()}
    pulumi("config", "set", "--stack", STACK, "nodes", "3")
    pulumi("config", "set", "--stack", STACK, "balance", "leastconn")
    up()
    # Two CFN APIs on three nodes.
    assert members(project) == {
        "heat-balancer-rest_api_proxy": plan(3, 8004),
        "heat-balancer-cfn_api_proxy": plan(2, 8000),
    }
    pulumi("config", "set", "--stack", STACK, "nodes", "1")
    up()
    assert members(project)["heat-balancer-rest_api_proxy"] == plan(1, 8004)
    assert {pool.lb_algorithm for pool in project.load_balancer.pools()} == {"LEAST_CONNECTIONS"}
    assert {pool.id for pool in project.load_balancer.pools()} == before


def test_destroy_leaves_nothing_of_it_in_the_project(project: Any) -> None:
    assert [kind for kind in leftovers(project) if "heat-balancer" in kind]
    pulumi("destroy", "--stack", STACK, "--yes", "--skip-preview")
    assert [kind for kind in leftovers(project) if "heat-balancer" in kind] == []
