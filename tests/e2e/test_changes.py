"""Changes that fail or have to wait. Runs before test_dev_stack.py, which destroys the stack."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.lab import Stack, wait_for

NODES = ("node-1", "node-2")
DROPIN = "/etc/systemd/system/heat-engine@.service.d/sabotage.conf"
# The creation of a resource takes longer than an engine has to stop.
SECONDS, GIVEN = 120, 20


def limits(stack: Stack) -> set[str]:
    """The values of rpc_response_timeout in the processes' files."""
    lines = [stack.on(node, "grep -h ^rpc_response_timeout /etc/heat/processes/*/heat.conf") for node in NODES]
    return {line for text in lines for line in text.splitlines()}


@pytest.fixture
def sabotaged(stack: Stack) -> Any:
    """Only the first node's engine does not start with the changed option."""
    check = "! grep -q rpc_response_timeout.=.61 /etc/heat/processes/%p@%i/heat.conf"
    dropin = f'[Service]\nExecStartPre=/bin/sh -c "{check}"\n'
    stack.on("node-1", f"mkdir -p {DROPIN.rpartition('/')[0]} && cat >{DROPIN}", stdin=dropin)
    yield
    stack.on("node-1", f"rm -rf {DROPIN.rpartition('/')[0]} && systemctl daemon-reload")


@pytest.mark.usefixtures("sabotaged")
def test_a_change_that_breaks_its_first_process_stops_there(stack: Stack) -> None:
    before = stack.pids()
    stack.pulumi("config", "set", "--path", "timeouts.rpcResponse", "61")
    failed = stack.up(check=False)
    assert failed.code != 0
    assert "heat-engine@1 on node-1" in failed.text
    assert "runs again with its previous files" in failed.text
    # The new file is in place, but no process reads it, not even one that restarts now.
    assert "= 61" in stack.on("node-2", "grep ^rpc_response_timeout /etc/heat/heat.conf")
    assert limits(stack) == {"rpc_response_timeout = 60"}
    after = stack.pids()
    assert {name for name in before if before[name] != after[name]} == {("node-1", "heat-engine@1")}
    stack.on("node-2", "systemctl kill --signal=KILL heat-api@8004")
    wait_for(
        lambda: stack.pids()["node-2", "heat-api@8004"] not in ("0", before["node-2", "heat-api@8004"]), "a restart"
    )
    wait_for(lambda: stack.consumers() == 1, "the engine as it was")
    assert limits(stack) == {"rpc_response_timeout = 60"}


def test_the_next_up_continues(stack: Stack) -> None:
    stack.up()
    assert limits(stack) == {"rpc_response_timeout = 61"}
    stack.pulumi("config", "rm", "--path", "timeouts.rpcResponse")


def test_an_engine_that_is_removed_finishes_its_work(stack: Stack, cloud: Any) -> None:
    stack.set("engines", 2)
    stack.pulumi("config", "set", "--path", "timeouts.engineGraceful", str(GIVEN))
    stack.up()
    slow = {"type": "OS::Heat::TestResource", "properties": {"action_wait_secs": {"create": SECONDS}}}
    resources = {f"slow-{number}": slow for number in range(16)}
    template = {"heat_template_version": "2018-08-31", "resources": resources}
    began = time.monotonic()
    made = cloud.orchestration.create_stack(name="at-work", template=template)
    wait_for(lambda: len([*cloud.orchestration.resources(made)]) == len(resources), "every resource in progress")
    stack.set("engines", 1)
    failed = stack.up(check=False)
    assert time.monotonic() - began < SECONDS, "too slow a machine: the work was done before the engine had to go"
    assert failed.code != 0
    assert "heat-engine@1 on node-2" in failed.text
    assert "at-work" in failed.text
    done = wait_for(
        lambda: cloud.orchestration.get_stack(made).status.endswith("COMPLETE"), "the stack to complete", 2 * SECONDS
    )
    assert done
    stack.up()
    assert stack.on("node-2", "systemctl is-active heat-engine@1", check=False) != "active"
    cloud.orchestration.delete_stack(made)
    cloud.orchestration.wait_for_delete(made, interval=0.5, wait=2 * SECONDS)
    stack.pulumi("config", "rm", "--path", "timeouts.engineGraceful")
    stack.up()
