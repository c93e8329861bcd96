"""`install` and what goes with it: how Heat comes onto the nodes, and where its packages come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from components.heat.install import (
    NETRC as NETRC_FILE,
)
from components.heat.install import (
    Installation,
    Method,
    PackageSource,
    has_console_apis,
    lock_file,
    locked_releases,
)
from infra.settings.fields import Section, camel
from infra.settings.files import ROOT, not_a_text, read_text
from infra.settings.formats import GIT, NETRC, PACKAGES, PATH, REF, RELEASE, URL, one_of
from infra.settings.refusals import Refusals
from infra.settings.secret import KEY_SECRET

_RELEASE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){2}")
# What only `install: git` reads.
_OF_GIT = ("git_url", "git_ref")


class InstallSection(Section):
    """Installing Heat."""

    install: Annotated[str, one_of(*(method.value for method in Method))] = Method.PIP.value
    """How Heat is installed: pip (from PyPI, pipIndexUrl or wheelhouse), apt (the distribution's packages), git (a
    clone); docs/install.md."""
    heat_version: Annotated[str, RELEASE] = "27.0.1"
    """With pip: the release of Heat, with the packages listed in locks/heat-RELEASE.txt. With git: the tag, unless
    gitRef is set. With apt: leave it unset."""
    git_url: Annotated[str, GIT] = "https://opendev.org/openstack/heat"
    """Repository of `install: git`, as the nodes reach it."""
    git_ref: Annotated[str, REF] = ""
    """Its tag, branch or commit. A branch is read once and not followed."""
    constraints: Annotated[str, PATH] = ""
    """A file on this machine with pip's constraints, for pip and git, instead of the release's own list."""
    wheelhouse: Annotated[str, PACKAGES] = ""
    """A directory on every host with all Python packages, or the URL of a page that links to them. No index is used
    then, unless pipIndexUrl names one."""
    pip_index_url: Annotated[str, URL] = ""
    """Index that the hosts install Python packages from. Empty: PyPI."""
    netrc: Annotated[str, NETRC.kept_secret] = ""
    """Logins for pipIndexUrl, wheelhouse and gitUrl, one after the other: machine HOST login USER password PASSWORD
    (docs/install.md)."""
    api_runner: Annotated[str, one_of("uwsgi", "console")] = "uwsgi"
    """What runs the APIs: uwsgi, or console (Heat's own heat-api and heat-api-cfn, which end with Heat 24; apiThreads
    is not for them)."""

    @property
    def console(self) -> bool:
        """Whether Heat's own programs run the APIs."""
        return self.api_runner == "console"

    @property
    def constraints_file(self) -> Path:
        """Where the constraints are on the operator's machine; a relative path starts at the checkout."""
        return ROOT / self.constraints

    @property
    def release_is_known(self) -> bool:
        """Whether `heat_version` decides on the release, and not what a host finds."""
        return self.install == Method.PIP.value or (self.install == Method.GIT.value and not self.git_ref)

    @property
    def installation(self) -> Installation:
        """How Heat comes onto the nodes."""
        return Installation(
            method=Method(self.install),
            version=self.heat_version,
            git_url=self.git_url,
            git_ref=self.git_ref or self.heat_version,
            constraints=read_text(self.constraints_file) if self.constraints else "",
            packages=PackageSource(
                index_url=self.pip_index_url, wheelhouse=self.wheelhouse, netrc=NETRC_FILE if self.netrc else ""
            ),
            console=self.console,
        )


def check_install(settings: InstallSection, refusals: Refusals) -> None:
    """What each way to install Heat requires, and what it would silently ignore."""
    if "install" in refusals.malformed:
        return
    if settings.constraints and settings.install == Method.APT.value:
        rule = "install is apt, and the distribution's packages have no constraints"
        refusals.refuse("constraints", settings.constraints, rule)
    elif settings.constraints and (error := not_a_text(settings.constraints_file)):
        refusals.refuse("constraints", settings.constraints, error)
    if settings.install != Method.GIT.value:
        usual = type(settings)()
        for name in _OF_GIT:
            if (value := getattr(settings, name)) != getattr(usual, name):
                refusals.refuse(camel(name), value, f"install is {settings.install}, and uses no git repository")
    _check_release(settings, refusals)


def _check_release(settings: InstallSection, refusals: Refusals) -> None:
    usual, version = type(settings)(), settings.heat_version
    if not settings.release_is_known:
        if version != usual.heat_version:
            decides = "the distribution" if settings.install == Method.APT.value else "gitRef"
            rule = f"install is {settings.install}, and {decides} decides on the release"
            refusals.refuse("heatVersion", version, rule)
        return
    if settings.install == Method.PIP.value and not settings.constraints and not lock_file(version).exists():
        rule = f"there is no list of its packages; known: {', '.join(locked_releases())} (others with constraints)"
        refusals.refuse("heatVersion", version, rule, usual.heat_version)
    elif not _RELEASE.fullmatch(version):
        refusals.refuse("heatVersion", version, RELEASE.rule, usual.heat_version)
    elif settings.console and not has_console_apis(version):
        rule = f"Heat {version} has no programs of its own for its APIs; Heat 24 was the last release with them"
        refusals.refuse("apiRunner", settings.api_runner, rule, usual.api_runner)


def check_netrc(settings: InstallSection, netrc: str, refusals: Refusals) -> None:
    """The logins for packages."""
    if settings.netrc == KEY_SECRET and logins(netrc) is None:
        rule = (
            "logins are written machine HOST login USER password PASSWORD, one after the other, without quotes, "
            "backslashes, comments, default and macdef"
        )
        refusals.refuse("netrc", KEY_SECRET, rule, remedy=refusals.ask_secret("netrc"))


_WORD = r"[A-Za-z0-9!$%&()*+,./:;<=>?@\[\]^_`{|}~-][A-Za-z0-9!$%&()*+,./:;<=>?@\[\]^_`{|}~#-]*"
_LOGIN = re.compile(
    rf"\s*machine\s+(?P<host>[A-Za-z0-9.-]+)\s+login\s+(?P<user>{_WORD})\s+password\s+(?P<password>{_WORD})"
)


def logins(netrc: str) -> str | None:
    """The logins of a .netrc file, one on each line; None if programs would read it in different ways."""
    lines, at = [], 0
    while found := _LOGIN.match(netrc, at):
        lines.append(f"machine {found['host']} login {found['user']} password {found['password']}\n")
        at = found.end()
    return None if netrc[at:].strip() or not lines else "".join(lines)
