"""Check and escape texts from users and files. Pure."""

from __future__ import annotations

import json
import re
import unicodedata

# Control and format characters (line breaks, NUL, DEL, C1, writing directions), halves of surrogate pairs, and
# Unicode's line and paragraph separators. Each ends a line, or hides a part of it, for some readers.
_REFUSED = ("Cc", "Cf", "Cs", "Zl", "Zp")
_LONGEST = 80


def control_character(text: str, *, but: str = "") -> str:
    """The first control character of a text as its number, such as "U+000A"; empty if there is none.

    Args:
        text: any text.
        but: control characters that are allowed.
    """
    if text.isprintable():
        return ""
    found = (char for char in text if unicodedata.category(char) in _REFUSED and char not in but)
    return next((f"U+{ord(char):04X}" for char in found), "")


def escaped(text: str) -> str:
    """A text on one line, with JSON escapes for control characters."""
    if not control_character(text):
        return text
    return "".join(json.dumps(char)[1:-1] if control_character(char) else char for char in text)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text for a message: on one line, cut to a maximum length."""
    shown = escaped(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def yaml_text(text: str) -> str:
    """A text as a double-quoted YAML scalar that every YAML parser reads as this text."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(
        r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]",
        lambda found: f"\\U{ord(found[0]):08x}",
        quoted,
    )
