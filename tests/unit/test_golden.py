"""Every text that lands on a host: a changed template shows here as a changed file.

`make golden` writes the files anew; the diff is what to read.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2.meta
import pytest
import yaml

from components.heat.install import lock_file, locked_releases
from components.rendering import LOCKS, PROGRAMS, TEMPLATES, _environment
from infra.settings.model import Settings
from tests.unit.adopted import adopted_heat
from tests.unit.program import (
    ROOT,
    Resource,
    Run,
    balanced_sample,
    existing_control_plane,
    guide_sample,
    vm_sample,
)
from tests.unit.real_haproxy import HAPROXY
from tests.unit.sample import parsed
from tests.unit.test_existing_hosts import KEY, hosts

GOLDEN = Path(__file__).with_name("golden")

# Golden file: the resource of the guide's sample that ships it.
CASES = {
    "adoption/fetch.sh": "front-original-files",
    "adoption/place.sh": "node-b-adopted-files",
    "adoption/read.sh": "front-original",
    "hosts/containers/flags.sh": "flags",
    "hosts/containers/host.sh": "node-1-machine",
    "hosts/containers/image.sh": "image",
    "hosts/containers/network.sh": "network",
    "control_plane/epmd-socket.conf": "front-rabbitmq-epmd",
    "control_plane/identity.sh": "node-1-identity",
    "control_plane/dump.sh": "front-dump",
    "control_plane/install.sh": "front-install",
    "control_plane/keystone-secrets.conf": "front-keystone-secrets",
    "control_plane/keystone-uwsgi.ini": "front-keystone-uwsgi",
    "control_plane/keystone.conf": "front-keystone-conf",
    "control_plane/keystone.service": "front-keystone-unit",
    "control_plane/keystone-proxy.cfg": "front-keystone-proxy-cfg",
    "control_plane/keystone-proxy.service": "front-keystone-proxy-unit",
    "control_plane/mariadb-memory.conf": "front-mariadb-memory",
    "control_plane/keystone.sh": "front-keystone",
    "control_plane/mariadb.cnf": "front-mariadb-cnf",
    "control_plane/mariadb.sh": "front-mariadb",
    "control_plane/memcached.conf": "front-memcached-conf",
    "control_plane/memcached.sh": "front-memcached",
    "control_plane/rabbitmq-definitions.json": "front-rabbitmq-definitions",
    "control_plane/rabbitmq-env.conf": "front-rabbitmq-env",
    "control_plane/rabbitmq.conf": "front-rabbitmq-conf",
    "control_plane/rabbitmq.sh": "front-rabbitmq",
    "control_plane/reach.sh": "node-1-reach",
    "control_plane/keystone-check.sh": "node-1-keystone-check",
    "hosts/firewall/close-the-front-host.sh": "front-firewall",
    "hosts/firewall/close-a-node.sh": "node-1-firewall",
    "proxy/check.sh": "front-check",
    "proxy/haproxy.cfg": "front-haproxy-cfg",
    "proxy/install.sh": "front-haproxy-install",
    "proxy/run.sh": "front-haproxy",
    "proxy/take-over.sh": "front-take-over",
    "heat/check-options.sh": "node-1-check-options",
    "heat/check.sh": "node-2-check",
    "heat/check-with-broker.sh": "node-1-check",
    "heat/heat-api-cfn@.service": "node-1-heat-api-cfn-unit",
    "heat/heat-api@.service": "node-1-heat-api-unit",
    "heat/heat-caretaker@.service": "node-1-caretaker-unit",
    "heat/heat-caretaker@clean.timer": "node-1-caretaker-clean-timer",
    "heat/heat-caretaker@purge.timer": "node-1-caretaker-purge-timer",
    "heat/heat-caretaker@rescue.timer": "node-1-caretaker-rescue-timer",
    "heat/heat-engine@.service": "node-1-heat-engine-unit",
    "heat/heat.conf": "node-1-heat-conf",
    "heat/install-pip.sh": "node-1-install",
    "heat/keep-apart.sh": "node-1-keep-apart",
    "heat/messaging.sh": "node-1-messaging",
    "heat/policy.yaml": "node-1-policy",
    "heat/process-api.conf": "node-1-heat-api-8004-conf",
    "heat/process-api.sh": "node-1-heat-api-8004",
    "heat/process-engine.sh": "node-1-heat-engine-1",
    "heat/retire.sh": "node-1-retire",
    "heat/schema.sh": "node-1-schema",
    "heat/schema-state.sh": "node-1-schema-state",
    "heat/members.sh": "node-1-members",
    "heat/secrets.conf": "node-1-secrets-conf",
    "heat/timers.sh": "node-1-caretaker",
    "heat/uwsgi-heat-api-cfn.ini": "node-1-heat-api-cfn-uwsgi",
    "heat/uwsgi-heat-api.ini": "node-1-heat-api-uwsgi",
    "control_plane/clouds.yaml": "clouds-yaml",
    "scripts/teardown-node.sh": "node-1-leave",
    "scripts/teardown-firewall.sh": "front-firewall-leave",
    "scripts/teardown-node-in-firewall.sh": "front-forget-node-1",
    "scripts/teardown-proxy.sh": "front-haproxy-leave",
    "scripts/ready.sh": "node-1-ready",
}
# The same of the sample on VMs, for what only they have.
VM_CASES = {
    "hosts/openstack/await.sh": "front-await-node-1",
    "hosts/openstack/user-data.yaml": "node-1-machine",
}
# And of the same behind Octavia.
BALANCED_CASES = {
    "hosts/firewall/close-a-balanced-node.sh": "node-1-firewall",
    "heat/check-balanced.sh": "node-2-check",
    "heat/process-balanced-api.sh": "node-1-heat-api-8004",
    "heat/uwsgi-balanced-heat-api.ini": "node-1-heat-api-uwsgi",
    "proxy/check-balanced.sh": "front-check",
}
# Other deployments, and those of their files that differ from the sample's in more than values.
OTHERS: tuple[tuple[dict[str, object], dict[str, str]], ...] = (
    (
        {"install": "apt"},
        {"heat/install-apt.sh": "node-1-install", "heat/uwsgi-of-the-distribution.ini": "node-1-heat-api-uwsgi"},
    ),
    (
        {"install": "git", "gitRef": "stable/2026.1"},
        {"heat/install-git.sh": "node-1-install", "heat/requirements-git.txt": "node-1-requirements"},
    ),
    (
        {"heatVersion": "24.1.2", "apiRunner": "console", "wheelhouse": "/srv/wheels"},
        {
            "heat/heat-api-console@.service": "node-1-heat-api-unit",
            "heat/install-from-a-wheelhouse.sh": "node-1-install",
            "heat/process-console-api.conf": "node-1-heat-api-8004-conf",
            "heat/process-console-api.sh": "node-1-heat-api-8004",
        },
    ),
    (
        {"hosts": "existing", "existing": hosts(), "sshPrivateKey": KEY},
        {"heat/known-key.sh": "node-b-known-key"},
    ),
)
WHERE: dict[str, tuple[dict[str, object], str]] = {name: ({}, resource) for name, resource in CASES.items()} | {
    name: (config, resource) for config, cases in OTHERS for name, resource in cases.items()
}
# Files that are shipped unchanged: a golden copy would prove nothing more.
AS_THEY_ARE = {
    "adoption/original.py": "front-original-program",
    "control_plane/identity.py": "node-1-identity-program",
    "control_plane/keystone_check.py": "node-1-keystone-check-program",
    "control_plane/reach.py": "node-1-reach-program",
    "keystone-30.0.0.txt": "front-keystone-requirements",
    "proxy/check_proxy.py": "front-check-program",
    "proxy/leave.lua": "front-haproxy-leave-program",
    "proxy/take_over.py": "front-take-over-program",
    "heat/broker_consumers.py": "node-1-broker-consumers",
    "heat/encrypted.py": "node-1-encrypted-program",
    "heat/api.py": "node-1-api-program",
    "heat/engine.py": "node-1-engine-program",
    "heat/pace.py": "node-1-engine-pace",
    "heat/caretaker.py": "node-1-caretaker-caretaker",
    "heat/engine_work.py": "node-1-engine-work",
    "heat/check_policy.py": "node-1-check-policy",
    "heat/installed.py": "node-1-installed-program",
    "heat/messaging_options.py": "node-1-messaging-program",
    "heat/records.py": "node-1-caretaker-records",
    "heat/schema.py": "node-1-schema-program",
    "heat/members.py": "node-1-members-program",
    "heat/traversal.py": "node-1-caretaker-traversal",
    "heat/upkeep.py": "node-1-caretaker-upkeep",
}
# Run on the operator's machine, by its text: the `create` of this resource.
RUN_HERE = {"hosts/keypair.py": "ssh-key"}
# Not part of the program: tests/unit/test_verify.py runs it.
NOT_SHIPPED = {"scripts/verify.sh.j2"}

ALL = sorted([*WHERE, *VM_CASES, *BALANCED_CASES])
SCRIPTS = [name for name in ALL if name.endswith(".sh")]


def samples() -> list[Run]:
    """The guide's sample, the same with an existing control plane, and with an adopted Heat."""
    return [guide_sample(), existing_control_plane(), adopted_heat()]


def commands() -> list[Resource]:
    return [resource for sample in samples() for resource in sample.commands]


def recipe(name: str, **config: object) -> Resource:
    """A resource of the first of the samples that has it, or of the guide's sample otherwise set."""
    if config:
        return guide_sample(**config).by_name[name]
    return next(sample.by_name[name] for sample in samples() if name in sample.by_name)


def shipped(name: str) -> str:
    """The text of a case, independent of this checkout's path."""
    if name in VM_CASES:
        machine = vm_sample().by_name[VM_CASES[name]]
        return machine.text("userData" if "userData" in machine.inputs else "stdin")
    if name in BALANCED_CASES:
        return balanced_sample().by_name[BALANCED_CASES[name]].text()
    config, resource = WHERE[name]
    return recipe(resource, **config).text().replace(str(ROOT), "/the/checkout")


def templates() -> dict[str, str]:
    """The template of each text."""
    others = [guide_sample(**config) for config, _ in OTHERS]
    return {
        text: template
        for sample in [*samples(), *others, balanced_sample()]
        for text, template in sample.templates.items()
    }


def written(name: str, directory: Path) -> Path:
    """The same as a file, for a tool to look at."""
    path = directory / name.replace("/", "-")
    path.write_text(shipped(name))
    return path


def source(name: str) -> Path:
    """The path of a text that is rendered, included or shipped under this name."""
    return next(path for path in (top / name for top in (TEMPLATES, PROGRAMS, LOCKS)) if path.exists())


def includes(template: str) -> Iterator[str]:
    """A template and all that it includes, at first or second hand."""
    yield template
    text = source(template).read_text()
    for name in jinja2.meta.find_referenced_templates(_environment().parse(text)):
        assert name is not None, f"{template} includes a file whose name is made up when it is rendered"
        yield from includes(name)


@pytest.mark.parametrize("name", ALL)
def test_a_text_is_equal_to_its_golden_file(name: str, *, update_golden: bool) -> None:
    path, text = GOLDEN / name, shipped(name)
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"type: make golden, and read tests/unit/golden/{name}"
    assert text == path.read_text(), "if this is meant, type: make golden, and read the diff"


@pytest.mark.parametrize("name", sorted(AS_THEY_ARE))
def test_a_file_without_placeholders_is_shipped_unchanged(name: str) -> None:
    assert recipe(AS_THEY_ARE[name]).text() == source(name).read_text()


@pytest.mark.parametrize("name", sorted(RUN_HERE))
def test_a_script_for_the_operators_machine_is_run_unchanged(name: str) -> None:
    assert shlex.split(recipe(RUN_HERE[name]).text("create"))[-1] == source(name).read_text()


@pytest.mark.parametrize("release", locked_releases())
def test_the_list_of_packages_of_each_release_is_shipped_unchanged(release: str) -> None:
    text = guide_sample(nodes=1, heatVersion=release).by_name["node-1-requirements"].text()
    assert text == lock_file(release).read_text()


def test_every_file_that_is_rendered_or_shipped_is_compared() -> None:
    texts = [recipe(resource, **config).text() for config, resource in WHERE.values()]
    # A text may be part of another one: a script for a host in one for this machine.
    rendered = {name for inner, name in templates().items() if any(inner in text for text in texts)}
    rendered |= {vm_sample().templates[shipped(name)] for name in VM_CASES}
    seen = (
        {part for template in rendered for part in includes(template)} | set(AS_THEY_ARE) | set(RUN_HERE) | NOT_SHIPPED
    )
    seen |= {lock_file(release).name for release in locked_releases()} | {"plot.txt"}
    there = {
        str(path.relative_to(top)) for top in (TEMPLATES, PROGRAMS, LOCKS) for path in top.rglob("*") if path.is_file()
    }
    assert seen == {name for name in there if "__pycache__" not in name}


def test_every_golden_file_is_compared_with_something() -> None:
    assert {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file()} == {*ALL}


def test_every_text_of_the_program_is_from_a_compared_template() -> None:
    """A second use of a template may differ in its values alone."""
    looked_at = {templates()[recipe(resource).text()] for resource in CASES.values()}
    as_they_are = {source(name).read_text() for name in AS_THEY_ARE}
    as_they_are.add(lock_file(Settings().heat_version).read_text())
    for resource in commands():
        if "stdin" in resource.inputs:
            text = resource.text()
            assert text in as_they_are or templates()[text] in looked_at, resource.name


def test_no_text_has_a_missing_value() -> None:
    """Except Python programs, which contain None themselves."""
    for resource in commands():
        for key in ("create", "delete", "update", "stdin"):
            text = resource.text(key) if key in resource.inputs else ""
            if not text.startswith('"""'):
                assert not re.search(r"\bNone\b|<function|<bound method|Output\.|\{%|%\}", text), resource.name


def shellcheck(*paths: Path) -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--shell", "sh", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_script_passes_shellcheck(tmp_path: Path) -> None:
    rendered = [written(name, tmp_path) for name in SCRIPTS]
    static = [
        path
        for top in (TEMPLATES, PROGRAMS)
        for path in top.rglob("*.sh")
        if "{{" not in path.read_text() and ".inc" not in path.name
    ]
    assert static
    shellcheck(*rendered, *static)


def test_every_command_line_passes_shellcheck(tmp_path: Path) -> None:
    paths = []
    for resource in commands():
        for key in ("create", "update", "delete"):
            if key in resource.inputs:
                path = tmp_path / f"{resource.name}-{key}.sh"
                path.write_text(f"#!/bin/sh\n{resource.text(key)}\n")
                paths.append(path)
    assert len(paths) > len(WHERE)
    shellcheck(*paths)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_stops_at_its_first_error(name: str) -> None:
    lines = shipped(name).splitlines()
    options = next(line for line in lines if line.startswith("set -"))
    # check-options fails on purpose and says why itself.
    assert options == ("set -u" if name == "heat/check-options.sh" else "set -eu")


@pytest.mark.parametrize("path", sorted(PROGRAMS.rglob("*.py")), ids=lambda path: path.name)
def test_every_program_for_a_host_can_be_compiled(path: Path) -> None:
    compile(path.read_text(), path, "exec", dont_inherit=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_python_within_a_script_can_be_compiled(name: str) -> None:
    for program in re.findall(r"<<'PYTHON'[^\n]*\n(.*?)^PYTHON$", shipped(name), re.DOTALL | re.M):
        compile(program, name, "exec", dont_inherit=True)


@pytest.mark.parametrize(
    "name",
    [
        "adoption/fetch.sh",
        "control_plane/identity.sh",
        "control_plane/keystone-check.sh",
        "control_plane/reach.sh",
        "proxy/check.sh",
        "proxy/take-over.sh",
    ],
)
def test_the_spec_of_a_program_on_stdin_is_json(name: str) -> None:
    told = re.findall(r"<<'END_OF_SPEC'\n(.*?)^END_OF_SPEC$", shipped(name), re.DOTALL | re.M)
    assert [type(json.loads(text)) for text in told] == [dict]


def test_json_and_yaml_can_be_read() -> None:
    definitions = json.loads(shipped("control_plane/rabbitmq-definitions.json"))
    assert definitions["policies"][0]["definition"] == {"expires": 1800000}
    clouds = yaml.safe_load(shipped("control_plane/clouds.yaml"))["clouds"]
    assert {cloud["auth"]["auth_url"] for cloud in clouds.values()} == {"http://10.0.0.1:5000/v3"}
    user_data = yaml.safe_load(shipped("hosts/openstack/user-data.yaml"))
    assert user_data["ssh_keys"]["ed25519_private"].startswith("-----BEGIN PRIVATE KEY-----\n")
    policy = yaml.safe_load(shipped("heat/policy.yaml"))
    assert all(name.startswith("cloudformation:") for name in policy)


def test_the_broker_expires_the_queues_that_an_engine_leaves_and_not_the_ones_that_engines_share() -> None:
    policy = json.loads(shipped("control_plane/rabbitmq-definitions.json"))["policies"][0]
    for queue in ("engine.node-1-heat-engine-1", "engine_worker.0d5a", "heat-engine-listener.0d5a"):
        assert re.search(policy["pattern"], queue)
    for queue in ("engine", "engine_worker", "heat-engine-listener", "engine_fanout_0d5a", "reply_0d5a"):
        assert not re.search(policy["pattern"], queue)


@pytest.mark.parametrize(
    "name", ["heat/heat.conf", "heat/secrets.conf", "heat/process-api.conf", "control_plane/keystone.conf"]
)
def test_an_ini_file_can_be_read(name: str) -> None:
    assert parsed(shipped(name))


PACKAGES = sorted([*LOCKS.glob("heat-*.txt"), *LOCKS.glob("keystone-*.txt")])


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.name)
def test_every_package_on_a_host_has_one_version_and_its_digests(path: Path) -> None:
    entries = path.read_text().replace("\\\n", " ").splitlines()
    assert len(entries) > 50 or path.name == "requirements-uv.txt"
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9._-]+==[^ ;]+( *; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+ *", entry), entry


# How the front host calls the program.
LEAVE = "/etc/haproxy/heat-scaleout-leave.lua"


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed here; on the front host it checks every file itself")
@pytest.mark.parametrize("name", ["proxy/haproxy.cfg", "control_plane/keystone-proxy.cfg"])
def test_haproxy_accepts_its_configuration_without_a_warning(name: str, tmp_path: Path) -> None:
    assert HAPROXY
    path = written(name, tmp_path)
    path.write_text(path.read_text().replace(LEAVE, str(PROGRAMS / "proxy/leave.lua")))
    checked = subprocess.run([HAPROXY, "-c", "-dW", "-f", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(not HAPROXY, reason="haproxy is not installed here; on the front host it checks every file itself")
@pytest.mark.parametrize("name", ["proxy/haproxy.cfg", "control_plane/keystone-proxy.cfg"])
def test_haproxy_accepts_the_maximum_of_addresses(name: str, tmp_path: Path) -> None:
    """A line of HAProxy's has 64 words at most."""
    assert HAPROXY
    many = [f"192.0.2.{at}" for at in range(1, 201)]
    text = (GOLDEN / name).read_text()
    listed = re.search(r"(?m)^    acl (own|may_see_statistics) src 127\.0\.0\.0/8\n", text)
    assert listed, "one line for each address"
    more = "".join(f"    acl {listed[1]} src {address}\n" for address in many)
    path = tmp_path / "haproxy.cfg"
    path.write_text(text.replace(listed[0], listed[0] + more).replace(LEAVE, str(PROGRAMS / "proxy/leave.lua")))
    checked = subprocess.run([HAPROXY, "-c", "-dW", "-f", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed here; the hosts' systemd reads the units")
def test_systemd_knows_every_line_of_the_units(tmp_path: Path) -> None:
    assert ANALYZE
    paths = []
    for name in sorted(WHERE):
        if name.endswith(".service"):
            path = tmp_path / Path(name).name.replace("@", "@8004")
            # The unit's programs are only on the hosts.
            text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", shipped(name))
            path.write_text(text.replace("/usr/sbin/haproxy", "/bin/true"))
            paths.append(path)
    assert len(paths) == 7
    checked = subprocess.run(
        [ANALYZE, "verify", "--man=no", "--recursive-errors=no", *paths], capture_output=True, text=True, check=False
    )
    assert not re.findall(rf"{tmp_path}.*", checked.stderr), checked.stderr


# `systemd-analyze security` calls up to 4.9 "OK"; every shipped unit is far better.
MOST_EXPOSED = 2.5


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed here; the hosts are asked by tests/e2e")
@pytest.mark.parametrize("name", sorted(name for name in WHERE if name.endswith(".service")))
def test_a_unit_is_sandboxed(name: str, tmp_path: Path) -> None:
    assert ANALYZE
    path = tmp_path / Path(name).name
    path.write_text(shipped(name))
    told = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", path], capture_output=True, text=True, check=False
    )
    if "unrecognized option" in told.stderr:
        pytest.skip("this systemd-analyze cannot look at a file; the hosts are asked by tests/e2e")
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", told.stdout)
    assert found, told.stdout + told.stderr
    assert float(found[1]) <= MOST_EXPOSED, told.stdout


@pytest.mark.parametrize("name", sorted(name for name in WHERE if name.endswith((".service", "-memory.conf"))))
def test_a_unit_has_a_limit_of_memory(name: str) -> None:
    """From the settings; each unit has its own key."""
    assert re.findall(r"(?m)^MemoryMax=(.*)$", shipped(name)) == [usual_memory(name)]


def usual_memory(name: str) -> str:
    keys = {
        "keystone.service": "keystone", "keystone-proxy.service": "keystone_proxy", "mariadb-memory.conf": "database",
        "heat-engine@.service": "engine", "heat-api@.service": "api", "heat-api-console@.service": "api",
        "heat-api-cfn@.service": "cfn_api", "heat-caretaker@.service": "caretaker",
    }  # fmt: skip
    return str(getattr(Settings().memory_limits, keys[Path(name).name]))
