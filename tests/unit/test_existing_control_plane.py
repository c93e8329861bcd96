"""An existing control plane: Heat's options for it, what is created there, and what is only checked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.control_plane.existing import database_url, transport_url
from tests.unit.program import MARK, ROOT, Secret, existing_control_plane, fake_password
from tests.unit.sample import parsed

KEYSTONE = "https://keystone.example:5000"


def spec(text: str) -> Any:
    found = re.search(r"<<'END_OF_SPEC'\n(.*)\nEND_OF_SPEC", text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_heat_gets_the_given_values() -> None:
    result = existing_control_plane()
    secrets = parsed(result.by_name["node-2-secrets-conf"].text())
    assert secrets["database"]["connection"] == f"mysql+pymysql://heat:{MARK}.database@db.example/heat"
    assert secrets["DEFAULT"]["transport_url"] == (
        f"rabbit://heat:{MARK}.broker@mq-1.example:5672,heat:{MARK}.broker@mq-2.example:5672/heat"
    )
    assert secrets["keystone_authtoken"]["password"] == f"{MARK}.service"
    assert secrets["DEFAULT"]["stack_domain_admin_password"] == f"{MARK}.domain-admin"
    public = parsed(result.by_name["node-2-heat-conf"].text())
    assert public["keystone_authtoken"]["auth_url"] == f"{KEYSTONE}/v3"
    assert public["cache"]["memcache_servers"] == "10.0.0.9:11211"
    # Others can read a shared cache.
    assert public["keystone_authtoken"]["memcache_security_strategy"] == "ENCRYPT"
    assert secrets["keystone_authtoken"]["memcache_secret_key"] == fake_password("token-cache")


def test_nothing_of_a_control_plane_is_installed() -> None:
    names = set(existing_control_plane().by_name)
    assert not names & {"front-mariadb", "front-rabbitmq", "front-keystone", "front-memcached", "front-install"}


def test_database_and_broker_are_checked_before_the_schema_and_keystone_before_a_process() -> None:
    result = existing_control_plane()
    assert "node-1-reach" in result.before("node-1-schema")
    assert {"node-1-schema", "node-1-keystone-check"} <= result.before("node-2-heat-engine-1")


def test_the_schema_is_also_created_in_another_database() -> None:
    here, there = (
        existing_control_plane(databaseUrl=f"mysql+pymysql://heat:{MARK}@{host}/heat") for host in ("here", "there")
    )
    assert here.by_name["node-1-schema"].text() != there.by_name["node-1-schema"].text()


def test_a_legacy_engine_of_an_earlier_broker_is_stopped() -> None:
    before, elsewhere, login = (
        existing_control_plane(transportUrl=f"rabbit://heat:{MARK}{given}").by_name["node-2-retire"].text()
        for given in ("@mq:5672/heat", "@mq:5671/heat", "2@mq:5672/heat")
    )
    assert before != elsewhere
    assert before == login


def test_services_that_are_not_managed_are_only_checked() -> None:
    result = existing_control_plane()
    planned = spec(result.by_name["node-1-reach"].text())
    assert (planned["database"]["admin_url"], planned["broker"]["admin_url"]) == ("", "")
    assert "node-1-identity" not in result.by_name


def test_the_database_is_asked_whether_it_allows_as_many_connections_as_the_engines_may_open() -> None:
    result = existing_control_plane(
        engines=3, engineWorkers=2, options={"all": {"DEFAULT": {"executor_thread_pool_size": "80"}}}
    )
    asked = spec(result.by_name["node-1-reach"].text())["database"]["connections"]
    assert (asked["workers"], asked["each"]) == (6, 85)
    for key in ("max_connections", "engines", "engineWorkers", "options.all.database.max_overflow"):
        assert key in asked["remedy"]


def test_managed_services_get_generated_passwords() -> None:
    result = existing_control_plane(
        control={"keystoneUrl": KEYSTONE, "manage": ["database", "broker", "keystone"]},
        databaseUrl="", transportUrl="", servicePassword="", stackDomainAdminPassword="",
        databaseAdminUrl=f"mysql+pymysql://root:{MARK}.root@db.example:3307",
        brokerAdminUrl=f"https://admin:{MARK}.admin@mq.example:15671",
        keystoneAdminPassword=f"{MARK}.keystone",
    )  # fmt: skip
    planned = spec(result.by_name["node-1-reach"].text())
    made = fake_password("database-heat")
    assert planned["database"]["url"] == f"mysql+pymysql://heat:{made}@db.example:3307/heat?charset=utf8mb4"
    assert planned["broker"]["url"] == f"rabbit://heat:{fake_password('broker')}@mq.example:5672/heat"
    identity = spec(result.by_name["node-1-identity"].text())
    assert identity["admin"]["password"] == f"{MARK}.keystone"
    assert [user["name"] for user in identity["users"]] == ["heat", "heat_domain_admin"]
    assert identity["users"][0]["password"] == fake_password("keystone-heat")
    assert "node-1-keystone-check" not in result.by_name


def test_every_script_that_logs_in_somewhere_is_a_secret() -> None:
    result = existing_control_plane()
    for name in ("node-1-reach", "node-1-keystone-check", "node-1-secrets-conf", "front-check"):
        assert isinstance(result.by_name[name].inputs["stdin"], Secret)
    assert MARK not in str(result.outputs)


def test_the_operators_certificates_are_on_every_host_that_uses_them(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    control = {"keystoneUrl": KEYSTONE, "ca": str(ca), "tls": ["database", "broker"]}
    result = existing_control_plane(control=control)
    for name in ("node-1-ca-pem", "node-2-ca-pem", "front-ca"):
        assert result.by_name[name].text() == ca.read_text()
        assert "/etc/heat/ca.pem" in result.by_name[name].text("create")
    secrets = parsed(result.by_name["node-1-secrets-conf"].text())
    assert secrets["database"]["connection"].endswith("/heat?ssl_ca=/etc/heat/ca.pem")
    public = parsed(result.by_name["node-1-heat-conf"].text())
    assert public["oslo_messaging_rabbit"]["ssl_ca_file"] == "/etc/heat/ca.pem"
    assert "/etc/heat/ca.pem" in result.by_name["node-1-heat-engine-unit"].text(), "another file restarts the process"
    assert spec(result.by_name["node-1-reach"].text())["broker"]["ca"] == "/etc/heat/ca.pem"
    assert spec(result.by_name["front-check"].text())["ca"] == "/etc/heat/ca.pem"


def test_a_relative_path_of_certificates_starts_at_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    result = existing_control_plane(control={"keystoneUrl": KEYSTONE, "ca": "requirements.txt"})
    assert result.by_name["node-1-ca-pem"].text() == (ROOT / "requirements.txt").read_text()


@pytest.mark.parametrize(
    ("given", "ca", "url"),
    [
        ("mysql+pymysql://u:p@h/d", "", "mysql+pymysql://u:p@h/d"),
        ("mysql+pymysql://u:p@h/d?charset=utf8", "/ca", "mysql+pymysql://u:p@h/d?charset=utf8&ssl_ca=/ca"),
        ("mysql+pymysql://u:p@h/d?ssl_ca=/own", "/ca", "mysql+pymysql://u:p@h/d?ssl_ca=/own"),
        ("", "", "mysql+pymysql://heat:made@db:3307/heat?charset=utf8mb4"),
    ],
)
def test_a_url_of_the_database(given: str, ca: str, url: str) -> None:
    assert database_url(given, "mysql+pymysql://root:r@db:3307", "made", ca) == url


def test_a_url_of_the_broker() -> None:
    assert transport_url("rabbit://given", "", "made", 5672) == "rabbit://given"
    assert transport_url("", "http://a:b@[fd00::1]:15672", "made", 5671) == "rabbit://heat:made@[fd00::1]:5671/heat"
