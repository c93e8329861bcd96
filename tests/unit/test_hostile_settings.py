"""Any content of a stack's file: settings, or a refusal within a second."""

from __future__ import annotations

import contextvars
import json
import os
import shlex
import time
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.rendering import render
from components.text import control_character, escaped
from infra.settings import load as configured
from infra.settings.fields import Key, keys
from infra.settings.files import read_text
from infra.settings.formats import Format
from infra.settings.load import SECRETS, SettingsError, load
from infra.settings.model import Settings
from infra.settings.secret import KEY_SECRET
from tests.unit.program import PROJECT
from tests.unit.test_settings import existing

STACK = "dev"
# The work takes 20 ms; a machine under load may take longer than a second.
WITHIN = 5.0


def leaves(known: Iterable[Key]) -> Iterator[str]:
    """The path, in a stack's file, of every value without parts."""
    for key in known:
        parts = tuple(key.parts)
        yield from leaves(parts) if parts else (key.path.replace("[]", ""),)


TOP = [key.path for key in keys(Settings)]
ALL = sorted({*leaves(keys(Settings))})


def walk(known: Iterable[Key]) -> Iterator[Key]:
    for key in known:
        yield key
        yield from walk(key.parts)


def test_every_text_has_a_format_and_every_number_has_bounds() -> None:
    for key in walk(keys(Settings)):
        assert key.rule != "must be a text", key.path
        if key.kind is int:
            assert key.bounds[0] < key.bounds[1]
        for annotated in typing.get_args(key.kind)[:1] if typing.get_origin(key.kind) is dict else ():
            assert any(isinstance(item, Format) and item.key for item in annotated.__metadata__), key.path


def at(form: str, value: object) -> dict[str, Any]:
    """A stack's file with this value for a setting."""
    steps = form.split(".")
    raw: Any = value
    for step in reversed(steps):
        raw = {"x" if step == "*" else step: raw}
        if step == "nodes" and steps[0] == "existing":
            raw = {"nodes": [raw["nodes"]]}
    found: dict[str, Any] = raw
    return found


def outcome(raw: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> Settings | tuple[str, ...]:
    """The result of `load`. The test fails on anything but settings or a refusal, and if it takes long."""
    began = time.monotonic()
    try:
        found: Settings | tuple[str, ...] = load(STACK, raw, (), secrets or {})
    except SettingsError as error:
        found = error.problems
    assert time.monotonic() - began < WITHIN
    for problem in () if isinstance(found, Settings) else found:
        assert "Type: " in problem
        assert not control_character(problem), problem
        assert len(problem) < 2000
    return found


def test_a_million_values_are_refused_at_once() -> None:
    for value in (["x"] * 10**6, {f"k{n}": n for n in range(10**6)}, deep(10**5), "x" * 10**7, "[" * 10**6):
        for key in ("statsAllow", "options", "engines", "unknown"):
            assert isinstance(outcome({key: value}), tuple)
    assert isinstance(outcome({f"k{n}": n for n in range(10**5)}), tuple)


def deep(levels: int, of: Any = "x") -> Any:
    for level in range(levels):
        of = {"a": of} if level % 2 else [of]
    return of


HOSTILE_TEXTS = [
    "", " ", "\0", "\n", "a\nb", "a\rb", "a\u2028b", "a\x85b", "\u202eabc", "\ud800", "\x7f", "a" * 5000, "/" * 5000,
    "../" * 1000, "1" * 5000, "-" + "1" * 5000, "1e999", "٣", "٠٣:٣٠", "0x10", "1_000", "+5", " 5", "5 ", "NaN", "inf",
    "http://[", "http://[::1", "http://a:port", "http://a:99999999999", "http://a:٨٠", "https://" + "a" * 5000,
    "http://\u2100.example", "-oProxyCommand=touch /tmp/x", "--customize-hook=id", "$(id)", "`id`", "'; id; '", '"; id',
    "%(x)s", "${x}", "[x]", "]", "=", "#", ";", "fe80::1%eth0", "10.0.0.0/255.255.255.0", "10.0.0.0/0.0.0.255",
    "/dev/zero", "/dev/stdin", "/", "x" * 100_000, "ssh-ed25519 AAAA\nProxyCommand id", "::", "%",
    "ext::sh -c id", "file:///etc/passwd", "javascript:1", "24.8d", "2147483648ms", "99999999999999999999h", "24:00",
]  # fmt: skip
HOSTILE = [
    *HOSTILE_TEXTS, None, True, False, 0, -1, 1, 2**31, 2**63, 10**5000, -(10**5000), 100_000_000, 1.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), [], {}, [[]], [None], [{}], {"": ""}, {"\0": 1}, {"a\nb": "c"},
    {"a" * 5000: 1}, ["x"] * 5000, {f"k{n}": n for n in range(5000)}, deep(5000), deep(5), deep(20, [1] * 1000),
    [["x"] * 300] * 300, {"x": {"y": {"z": "a\nb"}}}, {"x": {"[y]": {"z": "b"}}}, [10**5000], {"a": 10**5000},
]  # fmt: skip


@pytest.mark.parametrize("form", sorted({*ALL, *TOP}))
def test_a_hostile_value_of_a_setting_is_a_setting_or_a_refusal(form: str) -> None:
    for value in HOSTILE:
        outcome(at(form, value))
    for text in HOSTILE_TEXTS[::4]:
        outcome(at(form, [text]))


KINDS: list[dict[str, Any]] = [
    existing(),
    {"hosts": "openstack", "openstack": {"sshFrom": ["10.0.0.0/8"]}, "subnet": "10.0.0.0/24"},
    {"controlPlane": "existing", "control": {"keystoneUrl": "http://10.0.0.1:5000"}},
    {"install": "git"},
]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_the_same_with_the_rules_of_other_kinds_of_deployment(kind: int) -> None:
    """Existing hosts, a cloud, an existing control plane, a git clone."""
    for form in ALL:
        raw: dict[str, Any] = json.loads(json.dumps(KINDS[kind]))
        top, _, below = form.partition(".")
        for text in ("a\nb", "a" * 5000, "٣", "http://[", "http://a:port", "-x", "a\ud800", "1" * 19):
            changed = at(form, text)[top]
            if below and isinstance(raw.get(top), dict) and isinstance(changed, dict):
                changed = raw[top] | changed
            outcome(raw | {top: changed})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(HOSTILE_TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(TOP) | st.text(), JSON, max_size=4))
def test_any_json_is_settings_or_a_refusal(raw: dict[str, Any]) -> None:
    outcome(raw)


@settings(max_examples=80)
@given(st.sampled_from(SECRETS), st.text() | st.sampled_from(HOSTILE_TEXTS), st.sampled_from(KINDS))
def test_a_hostile_secret_is_refused_without_being_shown(key: str, text: str, kind: dict[str, Any]) -> None:
    marked = f"{text}hunter2"
    raw = kind | {key: KEY_SECRET}
    found = outcome(raw, {key: marked})
    if not isinstance(found, Settings):
        assert not any("hunter2" in problem for problem in found)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("a\nb", "U+000A"),
        ("a\rb", "U+000D"),
        ({"a": 1}, "must be one value"),
        ("v" * 5000, "must have at most 4096 characters"),
    ],
)
def test_the_value_of_a_secret_option_is_checked_and_not_shown(value: object, rule: str) -> None:
    given = {"all": {"DEFAULT": {"my_password": value}}}
    masked = {"all": {"DEFAULT": {"my_password": KEY_SECRET}}}
    found = outcome(
        {"secretOptions": masked, "allowOptions": ["DEFAULT.my_password"]}, {"secretOptions": json.dumps(given)}
    )
    assert isinstance(found, tuple)
    assert found[0].startswith("secretOptions.all.DEFAULT.my_password = [secret]: ")
    assert rule in found[0]
    assert "--secret" in found[0]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 2000, '{"a": ' + "1" * 5000 + "}", "{", "[NaN]", '"a'])
@pytest.mark.parametrize("key", ["haproxy", "options", "secretOptions", "statsAllow", "engines"])
def test_a_text_that_cannot_be_decoded_is_refused(key: str, text: str) -> None:
    def inside() -> None:
        pulumi.runtime.set_all_config({f"{PROJECT}:{key}": text}, [f"{PROJECT}:{key}"])
        raw, secrets = configured.read(pulumi.Config(PROJECT))
        assert isinstance(outcome(raw, secrets), tuple)

    contextvars.copy_context().run(inside)


@pytest.mark.parametrize("key", ["policy", "constraints", "control"])
def test_a_path_that_is_not_a_file_is_refused_without_waiting_for_data(key: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\0\x80" * 10)
    (tmp_path / "large").write_bytes(b"a: b\n" * 1_000_000)
    (tmp_path / "deep").write_text("[" * 100_000)
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    (tmp_path / "bomb").write_text(bomb)
    (tmp_path / "merge").write_text("a: &a {x: y}\n" + "".join(f"b{n}: {{<<: [*a, *a]}}\n" for n in range(100)))
    (tmp_path / "rules").write_text("".join(f'"rule:{n}": "role:admin"\n' for n in range(5000)))
    names = [
        *tmp_path.iterdir(),
        tmp_path,
        Path("/dev/zero"),
        Path("/dev/stdin"),
        Path("/dev/tty"),
        tmp_path / ("n" * 300),
    ]
    for path in names:
        raw: dict[str, Any] = {key: str(path)}
        if key == "control":
            raw = KINDS[2] | {"control": {"keystoneUrl": "http://10.0.0.1:5000", "ca": str(path)}}
        found = outcome(raw)
        if path.name in ("pipe", "binary", "large", "zero", "tty", tmp_path.name) or len(path.name) > 255:
            assert isinstance(found, tuple)
            assert any(problem.startswith(("policy", "constraints", "control.ca")) for problem in found)
        if key == "policy":
            assert isinstance(found, Settings) == (path.name == "rules")


def test_a_file_is_read_to_its_limit_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("é" * 5)
    assert read_text(tmp_path / "file", 10) == "é" * 5
    with pytest.raises(ValueError, match="at most 9 bytes"):
        read_text(tmp_path / "file", 9)


def test_the_command_of_a_refusal_is_safe_in_a_shell() -> None:
    for key in ("$(id)", "a'b", "a b", "`id`", "a;b"):
        (problem,) = typing.cast("tuple[str, ...]", outcome({key: "1"}))
        assert problem.endswith(f"Type: pulumi config rm {shlex.quote(key)} --stack dev")


@given(st.text())
def test_a_comment_in_a_script_has_one_line(text: str) -> None:
    assert not control_character(escaped(text))
    if not control_character(text):
        assert escaped(text) == text


def test_a_line_break_in_the_brokers_name_stays_in_its_comment() -> None:
    text = render(
        "heat/retire.sh.j2",
        kinds=["heat-engine", "heat-api", "heat-api-cfn"],
        broker="rabbit://mq\ntouch /tmp/pwned\n#/heat",
        **dict.fromkeys(("units", "node", "prefix", "work", "conf", "secrets", "address"), "x"),
        **dict.fromkeys(("finish_timeout", "drain_timeout"), 1),
    )
    assert not [line for line in text.splitlines() if line.startswith("touch")]
