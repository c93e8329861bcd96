"""A load balancer of Octavia's as `loadBalancer: octavia` has it, in a network of its own, for so many nodes."""

import sys
from pathlib import Path

import pulumi

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pulumi_openstack import Provider, loadbalancer, networking

from components.proxy.octavia import Balancer, OctaviaProxy
from infra.build.proxy import plan_listeners
from infra.settings.load import load

config = pulumi.Config()
stack = load(
    "balancer",
    {
        "hosts": "openstack",
        "loadBalancer": "octavia",
        "nodes": config.require_int("nodes"),
        "apis": config.require_int("nodes"),
        "subnet": "10.213.93.0/24",
        "haproxy": {"balance": config.require("balance")},
        "openstack": {"sshFrom": ["198.51.100.0/24"]},
    },
)
provider = Provider("openstack", cloud="lab")
by = pulumi.ResourceOptions(provider=provider)
network = networking.Network("network", name="heat-balancer", opts=by)
subnet = networking.Subnet(
    "subnet", name="heat-balancer", network_id=network.id, cidr=stack.subnet, ip_version=4, opts=by
)
made = loadbalancer.LoadBalancer("load-balancer", name="heat-balancer", vip_subnet_id=subnet.id, opts=by)
balanced = stack.octavia_spec
assert balanced
OctaviaProxy(
    "proxy",
    balancer=Balancer(
        provider=provider,
        prefix="heat-balancer",
        tags=["heat"],
        ready=[made],
        id=made.id,
        subnet_id=subnet.id,
        internal_address=made.vip_address,
        public_address=made.vip_address,
    ),
    spec=balanced,
    listeners=plan_listeners(stack),
    after=[],
)
