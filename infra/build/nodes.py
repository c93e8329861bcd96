"""Heat on its nodes: the one place that puts together what each of them is told."""

from __future__ import annotations

import pulumi

from components.control_plane.bundled import ControlPlane
from components.heat import heat_conf
from components.heat.node import HeatNode
from infra.build.inventory import Place
from infra.settings import load as configured
from infra.settings.model import Settings


def make_nodes(wanted: Settings, place: Place, control: ControlPlane) -> dict[str, HeatNode]:
    """Every node by its name, in their lasting order.

    Args:
        wanted: the settings.
        place: where they are.
        control: what Heat leans on.
    """
    deployment, overrides = wanted.deployment, configured.overrides(wanted)
    # Clients are told the address at which they find the APIs.
    own = place.entrance.apply(lambda address: heat_conf.options(wanted.deployment_at(address)))
    public = pulumi.Output.all(own, control.public).apply(lambda layers: heat_conf.merge(*layers))
    nodes = {
        node.name: HeatNode(
            node.name,
            host=place.hosts[node.name],
            deployment=deployment,
            public=public,
            secret=control.secret,
            more=control.files,
            api_server=wanted.api_server,
            overrides=overrides,
            memory=wanted.memory_limits,
            proxy="" if wanted.octavia else place.front.address,
            # What HAProxy says with its checks is in uWSGI's log alone.
            monitor=wanted.monitor if wanted.octavia or wanted.api_server.console else None,
        )
        for node in wanted.heat_nodes
    }
    for node in nodes.values():
        control.equip(node)
    return nodes
