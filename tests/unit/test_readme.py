"""README.md's tables say what Pulumi.yaml and the program say.

`python -m tests.unit.test_readme` prints both, to be put between their markers.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.unit.program import ROOT, cached


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if text else "(none)"


def settings_table() -> str:
    """The table of settings, from Pulumi.yaml."""
    keys: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    rows = [f"| `{name}` | {_code(key['default'])} | {key['description']} |" for name, key in keys.items()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def output_names() -> list[str]:
    return list(cached().outputs)


def outputs_table() -> str:
    """A table of outputs to be filled in."""
    return "\n".join(["| output | what it is |", "|---|---|", *(f"| `{name}` | … |" for name in output_names())])


def between(marker: str) -> str:
    """What README.md has between <!-- marker --> and <!-- /marker -->."""
    readme = ROOT / "README.md"
    assert readme.exists(), "there is no README.md; python -m tests.unit.test_readme prints its tables"
    found = re.findall(rf"<!-- {marker} -->\n(.*?)\n<!-- /{marker} -->", readme.read_text(), re.DOTALL)
    assert len(found) == 1, f"README.md must have one <!-- {marker} --> … <!-- /{marker} -->, each on a line of its own"
    return str(found[0]).strip()


def test_the_table_of_settings_is_what_pulumi_yaml_says() -> None:
    assert between("settings") == settings_table()


def test_the_table_of_outputs_has_a_row_for_each_output_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \|$", between("outputs"))
    assert [name for name, _ in rows] == output_names()
    assert all(len(meaning.strip()) > 1 for _, meaning in rows), "an output without a meaning"


def test_no_description_breaks_its_table() -> None:
    for line in settings_table().splitlines():
        assert line.count("|") == 4, line


if __name__ == "__main__":
    print(settings_table(), outputs_table(), sep="\n\n")
