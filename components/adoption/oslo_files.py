"""Configuration files as oslo.config reads them. Pure: texts in, values with where they stand out.

Several files make one configuration: of an option that stands several times the last counts, or all do where it may be
repeated. `$name`, `${name}` and `${section.name}` stand for other options' values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from components.heat.options import Name
from components.text import control_character, shortened

DEFAULT = "DEFAULT"
_QUOTES = ("'", '"')
# What is more than any configuration of Heat's has: all that Heat knows are less than a thousand options.
_MOST_CHARACTERS, _MOST_VALUES, _MOST_OPTIONS, _LONGEST = 1_000_000, 10_000, 2000, 16_384
_MOST_PROBLEMS = 50
# References within references, by which a few lines become an endless value.
_MOST_REFERENCES, _DEEPEST = 100, 20


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
    """Every option of these files, in the order in which they first stand there, and what could not be read.

    Files that are larger than any heat.conf are not looked at.
    """
    found: dict[Name, list[str]] = {}
    last: dict[Name, tuple[int, str]] = {}
    problems: list[str] = []
    size = sum(map(len, files.values()))
    if size > _MOST_CHARACTERS:
        return {}, [f"the files have {size} characters, and {_MOST_CHARACTERS} at most are read as a heat.conf"]
    count = 0
    for index, (file, text) in enumerate(files.items()):
        for name, value, where in _read_one(file, text, problems):
            count += 1
            if problem := _unfit(name, value):
                problems.append(f"{where}: {problem}")
                continue
            found.setdefault(name, []).append(value)
            last[name] = index, where
    if count > _MOST_VALUES or len(found) > _MOST_OPTIONS:
        return {}, [f"the files have {count} lines with options, and a heat.conf has {_MOST_OPTIONS} at most"]
    if len(problems) > _MOST_PROBLEMS:
        problems = [*problems[:_MOST_PROBLEMS], f"{len(problems) - _MOST_PROBLEMS} more lines cannot be read"]
    entries = {
        name: Entry(name=name, values=tuple(values), file=last[name][0], where=last[name][1])
        for name, values in found.items()
    }
    return entries, problems


def _unfit(name: Name, value: str) -> str:
    """Why an option cannot be handed on, without its value; empty where it can."""
    if len(value) > _LONGEST:
        return f"{shortened(name[1])}: a value has at most {_LONGEST} characters"
    bad = control_character("".join(name)) or control_character(value, but="\t\n")
    return f"{shortened(name[1])}: no option can have the character {bad}" if bad else ""


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
    resolved: int = 0

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
            self.resolved += 1
            if self.resolved > _MOST_REFERENCES or len(seen) > _DEEPEST:
                raise UnresolvedError("it refers to too many others, one after another: write its value there")
            return self.resolve(target.name[0], target.last, (*seen, target.name))

        text = _REFERENCE.sub(put, value.replace("\\$", "$$"))
        if len(text) > _LONGEST:
            raise UnresolvedError(f"with all that it refers to it has more than {_LONGEST} characters")
        return text
