"""Lines of the engines' journals that show a shortage: pools, locks, deadlocks, timeouts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.e2e.lab import Stack

_LEVEL = re.compile(r" (WARNING|ERROR|CRITICAL) ")
# The last line of a traceback that was printed, without a level before it.
_RAISED = re.compile(r"^[\w.]+(Error|Timeout|Deadlock|Exception)\b")
_SCARCE = re.compile(r"(?i)pool|deadlock|\block|timed? ?out|too many connections")


def picked(journal: str) -> list[str]:
    """The relevant lines of one engine's journal."""
    return [
        line for line in journal.splitlines() if (_LEVEL.search(line) or _RAISED.search(line)) and _SCARCE.search(line)
    ]


def errors(stack: Stack, nodes: Iterable[str], since: float) -> list[str]:
    """The lines of all engines since a moment (time.time), with their nodes."""
    ask = f"journalctl -u 'heat-engine@*' --no-pager --output cat --since @{since:.0f}"
    return [f"{node}: {line}" for node in nodes for line in picked(stack.on(node, ask, check=False))]
