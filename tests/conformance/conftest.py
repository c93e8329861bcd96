"""The compared plugins: the stand-in always, the real one if it is available."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.plugin import Answer, Plugin
from tests.conformance.sshd import BINARY, Sshd

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".tools/pulumi-home"
_VERSION = re.findall(r"(?m)^pulumi-command==(\S+)", (ROOT / "requirements.txt").read_text())[0]
INSTALLED = f"plugins/resource-command-v{_VERSION}"

Start = Callable[..., Plugin]
Compare = Callable[[Callable[[Plugin], Any]], Any]


def _real_plugin() -> Path | str:
    """The real plugin's binary, or the reason why it is missing."""
    user_home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    for home in (HOME, user_home):
        binary = home / INSTALLED / "pulumi-resource-command"
        if binary.exists() and not (binary.parent / "STAND-IN").exists():
            return binary
    return f"the real plugin is not installed: {HOME / INSTALLED} is the stand-in (docs/registries-only.md)"


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's launcher, as toolchain.sh installs it."""
    launcher = tmp_path_factory.mktemp("stand-in") / "pulumi-resource-command"
    launcher.write_text(f'#!/bin/sh\nexec "{ROOT}/.venv/bin/python" -I "{ROOT}/tools/offline/command_provider" "$@"\n')
    launcher.chmod(0o755)
    return launcher


@pytest.fixture(scope="session")
def real_or_why() -> Path | str:
    return _real_plugin()


@pytest.fixture
def real(real_or_why: Path | str) -> Path:
    """The real plugin; a test that needs it is skipped if it is missing."""
    if isinstance(real_or_why, str):
        pytest.skip(real_or_why)
    return real_or_why


@pytest.fixture(scope="session")
def binaries(stand_in: Path, real_or_why: Path | str) -> dict[str, Path]:
    """The plugins to compare. Without the real plugin every case still checks the stand-in."""
    return {"stand-in": stand_in} | ({"real": real_or_why} if isinstance(real_or_why, Path) else {})


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that both plugins run in."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of both plugins, without the user's ssh-agent, which would affect connections."""
    return {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"} | {"FROM_OUTSIDE": "yes"}


@pytest.fixture
def start(binaries: dict[str, Path], work: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Start a plugin for one test."""
    started = []

    def start(name: str, **more: str) -> Plugin:
        started.append(Plugin(binaries[name], environment={**environment, **more}, directory=work))
        return started[-1]

    yield start
    for plugin in started:
        plugin.close()


@pytest.fixture(scope="session")
def plugins(binaries: dict[str, Path], work: Path, environment: dict[str, str]) -> Iterator[dict[str, Plugin]]:
    running = {name: Plugin(path, environment=environment, directory=work) for name, path in binaries.items()}
    yield running
    for plugin in running.values():
        plugin.close()


@pytest.fixture
def compare(plugins: dict[str, Plugin]) -> Compare:
    """Do the same with each plugin, check that the results are equal, and return the result."""

    def compare(observe: Callable[[Plugin], Any]) -> Any:
        return compared({name: observe(plugin) for name, plugin in plugins.items()})

    return compare


@pytest.fixture
def compare_fresh(binaries: dict[str, Path], start: Start) -> Compare:
    """The same with a new plugin each time, for calls that change the plugin's state."""

    def compare(observe: Callable[[Plugin], Any]) -> Any:
        return compared({name: observe(start(name)) for name in binaries})

    return compare


def compared(observed: dict[str, Any]) -> Any:
    """The common result, after checking that all results are equal."""
    mine = observed["stand-in"]
    if "real" in observed:
        assert _normal(mine) == _normal(observed["real"]), "the stand-in (left) and the real plugin (right) differ"
    return mine


def _normal(value: Any) -> Any:
    """A result without what differs each time: the random part of an ID, and ports."""
    if isinstance(value, Answer):
        return {key: _normal(item) for key, item in vars(value).items()}
    if isinstance(value, dict):
        return {
            key: re.sub(r"[0-9a-f]{8}$", "…", item) if key == "id" else _normal(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    return value


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An SSH server; tests that need it are skipped if sshd is missing."""
    if BINARY is None:
        pytest.skip("no sshd on this machine: apt install openssh-server")
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _clean(work: Path) -> None:
    """Remove the files of earlier commands."""
    for path in work.iterdir():
        path.unlink()
