"""Run Pulumi with less of its own bookkeeping. What a program registers stays the same.

Everything here replaces a function of the release that pyproject.toml pins. test_quick_pulumi.py compares runs of the
program with and without the replacements.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import pulumi
from pulumi import _types, output
from pulumi.runtime import resource_cycle_breaker, rpc
from pulumi.runtime.settings import SETTINGS

_PLAIN = (str, int, float, bool, type(None))


class _Outstanding(set[Any]):
    """The outputs without a result. Those with a result are removed when Pulumi counts the set.

    Pulumi has every single one call back for that, which are four in ten of all the steps of its loop.
    """

    def __len__(self) -> int:
        done = [future for future in self if future.done() and not future.cancelled() and future.exception() is None]
        self.difference_update(done)
        return super().__len__()


class _Unasked:
    """A URN that Pulumi needs only without an engine."""

    async def future(self) -> str:
        return ""


def _without_unknowns(value: Any) -> bool:
    return type(value) not in _PLAIN and rpc.contains_unknowns(value)


def _reachable(from_resource: pulumi.Resource, to_resource: pulumi.Resource) -> bool:
    """Whether one resource depends on another, directly or through others."""
    seen, ahead = set[pulumi.Resource](), [from_resource]
    while ahead:
        resource = ahead.pop()
        if resource is to_resource:
            return True
        if resource not in seen:
            seen.add(resource)
            ahead += resource_cycle_breaker._deps(resource)
    return False


def _transfer_properties(
    res: pulumi.Resource, props: Mapping[str, Any], custom: bool
) -> dict[str, Callable[..., None]]:
    """Give a resource an output for each property, resolved when the resource is registered. Pulumi uses four futures
    for each output, this function one.
    """

    def resolver(name: str) -> Callable[..., None]:
        future: asyncio.Future[Any] = asyncio.Future()
        res.__dict__[name] = pulumi.Output._from_data(future)

        def resolve(
            value: Any, known: bool, secret: bool, deps: set[pulumi.Resource] | None, failed: Exception | None
        ) -> None:
            if failed is None:
                data = output._OutputData(resources={*(deps or ()), res}, value=value, is_known=known, is_secret=secret)
                future.set_result(data)
            else:
                future.set_exception(failed)

        return resolve

    return {name: resolver(name) for name in props if name != "urn" and not (name == "id" and custom)}


# Pulumi inspects the types of its own classes again for each resource.
_unwrap_type = functools.cache(_types.unwrap_type)
_resource_types = functools.cache(_types.resource_types)
_pulumi_to_py_names = functools.cache(_types.resource_pulumi_to_py_names)
_py_to_pulumi_names = functools.cache(_types.resource_py_to_pulumi_names)


@contextlib.contextmanager
def quick_pulumi() -> Iterator[None]:
    """Replace the functions for one run of a program, which has a context of its own."""
    from_input, outstanding = pulumi.Output.from_input, _Outstanding()
    # This setting belongs to the context of the run, and ends with it.
    SETTINGS.outputs = outstanding

    def track(self: pulumi.Output[Any]) -> None:
        outstanding.add(self._data)

    def quick_input(value: Any) -> pulumi.Output[Any]:
        if type(value) not in _PLAIN:
            return from_input(value)
        made: pulumi.Output[Any] = object.__new__(pulumi.Output)
        made._data = asyncio.Future()
        made._data.set_result(output._OutputData(resources=set(), value=value, is_known=True, is_secret=False))
        return made

    with (
        mock.patch.object(pulumi.Output, "_track", track),
        mock.patch.object(pulumi.Output, "from_input", staticmethod(quick_input)),
        mock.patch.object(output, "contains_unknowns", _without_unknowns),
        mock.patch("pulumi.runtime.resource.create_urn", return_value=_Unasked()),
        mock.patch.object(rpc, "transfer_properties", _transfer_properties),
        mock.patch.object(resource_cycle_breaker, "_reachable", _reachable),
        mock.patch.object(_types, "unwrap_type", _unwrap_type),
        mock.patch.object(_types, "resource_types", _resource_types),
        mock.patch.object(_types, "resource_pulumi_to_py_names", _pulumi_to_py_names),
        mock.patch.object(_types, "resource_py_to_pulumi_names", _py_to_pulumi_names),
    ):
        yield
