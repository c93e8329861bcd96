"""Scripts that can be run for real, without root: those for the operator's own machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pytest
import yaml

from components.client_config import ClientConfig, Login
from components.rendering import TEMPLATES, render
from components.secrets import KeyPair
from tests.unit.program import Monitor, Outputs, Resource, cached, in_pulumi
from tests.unit.sample import DEPLOYMENT, B, parsed


def sh(text: str, *, stdin: str = "", cwd: Path | None = None, **environment: str) -> str:
    """What a script prints, as a Command of Pulumi keeps it: without the newline at its end."""
    done = subprocess.run(
        ["/bin/sh", "-c", text],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def recipe(name: str) -> Resource:
    return cached().by_name[name]


needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed here")


def test_a_password_has_32_hexadecimal_digits_and_is_another_each_time() -> None:
    made = {sh(recipe("secret-broker").text("create")) for _ in range(3)}
    assert len(made) == 3
    assert all(len(password) == 32 and not set(password) - set("0123456789abcdef") for password in made)


def test_an_update_of_a_secret_repeats_it_to_the_letter() -> None:
    for before in ("0123456789abcdef", '-----BEGIN\nkey %s \\n "quoted" $HOME\n-----END\nssh-ed25519 AAAA'):
        assert sh(recipe("secret-broker").text("update"), PULUMI_COMMAND_STDOUT=before) == before


def pair(printed: str) -> Mapping[str, str]:
    """What KeyPair makes of what its script printed."""

    class Printed(Outputs):
        @staticmethod
        def stdout(name: str) -> str:
            return printed if name == "key" else ""

    def body() -> None:
        keys = KeyPair("key", pulumi.ComponentResource("test:index:Parent", "parent"))
        pulumi.export("private", keys.private_key)
        pulumi.export("public", keys.public_key)
        pulumi.export("private is secret", pulumi.Output.from_input(keys.private_key.is_secret()))
        pulumi.export("public is secret", pulumi.Output.from_input(keys.public_key.is_secret()))

    return in_pulumi(body, Monitor(Printed(preview=False), []), config={}, preview=False)


@needs_ssh
def test_a_key_pair_is_taken_apart_into_keys_that_belong_together(tmp_path: Path) -> None:
    keys = pair(sh(recipe("ssh-key").text("create")))
    assert keys["private is secret"]
    assert not keys["public is secret"]
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(keys["private"])
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert derived.stdout.split()[:2] == keys["public"].split() == ["ssh-ed25519", keys["public"].split()[1]]


@needs_ssh
def test_making_a_key_pair_leaves_no_file_behind(tmp_path: Path) -> None:
    sh((TEMPLATES / "local/keypair.sh").read_text(), TMPDIR=str(tmp_path))
    assert not [*tmp_path.iterdir()]


def test_a_machine_without_ssh_keygen_is_told_what_to_install(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", TEMPLATES / "local/keypair.sh"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr == "ssh-keygen is missing: apt install openssh-client\n"


def test_the_logins_of_clients_are_written_for_the_operator_alone_and_taken_away_again(tmp_path: Path) -> None:
    """Even where the name of a directory has a space, and over a file that others could read."""
    path = tmp_path / "a checkout" / "clouds.yaml"
    registered: list[Resource] = []

    def body() -> None:
        logins = {"heat": Login(user="demo", project="demo", password="secret")}
        pulumi.export("path", ClientConfig("clients", path=path, deployment=DEPLOYMENT, logins=logins).path)

    assert in_pulumi(body, Monitor(Outputs(preview=False), registered), config={}, preview=False) == {"path": str(path)}
    (written,) = [resource for resource in registered if resource.name == "clouds-yaml"]
    for _ in range(2):
        sh(written.text("create"), stdin=written.text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert yaml.safe_load(path.read_text())["clouds"]["heat"]["auth"]["password"] == "secret"  # noqa: S105
        path.chmod(0o644)
    for _ in range(2):
        sh(written.text("delete"))
        assert not path.exists()


def test_a_client_can_read_its_logins() -> None:
    clouds = yaml.safe_load(recipe("clouds-yaml").text())["clouds"]
    assert {name: cloud["auth"]["username"] for name, cloud in clouds.items()} == {
        "heat": "demo",
        "heat-admin": "admin",
    }


def tool(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def check_options(tmp_path: Path, validator: str) -> subprocess.CompletedProcess[str]:
    """Run templates/heat/check-options.sh.j2 with a stand-in for Heat's option check."""
    (tmp_path / "bin").mkdir()
    tool(tmp_path / "bin", "oslo-config-validator", validator)
    text = render("heat/check-options.sh.j2", prefix=str(tmp_path), version="27.0.1")
    return subprocess.run(
        ["/bin/sh", "-c", text, "check-options", "/the/file"], capture_output=True, text=True, check=False
    )


def test_options_that_heat_knows_pass(tmp_path: Path) -> None:
    done = check_options(tmp_path, f'[ "$*" = "--opt-data {tmp_path}/options.json --input-file /the/file" ]')
    assert (done.returncode, done.stderr) == (0, "")


def test_options_that_heat_does_not_know_are_named(tmp_path: Path) -> None:
    said = (
        "INFO:oslo_config.validator:Validating\\n"
        "ERROR:oslo_config.validator:DEFAULT/sql_connection is not part of the sample config\\n"
        "ERROR:oslo_config.validator:database/max is not a number\\n"
    )
    done = check_options(tmp_path, f"printf '{said}'; exit 1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Heat 27.0.1 does not know these options:",
        "  DEFAULT/sql_connection",
        "ERROR:oslo_config.validator:database/max is not a number",
    ]


def well(tmp_path: Path, *arguments: str, **tools: str) -> subprocess.CompletedProcess[str]:
    """Run templates/heat/well.inc.sh with stand-ins for what it calls on a host."""
    for name, text in {"systemctl": "exit 1", "journalctl": "echo the log", "sleep": "", **tools}.items():
        tool(tmp_path, name, text)
    text = render(
        "heat/well.inc.sh",
        prefix=str(tmp_path), consumers="consumers.py", conf="heat.conf", secrets="secrets.conf", workers=2,
        address=B, node="node-1",
    )  # fmt: skip
    return subprocess.run(
        ["/bin/sh", "-euc", f'{text}\nwell "$@"', "well", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )


def test_an_api_that_answers_is_well(tmp_path: Path) -> None:
    done = well(tmp_path, "heat-api@8004", "name", "8004", "5", curl="printf 200")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_api_that_does_not_answer_is_named_with_its_node_and_its_log(tmp_path: Path) -> None:
    done = well(tmp_path, "heat-api@8004", "name", "8004", "0", curl="printf 503")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "heat-api@8004 on node-1 (10.0.0.2) does not work: no answer from http://10.0.0.2:8004/healthcheck for 0 s",
        "The last lines of its log (journalctl -u heat-api@8004):",
        "the log",
    ]


def test_a_process_that_has_failed_is_not_waited_for(tmp_path: Path) -> None:
    done = well(tmp_path, "heat-api@8004", "name", "8004", "600", curl="printf 000", systemctl="exit 0")
    assert done.returncode == 1
    assert "heat-api@8004 on node-1 (10.0.0.2) does not work: it has failed" in done.stderr


def test_an_engine_is_well_when_the_broker_counts_all_of_its_workers(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool(tmp_path / "bin", "python", 'echo "$*"; exit 1')
    done = well(tmp_path, "heat-engine@1", "node-1-heat-engine-1", "", "7")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "heat-engine@1 on node-1 (10.0.0.2) does not work: consumers.py 7 heat.conf secrets.conf -- "
        "engine.node-1-heat-engine-1=2"
    )
    tool(tmp_path / "bin", "python", "exit 0")
    assert well(tmp_path, "heat-engine@1", "node-1-heat-engine-1", "", "7").returncode == 0


def test_the_engines_own_queue_is_named_by_what_its_file_says() -> None:
    """The broker is asked for engine.<host>, where <host> is that of the process's own file."""
    for process in ("node-1-heat-engine-1", "node-2-heat-engine-1"):
        host = parsed(cached().by_name[f"{process}-conf"].text())["DEFAULT"]["host"]
        assert f'\nwell "$unit" {host} ' in cached().by_name[process].text()
