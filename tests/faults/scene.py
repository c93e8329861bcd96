"""The stack under load, as the faults use it: break hosts, change settings, wait until everything works again."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.lab import ROOT, Stack, engine
from tests.faults.cut import Cause, Cut
from tests.faults.load import Load

_VHOSTS = ("heat", "heat-1.4")
_URLS = {"heat-api": "heatApiUrl", "heat-api-cfn": "heatCfnUrl"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def root(*words: str) -> str:
    """Run a command on this machine as root."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*sudo, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


def sources(stack: Stack, outputs: Mapping[str, Any], count: int) -> list[str]:
    """Client addresses on the containers' bridge, removed with the bridge. HAProxy sends each address to one API."""
    network = outputs["nodes"][0]["address"].rpartition(".")[0]
    device = stack.bridge()
    addresses = [f"{network}.{200 + number}" for number in range(count)]
    for address in addresses:
        root("ip", "address", "replace", f"{address}/32", "dev", device)
    return addresses


@dataclass
class Scene:
    """The stack and its load. `chance` is the fault's own; `short`: wait seconds instead of minutes."""

    stack: Stack
    load: Load
    short: bool = False
    chance: random.Random = field(default_factory=random.Random)
    outputs: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    @contextmanager
    def cut(self, *causes: Cause, api: str = "") -> Iterator[None]:
        """Record what is cut off while this runs, for failures that are unavoidable; `api`: the kind of a cut API."""
        began = time.time()
        try:
            yield
        finally:
            port = urlsplit(self.outputs[_URLS[api]]).port if api else None
            self.cuts += [Cut(cause=cause, began=began, ended=time.time(), port=port or 0) for cause in causes]

    def refresh(self) -> None:
        """Read the stack's outputs again."""
        self.outputs = self.stack.outputs()

    def change(self, settings: Mapping[str, object]) -> None:
        """Change settings, each by its path, and run `up`."""
        for path, value in settings.items():
            self.stack.pulumi("config", "set", "--path", path, str(value))
        done = self.stack.up(check=False)
        self.refresh()
        if done.code:
            self.broken.append(f"up failed: {done.text[-3000:]}")

    def refused(self, settings: Mapping[str, object], *reasons: str) -> None:
        """Change settings, and check that `up` fails with these reasons; the settings stay changed."""
        for path, value in settings.items():
            self.stack.pulumi("config", "set", "--path", path, str(value))
        done = self.stack.up(check=False)
        assert done.code, f"up succeeded: {done.text[-3000:]}"
        for reason in reasons:
            assert reason in done.text, f"{reason!r} is not in: {done.text[-5000:]}"

    def tool(self, action: str) -> subprocess.CompletedProcess[str]:
        """What `make verify` and `make repair` run."""
        return subprocess.run(
            [ROOT / "tools/stack.sh", action, self.stack.name],
            # There is no terminal to confirm in.
            env=os.environ | {"YES": self.stack.name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def interrupted(self, seconds: float) -> None:
        """Kill an `up` after so many seconds, with all its processes here; then type what an operator types."""
        words = ["pulumi", "up", "--yes", "--skip-preview", "--stack", self.stack.name, "--non-interactive"]
        running = subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        self.stack.pulumi("cancel", "--yes")

    def units(self, *kinds: str) -> list[tuple[str, str]]:
        """The planned processes of these kinds: node and unit."""
        return [(one["node"], one["unit"]) for one in self.outputs["processes"] if one["kind"] in kinds]

    def container(self, host: str) -> str:
        return f"heat-{self.stack.name}-{host}"

    def nodes(self) -> list[str]:
        return [node["name"] for node in self.outputs["nodes"] if node["name"] != "front"]

    def podman(self, *words: str) -> str:
        done = subprocess.run([*engine(), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inside(self, host: str, *words: str) -> str:
        """Run a command as this machine's root in a host's mount and PID namespaces."""
        pid = self.podman("inspect", "--format", "{{.State.Pid}}", self.container(host))
        return root("nsenter", "-t", pid, "-m", "-p", "--", *words)

    def link(self, host: str) -> str:
        """This machine's end of a host's network link."""
        index = self.stack.on(host, "cat /sys/class/net/eth0/iflink")
        for device in Path("/sys/class/net").iterdir():
            if (device / "ifindex").read_text().strip() == index:
                return device.name
        raise AssertionError(f"no device of this machine is the other end of {host}'s link")

    def rescued(self) -> dict[str, int]:
        """How many stacks the caretaker has rescued, by the node that did it; a node that is down counts as none."""
        counted = {}
        for node in self.nodes():
            metrics = self.stack.on(node, "cat /var/lib/heat/caretaker/*.prom", check=False)
            found = re.findall(r"(?m)^heat_caretaker_stacks_rescued_total\S* (\d+)", metrics)
            counted[node] = sum(map(int, found))
        return counted

    def servers(self) -> dict[str, str]:
        """The state of each API in the proxy."""
        with _DIRECT.open(self.outputs["haproxyStatsUrl"] + ";csv", timeout=10) as answer:
            rows = csv.DictReader(io.StringIO(answer.read().decode().removeprefix("# ")))
            return {
                f"{row['pxname']}/{row['svname']}": f"{row['status']} {row['check_status']}"
                for row in rows
                if row["svname"] not in {"FRONTEND", "BACKEND"}
            }

    def unhealthy(self) -> str:
        """Why the service is unhealthy; "" if every API is UP and every engine consumes messages."""
        try:
            servers = self.servers()
        except OSError as error:
            return f"the proxy does not answer: {error}"
        planned = [one for one in self.outputs["processes"] if "port" in one]
        # The proxy is slow to notice a dead API, so each API is asked directly as well.
        for one in planned:
            if why := self._healthcheck(one["node"], one["address"], one["port"]):
                return f"{one['unit']} on {one['node']}: {why}"
        if len(servers) != len(planned) or any(state != "UP L7OK" for state in servers.values()):
            return f"HAProxy: {servers}"
        workers = sum(one["kind"] == "heat-engine" for one in self.outputs["processes"])
        for queue in ("engine", "engine_worker"):
            # A release with another RPC version has its own vhost; none of its engines may remain.
            if (found := sum(self.stack.consumers(queue, vhost) for vhost in _VHOSTS)) != workers:
                return f"{queue} has {found} consumers of {workers}"
        return ""

    def _healthcheck(self, node: str, address: str, port: int) -> str:
        """Why an API does not answer on its own host, which its firewall accepts; "" if it answers."""
        ask = f"curl -s -S -o /dev/null -w '%{{http_code}}' --noproxy '*' --max-time 5 http://{address}:{port}/healthcheck"
        status = self.stack.on(node, ask, check=False)
        return "" if status == "200" else status or f"{node} does not answer"

    def wait_until_healthy(self, seconds: float) -> float:
        """Wait until the service is healthy and a stack succeeds. Returns when it became healthy (time.monotonic)."""
        deadline = time.monotonic() + seconds
        while True:
            why = self.unhealthy()
            seen = time.monotonic()
            if not why and self.load.stack_succeeds():
                return seen
            if seen > deadline:
                self.broken.append(f"not healthy again within {seconds:.0f} s: {why or 'no stack succeeds'}")
                return seen
            time.sleep(1)

    def proxy_log(self, since: float) -> list[str]:
        """HAProxy's log lines of failed requests, since a moment (time.time)."""
        lines = self.stack.on(
            "front", f"journalctl -u haproxy --no-pager --output cat --since @{since:.0f}", check=False
        ).splitlines()
        return [
            line
            for line in lines
            if " stats/<STATS> " not in line and (" ---- " not in line or re.search(r" 5\d\d \d+ - - ", line))
        ]

    def journal(self, since: float) -> None:
        """Print the proxy's log lines of failed requests."""
        for line in self.proxy_log(since)[-40:]:
            print(f"    {line}")
