"""env.sh, tools/new-stack.sh and tools/stack.sh, run in a checkout of their own with a fake Pulumi CLI."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALT = "encryptionsalt: v1:fresh=:v1:salt:of=="

# A fake CLI with what these scripts use. `stacks/` has the existing stacks; every call is recorded. `init`, `up` and
# `destroy` write a salt into the stack's file, or into the file of --config-file.
PULUMI = f"""#!/bin/sh
here=CHECKOUT
directory=.
if [ "$1" = -C ]; then directory=$2; shift 2; fi
echo "$*" >>"$here/calls"
file=$directory/Pulumi.${{PULUMI_STACK##*/}}.yaml
words="$*"
while [ "$#" -gt 0 ]; do
    if [ "$1" = --config-file ]; then file=$2; fi
    shift
done
salt() {{ grep -qs '^encryptionsalt:' "$file" || echo '{SALT}' >>"$file"; }}
case "$words" in
"stack select "*) [ -e "$here/stacks/${{words##* }}" ] ;;
"stack init "*)
    if grep -qs '^encryptionsalt:' "$file"; then echo "error: incorrect passphrase" >&2; exit 255; fi
    salt; mkdir -p "$here/stacks"; set -- $words; : >"$here/stacks/$3" ;;
"stack export"*) cat "$here/export" 2>/dev/null || echo '{{"deployment": {{}}}}' ;;
"stack rm "*) rm "$here/stacks/$PULUMI_STACK" ;;
"config get "*)
    sed -n "s/^ *heat-scaleout:${{words##* }}: *//p" "$file" 2>/dev/null | tr -d '"' ;;
"up"* | "destroy"*)
    salt
    if [ -e "$here/meanwhile" ]; then sh "$here/meanwhile"; fi ;;
esac
"""


@dataclass(frozen=True)
class Checkout:
    """A project with the real scripts in it."""

    directory: Path

    def sh(
        self, text: str, *, environment: Mapping[str, str] | None = None, terminal: str | None = None
    ) -> tuple[int, str]:
        """Run shell text there. Returns its status and its output.

        Args:
            text: for sh.
            environment: in addition to PATH.
            terminal: what the operator types; None for no terminal.
        """
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(self.directory / "home")} | dict(environment or {})
        master, slave = pty.openpty() if terminal is not None else (None, subprocess.DEVNULL)
        if master is not None:
            os.write(master, (terminal or "").encode() + b"\n")
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            cwd=self.directory,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean,
            check=False,
        )
        if master is not None:
            os.close(master)
            os.close(slave)
        return done.returncode, done.stdout

    def run(
        self, action: str, stack: str, *, environment: Mapping[str, str] | None = None, terminal: str | None = None
    ) -> tuple[int, str]:
        return self.sh(f"tools/stack.sh {action} {stack}", environment=environment, terminal=terminal)

    def sourced(self, *names: str, before: str = "", environment: Mapping[str, str] | None = None) -> list[str]:
        """The values of variables after env.sh; "-" if one is not set."""
        shown = "; ".join(f'echo "${{{name}--}}"' for name in names)
        status, output = self.sh(f"set -eu; {before}\n. ./env.sh; {shown}", environment=environment)
        assert status == 0, output
        return output.splitlines()

    def calls(self) -> list[str]:
        """The calls of Pulumi that change something."""
        path = self.directory / "calls"
        words = path.read_text().splitlines() if path.exists() else []
        return [call for call in words if call.startswith(("up", "destroy", "stack init", "stack rm", "config set"))]

    def file(self, stack: str, *lines: str) -> Path:
        path = self.directory / f"Pulumi.{stack}.yaml"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    def make(self, stack: str) -> None:
        """Create a stack in the state."""
        (self.directory / "stacks").mkdir(exist_ok=True)
        (self.directory / "stacks" / stack).touch()

    def protect(self, *names: str) -> None:
        resources = [{"urn": f"urn:pulumi:s::p::t::{name}", "protect": True} for name in names]
        (self.directory / "export").write_text(json.dumps({"deployment": {"resources": resources}}))


def _checkout(directory: Path) -> Checkout:
    for name in ("env.sh", "Pulumi.yaml", "tools/new-stack.sh", "tools/stack.sh", "components/hosts/kinds.py"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    programs = {
        ".tools/pulumi/pulumi": PULUMI.replace("CHECKOUT", str(directory)),
        ".venv/bin/python": f'#!/bin/sh\nexec {shutil.which("python3")} "$@"\n',
        # No engine has containers of a stack; a test can replace these.
        ".venv/bin/podman": "#!/bin/sh\n",
        ".venv/bin/docker": "#!/bin/sh\n",
        "tools/toolchain.sh": "#!/bin/sh\n",
        "tools/remove-images.sh": "#!/bin/sh\n",
    }
    for name, text in programs.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return Checkout(directory)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = _checkout(tmp_path / "checkout")
    made.file("dev", "config:", "  heat-scaleout:hosts: containers")
    return made


# --- env.sh ---------------------------------------------------------------------------------------------------------

BACKEND, FILE = "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"


def test_state_and_passphrase_are_the_checkouts_by_default(checkout: Checkout) -> None:
    state = checkout.directory / ".state"
    output = checkout.sourced(BACKEND, FILE, "PULUMI_STACK", "PULUMI_HOME", "PULUMI_CREDENTIALS_PATH")
    home = str(checkout.directory / ".tools/pulumi-home")
    assert output == [f"file://{state}", f"{state}/passphrase", "dev", home, "-"]


def test_the_operators_backend_is_kept_without_the_checkouts_passphrase(checkout: Checkout) -> None:
    output = checkout.sourced(BACKEND, FILE, environment={BACKEND: "s3://bucket"})
    assert output == ["s3://bucket", "-"]


@pytest.mark.parametrize("backend", ["", "file:///elsewhere"])
@pytest.mark.parametrize("passphrase", ["a passphrase", ""])
def test_the_operators_passphrase_is_kept_even_an_empty_one(checkout: Checkout, backend: str, passphrase: str) -> None:
    environment = {"PULUMI_CONFIG_PASSPHRASE": passphrase} | ({BACKEND: backend} if backend else {})
    output = checkout.sourced("PULUMI_CONFIG_PASSPHRASE", FILE, environment=environment)
    assert output == [passphrase, "-"]


def test_the_operators_passphrase_file_is_kept(checkout: Checkout) -> None:
    assert checkout.sourced(FILE, environment={FILE: "/etc/mine"}) == ["/etc/mine"]


def test_the_logins_in_the_operators_pulumi_home_are_kept(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "operators-home"
    home.mkdir()
    (home / "credentials.json").write_text('{\n    "current": "https://api.pulumi.com"\n}\n')
    environment = {"PULUMI_HOME": str(home), "PULUMI_ACCESS_TOKEN": "t"}
    names = ("PULUMI_CREDENTIALS_PATH", BACKEND, FILE, "PULUMI_ACCESS_TOKEN")
    assert checkout.sourced(*names, environment=environment) == [str(home), "-", "-", "t"]
    again = checkout.sourced(*names, before=". ./env.sh", environment=environment)
    assert again == [str(home), "-", "-", "t"]


def test_a_login_that_was_made_in_the_projects_shell_is_kept(checkout: Checkout) -> None:
    home = checkout.directory / ".tools/pulumi-home"
    home.mkdir()
    (home / "credentials.json").write_text('{"current": "s3://bucket", "accounts": {}}')
    assert checkout.sourced(BACKEND, FILE) == ["-", "-"]


@pytest.mark.parametrize(
    ("environment", "stack"),
    [
        ({}, "dev"),
        ({"STACK": "mine"}, "mine"),
        ({"PULUMI_STACK": "prod"}, "prod"),
        ({"STACK": "mine", "PULUMI_STACK": "prod"}, "mine"),
    ],
)
def test_the_stack_is_the_one_that_is_named(checkout: Checkout, environment: dict[str, str], stack: str) -> None:
    assert checkout.sourced("PULUMI_STACK", environment=environment) == [stack]
    assert checkout.sourced("PULUMI_STACK", before=". ./env.sh", environment=environment) == [stack]


def test_a_stack_from_an_earlier_env_sh_is_not_kept(checkout: Checkout) -> None:
    assert checkout.sourced("PULUMI_STACK", before="STACK=mine; . ./env.sh; unset STACK") == ["dev"]


def test_two_checkouts_are_not_mixed_up(checkout: Checkout, tmp_path: Path) -> None:
    other = _checkout(tmp_path / "other").directory
    here = checkout.directory
    names = (BACKEND, FILE, "PULUMI_HOME")
    for before, there in ((f"cd {other}; . ./env.sh; cd {here}", here), (f". ./env.sh; cd {other}", other)):
        home = str(there / ".tools/pulumi-home")
        output = checkout.sourced(*names, before=before)
        assert output == [f"file://{there}/.state", f"{there}/.state/passphrase", home]
        status, found = checkout.sh(f"{before}; . ./env.sh; command -v pulumi; echo $PATH")
        assert (status, found.splitlines()[0]) == (0, f"{there}/.tools/pulumi/pulumi")
        assert found.count("/.tools/pulumi:") == 1


def test_a_variable_that_the_operator_sets_after_env_sh_is_kept_by_the_next_one(checkout: Checkout) -> None:
    output = checkout.sourced(BACKEND, FILE, before=f". ./env.sh; export {BACKEND}=s3://bucket")
    assert output == ["s3://bucket", "-"]


def test_sourcing_it_twice_adds_nothing(checkout: Checkout) -> None:
    once = checkout.sourced("PATH", "NO_PROXY")
    assert checkout.sourced("PATH", "NO_PROXY", before=". ./env.sh; . ./env.sh") == once


# --- a new stack ----------------------------------------------------------------------------------------------------


def test_a_new_stack_gets_a_passphrase_and_its_file_stays_unchanged(checkout: Checkout) -> None:
    path = checkout.directory / "Pulumi.dev.yaml"
    before = path.read_text()
    status, output = checkout.sh("tools/new-stack.sh dev")
    assert (status, output) == (0, "")
    assert path.read_text() == before
    passphrase = checkout.directory / ".state/passphrase"
    assert (len(passphrase.read_text()), passphrase.stat().st_mode & 0o777) == (64, 0o600)


@pytest.mark.parametrize(
    "environment",
    [
        {BACKEND: "s3://bucket"},
        {"PULUMI_CONFIG_PASSPHRASE": "mine"},
        {FILE: "/etc/mine"},
        {BACKEND: "file:///elsewhere", FILE: "/etc/mine"},
    ],
)
def test_no_passphrase_is_created_if_the_operator_has_another_backend_or_passphrase(
    checkout: Checkout, environment: dict[str, str]
) -> None:
    status, output = checkout.sh("tools/new-stack.sh dev", environment=environment)
    assert (status, output) == (0, "")
    assert not (checkout.directory / ".state/passphrase").exists()


def test_the_secrets_provider_in_the_file_is_used(checkout: Checkout) -> None:
    checkout.file("prod", "secretsprovider: awskms://alias/heat", "config: {}")
    status, output = checkout.sh("tools/new-stack.sh prod")
    assert (status, output) == (0, "")
    assert checkout.calls() == ["stack init prod --secrets-provider awskms://alias/heat"]
    assert not (checkout.directory / ".state/passphrase").exists()


@pytest.mark.parametrize("made_anew", [False, True])
def test_the_salt_of_a_lost_state_is_reported_with_what_to_type(checkout: Checkout, made_anew: bool) -> None:
    path = checkout.file(
        "prod", "encryptionsalt: v1:old=:v1:x:y", "config:", "  heat-scaleout:sshPrivateKey:", "    secure: v1:a:b"
    )
    before = path.read_text()
    if made_anew:
        (checkout.directory / ".state").mkdir()
        (checkout.directory / ".state/passphrase").write_text("0" * 64)
    status, output = checkout.sh("tools/new-stack.sh prod")
    assert status == 1
    assert "Pulumi.prod.yaml has a salt (encryptionsalt)" in output
    assert "docs/state.md" in output
    assert "    sed -i '/^encryptionsalt:/d' Pulumi.prod.yaml" in output
    assert "line 3:   heat-scaleout:sshPrivateKey:" in output
    assert path.read_text() == before
    assert (checkout.directory / ".state/passphrase").exists() is made_anew
    # The suggested command helps.
    path.write_text("config: {}\n")
    assert checkout.sh("tools/new-stack.sh prod") == (0, "")


# --- up, down, repair -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["hosts: containers", "hosts: 'containers'", 'hosts: "containers" # here', "nodes: 2"])
def test_the_dev_stack_needs_no_confirmation(checkout: Checkout, line: str) -> None:
    checkout.file("dev", "config:", f"  heat-scaleout:{line}")
    assert checkout.run("up", "dev")[0] == 0
    assert checkout.run("down", "dev")[0] == 0
    up, destroy, gone = (call for call in checkout.calls() if not call.startswith("stack init"))
    assert up.startswith("up --yes --skip-preview")
    assert destroy.startswith("destroy --yes --skip-preview")
    assert gone == "stack rm --yes --preserve-config dev"


@pytest.mark.parametrize("action", ["up", "down", "repair"])
@pytest.mark.parametrize("environment", [{}, {"YES": "1"}, {"YES": "dev"}, {"YES": "y"}])
def test_another_stack_is_not_changed_without_a_terminal_or_its_name(
    checkout: Checkout, action: str, environment: dict[str, str]
) -> None:
    checkout.make("prod")
    status, output = checkout.run(action, "prod", environment=environment)
    assert status == 1
    assert f"make {action} STACK=prod YES=prod" in output
    assert checkout.calls() == []


@pytest.mark.parametrize("line", ["hosts: existing", 'hosts: "openstack"', "hosts: of-a-new-kind", "hosts:"])
def test_a_dev_stack_on_other_hosts_than_containers_needs_confirmation(checkout: Checkout, line: str) -> None:
    checkout.make("dev")
    checkout.file("dev", "config:", f"  heat-scaleout:{line}")
    status, output = checkout.run("down", "dev")
    assert status == 1
    assert "make down STACK=dev YES=dev" in output
    assert checkout.calls() == []


def test_an_update_of_another_stack_shows_a_preview_and_asks(checkout: Checkout) -> None:
    checkout.make("prod")
    assert checkout.run("up", "prod", terminal="")[0] == 0
    (up,) = checkout.calls()
    assert up.startswith("up --config-file")


def test_with_its_name_another_stack_is_updated_with_a_preview_and_without_a_question(checkout: Checkout) -> None:
    checkout.make("prod")
    assert checkout.run("up", "prod", environment={"YES": "prod"})[0] == 0
    (up,) = checkout.calls()
    assert up.startswith("up --yes --config-file")


@pytest.mark.parametrize("typed", ["", "y", "yes", "dev"])
def test_another_stack_stays_if_its_name_is_not_typed(checkout: Checkout, typed: str) -> None:
    checkout.make("prod")
    status, output = checkout.run("down", "prod", terminal=typed)
    assert status == 1
    assert "Nothing was changed" in output
    assert checkout.calls() == []


@pytest.mark.parametrize(
    ("settings", "phrases"),
    [
        (["hosts: existing"], ["The hosts of stack prod stay", "Keystone's users", "record of every stack"]),
        (["hosts: existing", "controlPlane: existing"], ["Database, broker and Keystone stay", "authEncryptionKey"]),
        (["hosts: existing", "adopt: true"], ["adopted Heat gets its addresses back"]),
        (["hosts: openstack"], ["The VMs of stack prod are deleted", "record of every stack"]),
        ([], ["The hosts of stack prod are deleted", "Keystone's users"]),
        (["hosts: of-a-new-kind"], ["The hosts of stack prod are deleted"]),
    ],
)
def test_before_a_stack_is_destroyed_the_operator_reads_what_is_lost(
    checkout: Checkout, settings: list[str], phrases: list[str]
) -> None:
    checkout.make("prod")
    checkout.file("prod", "config:", *(f"  heat-scaleout:{setting}" for setting in settings))
    status, output = checkout.run("down", "prod", terminal="prod")
    assert status == 0, output
    for phrase in phrases:
        assert phrase in output
    assert checkout.calls()[0].startswith("destroy --yes")


def test_with_its_name_another_stack_is_destroyed_without_a_terminal(checkout: Checkout) -> None:
    checkout.make("prod")
    assert checkout.run("down", "prod", environment={"YES": "prod"})[0] == 0
    assert checkout.calls()[0].startswith("destroy --yes")


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_protected_stack_stays_and_the_message_has_the_way_to_destroy_it(checkout: Checkout, stack: str) -> None:
    checkout.make(stack)
    checkout.protect("secret-database-heat", "secret-auth-encryption-key")
    status, output = checkout.run("down", stack, environment={"YES": stack})
    assert status == 1
    assert "secret-auth-encryption-key" in output
    assert f"pulumi config set protect false --stack {stack} && make up STACK={stack}" in output
    assert checkout.calls() == []


def test_a_missing_stack_is_reported(checkout: Checkout) -> None:
    status, output = checkout.run("down", "prod", environment={"YES": "prod"})
    assert status == 1
    assert "There is no stack prod" in output
    assert checkout.calls() == []


def test_containers_of_a_lost_state_can_be_removed(checkout: Checkout) -> None:
    podman = checkout.directory / ".venv/bin/podman"
    podman.write_text(
        f"""#!/bin/sh
echo "$*" >>{checkout.directory}/podman
case "$*" in
"ps --all --quiet --filter label=heat-scaleout={checkout.directory} --filter name=^heat-dev-") echo c1; echo c2 ;;
"network ls --quiet --filter label=heat-scaleout={checkout.directory} --filter name=^heat-dev\\$") echo heat-dev ;;
esac
"""
    )
    status, output = checkout.run("down", "dev")
    assert status == 0, output
    assert "The containers of stack dev were removed" in output
    done = (checkout.directory / "podman").read_text().splitlines()
    assert [line for line in done if " rm " in f" {line}"] == ["rm -f c1", "rm -f c2", "network rm heat-dev"]


# --- the stack's file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["up", "down", "repair"])
def test_a_setting_from_another_terminal_is_kept_and_no_salt_is(checkout: Checkout, action: str) -> None:
    checkout.make("dev")
    checkout.file("dev", "config:", "  heat-scaleout:hosts: containers", "  heat-scaleout:generation: 1")
    path = checkout.directory / "Pulumi.dev.yaml"
    (checkout.directory / "meanwhile").write_text(f"echo '  heat-scaleout:engines: 4' >>{path}\n")
    status, output = checkout.run(action, "dev")
    assert status == 0, output
    assert "  heat-scaleout:engines: 4\n" in path.read_text()
    assert "encryptionsalt" not in path.read_text()


def test_an_existing_salt_stays(checkout: Checkout) -> None:
    assert checkout.sh("tools/new-stack.sh dev") == (0, "")
    path = checkout.file("dev", "encryptionsalt: v1:mine", "config: {}")
    before = path.read_text()
    assert checkout.run("up", "dev")[0] == 0
    assert path.read_text() == before
    assert not [call for call in checkout.calls() if "--config-file" in call]


@pytest.mark.parametrize("key", ["secretsprovider: awskms://alias/heat", "encryptedkey: abc"])
def test_what_another_secrets_provider_writes_into_the_file_stays(checkout: Checkout, key: str) -> None:
    checkout.make("dev")
    checkout.file("dev", key, "config: {}")
    assert checkout.run("up", "dev")[0] == 0
    assert SALT in (checkout.directory / "Pulumi.dev.yaml").read_text()
