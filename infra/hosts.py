"""Where the hosts come from: the one place that knows every kind."""

from __future__ import annotations

from pathlib import Path

from components.hosts.containers import ContainerHosts
from components.hosts.existing import ExistingHosts
from components.remote import Host, Jump, Login
from infra.model import HostSettings, Settings
from infra.settings import secret


def find_hosts(wanted: Settings, *, stack: str, root: Path) -> dict[str, Host]:
    """Every host of the deployment by its name, the front host first.

    Args:
        wanted: the settings.
        stack: the stack's name.
        root: the checkout.
    """
    if wanted.hosts == "existing":
        return ExistingHosts(
            "hosts", addresses=wanted.addresses, logins=_logins(wanted), generation=wanted.generation
        ).hosts
    return ContainerHosts(
        "hosts",
        stack=stack,
        subnet=wanted.network,
        names=wanted.host_names,
        owner=root,
        cache=root / ".state/cache",
        debian_mirror=wanted.debian_mirror,
        generation=wanted.generation,
    ).hosts


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
