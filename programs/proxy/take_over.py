"""Put HAProxy in the place of the processes that served Heat's APIs here, and them back. Run by the host's python3.

Usage: take_over.py look|take|give-back, with a JSON object on stdin; take_over.py launch NUMBER
    listeners      of haproxy.cfg, as {name: [address, port]}
    keep_engine    whether the engine that ran here before goes on

look writes down what HAProxy was before it is installed, and refuses what could not be put back. take hands the
addresses over: HAProxy binds beside the original processes, which get new connections no more, end what they have
begun, and stop. They are kept from starting again, and written down under /var/lib/heat-scaleout/takeover, for root
alone: the environment of a process has secrets. give-back undoes all of it. Each may be run again.

HAProxy can bind beside a process that knows nothing of it as both have SO_REUSEPORT and one owner: the listening
sockets of the original processes are given both here. Where the system does not allow that, as it does not with
kernel.yama.ptrace_scope = 3, the original processes are stopped first.

What a process says of itself in /proc, its user may have made up: nothing of it is opened, run or believed as root, and
it gets back no file that it had not.
"""

import contextlib
import csv
import ctypes
import errno
import http.client
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/heat-scaleout/takeover")
RECORD = STATE / "record.json"
# While it is there, the guarded units do not start.
IN_FORCE = STATE / "in-force"
PROXY_BEFORE = STATE / "haproxy.json"
PROXY_CONF = Path("/etc/haproxy/haproxy.cfg")
PROXY_STAMP = Path("/etc/systemd/system/haproxy.service.d/heat-scaleout-stamp.conf")
PROXY_LIMITS = (
    Path("/etc/systemd/system/haproxy.service.d/heat-scaleout-memory.conf"),
    Path("/run/systemd/system.control/haproxy.service.d/50-MemoryMax.conf"),
)
ADMIN = "/run/haproxy/admin.sock"
APACHE = Path("/etc/apache2")
UNITS = Path("/etc/systemd/system")
GUARD = f"""[Unit]
# heat-scaleout: HAProxy serves this one's address, or other hosts do its work. To have it back: take_over.py give-back
ConditionPathExists=!{IN_FORCE}
"""
# What may start by itself later on, though it does not run now.
API_UNITS = ("heat-api", "heat-api-cfn", "openstack-heat-api", "openstack-heat-api-cfn", "devstack@h-api",
             "devstack@h-api-cfn")  # fmt: skip
ENGINE_UNITS = ("heat-engine", "openstack-heat-engine", "devstack@h-eng")

# Seconds: for requests that had begun before; for a process that is told to stop; for one that starts.
DRAIN = 15
STOP = 90
START = 90
# With no socket shared, nobody answers while the original processes stop: they are not waited for longer.
HASTE = 0.1
PAUSE = 0.005
PIDFD_GETFD = 438
# Of how a process has a file open, what it gets again.
KEPT = os.O_ACCMODE | os.O_APPEND | os.O_SYNC | os.O_DSYNC
SERVER_ERROR = 500
LISTENING, ESTABLISHED = "0A", "01"


class TakeOverError(Exception):
    """The addresses cannot be handed over."""


def run(*words: str, check: bool = True) -> str:
    """What a command prints.

    Raises:
        TakeOverError: it has failed, with what it said.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if check and done.returncode != 0:
        raise TakeOverError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def until(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


# Processes, by /proc.


def processes() -> list[int]:
    """All of them."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def target(link: Path | str) -> str:
    """Where a link leads."""
    return str(Path(link).readlink())


def sockets(port: int, state: str) -> set[str]:
    """The kernel's numbers of the TCP sockets with this port here, of either IP version."""
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, status, _, _, _, _, _, inode, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port and status == state:
                    found.add(inode)
    return found


def descriptors(inodes: Iterable[str]) -> list[tuple[int, int]]:
    """Which processes hold these sockets, and as which of their files."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for process in processes():
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if target(file) in wanted:
                        found.append((process, int(file.name)))
    return found


def status_of(pid: int | str) -> dict[str, str]:
    """/proc/PID/status; empty where the process is gone or has ended."""
    with contextlib.suppress(OSError):
        found = dict(re.findall(r"(?m)^(\w+):[ \t]*(.*)$", Path(f"/proc/{pid}/status").read_text()))
        return {} if found["State"].startswith(("Z", "X")) else found
    return {}


def command_of(pid: int) -> list[str]:
    """A process's command line; where it has given itself a title, as Heat's engine does, the one that stands there."""
    with contextlib.suppress(OSError):
        text = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"))
        titled = re.fullmatch(r"\S+: master process \[(.*)\]", text)
        with contextlib.suppress(ValueError):  # a title that is no command line
            return shlex.split(titled[1]) if titled else text.split("\0")
    return []


def born(pid: int) -> str:
    """When a process was started, in the kernel's ticks: tells it from a later one with its number."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def lives(one: dict[str, Any]) -> bool:
    """Whether a process of the record is there still."""
    return bool(status_of(one["pid"])) and born(one["pid"]) == one["born"]


def top(pids: Iterable[int]) -> list[int]:
    """Those that were not started by another one of them."""
    known = set(pids)
    return sorted(pid for pid in known if int(status_of(pid).get("PPid", 0)) not in known)


def family(pid: int) -> list[int]:
    """A process and all that it has started, the oldest first."""
    parents = {one: int(status_of(one).get("PPid", 0)) for one in processes()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one and child not in found]
    return found


def properties(unit: str, *names: str) -> dict[str, str]:
    """What systemd says of a unit."""
    lines = run("systemctl", "show", "--property", ",".join(names), "--", unit).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def unit_of(pid: int) -> str:
    """The systemd service that a process is the main one of, or has inherited its sockets from; empty for none."""
    with contextlib.suppress(OSError):
        # A user may make control groups below his own, called as he likes; a unit's name has no other characters.
        for unit in re.findall(r"/([\w:.@\\-]+\.service)(?:/|$)", Path(f"/proc/{pid}/cgroup").read_text(), re.M | re.A):
            if int(properties(unit, "MainPID").get("MainPID", 0)) == pid:
                return str(unit)
    return ""


# What ran here before: a service of systemd, a site of Apache, or a process that somebody has started.


def opened(pid: int, number: int) -> dict[str, Any] | None:
    """A regular file that a process has open, and how; None where it is something else.

    Its device and number in the file system tell it from another one that is under its name later on.
    """
    try:
        path, info = target(f"/proc/{pid}/fd/{number}"), Path(f"/proc/{pid}/fd/{number}").stat()
        told = re.search(r"(?m)^flags:\s*([0-7]+)$", Path(f"/proc/{pid}/fdinfo/{number}").read_text())
    except OSError:
        return None
    flags = int(told[1], 8) if told else os.O_PATH
    # A descriptor by O_PATH is had without any right to the file.
    if not path.startswith("/") or not stat.S_ISREG(info.st_mode) or flags & os.O_PATH:
        return None
    return {"path": path, "flags": flags & KEPT, "file": [info.st_dev, info.st_ino]}


def described(pid: int) -> dict[str, Any]:
    """All that it takes to start a process again as it was."""
    status = status_of(pid)
    environment = [os.fsdecode(word) for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"=" in word]
    return {
        "kind": "process",
        "name": f"{status['Name']} (process {pid})",
        "argv": command_of(pid),
        "exe": target(f"/proc/{pid}/exe"),
        "cwd": target(f"/proc/{pid}/cwd"),
        "uid": int(status["Uid"].split()[0]),
        "gid": int(status["Gid"].split()[0]),
        "groups": [int(group) for group in status["Groups"].split()],
        "umask": int(status["Umask"], 8),
        "output": [opened(pid, number) for number in (1, 2)],
        # A title may have been written over it.
        "environment": environment or [f"PATH={os.defpath}"],
    }


def apache_site(port: int) -> dict[str, Any]:
    """The site of Apache that brings a port along; one that Apache itself is told to listen on stays its own."""
    listens = re.compile(rf"(?im)^\s*listen\s+(\S+:)?{port}\b")
    for path in sorted(APACHE.glob("sites-enabled/*")):
        if listens.search(path.read_text(errors="replace")):
            if not path.is_symlink():
                sys.exit(
                    f"{path} is no link to a site: move it to {APACHE}/sites-available, and type a2ensite {path.stem}"
                )
            return {
                "kind": "site",
                "name": f"Apache's site {path.stem}",
                "path": str(path),
                "target": target(path),
            }
    sys.exit(
        f"Apache listens on port {port}, and none of its sites says so: move the line Listen {port} to Heat's site"
    )


def set_apart(pid: int) -> bool:
    """Whether a process has not the rights of this host's own, as in a container: a new one would have them all."""

    def of(process: int | str) -> list[str | None]:
        status = status_of(process)
        spaces = [target(f"/proc/{process}/ns/{kind}") for kind in ("mnt", "pid", "user")]
        return [*spaces, target(f"/proc/{process}/root"), *map(status.get, ("CapBnd", "NoNewPrivs", "Seccomp"))]

    return of(pid) != of("self")


def entry(pid: int, port: int, wanted: str) -> dict[str, Any]:
    """How one that holds a port was started; what is not Heat's is refused."""
    name, command, unit = status_of(pid).get("Name", ""), command_of(pid), unit_of(pid)
    if name in ("apache2", "httpd"):
        return apache_site(port)
    if not re.search(wanted, " ".join([unit, *command])):
        known = f"{name} ({unit or f'process {pid}'})"
        sys.exit(f"port {port} is taken by {known}, which is not Heat's own API: stop it, or have it listen elsewhere")
    if not unit and set_apart(pid):
        sys.exit(
            f"port {port} is taken by {name} (process {pid}), which is no service of this host and has fewer rights "
            "than its processes, as in a container: stop it, or have it listen elsewhere"
        )
    return {"pid": pid, "born": born(pid), **({"kind": "unit", "name": unit} if unit else described(pid))}


def is_proxy(pid: int) -> bool:
    """Whether a process is of HAProxy's unit. Any may call itself so."""
    with contextlib.suppress(OSError):
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        # A user may make control groups below an own one, called at will.
        return "/user.slice/" not in groups and bool(re.search(r"(?m)/system\.slice/haproxy\.service$", groups))
    return False


def holders(port: int) -> list[tuple[int, int]]:
    """Who listens on a port, HAProxy aside."""
    return [(pid, file) for pid, file in descriptors(sockets(port, LISTENING)) if not is_proxy(pid)]


def originals(ports: Iterable[int]) -> list[dict[str, Any]]:
    """What serves these ports now and is to make room, each once."""
    found: dict[str, dict[str, Any]] = {}
    for port in ports:
        if (inodes := sockets(port, LISTENING)) and not descriptors(inodes):
            sys.exit(f"port {port} is taken by a process that root may not look at here: it wants CAP_SYS_PTRACE")
        for pid in top(pid for pid, _ in holders(port)):
            try:
                one = entry(pid, port, r"heat|h-api")
            except (OSError, KeyError):  # it has ended meanwhile
                continue
            found.setdefault(one["name"], {**one, "ports": []})["ports"].append(port)
    return list(found.values())


def engines() -> list[dict[str, Any]]:
    """The engines that ran here before."""
    pids = []
    for pid in processes():
        with contextlib.suppress(OSError):
            # Its own interpreter: whoever only speaks of it, as journalctl does, is another program.
            named = any(Path(word).name == "heat-engine" for word in command_of(pid)[:2])
            if named and "python" in target(f"/proc/{pid}/exe"):
                pids.append(pid)
    found = []
    for pid in top(pids):
        with contextlib.suppress(OSError, KeyError):  # it has ended meanwhile
            found.append(entry(pid, 0, r"heat|h-eng") | {"ports": []})
    return found


def enabled(names: Iterable[str]) -> list[str]:
    """Of these units the ones that do not run, and would after a boot. One that runs listens elsewhere."""
    found = []
    for name in names:
        unit = f"{name}.service"
        state = properties(unit, "ActiveState", "UnitFileState")
        if state.get("UnitFileState", "").startswith("enabled") and state.get("ActiveState") in ("inactive", "failed"):
            found.append(unit)
    return found


def guard(units: Iterable[str]) -> None:
    """Keep these from starting while the take-over is in force, and leave everything else of them alone."""
    for unit in units:
        write(UNITS / f"{unit}.d/heat-scaleout.conf", GUARD)
    run("systemctl", "daemon-reload")


def unguard(units: Iterable[str]) -> None:
    """Undo guard."""
    for unit in units:
        path = UNITS / f"{unit}.d/heat-scaleout.conf"
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    run("systemctl", "daemon-reload")


def stop(entries: list[dict[str, Any]], seconds: float) -> None:
    """Stop what ran here before; what has not ended in time is killed."""
    units = [one["name"] for one in entries if one["kind"] == "unit"]
    living = [one for one in entries if one["kind"] != "site" and lives(one)]
    # With when each was started: by the end of the wait another process may have its number.
    trees = {(pid, born(pid)) for one in living for pid in family(one["pid"])}
    if units:
        # So that systemd does not start them again, whatever becomes of their processes.
        run("systemctl", "stop", "--no-block", *units)
    for one in living:
        if one["kind"] == "process":
            # uWSGI takes SIGTERM for a wish to be started anew.
            asked = signal.SIGQUIT if "uwsgi" in " ".join(command_of(one["pid"])[:2]) else signal.SIGTERM
            with contextlib.suppress(OSError):
                os.kill(one["pid"], asked)
    sites = [Path(one["path"]) for one in entries if one["kind"] == "site"]
    for site in sites:
        site.unlink(missing_ok=True)
    if sites:
        run("apache2ctl", "configtest")
        run("systemctl", "reload", "apache2")
    ports = [port for one in entries for port in one["ports"]]
    gone = until(lambda: not any(map(lives, living)) and not any(map(holders, ports)), seconds)
    if not gone:
        for pid, since in trees:
            with contextlib.suppress(OSError):
                if born(pid) == since:
                    os.kill(pid, signal.SIGKILL)
    if not until(lambda: not any(map(holders, ports)), 10):
        who = ", ".join(f"{status_of(pid).get('Name')} (process {pid})" for port in ports for pid, _ in holders(port))
        raise TakeOverError(f"what served Heat's APIs is started again by something else: {who}")


def start(entries: list[dict[str, Any]]) -> None:
    """Start what ran here before as it was started then."""
    units = [one["name"] for one in entries if one["kind"] == "unit"]
    if units:
        run("systemctl", "start", "--no-block", *units)
    for number, one in enumerate(json.loads(RECORD.read_text())["entries"]):
        if one in entries and one["kind"] == "process" and not lives(one):
            # In a scope of its own: it may not end with the login that this runs in.
            scope = ("systemd-run", "--quiet", "--scope", "--collect")
            run(*scope, sys.executable, str(Path(__file__).resolve()), "launch", str(number))
    sites = [one for one in entries if one["kind"] == "site"]
    for one in sites:
        if not Path(one["path"]).is_symlink():
            Path(one["path"]).symlink_to(one["target"])
    if sites:
        run("systemctl", "reload", "apache2")


def start_engines(entries: list[dict[str, Any]]) -> None:
    """Start these, and see that they run.

    Raises:
        TakeOverError: one does not.
    """
    start(entries)
    for one in entries:
        if one["kind"] == "unit" and not until(lambda: active(one["name"]), START):  # noqa: B023 # asked at once
            raise TakeOverError(f"{one['name']} does not start again: journalctl -u {one['name']}")


def active(unit: str) -> bool:
    """Whether a unit runs."""
    return properties(unit, "ActiveState").get("ActiveState") == "active"


def plain_file(path: str, flags: int, file: list[int] | None = None) -> int:
    """Open a regular file to which no symbolic link leads, with the rights that this process has now.

    Args:
        path: from the root.
        flags: how.
        file: its device and number; any file where that is not given.

    Raises:
        OSError: there is none, or it may not be opened so.
    """
    walk = os.O_PATH | os.O_NOFOLLOW
    at = os.open("/", walk)
    try:
        *directories, name = path.strip("/").split("/")
        for part, more in [*((part, os.O_DIRECTORY) for part in directories), (name, 0)]:
            at, before = os.open(part, walk | more, dir_fd=at), at
            os.close(before)
        found = os.fstat(at)
        if not stat.S_ISREG(found.st_mode) or file not in (None, [found.st_dev, found.st_ino]):
            raise FileNotFoundError(path)
        if file and found.st_nlink != 1:
            raise PermissionError(path)
        # By what has been looked at, whatever is called so by now.
        opened_file = os.open(f"/proc/self/fd/{at}", flags | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(at)
    if not flags & os.O_APPEND:
        # It goes on below what it has written before.
        os.lseek(opened_file, 0, os.SEEK_END)
    return opened_file


def had_before(one: dict[str, Any]) -> int | None:
    """As root, the very file that a process had open for writing: whoever had opened it may have been root too."""
    if one["file"] and one["flags"] & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR):
        with contextlib.suppress(OSError):
            return plain_file(one["path"], one["flags"], one["file"])
    return None


def outputs(kept: list[Any]) -> list[dict[str, Any] | None]:
    """Where a process of the record writes to; a record of an earlier version has the paths alone."""
    return [
        {"path": one, "flags": os.O_WRONLY | os.O_APPEND, "file": None} if isinstance(one, str) else one for one in kept
    ]


def become(one: dict[str, Any]) -> None:
    """Have the user and the files of a process of the record: its files as that user, or those that it had itself."""
    output = outputs(one["output"])
    had = [had_before(file) if file else None for file in output]
    os.setgroups(one["groups"])
    os.setresgid(one["gid"], one["gid"], one["gid"])
    os.setresuid(one["uid"], one["uid"], one["uid"])
    os.umask(one["umask"])
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    written: list[int] = []
    for number, file in enumerate(output):
        if number and file and file == output[0]:
            written.append(written[0])
            continue
        fallback = had[number]
        try:
            written.append(plain_file(file["path"], file["flags"]) if file else nothing)
        except OSError:
            written.append(nothing if fallback is None else fallback)
    for number, source in enumerate([nothing, *written]):
        os.dup2(source, number)
    os.closerange(3, 1024)


def launch(place: int) -> None:
    """Become a process of the record, and return at once."""
    one = json.loads(RECORD.read_text())["entries"][place]
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    become(one)
    os.chdir(one["cwd"])
    words = one["argv"]
    # A script is started by its own name, as it was then, and its interpreter as the script says.
    if len(words) > 1 and os.access(words[1], os.X_OK) and Path(words[1]).read_bytes()[:2] == b"#!":
        words = words[1:]
    program = words[0] if os.access(words[0], os.X_OK) else one["exe"]
    os.execve(program, words, dict(pair.split("=", 1) for pair in one["environment"]))  # noqa: S606


# The sockets of the original processes.


def fetched(pid: int, file: int, link: str) -> socket.socket:
    """A socket of another process, shared with it.

    Args:
        pid: the process.
        file: as which of its files.
        link: where that one led when it was looked at, such as "socket:[123]".

    Raises:
        OSError: the system does not allow it, or it is another one by now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(PIDFD_GETFD, os.pidfd_open(pid), file, 0)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if f"socket:[{os.fstat(found).st_ino}]" != link:
        os.close(found)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return socket.socket(fileno=found)


def shared(ports: Iterable[int]) -> list[socket.socket]:
    """The listening sockets behind these ports, so that HAProxy may bind beside them; none where that cannot be."""
    found = []
    try:
        seen = set()
        for port in ports:
            for pid, file in holders(port):
                if (inode := target(f"/proc/{pid}/fd/{file}")) in seen:
                    continue
                seen.add(inode)
                one = fetched(pid, file, inode)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                os.fchown(one.fileno(), 0, -1)
                found.append(one)
    except (OSError, AttributeError) as error:
        print(f"HAProxy cannot bind beside the original processes, which are stopped first ({error})")
        return []
    return found


def busy(entries: list[dict[str, Any]], ports: Iterable[int]) -> bool:
    """Whether an original process still has a client connected."""
    pids = {pid for one in entries if one["kind"] != "site" for pid in family(one["pid"])}
    return any(pid in pids for port in ports for pid, _ in descriptors(sockets(port, ESTABLISHED)))


# HAProxy.


def admin(command: str) -> str:
    """Ask HAProxy on its admin socket; empty where it does not answer."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(5)
        asked.connect(ADMIN)
        asked.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    return ""


def answered() -> dict[str, int]:
    """How many requests HAProxy has answered well, by listener."""
    rows = csv.DictReader(io.StringIO(admin("show stat").lstrip("# ")))
    return {row["pxname"]: int(row["hrsp_2xx"] or 0) for row in rows if row["svname"] == "FRONTEND"}


def ask(address: str, port: int) -> int:
    """The status of Heat's health check at an address; 0 where nothing answers."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/healthcheck", headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def serves(address: str, port: int) -> bool:
    """Whether an address is answered by Heat, or by a proxy that reaches it."""
    return 0 < ask(address, port) < SERVER_ERROR


class Watch(threading.Thread):
    """Asks an address over and over, and keeps how long it was without an answer at most."""

    def __init__(self, address: str, port: int) -> None:
        super().__init__(daemon=True)
        self.where = (address, port)
        self.last, self.longest, self.ended = time.monotonic(), 0.0, False
        self.asked = self.failed = 0

    def run(self) -> None:
        """Ask until told to end."""
        while not self.ended:
            well = serves(*self.where)
            self.asked += 1
            now = time.monotonic()
            if well:
                self.longest, self.last = max(self.longest, now - self.last), now
            else:
                self.failed += 1
            time.sleep(PAUSE)

    def told(self) -> str:
        """What came of it."""
        self.ended = True
        self.join(6)
        self.longest = max(self.longest, time.monotonic() - self.last)
        where = f"{self.where[0]}:{self.where[1]}"
        return (
            f"{where} was {self.longest:.2f} s without an answer at most; {self.failed} of {self.asked} requests failed"
        )


def proxy_start() -> tuple[str, ...]:
    """The command that has HAProxy run with the configuration that is in place; all else is done before."""
    run("systemctl", "--quiet", "enable", "haproxy")
    if active("haproxy"):
        return ("systemctl", "kill", "--signal", "USR2", "--kill-who", "main", "haproxy")
    run("systemctl", "reset-failed", "haproxy", check=False)
    return ("systemctl", "start", "haproxy")


def proxy_answers(listeners: dict[str, list[Any]]) -> None:
    """Wait until HAProxy itself has answered on each address."""

    def all_answer() -> bool:
        for address, port in listeners.values():
            ask(address, port)
        count = answered()
        return all(count.get(name) for name in listeners)

    if not until(all_answer, 20):
        count = answered()
        silent = [f"{address}:{port}" for name, (address, port) in listeners.items() if not count.get(name)]
        raise TakeOverError(f"HAProxy does not answer on {' and '.join(silent)}")


def proxy_stops() -> None:
    """Have HAProxy run no more."""
    run("systemctl", "--quiet", "disable", "--now", "haproxy", check=False)


# What is done.


def load() -> dict[str, Any]:
    """The record: what made room (entries) and what is kept from starting (guarded)."""
    if RECORD.exists():
        found: dict[str, Any] = json.loads(RECORD.read_text())
        return found
    return {"entries": [], "guarded": []}


def save(record: dict[str, Any]) -> None:
    """Write the record down, for root alone."""
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    write(RECORD, json.dumps(record, indent=1), 0o600)


def look(spec: dict[str, Any]) -> None:
    """Write down what HAProxy is before any of it is touched, and see that what serves the APIs can be put back."""
    if not RECORD.exists():
        for one in originals(port for _, port in spec["listeners"].values()):
            print(f"{one['name']} serves port {' and '.join(map(str, one['ports']))}, and will make room for HAProxy")
    if PROXY_BEFORE.exists():
        return
    shipped = re.findall(rf"{PROXY_CONF} (\w+)", run("dpkg-query", "-W", "-f", "${Conffiles}", "haproxy", check=False))
    text = PROXY_CONF.read_text() if PROXY_CONF.exists() else ""
    if text and "heat-scaleout" not in text and run("md5sum", str(PROXY_CONF)).split()[0] not in shipped:
        sys.exit(
            f"{PROXY_CONF} is somebody else's, and HAProxy can have one configuration only: "
            "have what it does done elsewhere, and remove the file"
        )
    state = properties("haproxy", "ActiveState", "UnitFileState")
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    write(PROXY_BEFORE, json.dumps({"conf": "" if "heat-scaleout" in text else text, **state}), 0o600)


def take(spec: dict[str, Any]) -> None:
    """Hand the addresses over."""
    listeners: dict[str, list[Any]] = spec["listeners"]
    ports = [port for _, port in listeners.values()]
    record = load()
    if found := originals(ports):
        record["entries"] += found
        record["guarded"] += [one["name"] for one in found if one["kind"] == "unit"]
    record["guarded"] = sorted({*record["guarded"], *enabled(API_UNITS)})
    save(record)
    guard(record["guarded"])
    IN_FORCE.touch()
    if found:
        hand_over(listeners, found)
    stopped = [one for one in record["entries"] if one.get("engine")]
    if spec["keep_engine"] and stopped:
        keep = [one["name"] for one in stopped if one["kind"] == "unit"]
        unguard(keep)
        start_engines(stopped)
        record["entries"] = [one for one in record["entries"] if not one.get("engine")]
        record["guarded"] = [unit for unit in record["guarded"] if unit not in keep]
        print(f"started {' and '.join(one['name'] for one in stopped)} again")
    elif not spec["keep_engine"] and (found := [{**one, "engine": True} for one in engines()]):
        record["entries"] += found
        record["guarded"] = sorted(
            {*record["guarded"], *enabled(ENGINE_UNITS), *(one["name"] for one in found if one["kind"] == "unit")}
        )
        save(record)
        guard(record["guarded"])
        stop(found, STOP)
        print(f"stopped {' and '.join(one['name'] for one in found)}")
    save(record)


def hand_over(listeners: dict[str, list[Any]], found: list[dict[str, Any]]) -> None:
    """HAProxy for the original processes, or them as before."""
    ports = [port for one in found for port in one["ports"]]
    watches = [Watch(address, port) for address, port in listeners.values() if port in ports]
    for watch in watches:
        watch.start()
    beside = shared(ports)
    try:
        start_it = proxy_start()
        if not beside:
            stop(found, HASTE)
        run(*start_it)
        proxy_answers(listeners)
    except TakeOverError as error:
        sys.exit(
            f"{error}; {as_before(found, ports)}. The last lines of HAProxy's log (journalctl -u haproxy):\n{log()}"
        )
    for one in beside:
        # Nothing new comes to the original processes from here on.
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RD)
    if beside:
        until(lambda: not busy(found, ports), DRAIN)
        stop(found, STOP)
    for watch in watches:
        print(watch.told())
    print(f"HAProxy serves in place of {' and '.join(one['name'] for one in found)}")


def as_before(found: list[dict[str, Any]], ports: list[int]) -> str:
    """Have the original processes serve, and HAProxy not; what came of it."""
    proxy_stops()
    record = load()
    made_room = [one["name"] for one in found]
    unguard(unit for unit in record["guarded"] if unit in made_room)
    start(found)
    record["entries"] = [one for one in record["entries"] if one["name"] not in made_room]
    record["guarded"] = [unit for unit in record["guarded"] if unit not in made_room]
    save(record)
    if until(lambda: all(map(holders, ports)), START):
        return "the original processes serve their addresses as before"
    return f"the original processes were started again, and do not listen after {START} s: {', '.join(made_room)}"


def log() -> str:
    """What HAProxy said last."""
    return run("journalctl", "--unit", "haproxy", "--lines", "20", "--no-pager", "--output", "cat", check=False)


def give_back(spec: dict[str, Any]) -> None:
    """Undo all of it."""
    record = load()
    IN_FORCE.unlink(missing_ok=True)
    unguard(record["guarded"])
    apis = [one for one in record["entries"] if not one.get("engine")]
    ports = sorted({port for one in apis for port in one["ports"]})
    start_engines([one for one in record["entries"] if one.get("engine")])
    listeners = {name: where for name, where in spec["listeners"].items() if where[1] in ports}
    watches = [Watch(*where) for where in listeners.values()]
    for watch in watches:
        watch.start()
    # HAProxy lets go of the addresses, and goes on with what it has begun.
    for name in listeners:
        admin(f"disable frontend {name}")
    start(apis)
    if not until(lambda: all(map(holders, ports)) and all(serves(*where) for where in listeners.values()), START):
        for name in listeners:
            admin(f"enable frontend {name}")
        sys.exit(
            "what served Heat's APIs does not come back, and HAProxy goes on in its place: "
            + ", ".join(one["name"] for one in apis)
        )
    proxy_stops()
    proxy_as_before()
    for watch in watches:
        print(watch.told())
    for one in record["entries"]:
        print(f"{one['name']} is back" + "".join(f", on port {port}" for port in one["ports"]))
    shutil.rmtree(STATE, ignore_errors=True)


def proxy_as_before() -> None:
    """What HAProxy was before it was installed or told anything."""
    for path in (PROXY_STAMP, *PROXY_LIMITS):
        path.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    if not PROXY_BEFORE.exists():
        return
    before = json.loads(PROXY_BEFORE.read_text())
    if before["conf"]:
        write(PROXY_CONF, before["conf"])
    else:
        PROXY_CONF.unlink(missing_ok=True)
    if before.get("UnitFileState") == "enabled":
        run("systemctl", "--quiet", "enable", "haproxy", check=False)
    if before.get("ActiveState") == "active":
        run("systemctl", "start", "haproxy", check=False)


def main() -> None:
    """Do as told.

    Raises:
        TakeOverError: it cannot be done.
    """
    match sys.argv[1:]:
        case ["look"]:
            look(json.load(sys.stdin))
        case ["take"]:
            take(json.load(sys.stdin))
        case ["give-back"]:
            give_back(json.load(sys.stdin))
        case ["launch", number]:
            launch(int(number))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main()
    except TakeOverError as problem:
        sys.exit(str(problem))
