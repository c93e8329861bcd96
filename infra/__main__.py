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
from components.heat.node import run_in_turn, same_messages  # noqa: E402
from components.hosts.containers import machine_routes  # noqa: E402
from components.hosts.firewall import HostFirewall  # noqa: E402
from components.topology import on_node  # noqa: E402
from infra import outputs  # noqa: E402
from infra.build.control_plane import find_control_plane  # noqa: E402
from infra.build.inventory import find_place  # noqa: E402
from infra.build.nodes import make_nodes  # noqa: E402
from infra.build.proxy import make_proxy, plan_listeners  # noqa: E402
from infra.build.watch import look  # noqa: E402
from infra.settings import load as configured  # noqa: E402

stack, state = pulumi.get_stack(), ROOT / ".state" / pulumi.get_stack()
routes = machine_routes(Path("/proc/net/route").read_text())
raw, secrets = configured.read(pulumi.Config())
wanted = configured.load(stack, raw, routes, secrets)
processes, fronted = wanted.processes, plan_listeners(wanted)

# Where everything runs: the front host, which has the original addresses, and the Heat nodes.
place = find_place(wanted, stack=stack, root=ROOT)
# A host that hangs is named, and not just waited for.
for host in place.hosts.values():
    host.watch()

# Database, broker, cache and Keystone, behind a firewall; then the firewall of the nodes.
firewall = HostFirewall("firewall", hosts=place.hosts, closed=wanted.closed)
control = find_control_plane(wanted, place, firewall)
firewall.close_nodes()

# Heat on every node, from one configuration; its schema and its place in Keystone, once.
nodes = make_nodes(wanted, place, control)
first = next(iter(nodes.values()))
spoken = same_messages(nodes)
apart = [node.keep_apart(spoken) for node in nodes.values()]
synced = first.sync_schema(spoken, after=[*apart, *control.prepare(first)], dump=control.dump)
ready = [synced, control.register(first)]
ready.append(first.tell_members(list(nodes), after=ready))

# Start what is planned, then tell the proxy, then stop what is no longer planned.
running = run_in_turn(nodes, processes, after=ready, batch=wanted.rolling_batch)
leaving = [node.leave(after=[*control.ready, *firewall.needed_by(name)]) for name, node in nodes.items()]
proxy = make_proxy(wanted, place, fronted, after=[*running, *leaving])
retired = {
    name: node.retire(on_node(processes, name), firewall=firewall.digest(name), after=proxy.running)
    for name, node in nodes.items()
}

# What engines leave behind is looked after, by one node at a time.
caretaker = Caretaker("caretaker", nodes=nodes, schedule=wanted.schedule, after=running)

# The way of a request, from each backend through the proxy to the engines.
check = Check(
    "check", front=place.front, proxy=proxy, fronted=fronted, nodes=nodes, processes=processes,
    deployment=wanted.deployment, control=control,
    after={name: [retired[name], caretaker.running[name]] for name in nodes},
)  # fmt: skip

clouds = ClientConfig(
    "clients", path=state / "clouds.yaml", keystone_url=control.public_keystone_url, region=wanted.region,
    logins=control.logins,
)  # fmt: skip
keystone_url = pulumi.Output.concat(control.public_keystone_url, "/v3")
# Nothing of this runs again where nothing has changed: is the service there?
told = outputs.describe(wanted, place, keystone_url=keystone_url, clouds_yaml=clouds.path)
look(told, stack=stack, front=place.front, after=[check.done])

for name, value in told.items():
    pulumi.export(name, value)
