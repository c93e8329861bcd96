"""Tell what a Heat that runs here is configured with, so that it can be adopted. Run by the host's python3, as root.

Usage: original.py read PATH …    files, and directories of *.conf, in the order in which Heat reads them
       original.py fetch          with a JSON object on stdin: files, the paths of further ones that Heat reads

Prints a JSON object. read: files (text by path, in order), policies (paths of policy files that Heat finds without
being told), release (of the engine that runs; empty for none). fetch: base64 by path. Both have secrets in them.
"""

import base64
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

# By the Python of the engine that runs, wherever that one is.
_RELEASE = "import importlib.metadata as found; print(found.version('openstack-heat'))"


def conf_files(paths: list[str]) -> list[Path]:
    """The files that Heat reads; a directory that is not there holds none."""
    found, missing = [], []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob("*.conf"))
        elif path.is_file():
            found.append(path)
        elif path.suffix != ".d":
            missing.append(str(path))
    if missing:
        sys.exit(f"there is no {' and no '.join(missing)}: type pulumi config set --path 'adoptFrom[0]' and its path")
    return found


def text_of(path: Path) -> str:
    """A file's text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        sys.exit(f"{path} is no text in UTF-8")


def policies(files: list[Path]) -> list[str]:
    """Policy files beside the configuration, where Heat looks for them."""
    directory = files[0].parent
    beside = [directory / "policy.yaml", directory / "policy.json", *sorted((directory / "policy.d").glob("*"))]
    return [str(path) for path in beside if path.is_file() and path.stat().st_size]


def _release_of(script: Path) -> str:
    """The release that a script of Heat belongs to, asked of the Python in its first line; empty where that fails."""
    try:
        first = script.read_text(errors="replace").split("\n")[0]
    except OSError:
        return ""
    words = [*first.removeprefix("#!").split(), "-c", _RELEASE]
    told = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603
    return told.stdout.strip() if told.returncode == 0 else ""


def release() -> str:
    """The release of Heat whose engine runs here; empty where none does."""
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        # An engine's title has its script in brackets.
        script = re.match(
            r"(?:[^\0]*python[^\0]*\0|[^\0]*: master process \[)?(/[^\0 \]]*/heat-engine)(?![\w.-])", command
        )
        if script and (found := _release_of(Path(script[1]))):
            return found
    try:
        return importlib.metadata.version("openstack-heat")
    except importlib.metadata.PackageNotFoundError:
        return ""


def read(paths: list[str]) -> dict[str, object]:
    """What the configuration is."""
    files = conf_files(paths)
    if not files:
        sys.exit(f"there is no file in {' and '.join(paths)}")
    return {"files": {str(path): text_of(path) for path in files}, "policies": policies(files), "release": release()}


def fetch(paths: list[str]) -> dict[str, str]:
    """Further files, as they are."""
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        sys.exit(f"heat.conf names files that are not there: {', '.join(missing)}")
    return {path: base64.b64encode(Path(path).read_bytes()).decode() for path in paths}


def main() -> None:
    """Print what is asked for."""
    action, *paths = sys.argv[1:]
    print(json.dumps(read(paths) if action == "read" else fetch(json.load(sys.stdin)["files"])))


main()
