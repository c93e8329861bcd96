"""Any text as heat.conf: a result, or a refusal with exit code 1, in a bounded time, without a traceback."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.adoption.merge import AdoptionError, AdoptionSpec, Original, adopt
from components.adoption.translation import Translation, translate
from components.text import control_character
from tests.unit.sample import DEPLOYMENT, A, B
from tools import hostkeys
from tools import translate as command

# Generous, because a machine may be busy. The time must not grow without a bound.
WITHIN = 20.0
LINE = 16_000


def chain(count: int, each: str) -> str:
    lines = "".join(f"a{n} = {each.format(n + 1)}\n" for n in range(count))
    return f"[DEFAULT]\n{lines}a{count} = end\ndebug = $a0\n"


def within(seconds: float, began: float) -> None:
    assert time.monotonic() - began < seconds


CONFS = {
    "binary": "\0\x01\x7f\ufffd" * 1000,
    "nul in a value": "[DEFAULT]\ndebug = a\0b\n",
    "control characters": "[DEFAULT]\ndebug = a\x0b\x1c\x85\u2028\u202eb\nde\x0bbug=1\n[da\x0btabase]\nconnection=x\n",
    "million lines": "[DEFAULT]\n" + "debug = true\n" * 10**6,
    "many lines": "[DEFAULT]\n" + "debug = true\n" * 60_000,
    "many options": "[DEFAULT]\n" + "".join(f"option_{n} = 1\n" for n in range(40_000)),
    "unknown options": "[DEFAULT]\n" + "".join(f"unknown_{n} = 1\n" for n in range(1900)),
    "many secrets": "[DEFAULT]\n" + "".join(f"x{n}_password = {'p' * 400}{n}\n" for n in range(1900)),
    "bad lines": "no assignment\n" * 70_000,
    "long line": "[DEFAULT]\ndebug = " + "a" * 900_000,
    "deep section": "[" * 900_000,
    "billion laughs": chain(60, "${0}${0}").replace("$1", "$a1"),
    "references": "[DEFAULT]\n" + "".join(f"a{n} = $a{n + 1} $a{n + 1}\n" for n in range(200)) + "debug = $a0\n",
    "long chain": "[DEFAULT]\n" + "".join(f"a{n} = $a{n + 1}\n" for n in range(1900)) + "debug = $a0\n",
    "loop": "[DEFAULT]\ndebug = $a\na = $b\nb = $a\n",
    "port of other digits": "[heat_api]\nbind_port = ٨٠٠٤\n",
    "huge port": "[heat_api]\nbind_port = " + "9" * 5000 + "\n",
    **{
        f"{name} of {option}": f"[{section}]\n{option} = {text}\n"
        for section, option in (
            ("DEFAULT", "transport_url"), ("DEFAULT", "heat_metadata_server_url"), ("DEFAULT", "rabbit_hosts"),
            ("database", "connection"), ("keystone_authtoken", "auth_url"), ("keystone_authtoken", "memcached_servers"),
            ("ec2authtoken", "auth_uri"), ("keystone_authtoken", "identity_uri"), ("cors", "allowed_origin"),
        )
        for name, text in {
            "schemes": "://" * (LINE // 3),
            "letters": "a" * LINE,
            "slashes": "/" * LINE + "x",
            "colons": ":" * LINE + "x",
            "ats": "a://" + "@" * LINE,
            "logins": "a://" + "/a:" * (LINE // 3),
            "commas": "rabbit://" + "," * LINE,
            "dots": "a." * (LINE // 2) + "!",
            "loopbacks": "127.0.0.1:" * (LINE // 10),
            "brackets": "http://[",
            "hex": "0:" * (LINE // 2),
        }.items()
    },
}  # fmt: skip


def spec() -> AdoptionSpec:
    return AdoptionSpec(control=B, address=A, api_port=8004, cfn_port=8000, max_body=1_638_400, deployment=DEPLOYMENT)


@pytest.mark.parametrize("name", CONFS)
def test_a_hostile_heat_conf_is_translated_or_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    try:
        adopt(Original(files={"heat.conf": CONFS[name]}), spec())
    except AdoptionError as error:
        message = str(error)
        assert message
    within(WITHIN, began)
    path = tmp_path / "heat.conf"
    path.write_text(CONFS[name])
    try:
        code = command.main(["--control", B, "--", str(path)])
    except SystemExit as error:
        code = 1 if str(error).startswith("translate: ") else 3
    assert code in (0, 1)
    assert len(capsys.readouterr().err) < 1_000_000
    within(2 * WITHIN, began)


@settings(max_examples=150)
@given(
    st.text()
    | st.lists(st.sampled_from(["[DEFAULT]", "debug = $a", "a = ${debug}", "[", "x", " y", "transport_url=a://@"])).map(
        "\n".join
    )
)
def test_any_text_is_a_translation_or_its_problems(text: str) -> None:
    found = translate({"heat.conf": text}, control=B, release="27.0.1")
    for sections in (found.public, found.secret):
        for section, values in sections.items():
            for option, value in values.items():
                assert not control_character(section + option)
                assert not control_character(value, but="\t\n")
    assert isinstance(found, Translation)


def test_a_path_that_is_not_a_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/again.conf").symlink_to(tmp_path / "conf.d")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x80")
    named = [tmp_path / name for name in ("pipe", "conf.d", "loop", "binary", "n" * 300)]
    for path in ("/dev/zero", "/dev/stdin", "/" + "n/" * 3000, *named):
        with pytest.raises(SystemExit) as caught:
            command.read([str(path)])
        assert str(caught.value).startswith("translate: ")


# The keys of existing hosts.


def config(**existing: Any) -> dict[str, Any]:
    return {"heat-scaleout:existing": {"objectValue": existing}}


def test_hosts_are_listed_for_their_keys_to_be_fetched() -> None:
    front = {"address": "10.0.0.1", "hostKey": "a wrong one"}
    nodes = [{"name": "node-1", "address": "10.0.0.2", "port": 2222}]
    listed = hostkeys.listed("dev", config(user="ops", front=front, nodes=nodes, jump={"address": "jump.example"}))
    assert listed == [
        "ops",
        "existing.jump jump.example 22 direct -",
        "existing.front 10.0.0.1 22 jump -",
        "existing.nodes[0] 10.0.0.2 2222 jump -",
    ]
    assert hostkeys.listed("dev", {}) == ["root"]


@pytest.mark.parametrize(
    "existing",
    [
        {"user": "-oProxyCommand=touch /tmp/x"},
        {"user": "root\n-oProxyCommand=x"},
        {"jump": {"address": "-oProxyCommand=x"}},
        {"jump": {"address": "a", "user": "-oProxyCommand=x"}},
        {"jump": {"address": "a", "port": "22 -oProxyCommand=x"}},
        {"front": {"address": "10.0.0.1 -x"}},
        {"front": {"address": "$(id)"}},
        {"nodes": [{"address": "10.0.0.1\nexisting.front 10.0.0.9 22 direct -"}]},
        {"nodes": "x"},
        {"front": "x"},
    ],
)
def test_no_value_is_an_option_or_a_command_for_ssh(existing: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"hostkeys: existing\S* = .*Type: "):
        hostkeys.listed("dev", config(**existing))


def test_ssh_gets_the_end_of_its_options() -> None:
    script = (Path(hostkeys.__file__).parent / "hostkeys.sh").read_text()
    assert '-l "$user" -- "$jump_address"' in script
    assert script.count('ssh-keyscan -T 10 -t ed25519 -p "$port" -- "$address"') == 2
