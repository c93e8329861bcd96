"""How a proxy checks the APIs' health, if the APIs do not learn the result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """A health monitor as Octavia has it.

    Attributes:
        delay: seconds between two checks, at most.
        timeout: seconds that a check waits for the answer.
        fall: failed checks in a row that take an API out of service.
        rise: passed checks in a row that put an API back into service.
    """

    delay: int
    timeout: int
    fall: int
    rise: int

    @property
    def down(self) -> int:
        """How many checks an API fails before it stops. With one more than `fall`, it is certainly out of service."""
        return self.fall + 1

    @property
    def window(self) -> int:
        """Seconds within which every proxy that checks an API has certainly checked it often enough."""
        return 2 * self.delay * (max(self.down, self.rise) + 1)
