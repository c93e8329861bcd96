"""See whether the hosts of a stack have what the last `pulumi up` put there, and change nothing: `make verify`.

    tools/verify.py STACK

What should be there is in the stack's state: every file's content, mode and owner, and every process of the plan. It is
asked of each host in one login, the one that the program itself uses, with the same pinned key. Exit code 0: all is as
it should be. 1: it is not, and the table says what. 2: it could not be found out.

Not looked at: the packages that the distribution and PyPI brought, and what Keystone, database and broker hold.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from components.hosts.firewall import RULES, TABLE, UNIT  # noqa: E402
from components.remote import unframed  # noqa: E402
from components.rendering import render  # noqa: E402
from components.topology import Kind  # noqa: E402
from tools.offline.command_provider import remote  # noqa: E402
from tools.offline.command_provider.operation import CommandError, Operation, Outputs  # noqa: E402

_COMMAND = "command:remote:Command"
# How Pulumi marks a secret in a stack's exported state.
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105
# The units behind the program's scripts.
_SERVICES = {
    "haproxy": ["haproxy"],
    "mariadb": ["mariadb"],
    "rabbitmq": ["rabbitmq-server"],
    "memcached": ["memcached"],
    "keystone": ["keystone-proxy", "keystone"],
}
# Of a process's script: a file that it has a copy of, and the copy.
_COPY = re.compile(r"(?m)^ *cmp -s (\S+) (\S+) \|\|")
_HAND = "/usr/local/sbin/heat-scaleout"
_HEREDOC = "END_OF_HEAT_SCALEOUT"
# What the firewall's script puts on a host, by the heredoc that has it.
_FIREWALL = {"END_OF_RULES": RULES, "END_OF_UNIT": UNIT}
_SECONDS = 120
# After this many a host that has not answered is named, so that nobody has to wonder.
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
    """A systemd unit. `stamp`: the file with the digests of what it had read at its start; "" where there is none."""

    name: str
    stamp: str


@dataclass(kw_only=True)
class Expected:
    """What one host should have.

    `processes` is None where it is not a node. `firewall` is the table of nftables that closes its ports; "" for none.
    """

    connection: dict[str, Any] = field(repr=False)
    files: list[File] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    processes: list[str] | None = None
    firewall: str = ""


def bare(value: Any) -> Any:  # noqa: ANN401 # JSON
    """A value of the state, and of its secrets what is behind the mark."""
    if isinstance(value, dict):
        if _SECRET in value:
            return bare(json.loads(value["plaintext"]))
        return {key: bare(inner) for key, inner in value.items()}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def expected(state: Mapping[str, Any]) -> dict[str, Expected]:
    """What each host should have, by its name, the way the stack's exported state tells it.

    Raises:
        ValueError: the state is of no deployment.
    """
    resources = state["deployment"].get("resources", [])
    commands = {
        resource["urn"].rpartition("::")[2]: bare(resource["inputs"])
        for resource in resources
        # One that a replacement has left behind is not what should be there.
        if resource["type"] == _COMMAND and not resource.get("delete")
    }
    hosts = {
        name.removesuffix("-ready"): Expected(connection=inputs["connection"])
        for name, inputs in commands.items()
        if name.endswith("-ready")
    }
    if not hosts:
        raise ValueError("the stack has no hosts: pulumi up has not been run")
    for name, inputs in commands.items():
        at = _host_of(name, hosts)
        _add(hosts[at], name.removeprefix(f"{at}-"), inputs)
    for name, inputs in commands.items():
        host = hosts[_host_of(name, hosts)]
        put = {file.path: file for file in host.files}
        # A process runs with copies of its own of what was put: the same content, mode and owner.
        pairs = _COPY.findall(inputs["stdin"]) if " run " in inputs["create"] else []
        host.files += [replace(put[wanted], path=copy) for wanted, copy in pairs]
    outputs = next(
        bare(resource.get("outputs", {})) for resource in resources if resource["type"] == "pulumi:pulumi:Stack"
    )
    for process in outputs.get("processes", []):
        host, unit = hosts[process["node"]], process["unit"]
        host.units.append(Unit(name=unit, stamp=_stamp(unit)))
        host.processes = [*(host.processes or []), unit]
    return hosts


def _stamp(unit: str) -> str:
    """Where a unit's start leaves the digests of what it reads: in a directory of root's, gone with a restart."""
    return f"/run/heat-scaleout/{unit}/read"


def _host_of(name: str, hosts: Iterable[str]) -> str:
    """The host that a command is of. A host's name may begin as another's: the longest is meant."""
    return max((host for host in hosts if name.startswith(f"{host}-")), key=len)


def _add(host: Expected, name: str, inputs: Mapping[str, Any]) -> None:
    """Learn from one command what it leaves on its host."""
    words, text = shlex.split(inputs["create"], comments=True), unframed(inputs["stdin"])
    if words[:2] == ["sudo", "-n"]:
        words = words[2:]
    match words:
        case ["heat-scaleout", "put", path, mode, owner, *_]:
            host.files.append(File(path=path, mode=mode, owner=owner, digest=_digest(text)))
            if path.startswith("/etc/systemd/system/") and path.endswith(".timer"):
                host.units.append(Unit(name=Path(path).name, stamp=""))
        case ["heat-scaleout", "run", script, *_] if script in _SERVICES:
            host.units += [Unit(name=f"{unit}.service", stamp=_stamp(unit)) for unit in _SERVICES[script]]
        case ["heat-scaleout", "run", "firewall", *_]:
            host.files += [
                File(path=path, mode="0644", owner="root:root", digest=_digest(_within(text, heredoc)))
                for heredoc, path in _FIREWALL.items()
            ]
            host.units.append(Unit(name=Path(UNIT).name, stamp=""))
            host.firewall = TABLE
        case ["heat-scaleout", "run", "retire", *_]:
            host.processes = host.processes or []
        case _ if name == "ready":
            shipped = _within(text, _HEREDOC)
            host.files.append(File(path=_HAND, mode="0755", owner="root:root", digest=_digest(shipped)))


def _within(text: str, heredoc: str) -> str:
    """What stands between the two words of a here-document."""
    return text.partition(f"<<'{heredoc}'\n")[2].partition(f"{heredoc}\n")[0]


def script(host: Expected) -> str:
    """What is asked of a host."""
    return render(
        "scripts/verify.sh.j2",
        kinds=[kind.value for kind in Kind],
        files=host.files,
        units=host.units,
        processes=host.processes,
        firewall=host.firewall,
    )


def problems(printed: str) -> list[tuple[str, str]]:
    """What a host answered: things and what is wrong with them.

    Raises:
        ValueError: it did not say all.
    """
    *lines, last = printed.splitlines() or [""]
    if last != "that is all":
        raise ValueError(f"the host did not say all: {printed[-300:]}")
    return [(thing, what.strip()) for thing, _, what in (line.partition("\t") for line in lines)]


async def _no_log(_: object) -> None:
    """There is no engine to tell."""


async def ask(host: Expected) -> list[tuple[str, str]]:
    """Log in to a host and have it looked at."""
    connection = {**host.connection, "dialErrorLimit": 1}
    shell = "sh -s" if connection["user"] == "root" else "sudo -n sh -s"
    inputs = {"connection": connection, "stdin": script(host), "logging": "none", "addPreviousOutputInEnv": False}
    try:
        told = await asyncio.wait_for(remote.run(shell, inputs, Outputs(), Operation("", _no_log)), _SECONDS)
        return problems(told.stdout)
    except asyncio.TimeoutError:
        return [("the host", f"does not answer within {_SECONDS} s")]
    except (CommandError, ValueError, OSError) as error:
        return [("the host", f"cannot be asked: {error}")]


async def ask_all(hosts: Mapping[str, Expected]) -> list[list[tuple[str, str]]]:
    """Have every host looked at, and name those that keep the operator waiting."""
    asked = {asyncio.ensure_future(ask(host)): name for name, host in hosts.items()}
    _, silent = await asyncio.wait(asked, timeout=_NAMED_AFTER)
    for task in (task for task in asked if task in silent):
        name, address = asked[task], hosts[asked[task]].connection["host"]
        print(
            f"{name} ({address}) has not answered for {_NAMED_AFTER} s: it hangs, is paused, or has much to do. "
            f"It is given up after {_SECONDS} s.",
            file=sys.stderr,
        )
    return list(await asyncio.gather(*asked))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def main() -> int:
    """Ask every host of a stack."""
    (stack,) = sys.argv[1:]
    # Secrets go from one process to the other, and nowhere else.
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

    answers = asyncio.run(ask_all(hosts))
    rows = [(name, thing, what) for name, told in zip(hosts, answers, strict=True) for thing, what in told]
    files, units = (sum(len(getattr(host, what)) for host in hosts.values()) for what in ("files", "units"))
    print(f"{len(hosts)} hosts, {files} files, {units} units looked at: {len(rows)} not as they should be")
    if rows:
        print(table(rows))
        print(f"To put it right: make repair STACK={stack}")
    return int(bool(rows))


if __name__ == "__main__":
    sys.exit(main())
