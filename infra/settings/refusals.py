"""Problems with the settings: each names the key, the value and the rule, and says what to type. Pure."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from components.text import shortened
from infra.settings.fields import Key, Section, keys
from infra.settings.formats import MOST_DIGITS, Format, as_text

# What is shown in place of a secret's value.
HIDDEN = "[secret]"
# How much a setting may hold, and how much of a wrong one is reported: more than this is another mistake.
_DEEPEST, _MOST_VALUES, _MOST_CHARACTERS, _MOST_UNKNOWN, _LONGEST_KEY = 8, 4000, 500_000, 20, 100
# How a value's type is chosen if an option has one value or several; part of the paths in pydantic's errors.
ONE, SEVERAL = "\0one", "\0several"
# A part of a setting, and all that are to be removed.
_Steps = tuple["str | int", ...]
_Removed = set[_Steps]
_SectionT = TypeVar("_SectionT", bound=Section)


def typed_key(key: str) -> str:
    """A key, or the path of a part of it, as an operator types it."""
    quoted = shlex.quote(key)
    return f"--path {quoted}" if "." in key or "[" in key else quoted


def step(path: str, key: str) -> str:
    """The path of a part of an object, whatever its key is made of."""
    if not path:
        return key
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key) if len(key) <= _LONGEST_KEY else json.dumps(shortened(key))}]"


def excess(value: object) -> str:
    """Why a setting's value is too large to be meant; empty if it is not. Deep nesting does not stop this check."""
    values, characters, layer, depth = 0, 0, [value], 0
    while layer:
        if depth > _DEEPEST:
            return f"must not be nested deeper than {_DEEPEST} levels"
        below: list[object] = []
        for entry in layer:
            values += 1
            if isinstance(entry, dict):
                characters += sum(map(len, entry))
                below += entry.values()
            elif isinstance(entry, list):
                below += entry
            elif isinstance(entry, str):
                characters += len(entry)
            if len(below) + values > _MOST_VALUES:
                return f"must not hold more than {_MOST_VALUES} values"
        if characters > _MOST_CHARACTERS:
            return f"must not hold more than {_MOST_CHARACTERS} characters"
        layer, depth = below, depth + 1
    return ""


def _shown(value: object) -> str:
    """A value as a message has it: on one line, and short enough to read."""
    if isinstance(value, str):
        return shortened(without_login(value)) or "(none)"
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        return f"(a number of more than {MOST_DIGITS} digits)"
    if isinstance(value, (dict, list)) and excess(value):
        return "(a large object)" if isinstance(value, dict) else "(a large list)"
    try:
        return shortened(without_login(json.dumps(value)))
    except ValueError:
        return "(what no message can show)"


# In longer texts nobody looks for logins: a text with a URL is not shown.
_LONGEST_URLS = 4096
# A URL with a login, a query or a fragment: tokens are put in each of the three.
_URL_WITH_LOGIN = re.compile(r"(?<![\w+.-])([a-z][a-z0-9+.-]*://)[^\s\"',]*[@?#][^\s\"']*", re.IGNORECASE)


def without_login(text: str) -> str:
    """A text as it may be shown: only the scheme of each URL that may hold a login."""
    if "://" in text and len(text) > _LONGEST_URLS:
        return "(a long text with a URL)"
    return _URL_WITH_LOGIN.sub(r"\1…", text)


@dataclass
class Refusals:
    """Collects problems, so that all of them are reported at once."""

    stack: str
    problems: list[str] = field(default_factory=list)
    # The values are those of secrets: none is shown.
    hidden: bool = False
    # Keys whose value has been refused: no rule reports more about the default that is used instead.
    malformed: set[str] = field(default_factory=set)

    def set(self, key: str, value: object) -> str:
        """What to type to give a setting this value."""
        return f"pulumi config set {typed_key(key)} {value} --stack {self.stack}"

    def set_given(self, key: str, value: str) -> str:
        """The same for a value from the operator: quoted for a shell, and left out if it is long."""
        return self.set(key, shlex.quote(value) if shortened(value) == value else "<its value>")

    def set_secret(self, key: str) -> str:
        """What to type to set a secret; Pulumi asks for the value."""
        return f"pulumi config set --secret {typed_key(key)} --stack {self.stack}"

    def ask_secret(self, key: str) -> str:
        """The same, with a note that the value does not belong on the command line."""
        return f"{self.set_secret(key)}   (it asks for the value)"

    def remove(self, key: str) -> str:
        """What to type to remove a setting."""
        return f"pulumi config rm {typed_key(key)} --stack {self.stack}"

    def refuse(self, key: str, value: object, rule: str, instead: object = None, remedy: str = "") -> None:
        """Note a problem.

        Args:
            key: the setting, or the path of a part of it.
            value: its value.
            rule: why the value cannot be used.
            instead: a value that can; without one the setting must be removed.
            remedy: what to type if it is another command.
        """
        if key in self.malformed:
            return
        shown = HIDDEN if self.hidden else _shown(value)
        if not remedy:
            remedy = self.remove(key) if instead is None else self.set(key, instead)
        self.problems.append(f"{key} = {shown}: {rule}. Type: {remedy}")

    def refuse_form(self, key: str, value: object, rule: str, instead: object = None, remedy: str = "") -> None:
        """Note that a value does not have the form of its setting, once."""
        if self.hidden:
            remedy = self.set_secret(key)
        elif isinstance(value, str) and "@" in value:
            # It may be a login, in a URL that lacks a slash.
            value = "(not shown)"
        self.refuse(key, value, rule, instead, remedy)
        self.malformed.add(key)

    def reported(self, key: str) -> bool:
        """Whether there is a problem with a key already."""
        return any(problem.startswith(f"{key} = ") for problem in self.problems)

    def unknown(
        self,
        keys: Iterable[str],
        known: Sequence[str],
        path: str = "",
        *,
        moved: Mapping[str, str] | None = None,
        what: str = "setting",
    ) -> None:
        """Refuse keys that mean nothing: a misspelt key would silently do nothing.

        Args:
            keys: the keys of the object at `path`.
            known: the keys that it may have.
            path: of the object.
            moved: `Section.MOVED`.
            what: what the keys are.
        """
        strange = [key for key in keys if key not in known]
        for key in strange[:_MOST_UNKNOWN]:
            alike = difflib.get_close_matches(key, known, n=1) if len(key) <= _LONGEST_KEY else []
            close = [moved[key]] if moved and key in moved else alike
            near = f"{path}.{close[0]}" if path and close and close[0][0] != "/" else "".join(close).lstrip("/")
            hint = f", did you mean {near}?" if close else "."
            there = step(path, key)
            shown = there if path else shortened(key)
            self.problems.append(f"{shown}: there is no such {what}{hint} Type: {self.remove(shown)}")
        if len(strange) > _MOST_UNKNOWN:
            more = f"there are {len(strange) - _MOST_UNKNOWN} more keys that are no {what}"
            self.problems.append(f"{path or 'the file'}: {more}. Type: pulumi config --stack {self.stack}")

    def typed(self, section: type[_SectionT], raw: Mapping[str, Any]) -> _SectionT:
        """A section from the stack's file; the default replaces each value that is refused.

        Args:
            section: the section's class.
            raw: the values by the keys of the stack's file.
        """
        known = {key.path: key for key in keys(section)}
        self.unknown(raw, list(known), moved=section.MOVED)
        kept: dict[str, Any] = {}
        for name in filter(raw.__contains__, known):
            if rule := excess(raw[name]):
                self.refuse_form(name, raw[name], rule)
            else:
                kept[name] = raw[name]
        while True:
            try:
                return section.model_validate(kept, by_alias=True, by_name=False)
            except ValidationError as error:
                errors = error.errors(include_url=False)
            order = list(known)
            errors.sort(key=lambda found: (order.index(str(found["loc"][0])), found["type"] != "extra_forbidden"))
            removed = _Removed()
            for found in errors:
                self._explain(found, known, kept, removed)
            kept = _without(kept, removed)

    def _explain(
        self, error: ErrorDetails, known: Mapping[str, Key], raw: Mapping[str, Any], removed: _Removed
    ) -> None:
        """Note one of pydantic's errors in our form, and which value is to be removed for it."""
        form: Format | None = error.get("ctx", {}).get("format")
        steps = tuple(part for part in error["loc"] if part not in (ONE, SEVERAL))
        if form and form.key:
            steps = steps[:-1]
        if any(steps[:length] in removed for length in range(1, len(steps) + 1)):
            return
        removed.add(steps)
        above, key, path, value = None, known[str(steps[0])], str(steps[0]), raw[str(steps[0])]
        for part in steps[1:]:
            above, value = (key, path, value), value[part]
            key, path = key.part(part), f"{path}[{part}]" if isinstance(part, int) else step(path, part)
        if above and error["type"] == "extra_forbidden":
            # All of one object at once, so that a long list of them is cut short.
            removed |= {(*steps[:-1], name) for name in self._unknown_in(*above)}
        elif form and form.key:
            self.problems.append(f"{path}: the name {error['ctx']['rule']}. Type: {self.remove(path)}")
        else:
            self._refuse_value(error, key, path, value)
            if above and isinstance(steps[-1], int):
                self.malformed.add(above[1])

    def _unknown_in(self, key: Key, path: str, value: Mapping[str, object]) -> list[str]:
        names = [part.path.rpartition(".")[2] for part in key.parts]
        self.unknown(value, names, path, moved=key.section.MOVED if key.section else None)
        return [name for name in value if name not in names]

    def _refuse_value(self, error: ErrorDetails, key: Key, path: str, value: object) -> None:
        context = error.get("ctx", {})
        form: Format | None = context.get("format")
        usual = json.dumps(key.default) if key.kind is bool else None if key.default == "" else key.default
        if form:
            text = str(as_text(value))
            instead = form.mended(text) or usual or form.example or None
            self.refuse_form(path, text, context["rule"], instead, form.remedy.format(stack=self.stack))
        elif key.section or get_origin(key.kind) in (dict, tuple):
            inside = next((part.section for part in key.parts if part.entry), None) or key.section
            index = "[0]" if inside and inside is not key.section else ""
            example = f", such as {path}{index}.{keys(inside)[0].path}" if inside else ""
            self.refuse_form(path, value, f"{key.rule}{example}")
        elif error["type"] == "rule":
            self.refuse_form(path, value, context["rule"], usual)
        elif key.kind is str or isinstance(value, (dict, list)) or value is None:
            self.refuse_form(path, value, "must be one value", usual)
        else:
            self.refuse_form(path, value, key.rule, usual)


def _without(value: Any, removed: Container[_Steps], at: _Steps = ()) -> Any:  # noqa: ANN401 # whatever JSON holds
    """A value without the parts at these steps."""
    if isinstance(value, dict):
        return {key: _without(entry, removed, (*at, key)) for key, entry in value.items() if (*at, key) not in removed}
    if isinstance(value, list):
        entries = enumerate(value)
        return [_without(entry, removed, (*at, index)) for index, entry in entries if (*at, index) not in removed]
    return value
