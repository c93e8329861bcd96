"""A load balancer of Octavia instead of HAProxy: its resources, and the refusals of settings that it does not have."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from infra.settings.proxy import HaproxySettings
from tests.unit.fake_cloud import FakeCloud
from tests.unit.program import BALANCER, BALANCER_IP, BALANCER_VIP, FLOATING_IP, Resource, balanced_sample, vm_sample
from tests.unit.refused import Refusal, assert_refused
from tests.unit.sample import parsed
from tests.unit.test_cloud import shortfalls, up
from tests.unit.test_firewall import CLIENTS, FROM_NODES, OPERATOR, SSH, rules_of
from tests.unit.test_openstack_settings import problems, vms

LISTENER, POOL, MONITOR, MEMBERS = (
    f"openstack:loadbalancer/{kind[0].lower()}{kind[1:]}:{kind}" for kind in ("Listener", "Pool", "Monitor", "Members")
)


def of_type(kind: str, **config: object) -> list[Resource]:
    return [resource for resource in balanced_sample(**config).registered if resource.type == kind]


# Its resources.


def test_it_is_in_the_hosts_network_and_has_a_public_address() -> None:
    (made,) = of_type(BALANCER)
    assert made.inputs["vipSubnetId"] == "subnet-id"
    association = balanced_sample().by_name["load-balancer-floating-ip-association"].inputs
    assert (association["floatingIp"], association["portId"]) == (BALANCER_IP, "vip-port-id")


def test_there_is_no_haproxy_and_the_front_host_is_still_the_jump_host() -> None:
    result = balanced_sample()
    assert [name for name in result.by_name if "haproxy" in name] == []
    assert "haproxyStatsUrl" not in result.outputs
    assert result.by_name["front-ready"].connection["host"] == FLOATING_IP


def test_each_api_has_a_listener_for_clients_and_hosts() -> None:
    listeners = {one.inputs["name"]: one.inputs for one in of_type(LISTENER)}
    assert {name: (one["protocol"], one["protocolPort"]) for name, one in listeners.items()} == {
        "heat-sample-rest_api_proxy": ("HTTP", 8004),
        "heat-sample-cfn_api_proxy": ("HTTP", 8000),
    }
    for one in listeners.values():
        assert one["loadbalancerId"] == "load-balancer-id"
        assert one["allowedCidrs"] == ["10.0.0.0/24", "198.51.100.0/24"]
        assert one["insertHeaders"] == {"X-Forwarded-For": "true"}


def test_its_defaults_are_those_of_haproxy() -> None:
    default = HaproxySettings()
    for one in of_type(LISTENER):
        # The chain of timeouts: longer than uWSGI's 65 s.
        assert (one.inputs["timeoutMemberData"], one.inputs["connectionLimit"]) == (70_000, default.maxconn)
        assert (one.inputs["timeoutClientData"], one.inputs["timeoutMemberConnect"]) == (60_000, 10_000)
    assert {one.inputs["lbMethod"] for one in of_type(POOL)} == {"SOURCE_IP"}
    for one in of_type(MONITOR):
        assert (one.inputs["type"], one.inputs["urlPath"]) == ("HTTP", "/healthcheck")
        assert (one.inputs["httpMethod"], one.inputs["expectedCodes"]) == ("GET", "200")
        assert (one.inputs["maxRetriesDown"], one.inputs["maxRetries"]) == (default.check_fall, default.check_rise)
        # The answer must come before the next check.
        assert (one.inputs["delay"], one.inputs["timeout"]) == (2, 1)


def test_its_limits_and_timeouts_follow_the_settings() -> None:
    haproxy = {
        "maxconn": 100, "balance": "leastconn", "timeoutConnect": "3s", "timeoutClient": "2m", "timeoutCheck": "4s",
        "checkInterval": "5s", "checkFall": 4, "checkRise": 3,
    }  # fmt: skip
    changed = {"haproxy": haproxy, "timeouts": {"proxyServer": 100}}
    for one in of_type(LISTENER, **changed):
        assert (one.inputs["timeoutMemberData"], one.inputs["connectionLimit"]) == (100_000, 100)
        assert (one.inputs["timeoutClientData"], one.inputs["timeoutMemberConnect"]) == (120_000, 3_000)
    assert {one.inputs["lbMethod"] for one in of_type(POOL, **changed)} == {"LEAST_CONNECTIONS"}
    for one in of_type(MONITOR, **changed):
        assert (one.inputs["delay"], one.inputs["timeout"]) == (5, 4)
        assert (one.inputs["maxRetriesDown"], one.inputs["maxRetries"]) == (4, 3)


def test_every_planned_api_is_a_member_once_it_runs_and_other_apis_stop_afterwards() -> None:
    result = balanced_sample(apis=3)
    apis = [one for one in result.outputs["processes"] if "port" in one]
    members_of_all = [member for one in of_type(MEMBERS, apis=3) for member in one.inputs["members"]]
    assert {(one["address"], one["protocolPort"]) for one in members_of_all} == {
        (one["address"], one["port"]) for one in apis
    }
    assert {one["subnetId"] for one in members_of_all} == {"subnet-id"}
    for members in of_type(MEMBERS, apis=3):
        for api in apis:
            unit = f"{api['node']}-{api['unit'].replace('@', '-')}"
            assert unit in result.before(members.name)
        for node in ("node-1", "node-2"):
            assert members.name in result.before(f"{node}-retire")
            # It is removed before the teardown of its node.
            assert f"{node}-leave" in result.before(members.name)


def test_a_load_balancer_takes_one_change_at_a_time() -> None:
    result = balanced_sample()
    parts = [one.name for one in result.registered if one.type in (LISTENER, POOL, MONITOR, MEMBERS)]
    for earlier, later in itertools.combinations(parts, 2):
        assert earlier in result.before(later) or later in result.before(earlier)


# What clients and APIs get.


def test_clients_get_its_address_and_the_front_hosts_for_keystone() -> None:
    result = balanced_sample()
    conf = parsed(result.by_name["node-1-heat-conf"].text())
    assert conf["DEFAULT"]["heat_metadata_server_url"] == f"http://{BALANCER_IP}:8000"
    assert result.outputs["heatApiUrl"] == f"http://{BALANCER_IP}:8004"
    assert result.outputs["heatCfnUrl"] == f"http://{BALANCER_IP}:8000/v1/"
    assert result.outputs["keystoneUrl"] == f"http://{FLOATING_IP}:5000/v3"
    assert f"http://{BALANCER_IP}:8004" in result.by_name["node-1-identity"].text()


def test_the_check_at_the_end_goes_through_it() -> None:
    text = balanced_sample().by_name["front-check"].text()
    spec = json.loads(text.partition("END_OF_SPEC'\n")[2].rpartition("\nEND")[0])
    assert [api["url"] for api in spec["apis"]] == [f"http://{BALANCER_VIP}:8004", f"http://{BALANCER_VIP}:8000"]
    assert spec["socket"] == ""


def test_apis_do_not_trust_forwarding_headers() -> None:
    """Octavia does not remove them, as HAProxy does."""
    conf = parsed(balanced_sample().by_name["node-1-heat-conf"].text())
    assert conf["oslo_middleware"]["enable_proxy_headers_parsing"] == "false"
    conf = parsed(vm_sample().by_name["node-1-heat-conf"].text())
    assert conf["oslo_middleware"]["enable_proxy_headers_parsing"] == "true"


def test_without_a_floating_ip_clients_use_its_own_address() -> None:
    openstack = {"sshFrom": ["198.51.100.0/24"], "loadBalancerFloatingIp": "none"}
    result = balanced_sample(openstack=openstack)
    assert "load-balancer-floating-ip-association" not in result.by_name
    assert result.outputs["heatApiUrl"] == f"http://{BALANCER_VIP}:8004"


def test_its_address_is_protected() -> None:
    result = balanced_sample()
    for name in ("load-balancer", "load-balancer-floating-ip"):
        assert result.by_name[name].request.protect


def test_a_preview_with_nothing_known_yet_shows_the_same_resources() -> None:
    known = balanced_sample()
    preview = up(FakeCloud(), preview=True, subnet="10.0.0.0/24", loadBalancer="octavia")
    assert preview.by_name.keys() == known.by_name.keys()


# Its access to the hosts.


def test_it_reaches_the_apis_and_clients_reach_a_host_for_keystone_only() -> None:
    from_balancer = {("nodes", port, "10.213.77.0/24") for port in (8004, 8000)}
    assert rules_of(loadBalancer="octavia") == SSH | FROM_NODES | from_balancer | {("front", 5000, CLIENTS)}
    assert OPERATOR not in {source for _, port, source in rules_of(loadBalancer="octavia") if port != 22}


# Refusals.


def octavia(**more: Any) -> dict[str, Any]:
    return vms(more={"loadBalancer": "octavia", **more})


REFUSALS: list[Refusal] = [
    (
        {"loadBalancer": "octavia"},
        "loadBalancer = octavia",
        "requires hosts: openstack",
        "pulumi config set loadBalancer haproxy --stack dev",
    ),
    (
        octavia(statsAllow=["192.0.2.0/24"]),
        'statsAllow = ["192.0.2.0/24"]',
        "Octavia has none",
        "pulumi config rm statsAllow --stack dev",
    ),
    (
        octavia(haproxy={"balance": "random"}),
        "haproxy.balance = random",
        "must be one of source, roundrobin, leastconn",
        "pulumi config set --path haproxy.balance source --stack dev",
    ),
    *(
        (
            octavia(haproxy={key: value}),
            f"haproxy.{key} = {shown}",
            "Octavia has nothing like it",
            f"pulumi config rm --path haproxy.{key} --stack dev",
        )
        for key, value, shown in (
            ("retries", 5, "5"),
            ("globalMaxconn", 9000, "9000"),
            ("timeoutQueue", "2m", "2m"),
            ("timeoutHttpRequest", "20s", "20s"),
            ("checkFastInterval", "1s", "1s"),
            ("apiExtra", ["http-request deny"], '["http-request deny"]'),
        )
    ),
    *(
        (
            octavia(haproxy={"checkInterval": value}),
            f"haproxy.checkInterval = {value}",
            "must be whole seconds, 2 at least",
            "pulumi config set --path haproxy.checkInterval 2s --stack dev",
        )
        for value in ("1s", "2500ms")
    ),
    (
        octavia(haproxy={"timeoutCheck": "500ms"}),
        "haproxy.timeoutCheck = 500ms",
        "must be whole seconds, 1 at least",
        "pulumi config set --path haproxy.timeoutCheck 2s --stack dev",
    ),
    (
        octavia(haproxy={"checkFall": 11}),
        "haproxy.checkFall = 11",
        "Octavia counts to 10 at most",
        "pulumi config set --path haproxy.checkFall 3 --stack dev",
    ),
    (
        octavia(haproxy={"timeoutClient": "25h"}),
        "haproxy.timeoutClient = 25h",
        "Octavia waits for a day at most",
        "pulumi config set --path haproxy.timeoutClient 1m --stack dev",
    ),
    (
        octavia(haproxy={"timeoutServer": "25h"}),
        "haproxy.timeoutServer = 25h",
        "Octavia waits for a day at most",
        "pulumi config rm --path haproxy.timeoutServer --stack dev",
    ),
    (
        octavia(haproxy={"checkInterval": "20s"}),
        "haproxy.checkInterval = 20s",
        "needs 80 s to take an API out",
        "pulumi config set --path haproxy.checkInterval 2s --stack dev",
    ),
    (
        vms(loadBalancerProvider="amphora"),
        "openstack.loadBalancerProvider = amphora",
        "loadBalancer octavia",
        "pulumi config set loadBalancer octavia --stack dev",
    ),
    (
        vms(loadBalancerFloatingIp="public", more={"loadBalancer": "octavia"}),
        "openstack.loadBalancerFloatingIp = public",
        "must be new, none or the IPv4 address",
        "pulumi config set --path openstack.loadBalancerFloatingIp new --stack dev",
    ),
]


@pytest.mark.parametrize(("raw", "key", "rule", "remedy"), REFUSALS, ids=[json.dumps(case[0]) for case in REFUSALS])
def test_a_wrong_setting_is_refused_with_what_to_type(raw: dict[str, Any], key: str, rule: str, remedy: str) -> None:
    assert_refused(problems(raw), key, rule, remedy)


def test_a_cloud_without_load_balancers_is_refused_before_anything_is_made() -> None:
    assert_refused(
        shortfalls(FakeCloud(has_balancers=False), loadBalancer="octavia"),
        "loadBalancer = octavia",
        "no load balancers",
        "pulumi config set loadBalancer haproxy --stack sample",
    )


def test_with_haproxy_a_cloud_needs_no_load_balancer() -> None:
    assert "front-haproxy" in up(FakeCloud(has_balancers=False)).by_name


def test_its_address_and_its_port_are_counted() -> None:
    cloud = FakeCloud(network_quota={"floatingip": 1, "port": 8})
    # Three hosts, the router, DHCP and the load balancer, in addition to three of others.
    assert [problem.partition(". Type")[0] for problem in shortfalls(cloud, loadBalancer="octavia")] == [
        "nodes = 2: ports: 6 required, but only 5 of the project's quota of 8 are left",
        "hosts = openstack: floating IPs: 2 required, but only 1 of the project's quota of 1 are left",
    ]


def test_a_given_address_must_belong_to_the_project() -> None:
    (message,) = shortfalls(FakeCloud(), {"loadBalancerFloatingIp": "203.0.113.99"}, loadBalancer="octavia")
    assert message.startswith("openstack.loadBalancerFloatingIp = 203.0.113.99: the cloud has no floating IP")
