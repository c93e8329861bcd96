"""The start and restart of a process, on a fake host: its copies, its rollback, and how an API is drained first."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from components.proxy.monitor import Monitor
from components.rendering import TEMPLATES, render
from tests.unit.sample import A, B
from tests.unit.test_scripts import tool

API, ENGINE = "heat-api@8004", "heat-engine@1"
UP, LEAVING, DOWN = (
    f'{A} "GET /healthcheck HTTP/1.1" {status} 2 bytes in 1 ms for "-" "{state}; address=…; scur=0/3; qcur=0"'
    for status, state in ((200, "UP 2/3"), (404, "NOLB 3/3"), (503, "DOWN 0/2"))
)
# The same where a load balancer of Octavia's asks, from two machines.
WELL, SICK = (
    "\n".join(f'10.0.0.{at} "GET /healthcheck HTTP/1.0" {status} 2 bytes in 1 ms "-"' for at in (5, 6))
    for status in (200, 503)
)
# And where Heat's own program has HAProxy's checks in its log.
CONSOLE = tuple(
    "2026-01-01 00:00:00.000 7 INFO eventlet.wsgi.server [-] 10.0.0.1 - - [01/Jan/2026 00:00:00] "
    f'"GET /healthcheck HTTP/1.1" {status} 137 0.000515'
    for status in (200, 503)
)


class Turn:
    """A host where `unit` may run: what is wanted in wanted/, its copies below etc/, what it did in `log`."""

    def __init__(self, tmp_path: Path, unit: str, *, monitor: Monitor | None = None, console: bool = False) -> None:
        self.path, self.unit, self.monitor, self.console = tmp_path, unit, monitor, console
        self.drain = 5
        up, down = CONSOLE if console else (WELL, SICK) if monitor else (UP, LEAVING)
        self.own = tmp_path / "etc" / unit
        self.run = tmp_path / "run/heat-scaleout" / unit
        for directory in (self.own, self.run, tmp_path / "bin", tmp_path / "wanted", tmp_path / "units"):
            directory.mkdir(parents=True)
        (tmp_path / f"units/{unit}.service").touch()
        self.marked(self.run / "down")
        self.journal = tmp_path / "journal"
        self.journal.write_text(up + "\n")
        # The unit "works" when its heat.conf does not say otherwise; a start writes down what it reads.
        tool(
            tmp_path / "bin",
            "systemctl",
            f"""cd {tmp_path}
            for unit; do :; done
            state=state-$unit whose=
            [ -e "$state" ] || echo inactive >"$state"
            [ "$unit" = {unit} ] || whose="another's "
            case "$1" in
            is-active) [ "$2" = --quiet ] || cat "$state"; grep -qx active "$state" ;;
            --no-block) echo "$whose$2" >>log; if [ "$2" = start ]; then echo active; elif [ -e busy ]; then
                echo deactivating; else echo inactive; fi >"$state" ;;
            restart) echo "${{whose}}restart with $(cat "etc/$unit/heat.conf")" >>log; rm -f run/heat-scaleout/*/down
                echo active >"$state"
                sha256sum {self.own}/heat.conf >{self.run}/read; cat after >>journal 2>/dev/null || true ;;
            is-failed) exit 1 ;;
            is-enabled) exit 0 ;;
            esac""",
        )
        works = f"! grep -q bad {self.own}/heat.conf"
        # What is asked here is in the journal, too; `lost` says what the journal does not have.
        tool(
            tmp_path / "bin",
            "curl",
            f"""for url; do :; done; [ -e {tmp_path}/lost ] || echo "GET $url" >>{tmp_path}/asked
            if {works}; then printf 200; else printf 503; fi""",
        )
        tool(
            tmp_path / "bin",
            "python",
            f'if [ "$1" = engine_work.py ]; then echo "a stack of $2"; elif {works}; then :; else exit 1; fi',
        )
        tool(
            tmp_path / "bin",
            "journalctl",
            f"""cd {tmp_path}
            case "$*" in
            *--until*) [ -e lost ] || [ -e cleared ] || echo old ;;
            *) [ -e lost ] || [ -e cleared ] || cat journal; cat asked 2>/dev/null || true ;;
            esac""",
        )
        # Requests under way: one ends with each look.
        tool(
            tmp_path / "bin", "ss", f"cd {tmp_path}; [ ! -s requests ] || {{ head -n 1 requests; sed -i 1d requests; }}"
        )
        tool(
            tmp_path / "bin",
            "sleep",
            f"""echo $1 >>{tmp_path}/slept; [ ! -e {self.run}/down ] || echo '{down}' >>{self.journal}
            read now <{tmp_path}/clock; seconds=${{1%.*}}; [ "$seconds" -gt 0 ] || seconds=1
            echo $((now + seconds)) >{tmp_path}/clock""",
        )
        # Nobody waits here: the clock goes on when somebody sleeps, by a second at least.
        (tmp_path / "clock").write_text("1700000000\n")
        tool(tmp_path / "bin", "date", f'read now <{tmp_path}/clock; echo "$now"')

    def marked(self, down: Path) -> None:
        """Have it look for this file, whose presence tells it to leave."""
        conf = f"[DEFAULT]\nhost = node-1-x\n[healthcheck]\ndisable_by_file_path = {down}\n"
        (self.own / "process.conf").write_text(conf)

    def want(self, text: str, *, vhost: str = "old") -> None:
        (self.path / "wanted/heat.conf").write_text(text)
        (self.path / "wanted/secrets.conf").write_text(f"[DEFAULT]\ntransport_url = rabbit://broker/{vhost}\n")

    def take(self) -> subprocess.CompletedProcess[str]:
        script = render(
            "heat/process.sh.j2",
            digest="d", unit=self.unit, name="node-1-x", port=8004 if self.unit == API else None, start_timeout=1,
            prefix=str(self.path), address=B, node="node-1", workers=1, consumers="consumers.py",
            drain_timeout=self.drain,
            finish_timeout=2, work="engine_work.py", monitor=self.monitor, console=self.console,
            proxy="" if self.monitor and not self.console else A,
            secrets=f"{self.path}/wanted/secrets.conf",
            copies=[(f"{self.path}/wanted/{name}", f"{self.own}/{name}") for name in ("heat.conf", "secrets.conf")],
        ).replace("/etc/heat/processes", f"{self.path}/etc").replace("/run/", f"{self.path}/run/")  # fmt: skip
        script = script.replace("/etc/systemd/system", str(self.path / "units"))
        return subprocess.run(
            ["/bin/sh", "-s"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self.path}/bin:/usr/bin:/bin"},
        )

    @property
    def clock(self) -> int:
        return int((self.path / "clock").read_text())

    @property
    def log(self) -> list[str]:
        log = self.path / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def reads(self) -> str:
        return (self.own / "heat.conf").read_text()


@pytest.fixture(params=[API, ENGINE])
def turn(request: pytest.FixtureRequest, tmp_path: Path) -> Turn:
    made = Turn(tmp_path, request.param)
    (made.path / "after").write_text(UP + "\n")
    made.want("first")
    assert (made.take().returncode, made.log) == (0, ["restart with first"])
    return made


def test_a_process_with_the_planned_files_is_not_touched(turn: Turn) -> None:
    assert turn.take().returncode == 0
    assert turn.log == ["restart with first"]


def test_a_process_keeps_its_files_until_its_rolling_batch_and_then_takes_the_new_ones(turn: Turn) -> None:
    turn.want("second")
    assert turn.reads == "first"
    assert turn.take().returncode == 0
    assert turn.log == ["restart with first", *STOPS[turn.unit], "restart with second"]
    assert not (turn.own / "before").exists()


def test_a_process_that_is_not_healthy_with_its_new_files_is_rolled_back_and_reported(turn: Turn) -> None:
    turn.want("bad")
    done = turn.take()
    assert done.returncode == 1
    assert f"{turn.unit} on node-1 ({B}) does not work: " in done.stderr
    assert f"{turn.unit} runs again with its previous files." in done.stderr
    assert turn.reads == "first"
    assert turn.log == ["restart with first", *STOPS[turn.unit], "restart with bad", "restart with first"]


def test_the_run_after_a_failed_one_tries_again_or_keeps_the_rolled_back_files(turn: Turn) -> None:
    turn.want("bad")
    assert turn.take().returncode == 1
    assert turn.take().returncode == 1
    turn.want("first")
    before = turn.log
    assert turn.take().returncode == 0
    assert turn.log == before
    turn.want("second")
    assert turn.take().returncode == 0
    assert turn.reads == "second"


def test_a_run_that_was_cut_off_after_the_copies_is_rolled_back(turn: Turn) -> None:
    (turn.own / "before").mkdir()
    (turn.own / "before/heat.conf").write_text("first")
    (turn.own / "heat.conf").write_text("bad")
    turn.want("bad")
    assert turn.take().returncode == 1
    assert turn.reads == "first"


STOPS = {API: [], ENGINE: ["stop"]}


def test_an_engine_that_is_still_at_work_is_named_with_its_stacks_and_not_cut_off(tmp_path: Path) -> None:
    """It starts again when it has done its work, with what it had; the next `up` goes on."""
    turn = Turn(tmp_path, ENGINE)
    turn.want("first")
    assert turn.take().returncode == 0
    (tmp_path / "busy").touch()
    turn.want("second")
    done = turn.take()
    assert done.returncode == 1
    assert f"{ENGINE} on node-1 ({B}) did not stop within 2 s." in done.stderr
    assert "finish:\n  a stack of node-1-x\nType pulumi up again" in done.stderr
    assert done.stderr.endswith(": pulumi config set --path timeouts.engineGraceful\n")
    assert (turn.reads, turn.log) == ("first", ["restart with first", "stop", "start"])
    (tmp_path / "busy").unlink()
    assert turn.take().returncode == 0
    assert (turn.reads, turn.log[3:]) == ("second", ["stop", "restart with second"])


def others(turn: Turn) -> list[Path]:
    return [path for path in (turn.path / "etc").iterdir() if path.name != turn.unit]


def test_an_engine_that_goes_over_to_another_vhost_leaves_one_as_it_was_for_those_that_have_not(tmp_path: Path) -> None:
    turn = Turn(tmp_path, ENGINE)
    turn.want("first")
    assert turn.take().returncode == 0
    turn.want("second", vhost="new")
    done = turn.take()
    assert (done.returncode, done.stderr) == (0, "")
    # It is there before the engine stops, and is called by a name of its own.
    assert turn.log == ["restart with first", "another's restart with first", "stop", "restart with second"]
    (other,) = others(turn)
    assert "broker/old" in (other / "secrets.conf").read_text()
    number = other.name.removeprefix("heat-engine@")
    assert int(number) >= 1000
    assert f"host = node-1-heat-engine-{number}\n" in (other / "process.conf").read_text()
    # A second engine of this node finds it there; and one that stays where it is wants none.
    turn.want("third", vhost="new")
    assert turn.take().returncode == 0
    assert others(turn) == [other]


def test_a_failed_change_of_the_vhost_leaves_no_legacy_engine(tmp_path: Path) -> None:
    turn = Turn(tmp_path, ENGINE)
    turn.want("first")
    assert turn.take().returncode == 0
    turn.want("bad", vhost="new")
    assert turn.take().returncode == 1
    assert "broker/old" in (turn.own / "secrets.conf").read_text()
    assert turn.log[-2:] == ["restart with first", "another's stop"]
    assert not others(turn)


def test_a_first_process_that_does_not_work_has_nothing_to_go_back_to(tmp_path: Path) -> None:
    turn = Turn(tmp_path, ENGINE)
    turn.want("bad")
    done = turn.take()
    assert done.returncode == 1
    assert "again" not in done.stderr
    assert turn.reads == "bad"


def test_an_api_stops_only_when_the_proxy_has_seen_it_leave(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API)
    (turn.path / "after").write_text(UP + "\n")
    for text in ("first", "second"):
        turn.want(text)
        assert turn.take().returncode == 0
    # What the proxy said before the restart: up, then leaving; it was asked for as long as it took.
    assert turn.journal.read_text().splitlines() == [UP, UP, LEAVING, UP]
    assert not (turn.run / "down").exists()


def test_an_api_of_an_earlier_version_is_drained_by_heats_own_user(tmp_path: Path) -> None:
    """Its mark is in a directory of that user's, who may have put a link there."""
    turn = Turn(tmp_path, API)
    (turn.path / "after").write_text(UP + "\n")
    turn.want("first")
    assert turn.take().returncode == 0
    victim, earlier = tmp_path / "root's file", tmp_path / "run/heat-api-8004/down"
    victim.write_text("as it was")
    earlier.parent.mkdir()
    earlier.symlink_to(victim)
    turn.marked(earlier)
    # Whatever that user does: the proxy sees it leave.
    tool(tmp_path / "bin", "runuser", f"echo \"$*\" >>{tmp_path}/as-heat; echo '{DOWN}' >>{turn.journal}")
    turn.want("second")
    done = turn.take()
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "as-heat").read_text().splitlines() == [
        f"-u heat -- touch {earlier}",
        f"-u heat -- rm -f {earlier}",
    ]
    assert victim.read_text() == "as it was"
    assert turn.log[-1] == "restart with second"


def test_digests_that_heats_user_may_have_written_are_not_trusted(turn: Turn) -> None:
    """Those of an earlier version, in its runtime directory."""
    earlier = turn.path / "run" / turn.unit.replace("@", "-")
    earlier.mkdir()
    (turn.run / "read").rename(earlier / "read")
    assert turn.take().returncode == 0
    assert turn.log[-1] == "restart with first"
    assert len(turn.log) > 1


def test_an_api_that_no_proxy_asks_is_restarted_at_once(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API)
    turn.journal.write_text("")
    for text in ("first", "second"):
        turn.want(text)
        assert turn.take().returncode == 0
    assert turn.journal.read_text() == ""
    assert turn.log == ["restart with first", "restart with second"]


@pytest.mark.parametrize("what", ["lost", "cleared"])
@pytest.mark.parametrize("monitor", [None, Monitor(delay=2, timeout=1, fall=2, rise=2)])
def test_an_api_whose_journal_does_not_have_what_it_logs_is_given_all_the_time_there_is(
    tmp_path: Path, what: str, monitor: Monitor | None
) -> None:
    """No word of a proxy is no sign that there is none: journald may keep nothing, or have lost it."""
    turn = Turn(tmp_path, API, monitor=monitor)
    turn.journal.write_text("")
    turn.drain = 2
    turn.want("first")
    assert turn.take().returncode == 0
    (tmp_path / what).touch()
    (tmp_path / "slept").unlink(missing_ok=True)
    turn.want("second")
    began = turn.clock
    done = turn.take()
    assert done.returncode == 0, done.stderr
    # All of the time for a drain; and then for a proxy that takes it back, of which nobody hears either.
    assert (tmp_path / "slept").read_text().splitlines()[-1] == "30"
    assert turn.clock - began >= turn.drain + 30
    assert "The journal of node-1 does not show what heat-api@8004 logs" in done.stderr
    assert turn.log == ["restart with first", "restart with second"]


@pytest.mark.parametrize("kind", ["api", "console-api"])
def test_journald_drops_none_of_an_api_s_lines(kind: str) -> None:
    limit = "\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=1000000\n"
    assert limit in (TEMPLATES / f"heat/{kind}@.service.j2").read_text()


def test_an_api_that_the_proxy_does_not_take_back_goes_back_to_what_it_had(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API)
    (turn.path / "after").write_text(UP + "\n")
    turn.want("first")
    assert turn.take().returncode == 0
    (turn.path / "after").write_text(DOWN + "\n")
    turn.want("second")
    done = turn.take()
    assert done.returncode == 1
    assert "does not work: the proxy sends it no requests" in done.stderr
    assert turn.reads == "first"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (UP, "UP 2/3; address=…; scur=0/3; qcur=0"),
        (DOWN, "DOWN 0/2; address=…; scur=0/3; qcur=0"),
        (LEAVING, "NOLB 3/3; address=…; scur=0/3; qcur=0"),
        # A client's request, whatever it says of itself; and a check by hand.
        (UP.replace("/healthcheck", "/v1/x/stacks"), ""),
        (f'{B} "GET /healthcheck HTTP/1.1" 200 2 bytes in 1 ms for "-" "-"', ""),
        # Another host that says what the proxy says, one whose address looks like the proxy's, and a client whose
        # address, as a trusted proxy tells it, is what the proxy says.
        (DOWN.replace(A, "192.0.2.9"), ""),
        (DOWN.replace(A, "10.0.0.12"), ""),
        (DOWN.replace(A, "1.10.0.0.1"), ""),
        (DOWN.replace(A, "10a0b0c1"), ""),
        (f'192.0.2.9 "GET /x {DOWN}', ""),
        (f'{A} "GET /healthcheck HTTP/1.1" 200 2 bytes in 1 ms for "x" "DOWN 0/2; scur=0/3" "-"', ""),
        (f'{A} "GET /healthcheck HTTP/1.1" 200 2 bytes in 1 ms for "DOWN 0/2; scur=0/3" "-"', ""),
    ],
)
def test_the_proxys_state_is_read_from_its_health_checks_alone(tmp_path: Path, line: str, told: str) -> None:
    tool(tmp_path, "journalctl", f"echo '{line}'")
    text = render("heat/send_state.inc.sh", proxy=A)
    done = subprocess.run(
        ["/bin/sh", "-euc", f"{text}\nproxy_checks {API} -30s"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stdout.strip() == told


# The same with a proxy that does not say what it makes of the answers.
MONITOR = Monitor(delay=2, timeout=1, fall=2, rise=2)


def test_an_api_stops_only_when_every_machine_of_the_load_balancer_has_found_it_down(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API, monitor=MONITOR)
    (turn.path / "after").write_text(f"{WELL}\n{WELL}\n")
    for text in ("first", "second"):
        turn.want(text)
        assert turn.take().returncode == 0
    # Twice in a row is down, and the third time it has no request left on its way.
    assert turn.journal.read_text().splitlines() == "\n".join([*[WELL] * 3, *[SICK] * 3, *[WELL] * 2]).splitlines()
    assert turn.log == ["restart with first", "restart with second"]


def test_an_api_that_the_load_balancer_does_not_take_back_goes_back_to_what_it_had(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API, monitor=MONITOR)
    (turn.path / "after").write_text(f"{WELL}\n{WELL}\n")
    turn.want("first")
    assert turn.take().returncode == 0
    # It needs two in a row.
    (turn.path / "after").write_text(f"{WELL}\n{SICK}\n{WELL}\n")
    turn.want("second")
    done = turn.take()
    assert done.returncode == 1
    assert "does not work: the proxy sends it no requests" in done.stderr
    assert turn.reads == "first"


def test_an_api_that_no_load_balancer_asks_is_restarted_at_once(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API, monitor=MONITOR)
    turn.journal.write_text("")
    for text in ("first", "second"):
        turn.want(text)
        assert turn.take().returncode == 0
    assert turn.log == ["restart with first", "restart with second"]
    assert turn.journal.read_text() == ""


def test_heats_own_program_stops_only_when_its_requests_have_ended(tmp_path: Path) -> None:
    turn = Turn(tmp_path, API, monitor=MONITOR, console=True)
    well, sick = CONSOLE
    (turn.path / "after").write_text(f"{well}\n{well}\n")
    turn.want("first")
    assert turn.take().returncode == 0
    (turn.path / "requests").write_text("one\nanother\n")
    turn.want("second")
    assert turn.take().returncode == 0
    # Out at the third time, and then the two that were under way.
    assert turn.journal.read_text().splitlines() == [*[well] * 3, *[sick] * 5, *[well] * 2]


@pytest.mark.parametrize(
    ("line", "who", "console"),
    [
        ('10.0.0.5 "GET /healthcheck HTTP/1.0" 200 2 bytes in 1 ms "-"', "10.0.0.5", False),
        # Its word for a client, whoever that says to be; what is no health check; and this node's own.
        ('192.0.2.9 "GET /healthcheck HTTP/1.1" 200 2 bytes in 1 ms "192.0.2.9"', "", False),
        ('10.0.0.5 "GET /v1/x/stacks HTTP/1.1" 200 2 bytes in 1 ms "-"', "", False),
        (f'{B} "GET /healthcheck HTTP/1.1" 200 2 bytes in 1 ms "-"', "", False),
        (CONSOLE[0], "10.0.0.1", True),
        (CONSOLE[0].replace("10.0.0.1", "192.0.2.9,10.0.0.1"), "", True),
        (CONSOLE[0].replace("/healthcheck", "/v1/x/stacks"), "", True),
        (CONSOLE[0].replace("10.0.0.1", B), "", True),
        # HAProxy is in front, and nobody else is believed.
        (CONSOLE[0].replace("10.0.0.1", "192.0.2.9"), "", True),
    ],
)
def test_only_what_the_proxy_asks_for_itself_is_counted(tmp_path: Path, line: str, who: str, *, console: bool) -> None:
    tool(tmp_path, "journalctl", f"echo '{line}'")
    text = render("heat/monitored.inc.sh", address=B, monitor=MONITOR, console=console, proxy=A if console else "")
    done = subprocess.run(
        ["/bin/sh", "-euc", f"{text}\nproxy_checks {API} -30s"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.stdout.strip() == who
