"""The operator's policy rules: a file on the operator's machine, whose path counts from the project's directory."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
_WANTED = 'rules are wanted, each on a line such as "stacks:delete": "role:admin"'


def read_policy(path: str) -> dict[str, str]:
    """The rules by their names; whether Heat knows them is for a host to say, where Heat is.

    Raises:
        ValueError: why the file cannot be used.
    """
    try:
        found = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"it is no YAML{f', see its line {mark.line + 1}' if mark else ''}") from None
    rules = found if isinstance(found, dict) else {}
    bad = [name for name, rule in rules.items() if not (isinstance(name, str) and isinstance(rule, str))]
    if bad or not rules:
        raise ValueError(f"{bad[0]} is no rule: {_WANTED}" if bad else _WANTED)
    return rules
