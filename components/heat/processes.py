"""Heat's processes on the nodes: started in rolling batches, and stopped when the plan or the deployment drops them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.heat import heat_conf
from components.heat.node import HeatNode
from components.rendering import render
from components.topology import Kind, Process, of_kind, rolling_batches


def run_process(node: HeatNode, process: Process, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
    """Start a process, or restart it if one of the files that it reads has changed, and wait until it is healthy.

    Args:
        node: the process's node.
        process: the process.
        after: what must be done before.
    """
    secret = node.overrides.secret.of_process(process)
    own = heat_conf.process_options(
        process, console_processes=node.console_processes, max_header=node.api_server.max_header
    )
    layers = [own, node.overrides.public.of_process(process), secret]
    text = pulumi.Output.all(*layers).apply(
        lambda known: render(
            "heat/options.conf.j2",
            purpose=f"Options of {process.unit} on {process.node} alone, read after heat.conf and secrets.conf.",
            options=heat_conf.merge(*known),
        )
    )
    path = heat_conf.process_conf(process)
    conf = node.host.file(
        f"{process.kind.value}-{process.instance}-conf",
        path,
        text,
        mode="0640" if secret else "0644",
        owner="root:heat" if secret else "root:root",
        check=node.options_checker,
        parent=node,
        after=node.before_options,
    )
    copies = node.copies(process.kind, process.unit, path)
    node.copies_by_unit[process.unit] = copies
    script = node.digest_of(node.files_read_by(process.kind), text).apply(
        lambda digest: render(
            "heat/process.sh.j2",
            digest=digest,
            unit=process.unit,
            name=process.name,
            port=process.port,
            copies=list(copies.items()),
            **node.template_values,
        )
    )
    return node.host.script(
        f"{process.kind.value}-{process.instance}", script, parent=node, after=[conf, *node.files, *after]
    )


def run_in_batches(
    nodes: Mapping[str, HeatNode], processes: Sequence[Process], after: Sequence[pulumi.Resource], *, batch: int
) -> list[pulumi.Resource]:
    """Run every process, in rolling batches of each kind: while some restart, the others of their kind serve.

    Each kind starts with one process alone, and the APIs start after the first engine. A process that does not become
    healthy ends the `up`, and the remaining processes keep running what they ran.

    Args:
        nodes: the nodes by their names.
        processes: the plan.
        after: what must be done before.
        batch: the number of processes of a kind that may restart at once.

    Returns:
        The last batch of each kind. All other processes have run before it.
    """
    running: list[pulumi.Resource] = []
    first_engine: list[pulumi.Resource] = []
    for kind in Kind:
        before = first_engine
        for together in rolling_batches(of_kind(processes, kind), batch):
            before = [run_process(nodes[process.node], process, [*after, *before]) for process in together]
            first_engine = first_engine or before
        running += before
    return running


def stop_unplanned(
    node: HeatNode, processes: Sequence[Process], *, firewall: pulumi.Input[str], after: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """Stop every process of Heat on this node that is not planned, and every legacy engine on an earlier vhost.

    Args:
        node: the node.
        processes: this node's part of the plan.
        firewall: a digest of the host's firewall rules; ports of unplanned processes are closed from now on.
        after: what must be done before.
    """
    units = [process.unit for process in processes]
    text = pulumi.Output.all(node.broker, firewall).apply(
        lambda known: render(
            "heat/retire.sh.j2", units=units, broker=known[0], firewall=known[1], **node.template_values
        )
    )
    return node.host.script("retire", text, parent=node, after=after)


def stop_on_destroy(node: HeatNode, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
    """Stop Heat on this node when the host leaves the deployment, before anything in `after` is deleted."""
    return node.host.on_destroy(
        "leave",
        render("heat/teardown.sh.j2", units=[], timers=[], **node.template_values),
        if_unreachable="should it come back, Heat runs on; stop it there: systemctl disable --now 'heat-*@*'",
        parent=node,
        after=after,
    )
