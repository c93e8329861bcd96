"""How Heat is to be installed, and from where."""

from __future__ import annotations

import re

from components.heat.install import Method, has_console_apis, lock_file, locked_releases
from infra.settings.files import not_a_text
from infra.settings.formats import RELEASE
from infra.settings.model import Settings
from infra.settings.reader import Reader, camel

_RELEASE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){2}")
# What only one way to install Heat reads.
_OF_GIT = ("git_url", "git_ref")
_DEFAULT = Settings()


def check_install(settings: Settings, reader: Reader) -> None:
    """What each way to install Heat wants, and what it would pass over without a word."""
    if settings.constraints and settings.install == Method.APT.value:
        reader.refuse("constraints", settings.constraints, "install is apt, and the distribution's packages have none")
    elif settings.constraints and (error := not_a_text(settings.constraints_file)):
        reader.refuse("constraints", settings.constraints, error)
    if settings.install != Method.GIT.value:
        for name in _OF_GIT:
            if getattr(settings, name) != getattr(_DEFAULT, name):
                reader.refuse(camel(name), getattr(settings, name), f"install is {settings.install}, and reads no git")
    _check_release(settings, reader)


def _check_release(settings: Settings, reader: Reader) -> None:
    version = settings.heat_version
    if settings.install in [method.value for method in Method] and not settings.release_is_known:
        if version != _DEFAULT.heat_version:
            decides = "the distribution" if settings.install == Method.APT.value else "gitRef"
            reader.refuse(
                "heatVersion", version, f"install is {settings.install}, and {decides} says which release it is"
            )
        return
    if settings.install == Method.PIP.value and not settings.constraints and not lock_file(version).exists():
        rule = f"no list of its packages is here; known: {', '.join(locked_releases())} (others with constraints)"
        reader.refuse("heatVersion", version, rule, _DEFAULT.heat_version)
    elif not _RELEASE.fullmatch(version):
        reader.refuse("heatVersion", version, RELEASE.rule, _DEFAULT.heat_version)
    elif settings.api_runner == "console" and not has_console_apis(version):
        rule = f"Heat {version} has no programs of its own for its APIs, 24 was the last that had"
        reader.refuse("apiRunner", settings.api_runner, rule, _DEFAULT.api_runner)
