"""The stack's configuration, read, typed and checked. The only module that touches `pulumi.Config`.

`load` is pure: what a stack's file says goes in, `Settings` or every problem at once comes out. Each setting's name,
type, default and meaning stand in Pulumi.yaml too, for `pulumi config` and for people; a test holds the two together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pulumi

from infra.model import KEY_AGENT, KEY_PLAIN, KEY_SECRET, Settings
from infra.reader import Reader
from infra.rules import Routes, check


class SettingsError(pulumi.RunError):
    """A configuration that cannot be. The text lists every problem, with what to type against each."""

    def __init__(self, stack: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = "one setting" if len(problems) == 1 else f"{len(problems)} settings"
        listed = "\n".join(f"  * {problem}" for problem in problems)
        super().__init__(f"{count} of stack {stack} cannot be used:\n{listed}")


def load(
    stack: str, raw: Mapping[str, Any], routes: Routes = (), secrets: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Type and check a stack's configuration.

    Args:
        stack: the stack's name, for messages.
        raw: the project's keys with their values, numbers and lists already decoded.
        routes: this machine's IPv4 routes with their devices.
        secrets: the secret ones by their keys, as they are; looked at, and never kept or shown.

    Raises:
        SettingsError: with every problem found.
    """
    reader = Reader(stack)
    settings = Settings(**reader.typed(Settings, raw))
    check(settings, reader, routes, secrets)
    if reader.problems:
        raise SettingsError(stack, reader.problems)
    return settings


# Settings that are secrets; in their place `Settings` has a word for where they come from.
SECRETS = (
    "sshPrivateKey", "databaseUrl", "transportUrl", "servicePassword", "stackDomainAdminPassword", "authEncryptionKey",
    "databaseAdminUrl", "brokerAdminUrl", "keystoneAdminPassword",
)  # fmt: skip


def read(config: pulumi.Config) -> tuple[dict[str, Any], dict[str, str]]:
    """The current stack's keys as `load` takes them.

    Returns:
        What looks like JSON decoded, and a word in place of each secret; and the secrets, by their keys.
    """
    prefix = config.name + ":"
    given = {name.removeprefix(prefix): value for name, value in _given().items() if name.startswith(prefix)}
    raw = {key: _decoded(config.require(key)) for key in given if key not in SECRETS}
    secrets = {key: config.require(key) for key in SECRETS if given.get(key)}
    for key in secrets:
        raw[key] = KEY_SECRET if pulumi.runtime.config.is_config_secret(prefix + key) else KEY_PLAIN
    if "sshPrivateKey" not in raw and os.environ.get("SSH_AUTH_SOCK"):
        raw["sshPrivateKey"] = KEY_AGENT
    return raw, secrets


def _given() -> dict[str, str]:
    return pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get()


def secret(key: str) -> pulumi.Output[str] | str:
    """A setting that is a secret; "" where it is not given."""
    config = pulumi.Config()
    given = pulumi.runtime.config.is_config_secret(f"{config.name}:{key}")
    return config.require_secret(key) if given else ""


def _decoded(value: str) -> Any:  # noqa: ANN401 # whatever JSON holds
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
