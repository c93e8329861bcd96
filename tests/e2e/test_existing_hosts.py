"""Existing hosts: three machines that the program did not create. Pulumi logs in as an ordinary user and uses sudo.

The machines are containers here; the program does not know that. Each test continues from the one before.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.remote import FREE_MB
from tests.e2e.lab import ROOT, Stack, connected
from tests.e2e.machines import container, key_pair, machines
from tests.unit.sample import parsed

NAME = "e2e-existing"
NETWORK = f"heat-{NAME}"
ADDRESSES = {"front": "10.213.79.10", "node-1": "10.213.79.11", "node-2": "10.213.79.12"}
PATHS = {"front": "existing.front", "node-1": "existing.nodes[0]", "node-2": "existing.nodes[1]"}
SUDO = "echo 'operator ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/operator"


def machine_ids() -> list[str]:
    """The ids and start times of the machines."""
    return [
        container("inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.State.Running}}", f"{NETWORK}-{name}")
        for name in ADDRESSES
    ]


@pytest.fixture(scope="module")
def login(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's private key."""
    return key_pair(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def hosts(login: Path) -> Iterator[None]:
    """Three hosts. The nodes accept the operator's key only from the front host; node-1 has no sudo for it yet."""
    with machines(NAME, ADDRESSES):
        for name in ADDRESSES:
            only = "" if name == "front" else f'from="{ADDRESSES["front"]}" '
            Stack(NAME).on(
                name,
                "useradd --create-home --no-user-group --shell /bin/bash operator;"
                "install -d -m 0700 -o operator /home/operator/.ssh; cat >/home/operator/.ssh/authorized_keys;"
                + ("" if name == "node-1" else SUDO),
                stdin=only + login.with_suffix(".pub").read_text(),
            )
        yield


@pytest.fixture(scope="module")
def stack(hosts: None, login: Path) -> Stack:  # noqa: ARG001 # the hosts come first
    """A stack on these hosts, configured except for the host keys. tests/e2e/run.sh removes it."""
    subprocess.run([ROOT / "tools/new-stack.sh", NAME], check=True)
    made = Stack(NAME)
    made.set("hosts", "existing")
    made.set("engines", 1)
    made.pulumi("config", "set", "--secret", "sshPrivateKey", stdin=login.read_text())
    settings: dict[str, Any] = {
        "existing.user": "operator",
        "existing.jump.address": ADDRESSES["front"],
        "existing.nodes[0].name": "node-1",
        "existing.nodes[0].engines": 0,
        "existing.nodes[1].name": "node-2",
        **{f"{path}.address": ADDRESSES[name] for name, path in PATHS.items()},
    }
    for path, value in settings.items():
        made.pulumi("config", "set", "--path", path, str(value))
    return made


def hostkeys(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tools/hostkeys.sh", NAME, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_hosts_without_their_keys_are_refused_with_what_to_type(stack: Stack) -> None:
    refused = stack.up(check=False)
    assert refused.code != 0
    for path in (*PATHS.values(), "existing.jump"):
        assert f"{path}.hostKey = (none): without its key another machine could pose as this host" in refused.text
    assert f"Type: make hostkeys STACK={NAME}" in refused.text


def test_the_host_keys_are_fetched_through_the_jump_host_and_need_confirmation(stack: Stack) -> None:
    unseen = hostkeys()
    assert unseen.returncode == 1
    assert "there is no terminal to compare fingerprints in" in unseen.stdout
    fetched = hostkeys("--yes")
    assert fetched.returncode == 0, fetched.stdout
    for name, path in PATHS.items():
        key = stack.on(name, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
        assert stack.pulumi("config", "get", "--path", f"{path}.hostKey").text.split() == key
        shown = stack.on(name, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]
        assert f"{path} {ADDRESSES[name]} {shown}\n" in fetched.stdout


def test_unusable_hosts_are_named_and_no_host_is_changed(stack: Stack) -> None:
    right = stack.pulumi("config", "get", "--path", "existing.nodes[1].hostKey").text.strip()
    wrong = stack.pulumi("config", "get", "--path", "existing.front.hostKey").text.strip()
    stack.pulumi("config", "set", "--path", "existing.nodes[1].hostKey", wrong)
    refused = stack.up(check=False)
    stack.pulumi("config", "set", "--path", "existing.nodes[1].hostKey", right)
    assert refused.code != 0
    assert "node-1 (10.213.79.11) cannot be used:" in refused.text
    assert "user operator may not use sudo without a password" in refused.text
    assert "node-2-ready" in refused.text
    assert "host key mismatch" in refused.text
    assert "Traceback" not in refused.text
    for name in ADDRESSES:
        assert stack.on(name, "ls -d /opt/* /etc/heat /etc/haproxy 2>/dev/null", check=False) == ""
    stack.on("node-1", SUDO)


def test_heat_runs_on_existing_hosts_and_creates_a_stack_through_the_proxy(stack: Stack) -> None:
    before = machine_ids()
    stack.up()
    assert machine_ids() == before
    outputs = stack.outputs()
    assert outputs["heatApiUrl"] == "http://10.213.79.10:8004"
    assert [process["node"] for process in outputs["processes"] if process["kind"] == "heat-engine"] == ["node-2"]
    cloud = connected(outputs["cloudsYamlPath"])
    resources = {"value": {"type": "OS::Heat::RandomString"}}
    made = cloud.orchestration.create_stack(
        name="existing", template={"heat_template_version": "2018-08-31", "resources": resources}
    )
    cloud.orchestration.wait_for_status(
        made, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=120
    )
    stack.up("--expect-no-changes")


def test_a_host_needs_no_more_disk_space_than_the_check_requires(stack: Stack) -> None:
    """Not even if the system itself is included."""
    for name in ADDRESSES:
        used = [int(size) for size in stack.on(name, "du -sxm /opt /usr /var | cut -f 1").split()]
        print(f"{name} has in /opt, /usr and /var: {used} MB")
        assert sum(used) < FREE_MB


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the logins of the first deployment, which its control plane still accepts."""
    return tmp_path_factory.mktemp("left")


def test_a_destroy_by_mistake_removes_nothing(stack: Stack) -> None:
    """On existing hosts the stack is protected by default, because the control plane's secrets would be lost."""
    before = stack.pids()
    refused = stack.pulumi("destroy", "--yes", check=False)
    assert refused.code != 0
    assert re.search(r'command:local:Command::secret-[a-z-]+" cannot be deleted', refused.text)
    assert stack.pids() == before
    assert Path(stack.outputs()["cloudsYamlPath"]).exists()
    stack.set("protect", "false")
    stack.up()
    assert stack.pids() == before


def test_destroy_stops_heat_on_every_host_that_answers(stack: Stack, left: Path) -> None:
    (left / "secrets.conf").write_text(stack.on("node-2", "cat /etc/heat/secrets.conf"))
    shutil.copy(stack.outputs()["cloudsYamlPath"], left / "clouds.yaml")
    before, outputs = machine_ids(), stack.outputs()
    stack.on("node-1", "systemctl stop ssh")
    output = stack.pulumi("destroy", "--yes", "--skip-preview").text
    assert f"node-1 ({ADDRESSES['node-1']}) is left as it is: should it come back, Heat runs on" in output
    assert machine_ids() == before
    assert not Path(outputs["cloudsYamlPath"]).exists()
    for process in outputs["processes"]:
        state = stack.on(process["node"], f"systemctl is-active {process['unit']}", check=False)
        assert state == ("active" if process["node"] == "node-1" else "inactive"), process
    assert stack.on("node-2", "ls /etc/heat/secrets.conf", check=False).endswith("No such file or directory")
    assert stack.on("front", "systemctl is-active haproxy", check=False) == "inactive"
    assert stack.on("front", "systemctl is-active mariadb rabbitmq-server keystone") == "active\nactive\nactive"
    # The cache accepts anybody, so it stops with the firewall, which is left only on the host that did not answer.
    assert stack.on("front", "systemctl is-active memcached", check=False) == "inactive"
    for host in ("front", "node-2"):
        assert stack.on(host, "nft list tables; ls /etc/heat-scaleout 2>/dev/null", check=False) == ""
        assert not stack.on(host, "systemctl list-unit-files --no-legend 'heat-scaleout-firewall*'", check=False)
    assert "heat_scaleout" in stack.on("node-1", "nft list tables")


# From here on the control plane that the first deployment has left on the front host serves as an existing one.


@pytest.fixture(scope="module")
def controlled(stack: Stack, left: Path) -> dict[str, str]:
    """Configure the stack for that control plane; the secrets in its settings."""
    stack.on("node-1", "systemctl start ssh")
    stack.on("front", "systemctl enable --now memcached")
    known = parsed((left / "secrets.conf").read_text())
    stack.set("controlPlane", "existing")
    stack.pulumi("config", "set", "--path", "control.keystoneUrl", f"http://{ADDRESSES['front']}:5000")
    stack.pulumi("config", "set", "--path", "control.memcached[0]", f"{ADDRESSES['front']}:11211")
    secrets = {
        "databaseUrl": known["database"]["connection"],
        "transportUrl": known["DEFAULT"]["transport_url"],
        "servicePassword": known["keystone_authtoken"]["password"],
        "stackDomainAdminPassword": known["DEFAULT"]["stack_domain_admin_password"],
        "authEncryptionKey": known["DEFAULT"]["auth_encryption_key"],
    }
    for key, value in secrets.items():
        stack.pulumi("config", "set", "--secret", key, stdin=value)
    return secrets


def test_every_problem_of_a_control_plane_is_reported_at_once_and_nothing_is_started(
    stack: Stack, controlled: dict[str, str]
) -> None:
    stack.on(
        "front",
        "mariadb -e \"CREATE DATABASE other; CREATE TABLE other.thing (id INT); GRANT ALL ON other.* TO heat@'%'\"",
    )
    wrong = {
        "databaseUrl": controlled["databaseUrl"].replace("/heat?", "/other?"),
        "transportUrl": controlled["transportUrl"].replace("@", "x@"),
    }
    for key, value in wrong.items():
        stack.pulumi("config", "set", "--secret", key, stdin=value)
    refused = stack.up(check=False)
    for key in wrong:
        stack.pulumi("config", "set", "--secret", key, stdin=controlled[key])
    assert refused.code != 0
    front = ADDRESSES["front"]
    assert f"the database at {front}:3306: other has tables of another program" in refused.text
    assert f"the broker at {front}:5672 refuses the login of user heat" in refused.text
    assert not [value for value in controlled.values() if value in refused.text]
    assert stack.on("node-2", "systemctl is-active heat-engine@1", check=False) == "inactive"


def test_heat_runs_on_an_existing_control_plane_and_finds_its_stacks(
    stack: Stack, controlled: dict[str, str], left: Path
) -> None:
    stack.up()
    assert "existing" in [one.name for one in connected(str(left / "clouds.yaml")).orchestration.stacks()]
    exported = stack.pulumi("stack", "export").text
    assert not [key for key, value in controlled.items() if value in exported]


def test_another_key_for_the_same_database_is_refused_before_anything_is_changed(
    stack: Stack, controlled: dict[str, str]
) -> None:
    before, other = stack.pids(), "x" * 32
    secrets = stack.on("node-2", "cat /etc/heat/secrets.conf")
    stack.pulumi("config", "set", "--secret", "authEncryptionKey", stdin=other)
    refused = stack.up(check=False)
    stack.pulumi("config", "set", "--secret", "authEncryptionKey", stdin=controlled["authEncryptionKey"])
    assert refused.code != 0
    assert "node-2 has run Heat on the database" in refused.text
    assert other not in refused.text
    assert stack.on("node-2", "cat /etc/heat/secrets.conf") == secrets
    assert stack.pids() == before
    # The same on hosts that have not run Heat before, where only the database shows it.
    output = stack.on(
        "node-1",
        "set -eu; file=$(mktemp); trap 'rm -f \"$file\"' EXIT;"
        f" sed 's/^auth_encryption_key = .*/auth_encryption_key = {other}/' /etc/heat/secrets.conf >\"$file\";"
        ' /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/schema.py look /etc/heat/heat.conf "$file" 2>&1',
        check=False,
    )
    assert "was encrypted with another auth_encryption_key" in output
    stack.up()
    assert stack.pids() == before


@pytest.mark.usefixtures("controlled")
def test_more_engine_workers_than_the_database_allows_are_refused_before_anything_is_changed(stack: Stack) -> None:
    before = stack.pids()
    limit = int(stack.on("front", "mariadb -N -e 'SELECT @@max_connections'"))
    stack.on("front", "mariadb -e 'SET GLOBAL max_connections = 137'")
    stack.set("engines", 2)
    refused = stack.up(check=False)
    stack.set("engines", 1)
    stack.on("front", f"mariadb -e 'SET GLOBAL max_connections = {limit}'")
    assert refused.code != 0
    assert "allows 137 connections (max_connections): 1 of the 2 planned engine workers fit" in refused.text
    assert "Raise max_connections there" in refused.text
    # The outputs already name the second engine.
    assert stack.pids() == before | {("node-2", "heat-engine@2"): "0"}
    stack.up()
    assert stack.pids() == before


def test_missing_parts_of_a_control_plane_are_created_if_that_is_allowed(
    stack: Stack, controlled: dict[str, str], left: Path
) -> None:
    front = ADDRESSES["front"]
    stack.on(
        "front",
        "mariadb -e \"CREATE USER boss@'%' IDENTIFIED BY 'mysql-boss'; GRANT ALL ON *.* TO boss@'%' WITH GRANT OPTION\""
        " && rabbitmq-plugins -q enable rabbitmq_management >/dev/null && rabbitmqctl -q add_user boss rabbit-boss"
        " && rabbitmqctl -q set_user_tags boss administrator",
    )
    for at, part in enumerate(("database", "broker", "keystone")):
        stack.pulumi("config", "set", "--path", f"control.manage[{at}]", part)
    for name in ("user", "stackDomain", "stackDomainAdmin"):
        stack.pulumi("config", "set", "--path", f"control.{name}", f"second-{name.lower()}")
    admin = yaml.safe_load((left / "clouds.yaml").read_text())["clouds"]["heat-admin"]["auth"]["password"]
    secrets = {
        "databaseUrl": f"mysql+pymysql://second:{'d' * 32}@{front}/second?charset=utf8mb4",
        "transportUrl": f"rabbit://second:{'b' * 32}@{front}:5672/second",
        "databaseAdminUrl": f"mysql+pymysql://boss:mysql-boss@{front}",
        "brokerAdminUrl": f"http://boss:rabbit-boss@{front}:15672",
        "keystoneAdminPassword": admin,
    }
    for key, value in secrets.items():
        stack.pulumi("config", "set", "--secret", key, stdin=value)
    for key in controlled.keys() - secrets.keys():
        stack.pulumi("config", "rm", key)
    stack.up()
    cloud = connected(str(left / "clouds.yaml"))
    assert [one.name for one in cloud.orchestration.stacks()] == []
    made = cloud.orchestration.create_stack(
        name="second",
        template={"heat_template_version": "2018-08-31", "resources": {"value": {"type": "OS::Heat::RandomString"}}},
    )
    cloud.orchestration.wait_for_status(
        made, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=120
    )
    assert "engine" in stack.on("front", "rabbitmqctl -q list_queues -p second name").split()
    stack.up("--expect-no-changes")


def test_database_broker_and_keystone_are_reached_by_tls_and_verified(stack: Stack, left: Path) -> None:
    front = ADDRESSES["front"]
    stack.on("front", f"sh -s {front}", stdin=(ROOT / "tests/e2e/tls.sh").read_text())
    stack.on("front", "mariadb -e \"ALTER USER second@'%' REQUIRE SSL\"")
    (left / "ca.pem").write_text(stack.on("front", "cat /srv/tls/ca.pem") + "\n")
    for at, part in enumerate(("database", "broker")):
        stack.pulumi("config", "set", "--path", f"control.tls[{at}]", part)
    stack.set("control.ca", left / "ca.pem")
    stack.set("control.keystoneUrl", f"https://{front}:5443")
    stack.pulumi("config", "set", "--secret", "transportUrl", stdin=f"rabbit://second:{'b' * 32}@{front}:5671/second")
    stack.up()
    cloud = connected(str(left / "clouds.yaml"))
    assert [one.name for one in cloud.orchestration.stacks()] == ["second"]
    found = cloud.orchestration.find_stack("second")
    cloud.orchestration.delete_stack(found)
    cloud.orchestration.wait_for_delete(found, interval=0.5, wait=120)
    encrypted = stack.on("front", "rabbitmqctl -q list_connections vhost ssl").splitlines()
    assert {line for line in encrypted if line.startswith("second")} == {"second\ttrue"}


def test_a_release_whose_engines_would_lose_messages_is_refused_on_their_vhost(stack: Stack) -> None:
    before = stack.pids()
    stack.set("heatVersion", "25.0.2")
    refused = stack.up(check=False)
    stack.pulumi("config", "rm", "heatVersion")
    assert refused.code != 0
    assert "node-2 runs heat-engine@1 (/opt/heat/27.0.1, version 1.9) on the vhost" in refused.text
    assert stack.pids() == before
    stack.up()
    assert stack.pids() == before
    stack.pulumi("destroy", "--yes", "--skip-preview")
