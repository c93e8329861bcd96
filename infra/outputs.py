"""What the operator gets to know of a stack, by the names of `pulumi stack output`."""

from __future__ import annotations

import pulumi

from infra.model import Settings


def describe(
    settings: Settings, *, keystone_url: pulumi.Input[str], clouds_yaml: pulumi.Input[str]
) -> dict[str, pulumi.Input[object]]:
    """The stack's outputs.

    Args:
        settings: the deployment.
        keystone_url: Keystone, version 3.
        clouds_yaml: the file with the logins of clients, on the operator's machine.
    """
    deployment, front = settings.deployment, settings.addresses[settings.host_names[0]]
    return {
        "heat_api_url": deployment.api_url,
        "heat_cfn_url": f"{deployment.cfn_url}/v1/",
        "keystone_url": keystone_url,
        "haproxy_stats_url": f"http://{front}:{settings.stats_port}/",
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
