"""Make the typed values of `infra.settings.model` from a stack's file. Pure; it notes every mistake and goes on."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import shlex
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from components.text import shortened
from infra.settings.formats import FORMATS, Format, Range, seconds

__all__ = ["Reader", "camel", "excess", "seconds", "step", "typed_key"]

# What stands for a value that has been refused.
_REFUSED = object()
# What is shown in place of a secret's value.
HIDDEN = "[secret]"
# What one setting may hold, and how much of a wrong one is told: whoever types more has made another mistake.
_DEEPEST, _MOST_VALUES, _MOST_CHARACTERS, _MOST_UNKNOWN = 8, 4000, 500_000, 20
_MOST_DIGITS = 18


@cache
def camel(name: str) -> str:
    """A field's name as its key in the stack's file: cfn_apis is cfnApis."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def typed_key(key: str) -> str:
    """A key or the path of a part of it, as one types it."""
    quoted = shlex.quote(key)
    return f"--path {quoted}" if "." in key or "[" in key else quoted


def step(path: str, key: str) -> str:
    """The path of a part of an object, whatever its key is made of."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key) if len(key) <= _LONGEST_KEY else json.dumps(shortened(key))}]"


_LONGEST_KEY = 100


def excess(value: object) -> str:
    """Why a setting's value is more than anybody means; empty where it is not. However deep it is, this ends."""
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
    """A value as a message has it: on one line, and no longer than a person reads."""
    if isinstance(value, str):
        return shortened(without_login(value)) or "(none)"
    if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        return f"(a number of more than {_MOST_DIGITS} digits)"
    if isinstance(value, (dict, list)) and excess(value):
        return "(a large object)" if isinstance(value, dict) else "(a large list)"
    try:
        return shortened(without_login(json.dumps(value)))
    except ValueError:
        return "(what no message can show)"


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@cache
def _fields(kind: type) -> Mapping[str, dataclasses.Field[Any]]:
    return types.MappingProxyType({camel(item.name): item for item in dataclasses.fields(kind)})


# Beyond this many characters nobody looks for logins: what has a URL in it is not shown.
_LONGEST_URLS = 4096
# A URL with a login, a query or a fragment in it: each of the three is where tokens are put.
_TELLING_URL = re.compile(r"(?<![\w+.-])([a-z][a-z0-9+.-]*://)[^\s\"',]*[@?#][^\s\"']*", re.IGNORECASE)


def without_login(text: str) -> str:
    """A text as it may be shown: of each URL that may hold a login only the scheme."""
    if "://" in text and len(text) > _LONGEST_URLS:
        return "(a long text with a URL)"
    return _TELLING_URL.sub(r"\1…", text)


@dataclass
class Reader:
    """Collects problems, so that all of them are told at once."""

    stack: str
    problems: list[str] = field(default_factory=list)
    # Values are those of secrets: none is shown.
    hidden: bool = False
    # What has been refused for its form: no rule tells more about the default that stands in its place.
    malformed: set[str] = field(default_factory=set)

    def set(self, key: str, value: object) -> str:
        """What to type for a setting to have this value."""
        return f"pulumi config set {typed_key(key)} {value} --stack {self.stack}"

    def set_given(self, key: str, value: str) -> str:
        """The same for a value that the operator gave: quoted for a shell, and asked for where it is a long one."""
        return self.set(key, shlex.quote(value) if shortened(value) == value else "<its value>")

    def set_secret(self, key: str) -> str:
        """What to type for a setting to have a value that is asked for, and kept as a secret."""
        return f"pulumi config set --secret {typed_key(key)} --stack {self.stack}"

    def ask_secret(self, key: str) -> str:
        """The same, with a word on where the value goes: onto no command line."""
        return f"{self.set_secret(key)}   (it asks for the value)"

    def remove(self, key: str) -> str:
        """What to type for a setting to go."""
        return f"pulumi config rm {typed_key(key)} --stack {self.stack}"

    def refuse(self, key: str, value: object, rule: str, instead: object = None, remedy: str = "") -> None:
        """Note a problem: which key, which value, which rule, and what to type.

        Args:
            key: the setting, or the path of a part of it.
            value: what it is.
            rule: why that cannot be.
            instead: a value that can; none means that the setting has to go.
            remedy: what to type where it is another command.
        """
        if key in self.malformed:
            return
        shown = HIDDEN if self.hidden else _shown(value)
        if not remedy:
            remedy = self.remove(key) if instead is None else self.set(key, instead)
        self.problems.append(f"{key} = {shown}: {rule}. Type: {remedy}")

    def _malformed(self, key: str, value: object, rule: str, instead: object = None, remedy: str = "") -> object:
        """Note that a value does not have the form of its setting, once."""
        if self.hidden:
            remedy = self.set_secret(key)
        elif isinstance(value, str) and "@" in value:
            # A login, it may be, in what is no URL for a slash too few.
            value = "(not shown)"
        self.refuse(key, value, rule, instead, remedy)
        self.malformed.add(key)
        return _REFUSED

    def unknown(
        self,
        keys: Iterable[str],
        known: Sequence[str],
        path: str = "",
        *,
        moved: Mapping[str, str] | None = None,
        what: str = "setting",
    ) -> None:
        """Refuse keys that mean nothing: a misspelt one would silently do nothing.

        Args:
            keys: what is there, at `path`.
            known: what may be.
            path: of the object that they are keys of.
            moved: by a key that means nothing what it should be; "/name" is one outside of that object.
            what: what the keys are.
        """
        strange = [key for key in keys if key not in known]
        for key in strange[:_MOST_UNKNOWN]:
            alike = difflib.get_close_matches(key, known, n=1) if len(key) <= _LONGEST_KEY else []
            close = [moved[key]] if moved and key in moved else alike
            # A name with a slash is one that counts from the top.
            near = f"{path}.{close[0]}" if path and close and close[0][0] != "/" else "".join(close).lstrip("/")
            hint = f", did you mean {near}?" if close else "."
            there = step(path, key) if path else key
            told = there if path else shortened(key)
            self.problems.append(f"{told}: there is no such {what}{hint} Type: {self.remove(told)}")
        if len(strange) > _MOST_UNKNOWN:
            more = f"there are {len(strange) - _MOST_UNKNOWN} more keys that are no {what}"
            self.problems.append(f"{path or 'the file'}: {more}. Type: pulumi config --stack {self.stack}")

    def typed(self, kind: type, raw: Mapping[str, Any], path: str = "", form: str = "") -> dict[str, Any]:
        """The values of a dataclass's fields that are given and have the right type and form.

        Args:
            kind: the dataclass.
            raw: what is given, by the keys of the stack's file.
            path: where it stands there.
            form: the same without indexes and chosen keys, by which `FORMATS` knows it.
        """
        fields = _fields(kind)
        self.unknown(raw, list(fields), path, moved=getattr(kind, "MOVED", None))
        wanted = _hints(kind)
        values = {
            item.name: self._whole(wanted[item.name], raw[key], path, form, item)
            for key, item in fields.items()
            if key in raw
        }
        return {name: value for name, value in values.items() if value is not _REFUSED}

    def _whole(self, wanted: Any, value: Any, path: str, form: str, item: dataclasses.Field[Any]) -> Any:  # noqa: ANN401
        """The value of a field, unless it holds more than anybody means."""
        key = camel(item.name)
        if not path and (rule := excess(value)):
            return self._malformed(key, value, rule)
        where = step(path, key) if path else key
        return self._value(wanted, value, where, f"{form}.{key}" if form else key, item.default)

    def _value(self, wanted: Any, value: Any, path: str, form: str, default: object) -> Any:  # noqa: ANN401
        """One value as its field wants it."""
        arguments = typing.get_args(wanted)
        if typing.get_origin(wanted) is types.UnionType:
            # Either no value or one; either one value or several.
            one, *several = (argument for argument in arguments if argument is not type(None))
            return self._value(several[0] if several and isinstance(value, list) else one, value, path, form, default)
        if typing.get_origin(wanted) is tuple:
            return self._list(arguments[0], value, path, form)
        if typing.get_origin(wanted) is Mapping:
            return self._mapping(arguments[1], value, path, form)
        if dataclasses.is_dataclass(wanted):
            return self._part(typing.cast("type[Any]", wanted), value, path, form)
        return self._scalar(wanted, value, path, form, default)

    def _scalar(self, wanted: type, value: object, path: str, form: str, default: object) -> object:
        """A number, a truth or a text."""
        usual = default if isinstance(default, (str, int)) else None
        if not isinstance(value, (bool, int, float, str)):
            return self._malformed(path, value, "must be one value", json.dumps(usual) if wanted is bool else usual)
        if wanted is int:
            return self._integer(value, path, form, usual)
        # What YAML takes for a truth is a text where one is wanted, and stands in a file as it was typed.
        if isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
            return self._malformed(path, value, f"must not have more than {_MOST_DIGITS} digits", usual or None)
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        if wanted is bool and text.lower() not in ("true", "false"):
            return self._malformed(path, value, "must be true or false", json.dumps(default))
        return text.lower() == "true" if wanted is bool else self._text(text, path, form, usual)

    def _text(self, text: str, path: str, form: str, default: object) -> object:
        known = FORMATS[form]
        assert isinstance(known, Format), form  # noqa: S101
        # Its default is what most texts are when they are not given: none.
        if text == default or not (rule := known.refusal(text)):
            return text
        instead = known.mended(text) or default or known.example or None
        return self._malformed(path, text, rule, instead, known.remedy.format(stack=self.stack))

    def _integer(self, value: object, path: str, form: str, default: object) -> object:
        known = FORMATS[form]
        assert isinstance(known, Range), form  # noqa: S101
        number: int | None = None
        if isinstance(value, int) and not isinstance(value, bool):
            number = value
        elif isinstance(value, str) and re.fullmatch(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", value):
            number = int(value)
        if number is None or not known.least <= number <= known.most:
            return self._malformed(path, value, known.rule, default)
        return number

    def _mapping(self, wanted: Any, value: object, path: str, form: str) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            return self._malformed(path, value, "must be an object")
        keys = FORMATS[form]
        assert isinstance(keys, Format), form  # noqa: S101
        entries = {}
        for key, entry in value.items():
            where = step(path, key)
            if rule := keys.refusal(key):
                self.problems.append(f"{where}: the name {rule}. Type: {self.remove(where)}")
                continue
            entries[key] = self._value(wanted, entry, where, f"{form}.*", None)
        return {key: entry for key, entry in entries.items() if entry is not _REFUSED}

    def _list(self, wanted: Any, value: Any, path: str, form: str) -> Any:  # noqa: ANN401
        parts = dataclasses.is_dataclass(wanted)
        if not isinstance(value, list):
            example = f", such as {path}[0].{wanted.EXAMPLE}" if parts else ""
            return self._malformed(path, value, f"must be a list{example}")
        entries = [self._value(wanted, entry, f"{path}[{at}]", form, None) for at, entry in enumerate(value)]
        kept = tuple(entry for entry in entries if entry is not _REFUSED)
        if len(kept) < len(entries):
            self.malformed.add(path)
        return kept

    def _part(self, kind: type[Any], value: object, path: str, form: str) -> Any:  # noqa: ANN401
        """An object within a setting."""
        if not isinstance(value, dict):
            return self._malformed(path, value, f"must be an object, such as {path}.{kind.EXAMPLE}")
        return kind(**self.typed(kind, value, path, form))
