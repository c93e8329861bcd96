"""Read configuration files as oslo.config does. Pure: texts in, values with their file and line out.

Several files make one configuration: of an option that is set several times the last value counts, or all values if the
option may be repeated. `$name`, `${name}` and `${section.name}` are references to other options' values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from components.heat.options import Name
from components.text import control_character, shortened

DEFAULT = "DEFAULT"
_QUOTES = ("'", '"')
# More than any configuration of Heat has: Heat knows less than a thousand options.
_MOST_CHARACTERS, _MOST_VALUES, _MOST_OPTIONS, _LONGEST = 1_000_000, 10_000, 2000, 16_384
_MOST_PROBLEMS = 50
# References within references make an endless value of a few lines.
_MOST_REFERENCES, _DEEPEST = 100, 20


class UnresolvedError(Exception):
    """A reference to another option cannot be resolved."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An option under the name that the files have.

    Attributes:
        name: section and option.
        values: every value, in the order of the files.
        file: the number of the last value's file.
        where: file and line of the last value, as "heat.conf:12".
    """

    name: Name
    values: tuple[str, ...] = field(repr=False)
    file: int
    where: str

    @property
    def last(self) -> str:
        """The value that counts unless the option may be repeated."""
        return self.values[-1]


def section_name(section: str) -> str:
    """A section's name as oslo.config looks it up: only the name DEFAULT is case-sensitive."""
    return section if section == DEFAULT else section.lower()


def _assignment(line: str) -> tuple[str, str] | None:
    """The option before the first = or :, and the value after it, without quotes around it."""
    found = re.match(r"([^=:]*)[=:](.*)", line)
    if not found:
        return None
    value = found[2].strip()
    if value and value[0] == value[-1] and value[0] in _QUOTES:
        value = value[1:-1]
    return found[1].strip(), value


def _read_file(file: str, text: str, problems: list[str]) -> Iterator[tuple[Name, str, str]]:
    """One file's options with values and lines. An unreadable line becomes a problem, without its text."""
    section: str | None = None
    current: tuple[str, list[str], str] | None = None

    def finished() -> Iterator[tuple[Name, str, str]]:
        if current and section is not None:
            yield (section, current[0]), "\n".join(current[1]), current[2]

    for number, full in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line, where = full.rstrip(), f"{file}:{number}"
        if line.startswith((" ", "\t")):
            if current is None:
                problems.append(f"{where}: the line continues no option: it begins with a blank")
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
            problems.append(f"{where}: {found[0]} is not in a [section]")
        else:
            current = (found[0], [found[1]], where)
    yield from finished()


def read(files: Mapping[str, str]) -> tuple[dict[Name, Entry], list[str]]:
    """Read files.

    Args:
        files: the texts by their names, in the order in which they count.

    Returns:
        Every option in the order of the files, and a sentence for each line that cannot be read. Files that are larger
        than any heat.conf are a problem and not read.
    """
    found: dict[Name, list[str]] = {}
    last: dict[Name, tuple[int, str]] = {}
    problems: list[str] = []
    size = sum(map(len, files.values()))
    if size > _MOST_CHARACTERS:
        return {}, [f"the files have {size} characters: a heat.conf must have at most {_MOST_CHARACTERS}"]
    count = 0
    for index, (file, text) in enumerate(files.items()):
        for name, value, where in _read_file(file, text, problems):
            count += 1
            if problem := _value_problem(name, value):
                problems.append(f"{where}: {problem}")
                continue
            found.setdefault(name, []).append(value)
            last[name] = index, where
    if count > _MOST_VALUES or len(found) > _MOST_OPTIONS:
        return {}, [f"the files set options on {count} lines: a heat.conf must have at most {_MOST_OPTIONS} options"]
    if len(problems) > _MOST_PROBLEMS:
        problems = [*problems[:_MOST_PROBLEMS], f"{len(problems) - _MOST_PROBLEMS} more lines cannot be read"]
    entries = {
        name: Entry(name=name, values=tuple(values), file=last[name][0], where=last[name][1])
        for name, values in found.items()
    }
    return entries, problems


def _value_problem(name: Name, value: str) -> str:
    """Why an option's value is refused, without the value; empty where it is accepted."""
    if len(value) > _LONGEST:
        return f"{shortened(name[1])}: a value must have at most {_LONGEST} characters"
    bad = control_character("".join(name)) or control_character(value, but="\t\n")
    return f"{shortened(name[1])}: must not contain the character {bad}" if bad else ""


_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|(?P<bare>[_a-z][._a-z0-9]*)|\{(?P<braced>[_a-z][._a-z0-9]*)\})", re.I)


@dataclass
class Resolver:
    """Resolves references.

    Attributes:
        entries: the options that are set.
        defaults: the values of options that a reference may name without them being set.
        known: whether there is an option of this name.
        used: the options that were referred to so far.
        resolved: the number of references so far.
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
                break  # The reference means this option's default, not an option of the same name elsewhere.
        if key in self.defaults:
            return None
        # A reference may be a part of a password, so the message does not show it.
        raise UnresolvedError(
            "after a $ it names an option that these files do not set: replace the reference by the value, or write $$"
        )

    def resolve(self, section: str, value: str, seen: tuple[Name, ...] = ()) -> str:
        """Resolve every reference in a value.

        Args:
            section: the section of the option, in which a name without a section is searched first.
            value: the value.
            seen: the options whose values led here.

        Raises:
            UnresolvedError: an option is not set, or refers back to itself.
        """

        def replacement(found: re.Match[str]) -> str:
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
                raise UnresolvedError("its references lead to too many others: replace them by values")
            return self.resolve(target.name[0], target.last, (*seen, target.name))

        text = _REFERENCE.sub(replacement, value.replace("\\$", "$$"))
        if len(text) > _LONGEST:
            raise UnresolvedError(f"it has more than {_LONGEST} characters once its references are resolved")
        return text
