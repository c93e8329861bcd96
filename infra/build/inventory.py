"""Where the hosts come from: the one place that knows every kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from components.heat.install import NETRC
from components.hosts.containers import ContainerHosts
from components.hosts.existing import ExistingHosts
from components.remote import Host, Jump, Login
from infra.settings.load import SettingsError, secret
from infra.settings.model import FRONT, HostSettings, Settings
from infra.settings.reader import Reader
from infra.settings.rules.secret import logins

if TYPE_CHECKING:
    from components.proxy.octavia import Balancer


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a deployment is: every host by its name, the front host first, and the cloud's load balancer, if any."""

    hosts: dict[str, Host]
    balancer: Balancer | None = None

    @property
    def front(self) -> Host:
        """The host that the deployment is reached over."""
        return self.hosts[FRONT]

    @property
    def entrance(self) -> pulumi.Output[str]:
        """Where clients find the APIs."""
        return self.balancer.outside if self.balancer else self.front.outside


def find_place(wanted: Settings, *, stack: str, root: Path) -> Place:
    """The hosts of the deployment, and what is in front of them if that is none of them.

    Args:
        wanted: the settings.
        stack: the stack's name.
        root: the checkout.
    """
    place = _find_place(wanted, stack=stack, root=root)
    if wanted.netrc:
        known = pulumi.Output.secret(secret("netrc")).apply(lambda text: logins(text) or "")
        # The front host has Python packages only where it has Keystone.
        for host in place.hosts.values() if wanted.control_plane == "bundled" else list(place.hosts.values())[1:]:
            host.use_after([host.file("netrc", NETRC, known, parent=host.ready, mode="0600")])
    return place


def _find_place(wanted: Settings, *, stack: str, root: Path) -> Place:
    if wanted.hosts == "openstack":
        return _openstack_hosts(wanted, stack)
    if wanted.hosts == "existing":
        existing = ExistingHosts(
            "hosts", addresses=wanted.addresses, logins=_logins(wanted), generation=wanted.generation
        )
        return Place(hosts=existing.hosts)
    containers = ContainerHosts(
        "hosts",
        stack=stack,
        subnet=wanted.network,
        names=wanted.host_names,
        owner=root,
        cache=root / ".state/cache",
        debian_mirror=wanted.debian_mirror,
        protect=wanted.protected,
        generation=wanted.generation,
    )
    return Place(hosts=containers.hosts)


# What to type against what a cloud lacks, where it is not the setting's value that has to be another one.
_RAISE = "openstack quota show, and have it raised"
# What does instead, where that is known.
_INSTEAD = {"loadBalancer": "haproxy"}


def _openstack_hosts(wanted: Settings, stack: str) -> Place:
    # The provider's package is large, and no other stack needs it.
    from pulumi_openstack import Provider  # noqa: PLC0415

    from components.hosts.cloud import CloudError, look_up  # noqa: PLC0415
    from components.hosts.openstack import OpenstackHosts  # noqa: PLC0415

    order = wanted.wanted_of_cloud(stack)
    provider = Provider("openstack", cloud=order.cloud or None)
    try:
        cloud = look_up(provider, order)
    except CloudError as error:
        reader = Reader(stack)
        for lack in error.lacks:
            remedy = _RAISE if lack.key == "hosts" else ""
            instead = _INSTEAD.get(lack.key, "<another value>")
            reader.refuse(lack.key, lack.value, lack.rule, instead, remedy)
        raise SettingsError(stack, reader.problems) from None
    key = secret("sshPrivateKey") or None if order.key_pair else None
    made = OpenstackHosts(
        "hosts",
        stack=stack,
        provider=provider,
        wanted=order,
        cloud=cloud,
        private_key=key,
        generation=wanted.generation,
    )
    return Place(hosts=made.hosts, balancer=made.balancer)


def _logins(wanted: Settings) -> dict[str, Login]:
    key, existing = secret("sshPrivateKey") or None, wanted.existing

    def jump_to(host: HostSettings) -> Jump | None:
        hop = existing.jump
        # The jump host itself, where it is one of the hosts, is reached as it is.
        if hop is None or (hop.address, hop.port) == (host.address, host.port):
            return None
        return Jump(address=hop.address, host_key=hop.host_key, user=hop.user or existing.user, port=hop.port)

    return {
        name: Login(
            private_key=key,
            host_key=host.host_key,
            user=host.user or existing.user,
            port=host.port,
            jump=jump_to(host),
        )
        for name, host in existing.by_name.items()
    }
