"""The hosts' own firewall: an nftables table, and a unit that loads it before the network starts.

The table rejects connections to closed ports. It does not affect other traffic or other tables.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping, Sequence

import pulumi

from components.hosts.ingress import FRONT, ClosedPorts
from components.remote import Host
from components.rendering import render

TABLE = "heat_scaleout"
RULES = "/etc/heat-scaleout/firewall.nft"
UNIT = "/etc/systemd/system/heat-scaleout-firewall.service"
_TEMPLATES = {RULES: "rules.nft.j2", UNIT: "heat-scaleout-firewall.service.j2"}


def _values(name: str, closed: ClosedPorts, sources: Sequence[str]) -> dict[str, object]:
    unique = sorted(set(sources), key=ipaddress.IPv4Network)
    return {
        "name": name,
        "address": closed.address,
        "ports": closed.ports,
        "sources": unique,
        "networks": [source for source in unique if "/" in source],
        "table": TABLE,
        "rules": RULES,
        "unit": UNIT,
    }


def render_firewall(name: str, closed: ClosedPorts, sources: Sequence[str]) -> str:
    """The shell script that closes the ports of a host.

    Args:
        name: of the host.
        closed: its ports.
        sources: the IPv4 addresses and networks that may connect.
    """
    return render("hosts/firewall/close.sh.j2", **_values(name, closed, sources))


def file_digests(name: str, closed: ClosedPorts, sources: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of each file that the script installs, by its path. The arguments are those of `render_firewall`."""
    values = _values(name, closed, sources)
    texts = {path: render(f"hosts/firewall/{template}", **values) for path, template in _TEMPLATES.items()}
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}


class HostFirewall(pulumi.ComponentResource):
    """A firewall on each host that has ports to close.

    It exists before the front host's control plane and before a node's processes. A node that leaves the deployment may
    connect until its teardown is done.
    """

    def __init__(
        self,
        name: str,
        *,
        hosts: Mapping[str, Host],
        closed: Mapping[str, ClosedPorts],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create the component, which closes no port yet.

        Args:
            name: the component's name.
            hosts: by name.
            closed: the ports to close, by host name.
            opts: of the component.
        """
        super().__init__("heat:hosts:HostFirewall", name, {}, opts)
        self._hosts, self._closed = hosts, closed
        self._texts: dict[str, pulumi.Output[str]] = {}
        self._files: dict[str, pulumi.Output[dict[str, str]]] = {}
        self._teardowns: dict[str, pulumi.Resource] = {}

    def close_front(self) -> None:
        """Close the ports of the front host's control plane before anything else runs on any host."""
        front, ready = self._hosts[FRONT], [self._close(FRONT)]
        for host in self._hosts.values():
            host.require(ready)
        last = front.on_destroy(
            "firewall-leave",
            render("hosts/firewall/teardown-front.sh.j2"),
            if_unreachable="when it comes back, its control plane still serves the former nodes. To stop it, type: "
            "systemctl disable --now keystone-proxy keystone memcached rabbitmq-server mariadb heat-scaleout-firewall",
            parent=self,
        )
        self._teardowns = {
            node: front.on_destroy(
                f"forget-{node}",
                render("hosts/firewall/teardown-node.sh.j2", node=node),
                if_unreachable=f"when it comes back, {node} may connect until the next boot. To end that, type there: "
                "systemctl reload heat-scaleout-firewall",
                parent=self,
                after=[last],
            )
            for node in self._closed
            if node != FRONT
        }

    def close_nodes(self) -> None:
        """Close the nodes' ports, after every check that may refuse the whole deployment."""
        for node in self._closed:
            if node != FRONT:
                self._hosts[node].require([self._close(node)])
        # tools/verify.py reads the files from the stack's state.
        self.register_outputs(
            {"closed_ports": {host: [*closed.ports] for host, closed in self._closed.items()}, "files": self._files}
        )

    def teardown_dependencies(self, node: str) -> list[pulumi.Resource]:
        """The resources that Pulumi may delete only after a node's teardown.

        They are those of all nodes: deleting the first one admits only the planned hosts, and another node that leaves
        at the same time may still need the database and the broker.
        """
        return [*self._teardowns.values()] if node in self._teardowns else []

    def digest(self, node: str) -> pulumi.Output[str]:
        """The digest of a node's rules: it makes dependent scripts run again when they change."""
        return self._texts[node].apply(lambda text: hashlib.sha256(text.encode()).hexdigest())

    def _close(self, name: str) -> pulumi.Resource:
        closed = self._closed[name]
        found = [
            self._hosts[source].source_address if source in self._hosts else pulumi.Output.from_input(source)
            for source in closed.sources
        ]
        planned = [self._hosts[source].address for source in closed.sources if source in self._hosts]
        sources = pulumi.Output.all(*found).apply(lambda known: [*planned, *filter(None, known)])
        self._texts[name] = sources.apply(lambda known: render_firewall(name, closed, known))
        self._files[name] = sources.apply(lambda known: file_digests(name, closed, known))
        return self._hosts[name].script("firewall", self._texts[name], parent=self)
