"""What an existing heat.conf becomes: `make translate CONF=heat.conf CONTROL=10.0.0.1`, with DIFF=1 option by option.

Reads the files, and changes nothing anywhere.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# Run as a file, this finds the program beside its own directory.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from components.adoption.translation import Fate, Listener, Translation, label, translate
from components.rendering import render
from components.text import escaped
from infra.settings.files import read_text

_WIDE = 60
_MOST_FILES = 1000


def read(paths: Iterable[str]) -> dict[str, str]:
    """The texts of files, and of directories' *.conf in order, as Heat reads a conf.d.

    Raises:
        SystemExit: one cannot be read.
    """
    texts: dict[str, str] = {}
    for name in paths:
        path = Path(name)
        try:
            found = sorted(islice(path.glob("*.conf"), _MOST_FILES)) if path.is_dir() else [path]
            for file in found:
                texts[str(file)] = read_text(file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SystemExit(f"translate: {escaped(name)}: {reason}") from None
    return texts


def _short(value: str) -> str:
    line = ", ".join(value.split("\n"))
    return line if len(line) <= _WIDE else line[: _WIDE - 1] + "…"


def _row(fate: Fate) -> tuple[str, str, str, str]:
    new = " ".join(label(target) for target in fate.targets if target != fate.name)
    if fate.new and fate.new != fate.old:
        new = f"{new} = {_short(fate.new)}" if new else _short(fate.new)
    old = label(fate.name) + (f" = {_short(fate.old)}" if fate.old else "")
    return fate.outcome.value, old, new, fate.reason


def _listener(name: str, listener: Listener) -> str:
    return f"The proxy takes {name}'s address: {listener.host} port {listener.port}"


def diff(translation: Translation) -> str:
    """What becomes of each option, for people; secrets are not shown."""
    lines = []
    for fate in translation.fates + translation.added:
        outcome, old, new, reason = _row(fate)
        arrow = f" → {new}" if new else ""
        lines.append(f"{outcome:<10}{old}{arrow}" + (f"   ({reason})" if reason else ""))
    lines += ["", _listener("heat-api", translation.api), _listener("heat-api-cfn", translation.cfn)]
    return "\n".join(lines) + "\n"


def conf(translation: Translation) -> str:
    """The new options, as one file that Heat can read or as two: the second part holds the secrets."""
    plain = render("heat/options.conf.j2", purpose="heat.conf", options=translation.public)
    secret = render("heat/options.conf.j2", purpose="secrets.conf: for Heat's eyes only", options=translation.secret)
    return f"{plain}\n{secret}"


def main(arguments: list[str]) -> int:
    """Print the new options or the table; 1 where an option is refused."""
    parser = argparse.ArgumentParser(prog="translate", description=__doc__)
    parser.add_argument("--control", default="", help="the address under which other hosts reach the file's own host")
    parser.add_argument("--release", default="27.0.1", help="the release of Heat that is to read the result")
    parser.add_argument(
        "--allow", default="", help="options to keep as they are, as section.option, blanks between them"
    )
    parser.add_argument("--diff", action="store_true", help="what becomes of each option, instead of the new file")
    parser.add_argument(
        "conf", nargs="*", help="files, or directories of *.conf, in the order in which Heat reads them"
    )
    given = parser.parse_args(arguments)
    if not given.conf or not given.control:
        print("usage: make translate CONF='heat.conf [heat.conf.d …]' CONTROL=10.0.0.1 [DIFF=1]", file=sys.stderr)
        print("CONTROL is the address under which other hosts reach the one that the file is of.", file=sys.stderr)
        return 2
    try:
        translation = translate(
            read(given.conf), control=given.control, release=given.release, allow=given.allow.split()
        )
    except ValueError as error:
        print(f"translate: {error}", file=sys.stderr)
        return 2
    if given.diff:
        print(diff(translation), end="")
    elif not translation.problems:
        print(conf(translation), end="")
    for problem in translation.problems:
        print(f"refused: {problem}", file=sys.stderr)
    if not translation.problems:
        for missing in translation.missing:
            print(f"missing: {missing}", file=sys.stderr)
    return 1 if translation.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
