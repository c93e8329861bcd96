"""Heat's database schema, and the version of the messages that engines exchange: each changes with Heat's release."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import pulumi

from components.heat import heat_conf
from components.heat.install import PROGRAM, Release, explain_mixed_releases
from components.heat.node import HeatNode
from components.rendering import program_text, render

_SCHEMA = "/usr/local/lib/heat-scaleout/schema.py"

# Takes the revisions of the schema ("current", None in an empty database, and "newest") and the prefix of the release;
# returns the path of the dump, "" if none was needed.
Dump: TypeAlias = "Callable[[pulumi.Output[Mapping[str, str | None]], str], pulumi.Output[str]]"


class MixedReleasesError(pulumi.RunError):
    """The nodes have releases of Heat whose engines cannot share a vhost of the broker."""


def common_rpc_version(nodes: Mapping[str, HeatNode]) -> pulumi.Output[str]:
    """The version of the engines' messages on all nodes, such as "1.9".

    Raises:
        MixedReleasesError: the versions differ. Pulumi shows the message and ends the program.
    """

    def agreed(releases: Mapping[str, Release]) -> str:
        if refusal := explain_mixed_releases(releases):
            raise MixedReleasesError(refusal)
        return next(iter(releases.values())).engine_worker

    return pulumi.Output.all(**{name: node.release for name, node in nodes.items()}).apply(agreed)


def require_rpc_version(node: HeatNode, rpc_version: pulumi.Input[str], *, remedy: str) -> pulumi.Resource:
    """Fail if an engine on this node uses the planned vhost with another version of the messages.

    Args:
        node: the node.
        rpc_version: `common_rpc_version` of all nodes.
        remedy: how to configure another vhost; the last part of the message.
    """
    text = pulumi.Output.all(rpc_version, node.digest_of([heat_conf.SECRETS])).apply(
        lambda known: render(
            "heat/keep-apart.sh.j2",
            program=PROGRAM,
            rpc_version=known[0],
            digest=known[1],
            remedy=remedy,
            **node.template_values,
        )
    )
    return node.host.script("keep-apart", text, parent=node, after=node.files)


def sync_schema(
    node: HeatNode, rpc_version: pulumi.Input[str], after: Sequence[pulumi.Resource], *, dump: Dump | None = None
) -> pulumi.Resource:
    """Upgrade the database's schema to this release, if the schema is older. Call it for one node of a deployment.

    Args:
        node: the node that runs the upgrade.
        rpc_version: `common_rpc_version` of all nodes.
        after: what must be done before.
        dump: makes a dump of a database whose schema is older; None to make none.
    """
    program = node.host.file(
        "schema-program", _SCHEMA, program_text("heat/schema.py"), parent=node, after=[node.put_key_test()]
    )
    before = [program, *node.files, *after]
    digest = node.digest_of([heat_conf.SECRETS])
    dumped: pulumi.Input[str] = ""
    if dump:
        state = digest.apply(
            lambda known: render("heat/schema-state.sh.j2", program=_SCHEMA, digest=known, **node.template_values)
        )
        shown = node.host.script("schema-state", state, parent=node, after=before)
        # The revisions are no secret: a preview shows them.
        dumped = dump(pulumi.Output.unsecret(shown.stdout.apply(json.loads)), node.prefix)
    text = pulumi.Output.all(rpc_version, digest, dumped).apply(
        lambda known: render(
            "heat/schema.sh.j2",
            program=_SCHEMA,
            rpc_version=known[0],
            digest=known[1],
            dump=known[2],
            **node.template_values,
        )
    )
    return node.host.script("schema", text, parent=node, after=before)
