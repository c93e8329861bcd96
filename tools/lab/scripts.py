"""Prints a script of the containers' hosts, for the lab to use the same base image and flags as they do.

`image` finds or makes the base image and prints the engine and its name; `flags ENGINE IMAGE` prints with which flags a
container of it runs systemd.
"""

from __future__ import annotations

import hashlib
import sys

from components.rendering import TEMPLATES, render


def main(arguments: list[str]) -> None:
    """Print the script that the first argument names."""
    match arguments:
        case ["image", cache, debian_mirror]:
            recipe = hashlib.sha256((TEMPLATES / "hosts/containers/image.sh.j2").read_bytes()).hexdigest()
            print(render("hosts/containers/image.sh.j2", cache=cache, debian_mirror=debian_mirror, recipe=recipe))
        case ["flags", engine, image]:
            print(render("hosts/containers/flags.sh.j2", engine=engine, image=image))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
