"""Cancel: a local command is killed, a remote command may finish."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conformance.conftest import Compare, Start
from tests.conformance.plugin import LOCAL, REMOTE, Answer, Plugin, in_background
from tests.conformance.test_dialling import _until
from tests.conformance.test_remote import Checked, checked

__all__ = ["checked"]


def test_a_local_command_is_killed(compare_fresh: Compare, work: Path) -> None:
    def observe(plugin: Plugin) -> Answer:
        creating = in_background(plugin.create, LOCAL, {"create": "echo begun; echo $$ >mark; exec sleep 600"})
        _until(lambda: (work / "mark").exists() and (work / "mark").read_text())
        pid = int((work / "mark").read_text())
        assert plugin.cancel().error is None
        answer = creating.result(60)
        assert not Path(f"/proc/{pid}").exists()
        (work / "mark").unlink()
        return answer

    answer = compare_fresh(observe)
    assert answer.error == 'signal: killed: running "echo begun; echo $$ >mark; exec sleep 600":\nbegun\n'


def test_the_stand_in_also_kills_the_children_of_a_local_command(start: Start, work: Path) -> None:
    """The real plugin waits for them instead, without limit."""
    plugin = start("stand-in")
    creating = in_background(
        plugin.create, LOCAL, {"create": "(echo $BASHPID; sh -c 'echo $$ >mark; sleep 600; :'); :"}
    )
    _until(lambda: (work / "mark").exists() and (work / "mark").read_text())
    pid = int((work / "mark").read_text())
    plugin.cancel()
    assert (creating.result(60).error or "").startswith("signal: killed")
    _until(lambda: not Path(f"/proc/{pid}/fd").exists() or not os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def test_after_a_cancellation_no_local_command_starts(compare_fresh: Compare, work: Path) -> None:
    def observe(plugin: Plugin) -> str | None:
        plugin.cancel()
        return plugin.create(LOCAL, {"create": "echo >mark"}).error

    assert compare_fresh(observe) == 'context canceled: running "echo >mark":\n'
    assert not (work / "mark").exists()


def test_a_remote_command_may_finish(compare_fresh: Compare, checked: Checked, work: Path) -> None:
    script = f">{work}/begun; while ! [ -e {work}/go ]; do sleep 0.05; done; echo finished"

    def observe(plugin: Plugin) -> Answer:
        creating = in_background(plugin.create, REMOTE, checked(create=script))
        _until((work / "begun").exists)
        assert plugin.cancel().error is None
        (work / "go").touch()
        answer = creating.result(60)
        for path in work.iterdir():
            path.unlink()
        return answer

    assert compare_fresh(observe)["properties"]["stdout"] == "finished"
