"""The existing hosts of a stack, as tools/hostkeys.sh asks them for their keys.

Takes what `pulumi config --json` prints on stdin. Prints a line for the user of the jump host, then one for each host,
the jump host first: where it stands in the settings, address, port, "jump" where it is reached over the jump host, and
the key that is pinned. Every value has the form of its setting, so that none is an option or a command for ssh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Run as a file, this finds the program beside its own directory.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from infra.settings.existing import HostSettings
from infra.settings.formats import HOST_KEY
from infra.settings.model import Settings
from infra.settings.refusals import Refusals


def _pinned(host: object) -> str:
    """The key of a host in the settings, which is taken out of them: a wrong one is no reason not to fetch another."""
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
            "hostkeys: existing has a part that was set with --secret, and none of it is one: set that part without"
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
