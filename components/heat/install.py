"""How Heat is installed on a node: from PyPI, from the distribution, or from a clone of its source.

Pure, but for reading the lists in locks/.

All three give the same layout below one prefix: bin/ has python, uwsgi, heat-engine and every other program, etc/heat
has the files that Heat ships. So nothing else depends on the method.
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

# Reports what has been installed, as JSON on its last line: `Release`.
PROGRAM = "/usr/local/lib/heat-scaleout/installed.py"
# Logins for package indexes and git servers, readable by root alone. curl, and git through it, reads .netrc in $HOME.
NETRC = "/etc/heat-scaleout/.netrc"
# Packages that Heat uses and does not require: tools/lock.sh. heat.conf uses python-memcached; pymemcache is for an
# operator's own `[cache] backend`.
_BESIDE_HEAT = ("pymysql", "pymemcache", "python-memcached", "pyuwsgi")
# Without constraints: Heat is not tested with SQLAlchemy 2.1.
_BOUNDS = "sqlalchemy<2.1\n"
_LAST_WITH_CONSOLE = 24


class Method(str, Enum):
    """The source that Heat is installed from."""

    PIP = "pip"
    APT = "apt"
    GIT = "git"


@dataclass(frozen=True, kw_only=True)
class PackageSource:
    """Where hosts find Python packages. Without any value: at PyPI.

    Attributes:
        index_url: the URL of a package index, without a login.
        wheelhouse: a directory on the hosts with packages, or the URL of one, without a login.
        netrc: the path of the file on the hosts with the logins; "" if no login is needed.
    """

    index_url: str = ""
    wheelhouse: str = ""
    netrc: str = ""


@dataclass(frozen=True, kw_only=True)
class Release:
    """The release of Heat on a node, as the node reports it.

    Attributes:
        version: such as "27.0.1".
        engine_worker: the version of the messages by which engines share the work on a stack, such as "1.9".
        ec2_login: whether the CFN API logs in to Keystone to have EC2 signatures checked.
    """

    version: str
    engine_worker: str
    ec2_login: bool

    @classmethod
    def reported(cls, stdout: str) -> Release:
        """The release that programs/heat/installed.py reported at the end of an installation."""
        return cls(**json.loads(stdout.strip().rpartition("\n")[2]))


def lock_file(version: str) -> Path:
    """The requirement list of a release of Heat: every package with its version and digests."""
    return LOCKS / f"heat-{version}.txt"


def locked_releases() -> list[str]:
    """The releases that have a requirement list, the oldest first."""
    return sorted(path.stem.removeprefix("heat-") for path in lock_file("*").parent.glob(lock_file("*").name))


def has_console_apis(version: str) -> bool:
    """Whether a release still has its own programs for the APIs, in addition to the WSGI applications."""
    return int(version.partition(".")[0]) <= _LAST_WITH_CONSOLE


def engine_worker(version: str) -> str:
    """The version of the messages between a release's engines, for an engine that this program did not install.

    Raises:
        ValueError: the version is not known for this release.
    """
    series = int(version.partition(".")[0])
    # From the source of the releases 18.0 to 27.0.
    if series in range(18, 26):
        return "1.4"
    if series in (26, 27):
        return "1.9"
    raise ValueError(f"the version of the engines' messages is not known for Heat {version}")


def can_share_vhost(one: str, other: str) -> bool:
    """Whether engines of two releases can share a broker's vhost. Unknown releases can if their series is the same."""
    if one.partition(".")[0] == other.partition(".")[0]:
        return True
    try:
        return engine_worker(one) == engine_worker(other)
    except ValueError:
        return False


def explain_mixed_releases(engines: Mapping[str, Release]) -> str:
    """Explain why these engines cannot share a broker's vhost; "" if they can.

    An engine takes a message off the queue before it reads the message's version. A message of another version is
    lost, and its stack stays in progress for ever.

    Args:
        engines: the release of each engine, by the place where it runs: "node-1", or "10.0.0.1 (not ours)".
    """
    versions: dict[str, list[str]] = {}
    for place, release in engines.items():
        versions.setdefault(release.engine_worker, []).append(f"{place} (Heat {release.version})")
    if len(versions) < 2:  # noqa: PLR2004 # a single version needs no explanation
        return ""
    listed = "; ".join(f"engine_worker {version}: {', '.join(places)}" for version, places in sorted(versions.items()))
    return (
        f"these engines would lose each other's messages, and the stacks would stay in progress: {listed}. "
        "Install releases with the same version everywhere, or give each version its own vhost at the broker."
    )


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A release of Heat, and how it is installed.

    Attributes:
        method: the source of the installation.
        version: the release that pip installs, such as "27.0.1".
        git_url: the URL of the repository that git clones.
        git_ref: a tag, a branch or a commit of the repository.
        constraints: the text of a constraints file, for pip and git; "" to use the release's requirement list.
        packages: where Python packages come from.
        console: whether the installation must have Heat's own programs for the APIs.
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
        """The installation's name on a host. Installations with different names exist side by side."""
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
        """The directory of the installation on a host."""
        return f"/opt/heat/{self.name}"

    @property
    def title(self) -> str:
        """The words after "Heat" in a sentence."""
        return {
            Method.PIP: self.version,
            Method.APT: "of the distribution",
            Method.GIT: f"at {self.git_ref} of {self.git_url}",
        }[self.method]

    @property
    def locked(self) -> bool:
        """Whether the packages are those of a requirement list, so that the release's features are known beforehand."""
        return self.method is Method.PIP and not self.constraints

    @property
    def _requirements(self) -> str:
        return f"/opt/heat/requirements-{self.name}.txt"

    @property
    def _constraints(self) -> str:
        return f"/opt/heat/constraints-{self.name}.txt"

    def files(self) -> dict[str, tuple[str, str]]:
        """The files that the installation reads on a host: path and text, by the name of the resource."""
        if self.method is Method.APT:
            return {}
        if self.locked:
            return {"requirements": (self._requirements, lock_file(self.version).read_text())}
        source = f" @ file://{self.prefix}/source" if self.method is Method.GIT else f"=={self.version}"
        requirements = "".join(f"{line}\n" for line in (f"openstack-heat{source}", *_BESIDE_HEAT))
        return {
            "requirements": (self._requirements, requirements),
            "constraints": (self._constraints, self.constraints or _BOUNDS),
        }

    def script(self) -> str:
        """The script that installs Heat, and prints a `Release` as its last line. It is safe to run twice."""
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
        """The application that programs/heat/api.py loads for an API: module:name, or the path of a program."""
        if self.method is Method.APT:
            # The packages of Debian and Ubuntu may be older than the modules.
            return f"{self.prefix}/bin/{kind.value.replace('heat', 'heat-wsgi')}"
        return APIS[kind].application
