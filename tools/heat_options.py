"""List which options each release of Heat knows, for components/heat/options.txt.

`list` prints the options of the Heat in whose environment it runs; `merge` combines several such lists in one table.
tools/heat-options.sh installs the releases and runs both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

NAMESPACES = (
    "heat.api.aws.ec2token", "heat.common.cache", "heat.common.config", "heat.common.context", "heat.common.crypt",
    "heat.common.wsgi", "heat.engine.clients", "heat.engine.clients.os.keystone.heat_keystoneclient",
    "heat.engine.hot.functions", "heat.engine.notification", "heat.engine.resources", "keystonemiddleware.auth_token",
    "oslo.cache", "oslo.db", "oslo.log", "oslo.messaging", "oslo.middleware", "oslo.policy", "oslo.reports",
    "oslo.versionedobjects", "osprofiler",
)  # fmt: skip
# Namespaces of releases whose engines use eventlet, and of those whose engines use threads.
EVENTLET = ("oslo.service.periodic_task", "oslo.service.service", "oslo.service.sslutils")
THREADS = ("cotyledon",)
LAST_EVENTLET = 24
# Keystone's authentication plugins: each adds options to the section that names it as auth_type.
PLUGINS = ("password", "token", "v3applicationcredential", "v3password", "v3token")
FLAGS = ("secret", "multi", "list", "dashed")
HEADER = """\
# What each release of Heat knows, made by `make options`: not edited by hand.
# Section, option, then: secret, multi (may be repeated), list, dashed (read with - for _ too), in= the series that
# know it where not all do, was= each of its older names. A section auth:NAME holds what auth_type = NAME adds.
"""


def _entry(section: str, option: Any) -> dict[str, Any]:  # noqa: ANN401 # oslo.config's, which has no types
    was = {(old.group or section, old.name or option.name) for old in option.deprecated_opts}
    was -= {(section, option.name), (section, option.dest)}
    return {
        "section": section,
        "option": option.dest,
        "secret": bool(option.secret),
        "multi": bool(option.multi),
        "list": type(option.type).__name__ == "List",
        "dashed": option.name != option.dest,
        "was": sorted(name if group == section else f"{group}/{name}" for group, name in was),
    }


def known() -> Iterator[dict[str, Any]]:
    """Every option of the Heat that is installed here."""
    # Only Heat's own environment has these modules; `merge` runs without them.
    from keystoneauth1 import loading  # noqa: PLC0415
    from oslo_config import generator  # noqa: PLC0415

    series = int(metadata.version("openstack-heat").split(".")[0])
    namespaces = NAMESPACES + (EVENTLET if series <= LAST_EVENTLET else THREADS)
    for _, groups in generator._list_opts([*namespaces]):
        for group, options in groups:
            section = "DEFAULT" if group is None else group if isinstance(group, str) else group.name
            yield from (_entry(section, option) for option in options)
    for plugin in PLUGINS:
        for option in loading.get_plugin_options(plugin):
            yield _entry(f"auth:{plugin}", option._to_oslo_opt())


def merged(lists: list[dict[str, Any]]) -> str:
    """The table of several releases."""
    every = [entry["series"] for entry in lists]
    # A release may still have an option that it reads as another one's older name: to be translated, not kept.
    for entry in lists:
        older = {(option["section"], name) for option in entry["options"] for name in option["was"]}
        entry["options"] = [row for row in entry["options"] if (row["section"], row["option"]) not in older]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in lists:
        for option in entry["options"]:
            key = (option["section"], option["option"])
            row = rows.setdefault(key, {**dict.fromkeys(FLAGS, False), "was": set(), "series": []})
            for flag in FLAGS:
                row[flag] |= option[flag]
            row["was"].update(option["was"])
            if entry["series"] not in row["series"]:
                row["series"].append(entry["series"])
    lines = []
    for (section, name), row in sorted(rows.items()):
        words = [section, name, *(flag for flag in FLAGS if row[flag])]
        if row["series"] != every:
            words.append("in=" + ",".join(map(str, row["series"])))
        words += [f"was={old}" for old in sorted(row["was"])]
        lines.append(" ".join(words))
    return HEADER + "".join(f"# {entry['versions']}\n" for entry in lists) + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Print a list or a table."""
    match arguments:
        case ["list"]:
            version = metadata.version("openstack-heat")
            others = ("keystonemiddleware", "oslo.db", "oslo.messaging")
            versions = ", ".join(f"{name} {metadata.version(name)}" for name in others)
            json.dump(
                {
                    "series": int(version.split(".")[0]),
                    "versions": f"Heat {version} with {versions}",
                    "options": list(known()),
                },
                sys.stdout,
            )
        case ["merge", *files] if files:
            sys.stdout.write(merged([json.loads(Path(file).read_text()) for file in files]))
        case _:
            print("usage: heat_options.py list | merge FILE …", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
