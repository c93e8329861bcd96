"""How a proxy asks the APIs whether they are well, where it does not tell them what it makes of the answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """As Octavia's health monitor. `delay`, the longest between two questions, and `timeout` are in seconds.

    So many answers in a row as `fall` and `rise` say take an API out, and in again.
    """

    delay: int
    timeout: int
    fall: int
    rise: int

    @property
    def down(self) -> int:
        """How many refusals in a row an API waits for before it stops: after one more than it takes, it is out."""
        return self.fall + 1

    @property
    def window(self) -> int:
        """Seconds in which whoever asks has been heard often enough."""
        return 2 * self.delay * (max(self.down, self.rise) + 1)
