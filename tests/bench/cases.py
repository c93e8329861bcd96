"""The cases of the benchmark: their shapes, their notation, and their templates. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Resources = dict[str, dict[str, Any]]

# The resources of a small stack, for the shape `beside`.
SMALL = 5
# The resources of the stack that the clients of `show` and `list` ask for.
ASKED = 20
# Seconds until a resource of `slow` is complete, like a booting server.
BOOT = 10

DEFAULT = (
    "wide 20, wide 100, wide 300, wide 1000, group 300, fan 100, chain 20, nested 1 x 1, nested 10 x 20, "
    "nested 50 x 22, many 50 x 20, beside 300, slow 40, show 1, show 8, show 32, list 8"
)
SHORT = "wide 10, wide 20, group 10, fan 10, chain 5, nested 3 x 3, many 4 x 5, beside 30, slow 5, show 2"
# The cases for each number of engines.
SCALING = "wide 60, many 12 x 10"
SCALING_SHORT = "wide 20, many 4 x 5"

_WRITTEN = re.compile(r"([a-z]+)[\s:]+(\d+)(?:\s*x\s*(\d+))?")


def _random() -> dict[str, Any]:
    return {"type": "OS::Heat::RandomString"}


def _group(count: int, of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "OS::Heat::ResourceGroup", "properties": {"count": count, "resource_def": of}}


def _wide(count: int) -> Resources:
    return {f"r{number}": _random() for number in range(count)}


def _fan(count: int) -> Resources:
    return {"first": _random()} | {name: one | {"depends_on": "first"} for name, one in _wide(count).items()}


def _chain(count: int) -> Resources:
    made = _wide(count)
    for number in range(1, count):
        made[f"r{number}"]["depends_on"] = f"r{number - 1}"
    return made


def _slow(count: int) -> Resources:
    # The entity does not exist in the client, so that checking the resource does not take a second by itself.
    properties = {
        "action_wait_secs": {"create": BOOT, "update": 0, "delete": 0},
        "client_name": "heat",
        "entity_name": "none",
    }
    return {f"r{number}": {"type": "OS::Heat::TestResource", "properties": properties} for number in range(count)}


# Shapes whose number is that of clients, and their request: below the project's path, with the stack's name and id.
REQUESTS: Mapping[str, str] = {"show": "/stacks/{name}/{id}", "list": "/stacks?limit=20"}


@dataclass(frozen=True)
class Shape:
    """A kind of case.

    Args:
        numbers: how many numbers describe the size.
        resources: the resources of one stack.
        counts: how many resources Heat creates in all, groups included.
        pause: for how many of them Heat's own pace waits a second each, one after the other.
    """

    numbers: int
    resources: Callable[[Sequence[int]], Resources]
    counts: Callable[[Sequence[int]], int]
    pause: Callable[[Sequence[int]], int]


SHAPES: Mapping[str, Shape] = {
    "wide": Shape(1, lambda n: _wide(n[0]), lambda n: n[0], lambda n: n[0]),
    "group": Shape(1, lambda n: {"group": _group(n[0], _random())}, lambda n: n[0] + 1, lambda n: n[0]),
    "fan": Shape(1, lambda n: _fan(n[0]), lambda n: n[0] + 1, lambda n: n[0]),
    "chain": Shape(1, lambda n: _chain(n[0]), lambda n: n[0], lambda _: 1),
    "nested": Shape(
        2,
        lambda n: {"groups": _group(n[0], _group(n[1], _random()))},
        lambda n: 1 + n[0] + n[0] * n[1],
        lambda n: n[0] + n[1],
    ),
    "many": Shape(2, lambda n: _wide(n[1]), lambda n: n[0] * n[1], lambda n: n[1]),
    "beside": Shape(1, lambda n: _wide(n[0]), lambda n: n[0], lambda n: n[0]),
    "slow": Shape(1, lambda n: _slow(n[0]), lambda n: n[0], lambda n: n[0]),
    **{name: Shape(1, lambda _: _wide(ASKED), lambda _: ASKED, lambda _: ASKED) for name in REQUESTS},
}


@dataclass(frozen=True)
class Case:
    """A case: a shape and its size, N or A and B of "A x B"."""

    shape: str
    size: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.shape} {' x '.join(map(str, self.size))}"

    @property
    def template(self) -> dict[str, Any]:
        """The template of each stack."""
        return {"heat_template_version": "2018-08-31", "resources": SHAPES[self.shape].resources(self.size)}

    @property
    def stacks(self) -> int:
        """How many stacks are created at once."""
        return self.size[0] if self.shape == "many" else 1

    @property
    def resources(self) -> int:
        """How many resources Heat creates in all."""
        return SHAPES[self.shape].counts(self.size)

    @property
    def pause(self) -> int:
        """The minimum of seconds at Heat's own pace."""
        return SHAPES[self.shape].pause(self.size)


def small() -> dict[str, Any]:
    """The template of a small stack, which is created during a large one."""
    return {"heat_template_version": "2018-08-31", "resources": _wide(SMALL)}


def cases(written: str) -> list[Case]:
    """Read a list of cases, such as "wide 20, nested 10 x 20".

    Raises:
        ValueError: one of them is not a case.
    """
    return [_case(one.strip()) for one in written.split(",") if one.strip()]


def _case(written: str) -> Case:
    found = _WRITTEN.fullmatch(written)
    shape = SHAPES.get(found[1]) if found else None
    size = tuple(int(one) for one in found.groups()[1:] if one) if found else ()
    if not shape or len(size) != shape.numbers or not all(size):
        raise ValueError(f"CASES: {written!r} is not a case. Cases are: {_known()}.")
    assert found
    return Case(found[1], size)


def _known() -> str:
    return ", ".join(f"{name} {'A x B' if shape.numbers == 2 else 'N'}" for name, shape in SHAPES.items())


def numbers(name: str, written: str, *, least: int, most: int) -> list[int]:
    """Read a list of integers, such as "1,2,4,8".

    Raises:
        ValueError: one of them is not an integer, or out of bounds.
    """
    words = [word.strip() for word in written.split(",") if word.strip()]
    for word in words:
        if not re.fullmatch(r"\d{1,6}", word) or not least <= int(word) <= most:
            raise ValueError(f"{name}: {word!r} must be an integer from {least} to {most}.")
    return unique(int(word) for word in words)


def releases(written: str) -> list[str]:
    """Read a list of releases of Heat. The oldest comes first: a database schema only goes up.

    Raises:
        ValueError: one of them is not a release.
    """
    words = [word.strip() for word in written.split(",") if word.strip()]
    for word in words:
        if not re.fullmatch(r"\d+(\.\d+)*", word):
            raise ValueError(f"RELEASES: {word!r} must be a release of Heat, such as 27.0.1.")
    return sorted(set(words), key=release_key)


def release_key(release: str) -> tuple[int, ...]:
    """The sort key of a release."""
    return tuple(map(int, release.split(".")))


def unique(found: Iterable[int]) -> list[int]:
    """Each number once, in the given order."""
    return list(dict.fromkeys(found))
