"""Create, update and delete of local commands: which command runs, with what, and what the state keeps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import Compare
from tests.conformance.plugin import LOCAL, Answer, Plugin
from tests.conformance.values import UNKNOWN, secret
from tools.offline.command_provider.properties import Properties


def _state(inputs: Properties, stdout: str = "", stderr: str = "") -> Properties:
    return {**inputs, "stdout": stdout, "stderr": stderr}


def _outputs(answer: Answer) -> tuple[str, str]:
    return answer["properties"]["stdout"], answer["properties"]["stderr"]


def test_create_runs_create_and_echoes_all_inputs(compare: Compare) -> None:
    inputs = {
        "create": "echo out; echo err >&2",
        "update": "false",
        "delete": "false",
        "triggers": [1.0, secret("x")],
        "environment": {"A": secret("1")},
        "logging": "none",
    }
    answer = compare(lambda plugin: plugin.create(LOCAL, inputs))
    assert answer["properties"] == _state(inputs, "out", "err")
    assert re.fullmatch("it[0-9a-f]{8}", answer["id"])


OUTPUTS: dict[str, tuple[str, str]] = {
    "no newline": ("printf a", "a"),
    "only the last newline goes": (r"printf '\n a \n\n'", "\n a \n"),
    "nothing": (":", ""),
    "carriage returns stay": (r"printf 'a\r\n'", "a\r"),
    "any character": ("printf 'ä€😀\\t\\001'", "ä€😀\t\x01"),
    "much": ("yes 0123456789 | head -n 300000", "0123456789\n" * 299999 + "0123456789"),
}


@pytest.mark.parametrize(("command", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_output(compare: Compare, command: str, expected: str) -> None:
    inputs = {"create": command, "logging": "none"}
    assert _outputs(compare(lambda plugin: plugin.create(LOCAL, inputs))) == (expected, "")


def test_a_line_as_long_as_the_real_plugin_can_log(compare: Compare) -> None:
    """A longer line makes the real plugin wait forever, which the stand-in does not imitate."""
    inputs = {"create": "head -c 60000 /dev/zero | tr '\\0' x"}
    assert _outputs(compare(lambda plugin: plugin.create(LOCAL, inputs))) == ("x" * 60000, "")


def test_without_create_nothing_runs(compare: Compare) -> None:
    inputs = {"update": "echo updated", "delete": "echo deleted"}
    assert _outputs(compare(lambda plugin: plugin.create(LOCAL, inputs))) == ("", "")


def test_update_runs_update(compare: Compare) -> None:
    old = {"create": "echo created"}
    new = {"create": "echo created", "update": "echo updated"}
    answer = compare(lambda plugin: plugin.update(LOCAL, old, _state(old, "created"), new))
    assert answer["properties"] == _state(new, "updated")


def test_update_runs_create_if_there_is_no_update(compare: Compare) -> None:
    old, new = {"create": "echo created"}, {"create": "echo again"}
    assert _outputs(compare(lambda plugin: plugin.update(LOCAL, old, _state(old, "created"), new))) == (
        "again",
        "",
    )


def test_an_update_without_a_command_keeps_the_output(compare: Compare) -> None:
    old, new = {"stdin": "a"}, {"stdin": "b"}
    answer = compare(lambda plugin: plugin.update(LOCAL, old, _state(old, "out", "err"), new))
    assert answer["properties"] == _state(new, "out", "err")


def test_an_update_replaces_secret_output_by_plain_which_the_engine_marks(compare: Compare) -> None:
    old = {"create": "echo a"}
    state = {**old, "stdout": secret("a"), "stderr": secret("")}
    assert _outputs(compare(lambda plugin: plugin.update(LOCAL, old, state, {"create": "echo b"}))) == (
        "b",
        "",
    )


def test_an_update_takes_an_ignored_change_from_the_state(compare: Compare) -> None:
    old, new = {"create": "echo old"}, {"create": "echo new"}
    answer = compare(lambda plugin: plugin.update(LOCAL, old, _state(old, "old"), new, ignore=["create"]))
    assert answer["properties"] == _state(old, "old")


def test_delete_runs_delete(compare: Compare, work: Path) -> None:
    def observe(plugin: Plugin) -> tuple[Answer, str]:
        answer = plugin.delete(LOCAL, _state({"delete": "echo deleted >mark"}))
        return answer, (work / "mark").read_text()

    answer, mark = compare(observe)
    assert answer.error is None
    assert mark == "deleted\n"


def test_delete_without_a_command_does_nothing(compare: Compare, work: Path) -> None:
    assert compare(lambda plugin: plugin.delete(LOCAL, _state({"create": "echo >mark"}))).error is None
    assert not (work / "mark").exists()


def test_reading_returns_the_known_state(compare: Compare) -> None:
    inputs = {"create": "echo >mark", "stdin": secret("x")}
    answer = compare(lambda plugin: plugin.read(LOCAL, inputs, _state(inputs, "out")))
    assert (answer["id"], answer["inputs"], answer["properties"]) == (
        "it01234567",
        inputs,
        _state(inputs, "out"),
    )


# --- the input of a command ---

GIVEN: dict[str, tuple[Properties, str]] = {
    "stdin": ({"create": "cat", "stdin": "a\nb\n"}, "a\nb"),
    "stdin without end of line": ({"create": "cat; echo .", "stdin": "äb"}, "äb."),
    "much stdin": ({"create": "wc -c", "stdin": "x" * 3_000_000}, "3000000"),
    "stdin that is not read": ({"create": "echo done", "stdin": "x" * 3_000_000}, "done"),
    "no stdin": ({"create": "cat; echo done"}, "done"),
    "empty stdin": ({"create": "readlink /proc/self/fd/0", "stdin": ""}, "/dev/null"),
    "variables": ({"create": 'echo "$A,$B"', "environment": {"A": "a b", "B": "c=d"}}, "a b,c=d"),
    "the plugin's own variables": ({"create": "echo $FROM_OUTSIDE"}, "yes"),
    "a variable over the plugin's own": (
        {"create": "echo $FROM_OUTSIDE", "environment": {"FROM_OUTSIDE": "no"}},
        "no",
    ),
    "a directory": ({"create": "pwd", "dir": "/usr/lib"}, "/usr/lib"),
    "another interpreter": ({"create": "$#,$0", "interpreter": ["/bin/echo", "-n"]}, "$#,$0"),
    "an interpreter on PATH": ({"create": "a", "interpreter": ["echo"]}, "a"),
    "an empty interpreter": ({"create": "echo $0", "interpreter": []}, "/bin/sh"),
}


@pytest.mark.parametrize(("inputs", "expected"), GIVEN.values(), ids=GIVEN)
def test_given(compare: Compare, inputs: Properties, expected: str) -> None:
    assert _outputs(compare(lambda plugin: plugin.create(LOCAL, inputs)))[0] == expected


def test_it_runs_in_the_plugins_directory(compare: Compare, work: Path) -> None:
    assert _outputs(compare(lambda plugin: plugin.create(LOCAL, {"create": "pwd -P"}))) == (
        str(work.resolve()),
        "",
    )


def test_the_environment_is_the_plugins_and_nothing_else(compare: Compare) -> None:
    assert "FROM_OUTSIDE=yes" in _outputs(compare(lambda plugin: plugin.create(LOCAL, {"create": "env | sort"})))[0]


_PREVIOUS = 'echo "${PULUMI_COMMAND_STDOUT-none},${PULUMI_COMMAND_STDERR-none}"'


@pytest.mark.parametrize(
    ("more", "stdout", "stderr", "expected"),
    [
        ({}, "out", "err", "out,err"),
        ({}, "out", "", "out,none"),
        ({"addPreviousOutputInEnv": True}, "", "err", "none,err"),
        ({"addPreviousOutputInEnv": False}, "out", "err", "none,none"),
    ],
)
def test_previous_output(compare: Compare, more: Properties, stdout: str, stderr: str, expected: str) -> None:
    inputs = {"create": _PREVIOUS, **more}
    answer = compare(lambda plugin: plugin.update(LOCAL, inputs, _state(inputs, stdout, stderr), inputs))
    assert _outputs(answer)[0] == expected


def test_delete_has_the_previous_output_too(compare: Compare, work: Path) -> None:
    def observe(plugin: Plugin) -> str:
        assert plugin.delete(LOCAL, _state({"delete": _PREVIOUS + " >mark"}, "out", "err")).error is None
        return (work / "mark").read_text()

    assert compare(observe) == "out,err\n"


# --- failures ---

FAILURES: dict[str, tuple[Properties, str]] = {
    # One stream each: the order of two pipes is undefined.
    "a status": ({"create": "echo out; exit 3"}, 'exit status 3: running "echo out; exit 3":\nout\n'),
    "its reason": ({"create": "echo err >&2; exit 3"}, 'exit status 3: running "echo err >&2; exit 3":\nerr\n'),
    "a signal": ({"create": "kill -TERM $$"}, 'signal: terminated: running "kill -TERM $$":\n'),
    "another signal": (
        {"create": "ulimit -c 0; kill -SEGV $$"},
        'signal: segmentation fault: running "ulimit -c 0; kill -SEGV $$":\n',
    ),
    "no such directory": (
        {"create": "pwd", "dir": "/no/such"},
        'chdir /no/such: no such file or directory: running "pwd":\n',
    ),
    "no such interpreter": (
        {"create": "x", "interpreter": ["/no/such"]},
        'fork/exec /no/such: no such file or directory: running "x":\n',
    ),
    "no such interpreter on PATH": (
        {"create": "x", "interpreter": ["no-such-program"]},
        'exec: "no-such-program": executable file not found in $PATH: running "x":\n',
    ),
    "an interpreter that is no program": (
        {"create": "x", "interpreter": ["/etc/passwd"]},
        'fork/exec /etc/passwd: permission denied: running "x":\n',
    ),
    "a command with any character": (
        {"create": "\t'ä\"€😀\\\x01\u200b\n\u00a0' 2>/dev/null\nexit 1"},
        'exit status 1: running "\\t\'ä\\"€😀\\\\\\x01\\u200b\\n\\u00a0\' 2>/dev/null\\nexit 1":\n',
    ),
    "no logging, which does not hide a failure": (
        {"create": "echo told; exit 1", "logging": "none"},
        'exit status 1: running "echo told; exit 1":\ntold\n',
    ),
    "much output": (
        {"create": "yes 0123456789 | head -n 50000; exit 1", "logging": "none"},
        'exit status 1: running "yes 0123456789 | head -n 50000; exit 1":\n' + "0123456789\n" * 50000,
    ),
}


@pytest.mark.parametrize(("inputs", "expected"), FAILURES.values(), ids=FAILURES)
def test_a_failure(compare: Compare, inputs: Properties, expected: str) -> None:
    answer = compare(lambda plugin: plugin.create(LOCAL, inputs))
    assert answer.code == "UNKNOWN"
    assert answer.error == expected


def test_a_failed_update_and_a_failed_delete(compare: Compare) -> None:
    inputs = {"create": "exit 4", "delete": "exit 5"}
    updated = compare(lambda plugin: plugin.update(LOCAL, inputs, _state(inputs), inputs))
    deleted = compare(lambda plugin: plugin.delete(LOCAL, _state(inputs)))
    assert (updated.error, deleted.error) == (
        'exit status 4: running "exit 4":\n',
        'exit status 5: running "exit 5":\n',
    )


def test_output_that_is_not_text(compare: Compare) -> None:
    answer = compare(lambda plugin: plugin.create(LOCAL, {"create": r"printf '\377'", "logging": "none"}))
    assert (answer.code, answer.error) == (
        "INTERNAL",
        "grpc: error while marshaling: string field contains invalid UTF-8",
    )
    answer = compare(lambda plugin: plugin.create(LOCAL, {"create": r"printf '\377'; exit 1"}))
    assert answer.error == "exit status 1: running \"printf '\\\\377'; exit 1\":\n\ufffd"


def test_an_invalid_state(compare: Compare) -> None:
    answer = compare(lambda plugin: plugin.delete(LOCAL, {"delete": "echo >mark", "bogus": 1.0}))
    assert "failures decoding" in answer.error
    assert "Missing required field 'stdout' on 'local.CommandOutputs'" in answer.error


def test_a_time_limit(compare: Compare) -> None:
    answer = compare(lambda plugin: plugin.create(LOCAL, {"create": "exec sleep 60"}, timeout=1))
    assert answer.error == 'signal: killed: running "exec sleep 60":\n'


# --- the log ---


@pytest.mark.parametrize(
    ("logging", "expected"),
    [
        (None, ["out 1", "err", "", "out 2"]),
        ("stdoutAndStderr", ["out 1", "err", "", "out 2"]),
        ("stdout", ["out 1", "", "out 2"]),
        ("stderr", ["err"]),
        ("none", []),
        ("loud", []),
    ],
)
def test_the_log(compare: Compare, request: pytest.FixtureRequest, logging: str | None, expected: list[str]) -> None:
    name = str(request.node.name)
    # One after the other: the order of two pipes is undefined.
    script = "echo out 1; {0} echo err >&2; {0} echo; printf 'out 2'".format("sleep 0.5;")

    def observe(plugin: Plugin) -> Any:
        assert plugin.create(LOCAL, {"create": script, "logging": logging}, name=name).error is None
        return plugin.log(LOCAL, name)

    lines = compare(observe)
    assert [line.message for line in lines] == expected
    assert {(line.severity, line.status) for line in lines} <= {("INFO", True)}


# --- previews ---


def test_a_preview_runs_nothing(compare: Compare, work: Path) -> None:
    inputs = {
        "create": "echo >mark",
        "update": "echo >mark",
        "stdin": secret("x"),
        "environment": {"A": UNKNOWN},
    }
    created = compare(lambda plugin: plugin.create(LOCAL, inputs, preview=True))
    assert created["properties"] == {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
    old = {"create": "echo >mark"}
    compare(lambda plugin: plugin.update(LOCAL, old, _state(old), inputs, preview=True))
    assert not (work / "mark").exists()


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"create": "echo b"}, False),
        ({"create": None}, False),
        ({"stdin": UNKNOWN}, False),
        ({"environment": {"A": UNKNOWN}}, False),
        ({"logging": "none"}, False),
        # A quirk of the real plugin: an input that did not exist before does not count.
        ({"update": "echo b"}, True),
    ],
)
def test_a_preview_of_an_update_knows_the_output_only_if_nothing_changes(
    compare: Compare, change: Properties, known: bool
) -> None:
    old = {"create": "echo a", "stdin": "x", "environment": {"A": "1"}, "logging": "stdout"}
    new = {**old, **change}
    answer = compare(lambda plugin: plugin.update(LOCAL, old, _state(old, "a", "b"), new, preview=True))
    expected = _state(new, "a", "b") if known else {**new, "stdout": UNKNOWN, "stderr": UNKNOWN}
    assert answer["properties"] == {name: value for name, value in expected.items() if value is not None}
