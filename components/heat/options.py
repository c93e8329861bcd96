"""The options that each release of Heat knows, their names, and which of them are secret.

Pure, but for reading its table, options.txt, which `make options` generates from the releases.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from components.text import shortened

# Section and option.
Name: TypeAlias = tuple[str, str]

_TABLE = Path(__file__).with_suffix(".txt")
# Sections with a login to Keystone: auth_type decides which further options they have.
LOGINS = ("keystone_authtoken", "trustee", "ec2authtoken")
_SECRET = re.compile(r"passw|secret|(^|_)token$|hmac|encryption_key|credential_secret", re.IGNORECASE)
_MAYBE_SECRET = re.compile(
    r"pass|pwd|secret|token|key(?!stone|word)|hmac|cred|crypt|auth|login|private|salt|cookie|dsn|sign|(^|[_-])pin($|[_-])",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"/\S*|true|false|yes|no|on|off|", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option under its current name, and the series of releases that know it."""

    name: Name
    series: frozenset[int]
    secret: bool
    multi: bool
    list: bool


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Every option of every release.

    Attributes:
        releases: such as "27.0.1".
        options: by their current names.
        renamed: the current names by an older name.
    """

    releases: tuple[str, ...]
    options: Mapping[Name, Option]
    renamed: Mapping[Name, tuple[Name, ...]]

    def series(self, release: str) -> int:
        """The series of a release, such as 27.

        Raises:
            ValueError: the table does not have the series.
        """
        known = {known.partition(".")[0] for known in self.releases}
        head = release.partition(".")[0]
        if head not in known:
            raise ValueError(f"Heat {shortened(release)} is not supported. Supported: {', '.join(self.releases)}")
        return int(head)

    def knows(self, name: Name, series: int) -> bool:
        """Whether the releases of a series know an option under this name."""
        option = self.options.get(name)
        return option is not None and series in option.series


def _parsed(text: str) -> Catalogue:
    releases: list[str] = []
    rows: list[tuple[Name, list[str]]] = []
    for line in text.splitlines():
        if found := re.match(r"# Heat (\S+)", line):
            releases.append(found[1])
        elif not line.startswith("#"):
            section, option, *words = line.split(" ")
            rows.append(((section, option), words))
    every = frozenset(int(release.partition(".")[0]) for release in releases)
    options: dict[Name, Option] = {}
    renamed: dict[Name, tuple[Name, ...]] = {}
    for name, words in rows:
        series, older = every, []
        for word in words:
            key, _, value = word.partition("=")
            if key == "in":
                series = frozenset(map(int, value.split(",")))
            elif key == "was":
                section, _, option = value.rpartition("/")
                older.append((section or name[0], option))
        if "dashed" in words:
            older.append((name[0], name[1].replace("_", "-")))
        for old in older:
            renamed[old] = (*renamed.get(old, ()), name)
        options[name] = Option(
            name=name, series=series, secret="secret" in words, multi="multi" in words, list="list" in words
        )
    return Catalogue(releases=tuple(releases), options=options, renamed=renamed)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The table."""
    return _parsed(_TABLE.read_text())


def alike(name: Name, known: Iterable[Name]) -> str:
    """A suggestion for an unknown option, in words; "" if no known option is similar."""
    names = list(known)
    if near := difflib.get_close_matches(name[1], [option for section, option in names if section == name[0]], n=1):
        return f"did you mean {near[0]}?"
    same = [section for section, option in names if option == name[1] and not section.startswith("auth:")]
    return f"it belongs to [{'], ['.join(same[:3])}]" if same else ""


def looks_secret(option: str) -> bool:
    """Whether an option is a secret by its name. Some secret options have no flag, and some are not in the table."""
    return bool(_SECRET.search(option))


def may_be_secret(option: str, value: str) -> bool:
    """Whether an option that no release of Heat knows may be a secret: if its name could be one of a login's.

    A path or a boolean is no secret.
    """
    return bool(_MAYBE_SECRET.search(option)) and not _NO_SECRET.fullmatch(value.strip())
