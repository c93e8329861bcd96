"""A chain of timeouts, each longer than the one that it depends on. Pure.

proxy_server > uwsgi > rpc_response        api_stop > uwsgi        engine_stop > engine_graceful
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Link:
    """A rule of the chain: one timeout must exceed another one.

    Attributes:
        longer: a field of Timeouts.
        shorter: the field that it must exceed.
        margin: by how many seconds it does so by default.
        consequence: what happens to requests or to work otherwise.
    """

    longer: str
    shorter: str
    margin: int
    consequence: str


# In order: `shorter` is given, or the `longer` of an earlier link.
LINKS = (
    Link(
        longer="uwsgi",
        shorter="rpc_response",
        margin=5,
        consequence="uWSGI aborts a request that Heat is about to answer",
    ),
    Link(
        longer="proxy_server",
        shorter="uwsgi",
        margin=5,
        consequence="HAProxy answers 504 to a request that Heat is about to answer",
    ),
    Link(
        longer="api_stop",
        shorter="uwsgi",
        margin=10,
        consequence="systemd kills an API that is finishing its requests",
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
    """Timeouts in seconds.

    Attributes:
        rpc_response: an API waits for an engine's reply.
        uwsgi: uWSGI waits on a connection, and for running requests when it stops.
        proxy_server: HAProxy waits for an API's response.
        api_stop: systemd waits for an API to stop.
        engine_graceful: an engine that stops may finish its running work.
        engine_stop: systemd waits for an engine to stop.
    """

    rpc_response: int
    uwsgi: int
    proxy_server: int
    api_stop: int
    engine_graceful: int
    engine_stop: int


def complete_chain(given: Mapping[str, int]) -> tuple[Timeouts, list[tuple[Link, int, int]]]:
    """Complete the chain with defaults, and correct the links that do not hold.

    Args:
        given: seconds by field of Timeouts: at least `rpc_response` and `engine_graceful`.

    Returns:
        The timeouts, for which every link holds, and the corrections: the link, its longer timeout as given, and its
        shorter timeout.
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
