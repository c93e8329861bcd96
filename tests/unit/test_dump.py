"""The dump before an upgrade of the schema: its place in the order, and its script, which runs here."""

from __future__ import annotations

import gzip
import re
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.rendering import render
from tests.unit.program import DUMP, cached, existing_control_plane
from tests.unit.test_scripts import tool

GOOD = "echo 'CREATE TABLE stack (id INT);'; echo '-- Dump completed on today'"


def test_heat_s_database_is_dumped_on_its_host_after_its_state_was_read_and_before_the_upgrade() -> None:
    result = cached()
    assert "front-dump" in result.before("node-1-schema")
    assert {"node-1-schema-state", "front-mariadb"} <= result.before("front-dump")
    assert DUMP in result.by_name["node-1-schema"].text()


def test_an_existing_database_is_not_dumped() -> None:
    names = existing_control_plane().by_name
    assert not {"front-dump", "node-1-schema-state"} & set(names)
    assert "docs/restore.md" not in names["node-1-schema"].text()


@pytest.mark.parametrize("current", [None, "newest"], ids=["an empty database", "a schema that is not behind"])
def test_nothing_is_dumped_of(current: str | None) -> None:
    text = render(
        "control_plane/dump.sh.j2",
        prefix="/opt/heat/27.0.1",
        dumps_kept=5,
        revisions={"current": current, "newest": "newest"},
    )
    assert "mariadb-dump" not in text


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    error: str
    dumps: list[Path]


def dump(tmp_path: Path, *, dumped: str = GOOD, tables: str = "2048", free: str = "9999999") -> Done:
    """Run the script with fakes of MariaDB and of the free space, in a directory of the test."""
    bin_, dumps = tmp_path / "bin", tmp_path / "dumps"
    bin_.mkdir(exist_ok=True)
    tool(bin_, "mariadb", f"echo {tables}")
    tool(bin_, "mariadb-dump", f'echo "$*" >"{tmp_path}/asked"\n{dumped}')
    tool(bin_, "df", f"echo Avail; echo ' {free}'")
    text = render(
        "control_plane/dump.sh.j2", prefix="p", dumps_kept=2, revisions={"current": "older", "newest": "newer"}
    ).replace("/var/lib/heat-scaleout/dumps", str(dumps))
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{bin_}:/usr/bin:/bin"},
    )
    return Done(done.returncode, done.stdout, done.stderr, sorted(dumps.iterdir()))


def test_a_dump_is_complete_readable_by_its_owner_alone_and_its_path_is_shown(tmp_path: Path) -> None:
    done = dump(tmp_path)
    assert done.code == 0, done.error
    (made,) = done.dumps
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert gzip.decompress(made.read_bytes()).decode().startswith("CREATE TABLE stack")
    assert str(made) in done.out
    assert re.search(r"from older to newer", done.out)
    # A restore removes what a later schema added, and running services are not blocked.
    assert {"--add-drop-database", "--single-transaction"} <= set((tmp_path / "asked").read_text().split())


@pytest.mark.parametrize(
    "dumped",
    ["exit 2", "echo half; exit 3", "echo 'ends without its last line'", f"{GOOD}; exit 1"],
    ids=["fails", "fails halfway", "is cut", "fails at its end"],
)
def test_an_incomplete_dump_stops_the_upgrade_and_is_removed(dumped: str, tmp_path: Path) -> None:
    done = dump(tmp_path, dumped=dumped)
    assert done.code == 1
    assert "mariadb-dump failed" in done.error
    assert "The schema has not been changed." in done.error
    assert done.dumps == []


def test_a_dump_without_enough_space_stops_the_upgrade_and_reports_what_is_missing(tmp_path: Path) -> None:
    done = dump(tmp_path, tables="500000", free="600000")
    assert done.code == 1
    assert "has 600000 KB free and needs 602400 KB: make room there." in done.error
    assert not (tmp_path / "asked").exists()


def test_the_newest_dumps_are_kept_and_those_of_another_database_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "dumps").mkdir()
    for name in ("heat-20250101", "heat-20250102", "heat-20250103", "keystone-20200101"):
        (tmp_path / f"dumps/{name}T000000Z.sql.gz").touch()
    (tmp_path / "dumps/.partial.left").touch()
    done = dump(tmp_path)
    assert done.code == 0, done.error
    assert len(done.dumps) == 3
    assert [path.name for path in done.dumps if "2025" in path.name] == ["heat-20250103T000000Z.sql.gz"]
    assert "keystone-20200101T000000Z.sql.gz" in [path.name for path in done.dumps]


def test_a_failed_upgrade_names_the_dump(tmp_path: Path) -> None:
    tool(tmp_path, "runuser", "echo 'no such column' >&2; exit 1")
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=cached().by_name["node-1-schema"].text(),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert "no such column" in done.stderr
    assert f"in {DUMP} on the front host. To restore it, follow docs/restore.md." in done.stderr
