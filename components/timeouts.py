"""How long each part of a deployment waits for another: a chain, in which whoever waits for one waits longer. Pure.

proxy_server > uwsgi > rpc_response        api_stop > uwsgi        engine_stop > engine_graceful
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Link:
    """`longer` has to exceed `shorter`, and does so by `margin` seconds where nobody says otherwise.

    `consequence` is what becomes of requests or work if it does not.
    """

    longer: str
    shorter: str
    margin: int
    consequence: str


# Each follows from one that stands before it.
LINKS = (
    Link(
        longer="uwsgi",
        shorter="rpc_response",
        margin=5,
        consequence="uWSGI breaks off a request that Heat is about to answer",
    ),
    Link(
        longer="proxy_server",
        shorter="uwsgi",
        margin=5,
        consequence="HAProxy answers 504 to what Heat is about to answer",
    ),
    Link(
        longer="api_stop",
        shorter="uwsgi",
        margin=10,
        consequence="systemd kills an API that is ending its requests",
    ),
    Link(
        longer="engine_stop",
        shorter="engine_graceful",
        margin=15,
        consequence="systemd kills an engine that is finishing its work",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds.

    Attributes:
        rpc_response: that an API waits for an engine.
        uwsgi: that uWSGI waits on a connection, and gives to what is in work when it is told to stop.
        proxy_server: that HAProxy waits for an API.
        api_stop: that systemd waits for an API to stop.
        engine_graceful: that an engine which is told to stop has to finish what it has begun.
        engine_stop: that systemd waits for an engine to stop.
    """

    rpc_response: int
    uwsgi: int
    proxy_server: int
    api_stop: int
    engine_graceful: int
    engine_stop: int


def chain(given: Mapping[str, int]) -> tuple[Timeouts, list[tuple[Link, int, int]]]:
    """The whole chain, of what is given of it: `rpc_response` and `engine_graceful` at least.

    Returns:
        The timeouts, in which every link holds, and what had to be changed for that: the link, what its longer one
        was, and what its shorter one is.
    """
    values, broken = dict(given), []
    for link in LINKS:
        shorter = values[link.shorter]
        longer = values.get(link.longer, shorter + link.margin)
        if longer <= shorter:
            broken.append((link, longer, shorter))
            longer = shorter + link.margin
        values[link.longer] = longer
    return Timeouts(**values), broken
