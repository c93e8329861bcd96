"""The digests of what a unit has read, written at its start by anyone, also after a restart of its host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from components.rendering import PROGRAMS, TEMPLATES, render
from tests.unit.program import cached
from tests.unit.test_scripts import tool
from tools.verify import _SERVICES, _stamp


class Front:
    """A host with a unit and a fake systemd, which runs the drop-in's commands at a start or reload."""

    def __init__(self, tmp_path: Path, unit: str) -> None:
        self.path, self.unit = tmp_path, unit
        self.conf, self.stamp = tmp_path / "etc/conf", tmp_path / f"run/heat-scaleout/{unit}/read"
        self.earlier = tmp_path / f"var/started/{unit}.service"
        self.dropin = tmp_path / f"systemd/{unit}.service.d/heat-scaleout-stamp.conf"
        self.conf.parent.mkdir()
        self.conf.write_text("first\n")
        (tmp_path / "bin").mkdir()
        tool(
            tmp_path / "bin",
            "systemctl",
            f"""cd {tmp_path}
            stamp() {{ sed -n "s/^$1=+//p" {self.dropin} 2>/dev/null >do; sh do; }}
            case "$*" in
            *is-active*) [ -e active ] ;;
            *is-enabled*) exit 0 ;;
            *MainPID*) echo $$ ;;
            daemon-reload) echo daemon-reload >>log ;;
            restart* | start*) touch active; stamp ExecStartPre; echo "$1" >>log ;;
            reload*) stamp ExecReload; echo "$1" >>log ;;
            esac""",
        )

    def sh(self, text: str) -> subprocess.CompletedProcess[str]:
        for there, here in (
            ("/etc/systemd/system", self.path / "systemd"),
            ("/run/heat-scaleout", self.path / "run/heat-scaleout"),
            ("/var/lib/heat-scaleout/started", self.path / "var/started"),
            ("/etc/haproxy/haproxy.cfg", self.conf),
        ):
            text = text.replace(there, str(here))
        return subprocess.run(
            ["/bin/sh", "-euc", text],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self.path}/bin:/usr/bin:/bin"},
        )

    def converge(self) -> str:
        """Whether it was started."""
        text = render("control_plane/_service.sh.j2", digest="d")
        done = self.sh(f"{text}\nconverge_service {self.unit}.service {self.conf}\necho $started")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    def restart_of_the_host(self) -> None:
        """/run is empty, and systemd has started the unit."""
        subprocess.run(["rm", "-rf", self.path / "run"], check=True)
        assert self.sh("systemctl start").returncode == 0

    @property
    def log(self) -> list[str]:
        log = self.path / "log"
        return [line for line in log.read_text().splitlines() if line != "daemon-reload"] if log.exists() else []


@pytest.fixture
def service(tmp_path: Path) -> Front:
    made = Front(tmp_path, "mariadb")
    assert made.converge() == "yes"
    return made


def test_a_service_is_started_once_and_again_when_a_file_has_changed(service: Front) -> None:
    assert service.stamp.parent.stat().st_mode & 0o777 == 0o755
    # A digest of a file with a weak password confirms a guess.
    assert service.stamp.stat().st_mode & 0o777 == 0o600
    assert service.converge() == "no"
    service.conf.write_text("second\n")
    assert service.converge() == "yes"
    assert service.converge() == "no"
    assert (service.path / "log").read_text().count("daemon-reload") == 1


def test_after_a_restart_of_its_host_a_service_is_known_by_what_it_read_at_that_start(service: Front) -> None:
    service.restart_of_the_host()
    assert service.converge() == "no"
    # The file differed at that start and was corrected since: the service runs with the other content.
    service.conf.write_text("by hand\n")
    service.restart_of_the_host()
    service.conf.write_text("first\n")
    assert service.converge() == "yes"


@pytest.mark.parametrize("same", [True, False])
def test_a_service_of_an_earlier_version_is_not_restarted_for_its_stamp(tmp_path: Path, *, same: bool) -> None:
    front = Front(tmp_path, "mariadb")
    (tmp_path / "active").touch()
    front.earlier.parent.mkdir(parents=True)
    front.earlier.write_text(
        subprocess.run(["sha256sum", front.conf], capture_output=True, text=True, check=True).stdout
    )
    if not same:
        front.conf.write_text("second\n")
    assert front.converge() == ("no" if same else "yes")
    assert not front.earlier.exists()
    assert front.converge() == "no"


class Proxy(Front):
    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path, "haproxy")
        tool(tmp_path / "bin", "dpkg-query", "echo installed")
        tool(tmp_path / "bin", "systemd-detect-virt", "exit 1")
        # Its own workers: a process that has ended.
        tool(tmp_path / "bin", "cat", 'case "$1" in /proc/*) echo "99999999 " ;; *) exec /bin/cat "$@" ;; esac')
        self.listens("haproxy.service")
        self.conf.write_text("listen a\n    bind 10.0.0.1:8004\n")
        assert self.sh(render("proxy/install.sh.j2")).returncode == 0

    def listens(self, unit: str) -> None:
        tool(self.path / "bin", "ss", f"echo 'LISTEN 0 4096 10.0.0.1:8004 0.0.0.0:* cgroup:/c/system.slice/{unit}'")

    def run(self) -> subprocess.CompletedProcess[str]:
        return self.sh(render("proxy/run.sh.j2", digest="d", old_worker_timeout=1, memory="1G"))


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    made = Proxy(tmp_path)
    assert made.run().returncode == 0
    assert made.log == ["start"]
    return made


def test_the_proxy_is_reloaded_when_its_file_has_changed_and_only_then(proxy: Proxy) -> None:
    assert proxy.run().returncode == 0
    proxy.conf.write_text("listen a\n    bind 10.0.0.1:8004\n    balance source\n")
    assert proxy.run().returncode == 0
    assert proxy.run().returncode == 0
    assert proxy.log == ["start", "reload"]


def test_after_a_restart_of_its_host_the_proxy_is_known_by_what_it_read_at_that_start(proxy: Proxy) -> None:
    proxy.restart_of_the_host()
    done = proxy.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert proxy.log == ["start", "start"]


def test_a_proxy_without_a_stamp_holds_its_own_ports_and_is_reloaded(proxy: Proxy) -> None:
    """A proxy that an earlier version started, on a host that was restarted since."""
    proxy.stamp.unlink()
    done = proxy.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert proxy.log == ["start", "reload"]


def test_a_port_taken_by_another_unit_is_reported_while_the_proxy_runs(proxy: Proxy) -> None:
    proxy.listens("nginx.service")
    done = proxy.run()
    assert done.returncode == 1
    assert "port 8004 is taken by a process that cannot be seen from here (nginx.service)" in done.stderr


def test_every_stamp_is_written_by_root_where_only_root_may_write() -> None:
    """And it is read from nowhere else."""
    texts = [resource.text() for resource in cached().remote]
    written = [found for text in texts for found in re.findall(r"sha256sum [^\n]*?(?<!2)>(\S+?)\\?\"", text)]
    assert len(written) >= 3
    for place in written:
        assert place.startswith(("/run/heat-scaleout/", "$stamp")), place
    for text in texts:
        for start in re.findall(r"(?m)^ExecStartPre=(.*sha256sum.*)$", text):
            assert start.startswith("+/bin/sh -c ")


def test_make_verify_looks_where_each_service_has_its_stamp() -> None:
    scripts = {name: cached().by_name[f"front-{name}"].text() for name in _SERVICES if name != "haproxy"}
    for name, text in scripts.items():
        for unit in _SERVICES[name]:
            assert f"\nconverge_service {unit}.service " in text
            assert _stamp(unit) == f"/run/heat-scaleout/{unit}/read"
    assert f"loaded={_stamp('haproxy')}\n" in cached().by_name["front-haproxy"].text()


def test_root_writes_and_trusts_nothing_in_another_users_directory() -> None:
    """Such as runtime directories of units with their own user, and Heat's. Root's state is elsewhere."""
    for path in [*TEMPLATES.rglob("*"), *PROGRAMS.rglob("*")]:
        if path.is_file() and path.suffix != ".pyc":
            # This last line marks an earlier version's teardown script as complete. Nothing uses the path.
            text = path.read_text().replace('"the script haproxy-leave: rm -f /run/haproxy/loaded.sha256"', "")
            assert not re.search(r"/run/(%p|\{\{|\$\(echo|haproxy/loaded)", text), path
