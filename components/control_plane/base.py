"""What every kind of control plane has in common: its interface, and scripts that a Heat node or a host runs for it."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.control_plane.client_config import Login
from components.control_plane.keystone import ServiceLogin
from components.heat.heat_conf import Options, Secrets
from components.heat.node import HeatNode
from components.heat.schema import Dump
from components.remote import Host
from components.rendering import program_text, render


@dataclass(frozen=True, kw_only=True)
class Connections:
    """How many connections Heat's engines may open to a database that others run.

    Attributes:
        workers: the number of engine workers in the deployment.
        each: how many connections one worker may open.
        remedy: what to do if the database allows fewer; the last part of the message.
    """

    workers: int
    each: int
    remedy: str


class ControlPlane(pulumi.ComponentResource, abc.ABC):
    """The services that Heat depends on: database, broker, cache and Keystone.

    Attributes:
        keystone_url: Keystone's URL for the deployment's hosts, without a version.
        public_keystone_url: the same for clients.
        public: the options of heat.conf about these services.
        secret: the options of secrets.conf about these services.
        service: Heat's own user in Keystone.
        logins: the logins of clients, by the name of the cloud in their clouds.yaml.
        files: the text of each file that the options name, by its path on the nodes.
        ca_file: the path of the certificates that Keystone is verified with; "" for the system's.
        ready: done when every service answers.
    """

    keystone_url: pulumi.Output[str]
    public_keystone_url: pulumi.Output[str]
    public: pulumi.Output[Options]
    secret: pulumi.Output[Options]
    service: pulumi.Output[ServiceLogin]
    logins: pulumi.Output[dict[str, Login]]
    files: dict[str, pulumi.Input[str]]
    ca_file: pulumi.Input[str]
    ready: list[pulumi.Resource]

    @abc.abstractmethod
    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:
        """Do what must be done before Heat's schema is synced, on a Heat node."""

    @property
    def dump(self) -> Dump | None:
        """Makes a dump of Heat's database before its schema is upgraded; None if others run the database."""
        return None

    @abc.abstractmethod
    def install_files(self, node: HeatNode) -> None:
        """Put files on a node that the options name and that are not in `files`: known only after a host was asked."""

    @abc.abstractmethod
    def register(self, node: HeatNode) -> pulumi.Resource:
        """Register Heat in Keystone, or check that it is registered, on a Heat node."""

    def register_addresses(self) -> None:
        """Register the component's outputs: Keystone's addresses and certificates."""
        self.register_outputs(
            {
                "keystone_url": self.keystone_url,
                "public_keystone_url": self.public_keystone_url,
                "ca_file": self.ca_file,
            }
        )


def run_program(
    node: HeatNode,
    name: str,
    path: str,
    *,
    purpose: str,
    spec: pulumi.Input[Any],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
    show_output: bool = False,
) -> pulumi.Resource:
    """Run a program of programs/control_plane/ on a node, by the Python of the node's Heat.

    Args:
        node: the node.
        name: the resource is called <host>-<name>.
        path: the program's path on the host, with its file name in programs/control_plane/.
        purpose: a sentence for the head of the script.
        spec: the JSON that the program reads from stdin.
        parent: the component that the program belongs to.
        after: what must be done before.
        show_output: show the operator what the program prints.
    """
    text = program_text("control_plane/" + path.rpartition("/")[2])
    program = node.host.file(f"{name}-program", path, text, parent=parent, after=[node.installed])
    script = pulumi.Output.from_input(spec).apply(
        lambda known: render(
            "control_plane/program.sh.j2", purpose=purpose, python=node.python, program=path, spec=known
        )
    )
    return node.host.script(name, script, parent=parent, after=[program, *node.files, *after], show_output=show_output)


def refuse_other_keys(
    hosts: Collection[Host], secrets: pulumi.Input[Secrets], *, remedy: str, parent: pulumi.Resource
) -> None:
    """Fail if a host has run Heat on this database with another auth_encryption_key. Nothing is changed before.

    Args:
        hosts: the hosts that may have run Heat.
        secrets: with the key and the URL of the database.
        remedy: how to configure the key that is in use; the last part of the message.
        parent: the component that the check belongs to.
    """
    known = pulumi.Output.secret(secrets)

    def script(host: Host) -> pulumi.Output[str]:
        return known.apply(
            lambda planned: render(
                "heat/known-key.sh.j2",
                name=host.name,
                key=planned.auth_encryption_key,
                database=planned.database_url.rpartition("@")[2].partition("?")[0],
                remedy=remedy,
            )
        )

    checks = [host.script("known-key", script(host), parent=parent) for host in hosts]
    for host in hosts:
        host.require(checks)
