from __future__ import annotations

import base64
import contextvars
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.heat.heat_conf import options
from components.hosts.kinds import KINDS
from components.hosts.subnets import assign_addresses, free_subnet, mac_address, overlapping_routes, parse_routes
from components.rendering import render
from components.text import shortened
from components.timeouts import LINKS
from components.topology import Kind
from infra.build import inventory
from infra.settings import hosts as hosts_section
from infra.settings import load as settings
from infra.settings.fields import camel, keys
from infra.settings.formats import seconds
from infra.settings.heat import MAX_CONNECTIONS, OTHER_CONNECTIONS
from infra.settings.hosts import Routes
from infra.settings.load import SettingsError, load
from infra.settings.model import Settings
from infra.settings.options import OptionSettings
from infra.settings.secret import KEY_AGENT, KEY_PLAIN, KEY_SECRET
from infra.settings.timeouts import TimeoutSettings
from tests.unit.program import PROJECT, ROOT, cached
from tests.unit.refused import Refusal, assert_refused

STACK = "dev"


def problems(raw: Mapping[str, Any], routes: Routes = ()) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(STACK, raw, routes)
    return caught.value.problems


def network(text: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(text)


@cache
def declared() -> dict[str, dict[str, Any]]:
    keys: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return keys


# Each rule's refusal.
MEMORY_RULE = "must be at least 64M"

REFUSALS: list[Refusal] = [
    (
        {"hosts": "vms"},
        "hosts = vms",
        "must be containers, openstack or existing",
        "pulumi config set hosts containers --stack dev",
    ),
    (
        {"controlPlane": "none"},
        "controlPlane = none",
        "must be bundled or existing",
        "pulumi config set controlPlane bundled --stack dev",
    ),
    *(
        (
            {key: value},
            f"{key} = {value}",
            f"must be an integer from 1 to {most}",
            f"pulumi config set {key} {default} --stack dev",
        )
        for key, default, most in (
            ("nodes", 2, 200),
            ("engines", 2, 2000),
            ("apis", 2, 2000),
            ("cfnApis", 2, 2000),
            ("engineWorkers", 1, 1000),
            ("apiProcesses", 1, 1000),
            ("apiThreads", 8, 10_000),
            ("rollingBatch", 1, 2000),
            ("generation", 1, 10**9),
        )
        for value in ("0", str(most + 1), "-1")
    ),
    *(
        (
            {key: value},
            f"{key} = {value}",
            "must be an integer from 1 to 65535",
            f"pulumi config set {key} {default} --stack dev",
        )
        for key, default in {"apiPort": 8004, "cfnPort": 8000, "statsPort": 8404}.items()
        for value in ("0", "65536", "-1")
    ),
    *(
        (
            {"engines": value},
            f"engines = {shown}",
            "must be an integer from 1 to 2000",
            "pulumi config set engines 2 --stack dev",
        )
        for value, shown in {"four": "four", "1.5": "1.5", "": "(none)", True: "true", 2.5: "2.5"}.items()
    ),
    (
        {"heatVersion": "1.0"},
        "heatVersion = 1.0",
        "known: 24.1.2, 25.0.2, 26.0.2, 27.0.1",
        "pulumi config set heatVersion 27.0.1 --stack dev",
    ),
    (
        {"heatVersion": "26.x", "constraints": "README.md"},
        "heatVersion = 26.x",
        "three numbers",
        "pulumi config set heatVersion 27.0.1 --stack dev",
    ),
    (
        {"heatVersion": "24.1.2", "install": "apt"},
        "heatVersion = 24.1.2",
        "install is apt",
        "pulumi config rm heatVersion --stack dev",
    ),
    (
        {"heatVersion": "24.1.2", "install": "git", "gitRef": "stable/2026.1"},
        "heatVersion = 24.1.2",
        "install is git, and gitRef decides",
        "pulumi config rm heatVersion --stack dev",
    ),
    (
        {"install": "yum"},
        "install = yum",
        "must be pip, apt or git",
        "pulumi config set install pip --stack dev",
    ),
    (
        {"loadBalancer": "nginx"},
        "loadBalancer = nginx",
        "must be haproxy or octavia",
        "pulumi config set loadBalancer haproxy --stack dev",
    ),
    (
        {"protect": "yes"},
        "protect = yes",
        "must be auto, true or false",
        "pulumi config set protect auto --stack dev",
    ),
    (
        {"apiRunner": "gunicorn"},
        "apiRunner = gunicorn",
        "must be uwsgi or console",
        "pulumi config set apiRunner uwsgi --stack dev",
    ),
    (
        {"apiRunner": "console", "heatVersion": "25.0.2"},
        "apiRunner = console",
        "Heat 24 was the last release",
        "pulumi config set apiRunner uwsgi --stack dev",
    ),
    (
        {"constraints": "no/such.txt"},
        "constraints = no/such.txt",
        "no such file",
        "pulumi config rm constraints --stack dev",
    ),
    (
        {"constraints": "README.md", "install": "apt"},
        "constraints = README.md",
        "install is apt",
        "pulumi config rm constraints --stack dev",
    ),
    (
        {"wheelhouse": "wheels"},
        "wheelhouse = wheels",
        "must be a directory on each host (/…) or a URL",
        "pulumi config rm wheelhouse --stack dev",
    ),
    (
        {"gitRef": "27.0.1"},
        "gitRef = 27.0.1",
        "install is pip",
        "pulumi config rm gitRef --stack dev",
    ),
    (
        {"install": "git", "gitRef": "--upload-pack=x"},
        "gitRef = --upload-pack=x",
        "must be a tag, a branch or a commit",
        "pulumi config rm gitRef --stack dev",
    ),
    (
        {"install": "git", "gitUrl": "--upload-pack=x"},
        "gitUrl = --upload-pack=x",
        "must be a URL that git clones",
        "pulumi config set gitUrl https://opendev.org/openstack/heat --stack dev",
    ),
    (
        {"region": "Region One"},
        "region = Region One",
        "must be letters, digits and _.-",
        "pulumi config set region RegionOne --stack dev",
    ),
    (
        {"statsAllow": "10.0.0.0/8"},
        "statsAllow = 10.0.0.0/8",
        "must be a list",
        "pulumi config rm statsAllow --stack dev",
    ),
    (
        {"statsAllow": ["10.0.0.0/8", "everybody"]},
        "statsAllow[1] = everybody",
        "must be an address or a network with its prefix",
        "pulumi config rm --path 'statsAllow[1]' --stack dev",
    ),
    (
        {"caretaker": {"rescueMinutes": 7}},
        "caretaker.rescueMinutes = 7",
        "must be minutes that divide an hour",
        "pulumi config set --path caretaker.rescueMinutes 1 --stack dev",
    ),
    (
        {"caretaker": {"cleanHours": 24}},
        "caretaker.cleanHours = 24",
        "must be an integer from 0 to 23",
        "pulumi config set --path caretaker.cleanHours 1 --stack dev",
    ),
    (
        {"caretaker": {"graceSeconds": 0}},
        "caretaker.graceSeconds = 0",
        "must be an integer from 1 to 604800",
        "pulumi config set --path caretaker.graceSeconds 180 --stack dev",
    ),
    (
        {"caretaker": {"purgeDays": -1}},
        "caretaker.purgeDays = -1",
        "must be an integer from 0 to 36500",
        "pulumi config set --path caretaker.purgeDays 90 --stack dev",
    ),
    *(
        (
            {"caretaker": {"purgeAt": value}},
            f"caretaker.purgeAt = {value}",
            "00:00 to 23:59",
            "pulumi config set --path caretaker.purgeAt 03:30 --stack dev",
        )
        for value in ("24:00", "3:30", "daily", "0٣:30", "٠٣:٣٠")
    ),
    (
        {"haproxy": "fast"},
        "haproxy = fast",
        "must be an object",
        "pulumi config rm haproxy --stack dev",
    ),
    (
        {"haproxy": {"maxconn": "many"}},
        "haproxy.maxconn = many",
        "must be an integer from 1 to 200000",
        "pulumi config set --path haproxy.maxconn 8000 --stack dev",
    ),
    (
        {"haproxy": {"retries": 0}},
        "haproxy.retries = 0",
        "must be an integer from 1 to 100",
        "pulumi config set --path haproxy.retries 3 --stack dev",
    ),
    (
        {"haproxy": {"balance": "best"}},
        "haproxy.balance = best",
        "must be source, roundrobin, leastconn, static-rr or random",
        "pulumi config set --path haproxy.balance source --stack dev",
    ),
    *(
        (
            {"haproxy": {"timeoutClient": value}},
            f"haproxy.timeoutClient = {value or '(none)'}",
            "must be a duration with its unit",
            "pulumi config set --path haproxy.timeoutClient 1m --stack dev",
        )
        for value in ("60", "1 m", "0s", "1d", "", "٦0s", "169h", "2147483648ms")
    ),
    *(
        (
            {"memory": {"engine": value}},
            f"memory.engine = {value}",
            MEMORY_RULE,
            "pulumi config set --path memory.engine 2G --stack dev",
        )
        for value in ("0", "63M", "2", "2g", "1.5G", "2G ", "-2G", "80%", "2T", "\u0662G", "9999999M", "Infinity")
    ),
    (
        {"memory": {"cache": "2G\nExecStartPre=/bin/true"}},
        "memory.cache = 2G\\nExecStartPre=/bin/true",
        "must be one line of printable text",
        "pulumi config set --path memory.cache 512M --stack dev",
    ),
    (
        {"haproxy": {"checkInterval": "2"}},
        "haproxy.checkInterval = 2",
        "must be a duration with its unit",
        "pulumi config set --path haproxy.checkInterval 2s --stack dev",
    ),
    (
        {"haproxy": {"timeoutServer": "long"}},
        "haproxy.timeoutServer = long",
        "must be a duration with its unit",
        "pulumi config rm --path haproxy.timeoutServer --stack dev",
    ),
    *(
        (
            {"timeouts": {key: "0"}},
            f"timeouts.{key} = 0",
            "must be an integer from 1 to 604800",
            f"pulumi config {remedy} --stack dev",
        )
        for key, remedy in {
            "rpcResponse": "set --path timeouts.rpcResponse 60",
            "uwsgi": "rm --path timeouts.uwsgi",
            "proxyServer": "rm --path timeouts.proxyServer",
            "apiStop": "rm --path timeouts.apiStop",
            "engineGraceful": "set --path timeouts.engineGraceful 60",
            "engineStop": "rm --path timeouts.engineStop",
        }.items()
    ),
    (
        {"timeouts": 90},
        "timeouts = 90",
        "must be an object",
        "pulumi config rm timeouts --stack dev",
    ),
    (
        {"timeouts": {"uwsgi": "60"}},
        "timeouts.uwsgi = 60",
        "must be longer than timeouts.rpcResponse (60 s)",
        "pulumi config set --path timeouts.uwsgi 65 --stack dev",
    ),
    (
        {"timeouts": {"uwsgi": 90, "proxyServer": "80"}},
        "timeouts.proxyServer = 80",
        "must be longer than timeouts.uwsgi (90 s)",
        "pulumi config set --path timeouts.proxyServer 95 --stack dev",
    ),
    (
        {"haproxy": {"timeoutServer": "1m"}},
        "haproxy.timeoutServer = 1m",
        "must be longer than timeouts.uwsgi (65 s, 5 more than timeouts.rpcResponse)",
        "pulumi config set --path haproxy.timeoutServer 70s --stack dev",
    ),
    (
        {"haproxy": {"timeoutServer": "2m"}, "timeouts": {"proxyServer": 100}},
        "haproxy.timeoutServer = 2m",
        "timeouts.proxyServer is the same timeout",
        "pulumi config rm --path haproxy.timeoutServer --stack dev",
    ),
    (
        {"timeouts": {"rpcResponse": "100", "apiStop": 90}},
        "timeouts.apiStop = 90",
        "must be longer than timeouts.uwsgi (105 s, 5 more than timeouts.rpcResponse)",
        "pulumi config set --path timeouts.apiStop 115 --stack dev",
    ),
    (
        {"timeouts": {"engineGraceful": 300, "engineStop": 300}},
        "timeouts.engineStop = 300",
        "must be longer than timeouts.engineGraceful (300 s)",
        "pulumi config set --path timeouts.engineStop 315 --stack dev",
    ),
    (
        {"rpcResponseTimeout": 90},
        "rpcResponseTimeout",
        "did you mean timeouts.rpcResponse",
        "pulumi config rm rpcResponseTimeout --stack dev",
    ),
    (
        {"subnet": "10.0.0.1/24"},
        "subnet = 10.0.0.1/24",
        "must be an IPv4 network with its prefix",
        "pulumi config set subnet 10.0.0.0/24 --stack dev",
    ),
    (
        {"subnet": "fd00::/64"},
        "subnet = fd00::/64",
        "must be an IPv4 network with its prefix",
        "pulumi config set subnet 10.213.77.0/24 --stack dev",
    ),
    (
        {"subnet": "10.0.0.0/255.255.255.0"},
        "subnet = 10.0.0.0/255.255.255.0",
        "must be an IPv4 network with its prefix",
        "pulumi config set subnet 10.0.0.0/24 --stack dev",
    ),
    (
        {"subnet": "10.0.0.0/28", "nodes": "5"},
        "subnet = 10.0.0.0/28",
        "no room for 6 hosts",
        "pulumi config set subnet <a larger IPv4 subnet> --stack dev",
    ),
    (
        {"statsPort": "8004"},
        "statsPort = 8004",
        "apiPort is the same",
        "pulumi config set statsPort 8404 --stack dev",
    ),
    (
        {"apiPort": "8404"},
        "apiPort = 8404",
        "statsPort is the same",
        "pulumi config set apiPort 8004 --stack dev",
    ),
    *(
        (
            {key: str(port)},
            f"{key} = {port}",
            f"{who} listens there",
            f"pulumi config set {key} {default} --stack dev",
        )
        for key, port, who, default in (
            ("apiPort", 3306, "MariaDB", 8004),
            ("cfnPort", 5000, "Keystone", 8000),
            ("statsPort", 5672, "RabbitMQ", 8404),
            ("statsPort", 11211, "memcached", 8404),
            ("apiPort", 22, "sshd", 8004),
        )
    ),
    (
        {"apiPort": "8014", "cfnPort": "8004"},
        "apiPort, cfnPort",
        "share their last digit",
        "pulumi config set apiPort 8004 --stack dev; pulumi config set cfnPort 8000 --stack dev",
    ),
    (
        {"apiPort": "65534", "apis": "3"},
        "apiPort, cfnPort",
        "port 65544 on node-1",
        "pulumi config set apiPort 8004 --stack dev; pulumi config set cfnPort 8000 --stack dev",
    ),
    (
        {"engines": "30", "engineWorkers": "2"},
        "engines = 30",
        "with engineWorkers = 2 the bundled MariaDB serves 55 workers",
        "pulumi config set engines 27 --stack dev",
    ),
    (
        {"engins": "4"},
        "engins",
        "did you mean engines",
        "pulumi config rm engins --stack dev",
    ),
    (
        {"xyzzy": "4"},
        "xyzzy",
        "no such setting",
        "pulumi config rm xyzzy --stack dev",
    ),
    (
        {"haproxy": {"timeoutKlient": "1m"}},
        "haproxy.timeoutKlient",
        "did you mean haproxy.timeoutClient",
        "pulumi config rm --path haproxy.timeoutKlient --stack dev",
    ),
    (
        {"haproxy": {"xyzzy": "1m"}},
        "haproxy.xyzzy",
        "no such setting",
        "pulumi config rm --path haproxy.xyzzy --stack dev",
    ),
]

HOST_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()


def existing(**changed: Any) -> dict[str, Any]:
    """The guide's three hosts, as a stack's file has them; `changed` by path, with __ for a step, None to leave out."""
    hosts: dict[str, Any] = {
        "front": {"address": "10.0.0.1", "hostKey": HOST_KEY},
        "nodes": [
            {"name": "node-b", "address": "10.0.0.2", "hostKey": HOST_KEY},
            {"name": "node-c", "address": "10.0.0.3", "hostKey": HOST_KEY},
        ],
    }
    raw = {"hosts": "existing", "sshPrivateKey": KEY_SECRET, "existing": hosts}
    for path, value in changed.items():
        *steps, last = path.split("__")
        holder: Any = raw
        for step in steps:
            holder = holder[int(step)] if step.isdigit() else holder.setdefault(step, {})
        if value is None:
            del holder[last]
        else:
            holder[last] = value
    return raw


NODE = "existing__nodes__1__"
# The same for existing hosts.
EXISTING_REFUSALS: list[Refusal] = [
    (
        {"sshPrivateKey": None},
        "sshPrivateKey = (none)",
        "neither a key nor an ssh agent",
        "pulumi config set --secret sshPrivateKey --stack dev <~/.ssh/id_ed25519",
    ),
    (
        {"sshPrivateKey": KEY_PLAIN},
        "sshPrivateKey = [not a secret]",
        "must be a secret",
        "pulumi config set --secret sshPrivateKey --stack dev <~/.ssh/id_ed25519",
    ),
    (
        {"existing": "10.0.0.1", "nodes": 2},
        "existing = 10.0.0.1",
        "must be an object",
        "pulumi config rm existing --stack dev",
    ),
    (
        {"existing__nodes": {"node-b": "10.0.0.2"}},
        'existing.nodes = {"node-b": "10.0.0.2"}',
        "must be a list, such as existing.nodes[0].address",
        "pulumi config rm --path existing.nodes --stack dev",
    ),
    (
        {"existing__nodes": []},
        "existing.nodes = []",
        "at least one host must run Heat",
        "pulumi config set --path 'existing.nodes[0].name' node-1 --stack dev",
    ),
    (
        {"nodes": "5"},
        "nodes = 5",
        "those of existing.nodes",
        "pulumi config set nodes 2 --stack dev",
    ),
    (
        {NODE + "adress": "10.0.0.9"},
        "existing.nodes[1].adress",
        "did you mean existing.nodes[1].address",
        "pulumi config rm --path 'existing.nodes[1].adress' --stack dev",
    ),
    (
        {"existing__front__name": "a"},
        "existing.front.name",
        "no such setting",
        "pulumi config rm --path existing.front.name --stack dev",
    ),
    (
        {"existing__front__hostKey": None},
        "existing.front.hostKey = (none)",
        "another machine could pose as this host",
        "make hostkeys STACK=dev",
    ),
    *(
        (
            {NODE + "hostKey": value},
            f"existing.nodes[1].hostKey = {shortened(value)}",
            "must be a public key as ssh-keyscan prints it",
            "make hostkeys STACK=dev",
        )
        for value in ("SHA256:abc", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E=", f"10.0.0.3 {HOST_KEY}")
    ),
    (
        {"existing__jump": {"address": "jump.example"}},
        "existing.jump.hostKey = (none)",
        "another machine could pose as this host",
        "make hostkeys STACK=dev",
    ),
    (
        {"existing__jump": {"address": "a b", "hostKey": HOST_KEY}},
        "existing.jump.address = a b",
        "must be an address or a name",
        "pulumi config set --path existing.jump.address <its address> --stack dev",
    ),
    (
        {"existing__front__address": None},
        "existing.front.address = (none)",
        "must be the IPv4 address",
        "pulumi config set --path existing.front.address <its address> --stack dev",
    ),
    (
        {NODE + "address": "c.example"},
        "existing.nodes[1].address = c.example",
        "must be an IPv4 address",
        "pulumi config set --path 'existing.nodes[1].address' <its address> --stack dev",
    ),
    (
        {"existing__front__address": "127.0.0.1"},
        "existing.front.address = 127.0.0.1",
        "a loopback address leads each to itself",
        "pulumi config set --path existing.front.address <its address> --stack dev",
    ),
    (
        {NODE + "address": "127.0.1.1"},
        "existing.nodes[1].address = 127.0.1.1",
        "a loopback address leads each to itself",
        "pulumi config set --path 'existing.nodes[1].address' <its address> --stack dev",
    ),
    (
        {NODE + "address": "0.0.0.0"},  # noqa: S104
        "existing.nodes[1].address = 0.0.0.0",
        "cannot reach this address",
        "pulumi config set --path 'existing.nodes[1].address' <its address> --stack dev",
    ),
    (
        {NODE + "address": "10.0.0.2"},
        "existing.nodes[1].address = 10.0.0.2",
        "existing.nodes[0] has the same address",
        "pulumi config set --path 'existing.nodes[1].address' <its address> --stack dev",
    ),
    (
        {NODE + "address": "10.0.0.1"},
        "existing.nodes[1].address = 10.0.0.1",
        "existing.front has the same address",
        "pulumi config set --path 'existing.nodes[1].address' <its address> --stack dev",
    ),
    (
        {NODE + "name": "node-b"},
        "existing.nodes[1].name = node-b",
        "existing.nodes[0] has the same name",
        "pulumi config set --path 'existing.nodes[1].name' <a name of its own> --stack dev",
    ),
    *(
        (
            {NODE + "name": value},
            f"existing.nodes[1].name = {value or '(none)'}",
            "lower-case letters, digits and -",
            "pulumi config set --path 'existing.nodes[1].name' node-1 --stack dev",
        )
        for value in ("", "Node", "node_b", "-b", "b.example")
    ),
    *(
        (
            {NODE + "name": value},
            f"existing.nodes[1].name = {value}",
            "names that begin with front",
            "pulumi config set --path 'existing.nodes[1].name' node-1 --stack dev",
        )
        for value in ("front", "front-haproxy")
    ),
    (
        {NODE + "engines": "-1"},
        "existing.nodes[1].engines = -1",
        "must be an integer from 0 to 2000",
        "pulumi config rm --path 'existing.nodes[1].engines' --stack dev",
    ),
    (
        {NODE + "engines": "some"},
        "existing.nodes[1].engines = some",
        "must be an integer from 0 to 2000",
        "pulumi config rm --path 'existing.nodes[1].engines' --stack dev",
    ),
    (
        {NODE + "port": "0"},
        "existing.nodes[1].port = 0",
        "must be an integer from 1 to 65535",
        "pulumi config set --path 'existing.nodes[1].port' 22 --stack dev",
    ),
    (
        {NODE + "port": "8004"},
        "apiPort = 8004",
        "port 8004 of node-c, where sshd does",
        "pulumi config set apiPort <another port> --stack dev",
    ),
    (
        {"existing__front__port": "8404"},
        "statsPort = 8404",
        "sshd listens there",
        "pulumi config set statsPort <another port> --stack dev",
    ),
    (
        {"existing__user": "the operator"},
        "existing.user = the operator",
        "must be a Unix user's name",
        "pulumi config set --path existing.user root --stack dev",
    ),
]


@pytest.mark.parametrize(
    ("changed", "key", "rule", "remedy"), EXISTING_REFUSALS, ids=[json.dumps(case[0]) for case in EXISTING_REFUSALS]
)
def test_an_invalid_host_is_refused_with_what_to_type(
    changed: dict[str, Any], key: str, rule: str, remedy: str
) -> None:
    found = [problem for problem in problems(existing(**changed)) if problem.startswith(key)]
    assert_refused(found, key, rule, remedy)


# The setting of each kind, its total, the nodes' fixed numbers, and what to type.
MISFITS: list[tuple[str, int, list[int | None], str]] = [
    ("engines", 2, [None, 4], "pulumi config set engines 5"),
    ("apis", 3, [4, 0], "pulumi config set apis 4"),
    ("cfnApis", 6, [1, 1], "pulumi config set cfnApis 2"),
    ("engines", 2, [0, 0], "pulumi config rm --path 'existing.nodes[1].engines'"),
]


@pytest.mark.parametrize(("key", "total", "fixed", "remedy"), MISFITS)
def test_fixed_numbers_that_do_not_fit_the_total_are_refused_under_the_key_of_their_kind(
    key: str, total: int, fixed: list[int | None], remedy: str
) -> None:
    raw = existing(**{key: str(total)})
    for node, number in zip(raw["existing"]["nodes"], fixed, strict=True):
        node.update({} if number is None else {key: str(number)})
    (problem,) = problems(raw)
    numbers = [number for number in fixed if number is not None]
    assert problem.startswith(f"{key} = {total}: ")
    assert f"{len(numbers)} of 2 nodes add up to {sum(numbers)}" in problem
    assert problem.endswith(f"Type: {remedy} --stack dev")
    # The remedy is accepted.
    if " set " in remedy:
        raw[key] = remedy.rpartition(" ")[2]
    else:
        del raw["existing"]["nodes"][1][key]
    load(STACK, raw)


def test_fixed_numbers_and_ports_that_do_not_fit_are_reported_at_once() -> None:
    found = problems(existing(**{NODE + "engines": "4", NODE + "apis": "3", "cfnPort": "8014"}))
    assert [problem.partition(":")[0] for problem in found] == ["apiPort, cfnPort", "engines = 2", "apis = 2"]


def test_the_guides_hosts_are_a_deployment() -> None:
    settings = load(STACK, existing(**{NODE + "engines": "2", "engines": "3"}))
    assert settings.addresses == {"front": "10.0.0.1", "node-b": "10.0.0.2", "node-c": "10.0.0.3"}
    engines = [process.node for process in settings.processes if process.kind.value == "heat-engine"]
    assert engines == ["node-b", "node-c", "node-c"]
    assert settings.deployment.urls[Kind.API] == "http://10.0.0.1:8004"
    assert settings.stats_networks == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_a_container_bridge_is_of_no_concern_to_existing_hosts() -> None:
    load(STACK, existing(subnet="10.0.0.0/30"), [(network("10.0.0.0/8"), "eth0")])


def test_all_problems_with_hosts_are_reported_at_once() -> None:
    wrong = {"existing__front__hostKey": None, NODE + "address": "10.0.0.2", NODE + "name": "B", "sshPrivateKey": None}
    assert [problem.partition(" = ")[0] for problem in problems(existing(**wrong))] == [
        "existing.nodes[1].name",
        "sshPrivateKey",
        "existing.front.hostKey",
        "existing.nodes[1].address",
    ]


def test_an_ssh_agent_replaces_a_key() -> None:
    load(STACK, existing(sshPrivateKey=KEY_AGENT))


@pytest.mark.parametrize(("raw", "key", "rule", "remedy"), REFUSALS, ids=[json.dumps(case[0]) for case in REFUSALS])
def test_a_refusal_says_key_value_rule_and_what_to_type(raw: dict[str, Any], key: str, rule: str, remedy: str) -> None:
    assert_refused(problems(raw), key, rule, remedy)


def test_what_a_refusal_says_to_type_is_accepted() -> None:
    """After the commands that a refusal suggests, the settings are accepted."""
    for raw, *_, remedy in REFUSALS:
        mended: dict[str, Any] = json.loads(json.dumps(raw))
        for command in remedy.split("; "):
            words = command.removesuffix(" --stack dev").removeprefix("pulumi config ").replace("--path ", "").split()
            path = re.sub(r"\[.*", "", words[1].strip("'")).split(".")
            holder = mended
            for step in path[:-1]:
                holder = holder.setdefault(step, {})
            if words[0] == "rm":
                del holder[path[-1]]
            elif not words[2].startswith("<"):
                holder[path[-1]] = words[2]
            else:
                holder[path[-1]] = "10.214.0.0/24"
        load(STACK, mended)


def test_every_rule_about_a_value_has_a_refusal_here() -> None:
    refused = {shown.partition(" = ")[0] for _, shown, *_ in REFUSALS}
    for key in keys(Settings):
        if key.format and key.format.example and not key.format.secret and key.default == key.format.example:
            assert key.path in refused


def test_all_problems_are_reported_at_once() -> None:
    found = problems(
        {
            "engins": "4",
            "nodes": "0",
            "apis": "many",
            "region": "",
            "subnet": "10.0.0.1/24",
            "haproxy": {"retries": "0", "timeoutQueue": "60", "unknown": "1"},
        }
    )
    assert [problem.partition(" ")[0].rstrip(":") for problem in found] == [
        "engins",
        "nodes",
        "subnet",
        "haproxy.unknown",
        "haproxy.retries",
        "haproxy.timeoutQueue",
        "apis",
        "region",
    ]


def test_all_conflicts_between_valid_values_are_reported_at_once() -> None:
    found = problems(
        {
            "subnet": "10.0.0.0/24",
            "statsPort": "8004",
            "cfnPort": "8014",
            "engines": "60",
            "haproxy": {"timeoutServer": "10s"},
        },
        [(network("10.0.0.0/16"), "eth0")],
    )
    assert [problem.partition(" ")[0].rstrip(",") for problem in found] == [
        "subnet",
        "statsPort",
        "apiPort",
        "engines",
        "haproxy.timeoutServer",
    ]


def test_the_error_names_the_stack_and_lists_every_problem_on_a_line_of_its_own() -> None:
    error = SettingsError("prod", ["one", "two"])
    assert str(error) == "2 settings of stack prod cannot be used:\n  * one\n  * two"
    assert str(SettingsError("prod", ["one"])) == "one setting of stack prod cannot be used:\n  * one"


def test_the_error_is_one_that_pulumi_shows_without_a_traceback() -> None:
    assert issubclass(SettingsError, pulumi.RunError)


def test_a_list_of_networks_and_single_addresses_may_see_the_statistics() -> None:
    assert load(STACK, {"statsAllow": ["10.0.0.0/8", "192.0.2.1"]}).stats_networks == ("10.0.0.0/8", "192.0.2.1")
    assert load(STACK, {}).stats_networks == ("10.213.77.0/24",)


@given(st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_is_a_number_and_a_unit(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == number * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
    assert seconds(f"{number}") is None
    assert seconds(f"{number} {unit}") is None


def test_only_the_tables_know_the_kinds_of_host() -> None:
    """What a kind is, how its hosts come about, and which settings of its own are checked."""
    assert set(inventory._FINDERS) == set(KINDS)
    assert set(hosts_section._RULES) <= set(KINDS)
    for path in (*(ROOT / "infra").rglob("*.py"), *(ROOT / "components").rglob("*.py")):
        assert not re.search(rf"[!=]= \"({'|'.join(KINDS)})\"|\bhosts (==|!=|in) ", path.read_text()), path


# Pulumi.yaml and the program agree about the settings.


def test_a_stack_without_settings_gets_the_defaults_of_pulumi_yaml() -> None:
    assert load(STACK, {name: key["default"] for name, key in declared().items()}) == load(STACK, {}) == Settings()


def test_the_chain_of_timeouts_is_made_as_its_descriptions_say() -> None:
    unset = {camel(name): info.description or "" for name, info in TimeoutSettings.model_fields.items()}
    for link in LINKS:
        assert unset[camel(link.longer)].endswith(f"Unset: timeouts.{camel(link.shorter)} and {link.margin}.")


def test_the_dev_stack_is_a_deployment() -> None:
    stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    assert all(key.startswith(f"{PROJECT}:") for key in stack)
    assert load("dev", {key.removeprefix(f"{PROJECT}:"): value for key, value in stack.items()}) == Settings()


def read(given: Mapping[str, str]) -> dict[str, Any]:
    def inside() -> dict[str, Any]:
        pulumi.runtime.set_all_config(dict(given))
        return settings.read(pulumi.Config(PROJECT))[0]

    return contextvars.copy_context().run(inside)


def test_what_looks_like_json_is_decoded_and_other_projects_keys_are_left_alone() -> None:
    given = {
        f"{PROJECT}:engines": "4",
        f"{PROJECT}:statsAllow": '["10.0.0.0/8"]',
        f"{PROJECT}:haproxy": '{"retries": 5}',
        f"{PROJECT}:hosts": "containers",
        "openstack:cloud": "dev",
    }
    raw = read(given)
    assert raw == {"engines": "4", "statsAllow": ["10.0.0.0/8"], "haproxy": {"retries": 5}, "hosts": "containers"}
    assert load(STACK, raw).haproxy.retries == 5


def test_the_private_key_is_never_among_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    key = f"{PROJECT}:sshPrivateKey"
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def inside(*secret: str) -> dict[str, Any]:
        pulumi.runtime.set_all_config({key: "-----BEGIN"}, [*secret])
        return settings.read(pulumi.Config(PROJECT))[0]

    assert contextvars.copy_context().run(inside, key) == {"sshPrivateKey": KEY_SECRET}
    assert contextvars.copy_context().run(inside) == {"sshPrivateKey": KEY_PLAIN}
    assert read({key: ""}) == {}
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert read({key: ""}) == read({}) == {"sshPrivateKey": KEY_AGENT}


def test_a_number_is_accepted_in_every_form_that_pulumi_passes() -> None:
    for value in ("4", 4):
        assert load(STACK, {"engines": value}).engines == 4


# The subnet and this machine's routes.


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.sampled_from(["eth0", "*", "cni-podman1"]))
def test_a_route_of_the_kernel_is_read_as_it_was_written(number: int, prefix: int, device: str) -> None:
    route = ipaddress.IPv4Network((number, prefix), strict=False)
    words = [int(address).to_bytes(4, "little").hex().upper() for address in (route.network_address, route.netmask)]
    table = f"Iface\tDestination\tGateway\n{device}\t{words[0]}\t00000000\t0001\t0\t0\t0\t{words[1]}\t0\t0\t0   \n"
    assert parse_routes(table) == [(route, device)]


# As of a machine with a stack of ours: the bridge, and the route that keeps its packets from leaving while it is down.
TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
podman1\t004DD50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t004DD50A\t00000000\t0201\t0\t0\t-1\t00FFFFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_a_routing_table_is_read_with_the_route_that_leads_nowhere() -> None:
    assert parse_routes(TABLE) == [
        (network("0.0.0.0/0"), "eth0"),
        (network("10.213.77.0/24"), "podman1"),
        (network("10.213.77.0/24"), "*"),
        (network("192.0.2.0/24"), "eth0"),
    ]


def test_a_machine_without_routes_has_none() -> None:
    assert parse_routes("") == parse_routes(TABLE.splitlines()[0]) == []


def test_our_own_bridge_is_no_obstacle_to_the_next_up() -> None:
    assert overlapping_routes(network("10.213.77.0/24"), parse_routes(TABLE)) == []
    assert load(STACK, {}, parse_routes(TABLE)) == Settings()


def test_another_route_overlaps_whether_it_is_wider_or_narrower() -> None:
    routes = [(network("10.213.0.0/16"), "tun0"), (network("10.213.77.128/25"), "br0"), (network("10.0.0.0/16"), "x")]
    assert overlapping_routes(network("10.213.77.0/24"), routes) == ["10.213.0.0/16 on tun0", "10.213.77.128/25 on br0"]
    assert_refused(
        problems({}, routes),
        "subnet = 10.213.77.0/24",
        "this machine has a route to 10.213.0.0/16 on tun0, 10.213.77.128/25 on br0",
        "pulumi config set subnet 10.192.0.0/24 --stack dev",
    )


def test_the_subnet_to_type_is_one_that_is_free() -> None:
    assert free_subnet([(network("10.192.0.0/23"), "eth0"), (network("10.192.3.0/24"), "tun0")]) == "10.192.2.0/24"


def test_a_setting_that_begins_like_json_and_is_not_is_a_plain_string() -> None:
    assert settings._decoded("[not json") == "[not json"
    assert settings._decoded('["a"]') == ["a"]


def test_the_default_route_overlaps_nothing_and_neither_do_others_routes_that_lead_nowhere_hide_a_real_one() -> None:
    assert overlapping_routes(network("10.213.77.0/24"), [(network("0.0.0.0/0"), "eth0")]) == []
    wider = [(network("10.213.0.0/16"), "*"), (network("10.213.77.0/24"), "eth0")]
    assert overlapping_routes(network("10.213.77.0/24"), wider) == ["10.213.0.0/16 on *", "10.213.77.0/24 on eth0"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 32), st.integers(0, 2**32 - 1), st.integers(8, 28))
def test_a_subnet_is_free_exactly_when_it_shares_no_address_with_a_route(
    route: int, route_prefix: int, subnet: int, subnet_prefix: int
) -> None:
    there = ipaddress.IPv4Network((route, route_prefix), strict=False)
    planned = ipaddress.IPv4Network((subnet, subnet_prefix), strict=False)
    shared = there[0] <= planned[-1] and planned[0] <= there[-1]
    assert bool(overlapping_routes(planned, [(there, "eth0")])) == shared


@given(st.integers(1, 40), st.integers(16, 27))
def test_hosts_have_addresses_of_their_own_which_more_hosts_do_not_change(count: int, prefix: int) -> None:
    subnet = network(f"10.0.0.0/{prefix}")
    names = [f"host-{ordinal}" for ordinal in range(count)]
    try:
        given = assign_addresses(subnet, names)
    except ValueError:
        assert count > subnet.num_addresses - 2 - 10
        return
    assert len({*given.values()}) == count
    assert all(subnet[0] < ipaddress.IPv4Address(address) < subnet[-1] for address in given.values())
    assert assign_addresses(subnet, names[:-1]).items() <= given.items()


@given(st.sets(st.integers(0, 2**32 - 1), min_size=2, max_size=5))
def test_a_container_keeps_one_hardware_address_of_its_own(numbers: set[int]) -> None:
    macs = [mac_address(str(ipaddress.IPv4Address(number))) for number in sorted(numbers)]
    assert len({*macs}) == len(macs)
    for mac in macs:
        assert re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)
        assert int(mac[:2], 16) & 0b11 == 0b10, "locally administered, and of one machine"


# Numbers that must fit each other.


CHAINS = st.fixed_dictionaries({}, optional={camel(name): st.integers(1, 300) for name in TimeoutSettings.model_fields})


@given(CHAINS)
def test_each_timeout_is_longer_than_the_one_that_it_waits_for(given: dict[str, int]) -> None:
    """In the files on the hosts, for a chain that is accepted or corrected as the refusal says."""
    accepted = mended(given)
    settings = load(STACK, {"timeouts": accepted})
    assert {key: getattr(settings.chain, snake(key)) for key in accepted} == accepted
    deployment = settings.deployment
    conf = options(deployment)["DEFAULT"]
    uwsgi = render(
        "heat/uwsgi.ini.j2",
        kind="heat-api", title="ReST", application="module = m", address="a", processes=1, threads=1, extra=(),
        timeouts=deployment.timeouts, max_body=1, proxy="10.0.0.1",
    )  # fmt: skip
    socket, mercy = (
        int(re.findall(rf"^{name} = (\d+)$", uwsgi, re.MULTILINE)[0])
        for name in ("socket-timeout", "worker-reload-mercy")
    )
    unit = {
        "prefix": "p", "files": [], "title": "ReST", "timeouts": deployment.timeouts, "members": "m", "node": "n",
        "memory": "1G", "checks_per_stack": 8,
    }  # fmt: skip
    api_stop, engine_stop = (
        int(re.findall(r"^TimeoutStopSec=(\d+)$", render(f"heat/{kind}@.service.j2", **unit), re.MULTILINE)[0])
        for kind in ("api", "engine")
    )
    server = seconds(str(settings.haproxy_values["timeout_server"]))
    assert server is not None
    assert int(conf["rpc_response_timeout"]) < socket < server
    assert int(conf["rpc_response_timeout"]) < mercy < api_stop
    # No limit of its own: an engine cuts nothing off.
    assert conf["graceful_shutdown_timeout"] == "0"
    assert deployment.timeouts.engine_graceful < engine_stop


def mended(given: dict[str, int]) -> dict[str, int]:
    try:
        load(STACK, {"timeouts": given})
    except SettingsError as error:
        remedies = re.findall(r"config set --path timeouts\.(\w+) (\d+)", str(error))
        return given | {key: int(value) for key, value in remedies}
    return given


def snake(key: str) -> str:
    return re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", key)


@given(st.integers(1, 300), st.integers(1, 600))
def test_a_server_timeout_is_accepted_exactly_when_it_exceeds_uwsgis(rpc: int, server: int) -> None:
    raw = {"timeouts": {"rpcResponse": rpc}, "haproxy": {"timeoutServer": f"{server}s"}}
    if server > rpc + 5:
        assert load(STACK, raw).haproxy_values["timeout_server"] == f"{server}s"
        load(STACK, raw | {"timeouts": {"rpcResponse": rpc, "proxyServer": server}})
    else:
        assert problems(raw)[0].startswith(f"haproxy.timeoutServer = {server}s: must be longer")


def test_every_broken_link_of_the_chain_is_reported_at_once() -> None:
    wrong = {"uwsgi": 50, "proxyServer": 62, "apiStop": 60, "engineGraceful": 30, "engineStop": 20}
    found = problems({"timeouts": wrong})
    assert [re.findall(r"timeouts\.(\w+) = .*\((\d+) s.*set --path timeouts\.\w+ (\d+)", line) for line in found] == [
        [("uwsgi", "60", "65")],
        [("proxyServer", "65", "70")],
        [("apiStop", "65", "75")],
        [("engineStop", "30", "45")],
    ]


@given(st.integers(1, 80), st.integers(1, 80))
def test_engines_are_accepted_exactly_when_the_database_takes_their_connections(engines: int, workers: int) -> None:
    raw = {"engines": engines, "engineWorkers": workers}
    if engines * workers * 69 + OTHER_CONNECTIONS <= MAX_CONNECTIONS:
        assert load(STACK, raw).engines == engines
    else:
        found = problems(raw)[0]
        assert found.startswith(
            (f"engines = {engines}: with engineWorkers = {workers}", f"engineWorkers = {workers}: ")
        )


def test_a_worker_opens_as_many_connections_as_the_limit_assumes() -> None:
    threads = int(options(Settings().deployment)["DEFAULT"]["executor_thread_pool_size"])
    assert Settings().database_connections_per_worker == threads + 5 == 69
    for said, connections in (
        ({"DEFAULT": {"executor_thread_pool_size": "200"}}, 205),
        ({"DEFAULT": {"executor_thread_pool_size": "32"}}, 55),
        ({"database": {"max_overflow": "100", "max_pool_size": "20"}}, 120),
    ):
        assert (
            Settings(options=OptionSettings.model_validate({"all": said})).database_connections_per_worker
            == connections
        )


def test_the_limit_leaves_every_setting_of_one_engine_a_remedy() -> None:
    assert_refused(
        problems({"engines": "1", "engineWorkers": "100"}),
        "engineWorkers = 100",
        "serves 55 workers",
        "pulumi config set engineWorkers 55 --stack dev",
    )


# An existing control plane.

GIVEN = {
    "databaseUrl": "mysql+pymysql://heat:hunter2@db.example/heat",
    "transportUrl": "rabbit://heat:hunter2@mq.example:5672/heat",
    "servicePassword": "hunter2",
    "stackDomainAdminPassword": "hunter2",
}


def control(secrets: Mapping[str, str] = GIVEN, *, plain: Sequence[str] = (), **parts: Any) -> tuple[str, ...]:
    """The problems of a stack with this control plane; an empty secret is one that is not given."""
    words = {key: KEY_PLAIN if key in plain else KEY_SECRET for key, text in secrets.items() if text}
    raw = {"controlPlane": "existing", "control": {"keystoneUrl": "http://10.0.0.1:5000", **parts}, **words}
    try:
        load(STACK, raw, (), secrets)
    except SettingsError as error:
        return error.problems
    return ()


def test_an_existing_control_plane_needs_only_its_addresses_and_heats_logins() -> None:
    assert control() == ()


ASKED = "pulumi config set --secret {key} --stack dev   (it asks for the value)"
LOOPBACK = "a loopback address leads every host to itself"


@pytest.mark.parametrize(
    ("secrets", "parts", "key", "rule", "remedy"),
    [
        (
            {"databaseUrl": ""},
            {},
            "databaseUrl = (none)",
            "unless database is in control.manage",
            ASKED,
        ),
        (
            {"databaseUrl": ""},
            {"manage": ["database"]},
            "databaseAdminUrl = (none)",
            "control.manage has database",
            ASKED,
        ),
        (
            {"servicePassword": ""},
            {},
            "servicePassword = (none)",
            "unless keystone is in control.manage",
            ASKED,
        ),
        (
            {"databaseUrl": "mysql+pymysql://heat:hunter2@localhost/heat"},
            {},
            "databaseUrl = [secret]",
            LOOPBACK,
            ASKED,
        ),
        (
            {"databaseUrl": "sqlite:////var/heat.db"},
            {},
            "databaseUrl = [secret]",
            "mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
            ASKED,
        ),
        ({"transportUrl": "rabbit://heat:hunter2@127.0.0.1/"}, {}, "transportUrl = [secret]", LOOPBACK, ASKED),
        (
            {"transportUrl": "zmq://mq.example"},
            {},
            "transportUrl = [secret]",
            "its broker is zmq",
            ASKED,
        ),
        (
            {"brokerAdminUrl": "http://mq.example:15672"},
            {},
            "brokerAdminUrl = [secret]",
            "http://USER:PASSWORD@HOST:15672",
            ASKED,
        ),
        (
            {"authEncryptionKey": "short"},
            {},
            "authEncryptionKey = [secret]",
            "must have exactly 32 characters, and has 5",
            ASKED,
        ),
        (
            {},
            {"keystoneUrl": ""},
            "control.keystoneUrl = (none)",
            "must be Keystone's URL",
            "pulumi config set --path control.keystoneUrl http://10.0.0.1:5000 --stack dev",
        ),
        (
            {},
            {"keystoneUrl": "http://k.example:5000/v3"},
            "control.keystoneUrl = http://k.example:5000/v3",
            "must not have a version or a slash at its end",
            "pulumi config set --path control.keystoneUrl http://10.0.0.1:5000 --stack dev",
        ),
        (
            {},
            {"keystoneUrl": "http://localhost:5000"},
            "control.keystoneUrl = http://localhost:5000",
            LOOPBACK,
            "pulumi config set --path control.keystoneUrl http://10.0.0.1:5000 --stack dev",
        ),
        (
            {},
            {"memcached": ["10.0.0.1"]},
            "control.memcached[0] = 10.0.0.1",
            "must be a server and its port",
            "pulumi config set --path 'control.memcached[0]' 10.0.0.1:11211 --stack dev",
        ),
        (
            {},
            {"memcached": ["127.0.0.1:11211"]},
            "control.memcached[0] = 127.0.0.1:11211",
            LOOPBACK,
            "pulumi config set --path 'control.memcached[0]' <its address>:11211 --stack dev",
        ),
        (
            {},
            {"manage": ["databse"]},
            "control.manage[0] = databse",
            "must be database, broker or keystone",
            "pulumi config set --path 'control.manage[0]' database --stack dev",
        ),
        (
            {},
            {"tls": ["keystone"]},
            "control.tls[0] = keystone",
            "must be database or broker",
            "pulumi config set --path 'control.tls[0]' database --stack dev",
        ),
        (
            {},
            {"ca": "/nowhere/ca.pem"},
            "control.ca = /nowhere/ca.pem",
            "no such file",
            "pulumi config set --path control.ca <a PEM file's path> --stack dev",
        ),
    ],
)
def test_a_refusal_of_a_control_plane_says_what_to_type_and_no_secret(
    secrets: dict[str, str], parts: dict[str, Any], key: str, rule: str, remedy: str
) -> None:
    found = control(GIVEN | secrets, **parts)
    assert_refused(found, key, rule, remedy.format(key=key.partition(" ")[0]))
    assert "hunter2" not in found[0]


def test_a_secret_in_plain_text_is_refused_and_not_shown() -> None:
    (problem,) = control(plain=["servicePassword"])
    assert problem.startswith("servicePassword = [not a secret]: must be a secret.")
    assert "hunter2" not in problem


def test_an_existing_control_plane_leaves_ports_free_and_has_its_own_limits() -> None:
    words = dict.fromkeys(GIVEN, KEY_SECRET)
    raw = {"controlPlane": "existing", "control": {"keystoneUrl": "http://10.0.0.1:5000"}, **words}
    assert load(STACK, {**raw, "statsPort": "11211", "engines": "100"}, (), GIVEN).engines == 100


@pytest.mark.parametrize("size", ["64M", "512M", "2G", "infinity"])
def test_a_limit_of_memory_is_what_the_unit_gets_and_the_broker_keeps_below_it(size: str) -> None:
    result = cached(nodes=1, memory={"api": size, "cfnApi": "333M", "broker": size})
    assert f"\nMemoryMax={size}\n" in result.by_name["node-1-heat-api-unit"].text()
    assert f"\nMemoryMax={size}\n" not in result.by_name["node-1-heat-api-cfn-unit"].text()
    said = re.findall(r"vm_memory_high_watermark.absolute = (\d+)MiB", result.by_name["front-rabbitmq-conf"].text())
    assert [int(number) for number in said] == {"64M": [38], "512M": [307], "2G": [1228], "infinity": []}[size]


def test_the_default_memory_limit_grows_with_the_processes_of_a_unit() -> None:
    few, many = load(STACK, {}).memory_limits, load(STACK, {"engineWorkers": 16, "apiProcesses": 8}).memory_limits
    assert (few.engine, few.api, few.cfn_api) == ("4G", "2G", "2G")
    assert (many.engine, many.api, many.cfn_api) == ("16G", "8G", "8G")
    assert load(STACK, {"engineWorkers": 16, "memory": {"engine": "3G"}}).memory_limits.engine == "3G"
