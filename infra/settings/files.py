"""Files on the operator's machine that settings name: texts of a sensible size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# The checkout.
ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 1_000_000


def read_text(path: Path, longest: int = _LONGEST) -> str:
    """The text of a file. A directory, a pipe or a device is refused at once, without waiting for it.

    Raises:
        ValueError: why the file cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 # a descriptor has no path
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("must be a file, and is a directory, a pipe or a device")
            content = file.read(longest + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file on this machine") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > longest:
        raise ValueError(f"must have at most {longest} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("must be a text in UTF-8") from None


def not_a_text(path: Path) -> str:
    """Why a file cannot be read as a text; empty if it can."""
    try:
        read_text(path)
    except ValueError as error:
        return str(error)
    return ""
