"""VMs of a cloud, as Pulumi sees them: their resources, their names, and how each is replaced and deleted."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openstack
import pulumi
import pytest
import yaml

from components.remote import BOOT_DIALS, DIALS
from infra.settings.fields import camel
from infra.settings.load import load
from infra.settings.openstack import OpenstackSettings
from tests.unit.fake_cloud import FakeCloud, unlimited
from tests.unit.program import (
    FLOATING_IP,
    INSTANCE,
    MARK,
    PROJECT,
    ROOT,
    Resource,
    Run,
    Secret,
    cached,
    public_key,
    run,
    vm_sample,
)

NETWORKING = "openstack:networking"
PORT = f"{NETWORKING}/port:Port"
RULE = f"{NETWORKING}/secGroupRule:SecGroupRule"
OPERATOR = "198.51.100.0/24"


def of_type(result: Run, kind: str) -> dict[str, Resource]:
    return {resource.name: resource for resource in result.registered if resource.type == kind}


def made(result: Run) -> dict[str, Resource]:
    """A cloud with what the deployment requires."""
    return {one.name: one for one in result.registered if one.type.startswith("openstack:")}


def nodes(number: int, **more: Any) -> Run:
    """As many nodes, each with its share of processes."""
    return cached(
        hosts="openstack", openstack={"sshFrom": [OPERATOR], **more}, nodes=number, engines=number, apis=number,
        cfnApis=number,
    )  # fmt: skip


def with_other_settings() -> Run:
    """Several independent facts are checked together, because each needs a run of the whole program."""
    return vm_sample(
        bootVolume=30, antiAffinity="hard", dnsServers=["192.0.2.53"], tags=["heat", "team-a"], user="root",
        rebuild="node-2",
    )  # fmt: skip


# The resources.


def test_an_empty_project_gets_everything_that_hosts_need() -> None:
    count: dict[str, int] = {}
    for resource in made(vm_sample()).values():
        if resource.type != RULE:
            count[resource.type.partition(":")[2]] = count.get(resource.type.partition(":")[2], 0) + 1
    assert count == {
        "networking/network:Network": 1,
        "networking/subnet:Subnet": 1,
        "networking/router:Router": 1,
        "networking/routerInterface:RouterInterface": 1,
        "networking/secGroup:SecGroup": 2,
        "networking/port:Port": 3,
        "networking/floatingIp:FloatingIp": 1,
        "networking/floatingIpAssociate:FloatingIpAssociate": 1,
        "compute/keypair:Keypair": 1,
        "compute/serverGroup:ServerGroup": 1,
        "compute/instance:Instance": 3,
    }


def test_everything_is_created_by_the_provider_that_looked_the_cloud_up() -> None:
    result = vm_sample()
    for resource in made(result).values():
        assert "pulumi:providers:openstack::openstack::" in resource.request.provider, resource.name


def test_each_host_has_the_address_that_the_plan_counts_on() -> None:
    result = vm_sample()
    ports = of_type(result, PORT)
    assert {name: one.inputs["fixedIps"] for name, one in ports.items()} == {
        f"{node['name']}-port": [{"subnetId": "subnet-id", "ipAddress": node["address"]}]
        for node in result.outputs["nodes"]
    }
    for host in ("front", "node-1", "node-2"):
        assert result.by_name[f"{host}-machine"].inputs["networks"] == [{"port": f"{host}-port-id"}]


def test_the_cloud_gives_no_planned_address_to_others() -> None:
    subnet = vm_sample().by_name["subnet"].inputs
    assert (subnet["cidr"], subnet["gatewayIp"]) == ("10.0.0.0/24", "10.0.0.1")
    assert subnet["allocationPools"] == [{"start": "10.0.0.2", "end": "10.0.0.9"}]


def test_a_security_group_has_the_rules_that_the_deployment_needs() -> None:
    result = vm_sample()
    settings = load("sample", {"hosts": "openstack", "subnet": "10.0.0.0/24", "openstack": {"sshFrom": [OPERATOR]}})
    rules = set()
    for rule in of_type(result, RULE).values():
        inputs = rule.inputs
        assert (inputs["direction"], inputs["protocol"], inputs["ethertype"]) == ("ingress", "tcp", "IPv4")
        assert inputs["portRangeMin"] == inputs["portRangeMax"]
        assert ("remoteGroupId" in inputs) != ("remoteIpPrefix" in inputs)
        group = inputs["securityGroupId"].removesuffix("-security-group-id")
        source = inputs.get("remoteIpPrefix") or inputs["remoteGroupId"].removesuffix("-security-group-id")
        rules.add((group, int(inputs["portRangeMin"]), source))
    assert rules == {(one.at, one.port, one.source) for one in settings.ingress_rules}


def test_each_host_is_in_its_group_alone() -> None:
    groups = {name: one.inputs["securityGroupIds"] for name, one in of_type(vm_sample(), PORT).items()}
    assert groups == {
        "front-port": ["front-security-group-id"],
        "node-1-port": ["nodes-security-group-id"],
        "node-2-port": ["nodes-security-group-id"],
    }


def test_flavors_and_image_are_the_ones_that_were_looked_up() -> None:
    machines = of_type(vm_sample(), INSTANCE)
    assert {name: one.inputs["flavorId"] for name, one in machines.items()} == {
        "front-machine": "flavor-medium",
        "node-1-machine": "flavor-small",
        "node-2-machine": "flavor-small",
    }
    assert {one.inputs["imageId"] for one in machines.values()} == {"image-1"}
    for machine in machines.values():
        assert "blockDevices" not in machine.inputs
        assert machine.inputs["stopBeforeDestroy"] is True


def test_a_volume_to_boot_from_goes_with_its_host() -> None:
    for machine in of_type(with_other_settings(), INSTANCE).values():
        assert "imageId" not in machine.inputs
        assert machine.inputs["blockDevices"] == [
            {
                "uuid": "image-1", "sourceType": "image", "destinationType": "volume", "volumeSize": 30,
                "bootIndex": 0, "deleteOnTermination": True,
            }
        ]  # fmt: skip


# The usual one is soft.
@pytest.mark.parametrize(
    ("sample", "policy"),
    [(vm_sample, "soft-anti-affinity"), (with_other_settings, "anti-affinity")],
    ids=["soft", "hard"],
)
def test_nodes_have_anti_affinity_and_the_front_host_has_none(sample: Callable[[], Run], policy: str) -> None:
    result = sample()
    assert result.by_name["server-group"].inputs["policies"] == policy
    for node in ("node-1", "node-2"):
        assert result.by_name[f"{node}-machine"].inputs["schedulerHints"] == [{"group": "server-group-id"}]
    assert "schedulerHints" not in result.by_name["front-machine"].inputs


def test_without_anti_affinity_there_is_no_group() -> None:
    result = vm_sample(antiAffinity="none", floatingIp="none")
    assert "server-group" not in result.by_name
    assert all("schedulerHints" not in one.inputs for one in of_type(result, INSTANCE).values())


def test_nodes_alternate_between_the_zones_and_the_front_host_is_in_the_first() -> None:
    machines = of_type(nodes(4, availabilityZones=["nova", "az-2"]), INSTANCE)
    assert {name.removesuffix("-machine"): one.inputs["availabilityZone"] for name, one in machines.items()} == {
        "front": "nova", "node-1": "nova", "node-2": "az-2", "node-3": "nova", "node-4": "az-2",
    }  # fmt: skip


def test_name_servers_and_tags_are_those_of_the_settings() -> None:
    result = with_other_settings()
    assert result.by_name["subnet"].inputs["dnsNameservers"] == ["192.0.2.53"]
    tagged = {one.name: one.inputs["tags"] for one in made(result).values() if "tags" in one.inputs}
    assert set(tagged) == {
        "network", "subnet", "router", "floating-ip", "front-security-group", "nodes-security-group", "front-port",
        "node-1-port", "node-2-port",
    }  # fmt: skip
    # By the last one a later run counts the existing hosts.
    assert all(tags == ["heat", "team-a", "heat-scaleout-sample"] for tags in tagged.values())


# Existing parts of the cloud.


KEY = f"-----BEGIN PRIVATE KEY-----\n{MARK}.ssh\n-----END PRIVATE KEY-----\n"


def found() -> Run:
    """An existing network, floating IP and key pair."""
    openstack = {
        "sshFrom": [OPERATOR], "network": "office", "firstAddress": "192.168.7.40", "floatingIp": "203.0.113.9",
        "keyPair": "mine",
    }  # fmt: skip
    return cached(hosts="openstack", subnet="192.168.7.0/24", openstack=openstack, sshPrivateKey=KEY)


def test_an_existing_network_is_used_and_not_changed() -> None:
    result = found()
    assert not {"network", "subnet", "router", "router-interface"} & set(result.by_name)
    port = result.by_name["front-port"].inputs
    assert port["networkId"] == "network-office"
    assert port["fixedIps"] == [{"subnetId": "subnet-office", "ipAddress": "192.168.7.40"}]
    assert [node["address"] for node in result.outputs["nodes"]] == ["192.168.7.40", "192.168.7.41", "192.168.7.42"]
    assert result.outputs["heatApiUrl"] == "http://203.0.113.9:8004"


def test_an_existing_floating_ip_is_used_and_not_changed() -> None:
    result = found()
    assert "floating-ip" not in result.by_name
    assert result.by_name["floating-ip-association"].inputs["floatingIp"] == "203.0.113.9"
    assert result.outputs["keystoneUrl"] == "http://203.0.113.9:5000/v3"


def test_without_a_floating_ip_the_front_host_is_reached_at_its_address() -> None:
    result = vm_sample(antiAffinity="none", floatingIp="none")
    assert not {"floating-ip", "floating-ip-association"} & set(result.by_name)
    assert result.by_name["front-ready"].connection["host"] == "10.0.0.10"
    assert result.by_name["node-1-ready"].connection["proxy"]["host"] == "10.0.0.10"
    assert result.outputs["heatApiUrl"] == "http://10.0.0.10:8004"


def test_an_existing_key_pair_is_used_with_the_operators_private_key() -> None:
    result = found()
    assert not {"key-pair", "ssh-key"} & set(result.by_name)
    for name in ("front", "node-1"):
        machine = result.by_name[f"{name}-machine"]
        assert machine.inputs["keyPair"] == "mine"
        assert yaml.safe_load(machine.text("userData"))["users"][1]["ssh_authorized_keys"] == ["ssh-ed25519 AAAAmine"]
        assert result.by_name[f"{name}-ready"].connection["privateKey"] == KEY


# How hosts are reached.


def test_the_front_host_is_reached_at_its_floating_ip_and_the_nodes_over_it() -> None:
    result = vm_sample()
    for resource in result.remote:
        host, opened = result.host_of(resource), resource.connection
        assert opened["hostKey"] == f"ssh-ed25519 {public_key(f'{host}-host-key')}"
        assert opened["user"] == "heat-scaleout"
        if host == "front":
            assert opened["host"] == FLOATING_IP
            assert "proxy" not in opened
        else:
            proxy = opened["proxy"]
            assert (proxy["host"], proxy["user"]) == (FLOATING_IP, "heat-scaleout")
            assert proxy["hostKey"] == f"ssh-ed25519 {public_key('front-host-key')}"


def test_a_host_gets_its_own_key_at_its_first_boot_as_a_secret() -> None:
    result = vm_sample()
    for host in ("front", "node-1", "node-2"):
        user_data = result.by_name[f"{host}-machine"].inputs["userData"]
        assert isinstance(user_data, Secret)
        user_config = yaml.safe_load(user_data.value)
        assert user_data.value.startswith("#cloud-config\n")
        assert f"{MARK}.{host}-host-key" in user_config["ssh_keys"]["ed25519_private"]
        assert user_config["ssh_keys"]["ed25519_public"] == f"ssh-ed25519 {public_key(f'{host}-host-key')}"
        default, own = user_config["users"]
        assert default == "default"
        assert own["name"] == "heat-scaleout"
        assert own["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
        assert own["ssh_authorized_keys"] == [f"ssh-ed25519 {public_key('ssh-key')}"]
        assert user_config["bootcmd"] == [["ip", "route", "replace", "prohibit", "169.254.169.254"]]


def test_root_may_log_in_if_it_is_the_user() -> None:
    result = with_other_settings()
    user_config = yaml.safe_load(result.by_name["node-1-machine"].text("userData"))
    assert user_config["users"][1] == {"name": "root", "ssh_authorized_keys": [f"ssh-ed25519 {public_key('ssh-key')}"]}
    assert user_config["disable_root"] is False
    assert {one.connection["user"] for one in result.remote} == {"root"}


def test_the_program_waits_for_a_host_to_boot_after_everything_that_makes_it_reachable() -> None:
    result = vm_sample()
    ways_in = {*of_type(result, RULE), "router-interface"}
    assert {"front-machine", "floating-ip-association"} | ways_in <= result.before("front-ready")
    assert result.by_name["front-ready"].connection["dialErrorLimit"] == BOOT_DIALS
    for node in ("node-1", "node-2"):
        assert {f"{node}-machine", "front-ready", f"front-await-{node}"} | ways_in <= result.before(f"{node}-ready")
        # The front host has waited for it. Later failures are reported unchanged.
        opened = result.by_name[f"{node}-ready"].connection
        assert (opened["dialErrorLimit"], opened["proxy"]["dialErrorLimit"]) == (0, DIALS)
        waiting = result.by_name[f"front-await-{node}"]
        assert public_key(f"{node}-host-key") in waiting.text()
        assert f"{node}-machine" in result.before(waiting.name)


def test_no_host_waits_for_another_node() -> None:
    result = vm_sample()
    assert not [name for name in result.before("node-2-ready") if name.startswith("node-1-")]


def test_a_host_boots_after_its_network_reaches_the_outside() -> None:
    for machine in of_type(vm_sample(), INSTANCE):
        assert "router-interface" in vm_sample().before(machine)


def wait_for_node(tmp_path: Path, answers: list[str]) -> tuple[int, str, int]:
    """Run the script that waits for node-1, with these answers of ssh-keyscan: status, message, calls."""
    fake = tmp_path / "ssh-keyscan"
    replies = "".join(f'[ "$calls" != {at} ] || echo "{text}"\n' for at, text in enumerate(answers, start=1))
    fake.write_text(f'#!/bin/sh\necho >>"{tmp_path}/calls"\ncalls=$(wc -l <"{tmp_path}/calls")\n{replies}exit 0\n')
    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    for program in (fake, tmp_path / "sleep"):
        program.chmod(0o755)
    text = vm_sample().by_name["front-await-node-1"].text().replace("+ 600)", f"+ {0 if len(answers) < 2 else 60})")
    done = subprocess.run(
        ["sh", "-s"], input=text, capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    return done.returncode, done.stderr, len((tmp_path / "calls").read_text().splitlines())


RIGHT = f"10.0.0.11 ssh-ed25519 {public_key('node-1-host-key')}"


def test_a_node_has_booted_when_it_answers_with_its_own_key(tmp_path: Path) -> None:
    other = "10.0.0.11 ssh-ed25519 AAAAother"
    assert wait_for_node(tmp_path, ["", other, RIGHT]) == (0, "", 3)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("", "nothing answers on port 22"), ("10.0.0.11 ssh-ed25519 AAAAother", "it has another host key")],
)
def test_a_node_that_does_not_boot_is_reported_with_a_remedy(tmp_path: Path, answer: str, expected: str) -> None:
    status, message, _ = wait_for_node(tmp_path, [answer])
    assert status == 1
    assert message.startswith("node-1 (10.0.0.11) did not boot within 600 s:\n")
    assert expected in message
    assert "openstack console log show heat-sample-node-1" in message


# Public and internal addresses.


def test_clients_and_stacks_servers_use_the_floating_ip_and_hosts_their_network() -> None:
    result = vm_sample()
    conf = result.by_name["node-1-heat-conf"].text()
    urls = dict(re.findall(r"(?m)^(\w+) = (http\S+)$", conf))
    public = {name for name, url in urls.items() if FLOATING_IP in url}
    assert public == {"heat_metadata_server_url", "heat_waitcondition_server_url", "www_authenticate_uri"}
    assert all("10.0.0.10" in url for name, url in urls.items() if name not in public)
    assert FLOATING_IP not in result.by_name["node-1-secrets-conf"].text()
    spec = result.by_name["node-1-identity"].text()
    assert f'"url": "http://{FLOATING_IP}:8004/v1/%(project_id)s"' in spec
    assert '"url": "http://10.0.0.10:5000/v3"' in spec
    keystone = result.by_name["front-keystone"].text()
    assert f"public_url=http://{FLOATING_IP}:5000/v3\n" in keystone
    assert "\nurl=http://10.0.0.10:5000/v3\n" in keystone
    clouds = yaml.safe_load(result.by_name["clouds-yaml"].text())["clouds"]
    assert {cloud["auth"]["auth_url"] for cloud in clouds.values()} == {f"http://{FLOATING_IP}:5000/v3"}


def test_the_front_host_itself_asks_where_it_listens() -> None:
    text = vm_sample().by_name["front-check"].text()
    assert FLOATING_IP not in text
    assert '"url": "http://10.0.0.10:8004"' in text
    assert "bind 10.0.0.10:8004" in vm_sample().by_name["front-haproxy-cfg"].text()


# Replacement and deletion.


def test_a_replaced_vm_is_set_up_again_and_a_missing_one_blocks_nothing() -> None:
    result = vm_sample()
    for resource in result.remote:
        machine = result.by_name[f"{result.host_of(resource)}-machine"].urn
        assert list(resource.request.replace_with) == [machine], resource.name
        assert resource.request.deletedWith == machine
    # The front host waits again for a node that is recreated.
    assert "node-1-machine-id" in result.by_name["front-await-node-1"].text()


def test_a_vm_that_replaces_a_missing_one_is_set_up_as_well() -> None:
    """For Pulumi it is new and replaces nothing."""
    result = vm_sample()
    for resource in result.remote:
        assert resource.text("create").endswith(f" # machine {result.host_of(resource)}-machine-id"), resource.name


def test_a_running_vm_is_not_recreated_because_the_image_or_a_setting_changed() -> None:
    for machine in of_type(vm_sample(), INSTANCE).values():
        assert list(machine.request.ignoreChanges) == [
            "availabilityZone", "blockDevices", "imageId", "keyPair", "schedulerHints", "userData",
        ]  # fmt: skip


def test_rebuild_replaces_one_vm_with_the_current_settings() -> None:
    machines = of_type(with_other_settings(), INSTANCE)
    assert {name for name, one in machines.items() if not one.request.ignoreChanges} == {"node-2-machine"}
    for machine in machines.values():
        # Never rebuilt under its old identifier: its set-up would not run again.
        assert list(machine.request.replaceOnChanges) == ["imageId"]


def test_another_generation_runs_everything_again_and_recreates_no_vm() -> None:
    openstack = {"sshFrom": [OPERATOR]}
    old, new = vm_sample(), cached(hosts="openstack", subnet="10.0.0.0/24", openstack=openstack, generation=2)
    for resource in old.remote:
        assert new.by_name[resource.name].text("create") != resource.text("create"), resource.name
    for name, resource in made(old).items():
        assert new.by_name[name].inputs == resource.inputs, name


def broken_node(monkeypatch: pytest.MonkeyPatch, connect: Any) -> str:
    """The message if node-2's server is in ERROR and `connect` returns the cloud."""
    monkeypatch.setattr(openstack, "connect", connect)
    cloud = dataclasses.replace(unlimited(), broken=("heat-sample-node-2",))
    with pytest.raises(pulumi.RunError) as error:
        run(cloud=cloud, hosts="openstack", openstack={"sshFrom": [OPERATOR], "cloud": "mycloud"})
    return str(error.value)


def test_a_server_that_the_cloud_could_not_create_is_reported_with_the_clouds_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(cloud: str) -> Any:
        servers = {"node-2-machine-id": SimpleNamespace(fault={"code": 500, "message": "No valid host was found. "})}
        assert cloud == "mycloud"
        return SimpleNamespace(compute=SimpleNamespace(get_server=servers.__getitem__))

    message = broken_node(monkeypatch, connect)
    assert message.startswith(
        "node-2: its server heat-sample-node-2 (node-2-machine-id) is in state ERROR: No valid host was found. "
        "After removing the cause, create it again with: pulumi up --replace 'urn:pulumi:"
    )
    assert message.endswith("::node-2-machine'")


def test_a_broken_server_is_reported_even_if_the_cloud_gives_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(cloud: str) -> Any:
        raise openstack.exceptions.SDKException(f"no way to {cloud}")

    message = broken_node(monkeypatch, connect)
    assert (
        "heat-sample-node-2 (node-2-machine-id) is in state ERROR: the cloud does not report why (no way to " in message
    )


def test_an_address_is_released_before_the_next_vm_takes_it() -> None:
    result = vm_sample()
    for name in (*of_type(result, PORT), *of_type(result, INSTANCE)):
        assert result.by_name[name].request.deleteBeforeReplace, name


def test_what_must_not_be_deleted_by_mistake_is_protected() -> None:
    result = vm_sample()
    kept = {one.name for one in result.registered if one.request.protect}
    # The database is useless without its keys.
    secrets = {name for name in result.by_name if name.startswith("secret-")} | {"ssh-key", "front-host-key"}
    assert len(secrets) > 5
    assert kept == secrets | {
        "network", "subnet", "router", "router-interface", "floating-ip", "front-port", "front-machine",
    }  # fmt: skip


def test_the_floating_ip_is_dissociated_before_the_router_is_deleted() -> None:
    assert "router-interface" in vm_sample().before("floating-ip-association")


# Names.


# Names with two digits begin like those with one.
@pytest.mark.parametrize("number", [1, 11])
def test_each_planned_host_has_a_name_and_an_address(number: int) -> None:
    result = cached(hosts="openstack", openstack={"sshFrom": [OPERATOR]}, nodes=number)
    assert len(of_type(result, INSTANCE)) == len(of_type(result, PORT)) == number + 1
    assert len(result.by_urn) == len(result.registered) == len(result.by_name)
    assert len({one.inputs["name"] for one in of_type(result, INSTANCE).values()}) == number + 1
    assert len({one.inputs["fixedIps"][0]["ipAddress"] for one in of_type(result, PORT).values()}) == number + 1


@pytest.mark.parametrize("before", [1, 2])
def test_another_node_keeps_every_resource_and_changes_nothing_else_in_the_cloud(before: int) -> None:
    old, new = nodes(before), nodes(before + 1)
    assert old.by_urn.keys() < new.by_urn.keys()
    assert all(f"node-{before + 1}" in name for name in new.by_name.keys() - old.by_name.keys())
    for name, resource in made(old).items():
        assert resource.inputs == new.by_name[name].inputs, name


def test_another_zone_moves_no_node() -> None:
    """The zones are assigned again, and an existing VM ignores that."""
    machine = nodes(4, availabilityZones=["nova", "az-2"]).by_name["node-3-machine"]
    assert "availabilityZone" in machine.request.ignoreChanges


def test_another_api_on_a_node_opens_its_port_and_no_other() -> None:
    old, new = (cached(hosts="openstack", openstack={"sshFrom": [OPERATOR]}, apis=number, nodes=1) for number in (1, 2))
    assert made(new).keys() - made(old).keys() == {"nodes-8014-from-front"}


def test_everything_in_the_cloud_is_named_for_the_stack() -> None:
    for resource in made(vm_sample()).values():
        if "name" in resource.inputs:
            assert resource.inputs["name"].startswith("heat-sample"), resource.name


def test_a_preview_with_nothing_known_yet_shows_the_same_resources() -> None:
    unknown = run(
        preview=True, hosts="openstack", subnet="10.0.0.0/24", openstack={"sshFrom": [OPERATOR]}
    )  # fmt: skip
    assert unknown.by_urn.keys() == vm_sample().by_urn.keys()


def test_no_secret_is_in_a_plain_input_of_the_cloud() -> None:
    result = vm_sample()
    for resource in made(result).values():
        for name, value in resource.inputs.items():
            assert isinstance(value, Secret) or MARK not in str(value), f"{name} of {resource.name}"


def test_other_kinds_of_host_do_not_load_the_openstack_provider() -> None:
    program = (
        "import sys; import infra.build.inventory, infra.settings.load; sys.exit('pulumi_openstack' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


# The example.


def example() -> dict[str, Any]:
    stack = yaml.safe_load((ROOT / "examples/openstack-vms.yaml").read_text())["config"]
    assert all(key.startswith(f"{PROJECT}:") for key in stack)
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in stack.items()}


def test_the_example_has_every_part_of_the_setting_and_is_accepted() -> None:
    assert set(example()["openstack"]) == {camel(name) for name in OpenstackSettings.model_fields}
    settings = load("prod", example())
    assert settings.openstack.ssh_from == ("198.51.100.7/32",)


def test_the_example_describes_each_part() -> None:
    lines = (ROOT / "examples/openstack-vms.yaml").read_text().splitlines()
    keys = [at for at, line in enumerate(lines) if re.match(r"    \w+:", line)]
    assert len(keys) == len(OpenstackSettings.model_fields)
    for at in keys:
        before = lines[at - 1]
        # A comment above, or above its neighbour of the same kind.
        assert before.startswith("    #") or before.split(":")[0] in ("    image", "    frontFlavor"), lines[at]


def test_the_example_becomes_a_whole_graph() -> None:
    result = run(cloud=unlimited(), **example())
    assert result.by_name["front-machine"].request.protect
    assert FakeCloud().images["debian-12"]["id"] == result.by_name["front-machine"].inputs["imageId"]
