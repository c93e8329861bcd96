"""Refuse a policy file with rules that have no effect in Heat, or an unintended one. Run by Heat's own Python.

Usage: check_policy.py FILE

A rule that cannot be parsed denies every request, and a rule with a misspelt name has no effect. Heat starts with both.
"""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heat import policies
from oslo_policy import _checks, policy

# Rules of single resource types, named after the type.
TYPES = "resource_types:"


def references(check: Any) -> Iterator[str]:  # noqa: ANN401 # oslo.policy's, which has no types
    """The names of the rules that a rule refers to."""
    if isinstance(check, _checks.RuleCheck):
        yield check.match
    for part in [*getattr(check, "rules", ()), *([check.rule] if hasattr(check, "rule") else [])]:
        yield from references(part)


def main() -> None:
    """Check every rule."""
    logging.disable()
    texts = policy.parse_file_contents(Path(sys.argv[1]).read_text())
    rules = policy.Rules.from_dict(texts)
    asked_for = {rule.name for rule in policies.list_rules()}
    referred_to = {name for check in rules.values() for name in references(check)}
    problems = []
    for name, check in rules.items():
        if isinstance(check, _checks.FalseCheck) and texts[name].strip() != "!":
            problems.append(f"{name}: {texts[name]} cannot be parsed, and would deny every request")
        if name not in asked_for | referred_to and not name.startswith(TYPES):
            problems.append(f"{name}: Heat asks for no such rule")
    problems += [f"{name}: there is no such rule to refer to" for name in sorted(referred_to - asked_for - set(rules))]
    if problems:
        sys.exit("the policy cannot be used:\n" + "\n".join(f"  {problem}" for problem in problems))


main()
