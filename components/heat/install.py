"""How Heat comes onto a node: from PyPI, from the distribution, or from a clone of its source. Pure.

Whatever the way, what is there afterwards looks the same below one prefix: bin/ has python, uwsgi, heat-engine and
what else is run, etc/heat the files that Heat brings along. So nothing else has to know the way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from components.rendering import LOCKS, UV_VERSION, render
from components.topology import APIS, Kind

# Tells what has been installed, as JSON on its last line: `Release`.
PROGRAM = "/usr/local/lib/heat-scaleout/installed.py"
# The logins for package indexes and git servers, for root alone. curl, and git with it, looks for this name in $HOME.
NETRC = "/etc/heat-scaleout/.netrc"
# What an operator chooses beside Heat, which names none of them: tools/lock.sh. Of the two for memcached heat.conf has
# the latter; the former is for a `[cache] backend` of an operator's own.
_BESIDE_HEAT = ("pymysql", "pymemcache", "python-memcached", "pyuwsgi")
# Beyond what Heat is tested with, in the absence of constraints that know better.
_BOUNDS = "sqlalchemy<2.1\n"
_LAST_WITH_CONSOLE = 24


class Method(str, Enum):
    """Where Heat comes from."""

    PIP = "pip"
    APT = "apt"
    GIT = "git"


@dataclass(frozen=True, kw_only=True)
class PackageSource:
    """Where hosts find Python packages: at an index and in a directory of theirs (or a URL of such), or at PyPI.

    `netrc` is the file on the hosts with the logins at these places, "" where none wants one. No URL has a login in it.
    """

    index_url: str = ""
    wheelhouse: str = ""
    netrc: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What a node has, as far as others have to do with it.

    `engine_worker` is the version of the messages by which engines share the work on a stack. `ec2_login`: the CFN API
    logs in to have EC2 signatures checked, and does not just ask.
    """

    version: str
    engine_worker: str
    ec2_login: bool

    @classmethod
    def told(cls, stdout: str) -> Release:
        """What programs/heat/installed.py printed at the end of an installation."""
        return cls(**json.loads(stdout.strip().rpartition("\n")[2]))


def lock_file(version: str) -> Path:
    """The list of every package, with its version, that a release of Heat is installed with."""
    return LOCKS / f"heat-{version}.txt"


def locked_releases() -> list[str]:
    """The releases that have such a list, the oldest first."""
    return sorted(path.stem.removeprefix("heat-") for path in lock_file("*").parent.glob(lock_file("*").name))


def has_console_apis(version: str) -> bool:
    """Whether a release still has programs of its own for its APIs, and not only what uWSGI loads."""
    return int(version.partition(".")[0]) <= _LAST_WITH_CONSOLE


def engine_worker(version: str) -> str:
    """The version of the messages between a release's engines, for an engine that this program did not install.

    Raises:
        ValueError: it is not known of this release.
    """
    series = int(version.partition(".")[0])
    # Read in the releases themselves: 18.0 to 27.0.
    if series in range(18, 26):
        return "1.4"
    if series in (26, 27):
        return "1.9"
    raise ValueError(f"which messages the engines of Heat {version} exchange is not known here")


def understand_each_other(one: str, other: str) -> bool:
    """Whether engines of two releases may share one broker's vhost; of what is not known here only the same series."""
    if one.partition(".")[0] == other.partition(".")[0]:
        return True
    try:
        return engine_worker(one) == engine_worker(other)
    except ValueError:
        return False


def refuse_mixed(engines: Mapping[str, Release]) -> str:
    """Why these engines cannot share a broker's vhost; empty where they can.

    An engine takes a message off the queue before it looks at its version: one that it does not understand is lost,
    and the stack stays in progress for ever.

    Args:
        engines: by where they run, such as "node-1", or "10.0.0.1 (not ours)".
    """
    spoken: dict[str, list[str]] = {}
    for where, release in engines.items():
        spoken.setdefault(release.engine_worker, []).append(f"{where} (Heat {release.version})")
    if len(spoken) < 2:  # noqa: PLR2004 # one language is understood by all
        return ""
    sides = "; ".join(f"engine_worker {version}: {', '.join(where)}" for version, where in sorted(spoken.items()))
    return (
        f"these engines would lose each other's messages, and with them the stacks that they work on: {sides}. "
        "Install releases that understand each other everywhere, or give each a vhost of its own at the broker."
    )


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One way to one Heat.

    Attributes:
        method: where from.
        version: the release that pip installs.
        git_url: what git clones.
        git_ref: a tag, a branch or a commit of it.
        constraints: the text of a constraints file, for pip and git; without one pip has the release's own list.
        packages: where Python packages come from.
        console: the APIs are to run by Heat's own programs, so they have to be there.
    """

    method: Method = Method.PIP
    version: str = ""
    git_url: str = ""
    git_ref: str = ""
    constraints: str = ""
    packages: PackageSource = PackageSource()
    console: bool = False

    @property
    def name(self) -> str:
        """What tells this installation from others on a host: another one goes beside it."""
        name = {
            Method.PIP: self.version,
            Method.APT: "apt",
            Method.GIT: f"git-{re.sub(r'[^A-Za-z0-9.]+', '-', self.git_ref)}",
        }[self.method]
        if not self.constraints:
            return name
        return f"{name}-{hashlib.sha256(self.constraints.encode()).hexdigest()[:8]}"

    @property
    def prefix(self) -> str:
        """Below which everything of it is found on a host."""
        return f"/opt/heat/{self.name}"

    @property
    def title(self) -> str:
        """What comes after "Heat" in a sentence."""
        return {
            Method.PIP: self.version,
            Method.APT: "of the distribution",
            Method.GIT: f"at {self.git_ref} of {self.git_url}",
        }[self.method]

    @property
    def locked(self) -> bool:
        """Whether the list of packages is one that this program has, so that nothing is left for a host to tell."""
        return self.method is Method.PIP and not self.constraints

    @property
    def _requirements(self) -> str:
        return f"/opt/heat/requirements-{self.name}.txt"

    @property
    def _constraints(self) -> str:
        return f"/opt/heat/constraints-{self.name}.txt"

    def files(self) -> dict[str, tuple[str, str]]:
        """What the installation reads on a host: path and text, by a name."""
        if self.method is Method.APT:
            return {}
        if self.locked:
            return {"requirements": (self._requirements, lock_file(self.version).read_text())}
        source = f" @ file://{self.prefix}/source" if self.method is Method.GIT else f"=={self.version}"
        wanted = "".join(f"{line}\n" for line in (f"openstack-heat{source}", *_BESIDE_HEAT))
        return {
            "requirements": (self._requirements, wanted),
            "constraints": (self._constraints, self.constraints or _BOUNDS),
        }

    def script(self) -> str:
        """What installs it; safe to run twice. Tells a `Release`."""
        return render(
            f"heat/install-{self.method.value}.sh.j2",
            program=PROGRAM,
            prefix=self.prefix,
            requirements=self._requirements,
            constraints="" if self.locked else self._constraints,
            git_url=self.git_url,
            git_ref=self.git_ref,
            packages=self.packages,
            netrc=NETRC,
            console=self.console,
            kinds=[kind.value for kind in Kind],
            apis=[kind.value for kind in APIS],
            title=self.title,
            uv_version=UV_VERSION,
        )

    def application(self, kind: Kind) -> str:
        """What programs/heat/api.py loads as an API: a module and a name in it, or the path of a program."""
        if self.method is Method.APT:
            # What Debian and Ubuntu have may be older than the modules.
            return f"{self.prefix}/bin/{kind.value.replace('heat', 'heat-wsgi')}"
        return APIS[kind].application
