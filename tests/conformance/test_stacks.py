"""Whole runs of the Pulumi CLI: the resulting state, previews, errors, and the change from one plugin to the other."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import INSTALLED, ROOT, compared
from tests.conformance.sshd import Sshd
from tests.conformance.test_dialling import _until

CLI = ROOT / ".tools/pulumi/pulumi"
pytestmark = pytest.mark.skipif(not CLI.exists(), reason=f"no {CLI.relative_to(ROOT)}: run tools/toolchain.sh")

# Creates the resources that resources.json lists; {"secret": …} in their arguments marks a secret.
_PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_command

def value(given):
    if isinstance(given, dict):
        if given.keys() == {"secret"}:
            return pulumi.Output.secret(given["secret"])
        return {key: value(item) for key, item in given.items()}
    return given

for name, kind, arguments, secret_outputs in json.loads(pathlib.Path("resources.json").read_text()):
    arguments = {key: value(item) for key, item in arguments.items()}
    if "connection" in arguments:
        arguments["connection"] = pulumi_command.remote.ConnectionArgs(**arguments["connection"])
    options = pulumi.ResourceOptions(additional_secret_outputs=secret_outputs)
    made = getattr(pulumi_command, kind).Command(name, opts=options, **arguments)
    pulumi.export(name, made.stdout)
"""
_PROJECT = f"""
name: conformance
runtime:
  name: python
  options:
    virtualenv: {ROOT}/.venv
"""

Resources = list[tuple[str, str, dict[str, Any], list[str]]]


@dataclass(frozen=True)
class Stack:
    """A project with one stack, run with either plugin."""

    directory: Path
    homes: dict[str, Path]

    def declare(self, resources: Resources) -> None:
        """Define the resources of the stack."""
        (self.directory / "resources.json").write_text(json.dumps(resources))

    def start(self, plugin: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {key: text for key, text in os.environ.items() if not key.startswith("PULUMI_")}
        environment.pop("SSH_AUTH_SOCK", None)
        return subprocess.Popen(
            [CLI, "--non-interactive", "--color=never", *arguments],
            cwd=self.directory,
            env=environment
            | {
                "PATH": f"{CLI.parent}:{environment['PATH']}",
                "PULUMI_HOME": str(self.homes[plugin]),
                "PULUMI_BACKEND_URL": f"file://{self.directory}",
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_STACK": "conformance",
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, plugin: str, *arguments: str, fails: bool = False) -> str:
        """Run the CLI and return its output."""
        process = self.start(plugin, *arguments)
        output, errors = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, output + errors
        return output

    def up(self, plugin: str, *more: str, fails: bool = False) -> str:
        return self.run(plugin, "up", "--yes", "--skip-preview", "--suppress-progress", *more, fails=fails)

    def state(self, plugin: str) -> dict[str, Any]:
        """The resources in the stack's state, with secrets in plain text, by type and name."""
        export = json.loads(self.run(plugin, "stack", "export", "--show-secrets"))
        resources = export["deployment"].get("resources", [])
        return {re.sub(".*::conformance::", "", resource["urn"]): _lasting(resource) for resource in resources}


def _lasting(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource's state, without what differs between runs."""
    kept = {key: item for key, item in resource.items() if key not in {"created", "modified", "provider"}}
    if "command:" in kept["type"] and "id" in kept:
        kept["id"] = re.sub("[0-9a-f]{8}$", "…", kept["id"])
    elif "id" in kept:
        del kept["id"]
    return kept


NewStack = Callable[[], Stack]


@pytest.fixture
def new_stack(binaries: dict[str, Path], tmp_path: Path) -> NewStack:
    homes = {}
    for name, binary in binaries.items():
        homes[name] = tmp_path / name
        plugin = homes[name] / INSTALLED / "pulumi-resource-command"
        plugin.parent.mkdir(parents=True)
        plugin.symlink_to(binary)

    def new_stack() -> Stack:
        directory = tmp_path / f"project-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        (directory / "Pulumi.yaml").write_text(_PROJECT)
        (directory / "__main__.py").write_text(_PROGRAM)
        stack = Stack(directory, homes)
        stack.run("stand-in", "stack", "init", "conformance")
        return stack

    return new_stack


def _resources(sshd: Sshd, stdin: str = "first", trigger: str = "a", more: Resources | None = None) -> Resources:
    connection = {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": sshd.connection()["user"],
        "private_key": sshd.key.private,
        "host_key": sshd.host_key.public,
        "dial_error_limit": 3,
    }
    return [
        ("plain", "local", {"create": "echo here; cat", "stdin": stdin, "logging": "none"}, []),
        ("once", "local", {"create": "echo ${PULUMI_COMMAND_STDOUT:-new}", "update": "echo kept", "stdin": stdin}, []),
        ("triggered", "local", {"create": "echo made", "delete": "echo gone", "triggers": [trigger, 1]}, []),
        (
            "hidden",
            "local",
            {"create": "cat", "stdin": {"secret": f"psst-{stdin}"}, "environment": {"A": {"secret": "psst-a"}}},
            ["stdout", "stderr"],
        ),
        (
            "far",
            "remote",
            {
                "connection": connection,
                "create": "echo there; cat",
                "stdin": {"secret": f"psst-{stdin}"},
                "logging": "none",
                "add_previous_output_in_env": False,
            },
            ["stdout"],
        ),
        *(more or []),
    ]


def test_a_stacks_life_leaves_the_same_state(binaries: dict[str, Path], new_stack: NewStack, sshd: Sshd) -> None:
    def live(plugin: str) -> list[dict[str, Any]]:
        stack = new_stack()
        states = []
        gone: Resources = [("passing", "local", {"create": "echo here", "delete": "echo gone"}, [])]
        for resources in (_resources(sshd, more=gone), _resources(sshd, stdin="second"), _resources(sshd, trigger="b")):
            stack.declare(resources)
            stack.up(plugin)
            stack.up(plugin, "--expect-no-changes")
            states.append(stack.state(plugin))
        stack.run(plugin, "refresh", "--yes", "--skip-preview", "--expect-no-changes")
        assert "psst" not in "".join(path.read_text() for path in stack.directory.rglob(".pulumi/**/*.json*"))
        stack.run(plugin, "destroy", "--yes", "--skip-preview")
        return [*states, stack.state(plugin)]

    first, second, third, last = compared({plugin: live(plugin) for plugin in binaries})
    assert first["command:local:Command::plain"]["outputs"]["stdout"] == "here\nfirst"
    assert first["command:local:Command::once"]["outputs"]["stdout"] == "new"
    assert second["command:local:Command::once"]["outputs"]["stdout"] == "kept"
    assert "command:local:Command::passing" in first
    assert "command:local:Command::passing" not in second
    assert third["command:local:Command::triggered"]["inputs"]["triggers"] == ["b", 1]
    connection = third["command:remote:Command::far"]["inputs"]["connection"]
    assert connection.keys() == {"4dabf18193072939515e22adb298388d", "plaintext"}
    assert third["command:remote:Command::far"]["outputs"]["stdout"].keys() == connection.keys()
    assert last == {}


@pytest.mark.parametrize(("one", "other"), [("stand-in", "real"), ("real", "stand-in")])
@pytest.mark.usefixtures("real")
def test_a_stack_changes_from_one_plugin_to_the_other(one: str, other: str, new_stack: NewStack, sshd: Sshd) -> None:
    stack = new_stack()
    stack.declare(_resources(sshd))
    stack.up(one)
    stack.up(other, "--expect-no-changes")
    stack.declare(_resources(sshd, stdin="second", trigger="b"))
    stack.up(other)
    stack.up(one, "--expect-no-changes")
    stack.run(one, "destroy", "--yes", "--skip-preview")


def test_previews_show_the_same(binaries: dict[str, Path], new_stack: NewStack, sshd: Sshd) -> None:
    def previews(plugin: str) -> list[Any]:
        stack = new_stack()
        found = []
        for resources in (_resources(sshd), _resources(sshd, stdin="second", trigger="b")):
            stack.declare(resources)
            found.append(_steps(stack.run(plugin, "preview", "--json")))
            stack.up(plugin)
        return found

    first, second = compared({plugin: previews(plugin) for plugin in binaries})
    assert {step["op"] for step in first.values()} == {"create"}
    assert {re.sub(".*::", "", urn): step["op"] for urn, step in second.items()} == {
        "plain": "update",
        "once": "update",
        "triggered": "replace",
        "hidden": "update",
        "far": "update",
        "conformance-conformance": "same",
    }


def _steps(preview: str) -> dict[str, Any]:
    """The planned step for each resource, and the reason."""
    steps = {}
    for step in json.loads(preview)["steps"]:
        if "pulumi:providers" in step["urn"] or step["op"] in {"create-replacement", "delete-replaced"}:
            continue
        state = step["newState"]
        steps[step["urn"]] = {
            "op": step["op"],
            "diff": step.get("detailedDiff"),
            "reasons": sorted(step.get("diffReasons") or []),
            "replaces": step.get("replaceReasons"),
            "inputs": state.get("inputs"),
            "outputs": state.get("outputs"),
        }
    return steps


def test_errors_are_the_same(binaries: dict[str, Path], new_stack: NewStack, sshd: Sshd) -> None:
    stack_resources: Resources = [
        ("status", "local", {"create": "echo why >&2; exit 3"}, []),
        ("refused", "local", {"create": "true", "logging": "none", "interpreter": ["/no/such"]}, []),
        (
            "far",
            "remote",
            {
                "connection": {
                    "host": "127.0.0.1",
                    "port": sshd.port,
                    "private_key": sshd.key.private,
                    "host_key": sshd.key.public,
                    "dial_error_limit": 1,
                },
                "create": "true",
            },
            [],
        ),
    ]

    def fail(plugin: str) -> list[str]:
        stack = new_stack()
        stack.declare(stack_resources)
        output = stack.up(plugin, "--continue-on-error", fails=True)
        return sorted(set(re.findall("error: .*", output)))

    errors = compared({plugin: fail(plugin) for plugin in binaries})
    assert 'error: exit status 3: running "echo why >&2; exit 3":' in errors
    assert any("fork/exec /no/such: no such file or directory" in error for error in errors)
    assert any("after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch" in error for error in errors)


def test_an_interrupted_run_kills_its_local_commands(binaries: dict[str, Path], new_stack: NewStack) -> None:
    def interrupt(plugin: str) -> int:
        stack = new_stack()
        mark = stack.directory / "mark"
        stack.declare([("long", "local", {"create": f"echo $$ >{mark}; exec sleep 600"}, [])])
        process = stack.start(plugin, "up", "--yes", "--skip-preview")
        _until(lambda: mark.exists() and mark.read_text())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert not Path(f"/proc/{mark.read_text().strip()}").exists()
        assert not [urn for urn in stack.state(plugin) if "command:" in urn and "providers" not in urn]
        return process.returncode

    assert compared({plugin: interrupt(plugin) for plugin in binaries}) != 0
