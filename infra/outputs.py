"""The stack's outputs, by the names of `pulumi stack output`."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.control_plane.client_config import ClientConfig
from infra.build.inventory import Inventory
from infra.settings.model import Settings

# The outputs' names before they had the style of the settings' names. They will be removed with the next release.
FORMER = {
    "heat_api_url": "heatApiUrl",
    "heat_cfn_url": "heatCfnUrl",
    "keystone_url": "keystoneUrl",
    "haproxy_stats_url": "haproxyStatsUrl",
    "clouds_yaml": "cloudsYamlPath",
}


def describe(
    settings: Settings, inventory: Inventory, *, keystone_url: pulumi.Input[str], clients: ClientConfig
) -> dict[str, pulumi.Input[object]]:
    """What the outputs are.

    Args:
        settings: the settings.
        inventory: the hosts, and where clients reach them.
        keystone_url: Keystone's URL, with its version.
        clients: the logins of clients.
    """
    deployment = inventory.public_address.apply(settings.deployment_at)
    stats = inventory.front.outside.apply(lambda address: f"http://{address}:{settings.stats_port}/")
    return {
        "heatApiUrl": deployment.apply(lambda known: known.api_url),
        "heatCfnUrl": deployment.apply(lambda known: f"{known.cfn_url}/v1/"),
        "keystoneUrl": keystone_url,
        **({} if settings.octavia else {"haproxyStatsUrl": stats}),
        "nodes": [{"name": name, "address": address} for name, address in settings.addresses.items()],
        "processes": [
            {
                "kind": process.kind.value,
                "node": process.node,
                "address": process.address,
                **({"port": process.port} if process.port else {}),
                "unit": process.unit,
            }
            for process in settings.processes
        ],
        "cloudsYamlPath": clients.path,
        "cloudsYaml": clients.content,
    }


def export(outputs: Mapping[str, pulumi.Input[object]]) -> None:
    """Export them, for now also by their former names."""
    for name, value in outputs.items():
        pulumi.export(name, value)
    for former, name in FORMER.items():
        if name in outputs:
            pulumi.export(former, outputs[name])
