"""Each way to install Heat, and which installations may work together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

from components.heat.install import (
    Installation,
    Method,
    PackageSource,
    Release,
    can_share_vhost,
    engine_worker,
    explain_mixed_releases,
    has_console_apis,
    lock_file,
    locked_releases,
)
from components.rendering import PROGRAMS
from components.topology import Kind
from infra.settings.load import SettingsError, load
from tests.unit import program
from tests.unit.program import guide_sample
from tests.unit.refused import assert_refused

PIP = Installation(version="27.0.1")
GIT = Installation(method=Method.GIT, version="27.0.1", git_url="https://git.example/heat", git_ref="stable/2026.1")
APT = Installation(method=Method.APT)


def release(version: str) -> Release:
    return Release(version=version, engine_worker=engine_worker(version), ec2_login=True)


def test_each_installation_has_its_own_directory_on_a_host() -> None:
    constrained = dataclasses.replace(PIP, constraints="oslo.messaging===18.2.0\n")
    others = [
        PIP,
        Installation(version="26.0.2"),
        constrained,
        dataclasses.replace(PIP, constraints="oslo.messaging===18.3.1\n"),
        GIT,
        dataclasses.replace(GIT, git_ref="master"),
        dataclasses.replace(GIT, constraints="oslo.messaging===18.2.0\n"),
        APT,
    ]
    assert len({installation.prefix for installation in others}) == len(others)
    assert PIP.prefix == "/opt/heat/27.0.1"
    assert GIT.prefix == "/opt/heat/git-stable-2026.1"
    assert APT.prefix == "/opt/heat/apt"
    assert constrained.prefix.startswith("/opt/heat/27.0.1-")


@pytest.mark.parametrize("version", locked_releases())
def test_a_release_with_a_list_of_packages_is_installed_from_it_and_its_digests_are_verified(version: str) -> None:
    installation = Installation(version=version)
    assert installation.locked
    path, text = installation.files()["requirements"]
    assert text == lock_file(version).read_text()
    assert f"openstack-heat=={version} \\\n" in text
    assert f"locked_venv /opt/heat/{version} {path}\n" in installation.script()
    assert "--require-hashes" in installation.script()


def test_with_constraints_only_the_operators_versions_count() -> None:
    installation = dataclasses.replace(PIP, constraints="oslo.messaging===18.2.0\n")
    assert not installation.locked
    files = installation.files()
    assert files["constraints"][1] == "oslo.messaging===18.2.0\n"
    assert files["requirements"][1].splitlines()[0] == "openstack-heat==27.0.1"
    words = f"{installation.prefix} {files['requirements'][0]} {files['constraints'][0]}"
    assert f"constrained_venv {words}\n" in installation.script()


def test_git_installs_what_it_has_cloned() -> None:
    assert GIT.files()["requirements"][1].splitlines()[0] == f"openstack-heat @ file://{GIT.prefix}/source"
    assert "git clone --quiet --no-checkout -- https://git.example/heat " in GIT.script()
    assert "'refs/remotes/origin/stable/2026.1^{commit}'" in GIT.script()


def test_apt_needs_no_file_and_no_pip() -> None:
    assert APT.files() == {}
    assert "pip" not in APT.script()


def test_the_distributions_units_are_masked_before_its_packages_are_installed() -> None:
    script = APT.script()
    assert script.index("systemctl --quiet mask") < script.index("\npackages heat-engine")


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (PackageSource(), []),
        (PackageSource(index_url="http://pypi.example/simple"), ["PIP_INDEX_URL=http://pypi.example/simple"]),
        (
            PackageSource(wheelhouse="/srv/wheels"),
            ["UV_FIND_LINKS=/srv/wheels", "no_index=--no-index", "[ -d /srv/wheels ]"],
        ),
        (
            PackageSource(wheelhouse="http://wheels.example/"),
            ["UV_FIND_LINKS=http://wheels.example/", "no_index=--no-index"],
        ),
        (
            PackageSource(index_url="http://pypi.example/simple", wheelhouse="/srv/wheels"),
            ["UV_DEFAULT_INDEX=http://pypi.example/simple", "UV_FIND_LINKS=/srv/wheels", "[ -d /srv/wheels ]"],
        ),
    ],
)
def test_packages_come_from_the_configured_source(packages: PackageSource, expected: list[str]) -> None:
    script = dataclasses.replace(PIP, packages=packages).script()
    words = ("PIP_INDEX_URL=", "FIND_LINKS=", "NO_INDEX=", "[ -d /srv/wheels ]", "UV_DEFAULT_INDEX=")
    for word in expected:
        assert word in script
    for word in words:
        assert word in script or not any(word in part for part in expected)
    assert ("NO_INDEX=" in script) is (bool(packages.wheelhouse) and not packages.index_url)


def test_keystone_comes_from_the_same_package_source() -> None:
    assert "UV_FIND_LINKS=/srv/wheels" in guide_sample(wheelhouse="/srv/wheels").by_name["front-install"].text()


def test_the_distributions_apis_are_loaded_from_its_wsgi_programs() -> None:
    """Debian 12 and Ubuntu have releases without WSGI modules."""
    assert APT.application(Kind.API) == "/opt/heat/apt/bin/heat-wsgi-api"
    assert APT.application(Kind.CFN) == "/opt/heat/apt/bin/heat-wsgi-api-cfn"
    assert PIP.application(Kind.CFN) == "heat.wsgi.cfn:application"


def test_heat_24_is_the_last_with_console_programs_for_its_apis() -> None:
    assert [version for version in locked_releases() if has_console_apis(version)] == ["24.1.2"]


def test_missing_console_apis_are_reported_before_anything_starts() -> None:
    assert "heat-api-cfn" in dataclasses.replace(GIT, console=True).script().partition("no program $program")[0]
    assert "no program $program" not in GIT.script()


@pytest.mark.parametrize(
    ("version", "rpc_version"),
    [("19.0.0", "1.4"), ("24.1.2", "1.4"), ("25.0.2", "1.4"), ("26.0.2", "1.9"), ("27.0.1", "1.9")],
)
def test_the_rpc_version_of_a_locked_release_is_known(version: str, rpc_version: str) -> None:
    assert engine_worker(version) == rpc_version


@pytest.mark.parametrize("version", ["17.0.0", "28.0.0"])
def test_the_rpc_version_of_other_releases_is_not_guessed(version: str) -> None:
    with pytest.raises(ValueError, match=f"is not known for Heat {version}"):
        engine_worker(version)


@pytest.mark.parametrize(("one", "other"), [("24.1.2", "25.0.2"), ("26.0.2", "27.0.1"), ("19.0.0", "24.1.2")])
def test_releases_with_the_same_rpc_version_share_a_vhost(one: str, other: str) -> None:
    assert explain_mixed_releases({"node-1": release(one), "node-2": release(other)}) == ""


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [("28.0.0", "28.1.0", True), ("28.0.0", "27.0.1", False), ("19.0.0", "24.1.2", True), ("25.0.2", "26.0.2", False)],
)
def test_an_unknown_release_shares_a_vhost_only_with_itself(one: str, other: str, *, together: bool) -> None:
    assert can_share_vhost(one, other) is together


@pytest.mark.parametrize("way", [{"install": "apt"}, {"install": "git", "gitRef": "master"}])
def test_an_adopted_configuration_needs_a_release_that_is_known_beforehand(way: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load("dev", {**way, "adopt": "true"})
    found = [problem for problem in raised.value.problems if problem.startswith("install = ")]
    remedy = "pulumi config set install pip --stack dev"
    assert_refused(found, f"install = {way['install']}", "a release that is known beforehand", remedy)


def test_mixed_releases_are_named_with_their_nodes() -> None:
    engines = {"node-1": release("26.0.2"), "node-2": release("25.0.2"), "10.0.0.1 (not ours)": release("24.1.2")}
    problem = explain_mixed_releases(engines)
    assert (
        "engine_worker 1.4: node-2 (Heat 25.0.2), 10.0.0.1 (not ours) (Heat 24.1.2); "
        "engine_worker 1.9: node-1 (Heat 26.0.2)" in problem
    )
    assert "its own vhost" in problem


def test_no_process_starts_and_no_schema_changes_where_nodes_have_mixed_releases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = program.Outputs.stdout

    def reported(name: str) -> str:
        if name == "node-2-install":
            return json.dumps({"version": "25.0.2", "engine_worker": "1.4", "ec2_login": True})
        return original(name)

    monkeypatch.setattr(program.Outputs, "stdout", staticmethod(reported))
    with pytest.raises(pulumi.RunError, match=r"node-2 \(Heat 25.0.2\)"):
        program.run(subnet="10.0.0.0/24")


def test_a_relative_path_of_constraints_starts_at_the_checkout() -> None:
    settings = load("dev", {"constraints": "requirements.txt"})
    assert settings.installation.constraints == (program.ROOT / "requirements.txt").read_text()


def test_git_checks_out_the_releases_tag_by_default() -> None:
    assert load("dev", {"install": "git"}).installation.git_ref == "27.0.1"
    assert load("dev", {"install": "git", "gitRef": "master"}).installation.git_ref == "master"


@pytest.mark.parametrize("way", [{"install": "apt"}, {"install": "git", "gitRef": "master"}])
def test_options_are_checked_on_the_hosts_if_only_they_know_the_release(way: dict[str, str]) -> None:
    """Heat 27 does not know this option, and the distribution's release may."""
    options = {"all": {"DEFAULT": {"backdoor_port": "9"}}}
    assert load("dev", {**way, "options": options})
    with pytest.raises(SettingsError, match=r"Heat 27\.0\.1 does not know it"):
        load("dev", {"options": options})


def installed(tmp_path: Path, *, worker: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    """Run programs/heat/installed.py with the parts of Heat that it reads."""
    engine = tmp_path / "heat/engine"
    engine.mkdir(parents=True)
    for package in (tmp_path / "heat", engine):
        (package / "__init__.py").touch()
    (engine / "worker.py").write_text(worker)
    metadata = tmp_path / "openstack_heat-25.0.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: openstack-heat\nVersion: 25.0.2\n")
    (metadata / "entry_points.txt").write_text("[oslo.config.opts]\ncotyledon = x:y\noslo.log = x:y\nnot.ours = x:y\n")
    oslo = tmp_path / "oslo_config"
    oslo.mkdir()
    (oslo / "__init__.py").touch()
    known = {"options": {"ec2authtoken": {"opts": [{"name": name} for name in options]}}}
    (oslo / "generator.py").write_text(
        "from pathlib import Path\n"
        "def main(arguments):\n"
        "    kind, output, *namespaces = arguments\n"
        "    assert kind == '--format=json'\n"
        "    assert namespaces == ['--namespace=oslo.log', '--namespace=cotyledon'], namespaces\n"
        f"    Path(output.partition('=')[2]).write_text({json.dumps(known)!r})\n"
    )
    return subprocess.run(
        [sys.executable, PROGRAMS / "heat/installed.py", tmp_path / "options.json"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installation_reports_its_release(tmp_path: Path) -> None:
    worker = "class WorkerService:\n    RPC_API_VERSION = '1.4'\n"
    done = installed(tmp_path, worker=worker, options=["auth_uri", "auth_type"])
    assert done.returncode == 0, done.stderr
    assert Release.reported("noise\n" + done.stdout) == Release(version="25.0.2", engine_worker="1.4", ec2_login=True)
    assert "auth_uri" in (tmp_path / "options.json").read_text()


def test_an_older_release_reports_that_its_cfn_api_has_no_login(tmp_path: Path) -> None:
    worker = "class WorkerService:\n    RPC_API_VERSION = '1.4'\n"
    done = installed(tmp_path, worker=worker, options=["auth_uri"])
    assert not Release.reported(done.stdout).ec2_login


def test_an_installation_without_an_rpc_version_is_not_guessed(tmp_path: Path) -> None:
    done = installed(tmp_path, worker="", options=["auth_uri"])
    assert done.returncode != 0
    assert "no version of the messages between engines is found" in done.stderr
