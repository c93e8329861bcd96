"""The end of every `up`: the APIs and Keystone answer where clients reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components import endpoints
from components.remote import Host
from components.topology import APIS
from infra.outputs import API_URLS


def check_service(
    outputs: Mapping[str, pulumi.Input[object]], *, stack: str, front: Host, after: Sequence[pulumi.Resource]
) -> None:
    """Send each of them a request; not in a preview.

    Args:
        outputs: the stack's outputs, with the URLs.
        stack: the stack's name.
        front: the front host.
        after: what must be done before.
    """
    if pulumi.runtime.is_dry_run():
        return

    async def ask(known: dict[str, Any]) -> bool:
        urls = {
            **{
                f"the {APIS[kind].title} API": f"{str(known[name]).removesuffix(APIS[kind].client_path)}/healthcheck"
                for kind, name in API_URLS.items()
            },
            "Keystone": str(known["keystoneUrl"]),
        }
        await endpoints.check_endpoints(urls, stack=stack, front=known["front"], port=front.port, direct=front.direct)
        return True

    # A resource's URN is known before the resource is done, its identifier afterwards.
    done = [resource.id for resource in after if isinstance(resource, pulumi.CustomResource)]
    where: dict[str, pulumi.Input[Any]] = {name: outputs[name] for name in (*API_URLS.values(), "keystoneUrl")}
    where |= {"front": front.public_address, "done": pulumi.Output.all(*done)}
    known: pulumi.Output[dict[str, Any]] = pulumi.Output.all(**where)
    _: pulumi.Output[bool] = known.apply(ask)
