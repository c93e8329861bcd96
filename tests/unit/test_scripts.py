"""Scripts that can be run for real, without root: those for the operator's own machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pulumi
import pytest
import yaml

from components.control_plane.client_config import ClientConfig, Login
from components.rendering import TEMPLATES, render
from components.secrets import KeyPair
from tests.unit.program import Monitor, Outputs, Resource, cached, in_pulumi
from tests.unit.sample import B, parsed


def sh(text: str, *, stdin: str = "", cwd: Path | None = None, **environment: str) -> str:
    """What a script prints, as a Command of Pulumi keeps it: without the newline at its end."""
    done = subprocess.run(
        ["/bin/sh", "-c", text],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        # As env.sh has it.
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.removesuffix("\n")


def recipe(name: str) -> Resource:
    return cached().by_name[name]


needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed here")


def test_a_password_has_32_hexadecimal_digits_and_is_another_each_time() -> None:
    made = {sh(recipe("secret-broker").text("create")) for _ in range(3)}
    assert len(made) == 3
    assert all(len(password) == 32 and not set(password) - set("0123456789abcdef") for password in made)


def test_an_update_of_a_secret_repeats_it_to_the_letter() -> None:
    for before in ("0123456789abcdef", '-----BEGIN\nkey %s \\n "quoted" $HOME\n-----END\nssh-ed25519 AAAA'):
        assert sh(recipe("secret-broker").text("update"), PULUMI_COMMAND_STDOUT=before) == before


def pair(printed: str) -> Mapping[str, str]:
    """What KeyPair makes of what its script printed."""

    class Printed(Outputs):
        @staticmethod
        def stdout(name: str) -> str:
            return printed if name == "key" else ""

    def body() -> None:
        keys = KeyPair("key", pulumi.ComponentResource("test:index:Parent", "parent"))
        pulumi.export("private", keys.private_key)
        pulumi.export("public", keys.public_key)
        pulumi.export("private is secret", pulumi.Output.from_input(keys.private_key.is_secret()))
        pulumi.export("public is secret", pulumi.Output.from_input(keys.public_key.is_secret()))

    return in_pulumi(body, Monitor(Printed(preview=False), []), config={}, preview=False)


@needs_ssh
def test_a_key_pair_is_taken_apart_into_keys_that_belong_together(tmp_path: Path) -> None:
    keys = pair(sh(recipe("ssh-key").text("create")))
    assert keys["private is secret"]
    assert not keys["public is secret"]
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(keys["private"])
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert derived.stdout.split()[:2] == keys["public"].split() == ["ssh-ed25519", keys["public"].split()[1]]


def test_making_a_key_pair_writes_no_file(tmp_path: Path) -> None:
    """No directory is writable, so a signal cannot leave a file behind."""
    tmp_path.chmod(0o500)
    before = set(Path("/dev/shm").iterdir())  # noqa: S108 # where a file in memory would be
    made = recipe("ssh-key").text("create")
    traced = subprocess.run(
        ["/bin/sh", "-c", made],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TMPDIR": "/nowhere", "HOME": "/nowhere"},
    )
    assert traced.stdout.count("PRIVATE KEY") == 2
    assert not {*Path("/dev/shm").iterdir()} - before  # noqa: S108
    for word in ("mktemp", "ssh-keygen", "open(", "tempfile"):
        assert word not in made


def test_another_python_than_the_projects_fails_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    made = recipe("ssh-key").text("create")
    done = subprocess.run(
        ["/bin/sh", "-c", made], capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert done.returncode == 1
    assert done.stderr.endswith("type: . ./env.sh\n")
    assert "Traceback" not in done.stderr


def test_the_logins_of_clients_are_written_for_the_operator_alone_and_taken_away_again(tmp_path: Path) -> None:
    """Even where the name of a directory has a space, and over a file that others could read."""
    path = tmp_path / "a checkout" / "clouds.yaml"
    registered: list[Resource] = []

    def body() -> None:
        logins = {"heat": Login(user="demo", project="demo", password="secret")}
        pulumi.export(
            "path", ClientConfig("clients", path=path, keystone_url="http://k", region="R", logins=logins).path
        )

    assert in_pulumi(body, Monitor(Outputs(preview=False), registered), config={}, preview=False) == {"path": str(path)}
    (written,) = [resource for resource in registered if resource.name == "clouds-yaml"]
    for _ in range(2):
        sh(written.text("create"), stdin=written.text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert yaml.safe_load(path.read_text())["clouds"]["heat"]["auth"]["password"] == "secret"  # noqa: S105
        path.chmod(0o644)
    for _ in range(2):
        sh(written.text("delete"))
        assert not path.exists()


@pytest.fixture
def fake_ssh(tmp_path: Path) -> Path:
    return ssh_in(tmp_path)


def ssh_in(directory: Path) -> Path:
    """An ssh that records its arguments and its agent's keys, and waits and exits as the environment says."""
    path = directory / "bin/ssh"
    path.parent.mkdir()
    path.write_text(
        '#!/bin/sh\ncat "$2" "$(sed -n "s/.*UserKnownHostsFile //p" "$2")" >"$TOLD/config"\n'
        '[ -z "${SSH_AGENT_PID-}" ] || { ssh-add -L >"$TOLD/keys" 2>&1; echo "$SSH_AGENT_PID" >"$TOLD/agent"; }\n'
        'env >"$TOLD/environment"\n'
        'shift 2; echo "$*" >"$TOLD/arguments"; cat >"$TOLD/stdin"; echo $$ >"$TOLD/pid"\n'
        '[ -z "${WAIT-}" ] || exec sleep "$WAIT"\nexit "$STATUS"\n'
    )
    path.chmod(0o755)
    return path.parent


def start_teardown(
    name: str, fake: Path, record: Path, *, status: int = 0, action: str = "delete", key: str = "", wait: str = ""
) -> subprocess.Popen[str]:
    record.mkdir(exist_ok=True)
    (record / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        # A test run in the background (nohup … &) ignores SIGINT and SIGHUP, which a shell could then not trap.
        ["env", "--default-signal=INT,HUP", "sh", "-s", action],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            "PATH": f"{fake}:/usr/bin:/bin",
            "TOLD": str(record),
            "STATUS": str(status),
            "PRIVATE_KEY": key,
            "TMPDIR": str(record / "tmp"),
            "WAIT": wait,
        },
    )
    assert process.stdin
    process.stdin.write(recipe(name).text())
    process.stdin.close()
    process.stdin = None
    return process


def run_teardown(
    name: str, fake: Path, record: Path, *, status: int = 0, action: str = "delete", key: str = ""
) -> tuple[int, str]:
    with start_teardown(name, fake, record, status=status, action=action, key=key) as process:
        _, text = process.communicate(timeout=60)
    return process.returncode, text


def test_a_teardown_logs_in_with_the_pinned_key_and_runs_its_script(fake_ssh: Path, tmp_path: Path) -> None:
    record = tmp_path / "told"
    assert run_teardown("node-1-leave", fake_ssh, record) == (0, "")
    config = (record / "config").read_text()
    assert "StrictHostKeyChecking yes" in config
    assert re.search(r"(?m)^10\.213\.77\.11 ssh-ed25519 AAAA", config)
    assert (record / "arguments").read_text().endswith("; heat-scaleout run leave\n")
    # The host checks that it is complete: programs/hosts/heat-scaleout.sh.
    first, _, text = (record / "stdin").read_text().partition("\n")
    assert first == f"heat-scaleout-input {len(text)}"
    assert "systemctl --quiet disable --now" in text
    assert not (record / "keys").exists()


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


needs_agent = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="ssh-agent is not installed here")


@pytest.fixture(scope="module", autouse=True)
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int] | None:
    """The login and the agent of a teardown that was killed with its process group, before the first test of this file.

    An agent without a signal checks every ten seconds whether its login exists. The last test waits for its end.
    """
    if not shutil.which("ssh-agent"):
        return None
    directory = tmp_path_factory.mktemp("killed")
    with interrupted(signal.SIGKILL, "group", ssh_in(directory), directory / "told") as ended:
        return ended


@needs_agent
def test_a_teardowns_key_is_in_its_own_agent_and_in_no_file(fake_ssh: Path, tmp_path: Path) -> None:
    record, keys = tmp_path / "told", pair(sh(recipe("ssh-key").text("create")))
    assert run_teardown("node-1-leave", fake_ssh, record, key=keys["private"]) == (0, "")
    assert (record / "keys").read_text().split()[:2] == keys["public"].split()
    assert "PRIVATE KEY" not in (record / "environment").read_text()
    config = (record / "config").read_text()
    assert "IdentityFile none" in config
    assert "IdentityAgent SSH_AUTH_SOCK" in config
    assert gone(int((record / "agent").read_text()), 5)
    assert not [*(record / "tmp").iterdir()]


@contextlib.contextmanager
def interrupted(number: signal.Signals, whom: str, fake: Path, record: Path) -> Iterator[tuple[int, int]]:
    """Send a signal to a running teardown. Yields the process IDs of its login and of its agent."""
    keys = pair(sh(recipe("ssh-key").text("create")))
    with start_teardown("node-1-leave", fake, record, key=keys["private"], wait="300") as process:
        while not (record / "pid").exists() or not (record / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.02)
        login, agent = (int((record / name).read_text()) for name in ("pid", "agent"))
        files = [path for path in (record / "tmp").rglob("*") if path.is_file()]
        assert files
        assert not [path for path in files if "PRIVATE KEY" in path.read_text()]
        if whom == "group":
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid if whom == "script" else login, number)
        process.wait(timeout=30)
        yield login, agent


@needs_agent
@pytest.mark.parametrize(
    ("number", "whom"),
    [
        *((number, whom) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) for whom in ("script", "group")),
        (signal.SIGTERM, "login"),
        (signal.SIGKILL, "login"),
    ],
)
def test_an_interrupted_teardown_leaves_no_key_and_no_agent(
    number: signal.Signals, whom: str, fake_ssh: Path, tmp_path: Path
) -> None:
    with interrupted(number, whom, fake_ssh, tmp_path / "told") as (login, agent):
        assert gone(agent, 5)
        assert gone(login, 5)
    assert not [*(tmp_path / "told/tmp").iterdir()]


def test_a_reinstalled_host_is_reported_and_left_as_it_is(fake_ssh: Path, tmp_path: Path) -> None:
    """Its command, run as the host's shell would run it: this machine does not have the program either."""
    record = tmp_path / "told"
    assert run_teardown("node-1-leave", fake_ssh, record)[0] == 0
    command = (record / "arguments").read_text().removeprefix("leaving ").replace("/usr/local/sbin", str(tmp_path))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith(f"node-1 (10.213.77.11) has no {tmp_path}/heat-scaleout, as after a reinstallation")
    assert "stop it there: systemctl disable --now 'heat-*@*'" in done.stderr


def test_a_command_for_a_host_that_was_reinstalled_says_so_and_what_to_type(tmp_path: Path) -> None:
    for create in (recipe("node-1-heat-conf").text("create"), recipe("node-1-heat-engine-1").text("create")):
        command = create.replace("/usr/local/sbin", str(tmp_path))
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 127
        assert f"node-1 (10.213.77.11) has no {tmp_path}/heat-scaleout any more" in done.stderr
        assert "type: make repair STACK=" in done.stderr
    # With the helper, its own failure is the only message.
    tool(tmp_path, "heat-scaleout", "echo refused >&2; exit 3")
    done = subprocess.run(
        ["sh", "-c", recipe("node-1-heat-conf").text("create").replace("/usr/local/sbin", str(tmp_path))],
        capture_output=True, text=True, check=False, env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (3, "refused\n")


def test_a_first_script_that_is_cut_off_does_nothing(tmp_path: Path) -> None:
    """At any line, also in the middle of the program that it installs."""
    mark = tmp_path / "did"
    for name in ("id", "df", "mktemp", "sudo", "systemctl", "cloud-init", "timeout", "cat", "mv"):
        tool(tmp_path, name, f"echo {name} >>{mark}")
    lines = recipe("node-1-ready").text().splitlines(keepends=True)
    for cut in range(0, len(lines) - 1, 3):
        for text in ("".join(lines[:cut]), "".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2]):
            subprocess.run(
                ["/bin/sh", "-s"], input=text, text=True, capture_output=True, check=False,
                env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            )  # fmt: skip
            assert not mark.exists(), f"cut at line {cut}: {mark.read_text()}"


def test_creating_the_teardown_does_nothing_on_the_host(fake_ssh: Path, tmp_path: Path) -> None:
    assert run_teardown("node-1-leave", fake_ssh, tmp_path / "told", action="create") == (0, "")
    assert not (tmp_path / "told/stdin").exists()


def test_a_host_that_cannot_be_reached_is_left_as_it_is_and_a_script_that_fails_is_an_error(
    fake_ssh: Path, tmp_path: Path
) -> None:
    status, text = run_teardown("node-1-leave", fake_ssh, tmp_path / "told", status=255)
    assert status == 0
    assert "node-1 (10.213.77.11) is left as it is: should it come back" in text
    assert run_teardown("node-1-leave", fake_ssh, tmp_path / "told", status=3)[0] == 3


def test_a_client_can_read_its_logins() -> None:
    clouds = yaml.safe_load(recipe("clouds-yaml").text())["clouds"]
    assert {name: cloud["auth"]["username"] for name, cloud in clouds.items()} == {
        "heat": "demo",
        "heat-admin": "admin",
    }


def ready(tmp_path: Path, *, release: str, **tools: str) -> subprocess.CompletedProcess[str]:
    """Run the checks of templates/scripts/ready.sh.j2 on a fake host, without what follows them."""
    (tmp_path / "os-release").write_text(release)
    for name, text in tools.items():
        tool(tmp_path, name, text)
    text = render("scripts/ready.sh.j2", name="node-b", address=B, free_mb=2000)
    text = text.replace("/etc/os-release", str(tmp_path / "os-release")).replace("/opt/uv", str(tmp_path / "uv"))
    text = text.replace("/run/systemd/system", str(tmp_path / "systemd")).partition("# A VM may still be")[0] + "}\n"
    return subprocess.run(
        ["/bin/sh", "-s"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )


BOOKWORM = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
ROOM = "echo header; echo /dev/vda 9000000 1000 8000000 1% /"
OPERATOR = 'case "$1" in -u) echo 1000;; *) echo operator;; esac'


@pytest.mark.parametrize(
    "release",
    [
        BOOKWORM,
        "ID=debian\nVERSION_ID=13\n",
        "ID=ubuntu\nVERSION_ID=24.04\n",
        "ID=ubuntu\nVERSION_ID=22.04\n",
    ],
)
def test_a_supported_system_can_be_used_by_root_and_by_a_user_with_sudo(tmp_path: Path, release: str) -> None:
    (tmp_path / "systemd").mkdir()
    tool(tmp_path, "python3.11", "")
    for identity in ("echo 0", OPERATOR):
        done = ready(tmp_path, release=release, df=ROOM, id=identity, sudo="exit 0")
        assert (done.returncode, done.stderr) == (0, "")


def test_all_problems_of_a_host_are_reported_at_once_with_its_name(tmp_path: Path) -> None:
    done = ready(
        tmp_path,
        release='ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40"\n',
        df="echo header; echo /dev/vda 9000000 1000 307200 1% /; echo /dev/vda 9000000 1000 307200 1% /;"
        "echo /dev/vdb 9 9 2048000 1% /var",
        id=OPERATOR,
        sudo="echo 'sudo: a password is required' >&2; exit 1",
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "node-b (10.0.0.2) cannot be used:",
        "  * user operator may not use sudo without a password; type there, as root: "
        "echo 'operator ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/operator",
        "  * systemd is not running, and Heat's processes need it",
        "  * it runs Fedora Linux 40; it must run Debian 12 or 13, or Ubuntu 22.04 or 24.04",
        "  * only 300 MB are free in /; packages, data and logs need 2000 MB",
    ]


def test_a_host_with_everything_installed_needs_no_free_space(tmp_path: Path) -> None:
    (tmp_path / "systemd").mkdir()
    (tmp_path / "uv").mkdir()
    full = "echo header; echo /dev/vda 9000000 1000 1 1% /"
    assert ready(tmp_path, release=BOOKWORM, df=full, id="echo 0").returncode == 0


def test_no_script_looks_for_several_programs_in_one_command() -> None:
    """`command -v a b` looks at the first name only in dash."""
    root = TEMPLATES.parent
    tops = ("templates", "programs", "tools", "tests/e2e", "tests/faults", "tests/bench", "tests/openstack", ".ci")
    scripts = [path for top in tops for path in (root / top).rglob("*") if path.is_file()]
    for path in [*scripts, root / "env.sh", root / "Makefile"]:
        if path.suffix in (".sh", ".j2", "") and "__pycache__" not in path.parts:
            for words in re.findall(r"\bcommand -v ((?:(?![&|;)<>#]).)*)", path.read_text(errors="ignore")):
                assert len(words.split()) <= 1, f"{path.name}: command -v {words}"


def old_ubuntu(tmp_path: Path) -> str:
    """The message of templates/scripts/ready.sh.j2 on Ubuntu 22.04 with only the programs of a directory."""
    text = render("scripts/ready.sh.j2", name="node-b", address=B, free_mb=2000)
    (arm,) = re.findall(r'(?s)"ubuntu 22.04"\)\n(.*?);;', text)
    done = subprocess.run(
        ["/bin/sh", "-c", f'refuse() {{ echo "$1"; }}\n{arm}'],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
        check=False,
    )
    return done.stdout + done.stderr


def test_an_old_ubuntu_is_refused_where_it_has_no_python_for_heat(tmp_path: Path) -> None:
    assert old_ubuntu(tmp_path) == (
        "Ubuntu 22.04 has Python 3.10, and Heat needs 3.11 or later; type there, as root: apt install python3.11\n"
    )


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_an_old_ubuntu_can_be_used_with_any_python_that_heat_runs_on(tmp_path: Path, version: str) -> None:
    tool(tmp_path, f"python{version}", "")
    assert old_ubuntu(tmp_path) == ""


def holder(tmp_path: Path, listed: str) -> str:
    """What templates/scripts/port.inc.sh reports for port 8004 on 10.0.0.2."""
    tool(tmp_path, "ss", f"cat <<'END'\n{listed}\nEND")
    text = (TEMPLATES / "scripts/port.inc.sh").read_text()
    return sh(f"set -eu\n{text}\nholder 10.0.0.2 8004 heat-api@8004", PATH=f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize("local", ["10.0.0.2:8004", "0.0.0.0:8004", "*:8004"])
def test_a_process_on_a_port_is_named_whether_it_has_one_address_or_all(tmp_path: Path, local: str) -> None:
    pid = os.getpid()
    name = Path("/proc/self/comm").read_text().strip()
    line = f'LISTEN 0 128 {local} 0.0.0.0:* users:(("x",pid={pid},fd=3))'
    assert holder(tmp_path, line) == f"{name} (process {pid})"
    assert holder(tmp_path, f"LISTEN 0 128 {local} 0.0.0.0:*") == "a process that cannot be seen from here"


@pytest.mark.parametrize(
    ("group", "who"),
    [
        # In a container root does not see whose process it is, and the control group has more before it.
        ("/system.slice/system-heat\\x2dapi.slice/heat-api@8004.service", ""),
        ("/libpod_parent/libpod-1/system.slice/heat-api@8004.service", ""),
        ("/system.slice/nginx.service", "a process that cannot be seen from here (nginx.service)"),
        (
            "/system.slice/not-heat-api@8004.service",
            "a process that cannot be seen from here (not-heat-api@8004.service)",
        ),
        ("unreachable:1f", "a process that cannot be seen from here"),
    ],
)
def test_a_socket_of_the_units_own_is_known_by_its_control_group(tmp_path: Path, group: str, who: str) -> None:
    assert holder(tmp_path, f"LISTEN 0 4096 10.0.0.2:8004 0.0.0.0:* cgroup:{group}") == who


@pytest.mark.parametrize("local", ["127.0.0.1:8004", "10.0.0.3:8004", "[::]:8004", "10.0.0.2:18004"])
def test_a_process_on_another_address_or_port_does_not_matter(tmp_path: Path, local: str) -> None:
    assert holder(tmp_path, f'LISTEN 0 128 {local} 0.0.0.0:* users:(("x",pid=1,fd=3))') == ""
    assert holder(tmp_path, "") == ""


def tool(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def check_options(tmp_path: Path, validator: str, *allowed: str) -> subprocess.CompletedProcess[str]:
    """Run templates/heat/check-options.sh.j2 with a fake of Heat's option check."""
    (tmp_path / "bin").mkdir()
    tool(tmp_path / "bin", "oslo-config-validator", validator)
    text = render("heat/check-options.sh.j2", prefix=str(tmp_path), title="27.0.1", allowed=allowed)
    return subprocess.run(
        ["/bin/sh", "-c", text, "check-options", "/the/file"], capture_output=True, text=True, check=False
    )


def test_options_that_heat_knows_pass(tmp_path: Path) -> None:
    done = check_options(tmp_path, f'[ "$*" = "--opt-data {tmp_path}/options.json --input-file /the/file" ]')
    assert (done.returncode, done.stderr) == (0, "")


def test_options_that_heat_does_not_know_are_named(tmp_path: Path) -> None:
    said = (
        "INFO:oslo_config.validator:Validating\\n"
        "ERROR:oslo_config.validator:DEFAULT/sql_connection is not part of the sample config\\n"
        "ERROR:oslo_config.validator:database/max is not a number\\n"
    )
    done = check_options(tmp_path, f"printf '{said}'; exit 1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Heat 27.0.1 does not know these options:",
        "  DEFAULT/sql_connection",
        "  ERROR:oslo_config.validator:database/max is not a number",
    ]


def unknown(*names: str) -> str:
    return "".join(f"ERROR:oslo_config.validator:{name} is not part of the sample config\n" for name in names)


# What the validator prints, which options are a plug-in's, and what is reported.
ALLOWED: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "an allowed one": (unknown("p/a"), ("p.a",), []),
    "two allowed ones": (unknown("p.q/a", "p/b"), ("p.q.a", "p.b"), []),
    "one beside an allowed one": (unknown("p/a", "DEFAULT/aa"), ("p.a", "DEFAULT.a"), ["DEFAULT/aa"]),
    "a dot means a dot": (unknown("pxq/a"), ("p.q.a",), ["pxq/a"]),
    "another error": (unknown("p/a") + "ERROR: broken\n", ("p.a",), ["ERROR: broken"]),
    "a validator that fails": ("Traceback\n", ("p.a",), [""]),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_an_option_that_heat_does_not_know_passes_where_it_is_a_plug_ins(tmp_path: Path, case: str) -> None:
    said, allowed, named = ALLOWED[case]
    done = check_options(tmp_path, f"cat <<'END'\n{said}END\nexit 1", *allowed)
    expected = ["Heat 27.0.1 does not know these options:", *(f"  {name}" for name in named)] if named else []
    assert (done.returncode, done.stderr.splitlines()) == (int(bool(named)), expected)


def wait_healthy(tmp_path: Path, *arguments: str, **tools: str) -> subprocess.CompletedProcess[str]:
    """Run templates/heat/wait_healthy.inc.sh with fakes of what it calls on a host."""
    for name, text in {"systemctl": "exit 1", "journalctl": "echo the log", "sleep": "", **tools}.items():
        tool(tmp_path, name, text)
    text = render(
        "heat/wait_healthy.inc.sh",
        prefix=str(tmp_path), consumers="consumers.py", conf="heat.conf", secrets="secrets.conf", workers=2,
        address=B, node="node-1",
    )  # fmt: skip
    return subprocess.run(
        ["/bin/sh", "-euc", f'{text}\nwait_healthy "$@"', "wait_healthy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )


def test_an_api_that_answers_is_healthy(tmp_path: Path) -> None:
    done = wait_healthy(tmp_path, "heat-api@8004", "name", "8004", "5", curl="printf 200")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_api_that_does_not_answer_is_named_with_its_node_and_its_log(tmp_path: Path) -> None:
    done = wait_healthy(tmp_path, "heat-api@8004", "name", "8004", "0", curl="printf 503")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "heat-api@8004 on node-1 (10.0.0.2) does not work: no answer from http://10.0.0.2:8004/healthcheck for 0 s",
        "The last lines of its log (journalctl -u heat-api@8004):",
        "the log",
    ]


def test_a_process_that_has_failed_is_not_waited_for(tmp_path: Path) -> None:
    done = wait_healthy(tmp_path, "heat-api@8004", "name", "8004", "600", curl="printf 000", systemctl="exit 0")
    assert done.returncode == 1
    assert "heat-api@8004 on node-1 (10.0.0.2) does not work: it has failed" in done.stderr


def test_an_engine_is_healthy_if_the_broker_counts_all_of_its_workers(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool(tmp_path / "bin", "python", 'echo "$*"; exit 1')
    done = wait_healthy(tmp_path, "heat-engine@1", "node-1-heat-engine-1", "", "7")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "heat-engine@1 on node-1 (10.0.0.2) does not work: consumers.py 7 "
        "/etc/heat/processes/heat-engine@1/heat.conf /etc/heat/processes/heat-engine@1/secrets.conf -- "
        "engine.node-1-heat-engine-1=2"
    )
    tool(tmp_path / "bin", "python", "exit 0")
    assert wait_healthy(tmp_path, "heat-engine@1", "node-1-heat-engine-1", "", "7").returncode == 0


def test_the_engines_own_queue_is_named_by_what_its_file_says() -> None:
    """The broker is asked for engine.<host>, where <host> is that of the process's own file."""
    for process in ("node-1-heat-engine-1", "node-2-heat-engine-1"):
        host = parsed(cached().by_name[f"{process}-conf"].text())["DEFAULT"]["host"]
        assert f'\nwait_healthy "$unit" {host} ' in cached().by_name[process].text()


@needs_agent
def test_a_killed_teardown_leaves_no_key_and_no_agent(killed: tuple[int, int]) -> None:
    login, agent = killed
    assert gone(agent, 20)
    assert gone(login, 5)
