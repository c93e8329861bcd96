"""What every section of the settings is made of: its base class, numbers and truth values, and a walk over all keys."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar

import annotated_types
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from infra.settings.formats import MOST_DIGITS, Format


@cache
def camel(name: str) -> str:
    """A field's name as its key in the stack's file: cfn_apis is cfnApis."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


class Section(BaseModel):
    """Settings that belong together. A field is a key of the stack's file, in snake case."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=camel,
        validate_by_name=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )
    # Keys that mean nothing here, by what is meant; "/name" is a key outside this object.
    MOVED: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, raw: Any) -> Any:  # noqa: ANN401 # whatever JSON holds
        """An empty text is how a stack's file has a setting without a value."""
        if not isinstance(raw, dict) or "" not in raw.values():
            return raw
        unset = {camel(name) for name, known in cls.model_fields.items() if known.default == ""}
        return {key: value for key, value in raw.items() if value != "" or key not in unset}


def _integer(value: object) -> int:
    if isinstance(value, str) and re.fullmatch(rf"-?[0-9]{{1,{MOST_DIGITS}}}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**MOST_DIGITS:
        raise ValueError("no integer")
    return value


def _truth(value: object) -> bool:
    text = str(value).lower() if isinstance(value, (bool, str)) else ""
    if text not in ("true", "false"):
        raise ValueError("no truth value")
    return text == "true"


# As Pulumi hands them over: `pulumi config set` makes texts of both.
Integer = Annotated[int, BeforeValidator(_integer)]
Truth = Annotated[bool, BeforeValidator(_truth)]
# More of these has never been tried.
MOST_NODES, MOST_PROCESSES = 200, 2000


@dataclass(frozen=True)
class Key:
    """What is known about a key of the stack's file, or about a part of one.

    Attributes:
        path: where it is, with [] for the index of a list and * for a key that the operator chooses.
        field: the name of its field; an entry of a list or of an object has that of the list or object.
        kind: its type, without Annotated and None.
        info: this field's default and description.
        metadata: bounds and formats.
        entry: whether it is such an entry.
    """

    path: str
    field: str
    kind: Any
    info: FieldInfo
    metadata: tuple[object, ...]
    entry: bool = False

    @property
    def default(self) -> Any:  # noqa: ANN401 # whatever the setting may be
        """Its value if it is not set; None if there is no such value."""
        return None if self.entry else self.info.get_default(call_default_factory=True)

    @property
    def format(self) -> Format | None:
        """How its text may be written."""
        return next((item for item in self.metadata if isinstance(item, Format)), None)

    @property
    def section(self) -> type[Section] | None:
        """What it is made of if it is an object with fixed keys."""
        return self.kind if isinstance(self.kind, type) and issubclass(self.kind, Section) else None

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the most that its number may be."""
        least = next(int(typing.cast("int", item.ge)) for item in self.metadata if isinstance(item, annotated_types.Ge))
        most = next(int(typing.cast("int", item.le)) for item in self.metadata if isinstance(item, annotated_types.Le))
        return least, most

    @property
    def rule(self) -> str:
        """What every value must be."""
        if self.section or typing.get_origin(self.kind) is dict:
            return "must be an object"
        if typing.get_origin(self.kind) is tuple:
            return "must be a list"
        if self.kind is int:
            return "must be an integer from {} to {}".format(*self.bounds)
        return "must be true or false" if self.kind is bool else self.format.rule if self.format else "must be a text"

    @property
    def parts(self) -> Iterator[Key]:
        """The keys of an object, or one entry for all those of a list or of an object with chosen keys."""
        if self.section:
            yield from keys(self.section, self.path)
        elif typing.get_origin(self.kind) is tuple:
            yield self._entry(typing.get_args(self.kind)[0], f"{self.path}[]")
        elif typing.get_origin(self.kind) is dict:
            yield self._entry(typing.get_args(self.kind)[1], f"{self.path}.*")

    def _entry(self, annotation: object, path: str) -> Key:
        kind, metadata = _bare(annotation)
        return Key(path, self.field, kind, self.info, metadata, entry=True)

    def part(self, step: str | int) -> Key:
        """One of these parts, by a step of a path."""
        return next((part for part in self.parts if part.entry or part.path.rpartition(".")[2] == step), self)


@cache
def keys(section: type[Section], path: str = "") -> tuple[Key, ...]:
    """Every key of a section, in order; the section is at `path`."""
    found = []
    for name, info in section.model_fields.items():
        kind, metadata = _bare(info.annotation)
        where = f"{path}.{camel(name)}" if path else camel(name)
        found.append(Key(where, name, kind, info, (*metadata, *info.metadata)))
    return tuple(found)


def _bare(annotation: Any) -> tuple[Any, tuple[object, ...]]:  # noqa: ANN401
    """A type without Annotated and None, and what was annotated. Of a union it is the first type."""
    metadata: tuple[object, ...] = ()
    while True:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is Annotated:
            annotation, metadata = arguments[0], (*metadata, *arguments[1:])
        elif origin in (types.UnionType, typing.Union):
            annotation = next(argument for argument in arguments if argument is not type(None))
        else:
            return annotation, metadata
