"""List the existing hosts of a stack for tools/hostkeys.sh.

Reads the output of `pulumi config --json` on stdin. Prints the user of the jump host, then a line for each host, the
jump host first: its path in the settings, address, port, "direct" or "jump" (how it is reached), and its pinned key.
Every value is validated, so that none can be an option or a command for ssh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Run as a file, this has to find the program in the directory above its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.settings.existing import HostSettings
from infra.settings.formats import HOST_KEY
from infra.settings.model import Settings
from infra.settings.refusals import Refusals


def _pinned(host: object) -> str:
    """The pinned key of a host, removed from its settings: a malformed key must not prevent fetching a new one."""
    key = host.pop("hostKey", "") if isinstance(host, dict) else ""
    return key.split(" ")[1] if isinstance(key, str) and not HOST_KEY.refusal(key) else "-"


def listed(stack: str, config: Mapping[str, Any]) -> list[str]:
    """The lines to print.

    Raises:
        SystemExit: with every value that cannot be used.
    """
    given = config.get("heat-scaleout:existing", {})
    if given.get("secret"):
        raise SystemExit(
            "hostkeys: existing has a part that was set with --secret, and none of its parts is a secret: "
            "set that part again without --secret"
        )
    raw = given.get("objectValue", given.get("value", {}))
    nodes = raw.get("nodes", []) if isinstance(raw, dict) else []
    parts = {"existing.jump": raw.get("jump"), "existing.front": raw.get("front")} if isinstance(raw, dict) else {}
    parts |= {f"existing.nodes[{at}]": node for at, node in enumerate(nodes if isinstance(nodes, list) else [])}
    pinned = {path: _pinned(host) for path, host in parts.items()}
    refusals = Refusals(stack)
    existing = refusals.typed(Settings, {"existing": raw}).existing
    if refusals.problems:
        raise SystemExit("\n".join(f"hostkeys: {problem}" for problem in refusals.problems))

    def line(path: str, host: HostSettings) -> str:
        jump = existing.jump
        direct = jump is None or (jump.address, jump.port) == (host.address, host.port)
        return f"{path} {host.address} {host.port} {'direct' if direct else 'jump'} {pinned.get(path, '-')}"

    hosts = sorted(existing.by_path.items(), key=lambda entry: entry[0] != "existing.jump")
    user = (existing.jump and existing.jump.user) or existing.user
    return [user, *(line(path, host) for path, host in hosts if host.address)]


if __name__ == "__main__":
    print("\n".join(listed(sys.argv[1], json.load(sys.stdin))))
