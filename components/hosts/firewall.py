"""The hosts' own firewall: nftables, and a unit that loads the rules before the network is up.

It has a table of its own, which refuses what is not for everybody and has no word on anything else.
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


def script(name: str, closed: ClosedPorts, sources: Sequence[str]) -> str:
    """What closes the ports of a host. Pure.

    Args:
        name: of the host.
        closed: its ports.
        sources: the addresses and networks that are let in.
    """
    return render("hosts/firewall/close.sh.j2", **_values(name, closed, sources))


def file_digests(name: str, closed: ClosedPorts, sources: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of each file that the script installs, by its path. Pure; the arguments are those of `script`."""
    values = _values(name, closed, sources)
    texts = {path: render(f"hosts/firewall/{template}", **values) for path, template in _TEMPLATES.items()}
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}


class HostFirewall(pulumi.ComponentResource):
    """One firewall for each host that has ports to close.

    The front host's is there before its control plane is, and a node's before its processes are. A node that leaves is
    let in until its farewell is done.
    """

    def __init__(
        self,
        name: str,
        *,
        hosts: Mapping[str, Host],
        closed: Mapping[str, ClosedPorts],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Close no port yet.

        Args:
            name: the component's name.
            hosts: each by its name.
            closed: what each of them closes, by its name.
            opts: of the component.
        """
        super().__init__("heat:hosts:HostFirewall", name, {}, opts)
        self._hosts, self._closed = hosts, closed
        self._texts: dict[str, pulumi.Output[str]] = {}
        self._files: dict[str, pulumi.Output[dict[str, str]]] = {}
        self._teardowns: dict[str, pulumi.Resource] = {}

    def close_front(self) -> None:
        """Close the ports of the front host's control plane, before anything else is done on any host."""
        front, ready = self._hosts[FRONT], [self._close(FRONT)]
        for host in self._hosts.values():
            host.use_after(ready)
        last = front.on_destroy(
            "firewall-leave",
            render("hosts/firewall/teardown-front.sh.j2"),
            undone="should it come back, its control plane runs on, for the nodes that it had. To stop it, type there: "
            "systemctl disable --now keystone-proxy keystone memcached rabbitmq-server mariadb heat-scaleout-firewall",
            parent=self,
        )
        self._teardowns = {
            node: front.on_destroy(
                f"forget-{node}",
                render("hosts/firewall/teardown-node.sh.j2", node=node),
                undone=f"should it come back, it lets {node} in until it boots. To end that, type there: "
                "systemctl reload heat-scaleout-firewall",
                parent=self,
                after=[last],
            )
            for node in self._closed
            if node != FRONT
        }

    def close_nodes(self) -> None:
        """Close the nodes' ports, after all that may still refuse the whole deployment."""
        for node in self._closed:
            if node != FRONT:
                self._hosts[node].use_after([self._close(node)])
        # tools/verify.py reads this from the stack's state.
        self.register_outputs({"files": self._files})

    def needed_by(self, node: str) -> list[pulumi.Resource]:
        """What a node's teardown has to come before.

        All nodes' teardowns, not only this node's own: the first of them lets in the planned hosts only, and another
        node that leaves at the same time may still need the database and the broker.
        """
        return [*self._teardowns.values()] if node in self._teardowns else []

    def digest(self, node: str) -> pulumi.Output[str]:
        """Of the rules of a node: what depends on them runs again when they change."""
        return self._texts[node].apply(lambda text: hashlib.sha256(text.encode()).hexdigest())

    def _close(self, name: str) -> pulumi.Resource:
        closed = self._closed[name]
        found = [
            self._hosts[source].source if source in self._hosts else pulumi.Output.from_input(source)
            for source in closed.sources
        ]
        planned = [self._hosts[source].address for source in closed.sources if source in self._hosts]
        sources = pulumi.Output.all(*found).apply(lambda known: [*planned, *filter(None, known)])
        self._texts[name] = sources.apply(lambda known: script(name, closed, known))
        self._files[name] = sources.apply(lambda known: file_digests(name, closed, known))
        return self._hosts[name].script("firewall", self._texts[name], parent=self)
