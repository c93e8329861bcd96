"""Translate an existing heat.conf for the nodes of a scale-out. Pure: texts in, options and a result for each out.

An address that means the host itself (127.0.0.1, localhost) becomes the host's address. Old names become today's.
Options that the release no longer knows are dropped and reported, and options that no release knows are refused.
Whose value counts where this program sets an option too is decided in `components.adoption.merge`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from components import loopback
from components.adoption.combined import Combiner, guest_note
from components.adoption.names import OptionNames, is_path_option, label, parse_names
from components.adoption.oslo_files import DEFAULT, Entry, read
from components.adoption.report import OptionResult, Outcome, Report
from components.adoption.tables import (
    API_PORTS,
    AUTH,
    COMBINED,
    LISTENING_OPTIONS,
    OBSOLETE,
    REMOVED,
    REQUIRED,
    SERVER_OPTIONS,
    SET_BY_PROGRAM,
    TLS_OPTIONS,
)
from components.adoption.values import Values
from components.heat.options import Name
from components.text import shortened

# As components.heat.heat_conf has them: section, option, value.
Sections = Mapping[str, Mapping[str, str]]

_MAX_PORT = 65535
# Unknown options for which a similar name is searched, which takes time.
_MOST_HINTS = 20


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Where an API listened, and so where the proxy has to listen."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A translated configuration. Do not use it while there are `problems`.

    Attributes:
        public: options without secrets. A repeated option has its values on lines of their own.
        secret: the other options; none of them is in `public`.
        api: where heat-api listened.
        cfn: where heat-api-cfn listened.
        results: one for each option that was read, in the order of the files.
        added: one for each option that is in no file.
        files: paths on the host, by the option that names each.
        missing: a sentence for each option that Heat needs and that is not set.
        problems: a sentence for each option that is refused or cannot be read.
    """

    public: Sections
    secret: Sections = field(repr=False)
    api: Listener
    cfn: Listener
    results: tuple[OptionResult, ...]
    added: tuple[OptionResult, ...]
    files: Mapping[Name, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A value for an option. Of several candidates the one in the latest file wins, then the one with today's name."""

    entry: Entry
    value: str
    rank: int
    secret: bool


class _Translator:
    """One translation under way."""

    def __init__(self, entries: Mapping[Name, Entry], address: str, names: OptionNames) -> None:
        self._entries, self._address, self._names = entries, address, names
        self._report = Report(names)
        self._values = Values(entries, address, names, self._report)
        self._candidates: dict[Name, list[_Candidate]] = {}
        self._listening: dict[str, dict[str, str]] = {section: {} for section in API_PORTS}

    def run(self) -> None:
        """Translate every option."""
        for entry in self._entries.values():
            self._classify(entry)
        combiner = Combiner(self._values, self._names, self._report)
        combiner.combine_broker(self._candidates)
        combiner.combine_keystone(self._candidates)
        for target, candidates in self._candidates.items():
            if target in self._names.allow and target in self._entries:
                for candidate in candidates:
                    self._drop(candidate.entry, f"{label(target)} comes before it", targets=(target,))
            else:
                self._choose(target, candidates)
        combiner.complete_login()
        combiner.make_ec2_login()

    def _classify(self, entry: Entry) -> None:
        """Keep, drop or refuse an option, or make it a candidate for today's option."""
        name = entry.name
        section, key = name
        if name in self._names.allow:
            self._keep(entry)
        elif section in API_PORTS or (section == DEFAULT and key in LISTENING_OPTIONS):
            if key in LISTENING_OPTIONS:
                self._listen(entry, (section,) if section in API_PORTS else tuple(API_PORTS))
            else:
                self._drop_or_refuse_unknown(entry)
        elif name in COMBINED:
            pass  # The combiner works on all of them together.
        elif name in SET_BY_PROGRAM:
            self._drop(entry, SET_BY_PROGRAM[name])
        elif self._names.is_known(name):
            self._add_candidate(entry, (name,), rank=0)
        elif targets := self._names.current(name):
            if all(target in SET_BY_PROGRAM for target in targets):
                self._drop(entry, SET_BY_PROGRAM[targets[0]])
            else:
                self._add_candidate(entry, targets, rank=1)
        else:
            self._drop_or_refuse_unknown(entry)

    def _drop(self, entry: Entry, reason: str, *, targets: tuple[Name, ...] = (), new: str = "") -> None:
        self._report.record(entry, Outcome.DROPPED, reason, targets=targets, new=new)

    def _keep(self, entry: Entry) -> None:
        """Keep an option that is allowed by name."""
        if (resolved := self._values.resolve(entry)) is None:
            return
        value, secret = resolved
        name = entry.name
        self._values.set(name, value, secret=secret)
        secret = name in self._values.secret
        self._report.record(entry, Outcome.KEPT, "allowed by name", targets=(name,), new=value, secret=secret)

    def _listen(self, entry: Entry, sections: tuple[str, ...]) -> None:
        """Note where the APIs of these sections listened."""
        key = entry.name[1]
        if key in TLS_OPTIONS:
            reason = "the API used TLS, and the proxy that replaces it does not: allow the option by name"
            self._report.refuse(entry, reason)
            return
        if key in SERVER_OPTIONS:
            self._drop(entry, "belongs to uWSGI now")
            return
        if (resolved := self._values.resolve(entry)) is None:
            return
        value, _ = resolved
        if key == "bind_port" and not (re.fullmatch(r"[0-9]{1,5}", value) and 0 < int(value) <= _MAX_PORT):
            self._report.refuse(entry, f"must be a port from 1 to {_MAX_PORT}")
            return
        # The address of every interface stays: the proxy's address is checked against it later.
        moved = key == "bind_host" and value not in ("0.0.0.0", "::") and loopback.is_loopback(value)  # noqa: S104
        for section in sections:
            # An API's own section comes before DEFAULT.
            if entry.name[0] == section or key not in self._listening[section]:
                self._listening[section][key] = self._address if moved else value
        reason = "the proxy listens there now" + (", on the address that other hosts reach" if moved else "")
        self._drop(entry, reason, new=self._address if moved else "")

    def _drop_or_refuse_unknown(self, entry: Entry) -> None:
        name, series = entry.name, self._names.series
        if known := self._names.option(name):
            releases = " and ".join(str(release) for release in sorted(known.series))
            self._drop(entry, f"Heat {series} does not know it, only {releases} did")
        elif name in REMOVED:
            self._drop(entry, f"Heat {series} does not know it: {REMOVED[name]}")
        elif name[0] in OBSOLETE and OBSOLETE[name[0]].fullmatch(name[1]):
            self._drop(entry, f"Heat {series} does not know it any more")
        else:
            self._report.refuse(entry, self._unknown_reason(name), secret=True)

    def _unknown_reason(self, name: Name) -> str:
        hint = self._names.similar(name) if len(self._report.problems) < _MOST_HINTS else ""
        remedy = f"{hint}{'' if hint.endswith('?') else '.'} Otherwise" if hint else "if a plug-in reads it,"
        return f"no release of Heat knows it: {remedy} allow it by name: {name[0]}.{name[1]}"

    def _add_candidate(self, entry: Entry, targets: Iterable[Name], rank: int) -> None:
        if (resolved := self._values.resolve(entry)) is None:
            return
        value, secret = resolved
        candidate = _Candidate(entry=entry, value=value, rank=rank, secret=secret)
        for target in targets:
            self._candidates.setdefault(target, []).append(candidate)

    def _choose(self, target: Name, candidates: list[_Candidate]) -> None:
        """Give an option the value that Heat would have read, in a form for other hosts."""
        ordered = sorted(candidates, key=lambda candidate: (-candidate.entry.file, candidate.rank))
        option = self._names.option(target)
        if len(ordered) > 1 and option and option.multi:
            chosen = sorted(ordered, key=lambda candidate: candidate.entry.file)
        else:
            chosen = ordered[:1]
            for candidate in ordered[1:]:
                self._drop(candidate.entry, f"{label(ordered[0].entry.name)} comes before it", targets=(target,))
        values = [value for candidate in chosen if (value := self._new_value(target, candidate)) is not None]
        if values:
            self._values.set(target, "\n".join(values), secret=any(candidate.secret for candidate in ordered))

    def _new_value(self, target: Name, candidate: _Candidate) -> str | None:
        """A candidate's value in a form for other hosts; None where it is dropped or refused."""
        entry, old, secret = candidate.entry, candidate.value, candidate.secret
        if reason := _no_meaning(target, old):
            self._drop(entry, reason)
            return None
        try:
            value = self._values.rewrite(target, old)
        except loopback.UndecidableError as problem:
            self._report.refuse(entry, f"{problem}", secret=secret)
            return None
        outcome = Outcome.KEPT
        if entry.name != target:
            outcome = Outcome.RENAMED
        elif value != old:
            outcome = Outcome.REWRITTEN
        self._report.record(entry, outcome, _note(target, old, value), targets=(target,), new=value, secret=secret)
        return value

    def result(self, unreadable: Collection[str]) -> Translation:
        """The finished translation.

        Args:
            unreadable: problems that were found when the files were read.
        """
        values, report = self._values, self._report
        public: dict[str, dict[str, str]] = {}
        secret: dict[str, dict[str, str]] = {}
        for (section, key), value in values.new.items():
            (secret if (section, key) in values.secret else public).setdefault(section, {})[key] = value
        files = {
            name: value
            for name, value in values.new.items()
            if value.startswith("/") and is_path_option(name) and name not in values.secret
        }
        return Translation(
            public=public,
            secret=secret,
            api=self._listener("heat_api"),
            cfn=self._listener("heat_api_cfn"),
            results=report.without_secrets(report.results[name] for name in self._entries),
            added=report.without_secrets(report.added),
            files=files,
            missing=tuple(f"{label(name)}: {reason}" for name, reason in REQUIRED.items() if name not in values.new),
            problems=(*unreadable, *(report.problems[name] for name in self._entries if name in report.problems)),
        )

    def _listener(self, section: str) -> Listener:
        found = self._listening[section]
        host = found.get("bind_host", "0.0.0.0")  # noqa: S104
        return Listener(host=host, port=int(found.get("bind_port", API_PORTS[section])))


def _no_meaning(target: Name, value: str) -> str:
    """Why a value means nothing today; empty where it does."""
    if target == (DEFAULT, "num_engine_workers") and value.strip() in ("0", ""):
        return "it is the default: as many workers as there are cores"
    if target == (AUTH, "auth_version") and value.startswith(("v2", "2")):
        return "Keystone has no version 2 any more"
    return ""


def _note(target: Name, old: str, new: str) -> str:
    notes = []
    if target[1] == "transport_url" and old != new and (note := guest_note(new)):
        notes.append(note)
    if new.startswith("/") and is_path_option(target):
        notes.append("a file of this host: every node needs it")
    return "; ".join(notes)


def translate(files: Mapping[str, str], *, control: str, release: str, allow: Collection[str] = ()) -> Translation:
    """Translate a configuration.

    Args:
        files: the texts by their names, in the order in which Heat reads them: heat.conf, then its conf.d's in order.
        control: the address at which other hosts reach the host of the files.
        release: the release of Heat that reads the result, such as 27.0.1 or 27.
        allow: options to keep as they are, even if no release knows them: section.option.

    Returns:
        The new options, and a result for each option that was read.

    Raises:
        ValueError: the release is unknown, the address is a loopback one, or an allowed option has no section.
    """
    if not re.fullmatch(r"[0-9A-Za-z.:-]+", control) or loopback.is_loopback(control):
        raise ValueError(f"{shortened(control)} must be an address at which other hosts reach the control host")
    entries, problems = read(files)
    translator = _Translator(entries, control, OptionNames(entries, release, parse_names(allow)))
    translator.run()
    return translator.result(problems)
