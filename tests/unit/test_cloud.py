"""All shortfalls of a cloud are reported together, before anything is created."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.hosts.cloud import quota_shortfall
from infra.settings.load import SettingsError
from tests.unit.fake_cloud import FakeCloud, unlimited
from tests.unit.program import Run, run
from tests.unit.refused import assert_refused

SSH_FROM = {"sshFrom": ["198.51.100.0/24"]}


def up(cloud: FakeCloud, openstack: dict[str, Any] | None = None, **more: Any) -> Run:
    return run(cloud=cloud, hosts="openstack", openstack=SSH_FROM | (openstack or {}), **more)


def shortfalls(cloud: FakeCloud, openstack: dict[str, Any] | None = None, **more: Any) -> tuple[str, ...]:
    """The messages about a cloud's shortfalls."""
    with pytest.raises(SettingsError) as error:
        up(cloud, openstack, **more)
    return error.value.problems


def test_a_sufficient_cloud_has_no_shortfall() -> None:
    assert up(FakeCloud()).by_name["front-machine"].inputs["imageId"] == "image-1"


NOT_THERE: list[tuple[FakeCloud, dict[str, Any], str, str, str]] = [
    (
        FakeCloud(images={}),
        {},
        "openstack.image = debian-12",
        "no image",
        "pulumi config set --path openstack.image <another value> --stack sample",
    ),
    (
        FakeCloud(),
        {"frontFlavor": "m1.huge"},
        "openstack.frontFlavor = m1.huge",
        "no flavor",
        "pulumi config set --path openstack.frontFlavor <another value> --stack sample",
    ),
    (
        FakeCloud(networks=[]),
        {},
        "openstack.externalNetwork = (none)",
        "no external network",
        "pulumi config set --path openstack.externalNetwork <another value> --stack sample",
    ),
    (
        FakeCloud(networks=[{"id": name, "name": name, "external": True} for name in ("one", "two")]),
        {},
        "openstack.externalNetwork = (none)",
        "more than one external network",
        "pulumi config set --path openstack.externalNetwork <another value> --stack sample",
    ),
    (
        FakeCloud(),
        {"network": "nowhere", "firstAddress": "10.213.77.20"},
        "openstack.network = nowhere",
        "no network",
        "pulumi config set --path openstack.network <another value> --stack sample",
    ),
    (
        FakeCloud(),
        {"network": "office"},
        "subnet = 10.213.77.0/24",
        "no subnet",
        "pulumi config set subnet <another value> --stack sample",
    ),
    (
        FakeCloud(),
        {"floatingIp": "203.0.113.10"},
        "openstack.floatingIp = 203.0.113.10",
        "no floating IP",
        "pulumi config set --path openstack.floatingIp <another value> --stack sample",
    ),
    (
        FakeCloud(floating_ips={"203.0.113.9": "10.9.9.9"}),
        {"floatingIp": "203.0.113.9"},
        "openstack.floatingIp = 203.0.113.9",
        "already associated with 10.9.9.9",
        "pulumi config set --path openstack.floatingIp <another value> --stack sample",
    ),
    (
        FakeCloud(),
        {"availabilityZones": ["nova", "az-9"]},
        "openstack.availabilityZones[1] = az-9",
        "it has nova, az-2",
        "pulumi config set --path 'openstack.availabilityZones[1]' <another value> --stack sample",
    ),
    (
        FakeCloud(images={"debian-12": {"id": "i", "minDiskGb": 30, "minRamMb": 0}}),
        {},
        "openstack.nodeFlavor = m1.small",
        "the disk has 20 GB, and the image requires 30",
        "pulumi config set --path openstack.nodeFlavor <another value> --stack sample",
    ),
    (
        FakeCloud(images={"debian-12": {"id": "i", "minDiskGb": 0, "minRamMb": 3000}}),
        {},
        "openstack.nodeFlavor = m1.small",
        "it has 2048 MB of memory, and the image requires 3000",
        "pulumi config set --path openstack.nodeFlavor <another value> --stack sample",
    ),
    (
        FakeCloud(flavors={"tiny": {"id": "f", "ram": 2048, "vcpus": 1, "disk": 0}, **FakeCloud().flavors}),
        {"nodeFlavor": "tiny"},
        "openstack.bootVolume = 0",
        "flavor tiny has no disk of its own",
        "pulumi config set --path openstack.bootVolume <another value> --stack sample",
    ),
]


@pytest.mark.parametrize(
    ("cloud", "openstack", "key", "rule", "remedy"), NOT_THERE, ids=[f"{key}: {rule}" for *_, key, rule, _ in NOT_THERE]
)
def test_a_missing_thing_is_reported_with_a_remedy(
    cloud: FakeCloud, openstack: dict[str, Any], key: str, rule: str, remedy: str
) -> None:
    assert_refused(shortfalls(cloud, openstack), key, rule, remedy)


def test_a_boot_volume_replaces_a_disk_that_is_too_small_for_the_image() -> None:
    image = {"id": "i", "minDiskGb": 30, "minRamMb": 0}
    up(FakeCloud(images={"debian-12": image}), {"bootVolume": 40, "frontFlavor": "m1.small"})


def test_an_existing_key_pair_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/user/0/agent")
    (message,) = shortfalls(FakeCloud(key_pairs={}), {"keyPair": "mine"})
    assert message.startswith("openstack.keyPair = mine: the cloud has no key pair that this project may use.")


def test_all_missing_things_are_reported_together_and_nothing_is_created() -> None:
    empty = FakeCloud(images={}, flavors={}, networks=[], network_quota={"router": 0}, zones=())
    with pytest.raises(SettingsError) as error:
        up(empty, {"availabilityZones": ["az-1"]})
    keys = [problem.partition(" = ")[0] for problem in error.value.problems]
    assert keys == [
        "openstack.image", "openstack.frontFlavor", "openstack.nodeFlavor", "openstack.externalNetwork",
        "openstack.availabilityZones[0]", "hosts",
    ]  # fmt: skip
    assert str(error.value).startswith("6 settings of stack sample cannot be used:\n  * openstack.image = debian-12: ")


def test_a_failed_login_is_reported_once_with_the_clouds_reason() -> None:
    cloud = FakeCloud(lets_in=False)
    (message,) = shortfalls(cloud)
    assert message.startswith(
        "openstack.cloud = (from the environment): Error creating OpenStack identity client: got 401 instead. Type: "
    )
    assert [name for name, _ in cloud.asked] == ["getAuthScope"]


# Quotas.


@given(st.integers(0, 100), st.integers(-1, 100), st.integers(0, 100))
def test_a_quota_is_large_enough_if_it_covers_what_is_used_and_required(required: int, limit: int, used: int) -> None:
    fits = limit == -1 or required == 0 or required <= limit - used
    assert (quota_shortfall("cores", required=required, limit=limit, used=used) == "") == fits


QUOTAS: list[tuple[FakeCloud, dict[str, Any], str, str, str]] = [
    # Two cores of the front host and one of each of the two nodes.
    (
        FakeCloud(limits={"maxTotalCores": 20, "totalCoresUsed": 17}),
        {},
        "nodes = 2",
        "cores: 4 required, but only 3 of the project's quota of 20",
        "pulumi config set nodes <another value> --stack sample",
    ),
    (
        FakeCloud(limits={"maxTotalInstances": 2}),
        {},
        "nodes = 2",
        "servers: 3 required, but only 2 of the project's quota of 2",
        "pulumi config set nodes <another value> --stack sample",
    ),
    (
        FakeCloud(limits={"maxTotalRamSize": 8191}),
        {},
        "nodes = 2",
        "MB of memory: 8192 required, but only 8191 of the project's quota of 8191",
        "pulumi config set nodes <another value> --stack sample",
    ),
    (
        FakeCloud(limits={"maxServerGroupMembers": 1}),
        {},
        "nodes = 2",
        "servers in a group: 2 required, but only 1 of the project's quota of 1",
        "pulumi config set nodes <another value> --stack sample",
    ),
    (
        FakeCloud(limits={"totalServerGroupsUsed": 10}),
        {},
        "hosts = openstack",
        "server groups: 1 required, but only 0 of the project's quota of 10",
        "openstack quota show, and have it raised",
    ),
    # Three hosts, the router and DHCP, in addition to three of other projects.
    (
        FakeCloud(network_quota={"port": 7}),
        {},
        "nodes = 2",
        "ports: 5 required, but only 4 of the project's quota of 7",
        "pulumi config set nodes <another value> --stack sample",
    ),
    *(
        (
            FakeCloud(network_quota={key: limit}),
            {},
            "hosts = openstack",
            f"{what}: {required} required, but only {limit} of the project's quota of {limit}",
            "openstack quota show, and have it raised",
        )
        for key, limit, required, what in (
            ("network", 0, 1, "networks"),
            ("subnet", 0, 1, "subnets"),
            ("router", 0, 1, "routers"),
            ("floatingip", 0, 1, "floating IPs"),
            ("securityGroup", 1, 2, "security groups"),
            # Ingress: three for clients, one for the operator, four for nodes; two APIs' and one more on nodes. Egress:
            # four.
            ("securityGroupRule", 14, 15, "rules of security groups"),
        )
    ),
    (
        FakeCloud(volume_quota={"volumes": 2}),
        {"bootVolume": 20},
        "nodes = 2",
        "volumes: 3 required, but only 2 of the project's quota of 2",
        "pulumi config set nodes <another value> --stack sample",
    ),
    (
        FakeCloud(volume_quota={"gigabytes": 59}),
        {"bootVolume": 20},
        "openstack.bootVolume = 20",
        "GB in volumes: 60 required, but only 59 of the project's quota of 59",
        "pulumi config set --path openstack.bootVolume <another value> --stack sample",
    ),
]


@pytest.mark.parametrize(
    ("cloud", "openstack", "key", "rule", "remedy"), QUOTAS, ids=[f"{key}: {rule}" for *_, key, rule, _ in QUOTAS]
)
def test_a_quota_that_is_too_small_is_reported_with_what_is_left(
    cloud: FakeCloud, openstack: dict[str, Any], key: str, rule: str, remedy: str
) -> None:
    assert_refused(shortfalls(cloud, openstack), key, rule, remedy)


def test_existing_hosts_are_not_counted_again() -> None:
    """Three existing hosts use the whole quota. They require nothing, and a fourth requires one more."""
    full = {"maxTotalCores": 4, "totalCoresUsed": 4, "maxTotalInstances": 3, "totalInstancesUsed": 3}
    up(FakeCloud(ours=3, limits=full, network_quota={"port": 6}))
    messages = shortfalls(FakeCloud(ours=3, limits=full, network_quota={"port": 6}), nodes=3)
    assert [problem.partition(" are left")[0] for problem in messages] == [
        "nodes = 3: ports: 1 required, but only 0 of the project's quota of 6",
        "nodes = 3: servers: 1 required, but only 0 of the project's quota of 3",
        "nodes = 3: cores: 1 required, but only 0 of the project's quota of 4",
    ]


def test_fewer_hosts_than_exist_require_nothing() -> None:
    up(FakeCloud(ours=4, limits={"maxTotalInstances": 4, "totalInstancesUsed": 4}), nodes=1)


def test_a_quota_that_the_cloud_does_not_report_is_not_checked() -> None:
    up(FakeCloud(refuses=("getLimitsV2", "getQuotaV2", "getQuotasetV3", "getPortIds")), {"bootVolume": 20})


def test_without_boot_volumes_no_volume_is_required() -> None:
    cloud = FakeCloud()
    up(cloud)
    assert "getQuotasetV3" not in {name for name, _ in cloud.asked}


def test_a_cloud_without_volumes_boots_from_none() -> None:
    (message,) = shortfalls(FakeCloud(has_volumes=False), {"bootVolume": 20})
    assert message.startswith("openstack.bootVolume = 20: the cloud has no volumes. Type: ")


def test_an_existing_network_needs_no_other() -> None:
    none_left = {"network": 0, "subnet": 0, "router": 0}
    up(FakeCloud(network_quota=none_left), {"network": "office"}, subnet="192.168.7.0/24")


def test_a_preview_checks_the_cloud_too() -> None:
    with pytest.raises(SettingsError):
        run(preview=True, cloud=FakeCloud(images={}), hosts="openstack", openstack=SSH_FROM)
    run(preview=True, cloud=unlimited(), hosts="openstack", openstack=SSH_FROM)
