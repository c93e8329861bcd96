"""What the modules may import and know: the direction of the arrows between them, read from their source text."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import yaml

from tests.unit.program import ROOT

# What a module with "Pure" in its docstring must not import: effects on this machine, other machines or time.
IMPURE = {
    "asyncio", "http", "keystoneauth1", "multiprocessing", "openstack", "os", "pulumi", "pulumi_command",
    "pulumi_openstack", "random", "requests", "secrets", "shutil", "signal", "socket", "sqlalchemy", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
# Calls that use files. A pure module may read its own templates and tables if its docstring says "but for reading".
FILE_CALLS = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "iterdir", "glob", "exists", "stat"}
# Components that still name settings in their messages.
KNOWS_SETTINGS = {"components.adoption.merge"}


def sources(directory: str) -> list[Path]:
    found = sorted((ROOT / directory).rglob("*.py"))
    assert found
    return found


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for part in ("components", "infra", "programs") for path in sources(part)}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def docstring(module: str) -> str:
    return ast.get_docstring(tree(MODULES[module])) or ""


@functools.cache
def imports(module: str) -> frozenset[str]:
    """The modules that a module imports, anywhere in it; those of this project by their dotted names."""
    names: set[str] = set()
    for node in ast.walk(tree(MODULES[module])):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                names.add(name if name in MODULES else str(node.module))
    if module.startswith("programs."):
        # On a host, the programs of a folder are in one directory.
        folder = module.rpartition(".")[0]
        names = {f"{folder}.{name}" if f"{folder}.{name}" in MODULES else name for name in names}
    return frozenset(names)


def reachable(start: str, arrows: Mapping[str, Iterable[str]]) -> set[str]:
    """Every node to which the arrows lead from a node; the node itself only if it is on a cycle."""
    found: set[str] = set()
    queue = [start]
    while queue:
        for target in arrows.get(queue.pop(), ()):
            if target not in found:
                found.add(target)
                queue.append(target)
    return found


PROJECT = {module: sorted(imports(module) & MODULES.keys()) for module in MODULES}


def calls(path: Path, name: str) -> list[ast.Call]:
    """Calls of a function or class by its last name."""
    return [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) == name
    ]


COMPONENTS = sorted(module for module in MODULES if module.split(".")[0] == "components")


# Directions.


def test_no_module_imports_itself_through_others() -> None:
    assert [module for module in MODULES if module in reachable(module, PROJECT)] == []


@pytest.mark.parametrize("module", COMPONENTS)
def test_components_do_not_import_the_program_that_uses_them(module: str) -> None:
    used = reachable(module, PROJECT) | imports(module)
    assert not {name for name in used if name.split(".")[0] in ("infra", "programs", "tests", "tools")}


def folder_of(module: str) -> str:
    """A folder of components, or the module itself if it is in none."""
    path = MODULES[module]
    return name_of(path.parent / "__init__.py") if path.parent != ROOT / "components" else module


def test_no_folder_of_components_imports_itself_through_others() -> None:
    arrows: dict[str, set[str]] = {}
    for module in COMPONENTS:
        targets = {folder_of(name) for name in PROJECT[module]} - {folder_of(module)}
        arrows.setdefault(folder_of(module), set()).update(targets)
    assert {"components.hosts", "components.heat", "components.proxy", "components.control_plane"} <= arrows.keys()
    assert [folder for folder in arrows if folder in reachable(folder, arrows)] == []


@pytest.mark.parametrize("module", [module for module in COMPONENTS if folder_of(module) == module])
def test_what_serves_all_folders_imports_none_of_them(module: str) -> None:
    """The check at the end of an `up` alone looks at all of them."""
    if module != "components.check":
        assert {name for name in PROJECT[module] if folder_of(name) != name} == set()


# Purity.


def impure_imports(module: str) -> set[str]:
    """What a module must not import to be pure, with the modules that do, directly or through others."""
    return {
        f"{name} in {each}"
        for each in {module, *reachable(module, PROJECT)}
        for name in imports(each)
        if {name, name.split(".")[0]} & IMPURE
    }


PURE = [module for module in MODULES if "Pure" in docstring(module)]


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_nothing_that_has_effects_not_even_through_others(module: str) -> None:
    assert impure_imports(module) == set()


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_uses_no_file_but_its_own_templates_and_tables(module: str) -> None:
    used = {name for name in FILE_CALLS if calls(MODULES[module], name)}
    assert not used or (used <= {"glob", "read_text"} and "but for reading" in docstring(module))


def test_what_plans_and_renders_is_pure() -> None:
    expected = (
        "topology",
        "timeouts",
        "rendering",
        "memory",
        "heat.heat_conf",
        "hosts.ingress",
        "adoption.translation",
    )
    assert {f"components.{name}" for name in expected} <= set(PURE)


def test_the_search_for_impure_imports_finds_them_through_other_modules() -> None:
    assert "socket" not in imports("components.hosts.existing")
    assert "socket in components.watch" in impure_imports("components.hosts.existing")


# Knowledge.


@pytest.mark.parametrize("module", COMPONENTS)
def test_components_do_not_read_the_configuration_and_export_nothing(module: str) -> None:
    path = MODULES[module]
    assert not re.search(r"pulumi\.Config\b|import Config\b|get_stack\(", path.read_text())
    assert not calls(path, "export")


def setting_keys() -> set[str]:
    """Keys of Pulumi.yaml that no component would have as a word of its own: those in camel case."""
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    keys = {key.rpartition(":")[2] for key in config}
    return {key for key in keys if re.search(r"[A-Z]", key)}


@pytest.mark.parametrize("module", [module for module in COMPONENTS if module not in KNOWS_SETTINGS])
def test_components_name_no_setting_and_no_command_that_changes_one(module: str) -> None:
    """They raise problems in their own words; infra adds the key and what to type."""
    texts = [
        node.value
        for node in ast.walk(tree(MODULES[module]))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    keys = setting_keys()
    assert {"rollingBatch", "heatVersion"} <= keys
    assert [text for text in texts if "pulumi config" in text or keys & set(re.findall(r"\w+", text))] == []


def test_one_module_reads_the_configuration() -> None:
    main = ROOT / "infra/__main__.py"
    assert [ast.unparse(call) for call in calls(main, "read")] == ["settings_loader.read(pulumi.Config())"]
    assert len(calls(main, "Config")) == 1
    for path in sources("infra"):
        if path.name not in ("load.py", "__main__.py"):
            assert not re.search(r"pulumi\.Config\b|import Config\b", path.read_text())


def test_the_program_can_be_read_on_one_page() -> None:
    lines = [line.strip() for line in (ROOT / "infra/__main__.py").read_text().splitlines()]
    assert sum(bool(line) and not line.startswith("#") for line in lines) <= 65


@pytest.mark.parametrize("path", sources("components") + sources("infra"), ids=name_of)
def test_a_login_is_always_of_its_type_as_a_misspelt_dictionary_would_be_printed_with_its_key(path: Path) -> None:
    for call in calls(path, "Command"):
        for keyword in call.keywords:
            if keyword.arg == "connection":
                assert isinstance(keyword.value, ast.Call)
                assert ast.unparse(keyword.value.func).endswith(".ConnectionArgs")


@pytest.mark.parametrize("path", sources("components"), ids=name_of)
def test_one_module_knows_how_a_host_is_reached(path: Path) -> None:
    remote = [call for call in calls(path, "Command") if ast.unparse(call.func).endswith("remote.Command")]
    assert bool(remote) == (path.name == "remote.py")
    assert not calls(path, "CopyToRemote") + calls(path, "CopyFile")
