"""Create the contents of the cloud if they are missing: services, users, flavors, the image, the external network.

`identity` creates what the services need before they start, `resources` what a project's member needs. `wait` waits for
the services. `clear` deletes what a project's member has created. The logins come from the cloud's clouds.yaml.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import keystoneauth1.exceptions
import openstack
from openstack import exceptions

# A connection of openstacksdk, or an object that it returns; the library has no types for either.
_Sdk: TypeAlias = Any

# Each service's user has the name of the service. The values: the service's type, and the port and path of its API.
_SERVICES = {
    "glance": ("image", ":9292"),
    "placement": ("placement", ":8778"),
    "nova": ("compute", ":8774/v2.1"),
    "neutron": ("network", ":9696"),
    "octavia": ("load-balancer", ":9876"),
}
# Memory in MiB, and the root disk in GiB: the size of the image, so that no disk has to grow.
_DISK = 5
_FLAVORS = {"heat.front": 4096, "heat.node": 2048}
IMAGE = "debian-12"
NETWORK = "public"
PROJECT = "heat"
# The roles of a project's member; Octavia requires the second one for load balancers.
_MEMBER = ("member", "load-balancer_member")


def identity(cloud: _Sdk, host: str, password: str) -> None:
    """Create the services' users and endpoints in Keystone, an ordinary project and its member."""
    keystone = cloud.identity
    domain = keystone.find_domain("default")
    roles = {
        name: keystone.find_role(name) or keystone.create_role(name=name) for name in ("admin", "service", *_MEMBER)
    }

    def project(name: str) -> _Sdk:
        return keystone.find_project(name) or keystone.create_project(name=name, domain_id=domain.id)

    def user(name: str, where: _Sdk, *named: str) -> None:
        found = keystone.find_user(name) or keystone.create_user(name=name, password=password, domain_id=domain.id)
        for role in named:
            keystone.assign_project_role_to_user(where, found, roles[role])

    services = project("service")
    for name, (kind, where) in _SERVICES.items():
        user(name, services, "admin", "service")
        service = keystone.find_service(name) or keystone.create_service(name=name, type=kind)
        known = {endpoint.interface for endpoint in keystone.endpoints(service_id=service.id)}
        for interface in {"public", "internal", "admin"} - known:
            keystone.create_endpoint(
                service_id=service.id, interface=interface, url=f"http://{host}{where}", region_id="RegionOne"
            )
    user(PROJECT, project(PROJECT), *_MEMBER)


def resources(cloud: _Sdk, subnet: ipaddress.IPv4Network, image: Path) -> None:
    """Create what projects use: flavors, the image, the network of the floating IPs."""
    for name, memory in _FLAVORS.items():
        if not cloud.compute.find_flavor(name):
            cloud.compute.create_flavor(name=name, ram=memory, vcpus=1, disk=_DISK)
    if not cloud.image.find_image(IMAGE):
        cloud.create_image(
            IMAGE, filename=str(image), disk_format="qcow2", container_format="bare", visibility="public", wait=True
        )
    network = cloud.network.find_network(NETWORK) or cloud.network.create_network(
        name=NETWORK,
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network=NETWORK,
    )
    if not cloud.network.find_subnet(NETWORK):
        # The container's own bridge: its gateway is the machine, and containers have lower addresses than these.
        cloud.network.create_subnet(
            name=NETWORK,
            network_id=network.id,
            ip_version=4,
            cidr=str(subnet),
            gateway_ip=str(subnet[1]),
            is_dhcp_enabled=False,
            allocation_pools=[{"start": str(subnet[100]), "end": str(subnet[199])}],
        )


def _made(cloud: _Sdk) -> Iterator[tuple[str, _Sdk]]:
    """What exists in the project, with its kind; a resource comes before those that it depends on."""
    mine = {"project_id": cloud.current_project_id}
    for balancer in cloud.load_balancer.load_balancers(**mine):
        yield "load balancer", balancer
    for server in cloud.compute.servers():
        yield "server", server
    for kind, found in (
        ("floating IP", cloud.network.ips(**mine)),
        ("router", cloud.network.routers(**mine)),
        ("port", cloud.network.ports(**mine)),
        ("network", cloud.network.networks(**mine)),
        ("security group", cloud.network.security_groups(**mine)),
        ("key pair", cloud.compute.keypairs()),
        ("server group", cloud.compute.server_groups()),
    ):
        # Every project has a default group, and the cloud deletes its own ports with the resources that they serve.
        yield from ((kind, it) for it in found if it.name != "default" and not _clouds_own(it))


def _clouds_own(thing: _Sdk) -> bool:
    return str(getattr(thing, "device_owner", "") or "").startswith("network:")


def leftovers(cloud: _Sdk) -> list[str]:
    """What exists in the project, such as "port heat-dev-front"."""
    return [f"{kind} {thing.name or thing.id}" for kind, thing in _made(cloud)]


def clear(cloud: _Sdk) -> None:
    """Delete everything that exists in the project."""
    for kind, thing in _made(cloud):
        match kind:
            case "load balancer":
                cloud.load_balancer.delete_load_balancer(thing, cascade=True)
                cloud.load_balancer.wait_for_delete(thing)
            case "server":
                cloud.compute.delete_server(thing)
                cloud.compute.wait_for_delete(thing)
            case "floating IP":
                cloud.network.delete_ip(thing)
            case "router":
                for port in list(cloud.network.ports(device_id=thing.id)):
                    if port.device_owner != "network:router_gateway":
                        cloud.network.remove_interface_from_router(thing, port_id=port.id)
                cloud.network.delete_router(thing)
            case "port":
                cloud.network.delete_port(thing)
            case "network":
                cloud.network.delete_network(thing)
            case "security group":
                cloud.network.delete_security_group(thing)
            case "key pair":
                cloud.compute.delete_keypair(thing)
            case "server group":
                cloud.compute.delete_server_group(thing)


def verdicts(cloud: _Sdk) -> Iterator[str]:
    """What does not work yet of Nova's services, Neutron's agents and Octavia's API."""
    services = {service.binary: service.state for service in cloud.compute.services()}
    for binary in ("nova-conductor", "nova-scheduler", "nova-compute"):
        if services.get(binary) != "up":
            yield f"{binary} is {services.get(binary, 'not there')}"
    # Octavia does not report whether its worker runs; requests to the worker wait at the broker.
    list(cloud.load_balancer.load_balancers())
    agents = {agent.binary: agent.is_alive for agent in cloud.network.agents()}
    for name in ("linuxbridge", "l3", "dhcp", "metadata"):
        if not agents.get(f"neutron-{name}-agent"):
            yield f"neutron-{name}-agent is not there"


def wait(cloud: _Sdk, seconds: float) -> None:
    """Wait until everything works.

    Raises:
        SystemExit: not in time; the message says what is missing.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            missing = list(verdicts(cloud))
        except (exceptions.SDKException, keystoneauth1.exceptions.ClientException) as error:
            missing = [str(error)]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"cloud: not ready within {seconds:.0f} s: {'; '.join(missing)}")
        time.sleep(1)


def main() -> None:
    """Run the part that the command names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["identity", "resources", "wait", "clear"])
    parser.add_argument("--clouds", required=True, help="the clouds.yaml")
    parser.add_argument("--host", default="", help="the address of the services")
    parser.add_argument("--subnet", type=ipaddress.IPv4Network, help="the container's bridge")
    parser.add_argument("--image", type=Path, help="the image's file")
    given = parser.parse_args()
    os.environ["OS_CLIENT_CONFIG_FILE"] = given.clouds
    cloud = openstack.connect(cloud="lab" if given.part == "clear" else "lab-admin")
    match given.part:
        case "identity":
            identity(cloud, given.host, cloud.auth["password"])
        case "resources":
            resources(cloud, given.subnet, given.image)
        case "wait":
            wait(cloud, 900)
        case "clear":
            clear(cloud)


if __name__ == "__main__":
    main()
