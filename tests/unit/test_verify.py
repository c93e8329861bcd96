"""`make verify`: what each host should have according to the stack's state, and the report of a host that differs."""

from __future__ import annotations

import asyncio
import functools
import grp
import hashlib
import json
import pwd
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.rendering import render
from tests.unit.program import Run, cached
from tests.unit.test_existing_hosts import KEY
from tests.unit.test_existing_hosts import hosts as existing_hosts
from tests.unit.test_golden import shellcheck
from tests.unit.test_scripts import tool
from tools import verify
from tools.verify import File, Unit, expected, problems, script

# How Pulumi marks a secret in a state.
MARK = "4dabf18193072939515e22adb298388d"


def secret(value: Any) -> dict[str, str]:
    return {MARK: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(value)}


def resource(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::heat-scaleout::{kind}::{name}", "type": kind, **more}


def exported(run: Run | None = None) -> dict[str, Any]:
    """A stack's exported state, with the resources that the program registers."""
    run = run or cached()
    resources = [
        resource(
            item.name,
            "command:remote:Command",
            inputs={
                "connection": secret({"host": run.host_of(item), "user": "root"}),
                "create": item.text("create"),
                "stdin": secret(item.text()) if item.name.endswith("secrets-conf") else item.text(),
            },
        )
        for item in run.remote
    ]
    stack = resource("dev", "pulumi:pulumi:Stack", outputs={"processes": run.outputs["processes"]})
    components = [
        resource(item.name, item.type, outputs=run.components.get(item.name, {}))
        for item in run.registered
        if item.type.startswith("heat:")
    ]
    return {"deployment": {"resources": [stack, *components, *resources]}}


def test_every_file_that_the_program_puts_on_a_host_is_expected_there() -> None:
    hosts = expected(exported())
    run = cached()
    assert set(hosts) == {"front", "node-1", "node-2"}
    put = [item for item in run.remote if " put " in item.text("create")]
    found = [file.path for host in hosts.values() for file in host.files]
    own = [
        path for path in found if re.fullmatch(r"/etc/heat/processes/[^/]+/.+|/etc/systemd/system/.+@\d+.service", path)
    ]
    # In addition the program that installs them, and the copies that the processes read. The firewall's script installs
    # two more.
    assert len(found) - len(own) == len(put) + len(hosts) + 2 * len(hosts)
    assert own
    for item in put:
        digest = hashlib.sha256(item.text().encode()).hexdigest()
        assert digest in {file.digest for file in hosts[run.host_of(item)].files}, item.name


def test_a_secret_file_is_expected_with_its_owner_and_without_its_content() -> None:
    node = expected(exported())["node-1"]
    (found,) = [file for file in node.files if file.path == "/etc/heat/secrets.conf"]
    assert (found.mode, found.owner) == ("0640", "root:heat")
    (put,) = [item for item in cached().remote if item.name == "node-1-secrets-conf"]
    words = [line.partition(" = ")[2] for line in put.text().splitlines() if "password" in line]
    assert words
    assert not [word for word in words if word in script(node)]


def test_the_copies_that_a_process_reads_are_expected_to_equal_their_sources() -> None:
    files = {file.path: file for file in expected(exported())["node-1"].files}
    own = files["/etc/heat/processes/heat-engine@1/secrets.conf"]
    assert own == File(path=own.path, mode="0640", owner="root:heat", digest=files["/etc/heat/secrets.conf"].digest)
    unit = files["/etc/systemd/system/heat-api@8004.service"]
    assert unit.digest == files["/etc/systemd/system/heat-api@.service"].digest


def test_every_planned_process_is_expected_and_each_service_of_the_control_plane() -> None:
    hosts = expected(exported())
    assert {unit.name for unit in hosts["front"].units} == {
        "haproxy.service", "mariadb.service", "rabbitmq-server.service", "memcached.service", "keystone.service",
        "heat-scaleout-firewall.service", "keystone-proxy.service",
    }  # fmt: skip
    assert hosts["front"].processes is None
    assert hosts["node-1"].processes == ["heat-engine@1", "heat-api@8004", "heat-api-cfn@8000"]
    assert Unit(name="heat-api@8004", stamp="/run/heat-scaleout/heat-api@8004/read") in hosts["node-1"].units


def test_the_program_on_the_host_is_expected_to_be_the_checkouts() -> None:
    (hand,) = [file for file in expected(exported())["front"].files if file.path == "/usr/local/sbin/heat-scaleout"]
    assert hand.digest == hashlib.sha256(render("hosts/heat-scaleout.sh").encode()).hexdigest()


def test_the_firewalls_rules_and_its_unit_are_expected_as_its_script_installs_them() -> None:
    host = expected(exported())["front"]
    text = cached().by_name["front-firewall"].text()
    files = {file.path: file for file in host.files}
    for path, begin in (
        ("/etc/heat-scaleout/firewall.nft", "#!/usr/sbin/nft -f"),
        ("/etc/systemd/system/heat-scaleout-firewall.service", "[Unit]"),
    ):
        (body,) = [part for part in re.findall(r"(?ms)<<'\w+'\n(.*?)^END_OF_\w+$", text) if part.startswith(begin)]
        assert files[path] == File(
            path=path, mode="0644", owner="root:root", digest=hashlib.sha256(body.encode()).hexdigest()
        )
    assert Unit(name="heat-scaleout-firewall.service", stamp="") in host.units
    assert "nft list chain inet heat_scaleout input" in script(host)


def test_a_timer_is_expected_to_run() -> None:
    state = exported()
    create = "sudo -n heat-scaleout put /etc/systemd/system/tidy.timer 0644 root:root # generation 2"
    inputs = {"connection": {}, "create": create, "stdin": "x"}
    state["deployment"]["resources"].append(resource("node-1-tidy", "command:remote:Command", inputs=inputs))
    assert Unit(name="tidy.timer", stamp="") in expected(state)["node-1"].units


def test_a_state_of_an_earlier_version_is_refused_with_what_to_type() -> None:
    state = exported()
    (node,) = [item for item in state["deployment"]["resources"] if item["urn"].endswith("::node-2")]
    node["outputs"] = {}
    with pytest.raises(ValueError, match=r"an earlier version.*type: pulumi up"):
        expected(state)


def test_a_stack_without_hosts_is_refused_with_what_to_type() -> None:
    with pytest.raises(ValueError, match=r"no hosts.*type: pulumi up"):
        expected({"deployment": {"resources": [resource("dev", "pulumi:pulumi:Stack")]}})


# The script, run here on files of the test, with a fake systemctl.


@pytest.fixture
def owner() -> str:
    here = Path.cwd().stat()
    return f"{pwd.getpwuid(here.st_uid).pw_name}:{grp.getgrgid(here.st_gid).gr_name}"


def report(
    tmp_path: Path,
    *files: File,
    units: tuple[Unit, ...] = (),
    systemctl: str = "exit 0",
    nft: str = "",
) -> list[tuple[str, str]]:
    tool(tmp_path, "systemctl", systemctl)
    if nft:
        tool(tmp_path, "nft", nft)
    text = render(
        "scripts/verify.sh.j2",
        kinds=["heat-engine", "heat-api", "heat-api-cfn"],
        files=files,
        units=units,
        processes=[unit.name for unit in units],
        firewall="heat_scaleout" if nft else "",
    )
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stderr == ""
    return problems(done.stdout)


def made(path: Path, text: str, owner: str, mode: str = "0640") -> File:
    path.write_text(text)
    path.chmod(int(mode, 8))
    return File(path=str(path), mode=mode, owner=owner, digest=hashlib.sha256(text.encode()).hexdigest())


def test_the_script_passes_shellcheck(tmp_path: Path) -> None:
    for name, host in expected(exported()).items():
        (tmp_path / name).write_text(script(host))
        shellcheck(tmp_path / name)


def test_unchanged_files_are_not_reported(tmp_path: Path, owner: str) -> None:
    assert report(tmp_path, made(tmp_path / "it's a file", "text\n", owner)) == []


def test_a_changed_file_a_lost_file_and_an_opened_file_are_each_reported(tmp_path: Path, owner: str) -> None:
    names = ("changed", "lost", "opened")
    changed, lost, opened = (made(tmp_path / name, "text\n", owner) for name in names)
    Path(changed.path).write_text("texts\n")
    Path(lost.path).unlink()
    Path(opened.path).chmod(0o644)
    assert report(tmp_path, changed, lost, opened) == [
        (changed.path, "has been changed"),
        (lost.path, "is missing"),
        (opened.path, f"is 644 {owner}, not 640 {owner}"),
    ]


RUNS = """
case "$1" in
is-enabled) echo enabled ;;
is-active) echo active ;;
show) echo no ;;
list-units) echo "heat-engine@1.service loaded active running OpenStack Heat engine 1" ;;
esac
"""


def unit(tmp_path: Path) -> Unit:
    """A unit that has read a file, which has not changed since."""
    read = tmp_path / "heat.conf"
    read.write_text("[DEFAULT]\n")
    stamp = tmp_path / "read"
    stamp.write_text(f"{hashlib.sha256(read.read_bytes()).hexdigest()}  {read}\n")
    return Unit(name="heat-engine@1", stamp=str(stamp))


def test_a_unit_that_runs_with_the_current_files_is_not_reported(tmp_path: Path) -> None:
    assert report(tmp_path, units=(unit(tmp_path),), systemctl=RUNS) == []


@pytest.mark.parametrize(
    ("was", "now", "what"),
    [
        ("echo enabled", "echo disabled; exit 1", "does not start with the host: it is disabled"),
        ("echo active", "echo inactive; exit 3", "does not run: it is inactive"),
        ("echo no", "echo yes", "runs with an old unit file"),
    ],
)
def test_a_disabled_stopped_or_outdated_unit_is_reported(tmp_path: Path, was: str, now: str, what: str) -> None:
    assert report(tmp_path, units=(unit(tmp_path),), systemctl=RUNS.replace(was, now)) == [("heat-engine@1", what)]


def test_a_process_that_has_read_an_older_file_is_reported_with_the_file(tmp_path: Path) -> None:
    one = unit(tmp_path)
    (tmp_path / "heat.conf").write_text("[DEFAULT]\nx = 1\n")
    what = f"was started with another {tmp_path}/heat.conf"
    assert report(tmp_path, units=(one,), systemctl=RUNS) == [("heat-engine@1", what)]


def test_a_process_whose_files_are_unknown_is_reported(tmp_path: Path) -> None:
    one = unit(tmp_path)
    Path(one.stamp).unlink()
    assert report(tmp_path, units=(one,), systemctl=RUNS) == [("heat-engine@1", "runs with unknown files")]


def test_an_unplanned_process_is_reported(tmp_path: Path) -> None:
    more = RUNS.replace('echo "heat-engine', "echo 'heat-api@8014.service loaded active running x'; echo \"heat-engine")
    assert report(tmp_path, units=(unit(tmp_path),), systemctl=more) == [("heat-api@8014", "runs, and is not planned")]


def test_an_incomplete_report_does_not_count_as_a_healthy_host() -> None:
    with pytest.raises(ValueError, match="incomplete"):
        problems("/etc/heat/heat.conf\tis lost")


# Every kind of host, and repair.


SAMPLES: dict[str, Callable[..., Run]] = {
    "containers": cached,
    "existing": functools.partial(cached, hosts="existing", sshPrivateKey=KEY, existing=existing_hosts()),
    "openstack": functools.partial(cached, hosts="openstack", openstack={"sshFrom": ["198.51.100.0/24"]}),
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_hosts_of_every_kind_are_compared(sample: Callable[..., Run]) -> None:
    hosts = expected(exported(sample()))
    assert "front" in hosts
    assert all(host.files and host.units for host in hosts.values())


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_another_generation_has_every_command_run_again_and_changes_nothing_else(sample: Callable[..., Run]) -> None:
    before, after = sample(), sample(generation=2)
    assert {item.name for item in before.remote} == {item.name for item in after.remote}
    for one in before.remote:
        other = after.by_name[one.name]
        assert other.text("create") == one.text("create") + " # generation 2", one.name
        assert other.text() == one.text(), one.name


def test_a_host_that_does_not_answer_is_named_while_the_run_waits(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = {name: verify.Expected(connection={"host": f"10.0.0.{at}"}) for at, name in enumerate(("front", "node-1"))}

    async def compare(host: verify.Expected) -> list[tuple[str, str]]:
        # This host does not answer until it has been named.
        while host is hosts["node-1"] and "node-1" not in said:
            await asyncio.sleep(0.01)
            said.append(capsys.readouterr().err.partition(" ")[0])
        return [("a file", host.connection["host"])]

    said: list[str] = []
    with mock.patch.object(verify, "compare", compare), mock.patch.object(verify, "_NAMED_AFTER", 0.05):
        answers = asyncio.run(asyncio.wait_for(verify.compare_all(hosts), 30))
    assert answers == [[("a file", "10.0.0.0")], [("a file", "10.0.0.1")]]
    assert "node-1" in said
    assert "front" not in said


RULE = "ip daddr 10.0.0.1 tcp dport @ports ip saddr != @hosts ip saddr != @leaving reject with tcp reset"


def test_an_emptied_firewall_is_reported(tmp_path: Path) -> None:
    assert report(tmp_path, nft=f"[ $5 = input ] && echo '{RULE}'") == []
    for gone in ("exit 1", "echo 'chain input { }'", "echo 'tcp dport @ports accept'"):
        ((thing, what),) = report(tmp_path, nft=gone)
        assert thing == "table inet heat_scaleout of nftables"
        assert "is missing" in what
