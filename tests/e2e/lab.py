"""The stack under test, as an operator uses it: with the Pulumi CLI and the container engine."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def engine() -> list[str]:
    """The container engine's command."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    for name in ("podman", "docker"):
        if (
            shutil.which(name)
            and subprocess.run([*sudo, name, "info"], capture_output=True, check=False).returncode == 0
        ):
            return [*sudo, name]
    raise RuntimeError("no container engine answers")


@dataclass(frozen=True)
class Result:
    code: int
    text: str
    seconds: float


@dataclass(frozen=True)
class Stack:
    name: str

    def pulumi(self, *words: str, check: bool = True, stdin: str = "") -> Result:
        began = time.monotonic()
        done = subprocess.run(
            ["pulumi", *words, "--stack", self.name, "--non-interactive"],
            cwd=ROOT,
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        result = Result(done.returncode, done.stdout, time.monotonic() - began)
        assert not check or result.code == 0, result.text
        return result

    def up(self, *words: str, check: bool = True) -> Result:
        result = self.pulumi("up", "--yes", "--skip-preview", *words, check=check)
        print(f"up took {result.seconds:.1f} s")
        return result

    def set(self, key: str, value: object) -> None:
        self.pulumi("config", "set", *(["--path"] if "." in key else []), key, str(value))

    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json").text)
        return outputs

    def on(self, host: str, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        """Run a shell command on a host of the stack."""
        done = subprocess.run(
            [*engine(), "exec", "-i", f"heat-{self.name}-{host}", "sh", "-c", command],
            input=stdin if stdin is not None else "",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout.strip()

    def restart(self, *hosts: str) -> None:
        """Restart hosts without a shutdown, like a power cut, and wait until they are up again."""
        names = [f"heat-{self.name}-{host}" for host in hosts]
        subprocess.run([*engine(), "restart", "--time", "0", *names], check=True, capture_output=True)
        for host in hosts:
            # The system may be degraded: a caretaker run may have started before the broker.
            self.on(host, "timeout 120 systemctl is-system-running --wait", check=False)

    def tool(self, action: str) -> Result:
        """Run what `make verify` and `make repair` run."""
        began = time.monotonic()
        done = subprocess.run(
            [ROOT / "tools/stack.sh", action, self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, time.monotonic() - began)

    def bridge(self) -> str:
        """This machine's device in the hosts' network."""
        address = self.outputs()["nodes"][0]["address"]
        found = subprocess.run(["ip", "-o", "route", "get", address], capture_output=True, text=True, check=True)
        return found.stdout.split(" dev ")[1].split()[0]

    def pids(self) -> dict[tuple[str, str], str]:
        """The main process of every unit of the plan, by node and unit."""
        return {
            (process["node"], process["unit"]): self.on(
                process["node"], f"systemctl show --property MainPID --value {process['unit']}"
            )
            for process in self.outputs()["processes"]
        }

    def consumers(self, queue: str = "engine", vhost: str = "heat") -> int:
        """How many consumers a queue has at the broker."""
        for line in self.on("front", f"rabbitmqctl -q list_queues -p {vhost} name consumers").splitlines():
            name, _, count = line.partition("\t")
            if name == queue:
                return int(count)
        return 0


def connected(clouds_yaml: str, cloud: str = "heat") -> Any:  # openstacksdk's connection
    """A client with a login of a stack's clouds.yaml; it ignores the environment."""
    config = openstack.config.OpenStackConfig(config_files=[clouds_yaml], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(cloud))


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait until the condition is true, and return its value."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
