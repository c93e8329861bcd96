"""Keys of hosts behind a jump host are fetched with the operator's key, which is never in a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.program import ROOT
from tests.unit.test_scripts import gone, pair, recipe, sh

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="ssh-agent is not installed here")

EXISTING = {
    "jump": {"address": "10.0.0.9", "user": "gate"},
    "front": {"address": "10.0.0.1"},
}


def checkout(tmp_path: Path, existing: Mapping[str, object]) -> Path:
    """The parts of a checkout that the script needs, with a fake pulumi and a fake ssh."""
    at = tmp_path / "checkout"
    (at / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/hostkeys.sh", at / "tools")
    (at / "tools/hostkeys.py").symlink_to(ROOT / "tools/hostkeys.py")
    shutil.copy(ROOT / "env.sh", at)
    (at / "Pulumi.yaml").touch()
    (at / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "config").write_text(json.dumps({"heat-scaleout:existing": {"objectValue": existing}}))
    fakes = at / ".tools/pulumi"
    fakes.mkdir(parents=True)
    for name, text in {
        "pulumi": 'case "$*" in\n'
        '"config get sshPrivateKey") cat "$RECORD/private" ;;\n'
        '"config --json") cat "$RECORD/config" ;;\n'
        '*) echo "$*" >>"$RECORD/typed" ;;\nesac\n',
        "ssh-keyscan": f'eval "address=\\${{$#}}"; echo "$address ssh-ed25519 {"A" * 68}"\n',
        "ssh-keygen": 'cat >/dev/null; echo "256 SHA256:x"\n',
        "ssh": 'echo "$*" >>"$RECORD/logins"; ssh-add -L >"$RECORD/keys"; echo "$SSH_AGENT_PID" >"$RECORD/agent"\n'
        'grep -rls "PRIVATE KEY" "$TMPDIR" >"$RECORD/leak"\n'
        f'echo "10.0.0.1 ssh-ed25519 {"B" * 68}"\n',
    }.items():
        (fakes / name).write_text(f"#!/bin/sh\n{text}")
        (fakes / name).chmod(0o755)
    return at


def fetch(at: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("STACK", "SSH_AUTH_SOCK")}
    return subprocess.run(
        [at / "tools/hostkeys.sh", "prod", "--yes"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment
        | {
            "RECORD": str(tmp_path),
            "TMPDIR": str(tmp_path / "tmp"),
            "PATH": f"{at}/.tools/pulumi:{os.environ['PATH']}",
        },
    )


def test_the_key_is_in_an_agent_of_the_scripts_own_and_in_no_file(tmp_path: Path) -> None:
    keys = pair(sh(recipe("ssh-key").text("create")))
    at = checkout(tmp_path, EXISTING)
    (tmp_path / "private").write_text(keys["private"])
    done = fetch(at, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "keys").read_text().split()[:2] == keys["public"].split()
    assert not (tmp_path / "leak").read_text()
    assert "IdentityFile=none -o IdentityAgent=SSH_AUTH_SOCK" in (tmp_path / "logins").read_text()
    assert gone(int((tmp_path / "agent").read_text()), 5)
    assert not [*(tmp_path / "tmp").iterdir()]
    assert "existing.front.hostKey" in (tmp_path / "typed").read_text()


def test_without_a_key_in_the_settings_the_operators_agent_is_used(tmp_path: Path) -> None:
    at = checkout(tmp_path, EXISTING)
    (tmp_path / "private").touch()
    assert fetch(at, tmp_path).returncode == 0
    assert "IdentityFile" not in (tmp_path / "logins").read_text()


def test_hosts_that_are_a_secret_by_mistake_are_reported(tmp_path: Path) -> None:
    at = checkout(tmp_path, {})
    (tmp_path / "private").touch()
    (tmp_path / "config").write_text(json.dumps({"heat-scaleout:existing": {"secret": True}}))
    done = fetch(at, tmp_path)
    assert done.returncode
    assert "existing has a part that was set with --secret" in done.stderr
