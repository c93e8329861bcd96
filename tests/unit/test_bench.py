"""The pure parts of tests/bench: options from the environment, tables of results, and cgroup paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.cases import Case, cases, releases
from tests.bench.choice import chosen, plan, too_long
from tests.bench.journal import picked
from tests.bench.report import Asked, Row, Setup, bad, from_json, linear, markdown, per_second
from tests.bench.share import controller, group_path, v1_place
from tests.bench.usage import Phase, cpu_seconds, kind_of, resident, times_of, unit_of

V1_MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
"""
CGROUPS = """\
9:name=systemd:/libpod_parent/libpod-de34/system.slice/system-heat\\x2dengine.slice/heat-engine@1.service
2:cpuset:/libpod_parent/libpod-de34
1:cpu,cpuacct:/heat-scaleout-bench/node-1-1
0::/libpod_parent/libpod-de34/system.slice/system-heat\\x2dengine.slice/heat-engine@1.service
"""


def phase(seconds: float) -> Phase:
    return Phase(seconds=seconds, engines=6.0, carriers=3.0, idle=0.25)


def row(engines: int, seconds: float, case: str = "many 12 x 10", share: int = 15) -> Row:
    (found,) = cases(case)
    setup = Setup("27.0.1", 8, engines, share)
    return Row(setup=setup, case=found, resources=found.resources, create=phase(seconds), delete=phase(seconds / 2))


def test_cases_are_read_with_and_without_blanks() -> None:
    assert cases("wide 20, nested 10x20,many 3 x 4,, slow:5") == [
        Case("wide", (20,)), Case("nested", (10, 20)), Case("many", (3, 4)), Case("slow", (5,)),
    ]  # fmt: skip
    assert [str(case) for case in cases("nested 10x20")] == ["nested 10 x 20"]
    assert cases("") == []


@pytest.mark.parametrize("written", ["wide", "wide 0", "wide 3 x 4", "nested 3", "broad 3", "wide 20 group 3", "-1"])
def test_an_invalid_case_is_refused_with_the_valid_ones(written: str) -> None:
    with pytest.raises(ValueError, match=r"CASES: .* is not a case\. Cases are: wide N, .*nested A x B"):
        cases(written)


@pytest.mark.parametrize(
    ("case", "stacks", "top", "resources", "pause"),
    [
        ("wide 20", 1, 20, 20, 20),
        ("group 20", 1, 1, 21, 20),
        ("fan 20", 1, 21, 21, 20),
        ("chain 20", 1, 20, 20, 1),
        ("nested 10 x 20", 1, 1, 211, 30),
        ("many 10 x 20", 10, 20, 200, 20),
        ("beside 20", 1, 20, 20, 20),
        ("slow 20", 1, 20, 20, 20),
        ("show 8", 1, 20, 20, 20),
    ],
)
def test_a_shape_counts_what_heat_creates(case: str, stacks: int, top: int, resources: int, pause: int) -> None:
    (found,) = cases(case)
    assert (found.stacks, found.resources, found.pause) == (stacks, resources, pause)
    assert len(found.template["resources"]) == top


def test_the_resources_of_a_chain_depend_on_each_other_and_those_of_a_fan_on_the_first() -> None:
    (chain, fan) = cases("chain 3, fan 2")
    links = {name: one.get("depends_on") for name, one in chain.template["resources"].items()}
    assert links == {"r0": None, "r1": "r0", "r2": "r1"}
    assert {one.get("depends_on") for one in fan.template["resources"].values()} == {None, "first"}


def test_the_oldest_release_is_first_as_a_database_only_goes_up() -> None:
    assert releases("27.0.1, 9.0.0,24.1.2") == ["9.0.0", "24.1.2", "27.0.1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENGINES", "1,x"), ("ENGINES", "0"), ("PACES", "-1"), ("SHARE", "0"), ("SHARE", "101"), ("SHARE", "1,2"),
     ("RELEASES", "new"), ("LIMIT", "1"), ("SET", "engineWorkers"), ("CASES", "broad 3")],
)  # fmt: skip
def test_an_invalid_option_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        chosen({name: value})


def test_shapes_come_before_the_numbers_of_engines_for_each_release_and_pace() -> None:
    choice = chosen({"ENGINES": "1,4", "CASES": "wide 5", "SCALING": "wide 6", "SET": "engineWorkers=2"})
    planned = [(setup.release, setup.checks, setup.engines, setup.share) for setup, _ in plan(choice)]
    assert planned[:4] == [("24.1.2", 8, 2, 0), ("24.1.2", 8, 1, 15), ("24.1.2", 8, 4, 15), ("24.1.2", 0, 2, 0)]
    assert len(planned) == 12
    assert choice.settings == {"engineWorkers": "2"}
    assert [len(found) for _, found in plan(chosen({"SHORT": "1", "CASES": "", "ENGINES": "1"}))] == [2]


def test_a_case_that_takes_too_long_at_heats_own_pace_is_skipped() -> None:
    assert "1000 s" in too_long(Setup("27.0.1", 0, 2, 0), Case("wide", (1000,)), 300)
    assert not too_long(Setup("27.0.1", 8, 2, 0), Case("wide", (1000,)), 300)
    assert not too_long(Setup("27.0.1", 0, 2, 0), Case("wide", (300,)), 300)


def test_linear_scaling_is_relative_to_the_fewest_engines() -> None:
    assert linear({1: 80.0, 4: 25.0}, row(4, 25)) == pytest.approx(0.8)
    assert linear({2: 40.0, 4: 20.0}, row(4, 20)) == pytest.approx(1.0)
    assert linear({1: 80.0}, row(4, 25)) is None
    assert per_second(row(1, 6)) == pytest.approx(2)
    assert per_second(row(1, 6, "wide 60")) == pytest.approx(10)


def test_the_tables_have_every_row_with_its_reason() -> None:
    failed = Row(setup=Setup("27.0.1", 0, 2, 0), case=Case("wide", (20,)), resources=20, failed="400 a|b\nc")
    failed.errors = ["node-1: ERROR QueuePool limit"]
    disturbed = row(2, 9, "wide 9", share=0)
    disturbed.create = Phase(seconds=9, engines=6.0, carriers=3.0, idle=0.25, others=0.4)
    text = markdown([row(1, 80), row(4, 25), row(2, 3, "group 299", share=0), failed, disturbed])
    assert "| disturbed: other programs used 40% of the CPUs |" in text
    assert "| 27.0.1 | checksPerStack 8 | many 12 x 10 | 4 | 25.0 s | 0.48 | 0.80 | 12.5 s | 0.80 | 25% |  |" in text
    assert "| 2 | group 299 | 3.0 s | 0.020 + 0.010 | 25% | 1.5 s | 0.020 + 0.010 | 25% |  |" in text
    assert r"| Heat's own pace | 2 | wide 20 |  |  |  |  |  |  | 400 a\|b c; 1 error line |" in text
    assert "QueuePool limit" in text
    for table in text.split("\n\n"):
        pipes = {line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(pipes) <= 1


def test_the_table_of_requests_has_their_rate_and_their_cost() -> None:
    asking = row(2, 3, "show 8", share=0)
    usage = Phase(seconds=10, engines=2.0, carriers=3.0, idle=0.1, apis=1.0)
    asking.asked = Asked(usage=usage, requests=500, median=0.12, late=0.3, failed=0)
    asking.memory = {"heat-engine": 130, "heat-api": 110}
    text = markdown([asking])
    assert (
        "| show 8 | 50 | 120 ms | 300 ms | 0 | 2.0 ms | 4.0 ms | 4.0 ms | heat-api 110 MiB, heat-engine 130 MiB |"
        in text
    )
    assert "| created |" not in text
    assert from_json(json.loads(json.dumps(asking.as_json()))) == asking
    assert not bad([asking])
    asking.asked = Asked(usage=usage, requests=500, median=0.12, late=0.3, failed=1)
    assert bad([asking])


def test_a_row_survives_json_and_reports_whether_it_failed() -> None:
    made = row(4, 25)
    assert from_json(json.loads(json.dumps(made.as_json()))) == made
    assert not bad([made, Row(setup=made.setup, case=made.case, resources=1, skipped="too long")])
    assert bad([made, Row(setup=made.setup, case=made.case, resources=1, failed="refused")])
    made.errors = ["node-1: deadlock"]
    assert bad([made])


def test_the_cpu_controller_is_found_in_either_version_of_cgroups() -> None:
    assert controller(V1_MOUNTS, "") == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert controller(V1_MOUNTS, "cpuset cpu io") is None
    with pytest.raises(ValueError, match="ENGINES="):
        controller("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "cpuset io")


def test_an_engine_has_a_cgroup_by_its_node_and_number() -> None:
    group = group_path(Path("/sys/fs/cgroup/cpu"), "node-1", "heat-engine@12.service")
    assert group == Path("/sys/fs/cgroup/cpu/heat-scaleout-bench/node-1-12")
    assert v1_place(CGROUPS) == "/heat-scaleout-bench/node-1-1"


def test_a_process_is_classified_by_its_unit() -> None:
    assert unit_of(CGROUPS) == "heat-engine@1.service"
    assert unit_of("0::/libpod-de34/init.scope\n") == ""
    units = ("heat-engine@1.service", "heat-api-cfn@8000.service", "mariadb.service", "keystone.service")
    assert [kind_of(unit) for unit in units] == ["engines", "carriers", "carriers", ""]


def test_the_memory_of_a_process_is_counted_in_mib() -> None:
    assert resident("50000 25600 900 1 0 20000 0\n") == 25600 * 4096 // 2**20


def test_cpu_times_are_read_whatever_a_process_is_called() -> None:
    ticks = "S 1 1 1 0 -1 4194560 1 1 0 0 250 50 0 0 20 0 1 0 1 1 1"
    assert cpu_seconds(f"12 (a) b (c) {ticks}") == pytest.approx(3.0)
    found = times_of("cpu 100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n")
    assert found.total == pytest.approx(10)
    assert found.idle == pytest.approx(8)


def test_error_lines_are_those_that_report_a_shortage() -> None:
    lines = [
        "2026-11-30 15:51:22.633 1510 ERROR heat.engine QueuePool limit of size 5 overflow 10 reached",
        "2026-11-30 15:51:22.633 1510 WARNING oslo_db.api Deadlock found when trying to get lock",
        "oslo_messaging.exceptions.MessagingTimeout: Timed out waiting for a reply",
        "2026-11-30 15:51:22.639 1510 INFO heat.engine.environment Registered: OS::Neutron::Pool",
        "2026-11-30 15:51:22.639 1510 ERROR heat.engine a block device is missing",
    ]
    assert picked("\n".join(lines)) == lines[:3]
