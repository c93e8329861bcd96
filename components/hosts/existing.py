"""Hosts that are there already: machines with an address, an sshd, and a user that is root or may become it.

Nothing is made and nothing is taken away: what runs on them stays when the stack is destroyed.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.hosts.ingress import FRONT
from components.remote import Host, Login


class ExistingHosts(pulumi.ComponentResource):
    """Hosts by address.

    Attributes:
        hosts: each by its name; none is touched before all of them have been found fit to be used.
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
        """Look at every host.

        Args:
            name: the component's name.
            addresses: where each host is, by its name, in their lasting order.
            logins: how to log in to each.
            generation: another one has everything run again on the hosts.
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
                toward="" if host == FRONT else front,
            )
            for host, address in addresses.items()
        }
        for one in self.hosts.values():
            one.use_after([other.ready for other in self.hosts.values() if other is not one])
        self.register_outputs({})
