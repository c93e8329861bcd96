"""The settings of VMs, and their refusals, as far as these need no cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.settings.load import SettingsError, load
from infra.settings.model import Settings
from infra.settings.secret import KEY_PLAIN, KEY_SECRET
from tests.unit.refused import Refusal, assert_refused

STACK = "dev"


def vms(*, more: dict[str, Any] | None = None, **openstack: Any) -> dict[str, Any]:
    """A stack's file with VMs; a part that is None is left out."""
    parts = {"sshFrom": ["198.51.100.7/32"]} | openstack
    return {"hosts": "openstack", "openstack": {key: part for key, part in parts.items() if part is not None}} | (
        more or {}
    )


def problems(raw: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as error:
        load(STACK, raw)
    return error.value.problems


def test_vms_need_only_the_operators_network() -> None:
    settings = load(STACK, vms())
    assert settings.addresses == {"front": "10.213.77.10", "node-1": "10.213.77.11", "node-2": "10.213.77.12"}
    assert settings.stats_networks == ()


REFUSALS: list[Refusal] = [
    (
        vms(sshFrom=None),
        "openstack.sshFrom = []",
        "nobody could log in to the front host",
        "pulumi config set --path 'openstack.sshFrom[0]' <address>/32 --stack dev",
    ),
    (
        vms(sshFrom=["198.51.100.7/24"]),
        "openstack.sshFrom[0] = 198.51.100.7/24",
        "must be an IPv4 network with its prefix",
        "pulumi config set --path 'openstack.sshFrom[0]' 198.51.100.0/24 --stack dev",
    ),
    (
        vms(clientsFrom=["0.0.0.0/0", "everywhere"]),
        "openstack.clientsFrom[1] = everywhere",
        "must be an IPv4 network with its prefix",
        "pulumi config set --path 'openstack.clientsFrom[1]' <address>/32 --stack dev",
    ),
    *(
        (
            raw,
            f"openstack.{key} = (none)",
            "must be a name",
            f"pulumi config set --path openstack.{key} {usual} --stack dev",
        )
        for raw, key, usual in (
            (vms(image=""), "image", "debian-12"),
            (vms(frontFlavor=""), "frontFlavor", "m1.medium"),
            (vms(nodeFlavor=""), "nodeFlavor", "m1.small"),
        )
    ),
    (
        vms(bootVolume=-1),
        "openstack.bootVolume = -1",
        "must be an integer from 0 to 65536",
        "pulumi config set --path openstack.bootVolume 0 --stack dev",
    ),
    (
        vms(antiAffinity="some"),
        "openstack.antiAffinity = some",
        "must be soft, hard or none",
        "pulumi config set --path openstack.antiAffinity soft --stack dev",
    ),
    (
        vms(protect=True),
        "openstack.protect",
        "did you mean protect",
        "pulumi config rm --path openstack.protect --stack dev",
    ),
    (
        vms(floatingIp="public"),
        "openstack.floatingIp = public",
        "must be new, none or the IPv4 address",
        "pulumi config set --path openstack.floatingIp new --stack dev",
    ),
    (
        vms(dnsServers=["192.0.2.53", "dns.example"]),
        "openstack.dnsServers[1] = dns.example",
        "must be an IPv4 address",
        "pulumi config set --path 'openstack.dnsServers[1]' <its address> --stack dev",
    ),
    (
        vms(user="heat scaleout"),
        "openstack.user = heat scaleout",
        "must be a Unix user's name",
        "pulumi config set --path openstack.user heat-scaleout --stack dev",
    ),
    (
        vms(tags=["heat", "a,b"]),
        "openstack.tags[1] = a,b",
        "must be 1 to 60 characters, without comma and slash",
        "pulumi config rm --path 'openstack.tags[1]' --stack dev",
    ),
    (
        vms(firstAddress="10.213.77.20"),
        "openstack.firstAddress = 10.213.77.20",
        "openstack.network",
        "pulumi config rm --path openstack.firstAddress --stack dev",
    ),
    (
        vms(network="office", firstAddress="twenty"),
        "openstack.firstAddress = twenty",
        "must be an IPv4 address",
        "pulumi config set --path openstack.firstAddress <its address> --stack dev",
    ),
    (
        vms(network="office", firstAddress="10.0.0.20"),
        "openstack.firstAddress = 10.0.0.20",
        "not in subnet 10.213.77.0/24",
        "pulumi config set --path openstack.firstAddress <address> --stack dev",
    ),
    (
        vms(network="office", firstAddress="10.213.77.253"),
        "subnet = 10.213.77.0/24",
        "no room for 3 hosts from its address 10.213.77.253 on",
        "pulumi config set subnet <a larger IPv4 subnet> --stack dev",
    ),
    (
        vms(more={"subnet": "10.0.0.0/28", "nodes": 5}),
        "subnet = 10.0.0.0/28",
        "no room for 6 hosts",
        "pulumi config set subnet <a larger IPv4 subnet> --stack dev",
    ),
    (
        vms(rebuild="node-3"),
        "openstack.rebuild = node-3",
        "there are front, node-1, node-2",
        "pulumi config rm --path openstack.rebuild --stack dev",
    ),
    (
        vms(rebuild="front"),
        "openstack.rebuild = front",
        "the front host has the database",
        "pulumi config rm --path openstack.rebuild --stack dev",
    ),
    (
        vms(keyPair="mine"),
        "sshPrivateKey = (none)",
        "neither a key nor an ssh agent",
        "pulumi config set --secret sshPrivateKey --stack dev <~/.ssh/id_ed25519",
    ),
    (
        vms(keyPair="mine", more={"sshPrivateKey": KEY_PLAIN}),
        f"sshPrivateKey = {KEY_PLAIN}",
        "must be a secret",
        "pulumi config set --secret sshPrivateKey --stack dev <~/.ssh/id_ed25519",
    ),
    (
        vms(flavour="m1.small"),
        "openstack.flavour",
        "did you mean openstack.frontFlavor",
        "pulumi config rm --path openstack.flavour --stack dev",
    ),
]


@pytest.mark.parametrize(("raw", "key", "rule", "remedy"), REFUSALS, ids=[json.dumps(case[0]) for case in REFUSALS])
def test_a_refusal_says_key_value_rule_and_what_to_type(raw: dict[str, Any], key: str, rule: str, remedy: str) -> None:
    assert_refused(problems(raw), key, rule, remedy)


def test_all_problems_of_vms_are_reported_at_once() -> None:
    wrong = vms(sshFrom=None, image="", antiAffinity="some", tags=[""], firstAddress="x")
    assert [problem.partition(" = ")[0] for problem in problems(wrong)] == [
        "openstack.image", "openstack.firstAddress", "openstack.antiAffinity", "openstack.tags[0]", "openstack.sshFrom",
    ]  # fmt: skip


def test_an_existing_key_pair_goes_with_a_private_key() -> None:
    assert load(STACK, vms(keyPair="mine", more={"sshPrivateKey": KEY_SECRET})).openstack.key_pair == "mine"


def test_hosts_in_an_existing_network_follow_the_first_address() -> None:
    settings = load(STACK, vms(network="office", firstAddress="10.213.77.200"))
    assert list(settings.addresses.values()) == ["10.213.77.200", "10.213.77.201", "10.213.77.202"]
    assert load(STACK, vms(network="office")).addresses["front"] == "10.213.77.10"


def elsewhere(**openstack: Any) -> Settings:
    """VMs with an existing control plane."""
    secrets = {
        "databaseUrl": "mysql+pymysql://heat:hunter2@db.example/heat",
        "transportUrl": "rabbit://heat:hunter2@mq.example:5672/heat",
        "servicePassword": "hunter2",
        "stackDomainAdminPassword": "hunter2",
    }
    control: dict[str, Any] = {"controlPlane": "existing", "control": {"keystoneUrl": "http://192.0.2.5:5000"}}
    raw = vms(more={**control, **dict.fromkeys(secrets, KEY_SECRET)}, **openstack)
    return load(STACK, raw, (), secrets)


def test_the_front_host_may_be_recreated_if_the_database_is_elsewhere() -> None:
    assert elsewhere(rebuild="front").openstack.rebuild == "front"


def test_with_an_external_control_plane_clients_reach_only_the_apis_and_nodes_nothing() -> None:
    opened = {(one.at, one.port, one.source) for one in elsewhere().ingress_rules if one.port != 22}
    operator = "198.51.100.7/32"
    assert opened == {
        ("front", 8004, operator), ("front", 8000, operator), ("nodes", 8004, "front"), ("nodes", 8000, "front"),
    }  # fmt: skip
