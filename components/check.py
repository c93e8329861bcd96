"""The end of an `up`: every planned process of Heat answers through the proxy, or `up` fails and names the process.

Four checks: every node checks its own processes, and shows their logs; the messaging options of the nodes are compared;
one node has the broker count the engines; the front host sends requests through the proxy.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

import pulumi

from components.control_plane.base import ControlPlane
from components.heat import heat_conf
from components.heat.node import HeatNode
from components.proxy.haproxy import Listener
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process, of_kind, on_node

_PROGRAM = "/usr/local/lib/heat-scaleout/check_proxy.py"
# After a reload HAProxy needs `rise` passed health checks; a process that just started may need a little longer.
_SECONDS = 60


def find_differences(messaging: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Find the messaging options that differ between nodes. Engines with different options miss messages.

    Args:
        messaging: a digest of each option, by the option ("section.option"), by the node.

    Returns:
        A sentence for each option that is not equal everywhere, with the nodes that differ from the majority.
    """
    found = []
    for option in sorted({option for options in messaging.values() for option in options}):
        values = {node: options.get(option) for node, options in messaging.items()}
        usual, _ = Counter(values.values()).most_common(1)[0]
        if others := [node for node, value in values.items() if value != usual]:
            found.append(f"{option} on {', '.join(others)} differs from the other nodes")
    return found


def _refuse_differences(messaging: Mapping[str, Mapping[str, str]]) -> None:
    if found := find_differences(messaging):
        listed = "\n".join(f"  * {sentence}" for sentence in found)
        raise pulumi.RunError(
            f"Heat's messaging options differ between nodes:\n{listed}\n"
            f"Something other than this program has changed {heat_conf.CONF} or {heat_conf.SECRETS} there. "
            "Compare the files, and undo the change."
        )


class Proxy(Protocol):
    """The proxy in front of the APIs: HAProxy, or a load balancer of Octavia's.

    Attributes:
        running: done when the proxy sends requests to the planned processes.
        digest: a digest of the proxy's configuration.
        internal_address: the proxy's address for the front host.
        socket: the path of the socket on the front host that reports the states of the APIs; "" if there is none.
    """

    running: list[pulumi.Resource]
    digest: str
    internal_address: pulumi.Output[str]
    socket: str


class Check(pulumi.ComponentResource):
    """The check of the whole deployment. It runs again whenever anything that it checks has changed.

    Attributes:
        done: done when everything works.
    """

    done: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        front: Host,
        proxy: Proxy,
        listeners: Sequence[Listener],
        nodes: Mapping[str, HeatNode],
        processes: Sequence[Process],
        deployment: heat_conf.Deployment,
        control: ControlPlane,
        after: Mapping[str, Sequence[pulumi.Resource]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Check the processes, the messaging options, the engines at the broker, and the way through the proxy.

        Args:
            name: the component's name.
            front: the host that sends requests through the proxy.
            proxy: the proxy.
            listeners: the proxy's listeners, one for each API.
            nodes: the nodes by their names.
            processes: the plan.
            deployment: with the number of workers of an engine.
            control: with Keystone's URL and Heat's own user there.
            after: what must be done before on each node, such as stopping unplanned processes.
            opts: of the component.
        """
        super().__init__("heat:check:Check", name, {}, opts)
        workers = len(of_kind(processes, Kind.ENGINE)) * deployment.engine_workers
        first = next(iter(nodes))
        # The first node counts the engines of all nodes, so all nodes must be as planned before.
        everywhere = [resource for done in after.values() for resource in done]
        checks = [
            node.check(on_node(processes, at), everywhere, engine_workers_in_all=workers)
            if at == first
            else node.check(on_node(processes, at), after[at])
            for at, node in nodes.items()
        ]
        messaging = {at: node.messaging(processes, after[at]) for at, node in nodes.items()}
        equal = pulumi.Output.all(**messaging).apply(_refuse_differences)

        def spec(inside: str) -> dict[str, object]:
            apis = [
                {
                    "listener": listener.name,
                    # The proxy's own address. Clients may use another one.
                    "url": f"http://{inside}:{listener.port}",
                    "backends": {
                        process.backend: f"{process.unit} on {process.node} ({process.address})"
                        for process in listener.processes
                    },
                    "probe": asdict(APIS[listener.kind].probe),
                }
                for listener in listeners
            ]
            return {"socket": proxy.socket, "seconds": _SECONDS, "apis": apis}

        source = program_text("proxy/check_proxy.py")
        program = front.file("check-program", _PROGRAM, source, parent=self)
        certificates = [front.file("ca", path, text, parent=self) for path, text in control.files.items()]
        plan = "\0".join([proxy.digest, source, *(process.name for process in processes)])
        text = pulumi.Output.all(
            control.service, control.keystone_url, control.ca_file, proxy.internal_address, equal,
            *(node.digest for node in nodes.values()),
        ).apply(
            lambda known: render(
                "proxy/check.sh.j2",
                digest=hashlib.sha256("\0".join([plan, *known[5:]]).encode()).hexdigest(),
                program=_PROGRAM,
                spec={
                    **spec(known[3]),
                    "keystone_url": known[1],
                    "ca": known[2],
                    "login": asdict(known[0]),
                },
            )
        )  # fmt: skip
        self.done = front.script("check", text, parent=self, after=[program, *certificates, *proxy.running, *checks])
        self.register_outputs({"processes": [process.name for process in processes], "engine_workers": workers})
