"""An adopted Heat: whose option counts, what must agree, which files the nodes get, and in which order."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.adoption import merge as adoption
from components.adoption.merge import Adopted, AdoptionError, AdoptionSpec, Original, adopt
from components.adoption.tables import AUTH
from components.control_plane.adopted import keystone_check_spec, reach_spec, service_login
from components.control_plane.base import Connections
from components.heat.heat_conf import merge, options
from components.heat.install import Installation
from infra.build.control_plane import describe_problem
from infra.settings.load import SettingsError, load
from infra.settings.model import Settings
from tests.unit import program
from tests.unit.adopted import adopted_heat
from tests.unit.program import FILES, MARK, Secret, cached, fake_password, original
from tests.unit.sample import DEPLOYMENT, A, B, parsed
from tests.unit.test_existing_hosts import KEY, hosts

SPEC = AdoptionSpec(control=A, address=A, api_port=8004, cfn_port=8000, deployment=DEPLOYMENT, max_body=1638400)
# The least that Heat needs.
LEAST = """
[DEFAULT]
transport_url = rabbit://heat:broker-secret@127.0.0.1/
auth_encryption_key = 0123456789abcdef0123456789abcdef
[database]
connection = mysql+pymysql://heat:database-secret@localhost/heat
[keystone_authtoken]
auth_type = password
auth_url = http://localhost:5000/v3
username = heat
password = service-secret
project_name = service
user_domain_id = default
"""


def adopted(more: str = "", spec: AdoptionSpec = SPEC, **found: Any) -> Adopted:
    return adopt(Original(files={"/etc/heat/heat.conf": LEAST + more}, **found), spec)


def problems(more: str = "", spec: AdoptionSpec = SPEC, **found: Any) -> tuple[str, ...]:
    """The messages, as the program words them."""
    with pytest.raises(AdoptionError) as raised:
        adopted(more, spec, **found)
    return tuple(describe_problem(problem, Settings()) for problem in raised.value.problems)


# Whose option counts.


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("DEFAULT", "heat_metadata_server_url", "http://heat.example:8000"),
        ("DEFAULT", "heat_waitcondition_server_url", "http://heat.example:8000/v1/waitcondition"),
        ("DEFAULT", "region_name_for_services", "Elsewhere"),
        ("DEFAULT", "max_stacks_per_tenant", "77"),
        ("DEFAULT", "heat_stack_user_role", "their_role"),
        ("DEFAULT", "executor_thread_pool_size", "32"),
        ("cache", "enabled", "false"),
        ("oslo_messaging_rabbit", "rabbit_qos_prefetch_count", "1"),
    ],
)
def test_the_adopted_files_options_of_heats_behaviour_count(section: str, option: str, value: str) -> None:
    assert adopted(f"[{section}]\n{option} = {value}\n").public[section][option] == value


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("DEFAULT", "num_engine_workers", "7"),
        ("DEFAULT", "environment_dir", "/srv/heat/environment.d"),
        ("DEFAULT", "template_dir", "/srv/heat/templates"),
        ("paste_deploy", "api_paste_config", "/srv/heat/api-paste.ini"),
        ("oslo_middleware", "enable_proxy_headers_parsing", "false"),
    ],
)
def test_the_programs_options_of_where_heat_runs_count(section: str, option: str, value: str) -> None:
    found = adopted(f"[{section}]\n{option} = {value}\n").public[section][option]
    assert found == options(DEPLOYMENT)[section][option] != value


def test_an_option_that_the_file_does_not_set_is_the_programs() -> None:
    ours, found = options(DEPLOYMENT), adopted().public
    for section, values in ours.items():
        assert values.items() <= found[section].items()


def test_an_option_is_never_both_public_and_secret() -> None:
    result = adopted("[DEFAULT]\nstack_domain_admin_password = hidden-from-all\n")
    for section, values in result.secret.items():
        assert not values.keys() & result.public.get(section, {}).keys()
    assert "hidden-from-all" in result.secret["DEFAULT"].values()
    assert "hidden-from-all" not in repr(result)
    (message,) = problems("[DEFAULT]\nheat_metadata_server_url = http://user:hidden-from-all@heat.example:8000\n")
    assert message.startswith("[DEFAULT] heat_metadata_server_url has a login in it")


# What must agree.


@pytest.mark.parametrize(
    ("option", "key"),
    [("rpc_response_timeout", "timeouts.rpcResponse"), ("graceful_shutdown_timeout", "timeouts.engineGraceful")],
)
def test_a_timeout_that_differs_from_the_setting_is_refused_with_what_to_type(option: str, key: str) -> None:
    (message,) = problems(f"[DEFAULT]\n{option} = 600\n")
    assert f"[DEFAULT] {option} is 600 there" in message
    assert message.endswith(f"Type: pulumi config set --path {key} 600")
    ours = options(DEPLOYMENT)["DEFAULT"][option]
    assert adopted(f"[DEFAULT]\n{option} = {ours}\n").public["DEFAULT"][option] == ours


@pytest.mark.parametrize(
    ("more", "type_this"),
    [
        ("[heat_api]\nbind_port = 9004\n", "pulumi config set apiPort 9004"),
        ("[heat_api_cfn]\nbind_port = 9000\n", "pulumi config set cfnPort 9000"),
        ("[heat_api]\nbind_host = 10.1.0.1\n", "pulumi config set --path existing.front.address 10.1.0.1"),
    ],
)
def test_an_api_that_clients_find_elsewhere_is_refused_with_what_to_type(more: str, type_this: str) -> None:
    (message,) = problems(more)
    assert message.endswith(f"Type: {type_this}")


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", A])  # noqa: S104
def test_an_api_on_the_proxys_address_is_taken(host: str) -> None:
    assert adopted(f"[heat_api]\nbind_host = {host}\nbind_port = 8004\n").public


@pytest.mark.parametrize(("running", "ours", "together"), [
    ("27.0.1", "27.0.1", True), ("26.0.2", "27.0.1", True), ("24.1.2", "25.0.2", True),
    ("25.0.2", "26.0.2", False), ("27.0.1", "24.1.2", False),
])  # fmt: skip
def test_engines_share_a_broker_only_where_they_understand_each_other(running: str, ours: str, together: bool) -> None:
    spec = dataclasses.replace(SPEC, deployment=dataclasses.replace(DEPLOYMENT, install=Installation(version=ours)))
    if together:
        assert adopted(spec=spec, release=running).public
    else:
        (message,) = problems(spec=spec, release=running)
        assert f"Type: pulumi config set heatVersion {running}" in message


def test_every_problem_is_reported_at_once_and_no_secret() -> None:
    with pytest.raises(AdoptionError) as raised:
        adopted(
            "[DEFAULT]\ncolour = blue\nrpc_response_timeout = 600\n[heat_api]\nbind_port = 9004\n", release="24.1.2"
        )
    assert len(raised.value.problems) == 4
    assert "-secret" not in f"{raised.value}{raised.value.problems}"


def test_an_option_that_no_release_knows_can_be_allowed_by_name() -> None:
    allowing = dataclasses.replace(SPEC, allow=("DEFAULT.colour",))
    result = adopted("[DEFAULT]\ncolour = blue\n", allowing)
    assert result.secret["DEFAULT"]["colour"] == "blue"
    assert "colour" not in result.public["DEFAULT"]


def test_a_login_in_keystones_url_is_refused_because_clients_see_it() -> None:
    message = "\n".join(problems("[keystone_authtoken]\nauth_url = https://heat:hunter2@keystone.example/v3\n"))
    assert "auth_url has a login or a query in it" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "missing", ["transport_url", "connection", "auth_url", "auth_type", "username", "project_name"]
)
def test_a_missing_option_that_heat_needs_is_refused(missing: str) -> None:
    text = re.sub(rf"(?m)^{missing} = .*\n", "", LEAST)
    with pytest.raises(AdoptionError) as raised:
        adopt(Original(files={"/etc/heat/heat.conf": text}), SPEC)
    assert any(missing in problem.rule for problem in raised.value.problems)


# Files for the nodes.


def test_a_files_path_on_the_nodes_changes_with_its_content() -> None:
    result = adopted("cafile = /etc/ssl/cloud.pem\n")
    assert result.files == {("keystone_authtoken", "cafile"): "/etc/ssl/cloud.pem"}
    places = {
        result.with_node_paths({"/etc/ssl/cloud.pem": base64.b64encode(content).decode()}).public["keystone_authtoken"][
            "cafile"
        ]
        for content in (b"one", b"another")
    }
    assert len(places) == 2
    assert all(re.fullmatch(r"/etc/heat/adopted/[0-9a-f]{12}-cloud\.pem", place) for place in places)


@pytest.mark.parametrize(
    ("more", "policies", "policy"),
    [
        ("", (), None),
        ("", ("/etc/heat/policy.yaml",), "/etc/heat/policy.yaml"),
        ("[oslo_policy]\npolicy_file = rules.yaml\n", ("/etc/heat/policy.yaml",), None),
        ("[oslo_policy]\npolicy_file = /srv/rules.yaml\n", ("/etc/heat/policy.yaml",), "/srv/rules.yaml"),
    ],
)
def test_the_nodes_get_the_adopted_policy_if_there_is_one(
    more: str, policies: tuple[str, ...], policy: str | None
) -> None:
    result = adopted(more, policies=policies)
    assert result.files.get(("oslo_policy", "policy_file")) == policy
    if policy is None:
        assert result.public["oslo_policy"] == options(DEPLOYMENT)["oslo_policy"]


def test_rules_in_a_policy_directory_are_refused_unless_allowed() -> None:
    found = ("/etc/heat/policy.d/more.yaml",)
    (message,) = problems(policies=found)
    assert "/etc/heat/policy.d/more.yaml" in message
    assert message.endswith("Type: pulumi config set --path 'adoptAllow[0]' oslo_policy.policy_dirs")
    assert adopted(spec=dataclasses.replace(SPEC, allow=("oslo_policy.policy_dirs",)), policies=found).public


def test_a_directory_is_reported_and_not_copied() -> None:
    result = adopted("[DEFAULT]\nplugin_dirs = /srv/heat/plugins\n")
    assert not result.files
    assert any("/srv/heat/plugins" in note for note in result.notes)


# Input of the other programs.


CONNECTIONS = Connections(workers=4, each=69, remedy="Raise it.")


def known(more: str = "") -> Mapping[str, Mapping[str, str]]:
    result = adopted(more)
    return merge(result.public, result.secret)


def test_database_broker_and_cache_are_checked_at_the_address_that_nodes_use() -> None:
    spec = reach_spec(
        known("memcached_servers = localhost:11211\n[cache]\nmemcache_servers = 10.0.0.9:11211\n"), CONNECTIONS
    )
    assert spec["database"] == {
        "url": f"mysql+pymysql://heat:database-secret@{A}/heat",
        "admin_url": "",
        "connections": {"workers": 4, "each": 69, "remedy": "Raise it."},
    }
    assert spec["broker"]["url"] == f"rabbit://heat:broker-secret@{A}/"
    assert spec["broker"]["ca"] == ""
    assert spec["cache"] == ["10.0.0.1:11211", "10.0.0.9:11211"]


def test_a_broker_with_tls_is_checked_with_heats_certificates() -> None:
    spec = reach_spec(known("[oslo_messaging_rabbit]\nssl = True\n"), CONNECTIONS)
    assert spec["broker"]["ca"].startswith("/etc/ssl/")


def test_keystone_is_asked_as_heat_itself() -> None:
    spec = keystone_check_spec(
        known("[DEFAULT]\nstack_user_domain_id = 1234\nstack_domain_admin = keeper\n"), DEPLOYMENT
    )
    assert spec["login"] == {
        "username": "heat",
        "password": "service-secret",
        "project_name": "service",
        "user_domain_id": "default",
    }
    assert (spec["url"], spec["endpoints"]["orchestration"]) == (f"http://{A}:5000/v3", f"http://{A}:8004")
    assert spec["stack_domain"] == {
        "username": "keeper",
        "password": "",
        "user_domain_id": "1234",
        "domain_id": "1234",
    }
    assert keystone_check_spec(known(), DEPLOYMENT)["stack_domain"] == {}


def test_domains_are_passed_on_by_id() -> None:
    login = service_login(adopted().login)
    assert (login.user, login.password, login.domain_id, login.project_domain_id) == (
        "heat",
        "service-secret",
        "default",
        "",
    )


# The whole program.


def test_the_nodes_have_its_options_and_its_files() -> None:
    result = adopted_heat()
    public = parsed(result.by_name["node-b-heat-conf"].text())
    secret = parsed(result.by_name["node-c-secrets-conf"].text())
    assert secret["database"]["connection"] == f"mysql+pymysql://heat:{MARK}.database@{A}/heat"
    assert secret["DEFAULT"]["transport_url"] == f"rabbit://stackrabbit:{MARK}.broker@{A}:5672/"
    assert public["DEFAULT"]["max_stacks_per_tenant"] == "77"
    assert public["DEFAULT"]["num_engine_workers"] == "1"
    placed = result.by_name["node-b-adopted-files"].text()
    for section, option, path in (
        ("keystone_authtoken", "cafile", "/etc/ssl/cloud.pem"),
        ("oslo_policy", "policy_file", "/etc/heat/policy.yaml"),
    ):
        assert f"mv {public[section][option]}.new {public[section][option]}\n" in placed
        assert base64.b64encode(FILES[path].encode()).decode() in placed
    assert "node-b-adopted-files" in result.before("node-b-heat-engine-1")
    for node in ("node-b", "node-c"):
        assert "127.0.0.1" not in result.by_name[f"{node}-heat-conf"].text()


def test_no_host_is_changed_before_the_configuration_is_accepted() -> None:
    result = adopted_heat()
    reading = {"front-original-program", "front-original", "front-original-files"}
    for resource in result.remote:
        if resource.name not in reading and not resource.name.endswith("-ready"):
            assert "front-original-files" in result.before(resource.name), resource.name


def test_a_refused_configuration_ends_the_up_with_every_reason_and_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = next(iter(original()["files"].values())) + "[DEFAULT]\ncolour = blue\nrpc_response_timeout = 600\n"
    found = {**original(), "files": {"/etc/heat/heat.conf": conf}}
    monkeypatch.setattr(program, "original", lambda: found)
    with pytest.raises(pulumi.RunError) as raised:
        program.run(hosts="existing", controlPlane="existing", adopt=True, sshPrivateKey=KEY, existing=hosts())
    assert "[DEFAULT] colour: no release of Heat knows it" in str(raised.value)
    assert "timeouts.rpcResponse = 60: [DEFAULT] rpc_response_timeout is 600 there" in str(raised.value)
    assert "Type: pulumi config set --path timeouts.rpcResponse 600" in str(raised.value)
    assert MARK not in str(raised.value)


def test_everything_read_is_secret_from_the_first_moment() -> None:
    result = adopted_heat()
    for name in ("front-original", "front-original-files"):
        assert {"stdout", "stderr"} <= set(result.by_name[name].request.additionalSecretOutputs)
        assert result.by_name[name].inputs["logging"] == "none"
    for name in ("node-b-secrets-conf", "node-b-adopted-files", "node-b-reach", "node-b-keystone-check", "front-check"):
        assert isinstance(result.by_name[name].inputs["stdin"], Secret), name
    assert not isinstance(result.by_name["node-b-heat-conf"].inputs["stdin"], Secret)
    for resource in result.registered:
        for key, value in resource.inputs.items():
            if not isinstance(value, Secret) and key != "environment":
                assert MARK not in json.dumps(value, default=lambda secret: f"{type(secret)}"), resource.name
    assert MARK not in str(result.outputs)


def test_another_revision_reads_the_configuration_again() -> None:
    before, after = adopted_heat(), adopted_heat(adoptRevision=2)
    changed = {
        name
        for name, resource in before.by_name.items()
        if resource.inputs.get("stdin") != after.by_name[name].inputs.get("stdin")
    }
    assert changed == {"front-original"}


def test_the_addresses_are_taken_after_every_process_runs_and_given_back_before_one_stops() -> None:
    result = adopted_heat()
    running = {f"{process['node']}-{process['unit'].replace('@', '-')}" for process in result.outputs["processes"]}
    assert running | {"front-haproxy-cfg", "front-haproxy-leave"} <= result.before("front-take-over")
    assert "front-take-over" in result.before("front-haproxy")
    assert "front-take-over-look" in result.before("front-haproxy-install")
    # What comes after something on `up` goes before it on `destroy`.
    assert {"node-b-leave", "node-c-leave"} <= result.before("front-haproxy-leave")
    assert "take_over.py give-back" in result.by_name["front-haproxy-leave"].text()


def test_without_adoption_nothing_is_taken_over() -> None:
    result = cached(hosts="existing", sshPrivateKey=KEY, existing=hosts())
    assert not [name for name in result.by_name if "take-over" in name or "original" in name]
    assert "take_over.py" not in result.by_name["front-haproxy-leave"].text()


def test_the_original_engine_runs_on_unless_overridden() -> None:
    assert '"keep_engine": true' in adopted_heat().by_name["front-take-over"].text()
    assert '"keep_engine": false' in adopted_heat(keepOriginalEngine=False).by_name["front-take-over"].text()


# Settings.

USUAL = {"adopt": True, "hosts": "existing", "controlPlane": "existing", "sshPrivateKey": "[secret]"}


def setting_problems(**more: Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load("prod", {**USUAL, "existing": hosts(), **more})
    return raised.value.problems


def test_adoption_needs_existing_hosts_and_an_existing_control_plane() -> None:
    messages = setting_problems(hosts="containers", controlPlane="bundled")
    assert "Type: pulumi config set hosts existing --stack prod" in messages[0]
    assert "Type: pulumi config set controlPlane existing --stack prod" in messages[1]


def test_a_setting_that_the_adopted_file_has_is_refused() -> None:
    messages = setting_problems(databaseUrl="[secret]", control={"keystoneUrl": "http://10.0.0.1:5000"})
    assert [problem.partition(" = ")[0] for problem in messages] == ["control", "databaseUrl"]
    assert all("Type: pulumi config rm " in problem for problem in messages)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"adoptHost": "a"}, "adoptHost = a: must be one of front, node-b, node-c"),
        ({"adoptFrom": ["heat.conf"]}, "adoptFrom[0] = heat.conf: must be an absolute path on the host"),
        ({"adoptFrom": []}, "adoptFrom = []: must name at least one file"),
        ({"adoptAllow": ["colour"]}, "adoptAllow[0] = colour: must be an option with its section"),
    ],
)
def test_a_wrong_setting_of_adoption_is_refused(more: dict[str, Any], message: str) -> None:
    assert setting_problems(**more)[0].startswith(message)


def test_another_host_may_have_the_file() -> None:
    result = adopted_heat(adoptHost="node-b")
    assert {"node-b-original", "node-b-original-files", "front-adopted-files"} <= set(result.by_name)
    assert B in parsed(result.by_name["node-c-secrets-conf"].text())["database"]["connection"]


def test_the_report_of_the_program_on_the_host_is_parsed() -> None:
    assert Original.parse(json.dumps(original())).release == "26.0.2"
    assert adoption.DIRECTORY == "/etc/heat/adopted"


def test_cached_tokens_are_encrypted_unless_the_adopted_file_has_a_strategy() -> None:
    def options(conf: str) -> dict[str, str]:
        """The nodes' options of [keystone_authtoken]."""
        found = Adopted(public=parsed(f"[{AUTH}]\n{conf}"), secret={}, files={}, notes=())
        return found.with_encrypted_tokens("generated").login

    cached = "memcached_servers = m1:11211\n"
    ours = {"memcache_security_strategy": "ENCRYPT", "memcache_secret_key": "generated"}
    assert options(cached) == {"memcached_servers": "m1:11211", **ours}
    # A key without a strategy has no effect on the adopted host, and it is kept as a secret.
    assert options(f"{cached}memcache_secret_key = theirs\n")["memcache_secret_key"] == "theirs"  # noqa: S105
    for strategy in ("MAC", "ENCRYPT", "None"):
        conf = f"{cached}memcache_security_strategy = {strategy}\n"
        assert options(conf) == {"memcached_servers": "m1:11211", "memcache_security_strategy": strategy}
    assert options("username = heat\n") == {"username": "heat"}


def test_nodes_encrypt_their_tokens_with_a_key_in_their_secret_options() -> None:
    nodes = adopted_heat().by_name
    public, hidden = (parsed(nodes[f"node-b-{name}-conf"].text()) for name in ("heat", "secrets"))
    assert public[AUTH]["memcache_security_strategy"] == "ENCRYPT"
    assert "memcache_secret_key" not in public[AUTH]
    assert hidden[AUTH]["memcache_secret_key"] == fake_password("token-cache")
