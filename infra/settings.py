"""The stack's configuration, read, typed and checked. The only module that touches `pulumi.Config`.

`load` is pure: what a stack's file says goes in, `Settings` or every problem at once comes out. Each setting's name,
type, default and meaning stand in Pulumi.yaml too, for `pulumi config` and for people; a test holds the two together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
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


def load(stack: str, raw: Mapping[str, Any], routes: Routes = ()) -> Settings:
    """Type and check a stack's configuration.

    Args:
        stack: the stack's name, for messages.
        raw: the project's keys with their values, numbers and lists already decoded.
        routes: this machine's IPv4 routes with their devices.

    Raises:
        SettingsError: with every problem found.
    """
    reader = Reader(stack)
    settings = Settings(**reader.typed(Settings, raw))
    check(settings, reader, routes)
    if reader.problems:
        raise SettingsError(stack, reader.problems)
    return settings


def read(config: pulumi.Config) -> dict[str, Any]:
    """The project's keys of the current stack, as `load` takes them: what looks like JSON is decoded."""
    prefix = config.name + ":"
    given = pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get()
    keys = [name.removeprefix(prefix) for name in given if name.startswith(prefix)]
    raw = {key: _decoded(config.require(key)) for key in keys if key != _PRIVATE_KEY}
    # The key's place is taken by a word for where it comes from.
    if given.get(prefix + _PRIVATE_KEY):
        secret = pulumi.runtime.config.is_config_secret(prefix + _PRIVATE_KEY)
        raw[_PRIVATE_KEY] = KEY_SECRET if secret else KEY_PLAIN
    elif os.environ.get("SSH_AUTH_SOCK"):
        raw[_PRIVATE_KEY] = KEY_AGENT
    return raw


_PRIVATE_KEY = "sshPrivateKey"


def private_key() -> pulumi.Output[str] | None:
    """The key that hosts which are there already take; None where the ssh agent has it."""
    config = pulumi.Config()
    given = pulumi.runtime.config.is_config_secret(f"{config.name}:{_PRIVATE_KEY}")
    return config.require_secret(_PRIVATE_KEY) if given else None


def _decoded(value: str) -> Any:  # noqa: ANN401 # whatever JSON holds
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
