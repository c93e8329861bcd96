"""Translate an existing heat.conf for the nodes: `make translate CONF=heat.conf CONTROL=10.0.0.1`.

With DIFF=1, print the result for each option instead of the new file. Reads files and changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

# Run as a file, this finds the program next to its own directory.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from components.adoption.names import label
from components.adoption.report import OptionResult
from components.adoption.translation import Listener, Translation, translate
from components.rendering import render
from components.text import escaped
from infra.settings.files import read_text

_WIDE = 60
_MOST_FILES = 1000


def read(paths: Iterable[str]) -> dict[str, str]:
    """Read files, and the *.conf files of directories in the order in which Heat reads a conf.d.

    Returns:
        The texts by their paths.

    Raises:
        SystemExit: a file cannot be read.
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


def _line(result: OptionResult) -> str:
    new = " ".join(label(target) for target in result.targets if target != result.name)
    if result.new and result.new != result.old:
        new = f"{new} = {_short(result.new)}" if new else _short(result.new)
    old = label(result.name) + (f" = {_short(result.old)}" if result.old else "")
    arrow = f" → {new}" if new else ""
    return f"{result.outcome.value:<10}{old}{arrow}" + (f"   ({result.reason})" if result.reason else "")


def _listener(name: str, listener: Listener) -> str:
    return f"The proxy listens on {name}'s address: {listener.host} port {listener.port}"


def diff(translation: Translation) -> str:
    """The result for each option, for people, without secrets."""
    lines = [_line(result) for result in translation.results + translation.added]
    lines += ["", _listener("heat-api", translation.api), _listener("heat-api-cfn", translation.cfn)]
    return "\n".join(lines) + "\n"


def conf(translation: Translation) -> str:
    """The new options, in a form that Heat reads as one file or as two: the second part has the secrets."""
    plain = render("heat/options.conf.j2", purpose="heat.conf", options=translation.public)
    secret = render("heat/options.conf.j2", purpose="secrets.conf: readable by Heat only", options=translation.secret)
    return f"{plain}\n{secret}"


def main(arguments: list[str]) -> int:
    """Print the new options, or the result for each option.

    Returns:
        The exit status: 0; 1 if an option is refused; 2 if an argument is wrong.
    """
    parser = argparse.ArgumentParser(prog="translate", description=__doc__)
    parser.add_argument("--control", default="", help="the address at which other hosts reach the host of the file")
    parser.add_argument("--release", default="27.0.1", help="the release of Heat that reads the result")
    parser.add_argument("--allow", default="", help="options to keep as they are: section.option, separated by spaces")
    parser.add_argument("--diff", action="store_true", help="print the result for each option, not the new file")
    parser.add_argument(
        "conf", nargs="*", help="files, or directories of *.conf, in the order in which Heat reads them"
    )
    given = parser.parse_args(arguments)
    if not given.conf or not given.control:
        print("usage: make translate CONF='heat.conf [heat.conf.d …]' CONTROL=10.0.0.1 [DIFF=1]", file=sys.stderr)
        print("CONTROL is the address at which other hosts reach the host of the file.", file=sys.stderr)
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
