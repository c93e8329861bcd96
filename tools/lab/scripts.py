"""Print a script of the container hosts, so that the lab uses the same base image and flags.

The script of `image` finds or builds the base image and prints the engine and the image's name. The script of
`flags ENGINE IMAGE` prints the flags with which a container of that image runs systemd.
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
