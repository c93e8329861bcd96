"""Generated documentation is up to date, and README.md lists every output."""

from __future__ import annotations

import re
from typing import Any

import yaml

from infra.outputs import FORMER
from infra.settings.fields import Key, keys
from infra.settings.model import SECTIONS, Settings
from tests.unit.program import ROOT, cached
from tools import docs


def test_what_make_docs_generates_is_up_to_date() -> None:
    for path, text in docs.generated().items():
        assert path.read_text() == text, f"{path.name} is out of date: make docs"


def test_every_setting_belongs_to_one_section_and_is_described() -> None:
    own = [key.path for section in SECTIONS for key in docs.own_keys(section)]
    assert sorted(own) == sorted(key.path for key in keys(Settings))

    def described(key: Key) -> None:
        assert key.entry or (key.info.description or "").rstrip().endswith("."), key.path
        for part in key.parts:
            described(part)

    for key in keys(Settings):
        described(key)


def test_pulumi_yaml_has_the_type_and_the_default_of_every_key() -> None:
    declared: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    for key in keys(Settings):
        kind = {"integer": int, "boolean": bool, "string": str}.get(declared[key.path]["type"])
        assert kind in (None, key.kind), key.path
        if kind:
            assert declared[key.path]["default"] == key.default, key.path


def test_no_description_breaks_its_table() -> None:
    for line in [*docs.reference().splitlines(), *docs.short_table().splitlines()]:
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 5), line


def test_the_table_of_outputs_has_a_row_for_each_output_and_no_other() -> None:
    table = (ROOT / "README.md").read_text().partition("<!-- outputs -->\n")[2].partition("<!-- /outputs -->")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", table)
    assert [name for name, _ in rows] == [name for name in cached().outputs if name not in FORMER]
    assert all(len(meaning.strip()) > 1 for _, meaning in rows), "an output without a meaning"
