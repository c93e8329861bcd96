"""The programs below examples/, run without a host and without the Pulumi CLI."""

from __future__ import annotations

import ast
import importlib.util
import runpy
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from pulumi import automation

from tests.unit.program import MARK, REMOTE, ROOT, Monitor, Outputs, Resource, in_pulumi

EMBEDDED = ROOT / "examples/embedded/__main__.py"
SECRETS = {
    "sshPrivateKey": f"{MARK}.key",
    "databaseUrl": f"mysql+pymysql://heat:{MARK}.database@db.example/heat",
    "transportUrl": f"rabbit://heat:{MARK}.broker@mq.example:5672/heat",
    "servicePassword": f"{MARK}.service",
    "stackDomainAdminPassword": f"{MARK}.domain-admin",
    "authEncryptionKey": f"{MARK}.key".ljust(32, "."),
}


@pytest.fixture(scope="module")
def embedded() -> tuple[dict[str, Resource], Mapping[str, Any]]:
    """The resources of examples/embedded/, by their names, and the stack's outputs."""
    registered: list[Resource] = []
    outputs = in_pulumi(
        lambda: runpy.run_path(str(EMBEDDED), run_name="__main__"),
        Monitor(Outputs(preview=False), registered),
        config=SECRETS,
        preview=False,
    )
    return {resource.name: resource for resource in registered}, outputs


def test_the_embedding_program_runs_every_process_on_the_sites_hosts(
    embedded: tuple[dict[str, Resource], Mapping[str, Any]],
) -> None:
    resources, outputs = embedded
    for host, address in (("heat-1", "10.20.0.11"), ("heat-2", "10.20.0.12")):
        for process in ("heat-engine-1", "heat-engine-2", "heat-api-8004", "heat-api-cfn-8000"):
            run = resources[f"{host}-{process}"]
            assert run.connection["host"] == address
            assert run.text("create").startswith("heat-scaleout run ")
    assert outputs["backends"] == {
        "heat-1-8004": "10.20.0.11:8004",
        "heat-2-8004": "10.20.0.12:8004",
        "heat-1-8000": "10.20.0.11:8000",
        "heat-2-8000": "10.20.0.12:8000",
    }


def test_the_embedding_program_gives_heat_the_sites_own_addresses_and_secrets(
    embedded: tuple[dict[str, Resource], Mapping[str, Any]],
) -> None:
    resources, _ = embedded
    conf, secrets = (resources[f"heat-1-{name}-conf"].text() for name in ("heat", "secrets"))
    assert "heat_metadata_server_url = https://heat.example:8000" in conf
    assert "auth_url = https://keystone.example:5000/v3" in conf
    assert SECRETS["databaseUrl"] in secrets
    for resource in resources.values():
        if resource.type == REMOTE:
            assert MARK not in resource.text("create")


def test_the_embedding_program_needs_no_settings_of_this_project() -> None:
    tree = ast.parse(EMBEDDED.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported
    assert not [name for name in imported if name and name.startswith("infra")]


# --- the Automation API ---------------------------------------------------------------------------------------------


@pytest.fixture
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale", ROOT / "examples/automation/scale.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _stack(*engines: str) -> Any:
    processes = [{"kind": "heat-engine", "node": "node-1", "unit": unit} for unit in engines]
    stack = mock.create_autospec(automation.Stack, instance=True)
    stack.preview.return_value = SimpleNamespace(change_summary={"create": 2})
    api = {"kind": "heat-api", "node": "node-1", "unit": "heat-api@8004"}
    stack.up.return_value = SimpleNamespace(
        outputs={"processes": automation.OutputValue(value=[*processes, api], secret=False)}
    )
    return stack


def test_a_script_scales_a_stack_after_a_preview(scale: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    stack = _stack("heat-engine@1", "heat-engine@2")
    with mock.patch.object(automation, "select_stack", return_value=stack) as select:
        assert scale.main(["prod", "2"]) == 0
    select.assert_called_once_with("prod", work_dir=str(ROOT))
    key, value = stack.set_config.call_args.args
    assert (key, value.value, value.secret) == ("engines", "2", False)
    assert [call[0] for call in stack.mock_calls] == ["set_config", "preview", "up"]
    assert capsys.readouterr().out.splitlines() == [
        "create: 2",
        "heat-engine@1 on node-1",
        "heat-engine@2 on node-1",
    ]


def test_a_script_reports_what_pulumi_refuses(scale: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    stack = _stack()
    stack.preview.side_effect = automation.CommandError(
        automation.CommandResult(stdout="", stderr="engines = 0: must be an integer from 1 to 2000", code=255)
    )
    with mock.patch.object(automation, "select_stack", return_value=stack):
        assert scale.main(["prod", "0"]) == 1
    assert "engines = 0: must be an integer" in capsys.readouterr().err
    stack.up.assert_not_called()
