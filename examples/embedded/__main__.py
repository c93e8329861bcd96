"""A site's own Pulumi program, with Heat's processes as a part of it.

The site runs the database, RabbitMQ, Keystone and a load balancer already, and it has two hosts for Heat. This program
uses components/ alone: every value is an argument, and no setting of heat-scaleout is read.
"""

import sys
from pathlib import Path

import pulumi

# Where the site keeps its copy of heat-scaleout, such as a git submodule.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.control_plane.base import Connections
from components.control_plane.existing import ExistingControlPlane, Given, Manage
from components.heat import heat_conf
from components.heat.api_server import ApiServer
from components.heat.heat_conf import Deployment, Services
from components.heat.install import Installation
from components.heat.node import HeatNode
from components.heat.overrides import Overrides
from components.heat.processes import run_in_batches, stop_on_destroy, stop_unplanned
from components.heat.schema import common_rpc_version, require_rpc_version, sync_schema
from components.hosts.firewall import HostFirewall
from components.hosts.ingress import ClosedPorts
from components.proxy.monitor import Monitor
from components.remote import Host, Login
from components.timeouts import complete_chain
from components.topology import APIS, Kind, Node, on_node, plan_processes

# The site's inventory. In a real program these may be outputs of its own resources.
HOST_KEYS = {"heat-1": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne", "heat-2": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAITwo"}
ADDRESSES = {"heat-1": "10.20.0.11", "heat-2": "10.20.0.12"}
LOAD_BALANCER = "10.20.0.5"
config = pulumi.Config()

hosts_of_site = pulumi.ComponentResource("site:index:HeatHosts", "heat-hosts")
hosts = {
    name: Host(
        name,
        address=address,
        login=Login(host_key=HOST_KEYS[name], private_key=config.require_secret("sshPrivateKey")),
        parent=hosts_of_site,
    )
    for name, address in ADDRESSES.items()
}

# Which process runs where: four engines and two APIs of each kind, spread over the hosts.
processes = plan_processes(
    [Node(name=name, address=address) for name, address in ADDRESSES.items()],
    counts={kind: 4 if kind is Kind.ENGINE else 2 for kind in Kind},
    ports={kind: api.port for kind, api in APIS.items()},
)
timeouts, _ = complete_chain({"rpc_response": 60, "engine_graceful": 60})
deployment = Deployment(
    install=Installation(version="27.0.1"),
    urls={kind: f"https://heat.example:{api.port}" for kind, api in APIS.items()},
    region="RegionOne",
    engine_workers=2,
    checks_per_stack=8,
    timeouts=timeouts,
)

# Only the load balancer reaches the APIs.
closed = {
    name: ClosedPorts(
        address=address,
        ports=tuple(sorted(process.port for process in on_node(processes, name) if process.port)),
        sources=(LOAD_BALANCER,),
    )
    for name, address in ADDRESSES.items()
}
firewall = HostFirewall("firewall", hosts=hosts, closed=closed)

# Nothing is created in the site's services: they are checked before Heat starts.
control = ExistingControlPlane(
    "control-plane",
    deployment=deployment,
    services=Services(keystone_url="https://keystone.example:5000", memcached=("10.20.0.20:11211",)),
    ca="",
    given=Given(
        database_url=config.require_secret("databaseUrl"),
        transport_url=config.require_secret("transportUrl"),
        service_password=config.require_secret("servicePassword"),
        stack_domain_admin_password=config.require_secret("stackDomainAdminPassword"),
        auth_encryption_key=config.require_secret("authEncryptionKey"),
    ),
    manage=Manage(),
    # Four engines with two workers each. A worker may open 5 connections, and one more for each of its 64 threads.
    connections=Connections(workers=8, each=69, remedy="Raise max_connections there."),
    hosts=hosts.values(),
    other_key_remedy="Set authEncryptionKey to the key in that file.",
)
firewall.close_nodes()

nodes = {
    name: HeatNode(
        name,
        host=host,
        deployment=deployment,
        public=control.public.apply(lambda options: heat_conf.merge(heat_conf.options(deployment), options)),
        secret=control.secret,
        extra_files=control.files,
        api_server=ApiServer(processes=2, max_body=2 * 1024 * 1024, max_header=32768),
        overrides=Overrides(),
        proxy=LOAD_BALANCER,
        # How the site's load balancer checks /healthcheck: it must take an API out that answers 503.
        monitor=Monitor(delay=2, timeout=1, fall=3, rise=2),
    )
    for name, host in hosts.items()
}

# One node prepares what all of them share; then the processes start in rolling batches.
first = nodes["heat-1"]
rpc_version = common_rpc_version(nodes)
remedy = "Name another vhost in transportUrl."
compatible = [require_rpc_version(node, rpc_version, remedy=remedy) for node in nodes.values()]
schema = sync_schema(first, rpc_version, after=[*compatible, *control.prepare(first)], dump=control.dump)
ready = [schema, control.register(first)]
ready.append(first.publish_membership(list(nodes), after=ready))
running = run_in_batches(nodes, processes, after=ready, batch=1)
for name, node in nodes.items():
    retired = stop_unplanned(node, on_node(processes, name), firewall=firewall.digest(name), after=running)
    node.check(on_node(processes, name), after=[retired])
    stop_on_destroy(node, after=[])

# For the site's load balancer.
pulumi.export(
    "backends", {process.backend: f"{process.address}:{process.port}" for process in processes if process.port}
)
