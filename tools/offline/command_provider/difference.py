"""What an update or a replacement is: two sets of inputs compared, property by property."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pulumi.runtime.proto import provider_pb2

from tools.offline.command_provider.properties import SPECIAL, Properties, Value, same

_Kind = provider_pb2.PropertyDiff.Kind
_ADD, _DELETE, _UPDATE = (
    provider_pb2.PropertyDiff.ADD,
    provider_pb2.PropertyDiff.DELETE,
    provider_pb2.PropertyDiff.UPDATE,
)
_REPLACING = {
    _ADD: provider_pb2.PropertyDiff.ADD_REPLACE,
    _DELETE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    _UPDATE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


@dataclass
class Difference:
    """Which properties changed, by path, and which of them replace the resource."""

    detailed: dict[str, _Kind.ValueType] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    replacing: set[str] = field(default_factory=set)


def difference(old: Properties, new: Properties, replacing: Collection[str]) -> Difference:
    """Compare two sets of inputs."""
    result = Difference()
    for path, kind in _compare_objects([], old, new):
        text = _path_text(path)
        # A change inside a list is an update of the resource for the provider, whatever the SDK makes of it.
        replaces = text in replacing
        result.detailed[text] = _REPLACING[kind] if replaces else kind
        result.changed.add(str(path[0]))
        if replaces:
            result.replacing.add(str(path[0]))
    return result


_Path = list[str | int]


def _compare_objects(path: _Path, old: Properties, new: Properties) -> Iterator[tuple[_Path, _Kind.ValueType]]:
    for name in old.keys() | new.keys():
        here = [*path, name]
        if new.get(name) is None:
            if old.get(name) is not None:
                yield here, _DELETE
        elif old.get(name) is None:
            yield here, _ADD
        else:
            yield from _compare(here, old[name], new[name])


def _compare(path: _Path, old: Value, new: Value) -> Iterator[tuple[_Path, _Kind.ValueType]]:
    if isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            here = [*path, index]
            if index >= len(old):
                yield here, _ADD
            elif index >= len(new):
                yield here, _DELETE
            else:
                yield from _compare(here, old[index], new[index])
    elif _is_object(old) and _is_object(new):
        yield from _compare_objects(path, old, new)
    elif not same(old, new):
        yield path, _DELETE if new is None else _ADD if old is None else _UPDATE


def _is_object(value: Value) -> bool:
    # An asset is an object on the wire, but one value.
    return isinstance(value, dict) and SPECIAL not in value


def _path_text(path: _Path) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"\w*", step, re.ASCII):
            text += f".{step}" if text else step
        else:
            text += '["' + step.replace('"', '\\"') + '"]'
    return text
