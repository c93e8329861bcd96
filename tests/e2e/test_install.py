"""One node, upgraded from Heat 24 to 27, each release installed in another way. Each test continues the one before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.heat.install import lock_file
from tests.e2e.lab import ROOT, Stack, connected

NAME = "e2e-install"
WHEELS = "/srv/wheels"
PIP = "PIP_CERT=/etc/ssl/certs/ca-certificates.crt /opt/uv/*/bin/python -m pip"
# The digests are those of the wheels; a build from a clone has another one.
_HASH = re.compile(r" \\\n    --hash=\S+")


def versions(release: str) -> str:
    """A release's list of packages as constraints, without digests and without Heat."""
    lines = _HASH.sub("", lock_file(release).read_text()).splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("openstack-heat=="))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One node, with one process of each kind. tests/e2e/run.sh removes it after a failure."""
    subprocess.run([ROOT / "tools/new-stack.sh", NAME], check=True)
    made = Stack(NAME)
    made.set("subnet", "10.213.83.0/24")
    for key in ("nodes", "engines", "apis", "cfnApis"):
        made.set(key, 1)
    yield made
    made.pulumi("destroy", "--yes", "--skip-preview")


def runs_from(stack: Stack, prefix: str) -> None:
    """Every process has loaded Heat from this path and from no other, and the engine program knows its code."""
    for (node, unit), pid in stack.pids().items():
        loaded = stack.on(
            node, f"runuser -u heat -- grep -o '/opt/heat/[^/]*/' /proc/{pid}/maps | sort -u"
        ).splitlines()
        assert len(loaded) == 1, (unit, loaded)
        assert loaded[0].startswith(prefix), (unit, loaded)
    # The message of programs/heat/engine.py if it cannot change the release's pace.
    assert "Heat's own pace" not in stack.on("node-1", "journalctl --unit heat-engine@1 --output cat")


def works(stack: Stack, name: str, *, earlier: list[str]) -> None:
    """A stack is created through the proxy and stays; earlier stacks are listed."""
    cloud = connected(stack.outputs()["cloudsYamlPath"])
    assert sorted(one.name for one in cloud.orchestration.stacks()) == sorted(earlier)
    group = {
        "type": "OS::Heat::ResourceGroup",
        "properties": {"count": 2, "resource_def": {"type": "OS::Heat::RandomString"}},
    }
    made = cloud.orchestration.create_stack(
        name=name, template={"heat_template_version": "2018-08-31", "resources": {"group": group}}
    )
    cloud.orchestration.wait_for_status(
        made, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=120
    )


def test_heat_24_runs_its_apis_with_its_own_programs(stack: Stack) -> None:
    stack.set("heatVersion", "24.1.2")
    stack.set("apiRunner", "console")
    stack.up()
    runs_from(stack, "/opt/heat/24.1.2/")
    for (node, unit), pid in stack.pids().items():
        kind = unit.partition("@")[0]
        if kind != "heat-engine":
            assert f"/opt/heat/24.1.2/bin/{kind} " in stack.on(node, f"tr '\\0' ' ' </proc/{pid}/cmdline")
    works(stack, "console", earlier=[])


def test_heat_25_is_installed_from_a_directory_of_wheels_without_an_index(stack: Stack) -> None:
    """Its APIs run under uWSGI, with an extra line of the operator."""
    stack.on(
        "node-1",
        f"{PIP} download --quiet --no-deps --require-hashes --dest {WHEELS} --requirement /dev/stdin",
        stdin=lock_file("25.0.2").read_text(),
    )
    stack.set("wheelhouse", WHEELS)
    stack.pulumi("config", "set", "--path", "uwsgiExtra[0]", "max-requests = 1000")
    stack.set("apiRunner", "uwsgi")
    stack.set("heatVersion", "25.0.2")
    stack.up()
    runs_from(stack, "/opt/heat/25.0.2/")
    assert "max-requests = 1000" in stack.on("node-1", "cat /etc/heat/processes/heat-api@8004/uwsgi.ini")
    works(stack, "wheels", earlier=["console"])
    stack.pulumi("config", "rm", "wheelhouse")


def dumps(stack: Stack) -> list[str]:
    return stack.on("front", "ls -1 /var/lib/heat-scaleout/dumps 2>/dev/null", check=False).splitlines()


def test_heat_26_is_installed_with_a_constraints_file(stack: Stack, tmp_path: Path) -> None:
    """It has a newer schema: the database is dumped first. Until here the schema was always current."""
    assert dumps(stack) == []
    allowed = tmp_path / "constraints.txt"
    allowed.write_text(versions("26.0.2"))
    stack.set("constraints", allowed)
    stack.set("heatVersion", "26.0.2")
    upgraded = stack.up()
    (made,) = dumps(stack)
    assert f"on front: /var/lib/heat-scaleout/dumps/{made}" in upgraded.text
    assert stack.on("front", f"stat -c '%a %U' /var/lib/heat-scaleout/dumps/{made}") == "600 root"
    runs_from(stack, "/opt/heat/26.0.2-")
    works(stack, "constraints", earlier=["console", "wheels"])


def test_heat_27_is_installed_from_a_git_clone(stack: Stack, tmp_path: Path) -> None:
    """The repository is on the node, created from the release's source."""
    stack.on(
        "node-1",
        "set -eu; apt-get -qq update; apt-get -qq install -y --no-install-recommends git >/dev/null; cd /srv;"
        f" {PIP} download --quiet --no-deps --no-binary openstack-heat openstack-heat==27.0.1;"
        " tar xzf openstack_heat-27.0.1.tar.gz --no-same-owner; mv openstack_heat-27.0.1 heat; cd heat;"
        " rm -r PKG-INFO *.egg-info; git init -q; git add --all --force;"
        " git -c user.name=o -c user.email=o@example.org commit -qm all; git tag 27.0.1",
    )
    allowed = tmp_path / "constraints.txt"
    allowed.write_text(versions("27.0.1"))
    stack.set("install", "git")
    stack.set("gitUrl", "file:///srv/heat")
    stack.set("constraints", allowed)
    stack.set("heatVersion", "27.0.1")
    stack.up()
    runs_from(stack, "/opt/heat/git-27.0.1-")
    works(stack, "clone", earlier=["console", "constraints", "wheels"])
    stack.up("--expect-no-changes")


def test_a_schema_newer_than_the_code_is_refused_and_nothing_is_restarted(stack: Stack) -> None:
    before = stack.pids()
    stack.on("front", "mariadb heat -e \"UPDATE alembic_version SET version_num = 'newer'\"")
    stack.set("install", "pip")
    stack.set("heatVersion", "26.0.2")
    for key in ("constraints", "gitUrl"):
        stack.pulumi("config", "rm", key)
    refused = stack.up(check=False)
    assert refused.code != 0
    assert "the database's schema is at newer, which this release of Heat does not know" in refused.text
    assert stack.pids() == before


def test_a_dump_restores_the_release_before_the_upgrade_with_its_stacks(stack: Stack) -> None:
    """The steps of docs/restore.md, with the first dump."""
    stack.on("node-1", "systemctl stop 'heat-caretaker@*' 'heat-api@*' 'heat-api-cfn@*' 'heat-engine@*'")
    assert stack.on("node-1", "systemctl list-units 'heat-*@*' --state active --plain --no-legend") == ""
    stack.on("front", f"zcat /var/lib/heat-scaleout/dumps/{dumps(stack)[0]} | mariadb")
    stack.set("heatVersion", "25.0.2")
    stack.set("generation", 2)
    stack.up()
    runs_from(stack, "/opt/heat/25.0.2/")
    assert stack.on("node-1", "systemctl is-active heat-caretaker@rescue.timer") == "active"
    works(stack, "restored", earlier=["console", "wheels"])
    # Afterwards the upgrade works again.
    stack.set("heatVersion", "27.0.1")
    stack.up()
    works(stack, "again", earlier=["console", "restored", "wheels"])
    assert len(dumps(stack)) == 2
