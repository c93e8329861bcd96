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
from infra.settings.existing import FRONT, HostSettings
from infra.settings.install import logins
from infra.settings.load import SettingsError, secret
from infra.settings.model import Settings
from infra.settings.refusals import Refusals

if TYPE_CHECKING:
    from components.proxy.octavia import Balancer


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Where a deployment is: every host by its name, the front host first, and the cloud's load balancer, if any."""

    hosts: dict[str, Host]
    balancer: Balancer | None = None

    @property
    def front(self) -> Host:
        """The host that the deployment is reached over."""
        return self.hosts[FRONT]

    @property
    def public_address(self) -> pulumi.Output[str]:
        """Where clients find the APIs."""
        return self.balancer.outside if self.balancer else self.front.outside


def find_inventory(settings: Settings, *, stack: str, root: Path) -> Inventory:
    """The hosts of the deployment, and what is in front of them if that is none of them.

    Args:
        settings: the settings.
        stack: the stack's name.
        root: the checkout.
    """
    inventory = _find_inventory(settings, stack=stack, root=root)
    if settings.netrc:
        known = pulumi.Output.secret(secret("netrc")).apply(lambda text: logins(text) or "")
        # The front host has Python packages only where it has Keystone.
        for host in inventory.hosts.values() if settings.bundled else list(inventory.hosts.values())[1:]:
            host.use_after([host.file("netrc", NETRC, known, parent=host.ready, mode="0600")])
    return inventory


def _find_inventory(settings: Settings, *, stack: str, root: Path) -> Inventory:
    if settings.hosts == "openstack":
        return _openstack_hosts(settings, stack)
    if settings.hosts == "existing":
        existing = ExistingHosts(
            "hosts", addresses=settings.addresses, logins=_logins(settings), generation=settings.generation
        )
        return Inventory(hosts=existing.hosts)
    containers = ContainerHosts(
        "hosts",
        stack=stack,
        subnet=settings.network,
        names=settings.host_names,
        owner=root,
        cache=root / ".state/cache",
        debian_mirror=settings.debian_mirror,
        protect=settings.protected,
        generation=settings.generation,
    )
    return Inventory(hosts=containers.hosts)


# What to type against what a cloud shortfalls, where it is not the setting's value that has to be another one.
_RAISE = "openstack quota show, and have it raised"
# What does instead, where that is known.
_INSTEAD = {"loadBalancer": "haproxy"}


def _openstack_hosts(settings: Settings, stack: str) -> Inventory:
    # The provider's package is large, and no other stack needs it.
    from pulumi_openstack import Provider  # noqa: PLC0415

    from components.hosts.cloud import CloudError, look_up  # noqa: PLC0415
    from components.hosts.openstack import OpenstackHosts  # noqa: PLC0415

    order = settings.cloud_spec(stack)
    provider = Provider("openstack", cloud=order.cloud or None)
    try:
        cloud = look_up(provider, order)
    except CloudError as error:
        refusals = Refusals(stack)
        for shortfall in error.shortfalls:
            remedy = _RAISE if shortfall.key == "hosts" else ""
            instead = _INSTEAD.get(shortfall.key, "<another value>")
            refusals.refuse(shortfall.key, shortfall.value, shortfall.rule, instead, remedy)
        raise SettingsError(stack, refusals.problems) from None
    key = secret("sshPrivateKey") or None if order.key_pair else None
    made = OpenstackHosts(
        "hosts",
        stack=stack,
        provider=provider,
        spec=order,
        cloud=cloud,
        private_key=key,
        generation=settings.generation,
    )
    return Inventory(hosts=made.hosts, balancer=made.balancer)


def _logins(settings: Settings) -> dict[str, Login]:
    key, existing = secret("sshPrivateKey") or None, settings.existing

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
