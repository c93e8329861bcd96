"""Existing hosts, as Pulumi sees them: how it logs in to each, and the order of the steps."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from components.remote import DIALS
from components.rendering import render
from infra.remedies import OTHER_KEY
from tests.unit.program import LOCAL, MARK, Outputs, Run, Secret, cached, run

ADDRESSES = {"front": "10.0.0.1", "node-b": "10.0.0.2", "node-c": "10.0.0.3"}
# A private key that can be recognised anywhere.
KEY = f"-----BEGIN PRIVATE KEY-----\n{MARK}.ssh\n-----END PRIVATE KEY-----\n"


def host_key(name: str) -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + name.encode().ljust(32, b".")
    return "ssh-ed25519 " + base64.b64encode(blob).decode()


def hosts(**more: Any) -> dict[str, Any]:
    """The guide's three hosts; `more` is added to `existing`."""
    front, *nodes = (
        {"address": address, "hostKey": host_key(name), **({"name": name} if name != "front" else {})}
        for name, address in ADDRESSES.items()
    )
    return {"front": front, "nodes": nodes, **more}


def existing(**more: Any) -> Run:
    return cached(hosts="existing", sshPrivateKey=KEY, existing=hosts(**more))


JUMP = {"address": "jump.example", "port": 2222, "user": "gate", "hostKey": host_key("jump")}


def test_every_login_uses_the_hosts_own_host_key_and_the_operators_key() -> None:
    result = existing()
    assert {result.host_of(resource) for resource in result.remote} == set(ADDRESSES)
    for resource in result.remote:
        host, opened = result.host_of(resource), resource.connection
        assert isinstance(resource.inputs["connection"], Secret)
        assert opened["host"] == ADDRESSES[host]
        assert opened["hostKey"] == host_key(host)
        assert (opened["user"], opened["port"], opened["privateKey"]) == ("root", 22, KEY)
        assert "proxy" not in opened


def test_a_host_may_have_a_user_and_a_port_of_its_own() -> None:
    changed = hosts(user="operator")
    changed["nodes"][1] |= {"user": "root", "port": 2200}
    result = cached(hosts="existing", sshPrivateKey=KEY, existing=changed)
    logins = {result.host_of(one): (one.connection["user"], one.connection["port"]) for one in result.remote}
    assert logins == {"front": ("operator", 22), "node-b": ("operator", 22), "node-c": ("root", 2200)}
    for resource in result.remote:
        first, *_ = resource.text("create").split(maxsplit=1)
        as_root = logins[result.host_of(resource)][0] == "root"
        if resource.name.endswith("-ready"):
            assert resource.text("create") == "sh -s"
        else:
            assert first == ("heat-scaleout" if as_root else "sudo")


def test_without_a_key_the_agent_is_used_and_its_socket_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/user/0/agent")
    for resource in run(hosts="existing", existing=hosts(jump=JUMP)).remote:
        assert not {"privateKey", "agentSocketPath"} & (set(resource.connection) | set(resource.connection["proxy"]))


def test_a_jump_host_is_verified_as_well_and_takes_the_same_key() -> None:
    for resource in existing(jump=JUMP).remote:
        proxy = resource.connection["proxy"]
        assert (proxy["host"], proxy["port"], proxy["user"]) == ("jump.example", 2222, "gate")
        assert proxy["hostKey"] == host_key("jump")
        key = proxy["privateKey"]
        assert (key.value if isinstance(key, Secret) else key) == KEY


def test_a_jump_host_that_is_one_of_the_hosts_is_not_reached_over_itself() -> None:
    result = existing(user="operator", jump={"address": ADDRESSES["front"], "hostKey": host_key("front")})
    for resource in result.remote:
        if result.host_of(resource) == "front":
            assert "proxy" not in resource.connection
        else:
            assert resource.connection["proxy"]["user"] == "operator"


def test_no_host_is_changed_before_all_are_checked() -> None:
    result = existing()
    ready = {f"{name}-ready" for name in ADDRESSES}
    for resource in result.remote:
        before = result.before(resource.name) & ready
        assert before == (set() if resource.name in ready else ready), resource.name


def test_a_silent_existing_host_is_reported_soon() -> None:
    assert {resource.connection["dialErrorLimit"] for resource in existing().remote} == {DIALS}


def test_behind_a_jump_host_only_the_first_attempt_has_the_reason() -> None:
    for resource in existing(jump=JUMP).remote:
        first = resource.name.endswith("-ready")
        assert resource.connection["dialErrorLimit"] == (0 if first else DIALS)
        assert resource.connection["proxy"]["dialErrorLimit"] == DIALS


def test_only_secrets_and_clients_logins_are_created_or_deleted() -> None:
    result = existing()
    leaving = {"front-haproxy-leave", "front-firewall-leave", "node-b-leave", "node-c-leave"}
    leaving |= {"front-forget-node-b", "front-forget-node-c"}
    assert {one.name for one in result.commands if "delete" in one.inputs} == {"clouds-yaml", *leaving}
    here = {one.name for one in result.commands if one.type == LOCAL}
    assert {name for name in here if not name.startswith("secret-")} == {"clouds-yaml", *leaving}
    for resource in result.remote:
        assert not resource.request.deletedWith
        assert not list(resource.request.replace_with)


def test_the_private_key_is_only_in_connections() -> None:
    result = existing(jump=JUMP)
    for resource in result.registered:
        for name, value in resource.inputs.items():
            if name == "environment" and resource.type == LOCAL:
                assert isinstance(value["PRIVATE_KEY"], Secret)
            elif name != "connection":
                assert f"{MARK}.ssh" not in str(value), resource.name
    assert MARK not in str(result.outputs)


def test_another_node_at_the_end_keeps_every_resource() -> None:
    more = hosts()
    more["nodes"].append({"name": "a", "address": "10.0.0.4", "hostKey": host_key("a"), "engines": 1})
    old = existing()
    new = cached(hosts="existing", sshPrivateKey=KEY, existing=more, engines=3)
    assert old.by_urn.keys() < new.by_urn.keys()
    added = new.by_name.keys() - old.by_name.keys()
    assert {name for name in added if name.partition("-")[0] != "a"} == {"front-forget-a"}


def test_the_front_host_also_admits_a_node_from_its_other_address() -> None:
    """A host with several addresses may reach the front host from another one than that of its services."""
    usual = Outputs.stdout
    stdout = {"node-b-ready": "10.0.0.2\n", "node-c-ready": "10.9.9.3\n"}
    with mock.patch.object(Outputs, "stdout", staticmethod(lambda name: stdout.get(name) or usual(name))):
        result = run(hosts="existing", sshPrivateKey=KEY, existing=hosts())
    text = result.by_name["front-firewall"].text()
    assert "elements = { 10.0.0.2, 10.0.0.3, 10.9.9.3 }" in text
    for node in ("node-b", "node-c"):
        assert "\nip -o -4 route get 10.0.0.1 |" in result.by_name[f"{node}-ready"].text()
    assert "ip -o -4 route get" not in result.by_name["front-ready"].text()


def test_a_preview_with_nothing_known_yet_shows_the_same_resources() -> None:
    unknown = cached(preview=True, hosts="existing", sshPrivateKey=KEY, existing=hosts())
    assert unknown.by_urn.keys() == existing().by_urn.keys()


def known_key(tmp_path: Path, files: dict[str, str], **values: str) -> tuple[int, str]:
    """Run the check for an earlier Heat, on a host with these files below /etc/heat."""
    for name, text in files.items():
        path = tmp_path / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    usual = {"name": "node-b", "key": "k" * 32, "database": "10.0.0.1/heat", "remedy": OTHER_KEY}
    script = render("heat/known-key.sh.j2", **usual | values)
    done = subprocess.run(
        ["sh", "-s"],
        input=script.replace("/etc/heat/", f"{tmp_path}/etc/"),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def heats(key: str, at: str = "10.0.0.1/heat?charset=utf8mb4") -> str:
    return f"[DEFAULT]\nauth_encryption_key = {key}\n[database]\nconnection = mysql+pymysql://heat:p/w@x@{at}\n"


@pytest.mark.parametrize("file", ["processes/heat-engine@1/secrets.conf", "heat.conf", "heat.conf.d/secrets.conf"])
def test_a_host_that_has_run_heat_on_this_database_with_another_key_is_refused(tmp_path: Path, file: str) -> None:
    code, message = known_key(tmp_path, {file: heats("another-key")})
    assert code == 1
    assert "node-b has run Heat on the database 10.0.0.1/heat with another auth_encryption_key" in message
    assert file in message
    assert "Nothing was changed" in message
    assert "restore it from its backup" in message
    assert "pulumi config set --secret authEncryptionKey" in message
    assert "another-key" not in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (heats("k" * 32), "k" * 32),
        (heats('"k$$k "  '), "k$k "),
        (heats("k\\$k"), "k$k"),
        (heats("another", "10.0.0.1/second"), "k" * 32),
        ("[DEFAULT]\n# auth_encryption_key = another\n", "k" * 32),
        # As oslo.config reads it: one pair of quotes is removed.
        (heats("\"'" + "k" * 30 + "'\""), "'" + "k" * 30 + "'"),
        (heats(""), "k" * 32),
    ],
)
def test_a_host_with_this_key_another_database_or_no_key_is_accepted(tmp_path: Path, text: str, key: str) -> None:
    assert known_key(tmp_path, {"heat.conf": text}, key=key) == (0, "")


def test_a_host_that_has_not_run_heat_is_accepted(tmp_path: Path) -> None:
    assert known_key(tmp_path, {}) == (0, "")


def test_no_host_is_changed_before_the_key_of_all_is_checked() -> None:
    result = existing()
    asked = {f"{host}-known-key" for host in ADDRESSES}
    for resource in result.remote:
        if resource.name not in asked and not resource.name.endswith("-ready"):
            assert asked <= result.before(resource.name), resource.name
    assert all(isinstance(result.by_name[name].inputs["stdin"], Secret) for name in asked)


def test_a_given_key_is_used_by_the_bundled_control_plane_too() -> None:
    key = f"{MARK}.given".ljust(32, ".")
    result = cached(hosts="existing", sshPrivateKey=KEY, existing=hosts(), authEncryptionKey=key)
    assert f"auth_encryption_key = {key}" in result.by_name["node-b-secrets-conf"].text()
    assert "secret-auth-encryption-key" in result.by_name


def test_the_next_node_does_the_first_ones_tasks_if_the_first_one_is_removed() -> None:
    fewer = hosts()
    del fewer["nodes"][0]
    old = cached(hosts="existing", sshPrivateKey=KEY, existing=hosts())
    new = cached(hosts="existing", sshPrivateKey=KEY, existing=fewer, engines=1, apis=1, cfnApis=1)

    def of(result: Run, node: str) -> set[str]:
        return {name.removeprefix(f"{node}-") for name in result.by_name if name.startswith(f"{node}-")}

    assert of(new, "node-b") == set()
    assert of(old, "node-c") <= of(old, "node-b") == of(new, "node-c")
