"""Heat from the distribution's packages, on a node of its own. Each test continues from the one before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.lab import ROOT, Stack, connected

NAME = "e2e-apt"
UNITS = ("heat-engine", "heat-api", "heat-api-cfn")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One node, with one process of each kind. tests/e2e/run.sh removes it after a failure."""
    subprocess.run([ROOT / "tools/new-stack.sh", NAME], check=True)
    made = Stack(NAME)
    made.set("subnet", "10.213.80.0/24")
    made.set("install", "apt")
    for key in ("nodes", "engines", "apis", "cfnApis"):
        made.set(key, 1)
    made.up()
    yield made
    made.pulumi("destroy", "--yes", "--skip-preview")


def test_the_planned_units_run_the_distributions_heat(stack: Stack) -> None:
    origin = stack.on("node-1", "dpkg-query -S /usr/bin/heat-engine")
    assert origin == "heat-engine: /usr/bin/heat-engine"
    assert stack.on("node-1", "ls /opt/heat/*/pyvenv.cfg 2>/dev/null | grep -c /apt/", check=False) == "0"
    where = stack.on("node-1", "/opt/heat/apt/bin/python -c 'import heat; print(heat.__file__)'")
    assert where.startswith("/usr/lib/python3/dist-packages/heat/")
    for (node, unit), pid in stack.pids().items():
        program = stack.on(node, f"tr '\\0' ' ' </proc/{pid}/cmdline").split(" ")[0]
        assert stack.on(node, f"readlink -f {program}").startswith("/usr/bin/"), (unit, program)


def test_the_units_of_the_packages_do_not_run_and_cannot_start(stack: Stack) -> None:
    for unit in UNITS:
        assert stack.on("node-1", f"systemctl is-enabled {unit}; systemctl is-active {unit}", check=False).split() == [
            "masked",
            "inactive",
        ]


def test_a_stack_is_created_through_the_proxy(stack: Stack) -> None:
    cloud = connected(stack.outputs()["cloudsYamlPath"])
    group = {
        "type": "OS::Heat::ResourceGroup",
        "properties": {"count": 2, "resource_def": {"type": "OS::Heat::RandomString"}},
    }
    made = cloud.orchestration.create_stack(
        name="apt", template={"heat_template_version": "2018-08-31", "resources": {"group": group}}
    )
    cloud.orchestration.wait_for_status(
        made, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=120
    )
    cloud.orchestration.delete_stack(made)
    cloud.orchestration.wait_for_delete(made, interval=0.5, wait=120)


def test_the_caretaker_reports_that_it_does_not_support_this_heat(stack: Stack) -> None:
    stack.on("node-1", "systemctl start heat-caretaker@rescue.service")
    log = stack.on("node-1", "journalctl --unit heat-caretaker@rescue.service --output cat")
    assert "the caretaker supports Heat 24 and later, and this is Heat 19.0.0" in log


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    stack.up("--expect-no-changes")
