"""What a stack's file says, made into the typed values of `infra.model`; every mistake is noted, none ends it. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# What stands for a value that has been refused.
_REFUSED = object()


def camel(name: str) -> str:
    """A field's name as its key in the stack's file: cfn_apis is cfnApis."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def typed_key(key: str) -> str:
    """A key or the path of a part of it, as one types it."""
    quoted = f"'{key}'" if "[" in key else key
    return f"--path {quoted}" if "." in key or "[" in key else key


def step(path: str, key: str) -> str:
    """The path of a part of an object, whatever its key is made of."""
    return f"{path}.{key}" if re.fullmatch(r"[\w-]+", key) else f"{path}[{json.dumps(key)}]"


_DURATION = re.compile(r"(\d+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(duration: str) -> float | None:
    """A duration as HAProxy writes them ("90s", "1m"), in seconds; None where it is not one.

    A unit is always wanted: HAProxy takes a bare number for milliseconds, and people mean seconds.
    """
    match = _DURATION.fullmatch(duration)
    return int(match[1]) * _SECONDS[match[2]] if match else None


# A URL with a login, a query or a fragment in it: each of the three is where tokens are put.
_TELLING_URL = re.compile(r"(?<![\w+.-])([a-z][a-z0-9+.-]*://)[^\s\"',]*[@?#][^\s\"']*", re.IGNORECASE)


def without_login(text: str) -> str:
    """A text as it may be shown: of each URL that may hold a login only the scheme."""
    return _TELLING_URL.sub(r"\1…", text)


@dataclass
class Reader:
    """Collects problems, so that all of them are told at once."""

    stack: str
    problems: list[str] = field(default_factory=list)

    def set(self, key: str, value: object) -> str:
        """What to type for a setting to have this value."""
        return f"pulumi config set {typed_key(key)} {value} --stack {self.stack}"

    def set_secret(self, key: str) -> str:
        """What to type for a setting to have a value that is asked for, and kept as a secret."""
        return f"pulumi config set --secret {typed_key(key)} --stack {self.stack}"

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
        shown = without_login(value if isinstance(value, str) and "\n" not in value else json.dumps(value))
        remedy = remedy or (self.remove(key) if instead is None else self.set(key, instead))
        self.problems.append(f"{key} = {shown}: {rule}. Type: {remedy}")

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
        for key in keys:
            if key not in known:
                close = [moved[key]] if moved and key in moved else difflib.get_close_matches(key, known, n=1)
                # A name with a slash is one that counts from the top.
                near = f"{path}.{close[0]}" if path and close and close[0][0] != "/" else "".join(close).lstrip("/")
                hint = f", did you mean {near}?" if close else "."
                there = step(path, key) if path else key
                self.problems.append(f"{there}: there is no such {what}{hint} Type: {self.remove(there)}")

    def typed(self, kind: type, raw: Mapping[str, Any], path: str = "") -> dict[str, Any]:
        """The values of a dataclass's fields that are given and have the right type."""
        fields = {camel(item.name): item for item in dataclasses.fields(kind)}
        self.unknown(raw, list(fields), path, moved=getattr(kind, "MOVED", None))
        wanted = typing.get_type_hints(kind)
        values = {
            item.name: self._value(wanted[item.name], raw[key], step(path, key) if path else key, item.default)
            for key, item in fields.items()
            if key in raw
        }
        return {name: value for name, value in values.items() if value is not _REFUSED}

    def _value(self, wanted: Any, value: Any, path: str, default: object) -> Any:  # noqa: ANN401
        """One value as its field wants it."""
        arguments = typing.get_args(wanted)
        if typing.get_origin(wanted) is types.UnionType:
            # Either no value or one; either one value or several.
            one, *several = (argument for argument in arguments if argument is not type(None))
            return self._value(several[0] if several and isinstance(value, list) else one, value, path, default)
        if typing.get_origin(wanted) is tuple:
            return self._list(arguments[0], value, path)
        if typing.get_origin(wanted) is Mapping:
            return self._mapping(arguments[1], value, path)
        if dataclasses.is_dataclass(wanted):
            return self._part(typing.cast("type[Any]", wanted), value, path)
        return self._scalar(wanted, value, path, default)

    def _scalar(self, wanted: type, value: object, path: str, default: object) -> object:
        # What YAML takes for a truth is a text where one is wanted, and stands in a file as it was typed.
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        if isinstance(value, (dict, list)) or value is None:
            self.refuse(path, value, "one value is wanted", default if isinstance(default, (str, int)) else None)
        elif wanted is bool and text.lower() not in ("true", "false"):
            self.refuse(path, value, "true or false is wanted", json.dumps(default))
        elif wanted is int and (isinstance(value, bool) or not re.fullmatch(r"-?\d+", text)):
            self.refuse(path, value, "a whole number is wanted", default)
        else:
            return text.lower() == "true" if wanted is bool else wanted(text)
        return _REFUSED

    def _mapping(self, wanted: Any, value: object, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            self.refuse(path, value, "an object is wanted")
            return _REFUSED
        entries = {key: self._value(wanted, entry, step(path, key), None) for key, entry in value.items()}
        return {key: entry for key, entry in entries.items() if entry is not _REFUSED}

    def _list(self, wanted: Any, value: Any, path: str) -> Any:  # noqa: ANN401
        parts = dataclasses.is_dataclass(wanted)
        if not isinstance(value, list):
            example = f", such as {path}[0].{wanted.EXAMPLE}" if parts else ""
            self.refuse(path, value, f"a list is wanted{example}")
            return _REFUSED
        entries = [self._value(wanted, entry, f"{path}[{at}]", None) for at, entry in enumerate(value)]
        return tuple(entry for entry in entries if entry is not _REFUSED)

    def _part(self, kind: type[Any], value: object, path: str) -> Any:  # noqa: ANN401
        """An object within a setting."""
        if not isinstance(value, dict):
            self.refuse(path, value, f"an object is wanted, such as {path}.{kind.EXAMPLE}")
            return _REFUSED
        return kind(**self.typed(kind, value, path))
