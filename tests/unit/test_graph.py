"""The whole program, as Pulumi sees it: which resources there are, in which order, and what may be read in them."""

from __future__ import annotations

import base64
import itertools
import json
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto.resource_pb2 import RegisterResourceOutputsRequest

from components.control_plane import bundled
from components.control_plane.broker import broker_vhost
from components.heat.install import Installation, Method
from components.remote import BOOT_DIALS, DIALS
from components.topology import Kind
from infra.outputs import FORMER
from infra.settings.load import SettingsError
from tests.unit.program import LOCAL, MARK, REMOTE, ROOT, Monitor, Resource, Run, Secret, cached, public_key, run
from tests.unit.test_existing_hosts import KEY
from tests.unit.test_existing_hosts import hosts as existing_hosts

SHAPES: list[dict[str, Any]] = [
    {},
    {"nodes": 1, "engines": 1, "apis": 1, "cfnApis": 1},
    {"nodes": 1, "engines": 3, "apis": 2, "cfnApis": 2},
    {"nodes": 2, "engines": 4},
    {"nodes": 3, "engines": 6, "apis": 4, "cfnApis": 1, "engineWorkers": 2},
    {"nodes": 4, "engines": 5, "apis": 4, "cfnApis": 6, "apiPort": 9004, "cfnPort": 9000, "statsPort": 9404},
    {"nodes": 4, "engines": 1, "apis": 1, "cfnApis": 1, "statsAllow": ["10.0.0.0/8"], "haproxy": {"balance": "random"}},
]

for_every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def processes(result: Run) -> dict[str, dict[str, Any]]:
    """The plan, by the name of the resource that runs each process."""
    return {
        f"{process['node']}-{process['unit'].replace('@', '-')}": process for process in result.outputs["processes"]
    }


def nodes(result: Run) -> list[str]:
    return [node["name"] for node in result.outputs["nodes"] if node["name"] != "front"]


# Names.


@for_every_shape
def test_no_two_resources_have_one_name_or_one_urn(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    assert len(result.by_name) == len(result.by_urn) == len(result.registered)


def test_the_plan_has_as_many_processes_as_were_asked_for() -> None:
    planned = processes(cached(**SHAPES[4])).values()
    assert [sum(process["kind"] == kind.value for process in planned) for kind in Kind] == [6, 4, 1]


@for_every_shape
def test_every_process_of_the_plan_has_a_resource_and_a_file_and_no_other_process_has(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    pattern = re.compile(r"node-\d+-heat-(?:engine|api|api-cfn)-\d+")
    assert {name for name in result.by_name if pattern.fullmatch(name)} == set(processes(result))
    assert {f"{name}-conf" for name in processes(result)} <= set(result.by_name)


GROWTH = [
    *({"engines": number} for number in range(1, 4)),
    *({"apis": number} for number in range(1, 4)),
    *({"cfnApis": number} for number in range(1, 4)),
]


@pytest.mark.parametrize("before", GROWTH, ids=str)
def test_one_process_more_keeps_every_resource_and_restarts_no_process(before: dict[str, int]) -> None:
    old, new = cached(**before), cached(**{key: number + 1 for key, number in before.items()})
    assert old.by_urn.keys() < new.by_urn.keys()
    added = new.by_name.keys() - old.by_name.keys()
    (more,) = processes(new).keys() - processes(old).keys()
    assert added == {more, f"{more}-conf"}
    # What is not equal is updated: a process that is to stay may not be.
    changed = {name for name, resource in old.by_name.items() if resource.inputs != new.by_name[name].inputs}
    host = processes(new)[more]["node"]
    front = set() if "engines" in before else {"front-haproxy-cfg", "front-haproxy", "front-check"}
    # A port that its node did not have before is closed there.
    port = processes(new)[more].get("port")
    front |= {f"{host}-firewall"} if port else set()
    checks = {f"{host}-retire", f"{host}-check", "front-check"} | ({"node-1-check"} if "engines" in before else set())
    # Every node reports its messaging options again.
    assert changed == front | checks | {f"{node}-messaging" for node in nodes(new)}


@pytest.mark.parametrize("before", [1, 2])
def test_a_node_more_keeps_every_resource_when_the_processes_grow_with_it(before: int) -> None:
    old, new = (
        cached(nodes=number, engines=number, apis=number, cfnApis=2 * number) for number in (before, before + 1)
    )
    assert old.by_urn.keys() < new.by_urn.keys()
    # The last one is on the front host, which forgets the node when it leaves.
    assert all(f"node-{before + 1}" in name for name in new.by_name.keys() - old.by_name.keys())
    assert new.by_name.keys() - old.by_name.keys() >= {
        f"node-{before + 1}-firewall",
        f"front-forget-node-{before + 1}",
    }


@pytest.mark.parametrize("before", [1, 2])
def test_a_node_more_keeps_every_resource_that_is_not_a_process(before: int) -> None:
    old, new = (cached(nodes=number, engines=6, apis=4, cfnApis=4) for number in (before, before + 1))
    moved = old.by_name.keys() - new.by_name.keys()
    ran = set(processes(old))
    assert moved <= ran | {f"{name}-conf" for name in ran}
    assert {name for name in moved if not name.endswith("-conf")} == ran - set(processes(new))


# Order.


@for_every_shape
def test_every_process_runs_after_the_schema_and_after_keystone_knows_heat(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for name in processes(result):
        assert {"node-1-schema", "node-1-identity"} <= result.before(name)


@for_every_shape
def test_every_process_runs_after_all_nodes_are_members(shape: dict[str, Any]) -> None:
    """Otherwise an engine of a node that has just been added would be refused."""
    result = cached(**shape)
    assert [name for name in result.by_name if name.endswith("-members")] == ["node-1-members"]
    for name in processes(result):
        assert "node-1-members" in result.before(name)


@for_every_shape
def test_every_process_runs_after_all_the_files_that_it_reads(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for name, process in processes(result).items():
        node, kind = process["node"], process["kind"]
        files = {f"{node}-install", f"{node}-heat-conf", f"{node}-secrets-conf", f"{node}-policy", f"{name}-conf"}
        files |= {f"{node}-{kind}-unit"} | ({f"{node}-{kind}-uwsgi"} if "port" in process else set())
        assert files <= result.before(name)


@for_every_shape
def test_processes_of_a_kind_run_one_after_the_other(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for kind in Kind:
        turn = [name for name, process in processes(result).items() if process["kind"] == kind.value]
        for earlier, later in itertools.pairwise(turn):
            assert earlier in result.before(later)


@for_every_shape
def test_no_api_is_touched_before_the_first_engine_has_been_seen_to_work(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    first, *_ = processes(result)
    for name, process in processes(result).items():
        if "port" in process:
            assert first in result.before(name)


@pytest.mark.parametrize("batch", [2, 3, 10])
def test_a_rolling_batch_restarts_together_but_the_first_process_alone(batch: int) -> None:
    result = cached(nodes=3, engines=6, apis=6, rollingBatch=batch)
    for kind in Kind:
        turn = [name for name, process in processes(result).items() if process["kind"] == kind.value]
        for place, name in enumerate(turn):
            beside = [other for other in turn if other not in result.before(name) and name not in result.before(other)]
            assert len(beside) <= (batch if place else 1)
            assert place == 0 or turn[0] in result.before(name)


@for_every_shape
def test_the_schema_comes_after_the_whole_control_plane_and_every_file_of_its_node(shape: dict[str, Any]) -> None:
    before = cached(**shape).before("node-1-schema")
    assert {"front-mariadb", "front-memcached", "front-rabbitmq", "front-keystone", "node-1-secrets-conf"} <= before
    assert {"front-mariadb", "front-keystone"} <= cached(**shape).before("node-1-identity")


@for_every_shape
def test_no_schema_changes_where_an_engine_would_lose_messages(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    asked = {f"node-{number + 1}-keep-apart" for number in range(shape.get("nodes", 2))}
    assert asked <= result.before("node-1-schema")
    for name in asked:
        assert name.replace("keep-apart", "secrets-conf") in result.before(name)


@for_every_shape
def test_the_schema_is_synced_by_one_place(shape: dict[str, Any]) -> None:
    assert [name for name in cached(**shape).by_name if name.endswith("-schema")] == ["node-1-schema"]


@for_every_shape
def test_the_proxy_is_configured_after_every_process_runs(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    assert set(processes(result)) | {"front-haproxy-install"} <= result.before("front-haproxy-cfg")
    assert "front-haproxy-cfg" in result.before("front-haproxy")


@for_every_shape
def test_what_is_no_longer_planned_stops_after_the_proxy_and_before_the_check(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    retired = {f"{node}-retire" for node in nodes(result)}
    for name in retired:
        assert "front-haproxy" in result.before(name)
        assert name in result.before(name.replace("-retire", "-check"))
    # One node counts the engines of all.
    for check in ("front-check", f"{next(iter(nodes(result)))}-check"):
        assert retired <= result.before(check)


@for_every_shape
def test_the_last_of_all_is_the_check_through_the_proxy(shape: dict[str, Any]) -> None:
    """A node that nothing runs on may still be at its installation."""
    result = cached(**shape)
    busy = {"front", *(process["node"] for process in processes(result).values())}
    there = {resource.name for resource in result.remote if result.host_of(resource) in busy} - {"front-check"}
    assert there <= result.before("front-check")


@for_every_shape
def test_a_host_is_used_once_it_is_ready_and_ready_once_its_machine_is_there(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for resource in result.remote:
        host = result.host_of(resource)
        assert f"{host}-machine" in result.before(resource.name)
        if resource.name != f"{host}-ready":
            assert f"{host}-ready" in result.before(resource.name)


@for_every_shape
def test_a_remote_command_is_called_by_its_host(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for resource in result.remote:
        assert resource.name.startswith(f"{result.host_of(resource)}-")


@for_every_shape
def test_the_check_knows_every_process_of_the_plan(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for node in nodes(result):
        text = result.by_name[f"{node}-check"].text()
        units = [process["unit"] for process in processes(result).values() if process["node"] == node]
        assert re.findall(r"(?m)^wait_healthy (\S+)", text) == units
        planned = re.findall(r"(?m)^planned=' (.*) '$", result.by_name[f"{node}-retire"].text())
        assert planned == [" ".join(units)]
    spec = result.by_name["front-check"].text()
    for process in processes(result).values():
        if "port" in process:
            assert f'"{process["node"]}-{process["port"]}": "{process["unit"]} on {process["node"]}' in spec


@for_every_shape
def test_the_broker_is_asked_once_for_as_many_consumers_as_there_are_workers(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    workers = shape.get("engines", 2) * shape.get("engineWorkers", 1)
    asked = {
        node: re.findall(r" engine=(\d+)\+ engine_worker=(\d+)\+ heat-engine-listener=(\d+)\+ ", text)
        for node in nodes(result)
        if "engine_worker=" in (text := result.by_name[f"{node}-check"].text())
    }
    assert asked == {"node-1": [(str(workers),) * 3]}


def timers(result: Run, node: str) -> list[str]:
    """The timers that a node enables."""
    text = result.by_name[f"{node}-caretaker"].text()
    return re.findall(r"(?m)^systemctl --quiet enable --now heat-caretaker@(.*)\.timer$", text)


@for_every_shape
def test_every_node_has_the_caretaker_and_runs_its_timers_after_the_engines(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for node in nodes(result):
        assert timers(result, node) == ["rescue", "clean", "purge"]
        parts = {f"{node}-caretaker-{part}" for part in ("traversal", "upkeep", "records", "caretaker", "unit")}
        there = parts | {f"{node}-caretaker-{task}-timer" for task in timers(result, node)}
        assert there | {f"{node}-broker-consumers", f"{node}-secrets-conf"} | set(processes(result)) <= result.before(
            f"{node}-caretaker"
        )


def test_what_the_caretaker_is_never_to_do_has_no_timer() -> None:
    result = run(caretaker={"rescueMinutes": 0, "cleanHours": 12, "purgeDays": 0})
    for node in nodes(result):
        assert timers(result, node) == ["clean"]
        assert not {f"{node}-caretaker-rescue-timer", f"{node}-caretaker-purge-timer"} & result.by_name.keys()
        assert "OnCalendar=0/12:30\n" in result.by_name[f"{node}-caretaker-clean-timer"].text()


def test_the_caretaker_does_what_its_settings_say() -> None:
    result = run(caretaker={"rescueMinutes": 5, "graceSeconds": 77, "purgeDays": 30, "purgeAt": "23:15"})
    assert "OnCalendar=*:0/5\n" in result.by_name["node-1-caretaker-rescue-timer"].text()
    assert "OnCalendar=23:15\n" in result.by_name["node-1-caretaker-purge-timer"].text()
    unit = result.by_name["node-1-caretaker-unit"].text()
    assert " --grace=77 --days=30 " in unit


def test_a_changed_schedule_starts_the_timers_anew_and_no_process() -> None:
    old, new = cached(), run(caretaker={"rescueMinutes": 5})
    changed = {name for name, resource in old.by_name.items() if resource.inputs != new.by_name[name].inputs}
    assert changed == {f"{node}-caretaker{part}" for node in nodes(old) for part in ("", "-rescue-timer")}


# How a resource lives and dies.


@for_every_shape
def test_a_replaced_machine_is_set_up_again_and_a_gone_one_blocks_nothing(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for resource in result.remote:
        machine = result.by_name[f"{result.host_of(resource)}-machine"].urn
        assert list(resource.request.replace_with) == [machine]
        assert resource.request.deletedWith == machine


@for_every_shape
def test_no_command_on_a_host_has_anything_to_do_when_it_is_deleted_or_a_reason_to_be_replaced(
    shape: dict[str, Any],
) -> None:
    for resource in cached(**shape).remote:
        assert set(resource.inputs) == {"connection", "create", "stdin", "logging", "addPreviousOutputInEnv"}


@for_every_shape
def test_what_is_made_on_this_machine_is_taken_away_and_the_rest_leaves_nothing(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    made = {resource.name for resource in result.commands if "delete" in resource.inputs}
    leaving = {"front-haproxy-leave", "front-firewall-leave", *(f"{node}-leave" for node in nodes(result))}
    leaving |= {f"front-forget-{node}" for node in nodes(result)}
    machines = {"network", "front-machine", *(f"{node}-machine" for node in nodes(result))}
    assert made == {"clouds-yaml", *machines, *leaving}
    assert {result.by_name[name].type for name in made} == {LOCAL}


def test_a_teardown_runs_after_the_proxys_change_and_before_the_control_plane_goes() -> None:
    result = cached()
    for node in nodes(result):
        assert {
            f"{node}-machine",
            "front-machine",
            "front-mariadb",
            "front-rabbitmq",
            "front-keystone",
        } <= result.before(f"{node}-leave")
        assert f"{node}-leave" in result.before("front-haproxy-leave")
        request = result.by_name[f"{node}-leave"].request
        # The teardown runs on a machine before its replacement, and never on the new machine.
        assert request.deleteBeforeReplace
        assert list(request.replace_with) == [result.by_name[f"{node}-machine"].urn]
        assert not request.deletedWith


@for_every_shape
def test_ports_are_closed_before_anything_listens_on_them_and_a_node_is_let_in_before_it_connects(
    shape: dict[str, Any],
) -> None:
    result = cached(**shape)
    for resource in result.remote:
        host = result.host_of(resource)
        if resource.name not in (f"{host}-ready", "front-firewall", f"{host}-firewall"):
            assert {"front-firewall", f"{host}-firewall"} <= result.before(resource.name), resource.name
    assert not {name for name in result.before("front-firewall") if name.endswith(("-install", "-memcached"))}


@for_every_shape
def test_a_node_that_leaves_is_let_in_until_it_has_left_and_the_front_host_opens_last(shape: dict[str, Any]) -> None:
    """What depends on another thing is deleted before it."""
    result = cached(**shape)
    for node in nodes(result):
        # Each waits for the other nodes too: what forgets one of them would cut off another that leaves with it.
        assert {f"front-forget-{other}" for other in nodes(result)} <= result.before(f"{node}-leave")
        assert "front-firewall-leave" in result.before(f"front-forget-{node}")
        forget, firewall = (result.by_name[name] for name in (f"front-forget-{node}", "front-firewall"))
        assert firewall.name in result.before(forget.name)
        # Nothing there replaces one with the other, and no property is passed on.
        assert list(forget.request.replace_with) == [result.by_name["front-machine"].urn]


@for_every_shape
def test_a_node_s_ports_are_those_of_the_plan_alone_once_what_is_no_longer_planned_has_stopped(
    shape: dict[str, Any],
) -> None:
    result = cached(**shape)
    for node in nodes(result):
        assert f"{node}-firewall" in result.before(f"{node}-retire")
        text = result.by_name[f"{node}-retire"].text()
        assert text.index("stopped $unit") < text.index("systemctl reload-or-restart heat-scaleout-firewall.service")


def test_only_what_makes_a_machine_another_one_replaces_it() -> None:
    """A replaced machine is an empty one: nothing that a running one can take over may do that."""
    result = cached()
    triggered = {resource.name: resource for resource in result.commands if "triggers" in resource.inputs}
    assert set(triggered) == {"front-machine", "node-1-machine", "node-2-machine"}
    for node in result.outputs["nodes"]:
        assert triggered[f"{node['name']}-machine"].inputs["triggers"] == [node["address"], "10.213.77.0/24"]


def test_a_secret_once_made_stays_whatever_becomes_of_its_recipe() -> None:
    for resource in cached().commands:
        if resource.name.startswith("secret-") or resource.name.endswith("-key"):
            assert resource.inputs["update"] == 'printf %s "$PULUMI_COMMAND_STDOUT"'
            assert resource.inputs.get("addPreviousOutputInEnv", True) is True


@for_every_shape
def test_only_the_first_command_waits_long_for_a_host(shape: dict[str, Any]) -> None:
    assert DIALS < BOOT_DIALS
    for resource in cached(**shape).remote:
        first = resource.name.endswith("-ready")
        assert resource.connection["dialErrorLimit"] == (BOOT_DIALS if first else DIALS)


@for_every_shape
def test_every_host_is_known_by_its_own_key(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for resource in result.remote:
        host = result.host_of(resource)
        assert resource.connection["hostKey"] == f"ssh-ed25519 {public_key(f'{host}-host-key')}"
        machine = result.by_name[f"{host}-machine"]
        key = machine.inputs["environment"]["HOST_KEY"]
        assert isinstance(key, Secret)
        assert f"{MARK}.{host}-host-key" in key.value


def test_the_check_of_a_configuration_comes_before_it_is_put_in_place() -> None:
    result = cached()
    checked = {
        "heat-conf": "/opt/heat/27.0.1/check-options",
        "secrets-conf": "/opt/heat/27.0.1/check-options",
        "heat-engine-1-conf": "/opt/heat/27.0.1/check-options",
        "heat-api-8004-conf": "/opt/heat/27.0.1/check-options",
    }
    for name, check in checked.items():
        assert f" {check} || " in result.by_name[f"node-2-{name}"].text("create")
        assert "node-2-check-options" in result.before(f"node-2-{name}")
    assert " haproxy -c -dW -f || " in result.by_name["front-haproxy-cfg"].text("create")


# What may be read, and by whom.


def plain(value: Any) -> Iterator[str]:  # whatever an input holds
    """Every text that is not marked as secret."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from plain(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from plain(entry)


def disguised(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        secret[::-1],
        base64.b64encode(secret.encode()).decode().rstrip("=")[:-1],
        secret.encode().hex(),
    }


def test_the_search_for_secrets_finds_one() -> None:
    assert [*plain({"a": ["x", Secret("hidden"), {"b": f"is {MARK}"}]})] == ["a", "x", "b", f"is {MARK}"]


@for_every_shape
def test_no_secret_is_in_a_plain_input_or_a_name_or_an_output(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    forms = disguised(MARK)
    for resource in result.registered:
        for text in (resource.name, *plain(dict(resource.inputs))):
            assert not any(form in text for form in forms), resource.name
    assert not any(form in str(result.outputs) for form in forms)


@for_every_shape
def test_no_secret_is_in_a_command_line(shape: dict[str, Any]) -> None:
    for resource in cached(**shape).commands:
        for key in ("create", "update", "delete"):
            assert not isinstance(resource.inputs.get(key), Secret), resource.name
            assert MARK not in str(resource.inputs.get(key, ""))


def test_texts_with_a_secret_are_secret_and_what_an_operator_wants_to_see_in_a_preview_is_not() -> None:
    result = cached()
    secret = {name for name, resource in result.by_name.items() if isinstance(resource.inputs.get("stdin"), Secret)}
    for name in (
        "front-check", "front-keystone", "front-keystone-secrets", "front-mariadb",
        "front-rabbitmq-definitions", "node-1-identity", "node-1-secrets-conf", "node-2-secrets-conf", "clouds-yaml",
    ):  # fmt: skip
        assert name in secret
        assert MARK in result.by_name[name].text()
    for name in (
        "front-haproxy-cfg", "node-1-heat-conf", "node-1-heat-engine-1-conf", "node-1-retire", "front-mariadb-cnf",
        "front-keystone-conf", "front-rabbitmq-conf", "node-1-heat-engine-unit", "node-1-heat-api-uwsgi",
        "node-1-policy",
    ):  # fmt: skip
        assert name not in secret


def test_files_with_a_secret_are_not_for_everybody() -> None:
    for resource in cached().remote:
        words = resource.text("create").split()
        if words[:2] == ["heat-scaleout", "put"] and MARK in resource.text():
            _, _, _, mode, owner, *_ = words
            assert mode == "0640", resource.name
            assert owner in ("root:heat", "root:keystone", "root:rabbitmq")
    assert cached().by_name["clouds-yaml"].text("create").startswith("umask 077 && ")


@for_every_shape
def test_nothing_that_a_command_prints_is_logged_or_kept_in_the_clear(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    for resource in result.commands:
        # What a node's check prints is for the operator: queues and numbers. So is where a dump of a database is.
        shown = resource.name in {*(f"{node}-check" for node in nodes(result)), "front-dump", "front-keystone"}
        # So is why a host was left as it is.
        leaves = resource.name.endswith("-leave") or resource.name.startswith("front-forget-")
        assert resource.inputs["logging"] == ("stdout" if shown else "stderr" if leaves else "none"), resource.name
    for resource in result.commands:
        if resource.type == REMOTE or "update" in resource.inputs:
            assert {"stdout", "stderr"} <= set(resource.request.additionalSecretOutputs), resource.name


def test_a_login_is_secret_as_a_whole() -> None:
    for resource in cached().remote:
        assert isinstance(resource.inputs["connection"], Secret)
        assert MARK in resource.connection["privateKey"]


def test_the_key_that_encrypts_stacks_has_the_length_that_heat_wants() -> None:
    text = cached().by_name["node-1-secrets-conf"].text()
    (key,) = re.findall(r"(?m)^auth_encryption_key = (.*)$", text)
    assert len(key) == 32


# Settings reach what they are for.


def changed_by(**config: object) -> set[str]:
    """The names of the resources that differ from those of a stack that says nothing."""
    usual, other = cached(), cached(**config)
    return {
        name
        for name in usual.by_name.keys() | other.by_name.keys()
        if name not in usual.by_name
        or name not in other.by_name
        or usual.by_name[name].inputs != other.by_name[name].inputs
    }


# Settings, what each changes, and what it must not touch.
EFFECTS: list[tuple[dict[str, Any], set[str], set[str]]] = [
    (
        {"checksPerStack": 9},
        {"node-1-heat-engine-unit", "node-2-heat-engine-1"},
        {"node-1-heat-conf", "node-1-heat-api-8004"},
    ),
    ({"engineWorkers": 2}, {"node-1-heat-conf", "node-2-heat-engine-1", "node-1-check"}, {"front-haproxy-cfg"}),
    ({"apiThreads": 4}, {"node-1-heat-api-uwsgi", "node-2-heat-api-cfn-8000"}, {"node-1-heat-engine-1"}),
    ({"apiProcesses": 2}, {"node-1-heat-api-uwsgi", "node-2-heat-api-cfn-8000"}, {"node-1-heat-engine-1"}),
    ({"region": "West"}, {"node-1-heat-conf", "front-keystone", "node-1-identity", "clouds-yaml"}, {"front-mariadb"}),
    ({"statsPort": 9000}, {"front-haproxy-cfg", "front-haproxy"}, {"node-1-heat-api-8004"}),
    ({"statsAllow": ["192.0.2.0/24"]}, {"front-haproxy-cfg"}, {"node-1-heat-api-8004"}),
    ({"haproxy": {"maxconn": 9000}}, {"front-haproxy-cfg", "front-check"}, {"node-1-heat-api-8004"}),
    (
        {"timeouts": {"rpcResponse": 90}},
        {"node-1-heat-conf", "node-1-heat-api-uwsgi", "node-1-heat-api-unit", "front-haproxy-cfg"},
        {"front-mariadb"},
    ),
    (
        {"timeouts": {"engineGraceful": 90}},
        {"node-2-heat-engine-1", "node-2-heat-engine-unit", "node-1-retire"},
        {"front-haproxy-cfg", "node-1-heat-conf", "node-1-heat-api-unit"},
    ),
    ({"rollingBatch": 2}, set(), {"node-1-heat-engine-1", "node-2-heat-api-8004"}),
    ({"timeouts": {"engineStop": 90}}, {"node-2-heat-engine-unit"}, {"node-1-heat-conf", "node-1-heat-api-8004"}),
    ({"timeouts": {"apiStop": 90}}, {"node-2-heat-api-cfn-unit"}, {"node-1-heat-conf", "node-1-heat-engine-1"}),
    ({"timeouts": {"proxyServer": 90}}, {"front-haproxy-cfg"}, {"node-1-heat-conf", "node-1-heat-api-uwsgi"}),
    ({"timeouts": {"uwsgi": 66}}, {"node-1-heat-api-uwsgi", "front-haproxy-cfg"}, {"node-1-heat-conf"}),
    ({"debianMirror": "http://mirror.example/debian"}, {"image"}, {"node-1-install"}),
    ({"pipIndexUrl": "http://pypi.example/simple"}, {"node-1-install", "front-install"}, {"image"}),
    ({"subnet": "10.1.0.0/24"}, {"network", "front-machine", "node-1-heat-conf"}, {"secret-broker"}),
]


@pytest.mark.parametrize(
    ("config", "must", "must_not"), EFFECTS, ids=lambda part: str(sorted(part) if isinstance(part, set) else part)
)
def test_a_setting_reaches_what_it_is_for_and_nothing_else(
    config: dict[str, Any], must: set[str], must_not: set[str]
) -> None:
    changed = changed_by(**config)
    assert must <= changed
    assert not must_not & changed


@pytest.mark.parametrize("config", [config for config, *_ in EFFECTS if "subnet" not in config], ids=str)
def test_a_process_is_restarted_exactly_when_a_file_that_it_reads_has_changed(config: dict[str, Any]) -> None:
    changed = changed_by(**config)
    for name, process in processes(cached()).items():
        node, kind = process["node"], process["kind"]
        read = {f"{node}-{file}" for file in ("heat-conf", "secrets-conf", "policy", f"{kind}-unit", f"{kind}-uwsgi")}
        assert (name in changed) == bool(changed & (read | {f"{name}-conf"})), name


def test_releases_that_do_not_understand_one_another_meet_at_no_queue() -> None:
    releases = ("24.1.2", "25.0.2", "26.0.2", "27.0.1", "30.0.0")
    vhosts = {version: broker_vhost(Installation(version=version)) for version in releases}
    assert vhosts["24.1.2"] == vhosts["25.0.2"] == "heat-1.4"
    assert vhosts["26.0.2"] == vhosts["27.0.1"] == vhosts["30.0.0"] == "heat"
    definitions = json.loads(cached().by_name["front-rabbitmq-definitions"].text())
    for kind in ("permissions", "policies"):
        assert {entry["vhost"] for entry in definitions[kind]} == set(vhosts.values())
    (url,) = re.findall(r"(?m)^transport_url = (.*)$", cached().by_name["node-1-secrets-conf"].text())
    assert url.endswith("/heat")
    # A tag is a release. A release that only the hosts know has its own vhost.
    assert broker_vhost(Installation(method=Method.GIT, git_ref="25.0.2")) == "heat-1.4"
    assert broker_vhost(Installation(method=Method.GIT, git_ref="master")) == "heat-git-master"
    assert broker_vhost(Installation(method=Method.APT)) == "heat-apt"
    apt = cached(install="apt").by_name["front-rabbitmq-definitions"].text()
    assert [entry["name"] for entry in json.loads(apt)["vhosts"]] == ["heat", "heat-1.4", "heat-apt"]


def test_a_bad_setting_is_reported_before_anything_changes() -> None:
    with pytest.raises(SettingsError, match=r"engines = 0: must be an integer from 1 to 2000"):
        run(engines=0)


# Previews.


@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
def test_a_preview_with_nothing_known_yet_shows_the_same_resources(shape: dict[str, Any]) -> None:
    known, unknown = cached(**shape), cached(preview=True, **shape)
    assert known.by_urn.keys() == unknown.by_urn.keys()


def test_a_first_preview_can_show_heat_conf_and_the_proxys_configuration() -> None:
    known, unknown = cached(), cached(preview=True)
    for name in ("node-1-heat-conf", "front-haproxy-cfg", "node-2-heat-engine-1-conf"):
        assert unknown.by_name[name].text() == known.by_name[name].text()


# Outputs.


def test_the_outputs_have_their_documented_names() -> None:
    outputs = cached().outputs
    assert set(outputs) - set(FORMER) == {
        "heatApiUrl", "heatCfnUrl", "keystoneUrl", "haproxyStatsUrl", "nodes", "processes", "cloudsYamlPath",
        "cloudsYaml",
    }  # fmt: skip
    assert {former: outputs[former] for former in FORMER} == {former: outputs[name] for former, name in FORMER.items()}
    assert outputs["nodes"] == [
        {"name": "front", "address": "10.213.77.10"},
        {"name": "node-1", "address": "10.213.77.11"},
        {"name": "node-2", "address": "10.213.77.12"},
    ]
    assert outputs["haproxyStatsUrl"] == "http://10.213.77.10:8404/"
    assert outputs["cloudsYamlPath"] == f"{ROOT}/.state/sample/clouds.yaml"
    assert outputs["cloudsYaml"] == Secret(cached().by_name["clouds-yaml"].text())


@for_every_shape
def test_a_process_in_the_outputs_has_a_kind_a_node_an_address_a_unit_and_an_api_a_port(shape: dict[str, Any]) -> None:
    result = cached(**shape)
    addresses = {node["name"]: node["address"] for node in result.outputs["nodes"]}
    for process in result.outputs["processes"]:
        keys = {"kind", "node", "address", "unit"}
        assert set(process) == (keys if process["kind"] == "heat-engine" else keys | {"port"})
        assert process["kind"] in ("heat-engine", "heat-api", "heat-api-cfn")
        assert process["address"] == addresses[process["node"]]
        assert process["unit"].startswith(f"{process['kind']}@")


def test_public_urls_are_where_the_proxy_listens() -> None:
    result = cached(**SHAPES[5])
    conf = result.by_name["front-haproxy-cfg"].text()
    for output in ("heatApiUrl", "heatCfnUrl", "haproxyStatsUrl"):
        address = result.outputs[output].split("/")[2]
        assert f"    bind {address}\n" in conf


# Outputs of components.


VM = {"hosts": "openstack", "openstack": {"sshFrom": ["198.51.100.0/24"]}, "nodes": 1}
HOSTS: list[tuple[dict[str, Any], str, set[str]]] = [
    ({}, "ContainerHosts", {"addresses", "network", "image"}),
    ({"hosts": "existing", "sshPrivateKey": KEY, "existing": existing_hosts()}, "ExistingHosts", {"addresses"}),
    (VM, "OpenstackHosts", {"addresses", "public_address"}),
]


@pytest.mark.parametrize(("config", "kind", "expected"), HOSTS, ids=[kind for _, kind, _ in HOSTS])
def test_the_components_of_hosts_have_outputs_without_secrets(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], kind: str, expected: set[str]
) -> None:
    outputs: dict[str, dict[str, Any]] = {}

    def register(_: Monitor, request: RegisterResourceOutputsRequest) -> Empty:
        outputs[request.urn.rpartition("$")[2].partition("::")[0]] = json_format.MessageToDict(request.outputs)
        return Empty()

    monkeypatch.setattr(Monitor, "RegisterResourceOutputs", register)
    result = run(**config)
    found = outputs[f"heat:hosts:{kind}"]
    assert {key for key, value in found.items() if value is not None} == expected
    assert found["addresses"] == {node["name"]: node["address"] for node in result.outputs["nodes"]}
    assert outputs["heat:hosts:HostFirewall"]["closed_ports"]["node-b" if kind == "ExistingHosts" else "node-1"]
    # The stack's own outputs have secrets, as secrets: tests/unit/test_secrets.py.
    components = {name: values for name, values in outputs.items() if name.startswith("heat:")}
    assert MARK not in str(components)


# The program.


def test_a_run_of_the_program_leaves_this_process_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT), list(sys.path)
    run(preview=True)
    assert (signal.getsignal(signal.SIGINT), list(sys.path)) == before


def test_every_resource_belongs_to_a_component() -> None:
    for resource in cached().registered:
        assert isinstance(resource, Resource)
        kind = resource.request.parent.rpartition("::")[0].rpartition("::")[2].rpartition("$")[2]
        assert kind.startswith("heat:" if resource.request.custom else "pulumi:pulumi:Stack"), resource.name


@pytest.mark.parametrize(
    ("constant", "script"),
    [("_KEYSTONE_PROCESSES", "front-keystone"), ("_CACHE_CONNECTIONS", "front-memcached")],
)
def test_a_service_of_the_control_plane_learns_of_a_change_of_its_files(
    monkeypatch: pytest.MonkeyPatch, constant: str, script: str
) -> None:
    """Its script restarts it when they differ: it has to be run for that."""
    before = cached().by_name
    monkeypatch.setattr(bundled, constant, 5)
    after = run().by_name
    assert after[script].text() != before[script].text()
    assert after["front-mariadb"].text() == before["front-mariadb"].text()
