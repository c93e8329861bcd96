"""What docs/ says of this project's own files is so."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.unit.program import ROOT

GUIDE = (ROOT / "docs/guide.md").read_text()
NAMED = sorted({*re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", GUIDE)})


@functools.cache
def functions_in(path: Path) -> set[str]:
    return {item.name for item in ast.parse(path.read_text()).body if isinstance(item, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda value: value)
def test_a_test_that_the_guides_table_names_is_there(path: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in functions_in(ROOT / path)


def test_every_row_of_the_guides_tables_names_its_test() -> None:
    rows = [line for line in GUIDE.splitlines() if line.startswith("| ") and "| shown by |" not in line]
    assert len(rows) > 25
    for row in rows:
        assert re.search(r"\| `tests/[\w/]+\.py::test_\w+` \|$", row), row


def test_every_link_within_the_documents_leads_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
