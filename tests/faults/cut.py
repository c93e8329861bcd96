"""Which failures are unavoidable: docs/reliability.md. Pure.

A failure is unavoidable if it fits what was cut off, overlaps with the cut in time, and has the expected form. Every
other failure counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from tests.faults.load import Failure, Life

# How long an API waits for an engine: timeouts.rpcResponse, minus a tolerance for clocks.
_RPC_RESPONSE = 59
# How long the proxy waits for an API: timeouts.proxyServer, minus the same tolerance.
_PROXY_SERVER = 69
# Heat's reasons for a resource whose engine lost the database during a query, or whose write was refused.
_DATABASE_LOST = ("DBConnectionError", "--read-only option")
_KEYSTONE_AWAY = "The Keystone service is temporarily unavailable"


class Cause(Enum):
    """What was cut off."""

    API = auto()
    # The host of an API, which neither answers nor ends its connections.
    HOST = auto()
    ENGINE = auto()
    BROKER = auto()
    DATABASE = auto()
    PROXY = auto()
    KEYSTONE = auto()


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What was cut off, from when until when (time.time). `port`: the proxy's port for an API that was cut off."""

    cause: Cause
    began: float
    ended: float
    port: int = 0

    def overlaps(self, failure: Failure) -> bool:
        """Whether the request was in progress during the cut."""
        return failure.began <= self.ended and failure.ended >= self.began


def excused(failure: Failure, cuts: Sequence[Cut]) -> bool:
    """Whether the failure of this request was unavoidable."""
    return any(cut.overlaps(failure) and _fits(failure, cut) for cut in cuts)


def _fits(failure: Failure, cut: Cut) -> bool:
    match cut.cause:
        case Cause.API:
            # The proxy's own answer. It sends a request that only reads to another API.
            return failure.to == cut.port and failure.method not in {"GET", "HEAD"} and failure.status == 502
        case Cause.HOST:
            return failure.status == 504 and failure.ended - failure.began >= _PROXY_SERVER
        case Cause.ENGINE | Cause.BROKER:
            # A message that could not be sent waits for the broker, then for its answer: the proxy may give up first.
            given_up = cut.cause is Cause.BROKER and failure.status == 504
            return (failure.status == 500 or given_up) and failure.ended - failure.began >= _RPC_RESPONSE
        case Cause.DATABASE:
            # Keystone has lost the database as well.
            return failure.status == 500 or (failure.status == 503 and _KEYSTONE_AWAY in failure.what)
        case Cause.KEYSTONE:
            return failure.status == 503 and _KEYSTONE_AWAY in failure.what
        case Cause.PROXY:
            return failure.status == 0


def failed_with_the_database(life: Life, cuts: Sequence[Cut]) -> bool:
    """Whether a stack failed because its engine lost the database during a query, or its write was refused."""
    lost = any(words in life.reason for words in _DATABASE_LOST)
    return life.end == "failed" and lost and any(cut.cause is Cause.DATABASE for cut in cuts)
