"""No secret in plain text: settings that are secrets, settings that cannot be, and the whole graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import pulumi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import loopback
from components.heat import heat_conf
from components.heat.install import NETRC
from infra.settings.fields import camel
from infra.settings.install import logins
from infra.settings.load import SECRETS, SettingsError, load, read
from infra.settings.model import Settings
from infra.settings.secret import KEY_PLAIN, KEY_SECRET, may_hold_login
from tests.unit import program
from tests.unit.adopted import adopted_heat
from tests.unit.program import (
    MARK,
    PROJECT,
    Monitor,
    Outputs,
    Run,
    Secret,
    cached,
    existing_control_plane,
    guide_sample,
    in_pulumi,
)
from tests.unit.test_existing_hosts import KEY, hosts

STACK = "dev"


def problems(raw: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> tuple[str, ...]:
    try:
        load(STACK, raw, (), secrets or {})
    except SettingsError as error:
        return error.problems
    return ()


def messages_of(config: Mapping[str, Any], secret: list[str]) -> tuple[str, ...]:
    """The problems of a stack's file, read as the program reads it."""
    found: list[tuple[str, ...]] = []

    def body() -> None:
        pulumi.runtime.set_all_config(
            {
                f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in config.items()
            },
            [f"{PROJECT}:{key}" for key in secret],
        )
        raw, secrets = read(pulumi.Config(PROJECT))
        found.append(problems(raw, secrets))

    in_pulumi(body, Monitor(Outputs(preview=False), []), config={}, preview=False)
    return found[0]


# Settings that are set with --secret.

OPEN = {
    "region": MARK,
    "engines": "4",
    "adopt": "true",
    "gitUrl": f"https://{MARK}@git.example/heat",
    "existing": {"front": {"hostKey": MARK}},
    "control": {"keystoneUrl": f"https://{MARK}.example:5000"},
    "haproxy": {"extraGlobal": [MARK]},
    "statsAllow": [MARK],
    "uwsgiExtra": [MARK],
    "openstack": {"cloud": MARK},
    "allowOptions": [MARK],
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pipIndexUrl", "user:hunter2@pypi.example/simple"),
        ("pipIndexUrl", "https:/user:hunter2@pypi.example/simple"),
        ("gitUrl", "oauth2:hunter2@gitlab.example/heat"),
        ("debianMirror", "user:hunter2@mirror.example"),
    ],
)
def test_a_login_in_an_almost_valid_url_is_not_shown(key: str, value: str) -> None:
    messages = problems({key: value} | ({"install": "git"} if key == "gitUrl" else {}))
    assert messages
    assert "hunter2" not in "".join(messages)


@pytest.mark.parametrize("key", OPEN)
def test_a_secret_in_a_public_setting_is_refused_and_not_shown(key: str) -> None:
    (message,) = messages_of({key: OPEN[key]}, [key])
    assert message.startswith(f"{key} = [secret]: this setting cannot be a secret")
    path = {dict: f"--path '{key}.<part>'", list: f"--path '{key}[0]'"}.get(type(OPEN[key]), key)
    assert f"Type: pulumi config set {path} <its value> --stack {STACK}" in message
    assert MARK not in message


def test_a_secret_object_is_refused_with_the_file_that_shows_the_part() -> None:
    (message,) = messages_of({"existing": OPEN["existing"]}, ["existing"])
    assert "existing.<part>" in message
    assert f"Pulumi.{STACK}.yaml" in message


def test_all_of_them_are_reported_at_once() -> None:
    assert len(messages_of(OPEN, [*OPEN])) == len(OPEN)


@pytest.mark.parametrize("key", SECRETS)
@pytest.mark.parametrize("mode", [{}, {"hosts": "existing", "existing": hosts()}, {"controlPlane": "existing"}])
def test_a_secret_setting_in_plain_text_is_refused_whether_it_is_used_or_not(key: str, mode: dict[str, Any]) -> None:
    messages = messages_of({**mode, key: MARK}, [])
    assert [problem for problem in messages if problem.startswith(f"{key} = ")], messages
    assert any(f"pulumi config set --secret {key} --stack {STACK}" in problem for problem in messages)
    assert MARK not in " ".join(messages)


def test_a_key_of_another_length_is_refused_for_the_bundled_control_plane_too() -> None:
    (message,) = problems({"authEncryptionKey": KEY_SECRET}, {"authEncryptionKey": MARK})
    assert message.startswith("authEncryptionKey = [secret]: must have exactly 32 characters, and has 6")
    assert MARK not in message


# Logins in URLs.

HIDDEN = [
    f"https://{MARK}@pypi.example/simple",
    f"https://user:{MARK}@pypi.example/simple",
    f"HTTPS://user:{MARK}/x@pypi.example/simple",
    f"https://pypi.example/simple?private_token={MARK}",
    f"https://pypi.example/simple#{MARK}",
    f"ssh://user:{MARK}@git.example/heat",
    f"git+https://{MARK}@git.example/heat",
    f"https://user:{MARK}#x@pypi.example/simple",
]
KEYS = ("pipIndexUrl", "wheelhouse", "debianMirror", "gitUrl")


@pytest.mark.parametrize("url", HIDDEN)
@pytest.mark.parametrize("key", KEYS)
def test_a_login_in_a_public_setting_is_refused_and_not_shown(key: str, url: str) -> None:
    messages = problems({key: url, **({"install": "git"} if key == "gitUrl" else {})})
    assert [problem for problem in messages if problem.startswith(f"{key} = ")], messages
    assert MARK not in " ".join(messages)


def test_its_remedy_is_a_netrc() -> None:
    (message,) = problems({"pipIndexUrl": HIDDEN[0]})
    assert "pulumi config set pipIndexUrl <the URL without them> --stack dev" in message
    assert "pulumi config set --secret netrc --stack dev" in message
    assert "machine HOST login USER password PASSWORD" in message


def test_a_login_in_keystones_url_is_refused_and_not_shown() -> None:
    messages = problems(
        {"controlPlane": "existing", "control": {"keystoneUrl": f"https://u:{MARK}@keystone.example:5000"}}
    )
    assert any(problem.startswith("control.keystoneUrl = ") for problem in messages)
    assert MARK not in " ".join(messages)


@pytest.mark.parametrize(
    "url",
    [
        "git@git.example:openstack/heat",
        "ssh://git@git.example:29418/openstack/heat",
        "/srv/heat#1.git",
        "https://h/heat",
    ],
)
def test_a_user_without_a_password_is_no_login_if_a_key_is_used(url: str) -> None:
    assert not may_hold_login(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "machine pypi.example login user",
        f"default login user password {MARK}",
        f"machine h login u password {MARK} macdef init",
        f'machine h login u password "{MARK}"',
        f"machine h login u password {MARK}\\n",
        f"machine h login u account a password {MARK}",
        f"machine h login u password {MARK}\n# and more",
        f"user:{MARK}",
    ],
)
def test_a_netrc_that_programs_read_in_different_ways_is_refused_and_not_shown(text: str) -> None:
    assert logins(text) is None
    if text:
        (message,) = problems({"netrc": KEY_SECRET}, {"netrc": text})
        assert message.startswith("netrc = [secret]: logins are written machine HOST login USER password PASSWORD")
        assert MARK not in message


def test_the_logins_are_in_a_file_of_roots_before_the_packages_are_installed() -> None:
    result = guide_sample(netrc=f"machine pypi.example login u password {MARK}  machine git.example login v password w")
    for host in ("front", "node-1", "node-2"):
        put = result.by_name[f"{host}-netrc"]
        assert f"put {NETRC} 0600 root:root" in put.text("create")
        assert isinstance(put.inputs["stdin"], Secret)
        assert put.text() == (f"machine pypi.example login u password {MARK}\nmachine git.example login v password w\n")
        assert put.name in result.before(f"{host}-install")
        assert f"export NETRC={NETRC}\n" in result.by_name[f"{host}-install"].text()
    assert f"rm -f {NETRC}" in guide_sample().by_name["node-1-install"].text()


def test_a_front_host_without_keystone_has_no_logins_for_packages() -> None:
    result = existing_control_plane(netrc=f"machine pypi.example login u password {MARK}")
    assert "front-netrc" not in result.by_name
    assert "node-1-netrc" in result.by_name


# Passwords that are not encoded.

PASSWORDS = [
    "s3cr3t/x",
    "s3cr3t@x",
    "s3cr3t#x",
    "s3cr3t?x",
    "s3cr3t%zz",
    "s3cr3t,x",
    "s3cr3t[x",
    "[s3cr3t",
    "12/s3cr3t",
    "s3cr3t\uff03x",
]
URLS = {
    "databaseUrl": "mysql+pymysql://heat:{}@db.example/heat",
    "databaseAdminUrl": "mysql+pymysql://root:{}@db.example/",
    "transportUrl": "rabbit://heat:{}@mq.example:5672/heat",
    "brokerAdminUrl": "http://admin:{}@mq.example:15672",
}


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("key", URLS)
def test_a_url_with_a_password_that_is_not_encoded_is_refused_and_not_shown(key: str, password: str) -> None:
    secrets = {name: url.format("good") for name, url in URLS.items()} | {key: URLS[key].format(password)}
    raw = {
        "controlPlane": "existing",
        "control": {"keystoneUrl": "http://10.0.0.1:5000", "manage": ["database", "broker"]},
        **dict.fromkeys((*URLS, "servicePassword", "stackDomainAdminPassword"), KEY_SECRET),
    }
    (message,) = problems(raw, secrets)
    assert message.startswith(f"{key} = [secret]: ")
    assert "percent-encode" in message
    assert MARK not in message


def test_an_encoded_password_is_accepted() -> None:
    secrets = {name: url.format("p%2F%40%23%3F%2Cs") for name, url in URLS.items()}
    raw = {
        "controlPlane": "existing",
        "control": {"keystoneUrl": "http://10.0.0.1:5000", "manage": ["database", "broker"]},
        **dict.fromkeys((*URLS, "servicePassword", "stackDomainAdminPassword"), KEY_SECRET),
    }
    assert problems(raw, secrets) == ()


@given(st.text(alphabet="s3cr/@#?:,%[]= \n\u0663é", min_size=1, max_size=12), st.sampled_from(["@", ""]))
@settings(max_examples=300, deadline=None)
def test_no_part_of_a_password_is_shown_as_the_broker_s_address(noise: str, at: str) -> None:
    """With any password the message shows the broker's address as written, or nothing of the URL."""
    url = f"rabbit://heat:SECRET{noise}SECRET{at}@mq.example:5672/heat"
    where = heat_conf.broker(url)
    assert "SECRET" not in where
    try:
        moved = loopback.rewrite_transport_url(url, "192.0.2.1")
    except loopback.UndecidableError as error:
        moved = f"{error}"
        assert "SECRET" not in moved
    else:
        assert moved.endswith("@mq.example:5672/heat")


# Options.


@pytest.mark.parametrize(
    "option", ["api_key", "private_key", "apikey", "passphrase", "auth", "PASSWORD", "access_key_id"]
)
def test_an_unknown_option_that_looks_like_a_secret_must_be_one(option: str) -> None:
    raw = {"options": {"all": {"my_plugin": {option: MARK}}}, "allowOptions": [f"my_plugin.{option}"]}
    (message,) = problems(raw)
    assert message.startswith(f"options.all.my_plugin.{option} = [not a secret]: this is a secret")
    assert f"pulumi config set --secret --path secretOptions.all.my_plugin.{option}" in message
    assert MARK not in message


def test_a_token_in_the_query_of_an_options_value_makes_it_a_secret() -> None:
    raw = {"options": {"all": {"my_plugin": {"url": f"https://h/x?api_key={MARK}"}}}, "allowOptions": ["my_plugin.url"]}
    (message,) = problems(raw)
    assert "this is a secret" in message
    assert MARK not in message


def test_a_path_a_boolean_and_keystones_address_are_no_secrets() -> None:
    options = {"key_file": "/etc/heat/key.pem", "use_auth": "true", "keystone_url": "http://10.0.0.1:5000"}
    raw = {"options": {"all": {"my_plugin": options}}, "allowOptions": [f"my_plugin.{name}" for name in options]}
    assert problems(raw) == ()


# The whole graph.


def leaves(value: Any) -> Iterator[str]:
    """Every text that is not marked as a secret."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from (key, *leaves(entry))
    elif isinstance(value, list):
        for entry in value:
            yield from leaves(entry)
    elif not isinstance(value, Secret):
        yield str(value)


def everywhere() -> dict[str, Run]:
    """A deployment of each kind, with a marked secret in every place that takes one."""
    own: dict[str, Any] = {
        "netrc": f"machine pypi.example login u password {MARK}",
        "secretOptions": {"all": {"my_plugin": {"api_key": MARK}}},
        "allowOptions": ["my_plugin.api_key"],
    }
    key = {"authEncryptionKey": MARK.ljust(32, ".")}
    manage = {
        "control": {"keystoneUrl": "https://keystone.example:5000", "manage": ["database", "broker", "keystone"]},
        "databaseUrl": "",
        "transportUrl": "",
        "databaseAdminUrl": f"mysql+pymysql://root:{MARK}%2Fx@db.example/",
        "brokerAdminUrl": f"http://admin:{MARK}%2Fx@mq.example:15672",
        "keystoneAdminPassword": MARK,
    }
    vms = {"hosts": "openstack", "subnet": "10.0.0.0/24", "openstack": {"sshFrom": ["198.51.100.0/24"]}}
    there: dict[str, Any] = {"hosts": "existing", "existing": hosts(), "sshPrivateKey": KEY}
    return {
        "containers": guide_sample(**own, **key),
        "VMs": cached(**vms, **own, **key),
        "behind Octavia": cached(**vms, loadBalancer="octavia", **own),
        "existing hosts": cached(**there, **own, **key),
        "existing control plane": existing_control_plane(**own, **key),
        "managed control plane": existing_control_plane(**own, **manage),
        "adopted": adopted_heat(**own),
    }


KINDS = (
    "containers", "VMs", "behind Octavia", "existing hosts", "existing control plane", "managed control plane",
    "adopted",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_in_a_plain_input_a_name_or_an_output(kind: str) -> None:
    result = everywhere()[kind]
    for resource in result.registered:
        shown = [resource.urn, *leaves(dict(resource.inputs))]
        assert not [text for text in shown if MARK in text], f"{resource.name} shows a secret"
    assert not [text for text in leaves(result.outputs) if MARK in text]


def test_an_unknown_adopted_option_is_a_secret_in_the_whole_graph() -> None:
    found = program.original()
    found["files"]["/etc/heat/heat.conf"] += f"[my_plugin]\napi_key = {MARK}.plugin\n"
    with mock.patch.object(program, "original", return_value=found):
        result = program.run(
            hosts="existing", controlPlane="existing", adopt=True, sshPrivateKey=KEY, existing=hosts(),
            adoptAllow=["my_plugin.api_key"],
        )  # fmt: skip
    assert f"api_key = {MARK}.plugin" in result.by_name["node-b-secrets-conf"].text()
    for resource in result.registered:
        assert not [text for text in leaves(dict(resource.inputs)) if MARK in text], resource.name


def test_git_finds_its_logins_and_keeps_roots_configuration() -> None:
    result = guide_sample(install="git", netrc=f"machine git.example login u password {MARK}")
    script = result.by_name["node-1-install"].text()
    assert 'export GIT_CONFIG_GLOBAL="${HOME:-/root}/.gitconfig" HOME="${NETRC%/*}"' in script
    assert MARK not in script
    assert "GIT_TERMINAL_PROMPT=0 git clone" in script


def test_every_secret_setting_is_in_that_walk() -> None:
    used = {
        "sshPrivateKey",
        "netrc",
        "authEncryptionKey",
        "databaseAdminUrl",
        "brokerAdminUrl",
        "keystoneAdminPassword",
    }
    usual = {"databaseUrl", "transportUrl", "servicePassword", "stackDomainAdminPassword"}
    assert used | usual == set(SECRETS)
    assert {camel(name) for name in vars(Settings()) if getattr(Settings(), name) == ""} >= set(SECRETS)
    assert KEY_PLAIN != KEY_SECRET
