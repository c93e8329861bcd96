"""Which failures are of the kinds that cannot be kept from happening: docs/reliability.md, "What cannot be kept". Pure.

Each is recognised by what was cut, by when the request was under way, and by the way in which it failed. Whatever is
not recognised has failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from tests.faults.load import Failure, Life

# timeouts.rpcResponse, less what a clock may be off: so long an API waits for the answer of an engine.
_RPC_RESPONSE = 59
# timeouts.proxyServer, likewise: so long the proxy waits for the answer of an API.
_PROXY_SERVER = 69
# Heat says these of a resource whose engine lost the database in the middle of a query, or was refused a write.
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
    """From when (time.time) it was cut until it was there again; `port` is the proxy's, for an API."""

    cause: Cause
    began: float
    ended: float
    port: int = 0

    def met(self, failure: Failure) -> bool:
        """Whether the request was under way meanwhile."""
        return failure.began <= self.ended and failure.ended >= self.began


def excused(failure: Failure, cuts: Sequence[Cut]) -> bool:
    """Whether nobody could have kept this request from failing."""
    return any(cut.met(failure) and _fits(failure, cut) for cut in cuts)


def _fits(failure: Failure, cut: Cut) -> bool:
    match cut.cause:
        case Cause.API:
            # The proxy's own answer. What only reads it has sent to another API.
            return failure.to == cut.port and failure.method not in {"GET", "HEAD"} and failure.status == 502
        case Cause.HOST:
            return failure.status == 504 and failure.ended - failure.began >= _PROXY_SERVER
        case Cause.ENGINE | Cause.BROKER:
            # What could not be sent at once waits for the broker, then for its answer: the proxy may give up first.
            given_up = cut.cause is Cause.BROKER and failure.status == 504
            return (failure.status == 500 or given_up) and failure.ended - failure.began >= _RPC_RESPONSE
        case Cause.DATABASE:
            # Keystone has lost it as well.
            return failure.status == 500 or (failure.status == 503 and _KEYSTONE_AWAY in failure.what)
        case Cause.KEYSTONE:
            return failure.status == 503 and _KEYSTONE_AWAY in failure.what
        case Cause.PROXY:
            return failure.status == 0


def failed_with_the_database(life: Life, cuts: Sequence[Cut]) -> bool:
    """Whether a stack failed as its engine lost the database in the middle of a query, or was refused a write."""
    lost = any(words in life.told for words in _DATABASE_LOST)
    return life.end == "failed" and lost and any(cut.cause is Cause.DATABASE for cut in cuts)
