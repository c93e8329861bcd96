"""A single-machine Heat set up by hand: scaled out over two more hosts while a client polls it, and restored.

tests/e2e/single_machine/setup.sh sets up the machine, without this program. Each test continues from the one before.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from components.rendering import LOCKS
from tests.e2e.lab import ROOT, Stack, wait_for
from tests.e2e.machines import container, key_pair, machines

NAME = "e2e-adopt"
NETWORK = f"heat-{NAME}"
ADDRESSES = {"front": "10.213.90.10", "node-1": "10.213.90.11", "node-2": "10.213.90.12"}
A = ADDRESSES["front"]
APIS = {"heat-api": (A, 8004), "heat-api-cfn": (A, 8000)}
# This is part of every secret of the machine and of nothing else.
MARK = "s3cr3t"


class Client(threading.Thread):
    """Polls an address, on a new connection each time, and records requests without an answer."""

    def __init__(self, where: tuple[str, int]) -> None:
        super().__init__(daemon=True)
        self.where, self.asked, self.failed = where, 0, list[str]()
        self.longest, self.last, self._ended = 0.0, time.monotonic(), threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.01):
            self.asked += 1
            connection = http.client.HTTPConnection(*self.where, timeout=30)
            try:
                connection.request("GET", "/")
                if (status := connection.getresponse().status) != http.HTTPStatus.MULTIPLE_CHOICES:
                    self.failed.append(f"HTTP {status}")
                    continue
                now = time.monotonic()
                self.longest, self.last = max(self.longest, now - self.last), now
            except OSError as error:
                self.failed.append(str(error))
            finally:
                connection.close()

    def end(self) -> None:
        self._ended.set()
        self.join()
        print(f"{self.where}: {self.asked} asked, {len(self.failed)} failed, {self.longest:.2f} s without an answer")


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's private key."""
    return key_pair(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def hosts(login: Path) -> Iterator[None]:
    """Host A and two empty hosts."""
    # A's root has the capabilities of a real machine's root: to see who listens, and to share ports with HAProxy.
    with machines(NAME, ADDRESSES, {"front": ["--cap-add", "SYS_PTRACE"]}):
        for name in ADDRESSES:
            Stack(NAME).on(
                name,
                "install -d -m 0700 /root/.ssh; cat >/root/.ssh/authorized_keys",
                stdin=login.with_suffix(".pub").read_text(),
            )
        yield


@pytest.fixture(scope="module")
def cloud(hosts: None) -> Any:  # noqa: ARG001 # the hosts come first
    """A client of the operator's Heat on A, which was set up by hand."""
    began = time.monotonic()
    there = f"{NETWORK}-front:/root/by-hand/"
    Stack(NAME).on("front", "mkdir -p /root/by-hand")
    container("cp", f"{ROOT}/tests/e2e/single_machine/.", there)
    container("cp", str(LOCKS / "heat-27.0.1.txt"), f"{there}heat.txt")
    container("cp", str(LOCKS / "keystone-30.0.0.txt"), f"{there}keystone.txt")
    Stack(NAME).on("front", f"sh /root/by-hand/setup.sh {A}")
    print(f"A was made in {time.monotonic() - began:.0f} s")
    return openstack.connect(
        auth={
            "auth_url": f"http://{A}:5000/v3",
            "username": "demo",
            "password": f"demo-{MARK}",
            "project_name": "demo",
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        region_name="RegionOne",
        load_yaml_config=False,
        load_envvars=False,
    )


@pytest.fixture(scope="module")
def stack(cloud: Any, login: Path) -> Stack:  # noqa: ARG001 # A's Heat comes first
    """A stack configured to scale out A's Heat. tests/e2e/run.sh removes it."""
    subprocess.run([ROOT / "tools/new-stack.sh", NAME], check=True)
    made = Stack(NAME)
    settings: dict[str, Any] = {
        "hosts": "existing",
        "controlPlane": "existing",
        "adopt": "true",
        "existing.front.address": A,
        **{f"existing.nodes[{at}].name": f"node-{at + 1}" for at in range(2)},
        **{f"existing.nodes[{at}].address": ADDRESSES[f"node-{at + 1}"] for at in range(2)},
    }
    for path, value in settings.items():
        made.pulumi("config", "set", "--path", path, str(value))
    made.pulumi("config", "set", "--secret", "sshPrivateKey", stdin=login.read_text())
    subprocess.run([ROOT / "tools/hostkeys.sh", NAME, "--yes"], check=True, capture_output=True)
    return made


def completed(cloud: Any, name: str, action: str = "CREATE", seconds: int = 120) -> Any:
    found = cloud.orchestration.find_stack(name)
    return cloud.orchestration.wait_for_status(
        found, status=f"{action}_COMPLETE", failures=[f"{action}_FAILED"], interval=0.5, wait=seconds
    )


def begin(cloud: Any, name: str, resource: dict[str, Any]) -> None:
    template = {"heat_template_version": "2018-08-31", "resources": {"one": resource}}
    cloud.orchestration.create_stack(name=name, template=template)


def listening(stack: Stack) -> dict[str, str]:
    """Which program listens on each API's address on A."""
    return {
        name: stack.on("front", f"ss -Hltnp 'sport = :{port}' | sed -n 's/.*((\"\\([^\"]*\\)\".*/\\1/p' | sort -u")
        for name, (_, port) in APIS.items()
    }


def engines(stack: Stack) -> int:
    """How many engines the broker counts; A uses RabbitMQ's default virtual host."""
    for line in stack.on("front", "rabbitmqctl -q list_queues name consumers").splitlines():
        name, _, count = line.partition("\t")
        if name == "engine":
            return int(count)
    return 0


def origin(stack: Stack) -> dict[str, str]:
    """What must be the same on A before and after."""
    looks = {
        "units": "systemctl is-enabled heat-api heat-engine; systemctl is-active heat-api heat-engine",
        # Installed packages stay.
        "files": "find /etc/heat /etc/systemd/system /etc/haproxy/haproxy.cfg -type f"
        " -not -path '*/haproxy.service.d/*' 2>/dev/null | sort | xargs sha256sum",
        "listening": "ss -Hltn 'sport = :8004 or sport = :8000' | awk '{print $4}' | sort",
        "cfn": "pid=$(ss -Hltnp 'sport = :8000' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p');"
        "stat -c %U /proc/$pid; readlink /proc/$pid/cwd /proc/$pid/fd/1; cat /proc/$pid/comm;"
        "tr '\\0' '\\n' </proc/$pid/cmdline; tr '\\0' '\\n' </proc/$pid/environ | grep -v INVOCATION_ID | sort",
    }
    return {name: stack.on("front", command, check=False) for name, command in looks.items()}


@pytest.fixture(scope="module")
def before(stack: Stack, cloud: Any) -> dict[str, str]:
    """A as the operator left it, with one complete stack and one in progress."""
    begin(cloud, "before", {"type": "OS::Heat::RandomString"})
    completed(cloud, "before")
    begin(
        cloud,
        "slow",
        {"type": "OS::Heat::TestResource", "properties": {"value": "x", "action_wait_secs": {"create": 90}}},
    )
    return origin(stack)


def test_a_heat_that_cannot_be_adopted_is_reported_at_once_and_no_host_is_changed(
    stack: Stack, before: dict[str, str]
) -> None:
    stack.on(
        "front", "printf '[DEFAULT]\\ncolour = blue\\nrpc_response_timeout = 90\\n' >/etc/heat/heat.conf.d/90.conf"
    )
    refused = stack.up(check=False)
    stack.on("front", "rm /etc/heat/heat.conf.d/90.conf")
    assert refused.code != 0
    assert "/etc/heat/heat.conf.d/90.conf:2: [DEFAULT] colour: no release of Heat knows it" in refused.text
    assert "Type: pulumi config set --path timeouts.rpcResponse 90" in refused.text
    assert MARK not in refused.text
    assert "Traceback" not in refused.text
    for name in ("node-1", "node-2"):
        assert stack.on(name, "ls -d /etc/heat /usr/local/lib/heat-scaleout 2>/dev/null", check=False) == ""
    assert origin(stack) == before
    # A's Heat has been read, and is read again on request.
    stack.set("adoptRevision", 2)


def test_a_proxy_that_does_not_start_leaves_the_original_apis_where_they_are(
    stack: Stack, before: dict[str, str]
) -> None:
    broken = "/etc/systemd/system/haproxy.service.d/broken.conf"
    stack.on(
        "front",
        f"mkdir -p {broken.rpartition('/')[0]}"
        f" && printf '[Service]\\nExecStartPre=\\nExecStart=\\nExecStart=/bin/false\\n' >{broken}"
        " && systemctl daemon-reload",
    )
    refused = stack.up(check=False)
    stack.on("front", f"rm {broken} && systemctl daemon-reload")
    assert refused.code != 0
    assert "the original processes serve their addresses as before" in refused.text
    assert origin(stack)["cfn"] == before["cfn"]
    assert listening(stack) == {"heat-api": "uwsgi", "heat-api-cfn": "uwsgi"}


@pytest.mark.usefixtures("before")
def test_heat_is_scaled_out_while_a_client_polls_it(stack: Stack, cloud: Any) -> None:
    begin(
        cloud,
        "meanwhile",
        {"type": "OS::Heat::TestResource", "properties": {"value": "x", "action_wait_secs": {"create": 20}}},
    )
    clients = [Client(where) for where in APIS.values()]
    for client in clients:
        client.start()
    result = stack.up()
    for client in clients:
        client.end()
    assert listening(stack) == dict.fromkeys(APIS, "haproxy")
    for client in clients:
        assert client.asked > 100
        # No gap at all: either the old or the new proxy accepted every connection.
        assert client.failed == []
    print("\n".join(gaps := re.findall(r"\S+ was [\d.]+ s without an answer at most; .*", result.text)))
    assert {gap.partition(" ")[0] for gap in gaps if "; 0 of " in gap} == {f"{A}:8004", f"{A}:8000"}
    assert MARK not in result.text
    # A's own engine, and one on each node.
    assert engines(stack) == 3
    for name in ("slow", "meanwhile"):
        completed(cloud, name)
    assert {one.name for one in cloud.orchestration.stacks()} == {"before", "slow", "meanwhile"}
    stack.up("--expect-no-changes")


def test_the_nodes_have_what_the_heat_conf_says_and_its_policy(stack: Stack) -> None:
    for node in ("node-1", "node-2"):
        conf = stack.on(node, "cat /etc/heat/heat.conf")
        assert "max_stacks_per_tenant = 77" in conf
        assert MARK not in conf
        assert "127.0.0.1" not in conf + stack.on(node, "cat /etc/heat/secrets.conf")
        policy = stack.on(node, "cat $(sed -n 's/^policy_file = //p' /etc/heat/heat.conf)")
        assert policy == stack.on("front", "cat /etc/heat/policy.yaml")


def test_no_secret_of_the_machine_is_in_the_state_or_readable_on_a_host(stack: Stack) -> None:
    assert MARK not in stack.pulumi("stack", "export").text
    assert MARK not in str(stack.outputs())
    for name in ADDRESSES:
        readable = stack.on(
            name,
            "find /etc /var/lib/heat-scaleout /usr/local /run /tmp -xdev -type f -perm /o=r -print0 2>/dev/null"
            f" | xargs -0 grep -l {MARK} 2>/dev/null || true",
        )
        assert [path for path in readable.splitlines() if "keystone" not in path] == []


def test_the_original_apis_do_not_start_again_by_themselves(stack: Stack) -> None:
    stack.on("front", "systemctl start heat-api")
    assert stack.on("front", "systemctl is-active heat-api", check=False) == "inactive"
    assert stack.on("front", "systemctl is-enabled heat-api") == "enabled"


def test_the_original_engine_stops_on_request_and_comes_back(stack: Stack) -> None:
    stack.set("keepOriginalEngine", "false")
    stack.up()
    assert stack.on("front", "systemctl is-active heat-engine", check=False) == "inactive"
    wait_for(lambda: engines(stack) == 2, "only the engines of the nodes")
    stack.set("keepOriginalEngine", "true")
    stack.up()
    assert stack.on("front", "systemctl is-active heat-engine") == "active"


def test_destroy_puts_the_machine_back_as_it_was_with_all_its_stacks(
    stack: Stack, cloud: Any, before: dict[str, str]
) -> None:
    begin(cloud, "scaled", {"type": "OS::Heat::RandomString"})
    completed(cloud, "scaled")
    clients = [Client(where) for where in APIS.values()]
    for client in clients:
        client.start()
    result = stack.pulumi("destroy", "--yes", "--skip-preview")
    for client in clients:
        client.end()
    print(f"destroy took {result.seconds:.0f} s")
    assert origin(stack) == before
    assert stack.on("front", "ls /var/lib/heat-scaleout/takeover 2>/dev/null", check=False) == ""
    assert stack.on("front", "systemctl is-active haproxy", check=False) != "active"
    for node in ("node-1", "node-2"):
        assert stack.on(node, "systemctl list-units --plain --no-legend 'heat-*@*'") == ""
        assert stack.on(node, f"grep -rl {MARK} /etc/heat || true") == ""
    wait_for(lambda: engines(stack) == 1, "only the machine's own engine")
    assert {one.name for one in cloud.orchestration.stacks()} == {"before", "slow", "meanwhile", "scaled"}
    begin(cloud, "after", {"type": "OS::Heat::RandomString"})
    completed(cloud, "after")
    for name in ("before", "slow", "meanwhile", "scaled", "after"):
        cloud.orchestration.delete_stack(cloud.orchestration.find_stack(name))
    wait_for(lambda: not [*cloud.orchestration.stacks()], "every stack gone")
