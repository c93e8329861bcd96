"""tools/toolchain.sh: its sources, their order, and the message if all of them fail. No network is used."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# No release and no prepared build has this version.
VERSION = "0.0.1"
ARM = platform.machine() in {"aarch64", "arm64"}
CLI = f"pulumi-v{VERSION}-linux-{'arm64' if ARM else 'x64'}.tar.gz"
COMMAND = f"pulumi-resource-command-v{VERSION}-linux-{'arm64' if ARM else 'amd64'}.tar.gz"
OPENSTACK = COMMAND.replace("command", "openstack")

# Answers as the CLI does to `version` and to `plugin install resource NAME VERSION --file ARCHIVE`.
FAKE = """#!/bin/sh
case $1 in
version) echo vVERSION ;;
plugin)
    directory=$PULUMI_HOME/plugins/resource-$4-v$5
    mkdir -p "$directory"
    tar -xzf "$7" -C "$directory" ;;
esac
"""
FILES = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec", "pulumi-resource-pulumi-python")


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Project:
    """A copy of the script in a project, on a machine that reaches only a mirror."""

    directory: Path
    mirror: Path

    def run(
        self, *arguments: str, path: Path | None = None, mirror: bool = True, named: str | None = None
    ) -> tuple[int, str]:
        """Run the script. Returns its status and its messages.

        Args:
            arguments: of the script.
            path: a directory that comes first on PATH.
            mirror: whether there is a mirror.
            named: the value of PULUMI_MIRROR_SHA256; None: the digest of the mirror's list.
        """
        sums = self.mirror / "SHA256SUMS"
        if named is None:
            named = hashlib.sha256(sums.read_bytes()).hexdigest() if sums.exists() else ""
        process = subprocess.run(
            [self.directory / "tools/toolchain.sh", *arguments],
            env={
                "PATH": f"{path}:/usr/bin:/bin" if path else "/usr/bin:/bin",
                "HOME": str(self.directory),
                "PULUMI_MIRROR": str(self.mirror) if mirror else "",
                "PULUMI_MIRROR_SHA256": named,
                # A proxy that refuses at once.
                "https_proxy": "http://127.0.0.1:9",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return process.returncode, process.stderr

    def put(self, *archives: str) -> None:
        """Put archives into the mirror, with the layout of the releases."""
        for archive in archives:
            names = [f"pulumi/{name}" for name in FILES] if archive == CLI else [f"./{archive.split('-v')[0]}"]
            with tarfile.open(self.mirror / archive, "w:gz") as packed:
                for name in names:
                    text = FAKE.replace("VERSION", VERSION) if name == "pulumi/pulumi" else f"#!/bin/sh\n# {archive}\n"
                    packed.add(_program(self.directory / "scratch" / name, text), name)
        self.sums()

    def sums(self) -> None:
        """Write the checksums of the mirror's archives."""
        lines = [f"{hashlib.sha256(a.read_bytes()).hexdigest()}  {a.name}\n" for a in self.mirror.glob("*.tar.gz")]
        (self.mirror / "SHA256SUMS").write_text("".join(lines))

    def pin(self, archive: str, digest: str = "") -> None:
        """List an archive in the repository, with its own digest or another one."""
        found = hashlib.sha256((self.mirror / archive).read_bytes()).hexdigest()
        with (self.directory / "tools/offline/official.sha256").open("a") as listed:
            listed.write(f"{digest or found}  {archive}\n")

    def on_path(self, version: str) -> Path:
        """A directory with a CLI of that version."""
        for name in FILES:
            _program(self.directory / "found" / name, FAKE.replace("VERSION", version))
        return self.directory / "found"

    @property
    def plugin(self) -> Path:
        return self.directory / f".tools/pulumi-home/plugins/resource-command-v{VERSION}/pulumi-resource-command"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory, mirror = tmp_path / "project", tmp_path / "mirror"
    mirror.mkdir()
    copied = ("toolchain.sh", "offline/pulumi-build/cli/go.mod", "offline/command_provider/pulumi-resource-command")
    for name in copied:
        _program(directory / "tools" / name, (ROOT / "tools" / name).read_text())
    _program(directory / "tools/venv.sh", "#!/bin/sh\n")
    for kind in ("official", "built"):
        (directory / f"tools/offline/{kind}.sha256").write_text("# none of this version\n")
    pins = (f"{name}=={VERSION}\n" for name in ("pulumi", "pulumi-command", "pulumi-openstack"))
    (directory / "requirements.txt").write_text("".join(pins))
    return Project(directory, mirror)


def test_everything_is_installed_from_the_mirror_once(project: Project) -> None:
    project.put(CLI, COMMAND)
    status, output = project.run()
    assert (status, output.count("from PULUMI_MIRROR, verified by its SHA256SUMS")) == (0, 2)
    assert {path.name for path in (project.directory / ".tools/pulumi").iterdir()} == {"VERSION", *FILES}
    assert project.run(mirror=False) == (0, "")


def test_a_cli_on_path_is_preferred_to_the_mirror(project: Project) -> None:
    project.put(CLI, COMMAND)
    found = project.on_path(VERSION)
    status, output = project.run(path=found)
    assert (status, f"pulumi {VERSION}: from PATH ({found})" in output) == (0, True)


def test_a_cli_of_another_version_on_path_is_ignored(project: Project) -> None:
    project.put(CLI, COMMAND)
    found = project.on_path("3.0.0")
    assert "from PATH" not in project.run(path=found)[1]
    assert (project.directory / ".tools/pulumi/VERSION").read_text() == f"{VERSION}\n"


def _damage(project: Project) -> None:
    (project.mirror / CLI).write_bytes(b"something else")


def _leave_out(project: Project) -> None:
    lines = (project.mirror / "SHA256SUMS").read_text().splitlines(keepends=True)
    (project.mirror / "SHA256SUMS").write_text("".join(line for line in lines if CLI not in line))


@pytest.mark.parametrize(
    ("harm", "complaint"), [(_damage, f"{CLI} does not match its checksum"), (_leave_out, f"does not list {CLI}")]
)
def test_a_wrong_or_missing_checksum_is_refused(
    project: Project, harm: Callable[[Project], None], complaint: str
) -> None:
    project.put(CLI, COMMAND)
    harm(project)
    status, output = project.run()
    assert status != 0
    assert complaint in output
    assert not (project.directory / ".tools/pulumi").exists()


def test_a_mirror_without_a_list_of_checksums_is_refused(project: Project) -> None:
    project.put(CLI, COMMAND)
    (project.mirror / "SHA256SUMS").unlink()
    status, output = project.run()
    assert status != 0
    assert "has no SHA256SUMS" in output
    assert "export PULUMI_MIRROR_SHA256=" in output
    assert not (project.directory / ".tools/pulumi").exists()


@pytest.mark.parametrize("named", ["", "0" * 64])
def test_a_list_without_the_operators_digest_is_refused(project: Project, named: str) -> None:
    project.put(CLI, COMMAND)
    status, output = project.run(named=named)
    assert status != 0
    assert "PULUMI_MIRROR_SHA256" in output
    assert hashlib.sha256((project.mirror / "SHA256SUMS").read_bytes()).hexdigest() in output
    assert not (project.directory / ".tools/pulumi").exists()


def test_an_archive_whose_digest_the_repository_lists_needs_no_other_proof(project: Project) -> None:
    project.put(CLI, COMMAND)
    for archive in (CLI, COMMAND):
        project.pin(archive)
    (project.mirror / "SHA256SUMS").unlink()
    status, output = project.run()
    assert (status, output.count("verified by tools/offline/official.sha256")) == (0, 2)


def test_the_repository_lists_the_cli_that_requirements_txt_pins() -> None:
    version = re.findall(r"(?m)^pulumi==(\S+)", (ROOT / "requirements.txt").read_text())[0]
    listed = (ROOT / "tools/offline/official.sha256").read_text()
    for platform_name in ("x64", "arm64"):
        assert re.search(rf"(?m)^[0-9a-f]{{64}}  pulumi-v{re.escape(version)}-linux-{platform_name}\.tar\.gz$", listed)


# Replaces `python3 -c … URL FILE`: the official hosts have the mirror's files, under the same names.
OFFICIAL = """#!/bin/sh
name=${3##*/}
case $name in
*checksums.txt) cat MIRROR/SHA256SUMS >"$4" ;;
*) cat "MIRROR/$name" >"$4" ;;
esac
"""


def _official(project: Project) -> Path:
    bin_ = project.directory / "official"
    _program(bin_ / "python3", OFFICIAL.replace("MIRROR", str(project.mirror)))
    return bin_


def test_an_official_download_with_another_digest_than_the_pinned_one_is_refused(project: Project) -> None:
    project.put(CLI, COMMAND)
    project.pin(CLI, digest="0" * 64)
    status, output = project.run(path=_official(project), mirror=False)
    assert status != 0
    assert f"{CLI} does not have the digest that tools/offline/official.sha256 lists" in output
    assert not (project.directory / ".tools/pulumi").exists()


def test_an_official_download_reports_what_verified_it(project: Project) -> None:
    project.put(CLI, COMMAND)
    project.pin(CLI)
    status, output = project.run(path=_official(project), mirror=False)
    assert status == 0
    assert f"pulumi {VERSION}: from official download, verified by tools/offline/official.sha256" in output
    assert f"pulumi-command {VERSION}: from official download, verified by the release's own checksums alone" in output


def test_a_failure_lists_every_source_and_what_to_do(project: Project) -> None:
    status, output = project.run(path=project.on_path("3.0.0"), mirror=False)
    assert status != 0
    tried = re.findall(r"^  - ([^:]*): (.*)", output, re.MULTILINE)
    assert [source for source, _ in tried] == ["PATH", "PULUMI_MIRROR", "official download", "build from registries"]
    assert f"pulumi is 'v3.0.0', not v{VERSION}" in tried[0][1]
    assert f"download https://get.pulumi.com/releases/sdk/{CLI}" in output
    assert "run this again with PULUMI_MIRROR=that-directory" in output


def test_the_stand_in_replaces_the_plugin_until_there_is_one(project: Project) -> None:
    project.put(CLI)
    status, output = project.run()
    assert status == 0
    (line,) = (line for line in output.splitlines() if "stand-in" in line)
    assert line.startswith(
        f"toolchain: pulumi-command {VERSION}: the stand-in in tools/offline/command_provider, because"
    )
    assert os.access(project.plugin, os.X_OK)
    assert project.run() == (0, "")
    project.put(COMMAND)
    assert f"pulumi-command {VERSION}: from PULUMI_MIRROR" in project.run()[1]
    assert COMMAND in project.plugin.read_text()
    assert project.run(mirror=False) == (0, "")


def test_the_openstack_plugin_is_installed_on_request(project: Project) -> None:
    project.put(CLI, COMMAND, OPENSTACK)
    openstack = project.plugin.parents[1] / f"resource-openstack-v{VERSION}/pulumi-resource-openstack"
    assert (project.run()[0], openstack.exists()) == (0, False)
    assert (project.run("--openstack")[0], openstack.exists()) == (0, True)


def test_there_is_no_stand_in_for_the_openstack_plugin(project: Project) -> None:
    project.put(CLI, COMMAND)
    status, output = project.run("--openstack")
    assert status != 0
    assert f"/{OPENSTACK}," in output
    assert "run this again with PULUMI_MIRROR=that-directory" in output


def test_builds_and_stand_in_have_the_pinned_versions() -> None:
    pins = dict(re.findall("^([a-z-]+)==([^ \n]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    module = (ROOT / "tools/offline/pulumi-build/cli/go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{pins['pulumi']} " in module
    service = (ROOT / "tools/offline/command_provider/service.py").read_text()
    assert f'VERSION = "{pins["pulumi-command"]}"' in service
    assert f'requiredPulumiVersion: ">={pins["pulumi"]} <4.0.0"' in (ROOT / "Pulumi.yaml").read_text()
