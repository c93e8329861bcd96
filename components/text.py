"""Texts that come from outside, before they become lines of files and scripts. Pure."""

from __future__ import annotations

import json
import re
import unicodedata

# Control and format characters (line breaks, NUL, DEL, C1, directions of writing), halves of surrogate pairs, and
# Unicode's separators of lines and paragraphs. Each of them ends a line or hides a part of it for some reader.
_REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LONGEST = 80


def control_character(text: str, *, but: str = "") -> str:
    """The first character that no text may have, by its number such as U+000A; empty where there is none."""
    if text.isprintable():
        return ""
    found = (char for char in text if unicodedata.category(char) in _REFUSED and char not in but)
    return next((f"U+{ord(char):04X}" for char in found), "")


def escaped(text: str) -> str:
    """The same on one line: every control character by its number, as JSON and YAML have it."""
    if not control_character(text):
        return text
    return "".join(json.dumps(char)[1:-1] if control_character(char) else char for char in text)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text as it may be shown in a message: on one line, and not longer than that."""
    shown = escaped(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def yaml_text(text: str) -> str:
    """A text as a double-quoted scalar of YAML, which every reader of YAML takes for just this text."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(
        r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]",
        lambda found: f"\\U{ord(found[0]):08x}",
        quoted,
    )
