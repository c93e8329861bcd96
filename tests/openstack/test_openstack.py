"""`hosts: openstack` in the lab's cloud, from creation to deletion. Each test continues from the one before."""

from __future__ import annotations

import re
from typing import Any

import openstack

from tests.e2e.lab import Stack, connected
from tools.lab.contents import leftovers

WAIT = 180
NAME = "heat-e2e-openstack"


def servers(project: Any) -> dict[str, Any]:
    return {server.name: server for server in project.compute.servers()}


def addresses(server: Any) -> dict[str, str]:
    """A server's addresses, by whether they are fixed or floating."""
    return {entry["OS-EXT-IPS:type"]: entry["addr"] for entries in server.addresses.values() for entry in entries}


def makes_a_stack(stack: Stack) -> None:
    """A stack is created and deleted through the proxy on the floating IP."""
    heat = connected(stack.outputs()["cloudsYamlPath"])
    definition = {
        "heat_template_version": "2018-08-31",
        "resources": {"value": {"type": "OS::Heat::RandomString"}},
    }
    made = heat.orchestration.create_stack(name="through", template=definition)
    heat.orchestration.wait_for_status(
        made, status="CREATE_COMPLETE", failures=["CREATE_FAILED"], interval=0.5, wait=WAIT
    )
    heat.orchestration.delete_stack(made)
    heat.orchestration.wait_for_delete(made, interval=0.5, wait=WAIT)


def test_the_cloud_matches_the_settings(stack: Stack, project: Any) -> None:
    found = servers(project)
    assert {name: server.status for name, server in found.items()} == {
        f"{NAME}-front": "ACTIVE",
        f"{NAME}-node-1": "ACTIVE",
        f"{NAME}-node-2": "ACTIVE",
    }
    assert addresses(found[f"{NAME}-front"])["fixed"] == "10.213.92.10"
    assert addresses(found[f"{NAME}-node-1"]) == {"fixed": "10.213.92.11"}
    floating = addresses(found[f"{NAME}-front"])["floating"]
    assert floating in stack.outputs()["heatApiUrl"]
    (group,) = project.compute.server_groups()
    assert len(group.member_ids) == 2
    assert [pair.name for pair in project.compute.keypairs()] == [NAME]


def test_a_stack_is_created_through_the_floating_ip(stack: Stack) -> None:
    makes_a_stack(stack)


def test_a_second_up_changes_nothing_though_the_cloud_has_a_newer_image(stack: Stack, project: Any) -> None:
    before = {name: server.id for name, server in servers(project).items()}
    newer = project.image.create_image(
        name="debian-12", disk_format="raw", container_format="bare", data=b"newer", visibility="private"
    )
    try:
        assert project.image.find_image(newer.id).status == "active"
        stack.up("--expect-no-changes")
    finally:
        project.image.delete_image(newer)
    assert {name: server.id for name, server in servers(project).items()} == before


def test_a_node_that_the_cloud_fails_to_create_is_reported_and_the_remedy_works(stack: Stack, project: Any) -> None:
    before = {name: server.id for name, server in servers(project).items()}
    compute = openstack.connect(cloud="lab-admin").compute
    (hypervisor,) = compute.services(binary="nova-compute")
    stack.set("nodes", 3)
    compute.disable_service(hypervisor, hypervisor.host, hypervisor.binary)
    try:
        stack.up(check=False)
        broken = servers(project)[f"{NAME}-node-3"]
        assert broken.status == "ERROR"
        again = stack.up(check=False)
    finally:
        compute.enable_service(hypervisor, hypervisor.host, hypervisor.binary)
    remedy = re.search(
        rf"node-3: its server {NAME}-node-3 \({broken.id}\) is in state ERROR: No valid host was found\. .*"
        r"pulumi up --replace '(\S+)'",
        again.text,
    )
    assert remedy, again.text
    stack.up("--replace", remedy[1])
    after = {name: server.id for name, server in servers(project).items()}
    assert after.pop(f"{NAME}-node-3") != broken.id
    assert after == before
    makes_a_stack(stack)


def test_two_nodes_fewer_are_gone_from_the_cloud(stack: Stack, project: Any) -> None:
    before = servers(project)
    stack.set("nodes", 1)
    stack.up()
    after = servers(project)
    assert {name: server.id for name, server in after.items()} == {
        name: before[name].id for name in (f"{NAME}-front", f"{NAME}-node-1")
    }
    assert "10.213.92.12" not in {
        address["ip_address"] for port in project.network.ports() for address in port.fixed_ips
    }
    makes_a_stack(stack)


def test_a_deleted_vm_is_created_again_and_set_up(stack: Stack, project: Any) -> None:
    gone = servers(project)[f"{NAME}-node-1"]
    project.compute.delete_server(gone)
    project.compute.wait_for_delete(gone)
    stack.up("--refresh")
    after = servers(project)[f"{NAME}-node-1"]
    assert after.id != gone.id
    assert addresses(after) == {"fixed": "10.213.92.11"}
    makes_a_stack(stack)


def test_destroy_leaves_nothing_in_the_project(stack: Stack, project: Any) -> None:
    made = leftovers(project)
    assert made
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert leftovers(project) == []
