"""Compare the hosts of a stack with what the last `pulumi up` put there, and change nothing: `make verify`.

    tools/verify.py STACK

The stack's state declares what each host should have: the content, mode and owner of every file, and every unit. One
login per host compares them, with the same pinned host key as in `pulumi up`. Exit code 0: no differences. 1: the
printed table lists the differences. 2: the comparison was not possible.

Not compared: packages from the distribution and from PyPI, and the content of Keystone, the database and the broker.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from components.hosts.firewall import TABLE, UNIT  # noqa: E402
from components.remote import HELPER, remove_length_header  # noqa: E402
from components.rendering import render  # noqa: E402
from components.topology import Kind  # noqa: E402
from tools.offline.command_provider import remote  # noqa: E402
from tools.offline.command_provider.operation import CommandError, Operation, Outputs  # noqa: E402

_COMMAND = "command:remote:Command"
# How Pulumi marks a secret in a stack's exported state.
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105
# The units that each script of the program runs.
_SERVICES = {
    "haproxy": ["haproxy"],
    "mariadb": ["mariadb"],
    "rabbitmq": ["rabbitmq-server"],
    "memcached": ["memcached"],
    "keystone": ["keystone-proxy", "keystone"],
}
# The first script on a host installs that program from this here-document.
_HEREDOC = "END_OF_HEAT_SCALEOUT"
_SECONDS = 120
# A host that has not answered after so many seconds is named: the operator sees what the run waits for.
_NAMED_AFTER = 10


@dataclass(frozen=True, kw_only=True)
class File:
    """A file on a host."""

    path: str
    mode: str
    owner: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A systemd unit. `stamp`: the file with the digests of the files that it read at its start; "" if it has none."""

    name: str
    stamp: str


@dataclass(kw_only=True)
class Expected:
    """What one host should have.

    `processes` is None if the host is not a node. `firewall` is the nftables table that closes its ports; "" for none.
    """

    connection: dict[str, Any] = field(repr=False)
    files: list[File] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    processes: list[str] | None = None
    firewall: str = ""


def plain(value: Any) -> Any:  # noqa: ANN401 # JSON
    """A value of the state, with its secrets in plain text."""
    if isinstance(value, dict):
        if _SECRET in value:
            return plain(json.loads(value["plaintext"]))
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def expected(state: Mapping[str, Any]) -> dict[str, Expected]:
    """What each host should have, by its name, from the stack's exported state.

    Raises:
        ValueError: the state has no deployment, or an earlier version of this program wrote it.
    """
    resources = state["deployment"].get("resources", [])
    commands = {
        _name(resource): plain(resource["inputs"])
        for resource in resources
        # A resource that a replacement has still to delete does not count.
        if resource["type"] == _COMMAND and not resource.get("delete")
    }
    hosts = {
        name.removesuffix("-ready"): Expected(connection=inputs["connection"])
        for name, inputs in commands.items()
        if name.endswith("-ready")
    }
    if not hosts:
        raise ValueError("the stack has no hosts. To create them, type: pulumi up")
    for name, inputs in commands.items():
        at = _host_of(name, hosts)
        _add(hosts[at], name.removeprefix(f"{at}-"), inputs)
    for process in _outputs(resources, "pulumi:pulumi:Stack").get("processes", []):
        host, unit = hosts[process["node"]], process["unit"]
        host.units.append(Unit(name=unit, stamp=_stamp(unit)))
        host.processes = [*(host.processes or []), unit]
    for name, host in hosts.items():
        _add_copies(host, _outputs(resources, ":HeatNode", name).get("copies", {}))
    for name, digests in _outputs(resources, ":HostFirewall").get("files", {}).items():
        host = hosts[name]
        host.files += [File(path=path, mode="0644", owner="root:root", digest=found) for path, found in digests.items()]
        host.units.append(Unit(name=Path(UNIT).name, stamp=""))
        host.firewall = TABLE
    return hosts


def _name(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"].rpartition("::")[2])


def _outputs(resources: Iterable[Mapping[str, Any]], kind: str, name: str = "") -> dict[str, Any]:
    """The outputs of the stack or of one of its components, by the end of its type and its name; "" for any name."""
    found = (
        plain(resource.get("outputs", {}))
        for resource in resources
        if resource["type"].endswith(kind) and name in ("", _name(resource))
    )
    return next(found, {})


def _stamp(unit: str) -> str:
    """Where a unit's start writes the digests of what it reads: a directory of root's that a reboot clears."""
    return f"/run/heat-scaleout/{unit}/read"


def _host_of(name: str, hosts: Iterable[str]) -> str:
    """The host that a command belongs to: the longest match, because one host's name may begin with another's."""
    return max((host for host in hosts if name.startswith(f"{host}-")), key=len)


def _add(host: Expected, name: str, inputs: Mapping[str, Any]) -> None:
    """Add what one command leaves on its host."""
    words, text = shlex.split(inputs["create"], comments=True), remove_length_header(inputs["stdin"])
    if words[:2] == ["sudo", "-n"]:
        words = words[2:]
    match words:
        case ["heat-scaleout", "put", path, mode, owner, *_]:
            host.files.append(File(path=path, mode=mode, owner=owner, digest=_digest(text)))
            if path.startswith("/etc/systemd/system/") and path.endswith(".timer"):
                host.units.append(Unit(name=Path(path).name, stamp=""))
        case ["heat-scaleout", "run", script, *_] if script in _SERVICES:
            host.units += [Unit(name=f"{unit}.service", stamp=_stamp(unit)) for unit in _SERVICES[script]]
        case ["heat-scaleout", "run", "retire", *_]:
            host.processes = host.processes or []
        case _ if name == "ready":
            shipped = text.partition(f"<<'{_HEREDOC}'\n")[2].partition(f"{_HEREDOC}\n")[0]
            host.files.append(File(path=HELPER, mode="0755", owner="root:root", digest=_digest(shipped)))


def _add_copies(host: Expected, copies: Mapping[str, Mapping[str, str]]) -> None:
    """Add the copies that each process reads: each has the content, mode and owner of its source."""
    if missing := set(host.processes or ()) - set(copies):
        raise ValueError(
            f"an earlier version of this program wrote the state: it does not say which files {min(missing)} reads. "
            "To have it written again, type: pulumi up"
        )
    files = {file.path: file for file in host.files}
    pairs = [pair for unit in copies.values() for pair in unit.items()]
    # After an `up` that failed, a planned file may not be there yet.
    host.files += [replace(files[path], path=copy) for path, copy in pairs if path in files]


def script(host: Expected) -> str:
    """The script that compares a host."""
    return render(
        "scripts/verify.sh.j2",
        kinds=[kind.value for kind in Kind],
        files=host.files,
        units=host.units,
        processes=host.processes,
        firewall=host.firewall,
    )


def problems(printed: str) -> list[tuple[str, str]]:
    """What a host reported: things, and what is wrong with them.

    Raises:
        ValueError: the report is incomplete.
    """
    *lines, last = printed.splitlines() or [""]
    if last != "that is all":
        raise ValueError(f"its report is incomplete: {printed[-300:]}")
    return [(thing, what.strip()) for thing, _, what in (line.partition("\t") for line in lines)]


async def _no_log(_: object) -> None:
    """There is no engine to log to."""


async def compare(host: Expected) -> list[tuple[str, str]]:
    """Log in to a host and compare it."""
    connection = {**host.connection, "dialErrorLimit": 1}
    shell = "sh -s" if connection["user"] == "root" else "sudo -n sh -s"
    inputs = {"connection": connection, "stdin": script(host), "logging": "none", "addPreviousOutputInEnv": False}
    try:
        report = await asyncio.wait_for(remote.run(shell, inputs, Outputs(), Operation("", _no_log)), _SECONDS)
        return problems(report.stdout)
    except asyncio.TimeoutError:
        return [("the host", f"did not answer within {_SECONDS} s")]
    except (CommandError, ValueError, OSError) as error:
        return [("the host", f"cannot be compared: {error}")]


async def compare_all(hosts: Mapping[str, Expected]) -> list[list[tuple[str, str]]]:
    """Compare every host, and name those that keep the operator waiting."""
    tasks = {asyncio.ensure_future(compare(host)): name for name, host in hosts.items()}
    _, silent = await asyncio.wait(tasks, timeout=_NAMED_AFTER)
    for name in (name for task, name in tasks.items() if task in silent):
        print(
            f"{name} ({hosts[name].connection['host']}) has not answered for {_NAMED_AFTER} s: it hangs, is paused, "
            f"or is busy. This run waits {_SECONDS} s for it.",
            file=sys.stderr,
        )
    return list(await asyncio.gather(*tasks))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def main() -> int:
    """Compare every host of a stack."""
    (stack,) = sys.argv[1:]
    # Secrets pass from one process to the other, and nowhere else.
    export = subprocess.run(  # noqa: S603
        ["pulumi", "stack", "export", "--show-secrets", "--stack", stack],  # noqa: S607 # env.sh has set PATH
        stdout=subprocess.PIPE,
        check=False,
    )
    if export.returncode:
        return 2
    try:
        hosts = expected(json.loads(export.stdout))
    except ValueError as error:
        print(f"{stack}: {error}", file=sys.stderr)
        return 2

    reports = asyncio.run(compare_all(hosts))
    rows = [(name, thing, what) for name, report in zip(hosts, reports, strict=True) for thing, what in report]
    files, units = (sum(len(getattr(host, what)) for host in hosts.values()) for what in ("files", "units"))
    print(f"compared {len(hosts)} hosts, {files} files, {units} units: {len(rows)} differences")
    if rows:
        print(table(rows))
        print(f"To repair them, type: make repair STACK={stack}")
    return int(bool(rows))


if __name__ == "__main__":
    sys.exit(main())
