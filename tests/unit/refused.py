"""What a test asserts about a refusal: its key, its rule and its remedy, and not the wording around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# The settings, then three parts of the message: the key with its value, the rule, and what to type.
Refusal = tuple[dict[str, Any], str, str, str]


def assert_refused(problems: Sequence[str], key: str, rule: str, remedy: str) -> None:
    """There is one problem: it begins with the key, has the rule, and ends with the remedy."""
    (problem,) = problems
    assert problem.startswith(key)
    assert rule in problem
    assert problem.endswith(remedy)
