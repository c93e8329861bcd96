"""An existing heat.conf, translated: a test for each rule, and properties of any file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import loopback, urls
from components.adoption.oslo_files import read
from components.adoption.report import OptionResult, Outcome
from components.adoption.translation import Listener, Translation, translate
from components.heat import heat_conf
from components.heat.options import Name, catalogue, looks_secret
from components.rendering import render
from tests.unit.sample import CONF, SECRETS, A

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104
ROOT = Path(__file__).resolve().parents[2]
RELEASES = ("24.1.2", "25.0.2", "26.0.2", "27.0.1")


def translated(*texts: str, release: str = "27.0.1", control: str = A, allow: tuple[str, ...] = ()) -> Translation:
    files = {f"heat-{number}.conf": text for number, text in enumerate(texts)}
    return translate(files, control=control, release=release, allow=allow)


def section(name: str, **options: str) -> str:
    return "\n".join([f"[{name}]", *(f"{option} = {value}" for option, value in options.items()), ""])


def result(translation: Translation, name: Name) -> OptionResult:
    (found,) = [one for one in translation.results if one.name == name]
    return found


def everything(translation: Translation) -> dict[Name, str]:
    both = {}
    for conf in (translation.public, translation.secret):
        for group, options in conf.items():
            for option, value in options.items():
                assert (group, option) not in both
                both[group, option] = value
    return both


def written(translation: Translation) -> tuple[str, str]:
    return (
        render("heat/options.conf.j2", purpose="", options=translation.public),
        render("heat/options.conf.j2", purpose="", options=translation.secret),
    )


# The guide.


def test_the_guides_sample_names_the_control_host_where_it_named_itself() -> None:
    """Hosts B and C of the guide: sql_connection and rabbit_host become A's address."""
    guide = section(
        "DEFAULT",
        sql_connection="mysql://heat:heat@127.0.0.1/heat?charset=utf8",
        rabbit_host="localhost",
        rabbit_userid="stackrabbit",
        rabbit_password="s3cret",
        host="a",
        bind_host=EVERY_ADDRESS,
    ) + section("heat_api", bind_port="8004", bind_host="10.0.0.1")
    translation = translated(guide)
    assert translation.problems == ()
    assert translation.public == {}
    assert translation.secret == {
        "DEFAULT": {"transport_url": "rabbit://stackrabbit:s3cret@10.0.0.1:5672/"},
        "database": {"connection": "mysql+pymysql://heat:heat@10.0.0.1/heat?charset=utf8"},
    }
    assert translation.api == Listener(host="10.0.0.1", port=8004)
    assert translation.cfn == Listener(host=EVERY_ADDRESS, port=8000)
    assert result(translation, ("DEFAULT", "sql_connection")).targets == (("database", "connection"),)
    assert result(translation, ("DEFAULT", "host")).outcome is Outcome.DROPPED


# Old names.

RENAMED = [
    (("DEFAULT", "sql_connection"), ("database", "connection"), "mysql+pymysql://h:p@db/heat"),
    (("database", "sql_connection"), ("database", "connection"), "mysql+pymysql://h:p@db/heat"),
    (("DEFAULT", "sql_idle_timeout"), ("database", "connection_recycle_time"), "60"),
    (("database", "idle_timeout"), ("database", "connection_recycle_time"), "60"),
    (("DEFAULT", "rabbit_use_ssl"), ("oslo_messaging_rabbit", "ssl"), "true"),
    (("oslo_messaging_rabbit", "rabbit_use_ssl"), ("oslo_messaging_rabbit", "ssl"), "true"),
    (("oslo_messaging_rabbit", "kombu_ssl_version"), ("oslo_messaging_rabbit", "ssl_version"), "TLSv1_2"),
    (("oslo_messaging_rabbit", "kombu_ssl_keyfile"), ("oslo_messaging_rabbit", "ssl_key_file"), "/etc/k.pem"),
    (("oslo_messaging_rabbit", "kombu_ssl_certfile"), ("oslo_messaging_rabbit", "ssl_cert_file"), "/etc/c.pem"),
    (("DEFAULT", "kombu_ssl_ca_certs"), ("oslo_messaging_rabbit", "ssl_ca_file"), "/etc/ca.pem"),
    (("oslo_messaging_rabbit", "rabbit_durable_queues"), ("oslo_messaging_rabbit", "amqp_durable_queues"), "true"),
    (("DEFAULT", "rabbit_durable_queues"), ("oslo_messaging_rabbit", "amqp_durable_queues"), "true"),
    (("DEFAULT", "rabbit_retry_interval"), ("oslo_messaging_rabbit", "rabbit_retry_interval"), "2"),
    (
        ("oslo_messaging_rabbit", "kombu_reconnect_timeout"),
        ("oslo_messaging_rabbit", "kombu_missing_consumer_retry_timeout"),
        "30",
    ),
    (("DEFAULT", "kombu_reconnect_delay"), ("oslo_messaging_rabbit", "kombu_reconnect_delay"), "1.0"),
    (("DEFAULT", "rpc_thread_pool_size"), ("DEFAULT", "executor_thread_pool_size"), "32"),
    (("DEFAULT", "notification_driver"), ("oslo_messaging_notifications", "driver"), "noop"),
    (("DEFAULT", "stack_user_domain"), ("DEFAULT", "stack_user_domain_id"), "abc123"),
    (("DEFAULT", "policy_default_rule"), ("oslo_policy", "policy_default_rule"), "default"),
    (("keystone_authtoken", "auth_uri"), ("keystone_authtoken", "www_authenticate_uri"), "http://ks:5000/v3"),
    (("keystone_authtoken", "admin_user"), ("keystone_authtoken", "username"), "heat"),
    (("keystone_authtoken", "admin_password"), ("keystone_authtoken", "password"), "pw"),
    (("keystone_authtoken", "admin_tenant_name"), ("keystone_authtoken", "project_name"), "service"),
    (("keystone_authtoken", "auth_plugin"), ("keystone_authtoken", "auth_type"), "password"),
    (("keystone_authtoken", "identity_uri"), ("keystone_authtoken", "auth_url"), "http://ks:35357"),
    (("keystone_authtoken", "memcache_servers"), ("keystone_authtoken", "memcached_servers"), "m1:11211"),
    (("keystone_authtoken", "tenant_name"), ("keystone_authtoken", "project_name"), "service"),
    (("trustee", "auth_plugin"), ("trustee", "auth_type"), "password"),
    (("trustee", "user-domain-id"), ("trustee", "user_domain_id"), "default"),
    (("DEFAULT", "use-json"), ("DEFAULT", "use_json"), "true"),
]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("old", "new", "value"), RENAMED, ids=[".".join(row[0]) for row in RENAMED])
def test_an_old_name_becomes_todays(old: Name, new: Name, value: str, release: str) -> None:
    translation = translated(section(old[0], **{old[1]: value}), release=release)
    assert translation.problems == ()
    assert everything(translation)[new] == value
    assert result(translation, old).outcome is Outcome.RENAMED
    assert result(translation, old).targets == (new,)


def test_an_option_under_both_its_names_is_read_under_todays_as_heat_reads_it() -> None:
    translation = translated(
        section("database", sql_connection="mysql+pymysql://a@old/h", connection="mysql+pymysql://a@new/h")
    )
    assert everything(translation) == {("database", "connection"): "mysql+pymysql://a@new/h"}
    assert result(translation, ("database", "sql_connection")).outcome is Outcome.DROPPED


def test_an_old_name_in_a_later_file_comes_before_todays_in_an_earlier_one() -> None:
    translation = translated(section("DEFAULT", stack_user_domain_id="a"), section("DEFAULT", stack_user_domain="b"))
    assert translation.public == {"DEFAULT": {"stack_user_domain_id": "b"}}


def test_an_old_name_that_the_release_still_has_as_an_option_of_its_own_stays() -> None:
    conf = section("ec2authtoken", ca_file="/etc/ca.pem", auth_type="password")
    assert translated(conf, release="24.1.2").public["ec2authtoken"]["ca_file"] == "/etc/ca.pem"
    assert translated(conf).public["ec2authtoken"]["cafile"] == "/etc/ca.pem"


# The broker.


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"rabbit_host": "127.0.0.1"}, f"rabbit://guest:guest@{A}:5672/"),
        ({"rabbit_host": "mq", "rabbit_port": "5673", "rabbit_userid": "u"}, "rabbit://u:guest@mq:5673/"),
        ({"rabbit_host": "::1"}, f"rabbit://guest:guest@{A}:5672/"),
        ({"rabbit_hosts": "localhost:5671, mq2"}, f"rabbit://guest:guest@{A}:5671,guest:guest@mq2:5672/"),
        ({"rabbit_hosts": "[::1]:5672,[fd00::2]:5673"}, f"rabbit://guest:guest@{A}:5672,guest:guest@[fd00::2]:5673/"),
        ({"rabbit_hosts": "$rabbit_host:$rabbit_port"}, f"rabbit://guest:guest@{A}:5672/"),
        ({"rabbit_host": "mq", "rabbit_virtual_host": "/heat"}, "rabbit://guest:guest@mq:5672/%2Fheat"),
        ({"rabbit_host": "mq", "rabbit_virtual_host": "/"}, "rabbit://guest:guest@mq:5672/"),
        ({"rpc_backend": "rabbit"}, f"rabbit://guest:guest@{A}:5672/"),
        ({"rpc_backend": "heat.openstack.common.rpc.impl_kombu"}, f"rabbit://guest:guest@{A}:5672/"),
        (
            {"rabbit_host": "mq", "rabbit_password": "a:b@c/d%e,f#?"},
            "rabbit://guest:a%3Ab%40c%2Fd%25e%2Cf%23%3F@mq:5672/",
        ),
    ],
)
def test_the_old_options_of_a_broker_become_one_url(options: dict[str, str], url: str) -> None:
    translation = translated(section("DEFAULT", **options))
    assert translation.problems == ()
    assert translation.secret == {"DEFAULT": {"transport_url": url}}
    assert {one.outcome for one in translation.results} == {Outcome.RENAMED}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="$'\""), min_size=1))
def test_whatever_the_brokers_password_it_can_be_read_from_the_url(password: str) -> None:
    url = urls.transport_url("us:er", password, ["mq:5672"], "v/h")
    parts = urlsplit(url)
    login, _, server = parts.netloc.rpartition("@")
    user, _, encoded = login.partition(":")
    assert (unquote(user), unquote(encoded), server, unquote(parts.path)) == ("us:er", password, "mq:5672", "/v/h")


def test_the_rabbit_sections_options_come_before_those_of_default() -> None:
    translation = translated(section("DEFAULT", rabbit_host="one"), section("oslo_messaging_rabbit", rabbit_host="two"))
    assert translation.secret["DEFAULT"]["transport_url"] == "rabbit://guest:guest@two:5672/"
    assert result(translation, ("DEFAULT", "rabbit_host")).outcome is Outcome.DROPPED


def test_a_transport_url_comes_before_the_broker_in_parts() -> None:
    translation = translated(section("DEFAULT", rabbit_host="one", transport_url="rabbit://u:p@two:5672/heat"))
    assert translation.secret["DEFAULT"]["transport_url"] == "rabbit://u:p@two:5672/heat"
    assert result(translation, ("DEFAULT", "rabbit_host")).outcome is Outcome.DROPPED


def test_another_broker_than_rabbitmq_is_refused_once() -> None:
    translation = translated(section("DEFAULT", rpc_backend="qpid", rabbit_host="one"))
    assert len(translation.problems) == 1
    assert "only RabbitMQ" in translation.problems[0]
    assert {one.outcome for one in translation.results} == {Outcome.REFUSED}


def test_rabbitmqs_guest_may_not_come_from_another_host() -> None:
    translation = translated(section("DEFAULT", transport_url="rabbit://guest:guest@localhost:5672/"))
    assert "guest" in result(translation, ("DEFAULT", "transport_url")).reason


# Loopback addresses.

LOOPBACK = [
    ("DEFAULT", "transport_url", "rabbit://u:p@127.0.0.1:5672,u:p@mq2:5672,u:p@[::1]:5673/v?ssl=1",
     "rabbit://u:p@10.0.0.1:5672,u:p@mq2:5672,u:p@10.0.0.1:5673/v?ssl=1"),
    ("DEFAULT", "transport_url", "rabbit://", "rabbit://guest:guest@10.0.0.1/"),
    ("DEFAULT", "transport_url", "rabbit://u:p@/heat", "rabbit://u:p@10.0.0.1/heat"),
    ("oslo_messaging_notifications", "transport_url", "rabbit://u:p@localhost/n", "rabbit://u:p@10.0.0.1/n"),
    ("oslo_messaging_notifications", "transport_url", "kafka://localhost:9092/n", "kafka://10.0.0.1:9092/n"),
    ("database", "connection", "mysql+pymysql://u:p@localhost/heat?charset=utf8",
     "mysql+pymysql://u:p@10.0.0.1/heat?charset=utf8"),
    ("database", "connection", "mysql+pymysql://u:p/w@127.0.1.1:3307/heat", "mysql+pymysql://u:p/w@10.0.0.1:3307/heat"),
    ("database", "slave_connection", "mysql+pymysql://u:p@[::1]/heat", "mysql+pymysql://u:p@10.0.0.1/heat"),
    ("database", "connection", "postgresql://u:127.0.0.1@localhost/heat", "postgresql://u:127.0.0.1@10.0.0.1/heat"),
    ("DEFAULT", "heat_metadata_server_url", "http://127.0.0.1:8000", "http://10.0.0.1:8000"),
    ("DEFAULT", "heat_waitcondition_server_url", "http://LOCALHOST:8000/v1/waitcondition",
     "http://10.0.0.1:8000/v1/waitcondition"),
    ("keystone_authtoken", "auth_url", "http://localhost/identity", "http://10.0.0.1/identity"),
    ("keystone_authtoken", "auth_url", "http://127.0.0.1:5000/v2.0/", "http://10.0.0.1:5000/v3"),
    ("keystone_authtoken", "www_authenticate_uri", "http://0.0.0.0:5000", "http://10.0.0.1:5000"),
    ("keystone_authtoken", "memcached_servers", "localhost:11211, m2:11211,[::1]:11212, inet6:[::1]:1",
     "10.0.0.1:11211, m2:11211,10.0.0.1:11212, 10.0.0.1:1"),
    ("trustee", "auth_url", "http://[::1]:5000", "http://10.0.0.1:5000"),
    ("clients_keystone", "auth_uri", "http://localhost.localdomain:5000", "http://10.0.0.1:5000"),
    ("clients_heat", "url", "http://127.0.0.1:8004/v1/%(tenant_id)s", "http://10.0.0.1:8004/v1/%(tenant_id)s"),
    ("ec2authtoken", "endpoint_override", "http://localhost:5000", "http://10.0.0.1:5000"),
    ("cache", "memcache_servers", "127.0.0.1:11211", "10.0.0.1:11211"),
    ("cache", "redis_server", "localhost:6379", "10.0.0.1:6379"),
    ("cache", "redis_sentinels", "localhost:26379,s2:26379", "10.0.0.1:26379,s2:26379"),
    ("cache", "backend_argument", "url:redis://127.0.0.1:6379", "url:redis://10.0.0.1:6379"),
    ("cache", "backend_argument", "url:127.0.0.1", "url:10.0.0.1"),
    ("profiler", "connection_string", "redis://localhost:6379", "redis://10.0.0.1:6379"),
]  # fmt: skip


@pytest.mark.parametrize(("group", "option", "old", "new"), LOOPBACK)
def test_a_loopback_address_becomes_the_control_hosts(group: str, option: str, old: str, new: str) -> None:
    translation = translated(section(group, **{option: old}))
    assert translation.problems == ()
    assert everything(translation)[group, option] == new
    assert result(translation, (group, option)).outcome is Outcome.REWRITTEN


@pytest.mark.parametrize(
    ("group", "option", "value"),
    [
        ("DEFAULT", "transport_url", "rabbit://u:localhost@mq:5672/localhost"),
        ("database", "connection", "mysql+pymysql://u:p@db/heat"),
        ("keystone_authtoken", "password", "127.0.0.1"),
        ("keystone_authtoken", "auth_url", "http://localhost.example.org:5000"),
        ("keystone_authtoken", "auth_url", "http://my-localhost:5000"),
        ("keystone_authtoken", "memcached_servers", "1127.0.0.1:11211,10.127.0.0.1:11211,[2001:db8::1]:11211"),
        ("DEFAULT", "metadata_put_timeout", "127.0"),
        ("DEFAULT", "plugin_dirs", "/usr/lib/heat"),
    ],
)
def test_a_value_that_only_resembles_a_loopback_address_is_kept(group: str, option: str, value: str) -> None:
    translation = translated(section(group, **{option: value}))
    assert translation.problems == ()
    assert everything(translation)[group, option] == value
    assert result(translation, (group, option)).outcome is Outcome.KEPT


def test_an_ipv6_control_host_stands_in_brackets_where_a_port_may_follow() -> None:
    conf = (
        section("DEFAULT", transport_url="rabbit://u:p@localhost/v", rabbit_host="x")
        + section("database", connection="mysql+pymysql://u:p@127.0.0.1:3306/h")
        + section("cache", memcache_servers="inet:127.0.0.1:11211", redis_server="localhost:6379")
        + section("keystone_authtoken", auth_url="http://localhost")
    )
    assert everything(translated(conf, control="fd00::1")) == {
        ("DEFAULT", "transport_url"): "rabbit://u:p@[fd00::1]/v",
        ("database", "connection"): "mysql+pymysql://u:p@[fd00::1]:3306/h",
        ("cache", "memcache_servers"): "inet6:[fd00::1]:11211",
        ("cache", "redis_server"): "[fd00::1]:6379",
        ("keystone_authtoken", "auth_url"): "http://[fd00::1]",
    }


@pytest.mark.parametrize(
    ("group", "option", "value", "reason"),
    [
        ("database", "connection", "sqlite:////var/lib/heat/heat.sqlite", "SQLite"),
        ("database", "connection", "mysql+pymysql://u:p@localhost/heat?unix_socket=/run/mysqld.sock", "Unix socket"),
        ("database", "connection", "postgresql:///heat", "names no host"),
        ("database", "connection", "postgresql://u:p@db/heat?host=localhost", "its parameter host"),
        ("database", "connection", "mysql+pymysql://u:p@ss@localhost/heat", "percent-encode"),
        ("DEFAULT", "transport_url", "qpid://localhost", "only RabbitMQ"),
        ("DEFAULT", "transport_url", "localhost:5672", "not a broker URL"),
        ("cache", "memcache_servers", "unix:/run/memcached.sock", "Unix socket"),
        ("cors", "allowed_origin", "http://localhost:8080", "contains a loopback address"),
        ("healthcheck", "allowed_source_ranges", "127.0.0.0/8", "contains a loopback address"),
        ("DEFAULT", "default_publisher_id", "heat.localhost", None),
        ("DEFAULT", "default_publisher_id", "on localhost", "contains a loopback address"),
    ],
)
def test_a_loopback_address_of_unknown_meaning_is_refused(
    group: str, option: str, value: str, reason: str | None
) -> None:
    translation = translated(section(group, **{option: value}))
    if reason is None:
        assert translation.problems == ()
        return
    assert [reason in problem for problem in translation.problems] == [True]
    assert everything(translation) == {}
    assert result(translation, (group, option)).outcome is Outcome.REFUSED
    assert value not in translation.problems[0]


def test_a_refused_option_may_be_allowed_by_name_and_is_kept() -> None:
    translation = translated(section("cors", allowed_origin="http://localhost:8080"), allow=("cors.allowed_origin",))
    assert translation.problems == ()
    assert translation.public == {"cors": {"allowed_origin": "http://localhost:8080"}}


# Dropped options.


@pytest.mark.parametrize(
    ("name", "gone_in"),
    [
        (("clients_monasca", "ca_file"), (25, 26, 27)),
        (("clients_vitrage", "ca_file"), (27,)),
        (("ec2authtoken", "allowed_auth_uris"), (27,)),
        (("eventlet_opts", "wsgi_keep_alive"), (25, 26, 27)),
        (("ssl", "ca_file"), (25, 26, 27)),
        (("DEFAULT", "backdoor_port"), (25, 26, 27)),
        (("oslo_messaging_rabbit", "heartbeat_in_pthread"), (27,)),
        (("oslo_messaging_rabbit", "rabbit_max_retries"), (24, 25, 26, 27)),
        (("keystone_authtoken", "signing_dir"), (24, 25, 26, 27)),
        (("heat_api_cloudwatch", "bind_port"), (24, 25, 26, 27)),
        (("DEFAULT", "heat_watch_server_url"), (24, 25, 26, 27)),
        (("DEFAULT", "verbose"), (24, 25, 26, 27)),
    ],
)
def test_an_option_that_the_release_no_longer_knows_is_dropped_and_reported(
    name: Name, gone_in: tuple[int, ...]
) -> None:
    for release in (24, 25, 26, 27):
        translation = translated(section(name[0], **{name[1]: "x"}), release=str(release))
        assert translation.problems == ()
        outcome = Outcome.DROPPED if release in gone_in else Outcome.KEPT
        assert result(translation, name).outcome is outcome, release
        assert (name in everything(translation)) is (outcome is Outcome.KEPT)
        if outcome is Outcome.DROPPED:
            assert f"Heat {release} does not know it" in result(translation, name).reason


@pytest.mark.parametrize(
    "option", ["host", "environment_dir", "template_dir", "log_dir", "log-file", "logdir", "use_syslog"]
)
def test_an_option_that_this_program_sets_is_dropped(option: str) -> None:
    translation = translated(section("DEFAULT", **{option: "x"}))
    assert everything(translation) == {}
    assert "this program sets it itself" in result(translation, ("DEFAULT", option)).reason


def test_the_options_of_the_old_api_servers_belong_to_uwsgi() -> None:
    for release in RELEASES:
        translation = translated(section("heat_api", workers="4", backlog="4096"), release=release)
        assert everything(translation) == {}
        assert {one.reason for one in translation.results} == {"belongs to uWSGI now"}


def test_an_api_that_used_tls_is_refused() -> None:
    translation = translated(section("heat_api", cert_file="/etc/c.pem"))
    assert "TLS" in translation.problems[0]
    assert translated(section("heat_api", cert_file="/c"), allow=("heat_api.cert_file",)).problems == ()


def test_zero_workers_meant_the_default_and_is_dropped_as_newer_releases_refuse_it() -> None:
    assert everything(translated(section("DEFAULT", num_engine_workers="0"))) == {}
    assert translated(section("DEFAULT", num_engine_workers="3")).public == {"DEFAULT": {"num_engine_workers": "3"}}


# The proxy's addresses.


def test_the_apis_addresses_become_the_proxys() -> None:
    translation = translated(
        section("heat_api", bind_host="10.0.0.1", bind_port="18004") + section("heat_api_cfn", bind_host="::")
    )
    assert translation.api == Listener(host="10.0.0.1", port=18004)
    assert translation.cfn == Listener(host="::", port=8000)
    assert everything(translation) == {}


def test_an_api_on_a_loopback_address_moves_to_the_control_hosts_address() -> None:
    assert translated(section("heat_api", bind_host="127.0.0.1")).api == Listener(host=A, port=8004)


def test_an_address_in_default_is_for_both_apis_unless_they_have_their_own() -> None:
    translation = translated(section("DEFAULT", bind_host="10.0.0.9") + section("heat_api_cfn", bind_host="10.0.0.8"))
    assert (translation.api.host, translation.cfn.host) == ("10.0.0.9", "10.0.0.8")
    again = translated(section("heat_api_cfn", bind_host="10.0.0.8"), section("DEFAULT", bind_host="10.0.0.9"))
    assert (again.api.host, again.cfn.host) == ("10.0.0.9", "10.0.0.8")


@pytest.mark.parametrize("port", ["0", "65536", "http", ""])
def test_an_invalid_port_is_refused(port: str) -> None:
    assert "must be a port" in translated(section("heat_api", bind_port=port)).problems[0]


# Unknown options.


@pytest.mark.parametrize("release", RELEASES)
def test_an_unknown_option_is_refused_with_a_similar_name(release: str) -> None:
    translation = translated(
        section("DEFAULT", num_engine_worker="4") + section("database", transport_url="x"), release=release
    )
    assert everything(translation) == {}
    assert "did you mean num_engine_workers?" in translation.problems[0]
    assert "it belongs to [DEFAULT]" in translation.problems[1]


def test_an_unknown_option_may_be_allowed_by_name() -> None:
    conf = section("my_plugin", colour="blue")
    assert "allow it by name: my_plugin.colour" in translated(conf).problems[0]
    assert everything(translated(conf, allow=("my_plugin.colour",))) == {("my_plugin", "colour"): "blue"}


@pytest.mark.parametrize("option", ["api_key", "private_key", "colour", "API_KEY"])
def test_an_allowed_option_that_no_release_knows_is_a_secret(option: str) -> None:
    conf = section("my_plugin", **{option: "hunter2-hunter2", "repeats": f"${option}"})
    translation = translated(conf, allow=(f"my_plugin.{option}", "my_plugin.repeats"))
    assert translation.secret == {"my_plugin": {option: "hunter2-hunter2", "repeats": "hunter2-hunter2"}}
    assert not translation.public
    assert "hunter2" not in repr(translation)


def test_a_file_that_an_allowed_option_names_is_listed() -> None:
    translation = translated(section("my_plugin", key_file="/etc/heat/plugin.pem"), allow=("my_plugin.key_file",))
    assert translation.files == {("my_plugin", "key_file"): "/etc/heat/plugin.pem"}
    assert translation.public == {"my_plugin": {"key_file": "/etc/heat/plugin.pem"}}


def test_an_allowed_option_must_have_a_section() -> None:
    with pytest.raises(ValueError, match=re.escape("section.option")):
        translated("", allow=("colour",))


def test_the_auth_type_decides_which_options_a_login_has() -> None:
    conf = section("keystone_authtoken", auth_type="v3applicationcredential", application_credential_secret="abc")
    translation = translated(conf)
    assert translation.problems == ()
    assert translation.secret == {"keystone_authtoken": {"application_credential_secret": "abc"}}
    assert translated(section("keystone_authtoken", application_credential_secret="abc")).problems != ()


def test_a_login_may_have_its_own_section() -> None:
    translation = translated(
        section("keystone_authtoken", auth_section="ks") + section("ks", auth_type="password", username="heat")
    )
    assert translation.problems == ()
    assert translation.public["ks"] == {"auth_type": "password", "username": "heat"}


# Keystone's old login.


def test_a_login_from_before_there_were_domains_is_completed() -> None:
    translation = translated(
        section(
            "keystone_authtoken", auth_host="127.0.0.1", auth_port="5000", auth_protocol="http", admin_user="heat",
            admin_password="pw", admin_tenant_name="service", auth_uri="http://localhost:5000/v2.0",
        )
    )  # fmt: skip
    assert translation.problems == ()
    assert translation.public["keystone_authtoken"] == {
        "auth_url": "http://10.0.0.1:5000",
        "www_authenticate_uri": "http://10.0.0.1:5000/v3",
        "username": "heat",
        "project_name": "service",
        "auth_type": "password",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    assert translation.secret["keystone_authtoken"] == {"password": "pw"}
    assert ("keystone_authtoken", "auth_type") in {one.name for one in translation.added}


def test_an_identity_uri_comes_before_its_parts() -> None:
    translation = translated(section("keystone_authtoken", identity_uri="http://localhost:35357", auth_host="other"))
    assert translation.public == {"keystone_authtoken": {"auth_url": "http://10.0.0.1:35357"}}
    assert result(translation, ("keystone_authtoken", "auth_host")).outcome is Outcome.DROPPED


def test_old_names_that_the_auth_type_does_not_have_are_refused_and_nothing_is_added() -> None:
    translation = translated(section("keystone_authtoken", auth_type="v3token", admin_password="pw", token="t"))
    assert "[keystone_authtoken] admin_password" in translation.problems[0]
    assert translation.added == ()
    assert "does not have" in translated(section("keystone_authtoken", auth_type="x", auth_host="ks")).problems[0]


# The CFN API's login.
LOGIN = section(
    "keystone_authtoken", auth_type="password", auth_url="http://ks:5000/v3", username="heat", password="pw",
    project_name="service", user_domain_name="Default", project_domain_name="Default",
)  # fmt: skip


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    "uri", ["http://localhost:5000/v3/ec2tokens", "http://127.0.0.1:5000/v2.0", "http://[::1]:5000/"]
)
def test_the_cfn_api_gets_a_complete_login_as_keystone_checks_signatures_for_services_only(
    uri: str, release: str
) -> None:
    translation = translated(LOGIN + section("ec2authtoken", auth_uri=uri), release=release)
    assert translation.problems == ()
    assert translation.public["ec2authtoken"] == {
        "auth_type": "password",
        "auth_url": "http://ks:5000/v3",
        "username": "heat",
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "endpoint_override": "http://10.0.0.1:5000",
    }
    assert translation.secret["ec2authtoken"] == {"password": "pw"}


def test_the_cfn_apis_url_is_refused_without_a_login_to_copy() -> None:
    assert "a complete login" in translated(section("ec2authtoken", auth_uri="http://ks:5000/v3")).problems[0]


def test_the_cfn_apis_own_login_is_kept() -> None:
    translation = translated(LOGIN + section("ec2authtoken", auth_type="password", username="ec2"))
    assert translation.public["ec2authtoken"] == {"auth_type": "password", "username": "ec2"}


# Reading.


def test_files_are_read_as_oslo_config_reads_them() -> None:
    entries, problems = read(
        {
            "one": "# a comment\n[DEFAULT]\ndebug = true\nhidden_stack_tags = a,\n   b\n; another\n"
            "region_name_for_services: West\n\n[Database]\nmax_retries=1\nmax_retries = 2\n",
            "two": '[DEFAULT]\ndebug = "false"\n[cache]\nbackend_argument=a:b:c=d\n',
        }
    )
    assert problems == []
    assert {name: entry.values for name, entry in entries.items()} == {
        ("DEFAULT", "debug"): ("true", "false"),
        ("DEFAULT", "hidden_stack_tags"): ("a,\nb",),
        ("DEFAULT", "region_name_for_services"): ("West",),
        ("database", "max_retries"): ("1", "2"),
        ("cache", "backend_argument"): ("a:b:c=d",),
    }
    assert entries["DEFAULT", "debug"].where == "two:2"


def test_the_last_value_of_an_option_counts() -> None:
    translation = translated(
        section("DEFAULT", debug="true") + section("DEFAULT", debug="false"), section("DEFAULT", debug="x")
    )
    assert translation.public == {"DEFAULT": {"debug": "x"}}
    assert len(translation.results) == 1


def test_an_option_that_may_be_repeated_keeps_all_its_values() -> None:
    conf = "[oslo_messaging_notifications]\ndriver = log\ndriver = messagingv2\n"
    translation = translated(section("DEFAULT", notification_driver="noop"), conf)
    assert translation.public == {"oslo_messaging_notifications": {"driver": "noop\nlog\nmessagingv2"}}
    assert written(translation)[0].count("driver = ") == 3


def test_a_list_over_several_lines_becomes_one_line_and_another_value_is_refused() -> None:
    translation = translated("[DEFAULT]\ndefault_log_levels = a=INFO,\n  b=WARN\n")
    assert translation.public == {"DEFAULT": {"default_log_levels": "a=INFO, b=WARN"}}
    assert "several lines" in translated("[DEFAULT]\nstack_domain_admin = a\n  b\n").problems[0]


def test_references_are_resolved() -> None:
    translation = translated(
        section("DEFAULT", region_name_for_services="West", stack_domain_admin="$region_name_for_services-admin")
        + section("keystone_authtoken", region_name="${DEFAULT.region_name_for_services}", username="pay$$5")
        + section("trustee", username="$keystone_authtoken.username", user_id="\\$x")
    )
    assert translation.public["DEFAULT"]["stack_domain_admin"] == "West-admin"
    assert translation.public["keystone_authtoken"] == {"region_name": "West", "username": "pay$5"}
    assert translation.public["trustee"] == {"username": "pay$5", "user_id": "$x"}
    assert "username = pay$$5" in written(translation)[0]


def test_a_loopback_address_behind_a_reference_is_found() -> None:
    translation = translated(
        section("cache", redis_server="localhost")
        + section("profiler", connection_string="redis://$cache.redis_server")
    )
    assert translation.public["profiler"]["connection_string"] == "redis://10.0.0.1"


def test_a_reference_to_an_option_of_the_same_section_means_that_one_even_where_it_is_not_set() -> None:
    translation = translated(section("DEFAULT", host="a") + section("trustee", user_id="$username", username="u"))
    assert translation.public["trustee"]["user_id"] == "u"
    unset = translated(
        section("DEFAULT", username="a") + section("trustee", user_id="$username"), allow=("DEFAULT.username",)
    )
    assert "after a $" in unset.problems[0]


@pytest.mark.parametrize("value", ["a$nothing", "${DEFAULT.nothing}", "$stack_domain_admin"])
def test_a_reference_to_an_unset_option_is_refused_and_not_shown(value: str) -> None:
    translation = translated(section("DEFAULT", stack_domain_admin=value))
    assert "after a $" in translation.problems[0]
    assert "nothing" not in translation.problems[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("debug = true\n", "1: debug is not in a [section]"),
        ("[DEFAULT]\n  more\n", "2: the line continues no option"),
        ("[DEFAULT]\nhunter2\n", "2: an option is written name = value"),
        ("[DEFAULT\n", "1: a section is written [name]"),
        ("[DEFAULT]\n= hunter2\n", "2: an option is written name = value"),
    ],
)
def test_a_line_that_cannot_be_read_is_reported_without_its_text(text: str, problem: str) -> None:
    (message,) = translated(text).problems
    assert problem in message
    assert "hunter2" not in message


@pytest.mark.parametrize("control", ["127.0.0.1", "localhost", "::1", "", "a b"])
def test_the_control_hosts_address_must_not_be_a_loopback_address(control: str) -> None:
    with pytest.raises(ValueError, match="other hosts reach"):
        translated("", control=control)


def test_an_unknown_release_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("Heat 23.0.0 is not supported")):
        translated("", release="23.0.0")


def test_an_option_that_heat_needs_is_reported_as_missing() -> None:
    assert [missing.split(":")[0] for missing in translated("").missing] == [
        "[DEFAULT] transport_url",
        "[database] connection",
        "[keystone_authtoken] auth_url",
        "[keystone_authtoken] auth_type",
        "[DEFAULT] auth_encryption_key",
    ]


def test_files_of_the_control_host_are_listed_for_the_nodes() -> None:
    translation = translated(
        section("oslo_messaging_rabbit", ssl_ca_file="/etc/ca.pem") + section("healthcheck", path="/health")
    )
    assert translation.files == {("oslo_messaging_rabbit", "ssl_ca_file"): "/etc/ca.pem"}


# The table.


def test_the_catalogue_has_every_release_and_every_option_of_this_program() -> None:
    assert catalogue().releases == RELEASES
    for conf in (CONF, heat_conf.secret_options(SECRETS)):
        text = render("heat/options.conf.j2", purpose="", options=conf)
        for release in RELEASES:
            assert translated(text, release=release).problems == ()


# Secrets.


@pytest.mark.parametrize(
    ("group", "option"),
    [
        ("keystone_authtoken", "password"), ("keystone_authtoken", "memcache_secret_key"), ("trustee", "password"),
        ("DEFAULT", "stack_domain_admin_password"), ("DEFAULT", "auth_encryption_key"), ("profiler", "hmac_keys"),
        ("cache", "redis_password"), ("oslo_messaging_kafka", "ssl_client_key_password"),
        ("keystone_authtoken", "admin_password"), ("DEFAULT", "qpid_password"), ("DEFAULT", "misspelt_pasword"),
    ],
)  # fmt: skip
def test_a_secret_is_neither_public_nor_shown(group: str, option: str) -> None:
    translation = translated(section(group, **{option: "hunter2hunter2"}))
    assert "hunter2" not in str(translation.public) + shown(translation) + repr(translation)


@pytest.mark.parametrize(
    ("value", "shown_as"),
    [
        ("rabbit://u:pw@h1:5672,u:pw@h2:5672/v", "rabbit://u:***@h1:5672,u:***@h2:5672/v"),
        ("mysql+pymysql://u:pw@db/heat?charset=utf8", "mysql+pymysql://u:***@db/heat?charset=utf8"),
        ("mysql://u:p@w@db/heat", "***"),
        ("mysql://u:p/w@db/heat", "***"),
        ("mysql://u:p,w@db/heat", "***"),
        ("redis://:pw@db/0", "redis://:***@db/0"),
        ("https://token@host/x", "https://***@host/x"),
        ("mysql://u:pw@db/heat?ssl_key=abc", "***"),
        ("hunter2", "***"),
    ],
)
def test_a_url_is_shown_without_its_passwords_or_not_at_all(value: str, shown_as: str) -> None:
    assert urls.masked(value) == shown_as


def test_a_url_with_a_login_is_a_secret_whatever_its_option() -> None:
    translation = translated(section("profiler", connection_string="redis://u:hunter2@db"))
    assert translation.public == {}
    assert "hunter2" not in shown(translation)


def test_a_secret_behind_a_reference_is_still_a_secret() -> None:
    translation = translated(
        section("trustee", password="hunter2hunter2") + section("DEFAULT", default_publisher_id="$trustee.password")
    )
    assert translation.public == {}
    assert "hunter2" not in shown(translation)


# Properties of any file.


def shown(translation: Translation) -> str:
    return str(translation.results + translation.added) + str(translation.problems + translation.missing)


SECRET = "Zq7" + "x" * 9
HOSTS = st.sampled_from(["127.0.0.1", "localhost", "[::1]", "127.0.1.1", "db.example.org", "10.0.0.7", "LocalHost"])
PASSWORDS = st.text("abc/@:%,$ #?'\"", max_size=3).map(lambda text: text + SECRET + text[::-1])
ENCODED = st.sampled_from(["", "%40", "%2F", "."]).map(lambda text: SECRET + text)


@st.composite
def any_url(draw: Any) -> str:
    host, path = draw(HOSTS), draw(st.sampled_from(["", "/v3", "/v2.0", "/heat?charset=utf8"]))
    return f"http://{host}:5000{path}"


@st.composite
def databases(draw: Any) -> str:
    return f"{draw(st.sampled_from(['mysql', 'mysql+pymysql']))}://heat:{draw(ENCODED)}@{draw(HOSTS)}/heat?charset=utf8"


@st.composite
def brokers(draw: Any) -> str:
    hosts = draw(st.lists(HOSTS, min_size=1, max_size=3))
    return "rabbit://" + ",".join(f"u:{draw(ENCODED)}@{host}:5672" for host in hosts) + "/heat"


SERVERS = st.lists(HOSTS, min_size=1, max_size=3).map(lambda hosts: ",".join(f"{host}:11211" for host in hosts))
WORDS = st.from_regex(r"[A-Za-z0-9_ .=,-]{0,12}", fullmatch=True)
FREE = st.one_of(WORDS, any_url(), SERVERS)
SPECIAL: dict[Name, st.SearchStrategy[str]] = {
    ("database", "connection"): databases(),
    ("DEFAULT", "sql_connection"): databases(),
    ("DEFAULT", "transport_url"): brokers(),
    ("DEFAULT", "rabbit_host"): HOSTS,
    ("DEFAULT", "rabbit_hosts"): HOSTS,
    ("DEFAULT", "rabbit_password"): PASSWORDS,
    ("oslo_messaging_rabbit", "rabbit_password"): PASSWORDS,
    ("keystone_authtoken", "auth_uri"): any_url(),
    ("keystone_authtoken", "auth_url"): any_url(),
    ("keystone_authtoken", "identity_uri"): any_url(),
    ("keystone_authtoken", "auth_host"): HOSTS,
    ("keystone_authtoken", "admin_user"): st.just("heat"),
    ("keystone_authtoken", "admin_password"): PASSWORDS,
    ("keystone_authtoken", "password"): PASSWORDS,
    ("keystone_authtoken", "memcached_servers"): SERVERS,
    ("keystone_authtoken", "auth_type"): st.just("password"),
    ("keystone_authtoken", "username"): st.just("heat"),
    ("ec2authtoken", "auth_uri"): any_url(),
    ("trustee", "password"): PASSWORDS,
    ("trustee", "auth_url"): any_url(),
    ("heat_api", "bind_host"): HOSTS,
    ("heat_api_cfn", "bind_port"): st.sampled_from(["8000", "18000"]),
    ("DEFAULT", "nonsense"): WORDS,
    ("my_plugin", "password"): PASSWORDS,
}
KNOWN = [name for name in catalogue().options if not name[0].startswith("auth:")]
OLDER = [name for name in catalogue().renamed if not name[0].startswith("auth:")]


@st.composite
def options(draw: Any) -> tuple[Name, str]:
    name = draw(st.one_of(st.sampled_from(sorted(SPECIAL)), st.sampled_from(KNOWN), st.sampled_from(OLDER)))
    return name, draw(SPECIAL.get(name, FREE))


@st.composite
def confs(draw: Any) -> list[str]:
    texts = []
    for _ in range(draw(st.integers(1, 2))):
        lines = []
        for (group, option), value in draw(st.lists(options(), max_size=8)):
            lines += [f"[{group}]", f"{option} = {value}".replace("$", "$$")]
        texts.append("\n".join(lines) + "\n")
    return texts


URLS = ("transport_url", "connection", "slave_connection", "asyncio_connection", "asyncio_slave_connection",
        "backend_argument")  # fmt: skip
ANY = st.tuples(confs(), st.sampled_from(RELEASES))


@given(ANY)
def test_translating_what_was_translated_changes_nothing(conf: tuple[list[str], str]) -> None:
    texts, release = conf
    once = translated(*texts, release=release)
    twice = translated(*written(once), release=release)
    assert (twice.public, twice.secret) == (once.public, once.secret)
    assert {one.outcome for one in twice.results} <= {Outcome.KEPT}
    assert twice.added == ()
    assert twice.problems == ()


@given(ANY)
def test_every_option_that_is_read_has_one_result(conf: tuple[list[str], str]) -> None:
    texts, release = conf
    translation = translated(*texts, release=release)
    entries, _ = read(dict(enumerate_texts(texts)))
    assert [one.name for one in translation.results] == list(entries)
    refused = [one for one in translation.results if one.outcome is Outcome.REFUSED]
    assert bool(refused) is bool(translation.problems)
    made = {
        target
        for one in translation.results + translation.added
        for target in one.targets
        if one.outcome is not Outcome.DROPPED
    }
    assert made == set(everything(translation))


def enumerate_texts(texts: list[str]) -> list[tuple[str, str]]:
    return [(str(number), text) for number, text in enumerate(texts)]


@given(ANY)
def test_no_loopback_address_is_left(conf: tuple[list[str], str]) -> None:
    texts, release = conf
    translation = translated(*texts, release=release)
    for (group, option), value in everything(translation).items():
        row = catalogue().options.get((group, option))
        if (looks_secret(option) or (row and row.secret)) and option not in URLS:
            continue  # A password is not an address.
        assert not re.search(r"(?i)127\.0\.|localhost|::1", value)
    assert not loopback.is_loopback(translation.api.host.replace(EVERY_ADDRESS, ""))


@given(ANY)
def test_no_secret_is_shown(conf: tuple[list[str], str]) -> None:
    texts, release = conf
    translation = translated(*texts, release=release)
    assert SECRET not in shown(translation)
    assert SECRET not in str(translation.public)
    assert SECRET not in repr(translation)


# The command.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "translate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "heat.conf"
    path.write_text(section("DEFAULT", sql_connection="mysql://heat:hunter2@localhost/heat", rabbit_host="localhost"))
    return path


def test_the_command_translates_its_own_output_to_itself(conf: Path, tmp_path: Path) -> None:
    done = run("--control", A, str(conf))
    assert done.returncode == 0, done.stderr
    assert "connection = mysql+pymysql://heat:hunter2@10.0.0.1/heat\n" in done.stdout
    assert "missing: [keystone_authtoken] auth_url" in done.stderr
    again = tmp_path / "again.conf"
    again.write_text(done.stdout)
    assert run("--control", A, str(again)).stdout == done.stdout


def test_the_command_shows_each_result_without_secrets(conf: Path) -> None:
    done = run("--control", A, "--diff", str(conf))
    assert done.returncode == 0
    assert "[DEFAULT] sql_connection = mysql://heat:***@localhost/heat → [database] connection" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_the_command_fails_and_prints_no_file_if_an_option_is_refused(conf: Path) -> None:
    with conf.open("a") as file:
        file.write("enginez = 4\n")
    done = run("--control", A, str(conf))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"refused: {conf}:4: [DEFAULT] enginez" in done.stderr
    assert run("--control", A, "--allow", "DEFAULT.enginez", str(conf)).returncode == 0


def test_the_command_reads_a_conf_d_in_order(tmp_path: Path) -> None:
    (tmp_path / "20.conf").write_text(section("DEFAULT", debug="second"))
    (tmp_path / "10.conf").write_text(section("DEFAULT", debug="first"))
    assert "debug = second\n" in run("--control", A, str(tmp_path)).stdout


SMALL = ROOT / "tests/e2e/single_machine/heat.conf"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["heat.conf"], "usage: make translate"),
        (["--control", A], "usage: make translate"),
        (["--control", A, "/dev/zero"], "/dev/zero: must be a file"),
        (["--control", A, "/nowhere/heat.conf"], "/nowhere/heat.conf: there is no such file"),
        (["--control", "localhost", str(SMALL)], "other hosts reach"),
        (["--control", A, "--release", "12", str(SMALL)], "Heat 12 is not supported"),
    ],
)
def test_the_command_reports_a_wrong_argument(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
