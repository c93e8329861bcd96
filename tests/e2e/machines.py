"""Machines that the program did not create: containers that stand for an operator's own hosts."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from components.hosts.subnets import mac_address
from components.rendering import TEMPLATES, render
from tests.e2e.lab import ROOT, Stack, engine

# Wait until a login is possible. The image has no host keys.
_BOOTED = (
    "set -eu; timeout 60 systemctl is-system-running --wait >/dev/null || true;"
    "ssh-keygen -A; systemctl reset-failed ssh; systemctl restart ssh"
)


def sh(text: str, *words: str) -> str:
    done = subprocess.run(["sh", "-s", *words], input=text, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def container(*words: str) -> str:
    done = subprocess.run([*engine(), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def key_pair(directory: Path) -> Path:
    """An operator's private key, with the public key next to it."""
    path = directory / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


@contextlib.contextmanager
def machines(
    stack: str, addresses: Mapping[str, str], more: Mapping[str, Sequence[str]] | None = None
) -> Iterator[None]:
    """Hosts with the names of a stack's hosts, on a bridge of their own, with sshd; removed afterwards.

    Args:
        stack: the stack.
        addresses: the address of each host, all in one /24.
        more: additional flags for the container engine, for some hosts.
    """
    network = f"heat-{stack}"
    recipe = hashlib.sha256((TEMPLATES / "hosts/containers/image.sh.j2").read_bytes()).hexdigest()
    image_script = render(
        "hosts/containers/image.sh.j2", cache=str(ROOT / ".state/cache"), debian_mirror="", recipe=recipe
    )
    command, image = sh(image_script).splitlines()
    flags = sh(render("hosts/containers/flags.sh.j2", engine=command, image=image)).split()
    subnet = next(iter(addresses.values())).rpartition(".")[0] + ".0/24"
    bridge = render("hosts/containers/network.sh.j2", engine=command, name=network, subnet=subnet, owner=stack)
    try:
        sh(bridge, "create")
        for name, address in addresses.items():
            placed = ["--network", network, "--ip", address, "--mac-address", mac_address(address)]
            its_own = [*flags, *(more or {}).get(name, ())]
            container("run", "-d", "--name", f"{network}-{name}", "--hostname", name, *placed, *its_own, image)
        for name in addresses:
            Stack(stack).on(name, _BOOTED)
        yield
    finally:
        for name in addresses:
            subprocess.run([*engine(), "kill", f"{network}-{name}"], capture_output=True, check=False)
            subprocess.run([*engine(), "rm", "-f", f"{network}-{name}"], capture_output=True, check=False)
        sh(bridge, "delete")
