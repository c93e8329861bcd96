"""What the operator gets to know of a stack, by the names of `pulumi stack output`."""

from __future__ import annotations

import pulumi

from components.topology import APIS
from infra.build.inventory import Inventory
from infra.settings.model import Settings

# The name of the output with each API's URL: heat_api_url, heat_cfn_url.
API_URLS = {kind: f"heat_{kind.value.rpartition('-')[2]}_url" for kind in APIS}


def describe(
    settings: Settings, inventory: Inventory, *, keystone_url: pulumi.Input[str], clouds_yaml: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The stack's outputs.

    Args:
        settings: the deployment.
        inventory: where clients find it.
        keystone_url: Keystone, version 3.
        clouds_yaml: the file with the logins of clients, on the operator's machine.
    """
    urls = inventory.public_address.apply(
        lambda address: {
            name: settings.deployment_at(address).urls[kind] + APIS[kind].client_path for kind, name in API_URLS.items()
        }
    )
    stats = inventory.front.public_address.apply(lambda address: f"http://{address}:{settings.stats_port}/")
    return {
        **{name: urls[name] for name in API_URLS.values()},
        "keystone_url": keystone_url,
        **({} if settings.octavia else {"haproxy_stats_url": stats}),
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
        "clouds_yaml": clouds_yaml,
    }
