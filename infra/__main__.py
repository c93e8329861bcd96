"""Heat, scaled out: hosts, control plane, nodes, proxy, check, as in Heat's guide "Scaling a Deployment"."""

import signal
import sys
from pathlib import Path

import pulumi

# When a resource fails, Pulumi interrupts the program: its message is the one to read, not where Python was just then.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# Pulumi runs this file from its own directory; the components are beside it.
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
from infra.build.watch import look  # noqa: E402
from infra.settings import load as configured  # noqa: E402

stack, state = pulumi.get_stack(), ROOT / ".state" / pulumi.get_stack()
routes = parse_routes(Path("/proc/net/route").read_text())
raw, secrets = configured.read(pulumi.Config())
settings = configured.load(stack, raw, routes, secrets)
processes, fronted = settings.processes, plan_listeners(settings)

# Where everything runs: the front host, which has the original addresses, and the Heat nodes.
inventory = find_inventory(settings, stack=stack, root=ROOT)
# A host that hangs is named, and not just waited for.
for host in inventory.hosts.values():
    host.warn_if_silent()

# Database, broker, cache and Keystone, behind a firewall; then the firewall of the nodes.
firewall = HostFirewall("firewall", hosts=inventory.hosts, closed=settings.closed)
control = find_control_plane(settings, inventory, firewall)
firewall.close_nodes()

# Heat on every node, from one configuration; its schema and its place in Keystone, once.
nodes = make_nodes(settings, inventory, control)
first = next(iter(nodes.values()))
version = common_rpc_version(nodes)
apart = [require_rpc_version(node, version, remedy=remedies.OTHER_VHOST) for node in nodes.values()]
synced = sync_schema(first, version, after=[*apart, *control.prepare(first)], dump=control.dump)
ready = [synced, control.register(first)]
ready.append(first.publish_membership(list(nodes), after=ready))

# Start what is planned, then tell the proxy, then stop what is no longer planned.
running = run_in_batches(nodes, processes, after=ready, batch=settings.rolling_batch)
leaving = [
    stop_on_destroy(node, after=[*control.ready, *firewall.teardown_dependencies(name)]) for name, node in nodes.items()
]
proxy = make_proxy(settings, inventory, fronted, after=[*running, *leaving])
retired = {
    name: stop_unplanned(node, on_node(processes, name), firewall=firewall.digest(name), after=proxy.running)
    for name, node in nodes.items()
}

# What engines leave behind is looked after, by one node at a time.
caretaker = Caretaker("caretaker", nodes=nodes, schedule=settings.schedule, after=running)

# The way of a request, from each backend through the proxy to the engines.
check = Check(
    "check", front=inventory.front, proxy=proxy, fronted=fronted, nodes=nodes, processes=processes,
    deployment=settings.deployment, control=control,
    after={name: [retired[name], caretaker.running[name]] for name in nodes},
)  # fmt: skip

clouds = ClientConfig(
    "clients", path=state / "clouds.yaml", keystone_url=control.public_keystone_url, region=settings.region,
    logins=control.logins,
)  # fmt: skip
keystone_url = pulumi.Output.concat(control.public_keystone_url, "/v3")
# Nothing of this runs again where nothing has changed: is the service there?
told = outputs.describe(settings, inventory, keystone_url=keystone_url, clouds_yaml=clouds.path)
look(told, stack=stack, front=inventory.front, after=[check.done])

for name, value in told.items():
    pulumi.export(name, value)
