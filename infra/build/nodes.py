"""Heat on its nodes."""

from __future__ import annotations

import pulumi

from components.control_plane.base import ControlPlane
from components.heat import heat_conf
from components.heat.node import HeatNode
from infra.build.inventory import Inventory
from infra.settings import load as settings_loader
from infra.settings.model import Settings


def make_nodes(settings: Settings, inventory: Inventory, control: ControlPlane) -> dict[str, HeatNode]:
    """Every node by its name, in their lasting order.

    Args:
        settings: the settings.
        inventory: the hosts.
        control: the control plane.
    """
    deployment, overrides = settings.deployment, settings_loader.overrides(settings)
    # heat.conf has the address at which clients reach the APIs.
    own = inventory.public_address.apply(lambda address: heat_conf.options(settings.deployment_at(address)))
    public = pulumi.Output.all(own, control.public).apply(lambda layers: heat_conf.merge(*layers))
    nodes = {
        node.name: HeatNode(
            node.name,
            host=inventory.hosts[node.name],
            deployment=deployment,
            public=public,
            secret=control.secret,
            extra_files=control.files,
            api_server=settings.api_server,
            overrides=overrides,
            memory=settings.memory_limits,
            proxy="" if settings.octavia else inventory.front.address,
            # Only uWSGI's log shows the health checks of HAProxy.
            monitor=settings.monitor if settings.octavia or settings.console else None,
        )
        for node in settings.heat_nodes
    }
    for node in nodes.values():
        control.install_files(node)
    return nodes
