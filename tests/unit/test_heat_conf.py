from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.heat.heat_conf import (
    Deployment,
    broker,
    known_to,
    merge,
    options,
    process_conf,
    process_options,
    secret_options,
    service_options,
)
from components.heat.install import Installation, locked_releases
from components.heat.options import catalogue
from components.rendering import TEMPLATES, render
from components.timeouts import Timeouts, complete_chain
from tests.unit.sample import CONF, DEPLOYMENT, SECRETS, SERVICES, parsed, processes

SECRET_CONF = secret_options(SECRETS)

# What heat.conf must contain, and why.
REQUIRED = [
    ("DEFAULT", "heat_metadata_server_url", "http://10.0.0.1:8000", "signed into URLs: the proxy's, as clients see it"),
    ("DEFAULT", "heat_waitcondition_server_url", "http://10.0.0.1:8000/v1/waitcondition", "likewise"),
    ("DEFAULT", "stack_user_domain_name", "heat", "a domain by name; stack_user_domain is gone in 27"),
    ("DEFAULT", "stack_domain_admin", "heat_domain_admin", "without it an engine with a domain refuses to start"),
    ("DEFAULT", "heat_stack_user_role", "heat_stack_user", "the role must exist: the control plane makes it"),
    ("DEFAULT", "num_engine_workers", "2", "unset means at least four of each engine, and 0 is refused"),
    ("DEFAULT", "region_name_for_services", "RegionOne", "the catalogue's"),
    ("DEFAULT", "environment_dir", "/opt/heat/27.0.1/etc/heat/environment.d", "not in /etc: installed from PyPI"),
    ("DEFAULT", "template_dir", "/opt/heat/27.0.1/etc/heat/templates", "likewise"),
    ("paste_deploy", "api_paste_config", "/opt/heat/27.0.1/etc/heat/api-paste.ini", "of the same release"),
    ("oslo_middleware", "enable_proxy_headers_parsing", "true", "a proxy is in front"),
    ("oslo_messaging_rabbit", "rabbit_qos_prefetch_count", "64", "without a limit one worker hoards messages"),
    (
        "oslo_messaging_rabbit",
        "heartbeat_timeout_threshold",
        "15",
        "a worker that is cut off swallows requests till then",
    ),
    ("keystone_authtoken", "auth_type", "password", "the old names (admin_user …) are unknown"),
    ("keystone_authtoken", "auth_url", "http://10.0.0.1:5000/v3", ""),
    ("keystone_authtoken", "www_authenticate_uri", "http://10.0.0.1:5000/v3", "once called auth_uri"),
    ("keystone_authtoken", "username", "heat", ""),
    ("keystone_authtoken", "user_domain_name", "Default", ""),
    ("keystone_authtoken", "project_name", "service", ""),
    ("keystone_authtoken", "project_domain_name", "Default", ""),
    ("keystone_authtoken", "memcached_servers", "10.0.0.1:11211", "without it each request costs a call of Keystone"),
    ("keystone_authtoken", "memcache_pool_dead_retry", "10", "the default forgets a cache that was away for 5 minutes"),
    (
        "keystone_authtoken",
        "memcache_security_strategy",
        "ENCRYPT",
        "tokens in memcached can be read and forged otherwise",
    ),
    ("trustee", "auth_type", "password", "no other type is possible"),
    ("trustee", "auth_url", "http://10.0.0.1:5000/v3", ""),
    ("trustee", "username", "heat", ""),
    ("trustee", "user_domain_name", "Default", ""),
    ("clients_keystone", "auth_uri", "http://10.0.0.1:5000", "without a version"),
    ("ec2authtoken", "auth_type", "password", "Keystone checks EC2 signatures for services only"),
    ("ec2authtoken", "project_name", "service", "likewise"),
    ("ec2authtoken", "endpoint_override", "http://10.0.0.1:5000", "Heat adds /v3/ec2tokens"),
    ("ec2authtoken", "connect_retries", "5", "without an answer of Keystone's the CFN API has none either"),
    ("ec2authtoken", "status_code_retries", "5", "likewise, where Keystone says 503"),
    ("cache", "enabled", "true", ""),
    ("cache", "backend", "oslo_cache.memcache_pool", "a connection to a memcached that was restarted is no failure"),
    ("cache", "memcache_dead_retry", "10", "by default everything goes uncached for five minutes"),
    ("cache", "memcache_servers", "10.0.0.1:11211", ""),
]

# Options that releases before 24 knew. Heat silently ignores unknown options.
GONE = {
    "sql_connection", "rabbit_host", "rabbit_port", "rabbit_hosts", "rabbit_userid", "rabbit_password",
    "rabbit_virtual_host", "rabbit_use_ssl", "rabbit_max_retries", "rabbit_durable_queues", "rpc_backend",
    "rpc_thread_pool_size", "heartbeat_in_pthread", "stack_user_domain", "identity_uri", "admin_user",
    "admin_password", "admin_tenant_name", "bind_host", "bind_port", "workers",
}  # fmt: skip


@pytest.mark.parametrize(("section", "option", "value", "reason"), REQUIRED)
def test_heat_conf_has_what_heat_needs(section: str, option: str, value: str, reason: str) -> None:
    assert CONF[section].get(option) == value, reason


def test_every_option_of_heat_conf_has_a_reason_or_a_setting() -> None:
    """A new option needs its reason, in the table above or here."""
    set_by_settings = {"rpc_response_timeout", "graceful_shutdown_timeout", "executor_thread_pool_size", "policy_file"}
    named = {(section, option) for section, option, *_ in REQUIRED}
    repeated = {("ec2authtoken", name) for name in CONF["trustee"]} | {("ec2authtoken", "project_domain_name")}
    for section, values in CONF.items():
        for option in values:
            assert (section, option) in named | repeated or option in set_by_settings, f"[{section}] {option}"


def test_no_option_is_unknown_to_heat() -> None:
    for conf in (CONF, SECRET_CONF, process_options(processes()[0])):
        for section, values in conf.items():
            assert section not in ("heat_api", "heat_api_cfn", "eventlet_opts"), "unknown since the APIs are WSGI only"
            assert not GONE & set(values)
    assert "auth_uri" not in CONF["ec2authtoken"]
    assert "auth_uri" not in CONF["keystone_authtoken"]


def test_a_worker_fetches_no_more_than_it_has_threads_for() -> None:
    threads = CONF["DEFAULT"]["executor_thread_pool_size"]
    assert CONF["oslo_messaging_rabbit"]["rabbit_qos_prefetch_count"] == threads


def test_a_worker_that_is_cut_off_is_missed_before_an_api_gives_up_on_it() -> None:
    """RabbitMQ looks once in that time, and waits for three looks at most."""
    beat = int(CONF["oslo_messaging_rabbit"]["heartbeat_timeout_threshold"])
    assert 3 * beat < int(CONF["DEFAULT"]["rpc_response_timeout"])


@given(st.integers(1, 100), st.integers(1, 100))
def test_settings_reach_heat_conf(workers: int, rpc: int) -> None:
    timeouts = dataclasses.replace(DEPLOYMENT.timeouts, rpc_response=rpc)
    changed = dataclasses.replace(DEPLOYMENT, engine_workers=workers, timeouts=timeouts, region="West")
    default = options(changed)["DEFAULT"]
    assert default["num_engine_workers"] == str(workers)
    assert default["rpc_response_timeout"] == str(rpc)
    assert default["region_name_for_services"] == "West"


def test_the_secrets_and_only_they_are_in_the_file_of_secrets() -> None:
    assert SECRET_CONF["database"]["connection"] == (
        "mysql+pymysql://heat:database-secret@10.0.0.1/heat?charset=utf8mb4"
    )
    assert SECRET_CONF["DEFAULT"]["transport_url"] == "rabbit://heat:broker-secret@10.0.0.1:5672/heat"
    assert SECRET_CONF["DEFAULT"]["auth_encryption_key"] == SECRETS.auth_encryption_key
    assert SECRET_CONF["DEFAULT"]["stack_domain_admin_password"] == "domain-admin-secret"  # noqa: S105
    for section in ("trustee", "ec2authtoken"):
        assert SECRET_CONF[section] == {"password": "service-secret"}
    assert SECRET_CONF["keystone_authtoken"] == {
        "password": "service-secret",
        "memcache_secret_key": "token-cache-secret",
    }


def test_every_secret_is_in_the_file_of_secrets_and_none_in_heat_conf() -> None:
    secret = render("heat/options.conf.j2", purpose="", options=SECRET_CONF)
    plain = render("heat/options.conf.j2", purpose="", options=CONF)
    for field in dataclasses.fields(SECRETS):
        assert getattr(SECRETS, field.name) in secret, field.name
    for word in ("database-secret", "broker-secret", "service-secret", "domain-admin-secret", "0123456789abcdef"):
        assert word in secret
        assert word not in plain
    names = {option for values in CONF.values() for option in values}
    assert not any("password" in name or name in ("connection", "transport_url") for name in names)


def test_no_option_is_in_both_files() -> None:
    for section, values in SECRET_CONF.items():
        assert not set(values) & set(CONF.get(section, {}))


def test_each_process_has_a_file_and_a_host_of_its_own_there_and_nothing_else() -> None:
    planned = processes(engines=4, apis=4, cfn_apis=4)
    hosts = [process_options(process) for process in planned]
    assert all(list(conf["DEFAULT"]) == ["host"] for conf in hosts)
    assert {section for conf in hosts for section in conf} == {"DEFAULT", "healthcheck"}
    assert len({conf["DEFAULT"]["host"] for conf in hosts}) == len(planned)
    on_one_node = [process for process in planned if process.node == "node-1"]
    assert len({process_conf(process) for process in on_one_node}) == len(on_one_node)


def test_an_api_has_a_drain_file_and_an_engine_has_none() -> None:
    """In a directory of root's, because root writes it."""
    for process in processes():
        healthcheck = process_options(process).get("healthcheck")
        if process.port is None:
            assert healthcheck is None
        else:
            path = f"/run/heat-scaleout/{process.unit}/down"
            assert healthcheck == {"backends": "disable_by_file", "disable_by_file_path": path}


def test_a_process_reads_the_file_that_its_unit_names() -> None:
    for process in processes():
        assert process_conf(process) == f"/etc/heat/processes/{process.kind.value}@{process.instance}.conf"


@pytest.mark.parametrize("conf", [CONF, SECRET_CONF], ids=["heat.conf", "secrets.conf"])
def test_a_rendered_file_holds_the_same_options(conf: dict[str, dict[str, str]]) -> None:
    assert parsed(render("heat/options.conf.j2", purpose="", options=conf)) == conf


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
# A line of an INI file: no control characters, no space at its ends.
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), max_size=3))
def test_any_options_are_read_as_they_were_written(conf: dict[str, dict[str, str]]) -> None:
    assert parsed(render("heat/options.conf.j2", purpose="", options=conf)) == conf


def test_a_dollar_is_doubled_as_oslo_config_takes_it_for_a_reference() -> None:
    text = render("heat/options.conf.j2", purpose="", options={"DEFAULT": {"name": "pay $5 or ${more}"}})
    assert "name = pay $$5 or $${more}\n" in text


def test_every_field_of_a_deployment_changes_a_file() -> None:
    """A field that changes no file is not needed.

    Keystone's catalogue has the URL of the ReST API, and an engine's unit how much of a stack it works on at once.
    """
    for field in dataclasses.fields(Deployment):
        if field.name == "checks_per_stack":
            continue
        value = getattr(DEPLOYMENT, field.name)
        if isinstance(value, Timeouts):
            other: Any = complete_chain({"rpc_response": 1, "engine_graceful": 1})[0]
        elif isinstance(value, bool):
            other = not value
        elif isinstance(value, dict):
            other = {kind: f"{url}0" for kind, url in value.items()}
        elif isinstance(value, Installation):
            other = Installation(version="26.0.2")
        else:
            other = value + 1 if isinstance(value, int) else value + "0"
        changed = dataclasses.replace(DEPLOYMENT, **{field.name: other})
        assert options(changed) != options(DEPLOYMENT), field.name


def test_keystone_and_the_broker_are_verified_with_the_operators_certificates() -> None:
    conf = service_options(dataclasses.replace(SERVICES, ca_file="/etc/heat/ca.pem", broker_tls=True))
    for section in ("keystone_authtoken", "ec2authtoken"):
        assert conf[section]["cafile"] == "/etc/heat/ca.pem"
    assert conf["clients"]["ca_file"] == "/etc/heat/ca.pem"
    assert conf["oslo_messaging_rabbit"] == {"ssl": "true", "ssl_ca_file": "/etc/heat/ca.pem"}


@pytest.mark.parametrize("release", locked_releases())
def test_every_option_is_one_that_the_release_knows(release: str) -> None:
    """With every optional part: certificates, TLS to the broker, another Keystone URL for clients."""
    services = dataclasses.replace(
        SERVICES, ca_file="/etc/heat/ca.pem", broker_tls=True, public_keystone_url="http://192.0.2.1:5000"
    )
    known = catalogue()
    ec2_login = known.knows(("ec2authtoken", "auth_type"), known.series(release))
    conf = merge(options(DEPLOYMENT), known_to(service_options(services), ec2_login=ec2_login))
    given = {(section, option) for section, values in conf.items() for option in values}
    # Only [trustee] lists the options of a login.
    logins = {("keystone_authtoken", option): ("trustee", option) for _, option in known.options}
    unknown = {
        name
        for name in given
        if not any(known.knows(one, known.series(release)) for one in (name, logins.get(name, name)))
    }
    assert unknown == set()


def test_clients_may_use_another_keystone_url_than_engines() -> None:
    conf = service_options(dataclasses.replace(SERVICES, public_keystone_url="http://192.0.2.1:5000"))
    values = {(section, name): value for section, options in conf.items() for name, value in options.items()}
    assert {key for key, value in values.items() if "192.0.2.1" in value} == {
        ("keystone_authtoken", "www_authenticate_uri")
    }
    # Which of Keystone's endpoints in the catalogue: the engines' own, and the one for servers in stacks.
    assert conf["clients_keystone"]["endpoint_type"] == "internalURL"
    assert conf["DEFAULT"]["server_keystone_endpoint_type"] == "public"


def test_one_keystone_url_for_engines_and_clients_needs_no_further_option() -> None:
    conf = service_options(SERVICES)
    assert "endpoint_type" not in conf["clients_keystone"]
    assert "server_keystone_endpoint_type" not in conf["DEFAULT"]
    assert conf["keystone_authtoken"]["www_authenticate_uri"] == f"{SERVICES.keystone_url}/v3"


def test_without_a_cache_there_is_no_option_for_it() -> None:
    conf = service_options(dataclasses.replace(SERVICES, memcached=()))
    assert "cache" not in conf
    assert not {option for option in conf["keystone_authtoken"] if option.startswith("memcache")}


@given(st.lists(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=3), max_size=3), max_size=3))
def test_the_last_layer_with_an_option_counts(layers: list[dict[str, dict[str, str]]]) -> None:
    merged = merge(*layers)
    expected: dict[tuple[str, str], str] = {}
    for layer in layers:
        expected |= {(section, name): value for section, values in layer.items() for name, value in values.items()}
    assert {(section, name): value for section, values in merged.items() for name, value in values.items()} == expected


def test_a_release_whose_cfn_api_has_no_login_gets_only_the_url_that_checks_signatures() -> None:
    conf = known_to(service_options(SERVICES), ec2_login=False)
    assert conf["ec2authtoken"] == {"auth_uri": "http://10.0.0.1:5000/v3"}
    assert "ec2authtoken" not in known_to(SECRET_CONF, ec2_login=False)
    for section, values in service_options(SERVICES).items():
        assert section == "ec2authtoken" or conf[section] == values


def test_that_release_verifies_keystone_with_the_operators_certificates_too() -> None:
    conf = known_to(service_options(dataclasses.replace(SERVICES, ca_file="/etc/heat/ca.pem")), ec2_login=False)
    assert conf["ec2authtoken"] == {"auth_uri": "http://10.0.0.1:5000/v3", "ca_file": "/etc/heat/ca.pem"}


def test_a_release_that_has_a_login_keeps_it() -> None:
    assert known_to(service_options(SERVICES), ec2_login=True) == service_options(SERVICES)


def test_heats_own_api_programs_have_an_address_and_port_and_an_engine_has_none() -> None:
    listening = {"bind_host": "10.0.0.2", "bind_port": "8004", "workers": "3", "max_header_line": "20000"}
    api = next(process for process in processes() if process.unit == "heat-api@8004")
    assert process_options(api, console_processes=3, max_header=20000) == {
        **process_options(api),
        "heat_api": listening,
        "eventlet_opts": {"wsgi_keep_alive": "false"},
    }
    cfn = next(process for process in processes() if process.unit == "heat-api-cfn@8000")
    assert process_options(cfn, console_processes=3, max_header=20000)["heat_api_cfn"] == {
        **listening,
        "bind_port": "8000",
    }
    engine = next(process for process in processes() if not process.port)
    assert process_options(engine, console_processes=3, max_header=20000) == process_options(engine)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("rabbit://heat:a%40b@mq:5672/heat", "rabbit://mq:5672/heat"),
        ("rabbit://h:p@mq-1:5672,h:p@mq-2:5671/", "rabbit://mq-1:5672,mq-2:5671/"),
        ("rabbit://mq/heat", "rabbit://mq/heat"),
        ("fake:", "fake:"),
    ],
)
def test_a_brokers_identity_has_no_login_and_is_the_same_in_python_and_in_shell(
    url: str, where: str, tmp_path: Path
) -> None:
    conf = tmp_path / "secrets.conf"
    conf.write_text(f"[DEFAULT]\ntransport_url = {url}\n")
    script = (TEMPLATES / "heat/broker.inc.sh").read_text() + 'broker "$1"\n'
    printed = subprocess.run(["sh", "-eu", "-c", script, "sh", str(conf)], capture_output=True, text=True, check=True)
    assert broker(url) == printed.stdout.strip() == where
