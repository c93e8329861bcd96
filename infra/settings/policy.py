"""The operator's policy rules: a file on the operator's machine. A relative path starts at the checkout."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from components.text import control_character, shortened
from infra.settings.files import ROOT, read_text

_RULES = 'must hold rules, each on a line such as "stacks:delete": "role:admin"'
# Heat's own list of all its rules has 60,000.
_LONGEST = 200_000
_RESOLVER = yaml.resolver.Resolver()
# The loader in C needs a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_policy(path: str) -> dict[str, str]:
    """The rules by their names. A host with Heat checks that Heat knows them.

    Raises:
        ValueError: why the file cannot be used.
    """
    text = read_text(ROOT / path, _LONGEST)
    try:
        words = list(_words(text))
    except (yaml.YAMLError, ValueError) as error:
        if not isinstance(error, yaml.YAMLError):
            raise
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"must be YAML{f', see its line {mark.line + 1}' if mark else ''}") from None
    if not words:
        raise ValueError(_RULES)
    rules = dict(zip(words[::2], words[1::2], strict=True))
    for name, rule in rules.items():
        if bad := control_character(name) or control_character(rule):
            raise ValueError(f"{shortened(name)} has a character that no rule can have: {bad}")
    return rules


def _words(text: str) -> Iterator[str]:
    """Names and rules in turn, in the order of the file: an object of texts without anchors and aliases."""
    last, inside = "", False
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.ScalarEvent) and inside and event.anchor is None and _is_text(event):
            last = str(event.value)
            yield last
        elif isinstance(event, yaml.MappingStartEvent) and not inside and event.anchor is None:
            inside = True
        elif isinstance(event, (yaml.NodeEvent, yaml.DocumentStartEvent)) and (
            inside or isinstance(event, yaml.NodeEvent)
        ):
            shown = event.value if isinstance(event, yaml.ScalarEvent) and inside else last
            raise ValueError(f"{shortened(shown)} is no rule; it {_RULES}" if shown else _RULES)


def _is_text(event: yaml.ScalarEvent) -> bool:
    """Whether YAML takes a scalar for a text: it is in quotes, or neither a number nor a truth value."""
    if event.tag is not None:
        return False
    kind = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
    return bool(kind == "tag:yaml.org,2002:str")
