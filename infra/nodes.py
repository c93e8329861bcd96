"""Heat on its nodes: the one place that puts together what each of them is told."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components import heat_conf
from components.control_plane import ControlPlane
from components.heat_node import HeatNode
from components.remote import Host
from infra import settings as configured
from infra.model import FRONT, Settings


def make_nodes(wanted: Settings, hosts: Mapping[str, Host], control: ControlPlane) -> dict[str, HeatNode]:
    """Every node by its name, in their lasting order.

    Args:
        wanted: the settings.
        hosts: every host, by its name.
        control: what Heat leans on.
    """
    deployment, overrides = wanted.deployment, configured.overrides(wanted)
    # Clients are told the front host's address as they find it.
    own = hosts[FRONT].outside.apply(lambda address: heat_conf.options(wanted.deployment_at(address)))
    public = pulumi.Output.all(own, control.public).apply(lambda layers: heat_conf.merge(*layers))
    nodes = {
        node.name: HeatNode(
            node.name,
            host=hosts[node.name],
            deployment=deployment,
            public=public,
            secret=control.secret,
            more=control.files,
            api_server=wanted.api_server,
            overrides=overrides,
            allow_options=wanted.allow_options,
            pip_index_url=wanted.pip_index_url,
        )
        for node in wanted.heat_nodes
    }
    for node in nodes.values():
        control.equip(node)
    return nodes
