"""Property values as Pulumi sends them: plain JSON-like values, some of them secret or not known yet.

A value is None, a bool, a float, a str, a list, a dict with str keys, or one of these inside `Marked`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import struct_pb2

# Lists and dicts are read through the functions below; mypy has no recursive type that is pleasant to narrow.
Value: TypeAlias = Any
Properties: TypeAlias = dict[str, Value]

# The keys and values by which the protocol tells what JSON cannot.
SPECIAL = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a name in the protocol
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = {
    _UNKNOWN,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a bool
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # an array
    "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
    "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
}


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A value that is secret, or not known before the program has run, or both."""

    value: Value = None
    secret: bool = False
    unknown: bool = False


def mark(value: Value, *, secret: bool = False, unknown: bool = False) -> Value:
    """Mark a value, in addition to what it is marked as already."""
    if isinstance(value, Marked):
        secret, unknown, value = secret or value.secret, unknown or value.unknown, value.value
    if not secret and not unknown:
        return value
    return Marked(value=None if unknown else value, secret=secret, unknown=unknown)


def bare(value: Value) -> Value:
    """The value without its own mark, but with the marks inside it. None where it is unknown."""
    return value.value if isinstance(value, Marked) else value


def plain(value: Value) -> Value:
    """The value without any mark."""
    value = bare(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def is_unknown(value: Value) -> bool:
    """Whether the value itself is unknown; values inside it do not count."""
    return isinstance(value, Marked) and value.unknown


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same, their marks included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Marked):
        return one.secret == other.secret and one.unknown == other.unknown and same(one.value, other.value)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def from_wire(properties: struct_pb2.Struct) -> Properties:
    """Read what the engine sent. A property without a value is as good as absent."""
    return {key: value for key, value in ((k, _read(v)) for k, v in properties.fields.items()) if value is not None}


def _read(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            return Marked(unknown=True) if value.string_value in _UNKNOWNS else value.string_value
        case "list_value":
            return [_read(item) for item in value.list_value.values]
        case "struct_value":
            return _read_object(value.struct_value)
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)


def _read_object(given: struct_pb2.Struct) -> Value:
    members = from_wire(given)
    special = members.get(SPECIAL)
    if special == _SECRET:
        return mark(members.get("value"), secret=True)
    if special == _OUTPUT:
        return mark(members.get("value"), secret=members.get("secret", False), unknown="value" not in members)
    return members


def to_wire(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Write what the engine is to get."""
    return struct_pb2.Struct(fields={k: _write(v) for k, v in properties.items() if v is not None})


def _write(value: Value) -> struct_pb2.Value:
    wire = struct_pb2.Value()
    match value:
        case Marked():
            inner = _UNKNOWN if value.unknown else value.value
            wire = _write({SPECIAL: _SECRET, "value": inner} if value.secret else inner)
        case dict():
            wire.struct_value.CopyFrom(to_wire(value))
        case list():
            wire.list_value.CopyFrom(struct_pb2.ListValue(values=map(_write, value)))
        case None:
            wire.null_value = struct_pb2.NULL_VALUE
        case bool():
            wire.bool_value = value
        case str():
            wire.string_value = value
        case _:
            wire.number_value = value
    return wire
