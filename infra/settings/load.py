"""The stack's configuration, read, typed and checked. The only module that touches `pulumi.Config`.

`load` is pure: the content of a stack's file goes in, `Settings` or all problems at once come out.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pulumi

from components.heat.overrides import Layers, Options, Overrides
from infra.settings.hosts import Routes
from infra.settings.model import Settings
from infra.settings.options import OptionSettings
from infra.settings.policy import read_policy
from infra.settings.refusals import Refusals, excess
from infra.settings.secret import KEY_AGENT, KEY_PLAIN, KEY_SECRET, formats_of_secrets, without_secrets

# The settings that are secrets.
SECRETS = tuple(formats_of_secrets(Settings))


class SettingsError(pulumi.RunError):
    """A configuration that cannot be used. The text lists every problem, with what to type."""

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
        secrets: the secret settings by their keys, as they are; they are checked, and never kept or shown.

    Raises:
        SettingsError: with every problem found.
    """
    refusals = Refusals(stack)
    plain = without_secrets(raw, Settings, refusals)
    settings = refusals.typed(Settings, plain)
    # Settings that were refused as secrets cannot be checked, and neither can what depends on them.
    if len(plain) == len(raw):
        settings.check(refusals, routes, secrets)
    if refusals.problems:
        raise SettingsError(stack, refusals.problems)
    return settings


def read(config: pulumi.Config) -> tuple[dict[str, Any], dict[str, str]]:
    """The current stack's keys as `load` takes them.

    Returns:
        The keys, with JSON decoded and a word in place of each secret; and the secrets by their keys, with the secret
        options among them.
    """
    prefix = config.name + ":"
    given = {name.removeprefix(prefix): value for name, value in _given().items() if name.startswith(prefix)}
    raw = {key: _shown(key, prefix + key, _decoded(config.require(key))) for key in given if key not in SECRETS}
    secrets = {key: config.require(key) for key in SECRETS if given.get(key)}
    for key in [*secrets]:
        raw[key] = KEY_SECRET if pulumi.runtime.config.is_config_secret(prefix + key) else KEY_PLAIN
    if given.get(_SECRET_OPTIONS) and pulumi.runtime.config.is_config_secret(prefix + _SECRET_OPTIONS):
        secrets[_SECRET_OPTIONS] = config.require(_SECRET_OPTIONS)
    if "sshPrivateKey" not in raw and os.environ.get("SSH_AUTH_SOCK"):
        raw["sshPrivateKey"] = KEY_AGENT
    return raw, secrets


def _given() -> dict[str, str]:
    return pulumi.runtime.config.get_config_env() | pulumi.runtime.config.CONFIG.get()


_OPTIONS, _SECRET_OPTIONS = "options", "secretOptions"


def _shown(key: str, name: str, value: Any) -> Any:  # noqa: ANN401 # whatever JSON holds
    """A setting's value; the names alone of options that are secret or should be; a word for other secrets."""
    secret = pulumi.runtime.config.is_config_secret(name)
    if key == _SECRET_OPTIONS or (key == _OPTIONS and secret):
        return _masked(value, KEY_SECRET if secret else KEY_PLAIN)
    # A secret part makes the whole setting secret, and Pulumi does not report which part it is.
    return KEY_SECRET if secret else value


def _masked(value: Any, word: str) -> Any:  # noqa: ANN401
    return word if excess(value) else _words(value, word)


def _words(value: Any, word: str) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _words(entry, word) for key, entry in value.items()}
    if isinstance(value, list):
        return [_words(entry, word) for entry in value]
    return word


def secret(key: str) -> pulumi.Output[str] | str:
    """A setting that is a secret; "" if it is not set."""
    config = pulumi.Config()
    given = pulumi.runtime.config.is_config_secret(f"{config.name}:{key}")
    return config.require_secret(key) if given else ""


def overrides(settings: Settings) -> Overrides:
    """Overridden options; only Pulumi knows the values of secret ones."""
    policy = read_policy(settings.policy) if settings.policy else {}
    plain = Overrides(public=settings.options.layers, allowed=settings.allow_options, policy=policy)
    shape = settings.secret_options.layers
    if not any(dataclasses.astuple(shape)):
        return plain

    def read(text: str) -> Layers:
        return OptionSettings.model_validate(json.loads(text)).layers

    known = pulumi.Config().require_secret(_SECRET_OPTIONS).apply(read)

    def later(options: Options, of: Callable[[Layers], Options]) -> Options:
        def value(section: str, option: str) -> pulumi.Output[str]:
            return known.apply(lambda layers: of(layers)[section][option])

        return {section: {option: value(section, option) for option in values} for section, values in options.items()}

    def each(whom: str) -> dict[str, Options]:
        def of(name: str) -> Callable[[Layers], Options]:
            return lambda layers: getattr(layers, whom)[name]

        return {name: later(options, of(name)) for name, options in getattr(shape, whom).items()}

    hidden = Layers(
        all=later(shape.all, lambda layers: layers.all),
        nodes=each("nodes"),
        kinds=each("kinds"),
        processes=each("processes"),
    )
    return dataclasses.replace(plain, secret=hidden)


def _decoded(value: str) -> Any:  # noqa: ANN401 # whatever JSON holds
    if value[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    # Numbers with thousands of digits, or endlessly nested lists: no setting has such a value.
    except (ValueError, RecursionError):
        return value
