from __future__ import annotations

import contextvars
import dataclasses
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.heat_conf import options
from components.hosts.containers import addresses, machine_routes, overlapping
from components.rendering import render
from infra import settings
from infra.settings import HaproxySettings, Settings, SettingsError, camel, load, seconds
from tests.unit.program import PROJECT, ROOT

STACK = "dev"


def problems(raw: Mapping[str, Any], routes: settings.Routes = ()) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(STACK, raw, routes)
    return caught.value.problems


def network(text: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(text)


def declared() -> dict[str, dict[str, Any]]:
    keys: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return keys


# Each rule's refusal: what is said, to the letter.
REFUSALS: list[tuple[dict[str, Any], str]] = [
    (
        {"hosts": "vms"},
        "hosts = vms: this must be containers. Type: pulumi config set hosts containers --stack dev",
    ),
    (
        {"controlPlane": "none"},
        "controlPlane = none: this must be bundled. Type: pulumi config set controlPlane bundled --stack dev",
    ),
    *(
        (
            {key: "0"},
            f"{key} = 0: at least 1 is wanted. Type: pulumi config set {key} {default} --stack dev",
        )
        for key, default in {
            "nodes": 2,
            "engines": 2,
            "apis": 2,
            "cfnApis": 2,
            "engineWorkers": 1,
            "apiProcesses": 1,
            "apiThreads": 8,
            "rpcResponseTimeout": 60,
            "gracefulShutdownTimeout": 60,
        }.items()
    ),
    *(
        (
            {key: value},
            f"{key} = {value}: a port is 1 to 65535. Type: pulumi config set {key} {default} --stack dev",
        )
        for key, default in {"apiPort": 8004, "cfnPort": 8000, "statsPort": 8404}.items()
        for value in ("0", "65536", "-1")
    ),
    *(
        (
            {"engines": value},
            f"engines = {shown}: a whole number is wanted. Type: pulumi config set engines 2 --stack dev",
        )
        for value, shown in {"four": "four", "1.5": "1.5", "": "", True: "true", 2.5: "2.5"}.items()
    ),
    (
        {"heatVersion": "1.0"},
        "heatVersion = 1.0: no list of its packages is here; known: 27.0.1. "
        "Type: pulumi config set heatVersion 27.0.1 --stack dev",
    ),
    (
        {"region": "Region One"},
        "region = Region One: a region is letters, digits and _.-. "
        "Type: pulumi config set region RegionOne --stack dev",
    ),
    (
        {"statsAllow": "10.0.0.0/8"},
        "statsAllow = 10.0.0.0/8: a list is wanted. Type: pulumi config rm statsAllow --stack dev",
    ),
    (
        {"statsAllow": ["10.0.0.0/8", "everybody"]},
        'statsAllow = ["10.0.0.0/8", "everybody"]: \'everybody\' does not appear to be an IPv4 or IPv6 network. '
        "Type: pulumi config rm statsAllow --stack dev",
    ),
    (
        {"haproxy": "fast"},
        "haproxy = fast: an object is wanted, such as haproxy.timeoutClient. "
        "Type: pulumi config rm haproxy --stack dev",
    ),
    (
        {"haproxy": {"maxconn": "many"}},
        "haproxy.maxconn = many: a whole number is wanted. "
        "Type: pulumi config set --path haproxy.maxconn 8000 --stack dev",
    ),
    (
        {"haproxy": {"retries": 0}},
        "haproxy.retries = 0: at least 1 is wanted. Type: pulumi config set --path haproxy.retries 3 --stack dev",
    ),
    (
        {"haproxy": {"balance": "best"}},
        "haproxy.balance = best: this must be one of source, roundrobin, leastconn, static-rr, random. "
        "Type: pulumi config set --path haproxy.balance source --stack dev",
    ),
    *(
        (
            {"haproxy": {"timeoutClient": value}},
            f"haproxy.timeoutClient = {value}: a duration above 0 with its unit (ms, s, m, h) is wanted. "
            "Type: pulumi config set --path haproxy.timeoutClient 1m --stack dev",
        )
        for value in ("60", "1 m", "0s", "1d", "")
    ),
    (
        {"haproxy": {"checkInterval": "2"}},
        "haproxy.checkInterval = 2: a duration above 0 with its unit (ms, s, m, h) is wanted. "
        "Type: pulumi config set --path haproxy.checkInterval 2s --stack dev",
    ),
    (
        {"haproxy": {"timeoutServer": "long"}},
        "haproxy.timeoutServer = long: a duration above 0 with its unit (ms, s, m, h) is wanted. "
        "Type: pulumi config rm --path haproxy.timeoutServer --stack dev",
    ),
    (
        {"haproxy": {"timeoutServer": "1m"}},
        "haproxy.timeoutServer = 1m: must be longer than rpcResponseTimeout (60 s), or HAProxy gives up before Heat "
        "answers. Type: pulumi config set --path haproxy.timeoutServer 70s --stack dev",
    ),
    (
        {"subnet": "10.0.0.1/24"},
        "subnet = 10.0.0.1/24: 10.0.0.1/24 has host bits set. "
        "Type: pulumi config set subnet 10.213.77.0/24 --stack dev",
    ),
    (
        {"subnet": "fd00::/64"},
        "subnet = fd00::/64: Expected 4 octets in 'fd00::'. Type: pulumi config set subnet 10.213.77.0/24 --stack dev",
    ),
    (
        {"subnet": "10.0.0.0/28", "nodes": "5"},
        "subnet = 10.0.0.0/28: 10.0.0.0/28 has no room for 6 hosts from its address 10 on. "
        "Type: pulumi config set subnet <a larger IPv4 subnet> --stack dev",
    ),
    (
        {"statsPort": "8004"},
        "statsPort = 8004: apiPort is the same. Type: pulumi config set statsPort 8404 --stack dev",
    ),
    (
        {"apiPort": "8404"},
        "apiPort = 8404: statsPort is the same. Type: pulumi config set apiPort 8004 --stack dev",
    ),
    *(
        (
            {key: str(port)},
            f"{key} = {port}: {who} listens there on the front host. "
            f"Type: pulumi config set {key} {default} --stack dev",
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
        "apiPort, cfnPort: ports 8014 and 8004 share their last digit: APIs take every 10th port, so theirs would "
        "meet. Type: pulumi config set apiPort 8004 --stack dev; pulumi config set cfnPort 8000 --stack dev",
    ),
    (
        {"apiPort": "65534", "apis": "3"},
        "apiPort, cfnPort: heat-api: port 65544 on node-1 is beyond 65535. "
        "Type: pulumi config set apiPort 8004 --stack dev; pulumi config set cfnPort 8000 --stack dev",
    ),
    (
        {"engines": "30", "engineWorkers": "2"},
        "engines = 30: with engineWorkers = 2 the bundled MariaDB carries 55 workers in all. "
        "Type: pulumi config set engines 27 --stack dev",
    ),
    (
        {"engins": "4"},
        "engins: there is no such setting, did you mean engines? Type: pulumi config rm engins --stack dev",
    ),
    (
        {"xyzzy": "4"},
        "xyzzy: there is no such setting. Type: pulumi config rm xyzzy --stack dev",
    ),
    (
        {"haproxy": {"timeoutKlient": "1m"}},
        "haproxy.timeoutKlient: there is no such setting, did you mean haproxy.timeoutClient? "
        "Type: pulumi config rm --path haproxy.timeoutKlient --stack dev",
    ),
    (
        {"haproxy": {"xyzzy": "1m"}},
        "haproxy.xyzzy: there is no such setting. Type: pulumi config rm --path haproxy.xyzzy --stack dev",
    ),
]


@pytest.mark.parametrize(("raw", "told"), REFUSALS, ids=[json.dumps(raw) for raw, _ in REFUSALS])
def test_a_refusal_says_key_value_rule_and_what_to_type(raw: dict[str, Any], told: str) -> None:
    assert problems(raw) == (told,)


def test_what_a_refusal_says_to_type_is_accepted() -> None:
    """Every remedy that is a whole command is done, and the deployment can be had."""
    for raw, told in REFUSALS:
        mended: dict[str, Any] = json.loads(json.dumps(raw))
        for command in told.partition("Type: ")[2].split("; "):
            words = command.removesuffix(" --stack dev").removeprefix("pulumi config ").replace("--path ", "").split()
            path = words[1].split(".")
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
    told = " ".join(told for _, told in REFUSALS)
    for group in (settings._CHOICES, settings._PORTS, settings._AT_LEAST_ONE):
        for name in group:
            assert f"{camel(name)} = " in told


def test_all_problems_are_told_at_once() -> None:
    told = problems(
        {
            "engins": "4",
            "nodes": "0",
            "apis": "many",
            "region": "",
            "subnet": "10.0.0.1/24",
            "haproxy": {"retries": "0", "timeoutQueue": "60", "unknown": "1"},
        }
    )
    assert [problem.partition(" ")[0].rstrip(":") for problem in told] == [
        "engins",
        "apis",
        "haproxy.unknown",
        "nodes",
        "region",
        "subnet",
        "haproxy.retries",
        "haproxy.timeoutQueue",
    ]


def test_all_problems_between_good_values_are_told_at_once() -> None:
    told = problems(
        {
            "subnet": "10.0.0.0/24",
            "statsPort": "8004",
            "cfnPort": "8014",
            "engines": "60",
            "haproxy": {"timeoutServer": "10s"},
        },
        [(network("10.0.0.0/16"), "eth0")],
    )
    assert [problem.partition(" ")[0].rstrip(",") for problem in told] == [
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


# What Pulumi.yaml and the program say of the settings.


def test_the_fields_of_settings_are_the_keys_of_pulumi_yaml_in_its_order() -> None:
    assert [camel(item.name) for item in dataclasses.fields(Settings)] == list(declared())


def test_types_and_defaults_of_settings_are_those_of_pulumi_yaml() -> None:
    types = {"str": "string", "int": "integer", "tuple[str, ...]": "array", "HaproxySettings": "object"}
    for item in dataclasses.fields(Settings):
        key = declared()[camel(item.name)]
        assert types[str(item.type)] == key["type"], item.name
        if item.default is dataclasses.MISSING:
            assert item.default_factory is HaproxySettings
            assert key["default"] == {}
        else:
            default = list(item.default) if isinstance(item.default, tuple) else item.default
            assert (key["default"], type(key["default"])) == (default, type(default)), item.name


def test_every_key_of_pulumi_yaml_says_what_it_is() -> None:
    for name, key in declared().items():
        assert set(key) <= {"type", "items", "default", "description"}, name
        assert key["description"], name


def test_a_stack_that_says_nothing_gets_what_pulumi_yaml_says() -> None:
    assert load(STACK, {name: key["default"] for name, key in declared().items()}) == load(STACK, {}) == Settings()


def test_haproxys_defaults_are_those_that_its_description_lists() -> None:
    listed = declared()["haproxy"]["description"].partition(": ")[2]
    told = dict(re.findall(r"(\w+) (\([^)]*\)|[^,]+)", listed))
    assert told.pop("timeoutServer") == "(rpcResponseTimeout and 10 s)"
    assert HaproxySettings.timeout_server is None
    fields = {camel(item.name): str(item.default) for item in dataclasses.fields(HaproxySettings)}
    assert told == {key: value for key, value in fields.items() if key != "timeoutServer"}


def test_the_dev_stack_is_a_deployment() -> None:
    stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    assert all(key.startswith(f"{PROJECT}:") for key in stack)
    assert load("dev", {key.removeprefix(f"{PROJECT}:"): value for key, value in stack.items()}) == Settings()


def read(given: Mapping[str, str]) -> dict[str, Any]:
    def inside() -> dict[str, Any]:
        pulumi.runtime.set_all_config(dict(given))
        return settings.read(pulumi.Config(PROJECT))

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


def test_a_number_is_good_in_every_form_that_pulumi_hands_it_over() -> None:
    for value in ("4", 4):
        assert load(STACK, {"engines": value}).engines == 4


# The subnet and this machine's routes.


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.sampled_from(["eth0", "*", "cni-podman1"]))
def test_a_route_of_the_kernel_is_read_as_it_was_written(number: int, prefix: int, device: str) -> None:
    route = ipaddress.IPv4Network((number, prefix), strict=False)
    words = [int(address).to_bytes(4, "little").hex().upper() for address in (route.network_address, route.netmask)]
    table = f"Iface\tDestination\tGateway\n{device}\t{words[0]}\t00000000\t0001\t0\t0\t0\t{words[1]}\t0\t0\t0   \n"
    assert machine_routes(table) == [(route, device)]


# As of a machine with a stack of ours: the bridge, and the route that keeps its packets from leaving while it is down.
TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
podman1\t004DD50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t004DD50A\t00000000\t0201\t0\t0\t-1\t00FFFFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_a_routing_table_is_read_with_the_route_that_leads_nowhere() -> None:
    assert machine_routes(TABLE) == [
        (network("0.0.0.0/0"), "eth0"),
        (network("10.213.77.0/24"), "podman1"),
        (network("10.213.77.0/24"), "*"),
        (network("192.0.2.0/24"), "eth0"),
    ]


def test_a_machine_without_routes_has_none() -> None:
    assert machine_routes("") == machine_routes(TABLE.splitlines()[0]) == []


def test_our_own_bridge_is_no_obstacle_to_the_next_up() -> None:
    assert overlapping(network("10.213.77.0/24"), machine_routes(TABLE)) == []
    assert load(STACK, {}, machine_routes(TABLE)) == Settings()


def test_a_strangers_route_is_one_whether_it_is_wider_or_narrower() -> None:
    routes = [(network("10.213.0.0/16"), "tun0"), (network("10.213.77.128/25"), "br0"), (network("10.0.0.0/16"), "x")]
    assert overlapping(network("10.213.77.0/24"), routes) == ["10.213.0.0/16 on tun0", "10.213.77.128/25 on br0"]
    assert problems({}, routes) == (
        "subnet = 10.213.77.0/24: this machine has a route to 10.213.0.0/16 on tun0, 10.213.77.128/25 on br0, and the "
        "containers' bridge would take its traffic. Type: pulumi config set subnet <a free IPv4 subnet, such as "
        "10.214.0.0/24> --stack dev",
    )


def test_the_default_route_overlaps_nothing_and_neither_do_others_routes_that_lead_nowhere_hide_a_real_one() -> None:
    assert overlapping(network("10.213.77.0/24"), [(network("0.0.0.0/0"), "eth0")]) == []
    wider = [(network("10.213.0.0/16"), "*"), (network("10.213.77.0/24"), "eth0")]
    assert overlapping(network("10.213.77.0/24"), wider) == ["10.213.0.0/16 on *", "10.213.77.0/24 on eth0"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 32), st.integers(0, 2**32 - 1), st.integers(8, 28))
def test_a_subnet_is_free_exactly_when_it_shares_no_address_with_a_route(
    route: int, route_prefix: int, subnet: int, subnet_prefix: int
) -> None:
    there = ipaddress.IPv4Network((route, route_prefix), strict=False)
    wanted = ipaddress.IPv4Network((subnet, subnet_prefix), strict=False)
    shared = there[0] <= wanted[-1] and wanted[0] <= there[-1]
    assert bool(overlapping(wanted, [(there, "eth0")])) == shared


@given(st.integers(1, 40), st.integers(16, 27))
def test_hosts_have_addresses_of_their_own_which_more_hosts_do_not_change(count: int, prefix: int) -> None:
    subnet = network(f"10.0.0.0/{prefix}")
    names = [f"host-{ordinal}" for ordinal in range(count)]
    try:
        given = addresses(subnet, names)
    except ValueError:
        assert count > subnet.num_addresses - 2 - 10
        return
    assert len({*given.values()}) == count
    assert all(subnet[0] < ipaddress.IPv4Address(address) < subnet[-1] for address in given.values())
    assert addresses(subnet, names[:-1]).items() <= given.items()


# Numbers that have to fit one another.


@given(st.integers(1, 3600), st.integers(1, 3600))
def test_everybody_waits_longer_than_what_they_wait_for(rpc: int, graceful: int) -> None:
    wanted = load(STACK, {"rpcResponseTimeout": rpc, "gracefulShutdownTimeout": graceful})
    conf = options(wanted.deployment)["DEFAULT"]
    assert (conf["rpc_response_timeout"], conf["graceful_shutdown_timeout"]) == (str(rpc), str(graceful))
    uwsgi = render(
        "heat/uwsgi.ini.j2",
        kind="heat-api",
        title="ReST",
        module="m",
        address="a",
        processes=1,
        threads=1,
        rpc_response_timeout=rpc,
    )
    socket, mercy = (
        int(re.findall(rf"^{name} = (\d+)$", uwsgi, re.MULTILINE)[0])
        for name in ("socket-timeout", "worker-reload-mercy")
    )
    unit = {"prefix": "p", "files": [], "title": "ReST"}
    stops = {
        kind: int(re.findall(r"^TimeoutStopSec=(\d+)$", render(f"heat/{kind}@.service.j2", **unit, **waits), re.M)[0])
        for kind, waits in {
            "api": {"rpc_response_timeout": rpc},
            "engine": {"graceful_shutdown_timeout": graceful},
        }.items()
    }
    server = seconds(wanted.timeout_server)
    assert server is not None
    assert rpc < socket < server
    assert rpc < mercy < stops["api"]
    assert graceful < stops["engine"]


@given(st.integers(1, 300), st.integers(1, 600))
def test_a_server_timeout_is_accepted_exactly_when_it_exceeds_heats_own(rpc: int, server: int) -> None:
    raw = {"rpcResponseTimeout": rpc, "haproxy": {"timeoutServer": f"{server}s"}}
    if server > rpc:
        assert load(STACK, raw).timeout_server == f"{server}s"
    else:
        assert problems(raw)[0].startswith(f"haproxy.timeoutServer = {server}s: must be longer")


@given(st.integers(1, 80), st.integers(1, 80))
def test_engines_are_accepted_exactly_when_the_database_takes_their_connections(engines: int, workers: int) -> None:
    raw = {"engines": engines, "engineWorkers": workers}
    if engines * workers * settings.WORKER_CONNECTIONS + settings.OTHER_CONNECTIONS <= settings.MAX_CONNECTIONS:
        assert load(STACK, raw).engines == engines
    else:
        told = problems(raw)[0]
        assert told.startswith((f"engines = {engines}: with engineWorkers = {workers}", f"engineWorkers = {workers}: "))


def test_a_worker_opens_as_many_connections_as_the_limit_reckons_with() -> None:
    pool = int(options(Settings().deployment)["DEFAULT"]["executor_thread_pool_size"])
    assert pool + 5 == settings.WORKER_CONNECTIONS


def test_the_limit_leaves_every_setting_of_one_engine_a_remedy() -> None:
    assert problems({"engines": "1", "engineWorkers": "100"}) == (
        "engineWorkers = 100: the bundled MariaDB carries 55 workers in all. "
        "Type: pulumi config set engineWorkers 55 --stack dev",
    )
