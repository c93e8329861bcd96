"""Overriding heat.conf options: their scopes, their checks, and the files that they change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.heat.heat_conf import merge
from components.heat.overrides import Layers
from components.rendering import render
from components.text import shortened
from infra.settings import options as rules
from infra.settings.control import ControlSettings
from infra.settings.fields import camel
from infra.settings.heat import UWSGI
from infra.settings.load import load
from infra.settings.model import Settings
from infra.settings.secret import KEY_PLAIN, KEY_SECRET
from tests.unit.program import MARK, Run, Secret, cached
from tests.unit.refused import Refusal, assert_refused
from tests.unit.sample import parsed, processes
from tests.unit.test_graph import plain
from tests.unit.test_settings import STACK, declared, problems


def for_all(section: str, option: str, value: object) -> dict[str, Any]:
    return {"options": {"all": {section: {option: value}}}}


REMOVE = "pulumi config rm --path {} --stack dev"
SAME = "all processes must have the same value"
# Each rule's refusal.
REFUSALS: list[Refusal] = [
    (
        {"options": "x"},
        "options = x",
        "must be an object",
        "pulumi config rm options --stack dev",
    ),
    (
        {"options": {"all": {"DEFAULT": "x"}}},
        "options.all.DEFAULT = x",
        "must be an object",
        REMOVE.format("options.all.DEFAULT"),
    ),
    (
        for_all("DEFAULT", "debug", {"a": 1}),
        'options.all.DEFAULT.debug = {"a": 1}',
        "must be one value",
        REMOVE.format("options.all.DEFAULT.debug"),
    ),
    (
        {"options": {"DEFAULT": {"debug": True}}},
        "options.DEFAULT",
        "did you mean options.all.DEFAULT",
        REMOVE.format("options.DEFAULT"),
    ),
    (
        {"options": {"nodes": {"node-3": {}}}},
        "options.nodes.node-3",
        "did you mean options.nodes.node-2",
        REMOVE.format("options.nodes.node-3"),
    ),
    (
        {"options": {"kinds": {"heat-engin": {}}}},
        "options.kinds.heat-engin",
        "did you mean options.kinds.heat-engine",
        REMOVE.format("options.kinds.heat-engin"),
    ),
    (
        {"secretOptions": {"processes": {"node-1-heat-engine-2": {}}}},
        "secretOptions.processes.node-1-heat-engine-2",
        "did you mean secretOptions.processes.node-1-heat-engine-1",
        REMOVE.format("secretOptions.processes.node-1-heat-engine-2"),
    ),
    (
        for_all("DEFAULT", "rpc_response_timeout", 90),
        "options.all.DEFAULT.rpc_response_timeout = 90",
        "this program sets it, from timeouts.rpcResponse",
        REMOVE.format("options.all.DEFAULT.rpc_response_timeout")
        + "; pulumi config set --path timeouts.rpcResponse 90 --stack dev",
    ),
    (
        for_all("DEFAULT", "host", "a"),
        "options.all.DEFAULT.host = a",
        "this program sets it itself",
        REMOVE.format("options.all.DEFAULT.host"),
    ),
    (
        for_all("paste_deploy", "api_paste_config", "/a"),
        "options.all.paste_deploy.api_paste_config = /a",
        "this program sets it itself",
        REMOVE.format("options.all.paste_deploy.api_paste_config"),
    ),
    (
        for_all("DEFAULT", "transport_url", "rabbit://a:b@c"),
        "options.all.DEFAULT.transport_url = [not a secret]",
        "this program sets it, from controlPlane (transportUrl of an existing one)",
        REMOVE.format("options.all.DEFAULT.transport_url"),
    ),
    (
        for_all("keystone_authtoken", "user_id", "a"),
        "options.all.keystone_authtoken.user_id = a",
        "this program sets it, from controlPlane",
        REMOVE.format("options.all.keystone_authtoken.user_id"),
    ),
    (
        for_all("DEFAULT", "max_stacks", 9),
        "options.all.DEFAULT.max_stacks = 9",
        "Heat 27.0.1 does not know it (did you mean max_stacks_per_tenant?)",
        REMOVE.format("options.all.DEFAULT.max_stacks")
        + "; or, for a plug-in's: pulumi config set --path 'allowOptions[0]' DEFAULT.max_stacks --stack dev",
    ),
    (
        for_all("DEFAULT", "max_overflow", 9),
        "options.all.DEFAULT.max_overflow = 9",
        "Heat 27.0.1 does not know it (it belongs to [database])",
        REMOVE.format("options.all.DEFAULT.max_overflow")
        + "; or, for a plug-in's: pulumi config set --path 'allowOptions[0]' DEFAULT.max_overflow --stack dev",
    ),
    (
        for_all("my.plugin", "colour", "red") | {"allowOptions": ["my.plugin.shade"]},
        'options.all["my.plugin"].colour = red',
        "Heat 27.0.1 does not know it",
        REMOVE.format("'options.all[\"my.plugin\"].colour'")
        + "; or, for a plug-in's: pulumi config set --path 'allowOptions[1]' my.plugin.colour --stack dev",
    ),
    (
        for_all("DEFAULT", "backdoor_port", 9),
        "options.all.DEFAULT.backdoor_port = 9",
        "Heat 27.0.1 does not know it, only 24 did",
        REMOVE.format("options.all.DEFAULT.backdoor_port"),
    ),
    (
        for_all("DEFAULT", "rpc_thread_pool_size", 9),
        "options.all.DEFAULT.rpc_thread_pool_size = 9",
        "it is [DEFAULT] executor_thread_pool_size now",
        REMOVE.format("options.all.DEFAULT.rpc_thread_pool_size")
        + "; pulumi config set --path options.all.DEFAULT.executor_thread_pool_size 9 --stack dev",
    ),
    (
        for_all("DEFAULT", "sql_connection", "mysql://a"),
        "options.all.DEFAULT.sql_connection = mysql://a",
        "it is [database] connection now, and this program sets it",
        REMOVE.format("options.all.DEFAULT.sql_connection"),
    ),
    (
        {"options": {"kinds": {"heat-api": {"oslo_messaging_rabbit": {"heartbeat_rate": 3}}}}},
        "options.kinds.heat-api.oslo_messaging_rabbit.heartbeat_rate = 3",
        SAME,
        REMOVE.format("options.kinds.heat-api.oslo_messaging_rabbit.heartbeat_rate")
        + "; pulumi config set --path options.all.oslo_messaging_rabbit.heartbeat_rate 3 --stack dev",
    ),
    (
        {"options": {"nodes": {"node-1": {"DEFAULT": {"control_exchange": "a"}}}}},
        "options.nodes.node-1.DEFAULT.control_exchange = a",
        SAME,
        REMOVE.format("options.nodes.node-1.DEFAULT.control_exchange")
        + "; pulumi config set --path options.all.DEFAULT.control_exchange a --stack dev",
    ),
    (
        for_all("profiler", "hmac_keys", "a"),
        "options.all.profiler.hmac_keys = [not a secret]",
        "this is a secret",
        REMOVE.format("options.all.profiler.hmac_keys")
        + "; pulumi config set --secret --path secretOptions.all.profiler.hmac_keys --stack dev",
    ),
    (
        for_all("profiler", "connection_string", "redis://a:b@c"),
        "options.all.profiler.connection_string = [not a secret]",
        "this is a secret",
        REMOVE.format("options.all.profiler.connection_string")
        + "; pulumi config set --secret --path secretOptions.all.profiler.connection_string --stack dev",
    ),
    (
        for_all("cache", "redis_username", "redis://a:b@c"),
        "options.all.cache.redis_username = [not a secret]",
        "it is [cache] username now",
        REMOVE.format("options.all.cache.redis_username")
        + "; pulumi config set --secret --path secretOptions.all.cache.username --stack dev",
    ),
    (
        {"secretOptions": {"all": {"profiler": {"hmac_keys": KEY_PLAIN}}}},
        "secretOptions.all.profiler.hmac_keys = [not a secret]",
        "must be a secret",
        "pulumi config set --secret --path secretOptions.all.profiler.hmac_keys --stack dev",
    ),
    (
        {"secretOptions": {"all": {"database": {"connection": KEY_SECRET}}}},
        "secretOptions.all.database.connection = [secret]",
        "this program sets it, from controlPlane (databaseUrl of an existing one)",
        REMOVE.format("secretOptions.all.database.connection"),
    ),
    (
        for_all("DEFAULT", "debug", KEY_SECRET),
        "options = [secret]",
        "they belong in secretOptions",
        REMOVE.format("'options.<its path>'")
        + "; pulumi config set --secret --path 'secretOptions.<its path>' --stack dev",
    ),
    (
        for_all("DEFAULT", "debug", "true")
        | {"secretOptions": {"nodes": {"node-1": {"DEFAULT": {"debug": KEY_SECRET}}}}},
        "options.all.DEFAULT.debug = true",
        "secretOptions has it too",
        REMOVE.format("options.all.DEFAULT.debug"),
    ),
    (
        for_all("DEFAULT", "debug", ["true", "false"]),
        'options.all.DEFAULT.debug = ["true", "false"]',
        "must be one value",
        REMOVE.format("options.all.DEFAULT.debug")
        + "; pulumi config set --path options.all.DEFAULT.debug <its value> --stack dev",
    ),
    (
        for_all("my_plugin", "colour", "red\nblue") | {"allowOptions": ["my_plugin.colour"]},
        "options.all.my_plugin.colour = red\\nblue",
        "must be one line of printable text",
        REMOVE.format("options.all.my_plugin.colour"),
    ),
    (
        {"allowOptions": ["colour"]},
        "allowOptions[0] = colour",
        "must be an option with its section",
        "pulumi config set --path 'allowOptions[0]' my_plugin.colour --stack dev",
    ),
]


LINE = "pulumi config rm --path 'haproxy.{}[0]' --stack dev"
KEYWORD = "must be one line of haproxy.cfg that begins with its keyword"
MAGIC = "must not use %, $( or @("
OVER = "must be longer than timeouts.rpcResponse (60 s)"
RULES = "must hold rules"
REFUSALS += [
    *(
        (
            {"haproxy": {key: [line]}},
            f"haproxy.{key}[0] = {shortened(line) or '(none)'}",
            rule,
            LINE.format(key),
        )
        for key, line, rule in (
            ("apiExtra", "", "must be one line"),
            ("cfnExtra", "option a\noption b", "must be one line of printable text, and has U+000A"),
            ("apiExtra", " listen  other", "must not begin a section of its own"),
            ("apiExtra", "no listen other", "must not begin a section of its own"),
            ("extraGlobal", "traces", "must not begin a section of its own"),
            *(
                ("apiExtra", line, KEYWORD)
                for line in (
                    '"listen" other',
                    "'listen' other",
                    '""listen other',
                    r"li\sten other",
                    "listen# other",
                    "# x",
                    ".if 1",
                    '"$SECTION" other',
                    "$SECTION other",
                    "no",
                    "\N{NO-BREAK SPACE}listen other",
                    "LISTEN other",
                )
            ),
            ("apiExtra", 'http-request deny hdr x "', "must close its quotes"),
            ("apiExtra", "http-request deny hdr x \\", "must close its quotes"),
            ("extraGlobal", "defaults", "must not begin a section of its own"),
            ("extraGlobal", "maxconn 10", "haproxy.globalMaxconn sets this"),
            ("extraGlobal", "tune.bufsize 32768", "haproxy.maxBody sets this"),
            ("extraDefaults", "maxconn 10", "haproxy.maxconn sets this"),
            ("extraDefaults", "retries 1", "haproxy.retries sets this"),
            ("extraDefaults", "balance source", "haproxy.balance sets this"),
            ("extraDefaults", "timeout  client 1m", "haproxy.timeoutClient sets this"),
            ("extraDefaults", "timeout http-request 1m", "haproxy.timeoutHttpRequest sets this"),
            ("extraDefaults", "timeout server 1m", "timeouts.proxyServer sets this"),
            ("apiExtra", "timeout server 1m", "timeouts.proxyServer sets this"),
            ("cfnExtra", "timeout server 1m", "timeouts.proxyServer sets this"),
        )
    ),
    (
        {"haproxy": {"apiExtra": "option a"}},
        "haproxy.apiExtra = option a",
        "must be a list",
        "pulumi config rm --path haproxy.apiExtra --stack dev",
    ),
    *(
        (
            {"uwsgiExtra": [line]},
            f"uwsgiExtra[0] = {shortened(line)}",
            rule,
            "pulumi config rm --path 'uwsgiExtra[0]' --stack dev",
        )
        for line, rule in (
            ("max-requests", "must be one line of uWSGI's configuration"),
            ("[uwsgi]", "must be one line of uWSGI's configuration"),
            ("threads = 4", "apiThreads sets this"),
            ("logformat = x", "this program sets it itself"),
            *((f"procname = {value}", MAGIC) for value in ("%p", "%(module)", "$(PORT)", "@(/etc/passwd)", "a%%b")),
            ("harakiri = ٩٩", OVER),
            ("harakiri = " + "9" * 5000, "must have at most 1000 characters, and has 5011"),
            ("socket-timeout=4", "timeouts.uwsgi sets this"),
            ("master = false", "this program sets it itself"),
            ("harakiri = 60", OVER),
        )
    ),
    (
        {"uwsgiExtra": ["max-requests = 9"], "heatVersion": "24.1.2", "apiRunner": "console"},
        "uwsgiExtra[0] = max-requests = 9",
        "apiRunner = console",
        "pulumi config rm --path 'uwsgiExtra[0]' --stack dev",
    ),
    (
        {"policy": "no/such/file"},
        "policy = no/such/file",
        "no such file",
        "pulumi config set policy <a file of rules> --stack dev",
    ),
]


@pytest.mark.parametrize(("raw", "key", "rule", "remedy"), REFUSALS, ids=[json.dumps(case[0]) for case in REFUSALS])
def test_an_unknown_option_is_refused_with_a_remedy(raw: dict[str, Any], key: str, rule: str, remedy: str) -> None:
    found = problems(raw)
    assert_refused(found, key, rule, remedy)
    assert "a:b@c" not in found[0], "a login"


@pytest.mark.parametrize("name", sorted({*rules._SETTINGS, *rules._FOLLOWING, *rules._OURS}), ids=".".join)
def test_options_that_this_program_sets_cannot_be_overridden(name: tuple[str, str]) -> None:
    (problem,) = problems(for_all(*name, "a"))
    assert "this program sets it" in problem
    for scope in ({"nodes": {"node-1": {name[0]: {name[1]: "a"}}}}, {"kinds": {"heat-api": {name[0]: {name[1]: "a"}}}}):
        assert "this program sets it" in problems({"options": scope})[0]


def test_every_setting_that_is_named_instead_exists() -> None:
    assert {"controlPlane", "policy", *(name.partition(".")[0] for name in rules._CONTROL.values())} <= set(declared())
    parts = [name for name in rules._CONTROL.values() if name.startswith("control.")]
    assert {f"control.{camel(name)}" for name in ControlSettings.model_fields} >= set(parts)
    for name, setting in rules._SETTINGS.items():
        value = {"region": "West", "apiPort": "8104", "cfnPort": "8100"}.get(setting, "7")
        (problem,) = problems(for_all(*name, value))
        assert problem.endswith(f"{setting} {value} --stack dev")
        head, _, tail = setting.partition(".")
        load(STACK, {head: {tail: value} if tail else value})


def test_all_problems_of_options_are_reported_at_once() -> None:
    said = {"all": {"DEFAULT": {"host": "a", "debgu": "b"}}, "nodes": {"node-9": {"DEFAULT": {"max_stack": 1}}}}
    found = problems({"engines": 0, "options": said, "secretOptions": {"kinds": {"heat": {}}}})
    assert [problem.partition(" = ")[0].partition(": ")[0] for problem in found] == [
        "engines",
        "options.nodes.node-9",
        "secretOptions.kinds.heat",
        "options.all.DEFAULT.host",
        "options.all.DEFAULT.debgu",
        "options.nodes.node-9.DEFAULT.max_stack",
    ]


def test_no_message_has_the_value_of_a_secret() -> None:
    for option, value in (
        ("auth_encryption_key", MARK),
        ("log_file", f"http://a:{MARK}@b"),
        ("debgu", f"a://a:{MARK}@b"),
    ):
        for said in ("all", "nodes", "kinds"):
            sections = {"DEFAULT": {option: value}}
            whom = {"all": sections, "nodes": {"node-1": sections}, "kinds": {"heat-api": sections}}
            assert MARK not in "".join(problems({"options": {said: whom[said]}}))


def test_an_option_of_a_plug_in_is_kept_as_it_is() -> None:
    settings = load(STACK, for_all("my_plugin", "colour", ["red", "blue"]) | {"allowOptions": ["my_plugin.colour"]})
    assert settings.options.layers.all == {"my_plugin": {"colour": "red\nblue"}}


def test_values_are_written_as_heat_reads_them() -> None:
    said = {
        "DEFAULT": {"debug": True, "max_stacks_per_tenant": 1024, "hidden_stack_tags": ["a", "b"]},
        "oslo_messaging_notifications": {"driver": ["messagingv2", "log"]},
    }
    text = render(
        "heat/options.conf.j2", purpose="", options=load(STACK, {"options": {"all": said}}).options.layers.all
    )
    for line in (
        "debug = true",
        "max_stacks_per_tenant = 1024",
        "hidden_stack_tags = a,b",
        "driver = messagingv2",
        "driver = log",
    ):
        assert f"\n{line}\n" in text


# Layers.

OPTIONS = st.dictionaries(
    st.sampled_from(["DEFAULT", "cache"]), st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), max_size=3)
)


@given(
    OPTIONS,
    st.dictionaries(st.sampled_from(["node-1", "node-2"]), OPTIONS),
    st.dictionaries(st.sampled_from(["heat-engine", "heat-api", "heat-api-cfn"]), OPTIONS),
    st.dictionaries(st.sampled_from([process.name for process in processes()]), OPTIONS),
)
def test_of_an_option_in_several_layers_the_last_counts_when_the_files_are_read_in_their_order(
    everywhere: Any, nodes: Any, kinds: Any, single: Any
) -> None:
    layers = Layers(all=everywhere, nodes=nodes, kinds=kinds, processes=single)
    for process in processes():
        said = [
            everywhere,
            nodes.get(process.node, {}),
            kinds.get(process.kind.value, {}),
            single.get(process.name, {}),
        ]
        expected: dict[tuple[str, str], str] = {}
        for layer in said:
            expected |= {(section, option): layer[section][option] for section in layer for option in layer[section]}
        read = merge(layers.on_node(process.node), layers.of_process(process))
        assert {(section, option): value for section in read for option, value in read[section].items()} == expected


# On the hosts.


def changed_by(**config: object) -> set[str]:
    usual, other = cached(), cached(**config)
    assert usual.by_name.keys() == other.by_name.keys()
    return {name for name, resource in other.by_name.items() if resource.inputs != usual.by_name[name].inputs}


def restarted(changed: set[str]) -> set[str]:
    return changed & {process.name for process in processes()}


ENGINES = {"node-1-heat-engine-1", "node-2-heat-engine-1"}
APIS = {"node-1-heat-api-8004", "node-2-heat-api-8004"}
CFN_APIS = {"node-1-heat-api-cfn-8000", "node-2-heat-api-cfn-8000"}
DEBUG = {"DEFAULT": {"debug": "true"}}
HMAC = {"profiler": {"hmac_keys": MARK}}

# Options, the files that they change, and the processes that read them.
EFFECTS: list[tuple[dict[str, Any], set[str], set[str]]] = [
    ({"options": {"all": DEBUG}}, {"node-1-heat-conf", "node-2-heat-conf"}, ENGINES | APIS | CFN_APIS),
    (
        {"options": {"nodes": {"node-2": DEBUG}}},
        {"node-2-heat-conf"},
        {"node-2-heat-engine-1", "node-2-heat-api-8004", "node-2-heat-api-cfn-8000"},
    ),
    ({"options": {"kinds": {"heat-engine": DEBUG}}}, {f"{name}-conf" for name in ENGINES}, ENGINES),
    ({"options": {"kinds": {"heat-api": DEBUG}}}, {f"{name}-conf" for name in APIS}, APIS),
    ({"options": {"kinds": {"heat-api-cfn": DEBUG}}}, {f"{name}-conf" for name in CFN_APIS}, CFN_APIS),
    (
        {"options": {"processes": {"node-1-heat-api-8004": DEBUG}}},
        {"node-1-heat-api-8004-conf"},
        {"node-1-heat-api-8004"},
    ),
    ({"secretOptions": {"all": HMAC}}, {"node-1-secrets-conf", "node-2-secrets-conf"}, ENGINES | APIS | CFN_APIS),
    (
        {"secretOptions": {"nodes": {"node-1": HMAC}}},
        {"node-1-secrets-conf"},
        {"node-1-heat-engine-1", "node-1-heat-api-8004", "node-1-heat-api-cfn-8000"},
    ),
    ({"secretOptions": {"kinds": {"heat-engine": HMAC}}}, {f"{name}-conf" for name in ENGINES}, ENGINES),
]


@pytest.mark.parametrize(("config", "files", "read_by"), EFFECTS, ids=[json.dumps(config) for config, *_ in EFFECTS])
def test_an_option_changes_its_file_and_restarts_the_processes_that_read_it(
    config: dict[str, Any], files: set[str], read_by: set[str]
) -> None:
    changed = changed_by(**config)
    assert {name for name in changed if name.endswith("-conf")} == files
    assert restarted(changed) == read_by
    assert not {name for name in changed if name.startswith("front-haproxy") or name.endswith(("-unit", "-uwsgi"))}


def test_an_option_is_in_the_file_that_it_is_for() -> None:
    result = cached(
        options={
            "all": {"DEFAULT": {"max_stacks_per_tenant": 7, "debug": "true"}},
            "nodes": {"node-2": {"DEFAULT": {"debug": "false"}}},
        },
    )
    conf = {node: parsed(result.by_name[f"{node}-heat-conf"].text())["DEFAULT"] for node in ("node-1", "node-2")}
    assert [conf[node]["max_stacks_per_tenant"] for node in conf] == ["7", "7"]
    assert [conf[node]["debug"] for node in conf] == ["true", "false"]
    result = cached(options={"kinds": {"heat-engine": DEBUG}})
    assert parsed(result.by_name["node-1-heat-engine-1-conf"].text()) == {
        "DEFAULT": {"host": "node-1-heat-engine-1", "debug": "true"}
    }
    assert parsed(result.by_name["node-1-heat-api-8004-conf"].text())["DEFAULT"] == {"host": "node-1-heat-api-8004"}


@pytest.mark.parametrize("config", [config for config, *_ in EFFECTS if "secretOptions" in config], ids=json.dumps)
def test_a_secret_option_is_in_files_for_heat_alone_and_nowhere_in_plain_text(config: dict[str, Any]) -> None:
    result: Run = cached(**config)
    marked = f"hmac_keys = {MARK}\n"
    files = [resource for resource in result.remote if "stdin" in resource.inputs and marked in resource.text()]
    assert files
    for resource in files:
        assert isinstance(resource.inputs["stdin"], Secret)
        assert " 0640 root:heat /opt/heat/27.0.1/check-options" in resource.text("create")
    for resource in result.registered:
        assert not any(MARK in text for text in plain(dict(resource.inputs))), resource.name


def test_a_process_without_a_secret_of_its_own_shows_its_file_in_a_preview() -> None:
    result = cached(secretOptions={"kinds": {"heat-engine": HMAC}})
    assert not isinstance(result.by_name["node-1-heat-api-8004-conf"].inputs["stdin"], Secret)
    assert " 0644 root:root " in result.by_name["node-1-heat-api-8004-conf"].text("create")


def test_settings_hold_no_secret_option() -> None:
    said = {"secretOptions": {"all": {"profiler": {"hmac_keys": KEY_SECRET}}}}
    assert load(STACK, said).secret_options.layers.all == {"profiler": {"hmac_keys": KEY_SECRET}}
    assert load(STACK, {}) == Settings()


# HAProxy's lines.


def test_lines_of_ones_own_stand_where_they_belong_and_restart_nothing_of_heat() -> None:
    lines = {
        "extraGlobal": ["spread-checks 5"],
        "extraDefaults": ["option http-no-delay", "timeout http-keep-alive 5s"],
        "apiExtra": ["http-request deny if { path_beg /x }", "tcp-request connection reject if { src 192.0.2.1 }"],
        "cfnExtra": ["balance leastconn", "timeout queue 5m"],
    }
    conf = cached(haproxy=lines).by_name["front-haproxy-cfg"].text()
    begun = {section.partition("\n")[0]: section.splitlines() for section in conf.split("\n\n")}
    for key, section in {
        "extraGlobal": next(name for name in begun if name.startswith("# HAProxy")),
        "extraDefaults": "defaults",
        "apiExtra": "listen rest_api_proxy",
        "cfnExtra": "listen cfn_api_proxy",
    }.items():
        for line in lines[key]:
            assert f"    {line}" in begun[section]
            assert conf.count(line) == 1
    words = [line.split()[0] for line in begun["listen rest_api_proxy"]]
    assert words.index("tcp-request") < words.index("http-request") < words.index("use-server")
    assert not restarted(changed_by(haproxy=lines))


# uWSGI's.


def test_lines_for_uwsgi_come_last_and_restart_the_apis_alone() -> None:
    lines = ["max-requests = 1000", "harakiri = 61"]
    assert cached(uwsgiExtra=lines).by_name["node-1-heat-api-uwsgi"].text().splitlines()[-2:] == lines
    assert restarted(changed_by(uwsgiExtra=lines)) == APIS | CFN_APIS


def test_every_key_of_uwsgi_that_this_program_sets_is_reserved() -> None:
    text = cached().by_name["node-1-heat-api-cfn-uwsgi"].text()
    said = set(re.findall(r"(?m)^([a-z-]+) = ", text))
    # A header and a route may be added by anybody; processes and what is loaded have two names. An address that a
    # client gives itself is none to be logged.
    own = {key for key in said if key != "add-header" and not key.startswith("route-")}
    assert own == set(UWSGI) - {"workers", "module", "log-x-forwarded-for"}


# Policy.


def policy(tmp_path: Path, text: str) -> str:
    (tmp_path / "policy.yaml").write_text(text)
    return str(tmp_path / "policy.yaml")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", RULES),
        ("[]", RULES),
        ("{}", RULES),
        ("only words", RULES),
        ('"stacks:delete": ["role:admin"]', f"stacks:delete is no rule; it {RULES}"),
        ("8: role:admin", f"8 is no rule; it {RULES}"),
        ('a: "b"\n: :\n- "', "must be YAML, see its line 2"),
        ("a: &x b\nc: *x", f"b is no rule; it {RULES}"),
        ("a: b\nc: *x", f"c is no rule; it {RULES}"),
        ("a: b\n---\nc: d", f"b is no rule; it {RULES}"),
        ("<<: b", f"<< is no rule; it {RULES}"),
        ("a: true", f"true is no rule; it {RULES}"),
        ("a: !!python/object/apply:os.getcwd b", f"b is no rule; it {RULES}"),
        ("[" * 5000, RULES),
        ('"stacks:delete": "a\\nb"', "stacks:delete has a character that no rule can have: U+000A"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    path = policy(tmp_path, text)
    remedy = "pulumi config set policy <a file of rules> --stack dev"
    assert_refused(problems({"policy": path}), f"policy = {shortened(path)}", rule, remedy)


def test_the_operators_rules_come_before_those_of_this_program(tmp_path: Path) -> None:
    before = yaml.safe_load(cached().by_name["node-1-policy"].text())
    rules = {"stacks:delete": 'role:admin or (role:member and "x":%(y)s)', "cloudformation:ListStacks": "!"}
    config = {"policy": policy(tmp_path, yaml.safe_dump(rules))}
    text = cached(**config).by_name["node-2-policy"].text()
    assert yaml.safe_load(text) == before | rules
    assert text.count("cloudformation:ListStacks") == 1
    assert restarted(changed_by(**config)) == ENGINES | APIS | CFN_APIS
    assert changed_by(**config) >= {"node-1-policy", "node-2-policy"}


def test_heat_itself_looks_at_the_policy_before_it_is_put_in_place() -> None:
    result = cached()
    put = result.by_name["node-2-policy"].text("create")
    assert " /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/check_policy.py || " in put
    assert {"node-2-check-policy", "node-2-install"} <= result.before("node-2-policy")


def test_the_options_for_tokens_in_the_cache_can_be_overridden() -> None:
    result = cached(
        options={"all": {"keystone_authtoken": {"memcache_security_strategy": "MAC"}}},
        secretOptions={"all": {"keystone_authtoken": {"memcache_secret_key": f"{MARK}.of-ones-own"}}},
    )
    for node in ("node-1", "node-2"):
        public, hidden = (parsed(result.by_name[f"{node}-{name}-conf"].text()) for name in ("heat", "secrets"))
        assert public["keystone_authtoken"]["memcache_security_strategy"] == "MAC"
        assert hidden["keystone_authtoken"]["memcache_secret_key"] == f"{MARK}.of-ones-own"
