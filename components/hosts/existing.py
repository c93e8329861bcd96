"""Existing hosts: machines with an address, an sshd, and a user that is root or may use sudo.

Pulumi creates and deletes no machine. A `destroy` leaves them running.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.hosts.ingress import FRONT
from components.remote import Host, Login


class ExistingHosts(pulumi.ComponentResource):
    """Hosts with given addresses.

    Attributes:
        hosts: by name. No host is changed before all of them have passed the checks.
    """

    hosts: dict[str, Host]

    def __init__(
        self,
        name: str,
        *,
        addresses: Mapping[str, str],
        logins: Mapping[str, Login],
        generation: int = 1,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Check every host.

        Args:
            name: the component's name.
            addresses: IPv4 addresses by host name, in their permanent order.
            logins: how to log in, by host name.
            generation: a new value runs everything on the hosts again.
            opts: of the component.
        """
        super().__init__("heat:hosts:ExistingHosts", name, {}, opts)
        front = addresses[FRONT]
        self.hosts = {
            host: Host(
                host,
                address=address,
                login=logins[host],
                parent=self,
                generation=generation,
                route_to="" if host == FRONT else front,
            )
            for host, address in addresses.items()
        }
        for one in self.hosts.values():
            one.require([other.ready for other in self.hosts.values() if other is not one])
        self.register_outputs({"addresses": {**addresses}})
