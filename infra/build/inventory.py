"""The hosts of a deployment. A new kind of host needs an entry in `_FINDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi

from components.heat.install import NETRC
from components.hosts.containers import ContainerHosts
from components.hosts.existing import ExistingHosts
from components.remote import Host, Jump, Login
from infra.settings.existing import FRONT, HostSettings
from infra.settings.fields import camel
from infra.settings.install import logins
from infra.settings.load import SettingsError, secret
from infra.settings.model import Settings
from infra.settings.refusals import Refusals

if TYPE_CHECKING:
    from components.proxy.octavia import Balancer


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Every host by its name, the front host first, and the cloud's load balancer, if any."""

    hosts: dict[str, Host]
    balancer: Balancer | None = None

    @property
    def front(self) -> Host:
        """The front host, which has the proxy and a bundled control plane."""
        return self.hosts[FRONT]

    @property
    def public_address(self) -> pulumi.Output[str]:
        """The address at which clients reach the APIs."""
        return self.balancer.public_address if self.balancer else self.front.public_address


def find_inventory(settings: Settings, *, stack: str, root: Path) -> Inventory:
    """The hosts of the deployment, and the load balancer in front of them.

    Args:
        settings: the settings.
        stack: the stack's name.
        root: the checkout.
    """
    inventory = _FINDERS[settings.hosts](settings, stack, root)
    if settings.netrc:
        known = pulumi.Output.secret(secret("netrc")).apply(lambda text: logins(text) or "")
        # The front host has Python packages only with a bundled Keystone.
        for host in list(inventory.hosts.values())[0 if settings.bundled else 1 :]:
            host.require([host.file("netrc", NETRC, known, parent=host.ready, mode="0600")])
    return inventory


def _containers(settings: Settings, stack: str, root: Path) -> Inventory:
    containers = ContainerHosts(
        "hosts",
        stack=stack,
        subnet=settings.network,
        names=settings.host_names,
        checkout=root,
        cache=root / ".state/cache",
        debian_mirror=settings.debian_mirror,
        protect=settings.protected,
        generation=settings.generation,
    )
    return Inventory(hosts=containers.hosts)


# The settings behind the fields of CloudSpec that are not named after them.
_KEYS = {
    "nodes": "nodes",
    "subnet": "subnet",
    "balancer": "loadBalancer",
    "balancer.floating_ip": "openstack.loadBalancerFloatingIp",
    "project": "hosts",
}
# What to do about a shortfall of the cloud that no other value of the setting solves.
_RAISE = "openstack quota show, and have it raised"
# The value to type instead, if it is known.
_INSTEAD = {"loadBalancer": "haproxy"}


def _openstack(settings: Settings, stack: str, _: Path) -> Inventory:
    # The provider's package is large, and no other stack needs it.
    from pulumi_openstack import Provider  # noqa: PLC0415

    from components.hosts.cloud import CloudError, look_up  # noqa: PLC0415
    from components.hosts.openstack import OpenstackHosts  # noqa: PLC0415

    spec = settings.cloud_spec(stack)
    provider = Provider("openstack", cloud=spec.cloud or None)
    try:
        cloud = look_up(provider, spec)
    except CloudError as error:
        refusals = Refusals(stack)
        for shortfall in error.shortfalls:
            setting = _KEYS.get(shortfall.field) or f"openstack.{camel(shortfall.field)}"
            value = settings.hosts if setting == "hosts" else shortfall.value
            remedy = _RAISE if setting == "hosts" else ""
            refusals.refuse(setting, value, shortfall.rule, _INSTEAD.get(setting, "<another value>"), remedy)
        raise SettingsError(stack, refusals.problems) from None
    made = OpenstackHosts(
        "hosts",
        stack=stack,
        provider=provider,
        spec=spec,
        cloud=cloud,
        private_key=secret("sshPrivateKey") or None if spec.key_pair else None,
        generation=settings.generation,
    )
    return Inventory(hosts=made.hosts, balancer=made.balancer)


def _existing(settings: Settings, _stack: str, _root: Path) -> Inventory:
    existing = ExistingHosts(
        "hosts", addresses=settings.addresses, logins=_logins(settings), generation=settings.generation
    )
    return Inventory(hosts=existing.hosts)


def _logins(settings: Settings) -> dict[str, Login]:
    key, existing = secret("sshPrivateKey") or None, settings.existing

    def jump_to(host: HostSettings) -> Jump | None:
        jump = existing.jump
        # A jump host that is one of the hosts is reached directly.
        if jump is None or (jump.address, jump.port) == (host.address, host.port):
            return None
        return Jump(address=jump.address, host_key=jump.host_key, user=jump.user or existing.user, port=jump.port)

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


# How the hosts of each kind come about: `components.hosts.kinds`.
_FINDERS: Mapping[str, Callable[[Settings, str, Path], Inventory]] = {
    "containers": _containers,
    "openstack": _openstack,
    "existing": _existing,
}
