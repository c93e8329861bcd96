"""programs/heat/api.py: when an API itself answers that there is no engine, with a fake Heat and broker."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shipped import shipped_program

api = shipped_program("heat/api.py")
STACKS = "/v1/0123/stacks"


def heat(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"of Heat"]


def ask(watch: Any, path: str, *, cfn: bool = False, body: bytes = b"") -> tuple[str, dict[str, str], bytes, bytes]:
    """Status, headers and text of an answer, and the unread rest of the request."""
    started: list[Any] = []
    sent = io.BytesIO(body)
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "wsgi.input": sent}
    answer = b"".join(api.guard(heat, watch, cfn=cfn)(environ, lambda *words: started.extend(words)))
    return started[0], dict(started[1]), answer, sent.read()


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """There has been no engine for long."""
    watch = api.Watch()
    for second in range(0, 40, 10):
        watch.record(0, second)
    monkeypatch.setattr(api.time, "monotonic", lambda: 31.0)
    return watch


def test_without_an_engine_a_request_is_refused_at_once_in_heats_own_form(gone: Any) -> None:
    status, headers, body, left = ask(gone, STACKS, body=b"x" * 200_000)
    assert (status, headers["Content-Type"], headers["Retry-After"]) == (
        "503 Service Unavailable", "application/json", "30"
    )  # fmt: skip
    assert headers["Content-Length"] == str(len(body))
    content = json.loads(body)
    assert (content["code"], content["title"], content["error"]["traceback"]) == (503, "Service Unavailable", None)
    assert "No heat-engine is listening" in content["error"]["message"]
    assert left == b""


def test_the_cfn_api_refuses_as_aws_does(gone: Any) -> None:
    status, headers, body, _ = ask(gone, "/v1/", cfn=True)
    assert (status, headers["Content-Type"]) == ("503 Service Unavailable", "application/xml")
    error = ET.fromstring(body).find("Error")  # noqa: S314 # this program's own
    assert error is not None
    content = {part.tag: part.text or "" for part in error}
    assert (content["Code"], content["Type"]) == ("ServiceUnavailable", "Server")
    assert "No heat-engine is listening" in content["Message"]


@pytest.mark.parametrize("path", ["", "/", "/healthcheck", "/healthcheck/", "/versions"])
def test_a_request_that_needs_no_engine_is_answered_without_one(gone: Any, path: str) -> None:
    assert ask(gone, path)[0] == "200 OK"


def test_as_soon_as_there_is_an_engine_requests_pass(gone: Any) -> None:
    gone.record(1, 31.0)
    assert ask(gone, STACKS)[0] == "200 OK"
    # The next time without an engine starts from zero.
    gone.record(0, 32.0)
    assert not gone.absent(33.0)


def test_an_engine_that_is_restarted_is_waited_for() -> None:
    watch = api.Watch()
    watch.record(0, 0.0)
    watch.record(0, 14.0)
    watch.record(0, 28.0)
    assert not watch.absent(29.9)
    assert watch.absent(30.0)


def test_without_an_answer_of_the_broker_no_request_is_refused(gone: Any) -> None:
    assert not api.Watch().absent(1000.0)
    # Its last answer is too old: there may have been an engine since.
    assert not gone.absent(30 + api.STALE + 1)
    gone.record(0, 30 + api.STALE + 1)
    assert not gone.absent(30 + api.STALE + 2)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 3)), max_size=30), st.floats(0, 100))
def test_no_request_is_refused_within_the_grace_time_of_an_engine_or_on_an_old_answer(
    answers: list[tuple[float, int]], later: float
) -> None:
    watch, now, there, heard = api.Watch(), 0.0, 0.0, -1000.0
    for seconds, engines in answers:
        now += seconds
        watch.record(engines, now)
        heard, there = now, now if engines else there
    now += later
    assert not watch.absent(now) or (now - there >= api.GRACE and now - heard <= api.STALE)


class Stop(BaseException):
    """Ends a thread that would run for ever."""


def looking(monkeypatch: pytest.MonkeyPatch, *answers: int | Exception) -> tuple[Any, list[float]]:
    """What the watch knows after these answers of the broker, and its pauses."""
    left, pauses = list(answers), list[float]()

    def consumers(_connection: object, queue: str) -> int:
        assert queue == "engine"
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not left:
            raise Stop

    broker = ModuleType("broker_consumers")
    vars(broker).update(
        read=lambda files: files,
        broker=lambda _: nullcontext(SimpleNamespace(ensure_connection=lambda **_: None)),
        consumers=consumers,
    )
    monkeypatch.setitem(sys.modules, "broker_consumers", broker)
    monkeypatch.setattr(api.time, "sleep", sleep)
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(api.time, "monotonic", lambda: float(next(clock)))
    watch = api.Watch()
    with pytest.raises(Stop):
        api.watch_broker(watch, ["heat.conf"])
    return watch, pauses


def test_the_broker_is_asked_until_there_has_been_no_engine_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looking(monkeypatch, 0, 0, 0, 0)[0].absent(31.0)
    assert not looking(monkeypatch, 0, 0, 1, 0)[0].absent(31.0)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), ValueError("any other"), TimeoutError()])
def test_a_broker_that_does_not_answer_is_asked_again_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    watch, pauses = looking(monkeypatch, error, error, error, error)
    assert len(pauses) == 4
    assert not watch.absent(1000.0)


def test_a_failure_of_the_watcher_is_logged_and_harmless(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "broker_consumers", None)
    before = set(api.threading.enumerate())
    api.start(api.Watch(), ["heat.conf"])
    for thread in set(api.threading.enumerate()) - before:
        thread.join(10)
    assert "Requests without an engine will wait, because the broker is not watched: " in capsys.readouterr().out


@pytest.mark.parametrize("form", ["module", "program"])
def test_the_application_is_loaded_from_a_module_or_from_a_distribution_s_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, form: str
) -> None:
    text = "application = None if __name__ == '__main__' else (lambda environ, start: [b'this one'])\n"
    (tmp_path / "heat_wsgi.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "heat_wsgi:application" if form == "module" else str(tmp_path / "heat_wsgi.py")
    assert api.load(name)({}, None) == [b"this one"]


def test_the_first_argument_is_the_api_and_heat_reads_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[list[str]] = []
    monkeypatch.setattr(api, "start", lambda _, files: watched.append(files))
    monkeypatch.setattr(api, "load", lambda name: lambda _environ, _start: [f"{name} {sys.argv}".encode()])
    monkeypatch.setattr(sys, "argv", ["uwsgi", "heat.wsgi.api:application", "--config-file", "a.conf"])
    arguments = api.main()({"PATH_INFO": STACKS}, None)
    assert arguments == [b"heat.wsgi.api:application ['uwsgi', '--config-file', 'a.conf']"]
    assert watched == [["a.conf"]]


def test_the_configuration_files_are_those_of_the_arguments() -> None:
    words = ["uwsgi", "--config-file", "a.conf", "--config-file=b.conf", "--debug", "--config-file", "c.conf"]
    assert api.config_files(words) == ["a.conf", "b.conf", "c.conf"]
