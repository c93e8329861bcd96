"""Configuration files as oslo.config reads them. Pure: texts in, values with where they stand out.

Several files make one configuration: of an option that stands several times the last counts, or all do where it may be
repeated. `$name`, `${name}` and `${section.name}` stand for other options' values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from components.heat_options import Name

DEFAULT = "DEFAULT"
_QUOTES = ("'", '"')


class UnresolvedError(Exception):
    """A reference to another option that leads nowhere."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An option under the name that it was written with: every value in reading order, and the last one's file."""

    name: Name
    values: tuple[str, ...] = field(repr=False)
    file: int
    where: str

    @property
    def last(self) -> str:
        """The value that counts where only one can."""
        return self.values[-1]


def section_name(section: str) -> str:
    """A section's name as it is looked up: case counts for DEFAULT alone."""
    return section if section == DEFAULT else section.lower()


def _assignment(line: str) -> tuple[str, str] | None:
    """An option and its value: what stands before the first = or :, and after it, without quotes around it."""
    found = re.match(r"([^=:]*)[=:](.*)", line)
    if not found:
        return None
    value = found[2].strip()
    if value and value[0] == value[-1] and value[0] in _QUOTES:
        value = value[1:-1]
    return found[1].strip(), value


def _read_one(file: str, text: str, problems: list[str]) -> Iterator[tuple[Name, str, str]]:
    """One file's options with their values and lines; what cannot be read becomes a problem, without its text."""
    section: str | None = None
    current: tuple[str, list[str], str] | None = None

    def finished() -> Iterator[tuple[Name, str, str]]:
        if current and section is not None:
            yield (section, current[0]), "\n".join(current[1]), current[2]

    for number, full in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line, where = full.rstrip(), f"{file}:{number}"
        if line.startswith((" ", "\t")):
            if current is None:
                problems.append(f"{where}: the line continues nothing: it begins with a blank")
            else:
                current[1].append(line.lstrip())
            continue
        yield from finished()
        current = None
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = section_name(line[1:-1])
            if not line.endswith("]") or not section:
                problems.append(f"{where}: a section is written [name]")
        elif not (found := _assignment(line)) or not found[0]:
            problems.append(f"{where}: an option is written name = value")
        elif section is None:
            problems.append(f"{where}: {found[0]} stands before any [section]")
        else:
            current = (found[0], [found[1]], where)
    yield from finished()


def read(files: Mapping[str, str]) -> tuple[dict[Name, Entry], list[str]]:
    """Every option of these files, in the order in which they first stand there, and what could not be read."""
    entries: dict[Name, Entry] = {}
    problems: list[str] = []
    for index, (file, text) in enumerate(files.items()):
        for name, value, where in _read_one(file, text, problems):
            before = entries[name].values if name in entries else ()
            entries[name] = Entry(name=name, values=(*before, value), file=index, where=where)
    return entries, problems


_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|(?P<bare>[_a-z][._a-z0-9]*)|\{(?P<braced>[_a-z][._a-z0-9]*)\})", re.I)


@dataclass
class Resolver:
    """Puts values in place of references; `used` collects the options that were referred to.

    `defaults` are those of options that may be referred to without being set, `known` tells whether there is an option.
    """

    entries: Mapping[Name, Entry]
    defaults: Mapping[str, str] = field(default_factory=dict)
    known: Callable[[Name], bool] = lambda _: False
    used: set[Name] = field(default_factory=set)

    def _target(self, section: str, key: str) -> Entry | None:
        group, _, option = key.rpartition(".")
        for name in ((section_name(group) if group else section, option), (DEFAULT, key)):
            if name in self.entries:
                return self.entries[name]
            if self.known(name):
                break  # It stands for this option's default, not for one of the same name elsewhere.
        if key in self.defaults:
            return None
        # What looks like a reference may be part of a password, so it is not shown.
        raise UnresolvedError("after a $ it names an option that these files do not set: write its value there, or $$")

    def resolve(self, section: str, value: str, seen: tuple[Name, ...] = ()) -> str:
        """A value with everything in place.

        Raises:
            UnresolvedError: one is not set, or refers back to itself.
        """

        def put(found: re.Match[str]) -> str:
            if found["escaped"]:
                return "$"
            key = found["bare"] or found["braced"]
            target = self._target(section, key)
            if target is None:
                return self.defaults[key]
            if target.name in seen:
                raise UnresolvedError("after a $ it names an option that refers back to it")
            self.used.add(target.name)
            return self.resolve(target.name[0], target.last, (*seen, target.name))

        return _REFERENCE.sub(put, value.replace("\\$", "$$"))
