"""The stack under load, as faults handle it: hosts to hurt, settings to change, and is all whole again?"""

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
_URLS = {"heat-api": "heat_api_url", "heat-api-cfn": "heat_cfn_url"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def root(*words: str) -> str:
    """Run a command on this machine as root."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*sudo, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


def sources(stack: Stack, outputs: Mapping[str, Any], count: int) -> list[str]:
    """Addresses for so many clients, on the containers' bridge; they go with it. HAProxy sends each to one API."""
    network = outputs["nodes"][0]["address"].rpartition(".")[0]
    device = stack.bridge()
    addresses = [f"{network}.{200 + number}" for number in range(count)]
    for address in addresses:
        root("ip", "address", "replace", f"{address}/32", "dev", device)
    return addresses


@dataclass
class Scene:
    """`chance` is the fault's own; `short`: waits are seconds where they would be minutes."""

    stack: Stack
    load: Load
    short: bool = False
    chance: random.Random = field(default_factory=random.Random)
    outputs: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    @contextmanager
    def cut(self, *causes: Cause, api: str = "") -> Iterator[None]:
        """What cannot be kept from failing while this goes on; `api` is the kind of an API that is cut."""
        began = time.time()
        try:
            yield
        finally:
            port = urlsplit(self.outputs[_URLS[api]]).port if api else None
            self.cuts += [Cut(cause=cause, began=began, ended=time.time(), port=port or 0) for cause in causes]

    def look(self) -> None:
        """Learn anew what is planned."""
        self.outputs = self.stack.outputs()

    def change(self, settings: Mapping[str, object]) -> None:
        """Change settings, each by its path, and bring them up."""
        for path, value in settings.items():
            self.stack.pulumi("config", "set", "--path", path, str(value))
        done = self.stack.up(check=False)
        self.look()
        if done.code:
            self.broken.append(f"up failed: {done.text[-3000:]}")

    def refused(self, settings: Mapping[str, object], *reasons: str) -> None:
        """Change settings, and see that `up` fails and says why; they remain."""
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
            # Nobody is here to be asked.
            env=os.environ | {"YES": self.stack.name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def interrupted(self, seconds: float) -> None:
        """An `up` that is killed after so many seconds, with all that it started here; then what an operator types."""
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
        """Run a command with this machine's rights among a host's files and processes."""
        pid = self.podman("inspect", "--format", "{{.State.Pid}}", self.container(host))
        return root("nsenter", "-t", pid, "-m", "-p", "--", *words)

    def link(self, host: str) -> str:
        """This machine's end of a host's cable."""
        index = self.stack.on(host, "cat /sys/class/net/eth0/iflink")
        for device in Path("/sys/class/net").iterdir():
            if (device / "ifindex").read_text().strip() == index:
                return device.name
        raise AssertionError(f"no device here is the other end of {host}'s")

    def rescued(self) -> dict[str, int]:
        """How many stacks the caretaker has set going again, by the node that did; one that is down counts nothing."""
        counted = {}
        for node in self.nodes():
            told = self.stack.on(node, "cat /var/lib/heat/caretaker/*.prom", check=False)
            found = re.findall(r"(?m)^heat_caretaker_stacks_rescued_total\S* (\d+)", told)
            counted[node] = sum(map(int, found))
        return counted

    def servers(self) -> dict[str, str]:
        """The state of each API, as the proxy sees it."""
        with _DIRECT.open(self.outputs["haproxy_stats_url"] + ";csv", timeout=10) as answer:
            rows = csv.DictReader(io.StringIO(answer.read().decode().removeprefix("# ")))
            return {
                f"{row['pxname']}/{row['svname']}": f"{row['status']} {row['check_status']}"
                for row in rows
                if row["svname"] not in {"FRONTEND", "BACKEND"}
            }

    def unwell(self) -> str:
        """Why the service is not whole; "" when it is, as far as can be seen: every API UP, every engine consumes."""
        try:
            servers = self.servers()
        except OSError as error:
            return f"the proxy does not answer: {error}"
        planned = [one for one in self.outputs["processes"] if "port" in one]
        # The proxy notices late that one is gone: each is asked itself as well.
        for one in planned:
            if why := self._healthcheck(one["node"], one["address"], one["port"]):
                return f"{one['unit']} on {one['node']}: {why}"
        if len(servers) != len(planned) or any(state != "UP L7OK" for state in servers.values()):
            return f"HAProxy: {servers}"
        workers = sum(one["kind"] == "heat-engine" for one in self.outputs["processes"])
        for queue in ("engine", "engine_worker"):
            # A release of another RPC series has a vhost of its own; none of its engines is to remain.
            if (found := sum(self.stack.consumers(queue, vhost) for vhost in _VHOSTS)) != workers:
                return f"{queue} has {found} consumers of {workers}"
        return ""

    def _healthcheck(self, node: str, address: str, port: int) -> str:
        """Why an API does not answer its own host, which its firewall lets in; "" when it does."""
        ask = f"curl -s -S -o /dev/null -w '%{{http_code}}' --noproxy '*' --max-time 5 http://{address}:{port}/healthcheck"
        told = self.stack.on(node, ask, check=False)
        return "" if told == "200" else told or f"{node} does not answer"

    def wait_until_whole(self, seconds: float) -> float:
        """Ask until all is whole, and give the time (time.monotonic) at which it was, before a stack proved it."""
        deadline = time.monotonic() + seconds
        while True:
            why = self.unwell()
            seen = time.monotonic()
            if not why and self.load.goes_through():
                return seen
            if seen > deadline:
                self.broken.append(f"not whole again within {seconds:.0f} s: {why or 'no stack goes through'}")
                return seen
            time.sleep(1)

    def proxy_log(self, since: float) -> list[str]:
        """What HAProxy logged of requests that did not end well, since a moment (time.time)."""
        lines = self.stack.on(
            "front", f"journalctl -u haproxy --no-pager --output cat --since @{since:.0f}", check=False
        ).splitlines()
        return [
            line
            for line in lines
            if " stats/<STATS> " not in line and (" ---- " not in line or re.search(r" 5\d\d \d+ - - ", line))
        ]

    def journal(self, since: float) -> None:
        """Print what is worth a look: of the proxy, where a request failed."""
        for line in self.proxy_log(since)[-40:]:
            print(f"    {line}")
