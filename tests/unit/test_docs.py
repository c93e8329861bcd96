"""The pages are correct: links, commands, and the files, tests and messages that they name."""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.settings.load import SECRETS
from tests.unit.program import ROOT, cached
from tests.unit.test_examples import DUMMIES, example, refused

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")],
    key=lambda path: path.relative_to(ROOT).as_posix(),
)
# A fenced block within a list is indented.
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


# Links and names.


@functools.cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page, as GitHub derives them from its headings."""
    found = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_has_a_target(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)", prose(path.read_text())):
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"no file {target}"
        if anchor and there.suffix == ".md":
            assert anchor[1:] in anchors(there), f"no heading {anchor} in {target or path.name}"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_page_is_linked_from_an_index(path: Path) -> None:
    if path.parent == ROOT:
        return
    indexes = [ROOT / "README.md", ROOT / "docs/README.md", path.parent / "README.md"]
    linked = {
        (index.parent / target).resolve()
        for index in indexes
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", index.read_text())
    }
    assert path in linked or path in indexes, "neither README.md, docs/README.md nor the index beside it links to it"


@functools.cache
def functions_in(path: Path) -> set[str]:
    return {item.name for item in ast.parse(path.read_text()).body if isinstance(item, ast.FunctionDef)}


def is_a_test(named: str) -> bool:
    path, _, name = named.partition("::")
    return name.startswith("test_") and (ROOT / path).is_file() and name in functions_in(ROOT / path)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(path: Path) -> None:
    for named in re.findall(r"(tests/[\w/]+\.py::\w+)", path.read_text()):
        assert is_a_test(named), named


@pytest.mark.parametrize("page", ["docs/guide.md", "docs/compatibility.md"])
def test_every_row_of_a_table_of_evidence_names_it(page: str) -> None:
    tables = [table for table in (ROOT / page).read_text().split("\n\n") if re.match(r"\|.*\| shown by \|\n", table)]
    rows = [row for table in tables for row in table.splitlines()[2:]]
    assert len(rows) > 25
    for row in rows:
        evidence = row.removesuffix(" |").rpartition(" | ")[2]
        if page == "docs/guide.md":
            assert re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", evidence), row
        else:
            assert re.search(r"tests/|make |suite|not tested|not supported|no: refused|unit tests", row), row


ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_a_map_names_exists(page: str) -> None:
    for named in re.findall(
        r"`((?:infra|components|programs|templates|tools|tests|locks|examples)/[\w./@-]*)`",
        prose((ROOT / page).read_text()),
    ):
        assert (ROOT / named).exists(), named


def test_the_map_of_the_files_names_every_module() -> None:
    modules = [
        name_of(path)
        for folder in ("components", "infra", "programs")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    ]
    assert [module for module in sorted(modules) if f"| `{module}` |" not in ARCHITECTURE] == []


@functools.cache
def program_texts() -> str:
    """Every text in the program. Of Python files only the string literals, joined, without the inserted values."""
    found: list[str] = []
    for folder in ("components", "infra", "programs", "templates", "tools"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix == ".py":
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.JoinedStr):
                        parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                        found.append("".join(map(str, parts)))
                    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                        found.append(node.value)
            elif path.suffix in (".sh", ".j2"):
                found.append(path.read_text())
    return re.sub(r"\s+", " ", "\n".join(found))


def quoted() -> list[str]:
    """The messages that docs/troubleshooting.md quotes, except those of other programs."""
    text = (ROOT / "docs/troubleshooting.md").read_text().partition("## Messages of other programs")[0]
    cells = re.findall(r"^\| (.*?) \| ", text, re.MULTILINE)
    return [quote for cell in cells for quote in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("message", quoted())
def test_a_message_of_the_troubleshooting_is_one_of_the_programs(message: str) -> None:
    """The text between two … is in the code. A piece of fewer than nine characters proves nothing."""
    pieces = [piece.strip() for piece in message.split("…")]
    for piece in pieces:
        assert len(piece) < 9 or piece in program_texts(), f"no message has {piece!r}: quote the present one"
    assert any(len(piece) >= 9 for piece in pieces), "too little of a message to be found by"


def test_the_table_of_the_caretakers_counters_is_that_of_its_programs() -> None:
    code = "".join((ROOT / "programs/heat" / name).read_text() for name in ("upkeep.py", "caretaker.py"))
    counted = {
        *re.findall(r"""counters\.(?:add|set_gauge)\(f?["']([a-z_]+)""", code),
        *(f"{name}_total" for name in re.findall(r'counters\.count\("([a-z_]+)"', code)),
        *re.findall(r"f'([a-z_]+)\{\{task=", code),
    }
    table = (ROOT / "docs/caretaker.md").read_text().partition("| counter | of |\n")[2].partition("\n\n")[0]
    assert {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])} == counted


def test_the_rights_that_a_page_grants_in_the_database_are_those_that_the_program_grants() -> None:
    granted = [
        re.search(r"GRANT ([A-Z, ]+) ", (ROOT / path).read_text())
        for path in ("docs/existing-control-plane.md", "programs/control_plane/reach.py")
    ]
    page, program = (match[1] if match else "" for match in granted)
    assert page.removesuffix(" ON") == program.strip() != ""


# Commands. The program itself reads those of `pulumi config`. RUN_BY names a test that runs each of the others.

NOT_RUN = "# not run by a test"
_STACKS = "tests/unit/test_stack_scripts.py::"
_DEV = "tests/e2e/test_dev_stack.py::"
_HOSTS = "tests/e2e/test_existing_hosts.py::"
_TOOLS = "tests/unit/test_toolchain.py::"
_TRANSLATION = "tests/unit/test_translation.py::"
RUN_BY = {
    ". ./env.sh": _STACKS + "test_state_and_passphrase_are_the_checkouts_by_default",
    "tools/new-stack.sh": _STACKS + "test_a_new_stack_gets_a_passphrase_and_its_file_stays_unchanged",
    "tools/toolchain.sh": _TOOLS + "test_the_openstack_plugin_is_installed_on_request",
    "cp examples/": "tests/unit/test_examples.py::test_an_example_is_accepted",
    "make up": _STACKS + "test_the_dev_stack_needs_no_confirmation",
    "make down": _STACKS + "test_the_dev_stack_needs_no_confirmation",
    "make verify": "tests/unit/test_verify.py::test_unchanged_files_are_not_reported",
    "make repair": _STACKS + "test_a_setting_from_another_terminal_is_kept_and_no_salt_is",
    "make hostkeys": _HOSTS + "test_the_host_keys_are_fetched_through_the_jump_host_and_need_confirmation",
    "make translate": _TRANSLATION + "test_the_guides_sample_names_the_control_host_where_it_named_itself",
    "pulumi up": _DEV + "test_a_second_up_changes_nothing",
    "pulumi preview": "tests/conformance/test_stacks.py",
    "pulumi stack output": _DEV + "test_the_outputs_say_what_runs_where",
}
# Targets that start a suite of tests, or write files that a test then checks: they need no test of their own.
_TARGETS = "tools help test check conformance e2e e2e-faults e2e-openstack bench cloud cloud-down golden docs lock"
SUITES = {f"make {target}" for target in _TARGETS.split()}
# Shell built-ins.
SHELL = re.compile(r"export |\w+=|umask ")


def test_the_tests_that_run_the_pages_commands_exist() -> None:
    for named in RUN_BY.values():
        assert is_a_test(named) or (ROOT / named).is_file(), named


def test_the_targets_of_the_suites_are_in_the_makefile() -> None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command.split()[1] for command in SUITES | {*RUN_BY} if command.startswith("make ")} <= {*targets}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    text: str
    run_by: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    found = []
    for path in PAGES:
        text = path.read_text()
        for match in FENCE.finditer(text):
            if match[2] != "sh":
                continue
            before = text[: match.start()]
            above = re.search(r"<!-- run: (\S+) -->\n$", before)
            found.append(Block(name_of(path), before.count("\n") + 1, match[3], above[1] if above else ""))
    return found


def commands(block: Block) -> list[tuple[str, bool]]:
    """The commands of a block, each with whether the page says that the program refuses it."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.rstrip().endswith(NOT_RUN):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for token in [*lexer, ";"]:
            if re.fullmatch(r"[&|;<>()]+", token):
                if words:
                    found.append((shlex.join(words), "# refused" in line))
                words = []
            else:
                words.append(token)
    # A redirection is no command.
    return [(command, no) for command, no in found if not re.match(r"['~/.\w-]*/[\w./]*id_ed25519", command)]


# The settings that a page's commands are added to; without one those of the dev stack.
SETTINGS_OF = {
    "docs/adoption.md": {"hosts": "existing", **example("adoption.yaml")},
    "docs/existing-hosts.md": example("existing-hosts-bundled-control-plane.yaml"),
    "docs/existing-control-plane.md": example("existing-hosts-existing-control-plane.yaml"),
    "docs/octavia.md": example("octavia.yaml"),
    "docs/openstack.md": example("openstack-vms.yaml"),
    "examples/README.md": example("existing-hosts-bundled-control-plane.yaml"),
}


CONTROL_SECRETS = ("databaseUrl", "transportUrl", "servicePassword", "stackDomainAdminPassword")
FILES = {
    "policy": '"stacks:delete": "role:admin"\n',
    "constraints": "six==1.0\n",
    "control.ca": "-----BEGIN CERTIFICATE-----\n",
}


def put(settings: dict[str, Any], path: str, value: object) -> None:
    """Set a part of the settings as `pulumi config set --path` does; None removes it."""
    steps = [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
    at: Any = settings
    for step, following in itertools.pairwise(steps):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(step, int):
            if step == len(at):
                at.append(empty)
            at = at[step]
        else:
            at = at.setdefault(step, empty)
    last: Any = steps[-1]
    if value is None:
        del at[last]
    elif isinstance(last, int) and last == len(at):
        at.append(value)
    else:
        at[last] = value


def test_parts_of_settings_are_set_as_by_pulumi() -> None:
    settings: dict[str, Any] = {"existing": {"nodes": [{"name": "a"}]}}
    put(settings, "existing.nodes[1].name", "b")
    put(settings, "existing.nodes[0]", None)
    put(settings, "haproxy.extraGlobal[0]", "line")
    assert settings == {"existing": {"nodes": [{"name": "b"}]}, "haproxy": {"extraGlobal": ["line"]}}


def configured(settings: dict[str, Any], words: list[str], directory: Path) -> str:
    """Change the settings as a `pulumi config` command does; returns its key or path."""
    action, *rest = words
    flags = {word for word in rest if word.startswith("--")}
    key, *values = [word for word in rest if not word.startswith("--")]
    assert ("--secret" in flags) == (key in SECRETS or key.startswith("secretOptions")), "secrets are set as such"
    value: Any = " ".join(values)
    if "--secret" in flags:
        assert not values, "a secret on a command line"
        value = DUMMIES.get(key, "0123456789abcdef")
    elif key in FILES:
        # An operator's file.
        (directory / key).write_text(FILES[key])
        value = str(directory / key)
    put(settings, key, None if action == "rm" else value)
    return key


@pytest.mark.parametrize("block", [block for block in blocks() if "pulumi config" in block.text], ids=str)
def test_the_program_accepts_the_settings_of_a_block(block: Block, tmp_path: Path) -> None:
    settings = copy.deepcopy(SETTINGS_OF.get(block.page, {}))
    if settings.get("hosts") == "existing":
        settings["sshPrivateKey"] = DUMMIES["sshPrivateKey"]
    if settings.get("controlPlane") == "existing" and not settings.get("adopt"):
        settings |= {key: DUMMIES[key] for key in CONTROL_SECRETS}
    for command, no in commands(block):
        words = shlex.split(command)
        if words[:2] != ["pulumi", "config"]:
            continue
        if no:
            tried = copy.deepcopy(settings)
            key = configured(tried, words[2:], tmp_path)
            assert any(problem.startswith(key) for problem in refused(tried)), f"it is not refused: {command}"
        else:
            configured(settings, words[2:], tmp_path)
    # make hostkeys sets the host keys.
    assert [problem for problem in refused(settings) if ".hostKey = (none)" not in problem] == []


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_test_runs_each_command_or_the_page_marks_it(block: Block) -> None:
    if block.text.lstrip().startswith(NOT_RUN):
        return
    if block.run_by:
        assert is_a_test(block.run_by), block.run_by
        return
    for command, _ in commands(block):
        words = shlex.split(command)
        if words[:2] == ["pulumi", "config"] or SHELL.match(command):
            continue
        known = any(f"{command} ".startswith(one if one.endswith("/") else f"{one} ") for one in {*RUN_BY} | SUITES)
        assert known, f"no test runs {command!r}: name it in RUN_BY, or mark it with {NOT_RUN!r}"
        if words[:3] == ["pulumi", "stack", "output"]:
            assert {*words[3:]} <= {*cached().outputs}
