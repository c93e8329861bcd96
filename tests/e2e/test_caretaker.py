"""Recovery and cleanup after dead engines. Runs before test_dev_stack.py, which destroys the stack."""

from __future__ import annotations

import json
import time
from typing import Any

import keystoneauth1.exceptions

from tests.e2e.lab import Stack, wait_for

NODES = ("node-1", "node-2")
UNIT = "/etc/systemd/system/heat-caretaker@.service"
# How long the resource takes during which the engine dies.
SECONDS = 30


def waiting(**seconds: int) -> dict[str, Any]:
    """A resource whose actions take so many seconds each."""
    return {"type": "OS::Heat::TestResource", "properties": {"value": "before", "action_wait_secs": seconds}}


def template(**seconds: int) -> dict[str, Any]:
    """A slow resource, with a resource before it and one after it."""
    resources = {
        "first": waiting(),
        "slow": waiting(**seconds) | {"depends_on": "first"},
        "last": waiting() | {"depends_on": "slow"},
    }
    return {"heat_template_version": "2018-08-31", "resources": resources}


def changed(before: dict[str, Any]) -> dict[str, Any]:
    slow = before["resources"]["slow"]
    after = slow | {"properties": slow["properties"] | {"value": "after"}}
    return before | {"resources": before["resources"] | {"slow": after}}


GROUP = {
    "heat_template_version": "2018-08-31",
    "resources": {
        "group": {
            "type": "OS::Heat::ResourceGroup",
            "properties": {"count": 2, "resource_def": waiting(create=SECONDS)},
        }
    },
}


def run(stack: Stack, task: str, *, grace: int = 180, days: int = 90) -> str:
    """Run a task on node-1 as its timer does, with these numbers; its output."""
    words = f"s///; s/%i/{task}/; s/--grace=[0-9]*/--grace={grace}/; s/--days=[0-9]*/--days={days}/; p"
    output = stack.on("node-1", f"cd / && exec runuser -u heat -- $(sed -n '/^ExecStart=/{{{words}}}' {UNIT}) 2>&1")
    print(output)
    return output


def counted(stack: Stack, name: str, *nodes: str) -> float:
    """A counter, summed over these nodes or over all."""
    metrics = [stack.on(node, "cat /var/lib/heat/caretaker/*.prom || true") for node in nodes or NODES]
    lines = [line.rpartition(" ") for text in metrics for line in text.splitlines()]
    return sum(float(number) for found, _, number in lines if found == f"heat_caretaker_{name}")


def records(stack: Stack, query: str) -> list[list[str]]:
    """Rows of Heat's database."""
    rows = stack.on("front", f'mariadb --skip-column-names heat --execute "{query}"')
    return [line.split("\t") for line in rows.splitlines()]


def in_work(stack: Stack) -> set[str]:
    """The stacks with a resource that an engine works on, and their parents."""
    query = "select stack.id, stack.owner_id from resource join stack on stack.id = resource.stack_id"
    return {one for row in records(stack, f"{query} where resource.engine_id is not null") for one in row}


def states(stack: Stack) -> dict[str, str]:
    """The state of every stack by its id, including deleted ones."""
    return {one: f"{action}_{status}" for one, action, status in records(stack, "select id, action, status from stack")}


def who_cleans(stack: Stack) -> str:
    """Start the task on every node at the same moment, as the timers do; the node that did the work."""
    runs = 'runs_total{task="clean"}'
    ask = "systemctl is-active heat-caretaker@clean"
    before = {node: counted(stack, runs, node) for node in NODES}
    for node in NODES:
        stack.on(node, "systemctl start --no-block heat-caretaker@clean")
    wait_for(lambda: counted(stack, runs) > sum(before.values()), "a run")
    wait_for(lambda: {stack.on(node, ask, check=False) for node in NODES} == {"inactive"}, "both to finish")
    after = {node: counted(stack, runs, node) - before[node] for node in NODES}
    assert sorted(after.values()) == [0, 1]
    return max(after, key=lambda node: after[node])


def test_every_node_has_the_timers_and_one_node_does_the_work(stack: Stack) -> None:
    for node in NODES:
        listed = stack.on(node, "systemctl list-timers --no-legend 'heat-caretaker@*'").splitlines()
        tasks = {line.rpartition("heat-caretaker@")[2] for line in listed}
        assert tasks == {"rescue.service", "clean.service", "purge.service"}
    first = who_cleans(stack)
    # The node that did one run also does the next, because it has seen the stacks before.
    assert who_cleans(stack) == first
    assert [node for node in NODES if counted(stack, 'leads{task="clean"}', node)] == [first]


def test_stacks_whose_engine_was_killed_are_rescued_and_a_healthy_one_is_left_alone(stack: Stack, cloud: Any) -> None:
    heat = cloud.orchestration
    kinds = {"update": template(update=SECONDS), "delete": template(delete=SECONDS)}
    made = {kind: heat.create_stack(name=f"rescue-{kind}", template=kinds[kind]) for kind in kinds}
    for one in made.values():
        heat.wait_for_status(one, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=60)
    heat.update_stack(made["update"], template=changed(kinds["update"]))
    heat.delete_stack(made["delete"])
    made["create"] = heat.create_stack(name="rescue-create", template=template(create=SECONDS))
    made["nested"] = heat.create_stack(name="rescue-nested", template=GROUP)
    wait_for(lambda: {one.id for one in made.values()} <= in_work(stack), "all of them in progress", SECONDS)
    lost = len(made)
    # If the kill is quick, this stack has only its name when the only engine is killed with its worker.
    made["unbegun"] = heat.create_stack(name="rescue-unbegun", template=template())
    stack.on("node-1", "systemctl kill --signal KILL --kill-whom all heat-engine@1")
    killed = time.monotonic()
    wait_for(lambda: stack.consumers() == 1, "the engine is back", 30)
    made["well"] = heat.create_stack(name="rescue-well", template=template(create=2 * SECONDS))
    wait_for(lambda: made["well"].id in in_work(stack), "another one in progress")

    expected = {kind: f"{kind.upper() if kind in kinds else 'CREATE'}_COMPLETE" for kind in made}

    def complete() -> bool:
        found = states(stack)
        if {kind: found[one.id] for kind, one in made.items()} == expected:
            return True
        run(stack, "rescue", grace=1)
        return False

    wait_for(complete, f"{expected}", 120)
    print(f"all of them complete {time.monotonic() - killed:.1f} s after the engine was killed")
    assert counted(stack, "stacks_rescued_total") >= lost
    assert counted(stack, 'resources_triggered_total{reason="dead_engine"}') >= lost
    assert counted(stack, "errors_total") == counted(stack, "stacks_left") == 0
    events = [
        event for one, event in records(stack, "select stack_id, resource_status from event") if one == made["well"].id
    ]
    assert events.count("FAILED") == 0
    assert events.count("IN_PROGRESS") == len(template()["resources"]) + 1
    for kind in made.keys() - {"delete"}:
        heat.delete_stack(made[kind])
    for kind in made.keys() - {"delete"}:
        heat.wait_for_delete(made[kind], interval=0.5, wait=90)


def test_a_stack_that_its_living_engine_has_dropped_is_rescued(stack: Stack, cloud: Any) -> None:
    """The database refused to store the result of a resource: its lock stays, while its engine does other work."""
    heat = cloud.orchestration
    before = counted(stack, 'resources_triggered_total{reason="idle_lock"}')
    made = heat.create_stack(name="rescue-forgotten", template=template(create=4))
    wait_for(lambda: made.id in in_work(stack), "the stack in progress")
    began = stack.on("node-1", "date +%s")
    stack.on("front", "mariadb --execute 'set global read_only = 1'")
    try:
        asked = f"journalctl --unit heat-engine@1 --since @{began} --output cat | grep -c 'read-only option'"
        wait_for(lambda: int(stack.on("node-1", asked, check=False)) > 2, "the engine's write to be refused", 30)
    finally:
        stack.on("front", "mariadb --execute 'set global read_only = 0'")
    # The same engine works on this stack all the time.
    well = heat.create_stack(name="rescue-busy", template=template(create=SECONDS))
    wait_for(lambda: well.id in in_work(stack), "another one in progress")

    def complete() -> bool:
        run(stack, "rescue")
        return states(stack)[made.id] == "CREATE_COMPLETE"

    wait_for(complete, "the stack to complete", 60)
    assert counted(stack, 'resources_triggered_total{reason="idle_lock"}') == before + 1
    heat.wait_for_status(well, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=2 * SECONDS)
    failed = "select stack_id from event where resource_status = 'FAILED'"
    assert well.id not in {one for (one,) in records(stack, failed)}
    for one in (made, well):
        heat.delete_stack(one)
    for one in (made, well):
        heat.wait_for_delete(one, interval=0.5, wait=90)


def test_without_an_engine_clients_get_a_503_at_once(stack: Stack, cloud: Any) -> None:
    outputs = stack.outputs()
    stacks = f"{outputs['heatApiUrl']}/v1/{cloud.session.get_project_id()}/stacks"

    def status(url: str) -> tuple[int, str]:
        try:
            answer = cloud.session.get(url, timeout=5, raise_exc=False)
        except keystoneauth1.exceptions.ConnectTimeout:
            return 0, ""
        return answer.status_code, answer.text

    assert status(stacks)[0] == 200
    stack.on("node-1", "systemctl stop heat-engine@1")
    try:
        wait_for(lambda: status(stacks)[0] == 503, "503 from the ReST API", 60)
        assert "No heat-engine is listening" in json.loads(status(stacks)[1])["error"]["message"]
        cfn = f"{outputs['heatCfnUrl']}?Action=ListStacks"
        wait_for(lambda: status(cfn)[0] == 503, "503 from the CFN API")
        assert "<Code>ServiceUnavailable</Code>" in status(cfn)[1]
        # Both are UP in the proxy, and they list their versions.
        assert status(f"{outputs['heatApiUrl']}/")[0] == 300
        listed = cloud.session.get(f"{outputs['haproxyStatsUrl']};csv", authenticated=False).text
        states = [line.split(",")[17] for line in listed.splitlines() if "_api_proxy,node-" in line]
        assert set(states) == {"UP"}, listed
    finally:
        stack.on("node-1", "systemctl start heat-engine@1")
    wait_for(lambda: status(stacks)[0] == 200, "requests to succeed")


def test_deleted_stacks_are_purged_by_their_age(stack: Stack) -> None:
    query = "select count(*) from stack where deleted_at is not null"
    ((deleted,),) = records(stack, query)
    assert int(deleted) > 0
    assert run(stack, "purge", days=1) == "0 stacks purged"
    assert run(stack, "purge", days=0) == f"{deleted} stacks purged"
    assert records(stack, query) == [["0"]]
    assert counted(stack, "stacks_purged_total") == int(deleted)
