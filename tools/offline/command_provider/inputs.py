"""What the two resources accept: names, types, defaults and what is always secret.

Messages name the real plugin's Go types, because both plugins must report the same errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tools.offline.command_provider.properties import Marked, Properties, Value, bare, is_unknown, mark


@dataclass(frozen=True, kw_only=True)
class Type:
    """A Go type that a property is read into."""

    name: str
    accepts: type
    # Of the elements of a list or a map.
    of: Type | None = None


@dataclass(frozen=True, kw_only=True)
class Property:
    """One property of a resource or of a nested object."""

    type: Type | Object
    required: bool = False
    secret: bool = False
    default: Value = None


@dataclass(frozen=True, kw_only=True)
class Object:
    """Named properties: a resource's inputs, or an object in them."""

    module: str
    name: str
    properties: Mapping[str, Property]

    @property
    def full_name(self) -> str:
        """As Go writes it."""
        return f"{self.module}.{self.name}"


@dataclass
class Checked:
    """The result of a check. With failures, `inputs` are the given ones, except for the marks of secrets."""

    inputs: Properties
    failures: list[tuple[str, str]] = field(default_factory=list)


_STRING = Type(name="string", accepts=str)
_NUMBER = Type(name="float64", accepts=float)
_INTEGER = Type(name="int", accepts=float)
_BOOL = Type(name="bool", accepts=bool)
_STRINGS = Type(name="[]string", accepts=list, of=_STRING)
_STRING_MAP = Type(name="map[string]string", accepts=dict, of=_STRING)
_ANYTHING = Type(name="[]interface {}", accepts=list)

_ENDPOINT = {
    "user": Property(type=_STRING, default="root"),
    "password": Property(type=_STRING, secret=True),
    "host": Property(type=_STRING, required=True),
    "port": Property(type=_NUMBER, default=22.0),
    "privateKey": Property(type=_STRING, secret=True),
    "privateKeyPassword": Property(type=_STRING, secret=True),
    "agentSocketPath": Property(type=_STRING),
    "dialErrorLimit": Property(type=_INTEGER, default=10.0),
    "perDialTimeout": Property(type=_INTEGER, default=15.0),
    "hostKey": Property(type=_STRING),
}
_PROXY = Object(module="remote", name="ProxyConnection", properties=_ENDPOINT)
_CONNECTION = Object(module="remote", name="Connection", properties={**_ENDPOINT, "proxy": Property(type=_PROXY)})


def _command(module: str, **more: Property) -> Object:
    common = {
        "triggers": Property(type=_ANYTHING),
        "create": Property(type=_STRING),
        "update": Property(type=_STRING),
        "delete": Property(type=_STRING),
        "stdin": Property(type=_STRING),
        "logging": Property(type=Type(name=f"{module}.Logging", accepts=str)),
        "environment": Property(type=_STRING_MAP),
        "addPreviousOutputInEnv": Property(type=_BOOL),
    }
    return Object(module=module, name="CommandInputs", properties={**common, **more})


LOCAL = _command("local", interpreter=Property(type=_STRINGS), dir=Property(type=_STRING))
REMOTE = _command("remote", connection=Property(type=_CONNECTION, required=True, secret=True))
# A change of these replaces the resource. The SDK adds their elements, `triggers[*]`, for each resource.
REPLACING = ("triggers",)

# What the real plugin has and the stand-in does not.
_MISSING = ("assetPaths", "archivePaths")


def check(accepted: Object, inputs: Properties) -> Checked:
    """Check inputs, and fill in defaults and secrets."""
    if accepted is LOCAL and (missing := [name for name in _MISSING if name in inputs]):
        why = "The stand-in for the command plugin does not support it. Set PULUMI_MIRROR to use the real plugin"
        return Checked(_with_secrets(accepted, inputs), [(name, why) for name in missing])
    failures = list(_failures(accepted, inputs))
    if failures:
        return Checked(_with_secrets(accepted, inputs), failures)
    return Checked(_with_secrets(accepted, _with_defaults(accepted, inputs)))


def decode_error(accepted: Object, outputs: Mapping[str, Property], state: Properties) -> str | None:
    """What is wrong with a resource's state, or None. A state from another plugin may hold anything."""
    known = Object(module=accepted.module, name="CommandOutputs", properties={**accepted.properties, **outputs})
    failures = list(_failures(known, state))
    return _listing(failures) if failures else None


def _failures(accepted: Object, values: Properties) -> Iterator[tuple[str, str]]:
    for name, prop in accepted.properties.items():
        if name in values:
            yield from _type_failures(accepted, name, prop.type, values[name])
        elif prop.required:
            yield name, f"Missing required field '{name}' on '{accepted.full_name}'"
    for name in values.keys() - accepted.properties.keys():
        yield name, f"Unrecognized field '{name}' on '{accepted.full_name}'"


def _type_failures(accepted: Object, name: str, required: Type | Object, value: Value) -> Iterator[tuple[str, str]]:
    if is_unknown(value):
        return
    value = bare(value)
    if isinstance(required, Object):
        if not isinstance(value, dict):
            yield name, _wrong_type(accepted, name, required.full_name, value)
        elif failures := list(_failures(required, value)):
            yield name, f"An error occurred decoding '{accepted.name}.{name}': {_listing(failures)}"
    elif isinstance(value, dict) and required.accepts is not dict:
        reason = f"Cannot decode Object{{}} to type {required.name}; it isn't a struct, and no custom decoder exists"
        yield name, f"An error occurred decoding '{accepted.name}.{name}': {reason}"
    elif type(value) is not required.accepts:
        yield name, _wrong_type(accepted, name, required.name, value)
    elif required.of:
        for label, item in _elements(name, value):
            yield from _type_failures(accepted, label, required.of, item)


def _elements(name: str, value: Value) -> Iterable[tuple[str, Value]]:
    if isinstance(value, dict):
        return ((f"{name}[{key}] value", item) for key, item in value.items())
    return ((f"{name}[{index}]", item) for index, item in enumerate(value))


def _wrong_type(accepted: Object, name: str, required: str, value: Value) -> str:
    got = {
        str: "string",
        float: "float64",
        bool: "bool",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }
    actual = got.get(type(value), "nil")
    return f"Field '{name}' on '{accepted.full_name}' must be a '{required}'; got '{actual}' instead"


def _listing(failures: list[tuple[str, str]]) -> str:
    return f"{len(failures)} failures decoding:" + "".join(f"\n\t{name}: {reason}" for name, reason in failures)


def _inside(value: Value, new: Value) -> Value:
    """`new` with the mark that `value` has."""
    return mark(new, secret=value.secret, unknown=value.unknown) if isinstance(value, Marked) else new


def _with_defaults(accepted: Object, values: Properties) -> Properties:
    result = {}
    for name, prop in accepted.properties.items():
        value = values.get(name, prop.default)
        if value is None:
            continue
        content = bare(value)
        if isinstance(prop.type, Object) and isinstance(content, dict):
            value = _inside(value, _with_defaults(prop.type, content))
        elif prop.type is _INTEGER and not is_unknown(value):
            value = _inside(value, float(int(content)))
        result[name] = value
    return result


def _with_secrets(accepted: Object, values: Properties) -> Properties:
    result = {}
    for name, value in values.items():
        prop = accepted.properties.get(name)
        content = bare(value)
        new = value
        if prop and isinstance(prop.type, Object) and isinstance(content, dict):
            new = _inside(value, _with_secrets(prop.type, content))
        result[name] = mark(new, secret=bool(prop and prop.secret))
    return result
