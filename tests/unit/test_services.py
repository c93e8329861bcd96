"""How the control plane's scripts start, restart and reload services, with a fake systemd."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.rendering import render
from tests.unit.test_scripts import tool

SYSTEMCTL = r"""
case "$*" in
*is-enabled* | *daemon-reload* | *reset-failed*) exit 0 ;;
*is-active*) [ -e "$STATE/active" ]; exit ;;
*restart*) echo "$*" >>"$STATE/done"; touch "$STATE/active"; kind=ExecStartPre ;;
*reload*) echo "$*" >>"$STATE/done"; [ ! -e "$STATE/refuses" ] || exit 1; kind=ExecReload ;;
esac
# What the drop-in makes systemd record.
sed -n "s/^$kind=+.bin.sh -c \"\(.*\)\"$/\1/p" "$STATE/units/x.service.d/heat-scaleout-stamp.conf" | sh
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {"unit": tmp_path / "x.service", "conf": tmp_path / "x.cfg"}
    for path in made.values():
        path.write_text("as it was\n")
    return made


def converge(tmp_path: Path, files: dict[str, Path], *, reloads: bool = True) -> tuple[int, list[str]]:
    """Run converge_service once: its exit code, and its calls of systemd."""
    tool(tmp_path, "systemctl", SYSTEMCTL)
    tool(tmp_path, "journalctl", "echo the journal")
    text = render("control_plane/_service.sh.j2", digest="d")
    for real, here in {
        "/var/lib/heat-scaleout/started": "started", "/run/heat-scaleout": "run", "/etc/systemd/system": "units",
    }.items():  # fmt: skip
        text = text.replace(real, str(tmp_path / here))
    given = f"reload_for={files['conf']}\n" if reloads else ""
    more = "" if reloads else files["conf"]
    (tmp_path / "done").unlink(missing_ok=True)
    done = subprocess.run(
        ["/bin/sh", "-eu", "-s"],
        input=f"{text}\n{given}converge_service x.service {files['unit']} {more}\n",
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE": str(tmp_path)},
    )
    log = tmp_path / "done"
    return done.returncode, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize("reloads", [True, False])
def test_a_service_is_started_once_and_not_touched_while_nothing_changes(
    tmp_path: Path, files: dict[str, Path], *, reloads: bool
) -> None:
    assert converge(tmp_path, files, reloads=reloads) == (0, ["restart x.service"])
    assert converge(tmp_path, files, reloads=reloads) == (0, [])


def test_a_service_that_can_reload_is_reloaded_for_a_changed_file_and_restarted_for_a_changed_unit(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    converge(tmp_path, files)
    files["conf"].write_text("another\n")
    assert converge(tmp_path, files) == (0, ["reload x.service"])
    assert converge(tmp_path, files) == (0, [])
    files["unit"].write_text("another\n")
    assert converge(tmp_path, files) == (0, ["restart x.service"])
    files["unit"].write_text("a third\n")
    files["conf"].write_text("a third\n")
    assert converge(tmp_path, files) == (0, ["restart x.service"])


def test_a_service_that_cannot_reload_is_restarted_for_a_changed_file(tmp_path: Path, files: dict[str, Path]) -> None:
    converge(tmp_path, files, reloads=False)
    files["conf"].write_text("another\n")
    assert converge(tmp_path, files, reloads=False) == (0, ["restart x.service"])


def test_a_refused_reload_is_reported_and_retried(tmp_path: Path, files: dict[str, Path]) -> None:
    converge(tmp_path, files)
    files["conf"].write_text("another\n")
    (tmp_path / "refuses").touch()
    assert converge(tmp_path, files) == (1, ["reload x.service"])
    (tmp_path / "refuses").unlink()
    assert converge(tmp_path, files) == (0, ["reload x.service"])


def test_a_stopped_service_is_started_in_any_case(tmp_path: Path, files: dict[str, Path]) -> None:
    converge(tmp_path, files)
    (tmp_path / "active").unlink()
    files["conf"].write_text("another\n")
    assert converge(tmp_path, files) == (0, ["restart x.service"])
