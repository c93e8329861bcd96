"""The stack's configuration, read, typed and checked. The only module that touches `pulumi.Config`.

`load` is pure: what a stack's file says goes in, `Settings` or every problem at once comes out. Each setting's name,
type, default and meaning stand in Pulumi.yaml too, for `pulumi config` and for people; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pulumi

from components.overrides import Layers, Options, Overrides
from infra.model import KEY_AGENT, KEY_PLAIN, KEY_SECRET, OptionSettings, Settings
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
    raw = {key: _shown(key, prefix + key, _decoded(config.require(key))) for key in keys if key != _PRIVATE_KEY}
    # The key's place is taken by a word for where it comes from.
    if given.get(prefix + _PRIVATE_KEY):
        secret = pulumi.runtime.config.is_config_secret(prefix + _PRIVATE_KEY)
        raw[_PRIVATE_KEY] = KEY_SECRET if secret else KEY_PLAIN
    elif os.environ.get("SSH_AUTH_SOCK"):
        raw[_PRIVATE_KEY] = KEY_AGENT
    return raw


_PRIVATE_KEY = "sshPrivateKey"
_OPTIONS, _SECRET_OPTIONS = "options", "secretOptions"


def _shown(key: str, name: str, value: Any) -> Any:  # noqa: ANN401 # whatever JSON holds
    """A setting's value; of options that are secret, or should be, their names alone."""
    secret = pulumi.runtime.config.is_config_secret(name)
    if key == _SECRET_OPTIONS or (key == _OPTIONS and secret):
        return _masked(value, KEY_SECRET if secret else KEY_PLAIN)
    return value


def _masked(value: Any, word: str) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _masked(entry, word) for key, entry in value.items()}
    if isinstance(value, list):
        return [_masked(entry, word) for entry in value]
    # Its lines are counted: an option's value has one.
    return "\n".join(word for _ in str(value).split("\n"))


def private_key() -> pulumi.Output[str] | None:
    """The key that hosts which are there already take; None where the ssh agent has it."""
    config = pulumi.Config()
    given = pulumi.runtime.config.is_config_secret(f"{config.name}:{_PRIVATE_KEY}")
    return config.require_secret(_PRIVATE_KEY) if given else None


def overrides(settings: Settings) -> Overrides:
    """The options that are said otherwise; the values of secret ones are known to Pulumi alone."""
    shape, public = settings.secret_options.layers, settings.options.layers
    if not any(dataclasses.astuple(shape)):
        return Overrides(public=public)

    def read(text: str) -> Layers:
        given = Reader("").typed(OptionSettings, json.loads(text), _SECRET_OPTIONS)
        return OptionSettings(**given).layers

    known = pulumi.Config().require_secret(_SECRET_OPTIONS).apply(read)

    def later(options: Options, of: Callable[[Layers], Options]) -> Options:
        def value(section: str, option: str) -> pulumi.Output[str]:
            return known.apply(lambda layers: of(layers)[section][option])

        return {section: {option: value(section, option) for option in values} for section, values in options.items()}

    def each(whom: str) -> dict[str, Options]:
        def of(name: str) -> Callable[[Layers], Options]:
            return lambda layers: getattr(layers, whom)[name]

        return {name: later(options, of(name)) for name, options in getattr(shape, whom).items()}

    secret = Layers(
        all=later(shape.all, lambda layers: layers.all),
        nodes=each("nodes"),
        kinds=each("kinds"),
        processes=each("processes"),
    )
    return Overrides(public=public, secret=secret)


def _decoded(value: str) -> Any:  # noqa: ANN401 # whatever JSON holds
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
