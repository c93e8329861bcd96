"""The stack's outputs, by the names of `pulumi stack output`."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.control_plane.client_config import ClientConfig
from components.topology import APIS
from infra.build.inventory import Inventory
from infra.settings.model import Settings

# The name of the output with each API's URL: heatApiUrl, heatCfnUrl.
API_URLS = {kind: f"heat{kind.value.rpartition('-')[2].capitalize()}Url" for kind in APIS}
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
    urls = inventory.public_address.apply(
        lambda address: {
            API_URLS[kind]: url + APIS[kind].client_path for kind, url in settings.api_urls(address).items()
        }
    )
    stats = inventory.front.public_address.apply(lambda address: f"http://{address}:{settings.stats_port}/")
    return {
        **{name: urls[name] for name in API_URLS.values()},
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
