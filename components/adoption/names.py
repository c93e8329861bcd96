"""Names of options: which ones a release of Heat knows, what older names are called today, which are secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from components.adoption.oslo_files import Entry, section_name
from components.adoption.tables import RENAMED
from components.heat.options import LOGINS, Name, Option, alike, catalogue, looks_secret
from components.text import shortened

_PATH_OPTIONS = re.compile(r"(file|files|dir|dirs|path|ca_certs)$")


def label(name: Name) -> str:
    """An option as people write it: "[section] option"."""
    return f"[{name[0]}] {name[1]}"


def is_path_option(name: Name) -> bool:
    """Whether an option's value is a path on the host, judging by its name."""
    return bool(_PATH_OPTIONS.search(name[1])) and name != ("healthcheck", "path")


def parse_names(names: Iterable[str]) -> frozenset[Name]:
    """Option names of the form section.option.

    Raises:
        ValueError: a name has another form.
    """
    found = set()
    for text in names:
        section, dot, option = text.strip().rpartition(".")
        if not dot or not section or not option:
            raise ValueError(f"{shortened(text)}: an option is allowed as section.option, such as DEFAULT.my_option")
        found.add((section_name(section), option))
    return frozenset(found)


class OptionNames:
    """The option names that one release knows, given the options that are read.

    The options read matter because auth_type decides which further options a Keystone login has.

    Attributes:
        series: the series of the release, such as 27.
        allow: options that are kept although the release may not know them.
    """

    def __init__(self, entries: Mapping[Name, Entry], release: str, allow: Collection[Name]) -> None:
        """Look up a release.

        Args:
            entries: the options that are read.
            release: a release of Heat, such as 27.0.1 or 27.
            allow: options that are kept although the release may not know them.

        Raises:
            ValueError: the catalogue does not have the release.
        """
        self.allow = allow
        self._entries = entries
        self._catalogue = catalogue()
        self.series = self._catalogue.series(release)
        self._auth_types = self._find_auth_types()

    def _find_auth_types(self) -> dict[str, str]:
        """The auth_type of every section that logs in to Keystone."""
        found = dict.fromkeys(LOGINS, "password")
        for section in LOGINS:
            for option in ("auth_type", "auth_plugin"):
                if entry := self._entries.get((section, option)):
                    found[section] = entry.last or "password"
                    break
            if entry := self._entries.get((section, "auth_section")):
                auth_type = self._entries.get((section_name(entry.last), "auth_type"))
                found[section_name(entry.last)] = auth_type.last if auth_type else "password"
        return found

    def is_known(self, name: Name) -> bool:
        """Whether the release has an option under this name."""
        option = self._catalogue.options.get(name)
        if option:
            return self.series in option.series
        section, key = name
        if section not in self._auth_types:
            return False
        return (f"auth:{self._auth_types[section]}", key) in self._catalogue.options or (
            section not in LOGINS and key in ("auth_type", "auth_section")
        )

    def current(self, name: Name) -> tuple[Name, ...]:
        """Today's names of an option that is known by an older name; empty for any other name."""
        section, key = name
        found = self._catalogue.renamed.get(name, ())
        if section in self._auth_types:
            login = self._catalogue.renamed.get((f"auth:{self._auth_types[section]}", key), ())
            found += tuple((section, new) for _, new in login if (section, new) not in found)
        if name in RENAMED:
            found += (RENAMED[name],)
        return tuple(dict.fromkeys(today for today in found if self.is_known(today)))

    def option(self, name: Name) -> Option | None:
        """The catalogue's entry for exactly this name, from any release."""
        return self._catalogue.options.get(name)

    def is_secret(self, name: Name) -> bool:
        """Whether an option's value is a secret."""
        option = self.option(name) or self.option((f"auth:{self._auth_types.get(name[0], '')}", name[1]))
        return bool(option and option.secret) or looks_secret(name[1]) or self._may_be_secret(name)

    def _may_be_secret(self, name: Name) -> bool:
        """Whether an option is allowed by name and no release knows what it holds. The path of a file is no secret."""
        if name not in self.allow or self.option(name) or self.is_known(name) or self.current(name):
            return False
        entry = self._entries.get(name)
        return not (entry and entry.last.startswith("/") and is_path_option(name))

    def is_repeatable(self, name: Name) -> bool:
        """Whether an option, by this name or today's, may have several values."""
        return any(option.multi for today in (name, *self.current(name)) if (option := self.option(today)))

    def is_list(self, name: Name) -> bool:
        """Whether an option's value is a list."""
        option = self.option((*self.current(name), name)[0])
        return bool(option and option.list)

    def similar(self, name: Name) -> str:
        """What an unknown option may have been meant to be, as a sentence; empty where nothing resembles it."""
        return alike(name, filter(self.is_known, self._catalogue.options))
