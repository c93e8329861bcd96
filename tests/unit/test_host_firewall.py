"""The hosts' own firewall: what it closes on every kind of host, and how the script changes a running one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.hosts.firewall import render_firewall
from components.hosts.ingress import ClosedPorts
from infra.settings.load import load
from tests.unit.adopted import adopted_heat
from tests.unit.program import STACK, Run, balanced_sample, cached, existing_control_plane, guide_sample, vm_sample
from tests.unit.test_existing_hosts import existing
from tests.unit.test_scripts import tool

CONTROL_PLANE = {3306, 5672, 11211}


def rules(run: Run) -> dict[str, tuple[str, set[int], set[str]]]:
    """For each host with a firewall: the address, the closed ports, and the admitted hosts."""
    found = {}
    for name, resource in run.by_name.items():
        if not name.endswith("-firewall"):
            continue
        text = resource.text().partition("<<'END_OF_RULES'\n")[2].partition("END_OF_RULES\n")[0]
        ports, hosts = (
            set(re.findall(r"[\d./]+", (re.findall(rf"set {which} {{[^}}]*elements = {{([^}}]*)}}", text) or [""])[0]))
            for which in ("ports", "hosts")
        )
        (address,) = re.findall(r"ip daddr (\S+) tcp dport @ports ip saddr != @hosts", text)
        found[name.removesuffix("-firewall")] = (address, {int(port) for port in ports}, hosts)
    return found


def nodes_of_the_sample(source: str) -> dict[str, tuple[str, set[int], set[str]]]:
    return {
        "node-1": ("10.0.0.2", {8000, 8004}, {source}),
        "node-2": ("10.0.0.3", {8000, 8004}, {source}),
    }


def test_in_containers_only_nodes_reach_the_control_plane_and_only_the_proxy_an_api() -> None:
    front = ("10.0.0.1", CONTROL_PLANE, {"10.0.0.2", "10.0.0.3"})
    assert rules(guide_sample()) == {"front": front, **nodes_of_the_sample("10.0.0.1")}


def test_existing_hosts_have_the_same_firewall() -> None:
    assert rules(existing()) == {
        "front": ("10.0.0.1", CONTROL_PLANE, {"10.0.0.2", "10.0.0.3"}),
        "node-b": ("10.0.0.2", {8000, 8004}, {"10.0.0.1"}),
        "node-c": ("10.0.0.3", {8000, 8004}, {"10.0.0.1"}),
    }


def test_vms_have_the_same_firewall_in_addition_to_security_groups() -> None:
    found = rules(vm_sample())
    front, first, second = (found[name][0] for name in ("front", "node-1", "node-2"))
    assert found["front"] == (front, CONTROL_PLANE, {first, second})
    assert found["node-1"] == (first, {8000, 8004}, {front})


def test_an_existing_control_plane_is_not_closed() -> None:
    assert rules(existing_control_plane()) == nodes_of_the_sample("10.0.0.1")
    names = existing_control_plane().by_name
    assert not [name for name in names if name.startswith(("front-forget-", "front-firewall"))]


def test_with_an_adopted_heat_only_our_own_apis_are_closed_and_only_after_its_file_is_accepted() -> None:
    run = adopted_heat()
    assert rules(run) == {
        "node-b": ("10.0.0.2", {8000, 8004}, {"10.0.0.1"}),
        "node-c": ("10.0.0.3", {8000, 8004}, {"10.0.0.1"}),
    }
    for node in ("node-b", "node-c"):
        assert "front-original-files" in run.before(f"{node}-firewall")


def test_behind_octavia_only_the_load_balancers_subnet_reaches_an_api() -> None:
    found = rules(balanced_sample())
    assert found["node-1"][1:] == ({8000, 8004}, {"10.0.0.0/24"})
    assert found["front"][1] == CONTROL_PLANE
    assert "flags interval" in balanced_sample().by_name["node-1-firewall"].text()


def test_apis_of_heat_s_own_programs_are_closed_alike() -> None:
    assert rules(guide_sample(heatVersion="24.1.2", apiRunner="console")) == rules(guide_sample())


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 12), st.sampled_from([8004, 9004]))
def test_each_node_closes_the_ports_of_its_own_apis_and_no_other(
    nodes: int, apis: int, cfn_apis: int, api_port: int
) -> None:
    settings = load(STACK, {"nodes": nodes, "apis": apis, "cfnApis": cfn_apis, "apiPort": api_port})
    closed = settings.closed
    assert closed.keys() == settings.addresses.keys()
    for name, one in closed.items():
        own = {process.port for process in settings.processes if process.node == name and process.port}
        assert set(one.ports) == (CONTROL_PLANE if name == "front" else own)
        assert one.address == settings.addresses[name]
        assert set(one.sources) == (set(closed) - {"front"} if name == "front" else {"front"})


@pytest.mark.parametrize(
    "config", [{}, {"statsPort": 9404}, {"apiPort": 9004, "cfnPort": 9000}, {"statsAllow": ["192.0.2.0/24"]}], ids=str
)
def test_what_clients_and_operators_use_is_closed_on_no_host(config: dict[str, Any]) -> None:
    settings = load(STACK, config)
    front = set(settings.closed["front"].ports)
    assert not front & {22, 5000, settings.api_port, settings.cfn_port, settings.stats_port}
    for name, one in settings.closed.items():
        assert 22 not in one.ports, name


def test_the_front_host_admits_a_new_node_and_no_removed_one() -> None:
    (two,), (three,) = ([rules(cached(nodes=number))["front"][2]] for number in (2, 3))
    assert two < three
    assert len(three) == 3


# The script, run here with a fake nft and a running firewall.


def run_script(
    tmp_path: Path, *, sources: list[str], running: dict[str, str], check: str = "exit 0"
) -> tuple[subprocess.CompletedProcess[str], str, Path]:
    """Its output, its calls of nft, and where its files are."""
    listed = "\n".join(f"    {name}) printf '%s\\n' '{text}' ;;" for name, text in running.items())
    tool(
        tmp_path,
        "nft",
        f'case "$1 $2" in\n"-c -f") {check} ;;\n"-f "*) cat "$2" >>{tmp_path}/applied ;;\n'
        f'"list set") case "$5" in\n{listed}\n    *) exit 1 ;; esac ;;\nesac',
    )
    tool(tmp_path, "dpkg-query", "echo installed")
    tool(tmp_path, "systemctl", f'echo "$*" >>{tmp_path}/asked')
    tool(tmp_path, "install", 'for last; do :; done; case "$1" in -d) mkdir -p "$last" ;; *) cp "$7" "$last" ;; esac')
    closed = ClosedPorts(address="10.0.0.1", ports=(3306, 5672), sources=())
    text = render_firewall("front", closed, sources)
    for path in ("/etc/heat-scaleout", "/etc/systemd/system"):
        text = text.replace(f"{path}/", f"{tmp_path}/")
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    applied = tmp_path / "applied"
    return done, applied.read_text() if applied.exists() else "", tmp_path / "firewall.nft"


SET = "table inet heat_scaleout {\n\tset %s {\n\t\ttype ipv4_addr\n\t\telements = { %s }\n\t}\n}"


def test_a_removed_host_is_admitted_until_the_unit_is_reloaded(tmp_path: Path) -> None:
    done, applied, kept = run_script(
        tmp_path,
        sources=["10.0.0.2"],
        running={
            "hosts": SET % ("hosts", "10.0.0.2, 10.0.0.3,\n\t\t\t     10.0.0.4"),
            "leaving": SET % ("leaving", "10.0.0.5 timeout 1d expires 23h59m58s, 10.0.0.4 expires 1h"),
            "ports": SET % ("ports", "3306, 8014"),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "add element inet heat_scaleout leaving { 10.0.0.3,10.0.0.4,10.0.0.5 }\n" in applied
    # A port with a listener is still closed.
    assert "add element inet heat_scaleout ports { 3306,8014 }\n" in applied
    # The rules for the next boot have neither.
    assert "add element" not in kept.read_text()
    assert "elements = { 10.0.0.2 }" in kept.read_text()


def test_a_host_that_is_planned_again_is_no_longer_a_removed_one(tmp_path: Path) -> None:
    _, applied, _ = run_script(
        tmp_path,
        sources=["10.0.0.2", "10.0.0.3"],
        running={"leaving": SET % ("leaving", "10.0.0.3 timeout 1d expires 1h")},
    )
    assert "add element" not in applied


def test_the_first_run_has_nothing_to_keep(tmp_path: Path) -> None:
    done, applied, kept = run_script(tmp_path, sources=["10.0.0.2"], running={})
    assert (done.returncode, done.stderr) == (0, "")
    assert applied == kept.read_text()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        "daemon-reload",
        "--quiet enable heat-scaleout-firewall.service",
        "start heat-scaleout-firewall.service",
    ]


def test_a_host_where_nft_does_not_work_is_named_with_what_to_do_and_nothing_is_changed(tmp_path: Path) -> None:
    done, applied, kept = run_script(
        tmp_path, sources=["10.0.0.2"], running={}, check='echo "Error: Operation not permitted" >&2; exit 1'
    )
    assert done.returncode == 1
    assert "front (10.0.0.1) cannot close its ports" in done.stderr
    assert "Operation not permitted" in done.stderr
    assert "NET_ADMIN" in done.stderr
    assert "modprobe nf_tables" in done.stderr
    assert applied == ""
    assert not kept.exists()
