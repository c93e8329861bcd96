"""The program that reads a file returns every accepted value unchanged, and nothing else changes."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from components import urls
from components.control_plane.client_config import Login
from components.heat.heat_conf import Secrets, merge, secret_options
from components.remote import Jump
from components.rendering import render
from components.text import control_character
from infra.settings.formats import LINE, PASSWORD
from infra.settings.heat import not_uwsgis
from infra.settings.load import SettingsError, load
from infra.settings.policy import read_policy
from infra.settings.proxy import not_haproxys
from tests.unit.program import cached
from tests.unit.real_haproxy import HAPROXY
from tests.unit.sample import CONF, SECRETS

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
UWSGI = next(filter(None, (shutil.which(name, path=PATH) for name in ("uwsgi", "uwsgi-core"))), None)
# Texts with a special meaning for some reader.
ODD = r"""$ $$ \$ \\$ ${a} $(a) %( %% %p # ; : = " ' "" '' [a] ] , é ٣ 😀 \n \ & | ` ~ < > { }"""
TEXTS = st.text() | st.lists(st.sampled_from([*ODD.split(" "), " ", "a", "\N{NO-BREAK SPACE}"]), max_size=8).map(
    "".join
)
BOUNDED = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


def oslo(text: str, directory: Path) -> dict[str, dict[str, list[str]]]:
    """Sections with their options as oslo.config parses them, before it resolves references."""
    path = directory / "heat.conf"
    path.write_text(text, newline="")
    sections: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(path), sections).parse()
    return sections


def value(directory: Path, section: str, option: str) -> Any:
    """An option's value as Heat reads it."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.MultiStrOpt(option), group=None if section == "DEFAULT" else section)
    conf(["--config-file", str(directory / "heat.conf")], project="heat")
    return (conf if section == "DEFAULT" else conf[section])[option]


def sizes(sections: Mapping[str, Mapping[str, list[str]]]) -> dict[tuple[str, str], int]:
    return {(section, option): len(found) for section, values in sections.items() for option, found in values.items()}


@BOUNDED
@given(st.sampled_from(["DEFAULT", "my_plugin", "my.plugin:x"]), TEXTS | st.lists(TEXTS, min_size=1, max_size=3))
def test_oslo_config_reads_every_value_that_is_accepted(tmp_path: Path, section: str, option: str | list[str]) -> None:
    raw = {"options": {"all": {section: {"colour": option}}}, "allowOptions": [f"{section}.colour"]}
    several = [option] if isinstance(option, str) else option
    fits = not any(control_character(text) or urls.has_login(text) or len(text) > 4096 for text in several)
    try:
        settings = load("dev", raw)
    except SettingsError:
        assert not fits
        return
    assert fits
    text = render("heat/options.conf.j2", purpose="x", options=merge(CONF, settings.options.layers.all))
    before = sizes(oslo(render("heat/options.conf.j2", purpose="x", options=CONF), tmp_path))
    assert sizes(oslo(text, tmp_path)) == before | {(section, "colour"): len(several)}
    assert value(tmp_path, section, "colour") == several


NAMES = st.text(max_size=5) | st.sampled_from(
    ["Database", "database]\n[x", "a\rb", "default", "a]", "[a", "a b", "", "#a", "connection", "Connection",
     "trans-port_url", "Transport_Url", "transport-url", "colour", "c=d", "c:d", "c\nd"]
)  # fmt: skip


@BOUNDED
@given(NAMES, NAMES, st.booleans())
def test_names_of_sections_and_options_are_one_section_and_one_option(
    tmp_path: Path, section: str, option: str, allowed: bool
) -> None:
    raw: dict[str, Any] = {"options": {"all": {section: {option: "mine"}}}}
    try:
        settings = load("dev", raw | ({"allowOptions": [f"{section}.{option}"]} if allowed else {}))
    except SettingsError:
        return
    text = render("heat/options.conf.j2", purpose="x", options=merge(CONF, settings.options.layers.all))
    before = sizes(oslo(render("heat/options.conf.j2", purpose="x", options=CONF), tmp_path))
    found = oslo(text, tmp_path)
    assert sizes(found) == before | {(section, option): 1}
    assert found[section][option] == ["mine"]
    # oslo.config looks sections up in lower case: this section is none of this program's in another spelling.
    ours = {(name.lower(), key.replace("-", "_").lower()) for name, values in CONF.items() for key in values}
    ours |= {(name.lower(), key) for name, values in secret_options(SECRETS).items() for key in values}
    assert (section.lower(), option.replace("-", "_").lower()) not in ours


@pytest.mark.parametrize(
    ("section", "option"),
    [
        ("Database", "connection"), ("DATABASE", "connection"), ("database\r", "connection"),
        ("database", "connection\r"),
        ("x]\n[database", "connection"), ("x", "y = 1\n[database]\nconnection"), ("default", "transport_url"),
        ("Keystone_AuthToken", "password"), ("database", "Connection"), ("DEFAULT", "transport-url"), ("x]", "y"),
    ],
)  # fmt: skip
def test_this_programs_own_options_are_refused_in_every_spelling(section: str, option: str) -> None:
    raw = {"options": {"all": {section: {option: "mine"}}}, "allowOptions": [f"{section}.{option}"]}
    with pytest.raises(SettingsError):
        load("dev", raw)


@BOUNDED
@given(TEXTS)
def test_a_password_comes_back_from_secrets_conf(tmp_path: Path, text: str) -> None:
    assume(not PASSWORD.refusal(text))
    given = Secrets(**{**vars(SECRETS), "service_password": text})
    rendered = render("heat/options.conf.j2", purpose="x", options=secret_options(given))
    usual = render("heat/options.conf.j2", purpose="x", options=secret_options(SECRETS))
    assert sizes(oslo(usual, tmp_path)) == sizes(oslo(rendered, tmp_path))
    assert value(tmp_path, "trustee", "password") == [text]


@BOUNDED
@given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=4))
def test_policies_come_back_from_yaml(tmp_path: Path, rules: dict[str, str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(rules, allow_unicode=False))
    try:
        found = read_policy(str(path))
    except ValueError:
        assert any(control_character(text) for entry in rules.items() for text in entry)
        return
    assert found == rules
    shipped = yaml.safe_load(render("heat/policy.yaml.j2", rules=found))
    assert shipped == yaml.safe_load(render("heat/policy.yaml.j2", rules={})) | rules


@BOUNDED
@given(TEXTS, TEXTS, TEXTS)
def test_logins_come_back_from_clouds_yaml(user: str, project: str, password: str) -> None:
    """Logins of an adopted Heat have not been validated."""
    texts = (user, project, password)
    assume(not any(0xD800 <= ord(char) <= 0xDFFF for text in texts for char in text))
    login = Login(user=user, project=project, password=password)
    text = render(
        "control_plane/clouds.yaml.j2", keystone_url="http://10.0.0.1:5000", region="no", logins={"on": login}
    )
    (name, cloud), *more = yaml.safe_load(text)["clouds"].items()
    assert not more
    assert (name, cloud["region_name"]) == ("on", "no")
    auth = cloud["auth"]
    assert (auth["username"], auth["project_name"], auth["password"]) == texts


WORDS = [
    "listen",
    "backend",
    "global",
    "defaults",
    "option",
    "http-request",
    "deny",
    "no",
    "default",
    "x",
    "log",
    "traces",
]
GLUE = [" ", "\t", '"', "'", "\\", "#", "$", "${X}", ".if", "\u00a0", "", "\\ ", "\\x6c", '"$X"', "{", "}"]
LINES = st.lists(st.sampled_from([*WORDS, *GLUE]), min_size=1, max_size=5).map("".join)


def taken(lines: list[str]) -> list[str]:
    """The lines that are accepted for an API's section."""
    return [line for line in lines if not LINE.refusal(line) and not not_haproxys(line, {})]


@pytest.mark.skipif(
    not HAPROXY, reason="haproxy is not installed here; tests/e2e has it read such lines on the front host"
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=12))
def test_no_line_of_haproxys_begins_another_section(tmp_path: Path, lines: list[str]) -> None:
    """The text after a line is still in the same section, on its own line."""
    lines = taken([*lines, "option httplog", "http-request deny", '"listen" x', "li\\sten x", "listen#"])
    assert lines[-2:] == ["option httplog", "http-request deny"]
    path = tmp_path / "haproxy.cfg"
    for line in lines:
        path.write_text(f"listen api\n    mode http\n    {line}\n    sentinel\n")
        checked = subprocess.run(
            [str(HAPROXY), "-c", "-f", path], capture_output=True, text=True, check=False, env={"X": "listen"}
        )
        found = re.findall(r"haproxy.cfg:([0-9]+)\].*unknown keyword 'sentinel' in '([a-z-]+)' section", checked.stderr)
        # After some errors in the line itself HAProxy reads no further.
        assert found == [("4", "listen")] or (not found and "haproxy.cfg:3]" in checked.stderr), (line, checked.stderr)
    assert found == [("4", "listen")]


@pytest.mark.skipif(not UWSGI, reason="uWSGI is not installed here; the nodes have it")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(TEXTS, min_size=10, max_size=20))
def test_uwsgi_reads_every_line_that_is_accepted(tmp_path: Path, texts: list[str]) -> None:
    candidates = [f"procname-append = {text}" for text in texts]
    lines = [line for line in candidates if not LINE.refusal(line) and not not_uwsgis(line, 60)]
    path = tmp_path / "uwsgi.ini"
    path.write_text("\n".join(["[uwsgi]", "strict = true", *lines, "procname = last", ""]))
    shown = []
    with subprocess.Popen(
        [str(UWSGI), "--ini", path, "--show-config"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for line in process.stdout or ():
            if line.startswith(";end of configuration"):
                break
            shown.append(line.rstrip("\n"))
        process.kill()
    expected = [
        "strict = true",
        *(f"procname-append = {line.partition('=')[2].strip(' ')}" for line in lines),
        "procname = last",
        "show-config = true",
    ]
    assert shown[shown.index("[uwsgi]") + 2 :] == expected


HOSTILE_KEYS = [
    "ssh-ed25519 AAAA\nEND_OF_KEYS\ntouch pwned",
    "ssh-ed25519 AAAA\n$(touch pwned)",
    "ssh-ed25519 AAAA`touch pwned`",
    "ssh-ed25519 AAAA'; touch pwned; '",
]


@pytest.mark.parametrize("hostile", HOSTILE_KEYS)
def test_no_key_and_no_user_is_a_command_of_the_operators_machine(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$OUT/ssh"\ncat >/dev/null\n')
    ssh.chmod(0o755)
    text = render(
        "scripts/teardown.sh.j2",
        name="node-1", host=hostile, port=22, user=hostile.replace("AAAA", ""), host_key=hostile,
        jump=Jump(address="j", host_key=hostile, user=hostile), jump_host=hostile, jump_key=hostile,
        command="heat-scaleout run x", script="true", if_unreachable=hostile,
    )  # fmt: skip
    script = tmp_path / "script"
    script.write_text(text)
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "OUT": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run(["sh", script, "delete"], check=False, cwd=tmp_path, env=environment, capture_output=True)
    assert not list(tmp_path.rglob("pwned"))


@functools.cache
def hostile_program() -> dict[str, str]:
    """Every script of the sample, with a clone and an index whose URLs have every part of a URL."""
    run = cached(install="git", gitUrl=URL, pipIndexUrl=URL, wheelhouse="/srv/a'b$(id);c", debianMirror=URL)
    return {resource.name: resource.text() for resource in run.commands if "stdin" in resource.inputs}


URL = "https://example.org/a$(touch$IFS/pwned);b'c&d=!*+%20"


def test_a_url_is_one_word_in_every_shell_script() -> None:
    texts = hostile_program()
    for name in ("node-1-install", "image"):
        lines = [line for line in texts[name].splitlines() if "touch$IFS" in line]
        assert lines, name
        for line in lines:
            # As a shell splits it: within one word.
            assert shlex.quote(URL) in line or shlex.quote(f"git cannot clone {URL}") in line or "has no tag" in line
    for name, text in texts.items():
        if text.startswith(("set -", "#")) and "\nset -eu" in f"\n{text}":
            checked = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)
            assert checked.returncode == 0, (name, checked.stderr)
