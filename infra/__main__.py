"""Heat, scaled out as in Heat's guide "Scaling a Deployment": hosts, control plane, nodes, proxy, check."""

import signal
import sys
from pathlib import Path

import pulumi

# Pulumi interrupts the program when a resource fails. Its message is the one to read, not a traceback of this program.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# Pulumi runs this file from its own directory; the components are next to it.
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from components.check import Check  # noqa: E402
from components.control_plane.client_config import ClientConfig  # noqa: E402
from components.heat.caretaker import Caretaker  # noqa: E402
from components.heat.processes import run_in_batches, stop_on_destroy, stop_unplanned  # noqa: E402
from components.heat.schema import common_rpc_version, require_rpc_version, sync_schema  # noqa: E402
from components.hosts.firewall import HostFirewall  # noqa: E402
from components.hosts.subnets import parse_routes  # noqa: E402
from components.topology import on_node  # noqa: E402
from infra import outputs, remedies  # noqa: E402
from infra.build.control_plane import find_control_plane  # noqa: E402
from infra.build.inventory import find_inventory  # noqa: E402
from infra.build.nodes import make_nodes  # noqa: E402
from infra.build.proxy import make_proxy, plan_listeners  # noqa: E402
from infra.build.watch import check_service  # noqa: E402
from infra.settings import load as settings_loader  # noqa: E402

# The settings, and the plan that follows from them: which process runs where, and what the proxy listens on.
stack, stack_directory = pulumi.get_stack(), ROOT / ".state" / pulumi.get_stack()
routes = parse_routes(Path("/proc/net/route").read_text())
raw, secrets = settings_loader.read(pulumi.Config())
settings = settings_loader.load(stack, raw, routes, secrets)
processes, listeners = settings.processes, plan_listeners(settings)

# The hosts: the front host, which has the original addresses, and the Heat nodes.
inventory = find_inventory(settings, stack=stack, root=ROOT)
for host in inventory.hosts.values():
    host.warn_if_silent()

# The control plane (database, broker, cache, Keystone) behind a firewall; then the firewall of the nodes.
firewall = HostFirewall("firewall", hosts=inventory.hosts, closed=settings.closed)
control = find_control_plane(settings, inventory, firewall)
firewall.close_nodes()

# Heat on every node, with the same configuration. One node upgrades the schema and registers Heat in Keystone.
nodes = make_nodes(settings, inventory, control)
first = next(iter(nodes.values()))
rpc_version = common_rpc_version(nodes)
compatible = [require_rpc_version(node, rpc_version, remedy=remedies.OTHER_VHOST) for node in nodes.values()]
synced = sync_schema(first, rpc_version, after=[*compatible, *control.prepare(first)], dump=control.dump)
ready = [synced, control.register(first)]
ready.append(first.publish_membership(list(nodes), after=ready))

# Start the planned processes, then configure the proxy, then stop the processes that are no longer planned.
running = run_in_batches(nodes, processes, after=ready, batch=settings.rolling_batch)
on_destroy = [
    stop_on_destroy(node, after=[*control.ready, *firewall.teardown_dependencies(name)]) for name, node in nodes.items()
]
proxy = make_proxy(settings, inventory, listeners, after=[*running, *on_destroy])
retired = {
    name: stop_unplanned(node, on_node(processes, name), firewall=firewall.digest(name), after=proxy.running)
    for name, node in nodes.items()
}

# Stack recovery and cleanup, on one node at a time.
caretaker = Caretaker("caretaker", nodes=nodes, schedule=settings.schedule, after=running)

# Check the path of a request: from the proxy to each backend, and from there to the engines.
check = Check(
    "check", front=inventory.front, proxy=proxy, listeners=listeners, nodes=nodes, processes=processes,
    deployment=settings.deployment, control=control,
    after={name: [retired[name], caretaker.running[name]] for name in nodes},
)  # fmt: skip

clients = ClientConfig(
    "clients", path=stack_directory / "clouds.yaml", keystone_url=control.public_keystone_url, region=settings.region,
    logins=control.logins,
)  # fmt: skip
keystone_url = pulumi.Output.concat(control.public_keystone_url, "/v3")
described = outputs.describe(settings, inventory, keystone_url=keystone_url, clients=clients)
# Pulumi repeats none of the above without a change, so every `up` checks that the service answers.
check_service(described, stack=stack, front=inventory.front, after=[check.done])
outputs.export(described)
