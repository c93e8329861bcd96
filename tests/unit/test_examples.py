"""examples/: the program accepts each stack file, and its comments are true."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.settings.load import SECRETS, SettingsError, load, read
from tests.unit.program import PROJECT, ROOT, Monitor, Outputs, in_pulumi

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
# Secrets in the required form.
DUMMIES = {
    "sshPrivateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\nnone\n-----END OPENSSH PRIVATE KEY-----\n",
    "databaseUrl": "mysql+pymysql://heat:none@db.example.org/heat?charset=utf8mb4",
    "transportUrl": "rabbit://heat:none@mq-1.example.org:5672,heat:none@mq-2.example.org:5672/heat",
    "servicePassword": "none",
    "stackDomainAdminPassword": "none",
    "authEncryptionKey": "0123456789abcdef0123456789abcdef",
    "databaseAdminUrl": "mysql+pymysql://root:none@db.example.org",
    "brokerAdminUrl": "https://admin:none@mq-1.example.org:15672",
    "keystoneAdminPassword": "none",
    "netrc": "machine pypi.example.org login none password none",
}


def example(name: str) -> dict[str, Any]:
    """The settings of an example, by their keys."""
    given = yaml.safe_load((ROOT / "examples" / name).read_text())["config"]
    assert all(key.startswith(f"{PROJECT}:") for key in given)
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in given.items()}


def secrets_of(path: Path) -> list[str]:
    """The secrets that the comment at the top of an example names."""
    listed = re.search(r"^# Secrets: (.*(?:\n#  .*)*)", path.read_text(), re.MULTILINE)
    assert listed, f"{path.name} does not say which secrets it needs"
    return [name for name in re.sub(r"\([^)]*\)|#", "", listed[1]).replace(",", " ").split() if name != "none"]


def refused(config: Mapping[str, object]) -> tuple[str, ...]:
    """The problems of a configuration, read as from Pulumi."""
    problems: list[str] = []

    def body() -> None:
        raw, secrets = read(pulumi.Config())
        try:
            load("example", raw, (), secrets)
        except SettingsError as error:
            problems.extend(error.problems)

    in_pulumi(body, Monitor(Outputs(preview=True), []), config=config, preview=True)
    return tuple(problems)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(path: Path) -> None:
    assert refused(example(path.name) | {name: DUMMIES[name] for name in secrets_of(path)}) == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_needs_the_secrets_that_it_names_and_has_none_of_them(path: Path) -> None:
    named = secrets_of(path)
    assert set(named) <= set(SECRETS)
    assert not set(SECRETS) & set(example(path.name))
    assert "secure:" not in path.read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_sets_only_settings_that_pulumi_yaml_declares(path: Path) -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert set(example(path.name)) <= set(declared), json.dumps(sorted(set(example(path.name)) - set(declared)))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_index_of_the_examples_lists_each_of_them(path: Path) -> None:
    assert f"]({path.name})" in (ROOT / "examples/README.md").read_text()
    assert f"examples/{path.name})" in (ROOT / "docs/choosing-a-deployment.md").read_text()
