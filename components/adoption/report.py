"""What a translation does with each option, for people: no secret is shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from components import urls
from components.adoption.names import OptionNames, label
from components.adoption.oslo_files import Entry
from components.heat.options import Name

# A shorter secret is hidden in its own value, but not wherever its letters happen to occur.
_SHORTEST_SECRET = 8


class Outcome(Enum):
    """What the translation did with an option."""

    KEPT = "kept"
    RENAMED = "renamed"
    REWRITTEN = "rewritten"
    ADDED = "added"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class OptionResult:
    """The result for one option. It can be shown: `old` and `new` are values without their secrets.

    Attributes:
        name: the option, under the name that the file has.
        outcome: what the translation did with it.
        old: the value in the file; values of a repeated option on lines of their own.
        new: the new value; empty where there is none.
        targets: today's names of the options that it became.
        reason: why, as a part of a sentence; may be empty.
        where: file and line, as "heat.conf:12"; empty for an option that was added.
    """

    name: Name
    outcome: Outcome
    old: str = ""
    new: str = ""
    targets: tuple[Name, ...] = ()
    reason: str = ""
    where: str = ""


class Report:
    """Collects the result of every option, and the secrets that no result may show.

    Attributes:
        results: by the name in the file.
        added: of the options that are in no file.
        problems: a sentence for each refused option, by its name.
    """

    def __init__(self, names: OptionNames) -> None:
        self.results: dict[Name, OptionResult] = {}
        self.added: list[OptionResult] = []
        self.problems: dict[Name, str] = {}
        self._names = names
        self._secrets: set[str] = set()

    def record(
        self,
        entry: Entry,
        outcome: Outcome,
        reason: str = "",
        *,
        targets: tuple[Name, ...] = (),
        new: str = "",
        secret: bool = False,
    ) -> None:
        """Record the result of an option.

        Args:
            entry: the option.
            outcome: what happened to it.
            reason: why.
            targets: today's names of the options that it became.
            new: the new value.
            secret: whether a value is a secret although the option's name does not say so.
        """
        names = self._names
        old = "\n".join(entry.values) if names.is_repeatable(entry.name) else entry.last
        known_secret = any(map(names.is_secret, (entry.name, *names.current(entry.name)))) or urls.has_login(old)
        if known_secret:
            self.hide(old)
        secret = secret or known_secret
        self.results[entry.name] = OptionResult(
            name=entry.name,
            outcome=outcome,
            old=_masked(old) if secret else old,
            new=_masked(new) if secret else new,
            targets=targets,
            reason=reason,
            where=entry.where,
        )

    def refuse(self, entry: Entry, reason: str, *, secret: bool = False) -> None:
        """Record that an option is refused, which is a problem."""
        self.problems[entry.name] = f"{entry.where}: {label(entry.name)}: {reason}"
        self.record(entry, Outcome.REFUSED, reason, secret=secret)

    def refuse_together(self, entries: Iterable[Entry], reason: str) -> None:
        """Refuse options that make one option together: those without a result yet, as one problem at most."""
        entries = list(entries)
        reported = any(entry.name in self.problems for entry in entries)
        for entry in entries:
            if entry.name in self.results:
                continue
            if reported:
                self.record(entry, Outcome.REFUSED, reason)
            else:
                self.refuse(entry, reason)
                reported = True

    def add(self, name: Name, value: str, reason: str, *, secret: bool) -> None:
        """Record an option that is in no file."""
        shown = _masked(value) if secret else value
        self.added.append(OptionResult(name=name, outcome=Outcome.ADDED, new=shown, targets=(name,), reason=reason))

    def hide(self, value: str) -> None:
        """Show a secret value nowhere, nor in the value of another option that repeats it."""
        for line in value.splitlines():
            self._secrets.update(urls.passwords(line) if "://" in line else (line,))

    def without_secrets(self, results: Iterable[OptionResult]) -> tuple[OptionResult, ...]:
        """The results, in which no value repeats a secret of another option."""
        secrets = [text for text in self._secrets if len(text) >= _SHORTEST_SECRET]

        def clean(text: str) -> str:
            return urls.HIDDEN if any(secret in text for secret in secrets) else text

        return tuple(replace(result, old=clean(result.old), new=clean(result.new)) for result in results)


def _masked(value: str) -> str:
    return "\n".join(urls.masked(line) for line in value.split("\n"))
