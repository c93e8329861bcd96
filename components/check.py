"""The end of an `up`: Heat answers, through the proxy, from every process of the plan; or `up` fails and says which.

Four looks, from where each can be had: every node at its own processes, with their logs at hand; the nodes side by
side at their messaging options; one node at the broker, which counts the engines; the front host through the proxy.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

import pulumi

from components.control_plane.bundled import ControlPlane
from components.heat import heat_conf
from components.heat.node import HeatNode
from components.proxy.haproxy import Listener
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process, of_kind, on_node

_PROGRAM = "/usr/local/lib/heat-scaleout/check_proxy.py"
# After a reload HAProxy needs `rise` passed checks; a process that just started may need a little more.
_SECONDS = 60


def unequal(messaging: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Where nodes differ in their messaging options: engines that do, miss each other's messages.

    Args:
        messaging: by node, a digest of each option.

    Returns:
        A sentence for each option that is not the same everywhere, naming the nodes that differ from most.
    """
    told = []
    for option in sorted({option for options in messaging.values() for option in options}):
        values = {node: options.get(option) for node, options in messaging.items()}
        usual, _ = Counter(values.values()).most_common(1)[0]
        if others := [node for node, value in values.items() if value != usual]:
            told.append(f"{option} on {', '.join(others)} is not what it is on the other nodes")
    return told


def _refuse_unequal(messaging: Mapping[str, Mapping[str, str]]) -> None:
    if told := unequal(messaging):
        listed = "\n".join(f"  * {sentence}" for sentence in told)
        raise pulumi.RunError(
            f"Heat's messaging options differ between nodes:\n{listed}\n"
            f"See {heat_conf.CONF} and {heat_conf.SECRETS} there: something other than this program has changed them."
        )


class Proxy(Protocol):
    """What clients reach: HAProxy, or a load balancer of Octavia's.

    Attributes:
        running: done when it sends requests to the planned processes.
        digest: of what it is told.
        inside: where it listens, as the front host reaches it.
        socket: where it is asked on the front host what it knows of the APIs; "" where it cannot be.
    """

    running: list[pulumi.Resource]
    digest: str
    inside: pulumi.Output[str]
    socket: str


class Check(pulumi.ComponentResource):
    """Runs whenever anything it looks at has changed.

    Attributes:
        done: when it has seen that all of it works.
    """

    done: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        front: Host,
        proxy: Proxy,
        fronted: Sequence[Listener],
        nodes: Mapping[str, HeatNode],
        processes: Sequence[Process],
        deployment: heat_conf.Deployment,
        control: ControlPlane,
        after: Mapping[str, Sequence[pulumi.Resource]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Look everywhere.

        Args:
            name: the component's name.
            front: the host from which the proxy is asked.
            proxy: running.
            fronted: the proxy's listeners, one for each API.
            nodes: by name.
            processes: the plan.
            deployment: how many workers an engine has.
            control: says where Keystone is, and who Heat is there.
            after: what must be done before on each node, such as the last process stopped.
            opts: of the component.
        """
        super().__init__("heat:check:Check", name, {}, opts)
        workers = len(of_kind(processes, Kind.ENGINE)) * deployment.engine_workers
        first = next(iter(nodes))
        # Where all engines are counted, those of every other node have to be as planned.
        everywhere = [resource for done in after.values() for resource in done]
        looks = [
            node.check(on_node(processes, at), everywhere, engines_in_all=workers)
            if at == first
            else node.check(on_node(processes, at), after[at])
            for at, node in nodes.items()
        ]
        messaging = {at: node.messaging(processes, after[at]) for at, node in nodes.items()}
        equal = pulumi.Output.all(**messaging).apply(_refuse_unequal)

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
                for listener in fronted
            ]
            return {"socket": proxy.socket, "seconds": _SECONDS, "apis": apis}

        source = program_text("proxy/check_proxy.py")
        program = front.file("check-program", _PROGRAM, source, parent=self)
        certificates = [front.file("ca", path, text, parent=self) for path, text in control.files.items()]
        plan = "\0".join([proxy.digest, source, *(process.name for process in processes)])
        text = pulumi.Output.all(
            control.service, control.keystone_url, control.ca_file, proxy.inside, equal,
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
        self.done = front.script("check", text, parent=self, after=[program, *certificates, *proxy.running, *looks])
        self.register_outputs({})
