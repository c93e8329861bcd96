"""Hosts that are containers on this machine: systemd as PID 1, sshd, and an address each on one bridge.

They are the dev stack's hosts. To Heat they look like machines, with their own files, processes and addresses. They are
not for production.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_command as command

from components.hosts.subnets import assign_addresses, mac_address
from components.outputs import render_output
from components.remote import Host, Login
from components.rendering import TEMPLATES
from components.secrets import KeyPair


class ContainerHosts(pulumi.ComponentResource):
    """Local systemd containers on one bridge.

    Attributes:
        hosts: by name.
    """

    hosts: dict[str, Host]

    def __init__(
        self,
        name: str,
        *,
        stack: str,
        subnet: ipaddress.IPv4Network,
        names: Sequence[str],
        checkout: Path,
        cache: Path,
        debian_mirror: str = "",
        protect: bool = False,
        generation: int = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create the containers.

        Args:
            name: the component's name.
            stack: a part of the names of the containers and the network.
            subnet: the bridge's.
            names: the hosts' names in their permanent order, the front host first. It decides about their addresses.
            checkout: this checkout, a label by which containers and networks of other checkouts are recognised.
            cache: the directory of the base image, which is built once.
            debian_mirror: the URL of the base image's packages; "" for Debian's own.
            protect: protect the network and the front host, which may have the database, from deletion.
            generation: a new value runs everything on the hosts again.
            opts: of the component.
        """
        super().__init__("heat:hosts:ContainerHosts", name, {}, opts)
        self._checkout, self._protects = str(checkout), protect
        recipe = hashlib.sha256((TEMPLATES / "hosts/containers/image.sh.j2").read_bytes()).hexdigest()
        image = self._script("image", "image", {"cache": str(cache), "debian_mirror": debian_mirror, "recipe": recipe})
        self._container_engine = image.stdout.apply(lambda lines: lines.split("\n")[0].strip())
        self._image = image.stdout.apply(lambda lines: lines.split("\n")[1])
        self._flags = self._script("flags", "flags", {"engine": self._container_engine, "image": self._image}).stdout
        network_name = f"heat-{stack}"
        network = self._script(
            "network",
            "network",
            {"engine": self._container_engine, "name": network_name, "subnet": str(subnet), "owner": self._checkout},
            deletable=True,
            protect=True,
        )
        client_key = KeyPair("ssh-key", self, protect=protect)
        self.hosts = {}
        addresses = assign_addresses(subnet, names)
        for host, address in addresses.items():
            front = not self.hosts
            host_key = KeyPair(f"{host}-host-key", self, protect=protect and front)
            machine = self._script(
                f"{host}-machine",
                "host",
                {
                    "engine": self._container_engine,
                    "flags": self._flags,
                    "image": self._image,
                    "name": f"{network_name}-{host}",
                    "hostname": host,
                    "owner": self._checkout,
                    "network": network_name,
                    "address": address,
                    "mac": mac_address(address),
                    "authorized_key": client_key.public_key,
                },
                environment={"HOST_KEY": host_key.private_key},
                deletable=True,
                protect=front,
                replace_when_changed=[address, str(subnet)],
                after=[network],
            )
            self.hosts[host] = Host(
                host,
                address=address,
                login=Login(private_key=client_key.private_key, host_key=host_key.public_key),
                parent=self,
                machine=machine,
                generation=generation,
            )
        self.register_outputs({"addresses": addresses, "network": network_name, "image": self._image})

    def _script(
        self,
        name: str,
        template: str,
        values: Mapping[str, pulumi.Input[str]],
        *,
        environment: Mapping[str, pulumi.Input[str]] | None = None,
        deletable: bool = False,
        protect: bool = False,
        replace_when_changed: Sequence[str] = (),
        after: Sequence[pulumi.Resource] = (),
    ) -> command.local.Command:
        """Run templates/hosts/containers/<template>.sh.j2 on this machine.

        Args:
            name: of the resource.
            template: the script's name.
            values: for the template.
            environment: secrets, which only the script's process sees.
            deletable: the script creates something that it can delete: its argument is "create" or "delete".
            protect: protect the resource, if the component is to protect anything.
            replace_when_changed: a change of these values replaces the resource, as it would a machine.
            after: resources that must exist before.
        """
        return command.local.Command(
            name,
            create="sh -s create" if deletable else "sh -s",
            delete="sh -s delete" if deletable else None,
            stdin=render_output(f"hosts/containers/{template}.sh.j2", values),
            environment=environment,
            triggers=list(replace_when_changed) or None,
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*after],
                protect=(protect and self._protects) or None,
                # A container holds its name and address until it is deleted.
                delete_before_replace=True,
            ),
        )
