"""The program that reads the Heat of a host: it runs nothing that it finds, and reads no more than others could read.

With users of their own where the test is run by root; on a made-up /proc otherwise.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from components.rendering import render
from tests.unit.shipped import shipped_program
from tests.unit.test_scripts import tool

# Users that every system has. Without root, Heat's user is the user who runs the test.
OTHER = pwd.getpwnam("nobody")
SELF = os.geteuid()
SERVICE = pwd.getpwuid(SELF) if SELF else pwd.getpwnam("daemon")
needs_root = pytest.mark.skipif(SELF != 0, reason="only root may read as another user")
METADATA = "Metadata-Version: 2.1\nName: openstack-heat\nVersion: {}\nSummary: x\n\nVersion: 6.6.6\n"


class Machine:
    """A host below a directory: its /proc, its users, and what runs there."""

    def __init__(self, path: Path, program: ModuleType) -> None:
        self.path, self.program = path, program
        self.proc = path / "proc"
        self.proc.mkdir()
        # The program asks this one for users and units.
        vars(program).update(PROC=self.proc, PREFIXES=(str(path / "usr"),), pwd=self, subprocess=self)
        self.main: dict[int, str] = {}

    # The parts of `pwd` and `subprocess` that the program uses.
    getpwuid, getpwall = staticmethod(pwd.getpwuid), staticmethod(pwd.getpwall)

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        return SERVICE if name == "heat" else pwd.getpwnam(name)

    def run(self, words: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        assert words[:-1] == ("systemctl", "show", "--property", "MainPID", "--value", "--")
        pid = next((pid for pid, unit in self.main.items() if unit == words[-1]), 0)
        return subprocess.CompletedProcess(words, 0, f"{pid}\n", "")

    def process(self, pid: int, command: str, uid: int = SELF, *, unit: str = "", uids: str = "") -> None:
        directory = self.proc / str(pid)
        directory.mkdir()
        (directory / "cmdline").write_text(command)
        (directory / "status").write_text(f"Name:\tpython3\nUid:\t{uids or chr(9).join([str(uid)] * 4)}\nGid:\t0\n")
        (directory / "cgroup").write_text(f"0::/system.slice/{unit}\n" if unit else "0::/user.slice/session-1.scope\n")
        if unit:
            self.main[pid] = unit

    def venv(self, name: str, version: str, *, site: str = "lib/python3.11/site-packages", first: str = "") -> Path:
        """A Heat below a prefix; returns the path of its script, which would leave a mark if it were run."""
        prefix = self.path / name
        script = prefix / "bin/heat-engine"
        script.parent.mkdir(parents=True)
        trap = prefix / "bin/python"
        tool(trap.parent, "python", f"touch {self.path}/ran")
        script.write_text(f"#!{first or trap}\nimport os; os.mknod('{self.path}/ran')\n")
        script.chmod(0o755)
        found = prefix / site / f"openstack_heat-{version}.dist-info/METADATA"
        found.parent.mkdir(parents=True)
        found.write_text(METADATA.format(version))
        return script

    def belongs_to(self, name: str, uid: int) -> None:
        for path in (self.path / name, *(self.path / name).rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)

    @property
    def release(self) -> str:
        found, _ = self.program.find_release()
        assert not (self.path / "ran").exists()
        return str(found)

    @property
    def ignored(self) -> str:
        return "\n".join(self.program.find_release()[1])


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Path(tempfile.mkdtemp(dir="/tmp"))  # other users have to reach it
    made.chmod(0o755)
    yield Machine(made, shipped_program("adoption/original.py"))
    shutil.rmtree(made)


# Which Heat it is.


@pytest.mark.parametrize(
    "site", ["lib/python3.11/site-packages", "lib/python3/dist-packages", "local/lib/python3.12/dist-packages"]
)
@pytest.mark.parametrize(
    "title", ["{}", "/usr/bin/python3\0{}\0--config-file\0x", "heat-engine: master process [{} --config-file x]"]
)
def test_the_release_of_the_engine_that_runs_is_read_from_its_packages(machine: Machine, site: str, title: str) -> None:
    script = machine.venv("opt/heat", "26.0.2", site=site)
    machine.process(7, title.format(script))
    assert machine.release == "26.0.2"


def test_a_script_elsewhere_belongs_to_the_python_in_its_first_line(machine: Machine) -> None:
    machine.venv("opt/venv", "26.0.2")
    (machine.path / "bin").mkdir()
    script = machine.path / "bin/heat-engine"
    script.write_text(f"#!{machine.path}/opt/venv/bin/python3.11\n")
    machine.process(7, str(script))
    assert machine.release == "26.0.2"


def test_an_editable_installation_of_a_clone_is_recognised(machine: Machine) -> None:
    """As in devstack: a link, and the metadata next to the source."""
    script = machine.venv("opt/venv", "0.0")
    site = machine.path / "opt/venv/lib/python3.11/site-packages"
    shutil.rmtree(site / "openstack_heat-0.0.dist-info")
    clone = machine.path / "opt/stack/heat/openstack_heat.egg-info"
    clone.mkdir(parents=True)
    (clone / "PKG-INFO").write_text(METADATA.format("25.0.1.dev3"))
    (site / "openstack-heat.egg-link").write_text(f"{clone.parent}\n.")
    machine.process(7, str(script))
    assert machine.release == "25.0.1.dev3"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_package_of_the_distribution_is_recognised_whether_its_engine_runs_or_not(
    machine: Machine, kind: str
) -> None:
    site = machine.path / "usr/lib/python3/dist-packages"
    found = site / "openstack_heat-19.0.0.egg-info" / ("PKG-INFO" if kind == "directory" else "")
    found.parent.mkdir(parents=True)
    found.write_text(METADATA.format("19.0.0"))
    assert machine.release == "19.0.0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Name: heat-dashboard\nVersion: 1.0\n\n",
        "Name: openstack-heat\n\nVersion: 1.0\n",
        "Name: openstack-heat\nVersion: $(id)\n\n",
        "\0" * 100,
    ],
)
def test_damaged_metadata_report_nothing(machine: Machine, text: str) -> None:
    script = machine.venv("opt/heat", "26.0.2")
    next((machine.path / "opt/heat").rglob("METADATA")).write_text(text)
    machine.process(7, str(script))
    assert (machine.release, machine.ignored) == ("", "")


def test_a_process_that_ends_meanwhile_is_ignored(machine: Machine) -> None:
    (machine.proc / "6").mkdir()
    machine.process(7, str(machine.venv("opt/heat", "26.0.2")))
    (machine.proc / "7/status").unlink()
    assert machine.release == ""


# Whose processes count.


@needs_root
@pytest.mark.parametrize(("uid", "unit"), [(SERVICE.pw_uid, ""), (OTHER.pw_uid, "devstack@h-eng.service"), (SELF, "")])
def test_engines_of_heats_user_of_a_service_and_of_root_count_with_their_own_files(
    machine: Machine, uid: int, unit: str
) -> None:
    script = machine.venv("opt/heat", "26.0.2")
    machine.belongs_to("opt/heat", uid)
    machine.process(7, str(script), uid, unit=unit)
    assert (machine.release, machine.ignored) == ("26.0.2", "")


@needs_root
def test_another_users_process_is_reported_and_does_not_count(machine: Machine) -> None:
    script = machine.venv("home/venv", "26.0.2")
    machine.belongs_to("home/venv", OTHER.pw_uid)
    machine.process(7, str(script), OTHER.pw_uid)
    # Nor a process in the user's own control group with a service's name, nor one that the user started with root's
    # rights.
    machine.process(8, str(script), OTHER.pw_uid)
    (machine.proc / "8/cgroup").write_text("0::/user.slice/user@7.service/heat-engine.service/--host=x.service\n")
    machine.process(9, str(script), uids=f"{OTHER.pw_uid}\t0\t0\t0")
    assert machine.release == ""
    assert machine.ignored.count("of nobody calls itself heat-engine, and is not a systemd service") == 2


@needs_root
@pytest.mark.parametrize(
    "hole",
    [
        "another's directory",
        "another's file",
        "for everybody",
        "for a group",
        "a link of another's",
        "a hard link",
        "a way there",
    ],
)
def test_files_that_another_user_can_change_are_ignored(machine: Machine, hole: str) -> None:
    script = machine.venv("opt/heat", "26.0.2")
    prefix = machine.path / "opt/heat"
    metadata = next(prefix.rglob("METADATA"))
    if hole == "another's directory":
        os.chown(metadata.parent, OTHER.pw_uid, -1)
    elif hole == "another's file":
        os.chown(metadata, OTHER.pw_uid, -1)
    elif hole == "for everybody":
        (prefix / "lib").chmod(0o757)
    elif hole == "for a group":
        os.chown(prefix, -1, OTHER.pw_gid)
        prefix.chmod(0o775)
    elif hole == "a way there":
        os.chown(machine.path / "opt", OTHER.pw_uid, -1)
    else:
        his = machine.path / "his"
        his.mkdir()
        os.chown(his, OTHER.pw_uid, -1)
        metadata.rename(machine.path / "METADATA")
        if hole == "a hard link":
            (his / "METADATA").hardlink_to(machine.path / "METADATA")
            metadata.symlink_to(his / "METADATA")
        else:
            metadata.symlink_to(machine.path / "METADATA")
            os.chown(metadata, OTHER.pw_uid, -1, follow_symlinks=False)
    machine.process(7, str(script))
    assert machine.release == ""
    assert "calls itself heat-engine, and" in machine.ignored
    assert "can be " in machine.ignored


@needs_root
def test_a_link_of_the_services_user_leads_only_to_what_that_user_can_read(machine: Machine) -> None:
    script = machine.venv("opt/heat", "26.0.2")
    metadata = next((machine.path / "opt/heat").rglob("METADATA"))
    roots = machine.path / "root's"
    metadata.rename(roots)
    roots.chmod(0o600)
    metadata.symlink_to(roots)
    machine.belongs_to("opt/heat", SERVICE.pw_uid)
    machine.process(7, str(script), SERVICE.pw_uid)
    assert machine.release == ""
    roots.chmod(0o644)
    assert machine.release == "26.0.2"


# The paths of the files that the configuration names.


@needs_root
@pytest.mark.parametrize("whose", ["root's", "another's", "a link"])
def test_files_are_not_put_where_another_user_could_redirect_them(machine: Machine, whose: str) -> None:
    heat, other = machine.path / "etc/heat", machine.path / "other"
    heat.mkdir(parents=True)
    other.mkdir()
    if whose == "another's":
        os.chown(heat, OTHER.pw_uid, -1)
    elif whose == "a link":
        (heat / "adopted").symlink_to(other)
    files = {f"{heat}/adopted/1-policy.yaml": base64.b64encode(b"rules").decode()}
    text = render("adoption/place.sh.j2", directory=f"{heat}/adopted", parent=str(heat), files=files)
    done = subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, check=False)
    if whose == "root's":
        assert (done.returncode, (heat / "adopted/1-policy.yaml").read_text()) == (0, "rules")
    else:
        assert done.returncode == 1
        assert "as root: chown -h root " in done.stderr
        assert not [*other.iterdir()]


# The configuration.


def run_program(machine: Machine, action: str, *paths: str, stdin: object = None) -> subprocess.CompletedProcess[str]:
    source = Path(str(machine.program.__file__))
    return subprocess.run(
        [sys.executable, source, action, *paths],
        input=json.dumps(stdin), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def conf(machine: Machine) -> Path:
    path = machine.path / "etc/heat/heat.conf"
    path.parent.mkdir(parents=True)
    path.write_text("[DEFAULT]\n")
    return path


def test_the_configuration_and_what_it_names_are_read(machine: Machine, conf: Path) -> None:
    (conf.parent / "policy.yaml").write_text("rules")
    found = json.loads(run_program(machine, "read", str(conf)).stdout)
    assert (found["files"], found["policies"]) == ({str(conf): "[DEFAULT]\n"}, [str(conf.parent / "policy.yaml")])
    spec = {"files": found["policies"], "conf": [str(conf)]}
    fetched = json.loads(run_program(machine, "fetch", stdin=spec).stdout)
    assert base64.b64decode(fetched[found["policies"][0]]) == b"rules"


@needs_root
@pytest.mark.parametrize("which", ["heat.conf", "policy.yaml"])
def test_a_file_of_roots_behind_a_link_of_heats_user_is_not_read(machine: Machine, conf: Path, which: str) -> None:
    secret = machine.path / "shadow"
    secret.write_text("root's alone")
    secret.chmod(0o600)
    conf.unlink(missing_ok=which == "heat.conf")
    conf.write_text("[DEFAULT]\n")
    (conf.parent / which).unlink(missing_ok=True)
    (conf.parent / which).symlink_to(secret)
    machine.belongs_to("etc/heat", SERVICE.pw_uid)
    if which == "heat.conf":
        done = run_program(machine, "read", str(conf))
    else:
        done = run_program(machine, "fetch", stdin={"files": [str(conf.parent / which)], "conf": [str(conf)]})
    assert done.returncode == 1
    assert "cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert "root's alone" not in done.stdout


@needs_root
def test_a_file_that_heats_user_has_named_is_read_with_that_users_rights(machine: Machine, conf: Path) -> None:
    """Who can write heat.conf decides which files go to the nodes, where Heat can read them."""
    secret, open_to_all = machine.path / "shadow", machine.path / "ca.pem"
    secret.write_text("root's alone")
    secret.chmod(0o600)
    open_to_all.write_text("a certificate")
    os.chown(conf, SERVICE.pw_uid, SERVICE.pw_gid)
    done = run_program(machine, "fetch", stdin={"files": [str(secret)], "conf": [str(conf)]})
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{secret} cannot be read, with the rights of daemon: Permission denied" in done.stderr
    assert run_program(machine, "fetch", stdin={"files": [str(open_to_all)], "conf": [str(conf)]}).returncode == 0
    # A file that only root could name is read as root.
    os.chown(conf, 0, 0)
    assert run_program(machine, "fetch", stdin={"files": [str(secret)], "conf": [str(conf)]}).returncode == 0


@needs_root
def test_a_configuration_that_everybody_may_write_is_refused_with_what_to_type(machine: Machine, conf: Path) -> None:
    conf.chmod(0o666)
    done = run_program(machine, "read", str(conf))
    assert done.returncode == 1
    assert "can be written by everybody. Type: chmod o-w" in done.stderr
    assert stat.S_IMODE(conf.stat().st_mode) == 0o666
