"""Replace the processes that serve Heat's APIs on this host by HAProxy, and undo that. Run by the host's python3.

Usage: take_over.py look|take|give-back, with a JSON object on stdin; take_over.py launch NUMBER
    listeners      of haproxy.cfg, as {name: [address, port]}
    keep_engine    whether the original engine keeps running

look records how HAProxy was configured before it is installed, and refuses processes that could not be restored. take
hands the addresses over: HAProxy binds the ports of the original processes as well. These get no new connections,
finish their requests, and stop. They are prevented from starting again, and recorded under
/var/lib/heat-scaleout/takeover, which only root can read: the environment of a process has secrets. give-back undoes
everything. Every action may be repeated.

HAProxy can bind the same port as another process if both sockets have SO_REUSEPORT and the same owner. This program
sets both on the listening sockets of the original processes. Where the system does not allow that, as with
kernel.yama.ptrace_scope = 3, the original processes are stopped first.

A user can make up what /proc says of a process: the program opens and runs nothing of it as root and trusts none of it.
A process gets back no file that it did not have.
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
# While this file exists, the guarded units do not start.
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
# heat-scaleout: HAProxy has the address of this service, or other hosts do its work. To undo: take_over.py give-back
ConditionPathExists=!{IN_FORCE}
"""
# Services that may start later on, although they do not run now.
API_UNITS = ("heat-api", "heat-api-cfn", "openstack-heat-api", "openstack-heat-api-cfn", "devstack@h-api",
             "devstack@h-api-cfn")  # fmt: skip
ENGINE_UNITS = ("heat-engine", "openstack-heat-engine", "devstack@h-eng")

# Seconds that the program waits for requests to finish, for a process to stop, and for a process to start.
DRAIN = 15
STOP = 90
START = 90
# The same for a process whose socket is not shared: nobody answers while it stops.
STOP_UNSHARED = 0.1
INTERVAL = 0.005
PIDFD_GETFD = 438
# The flags that an open file of a process keeps when the process is started again.
KEPT_FLAGS = os.O_ACCMODE | os.O_APPEND | os.O_SYNC | os.O_DSYNC
SERVER_ERROR = 500
LISTENING, ESTABLISHED = "0A", "01"


class TakeOverError(Exception):
    """The addresses cannot be handed over, or not given back."""


def run(*words: str, check: bool = True) -> str:
    """Run a command.

    Args:
        words: the command and its arguments.
        check: whether a failure is an error.

    Returns:
        Its output, without surrounding whitespace.

    Raises:
        TakeOverError: the command failed; the message has its output.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if check and done.returncode != 0:
        raise TakeOverError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def wait_until(condition: Callable[[], Any], seconds: float) -> bool:
    """Wait until a condition is true.

    Returns:
        Whether it became true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(INTERVAL)
    return True


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


# Processes, as /proc shows them.


def process_ids() -> list[int]:
    """The PIDs of all processes."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def link_target(link: Path | str) -> str:
    """The target of a symbolic link."""
    return str(Path(link).readlink())


def socket_inodes(port: int, state: str) -> set[str]:
    """The inodes of the TCP sockets with this local port, IPv4 and IPv6.

    Args:
        port: the port.
        state: LISTENING or ESTABLISHED.
    """
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                _, local, _, status, _, _, _, _, _, inode, *_ = line.split()
                if int(local.rpartition(":")[2], 16) == port and status == state:
                    found.add(inode)
    return found


def find_descriptors(inodes: Iterable[str]) -> list[tuple[int, int]]:
    """The processes that have these sockets: PID and file descriptor."""
    links = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for process in process_ids():
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if link_target(file) in links:
                        found.append((process, int(file.name)))
    return found


def process_status(pid: int | str) -> dict[str, str]:
    """The fields of /proc/PID/status; empty if the process has ended."""
    with contextlib.suppress(OSError):
        found = dict(re.findall(r"(?m)^(\w+):[ \t]*(.*)$", Path(f"/proc/{pid}/status").read_text()))
        return {} if found["State"].startswith(("Z", "X")) else found
    return {}


def command_line(pid: int) -> list[str]:
    """A process's command line. If it has set a title, as Heat's engine does, the command line in the title."""
    with contextlib.suppress(OSError):
        text = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0"))
        titled = re.fullmatch(r"\S+: master process \[(.*)\]", text)
        with contextlib.suppress(ValueError):  # a title that is not a command line
            return shlex.split(titled[1]) if titled else text.split("\0")
    return []


def start_time(pid: int) -> str:
    """When a process was started, in clock ticks: distinguishes it from a later process with the same PID."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def is_running(entry: dict[str, Any]) -> bool:
    """Whether a recorded process still runs."""
    return bool(process_status(entry["pid"])) and start_time(entry["pid"]) == entry["born"]


def top_level(pids: Iterable[int]) -> list[int]:
    """The processes whose parent is not one of them."""
    known = set(pids)
    return sorted(pid for pid in known if int(process_status(pid).get("PPid", 0)) not in known)


def process_tree(pid: int) -> list[int]:
    """A process and its descendants, parents first."""
    parents = {process: int(process_status(process).get("PPid", 0)) for process in process_ids()}
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process and child not in found]
    return found


def unit_properties(unit: str, *names: str) -> dict[str, str]:
    """Properties of a systemd unit."""
    lines = run("systemctl", "show", "--property", ",".join(names), "--", unit).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def service_of(pid: int) -> str:
    """The systemd service whose main process this is; empty if there is none."""
    with contextlib.suppress(OSError):
        # A user can make control groups with any name below its own. A unit's name has only these characters.
        for unit in re.findall(r"/([\w:.@\\-]+\.service)(?:/|$)", Path(f"/proc/{pid}/cgroup").read_text(), re.M | re.A):
            if int(unit_properties(unit, "MainPID").get("MainPID", 0)) == pid:
                return str(unit)
    return ""


# The original processes: services of systemd, sites of Apache, or processes that somebody started by hand.


def describe_open_file(pid: int, number: int) -> dict[str, Any] | None:
    """Describe a regular file that a process has open; None if the descriptor is something else.

    The device and the inode distinguish the file from a later one with the same name.
    """
    try:
        path, info = link_target(f"/proc/{pid}/fd/{number}"), Path(f"/proc/{pid}/fd/{number}").stat()
        line = re.search(r"(?m)^flags:\s*([0-7]+)$", Path(f"/proc/{pid}/fdinfo/{number}").read_text())
    except OSError:
        return None
    flags = int(line[1], 8) if line else os.O_PATH
    # Anybody can have a descriptor with O_PATH, without any right to the file.
    if not path.startswith("/") or not stat.S_ISREG(info.st_mode) or flags & os.O_PATH:
        return None
    return {"path": path, "flags": flags & KEPT_FLAGS, "file": [info.st_dev, info.st_ino]}


def describe_process(pid: int) -> dict[str, Any]:
    """Everything that is needed to start a process again as it was."""
    status = process_status(pid)
    environment = [os.fsdecode(word) for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if b"=" in word]
    return {
        "kind": "process",
        "name": f"{status['Name']} (process {pid})",
        "argv": command_line(pid),
        "exe": link_target(f"/proc/{pid}/exe"),
        "cwd": link_target(f"/proc/{pid}/cwd"),
        "uid": int(status["Uid"].split()[0]),
        "gid": int(status["Gid"].split()[0]),
        "groups": [int(group) for group in status["Groups"].split()],
        "umask": int(status["Umask"], 8),
        "output": [describe_open_file(pid, number) for number in (1, 2)],
        # Empty if a title has overwritten it.
        "environment": environment or [f"PATH={os.defpath}"],
    }


def apache_site(port: int) -> dict[str, Any]:
    """The site of Apache whose configuration has the Listen for a port. The program ends if there is none."""
    listens = re.compile(rf"(?im)^\s*listen\s+(\S+:)?{port}\b")
    for path in sorted(APACHE.glob("sites-enabled/*")):
        if listens.search(path.read_text(errors="replace")):
            if not path.is_symlink():
                remedy = f"move it to {APACHE}/sites-available, and type: a2ensite {path.stem}"
                sys.exit(f"{path} is not a link to a site: {remedy}")
            return {
                "kind": "site",
                "name": f"Apache's site {path.stem}",
                "path": str(path),
                "target": link_target(path),
            }
    sys.exit(f"Apache listens on port {port}, and none of its sites has the line Listen {port}: move it to Heat's site")


def is_confined(pid: int) -> bool:
    """Whether a process has fewer rights than this one, as in a container: started again, it would have them all."""

    def rights(process: int | str) -> list[str | None]:
        status = process_status(process)
        spaces = [link_target(f"/proc/{process}/ns/{kind}") for kind in ("mnt", "pid", "user")]
        return [*spaces, link_target(f"/proc/{process}/root"), *map(status.get, ("CapBnd", "NoNewPrivs", "Seccomp"))]

    return rights(pid) != rights("self")


def make_entry(pid: int, port: int, pattern: str) -> dict[str, Any]:
    """Describe how a process that has a port was started. The program ends if the process is not Heat's.

    Args:
        pid: the process.
        port: its port.
        pattern: what the unit or the command line of a process of Heat matches.

    Raises:
        OSError, KeyError: the process has ended.
    """
    name, command, unit = process_status(pid).get("Name", ""), command_line(pid), service_of(pid)
    if name in ("apache2", "httpd"):
        return apache_site(port)
    if not re.search(pattern, " ".join([unit, *command])):
        known = f"{name} ({unit or f'process {pid}'})"
        sys.exit(f"port {port} is taken by {known}, which is not Heat's own API: stop it, or let it listen elsewhere")
    if not unit and is_confined(pid):
        sys.exit(
            f"port {port} is taken by {name} (process {pid}), which is not a service of this host and has fewer rights "
            "than its processes, as in a container: stop it, or let it listen elsewhere"
        )
    return {"pid": pid, "born": start_time(pid), **({"kind": "unit", "name": unit} if unit else describe_process(pid))}


def is_proxy(pid: int) -> bool:
    """Whether a process belongs to HAProxy's unit: any process can have its name."""
    with contextlib.suppress(OSError):
        groups = Path(f"/proc/{pid}/cgroup").read_text()
        # A user can make control groups with any name below its own.
        return "/user.slice/" not in groups and bool(re.search(r"(?m)/system\.slice/haproxy\.service$", groups))
    return False


def find_listening(port: int) -> list[tuple[int, int]]:
    """The processes that listen on a port, except HAProxy: PID and file descriptor."""
    return [(pid, file) for pid, file in find_descriptors(socket_inodes(port, LISTENING)) if not is_proxy(pid)]


def find_originals(ports: Iterable[int]) -> list[dict[str, Any]]:
    """Describe what serves these ports now, except HAProxy. The program ends if it cannot be replaced."""
    found: dict[str, dict[str, Any]] = {}
    for port in ports:
        if (inodes := socket_inodes(port, LISTENING)) and not find_descriptors(inodes):
            sys.exit(f"port {port} is taken by a process that root cannot inspect here: root needs CAP_SYS_PTRACE")
        for pid in top_level(pid for pid, _ in find_listening(port)):
            try:
                entry = make_entry(pid, port, r"heat|h-api")
            except (OSError, KeyError):  # it has ended in the meantime
                continue
            found.setdefault(entry["name"], {**entry, "ports": []})["ports"].append(port)
    return list(found.values())


def find_engines() -> list[dict[str, Any]]:
    """Describe the original engines on this host."""
    pids = []
    for pid in process_ids():
        with contextlib.suppress(OSError):
            # Only under Python: another program, such as journalctl, may have the name in its arguments.
            named = any(Path(word).name == "heat-engine" for word in command_line(pid)[:2])
            if named and "python" in link_target(f"/proc/{pid}/exe"):
                pids.append(pid)
    found = []
    for pid in top_level(pids):
        with contextlib.suppress(OSError, KeyError):  # it has ended in the meantime
            found.append(make_entry(pid, 0, r"heat|h-eng") | {"ports": []})
    return found


def find_enabled(names: Iterable[str]) -> list[str]:
    """The units that do not run and would start at a boot. A unit that runs has another port."""
    found = []
    for name in names:
        unit = f"{name}.service"
        state = unit_properties(unit, "ActiveState", "UnitFileState")
        if state.get("UnitFileState", "").startswith("enabled") and state.get("ActiveState") in ("inactive", "failed"):
            found.append(unit)
    return found


# Guards, which keep units from starting.


def guard(units: Iterable[str]) -> None:
    """Prevent units from starting while the take-over is in force. They stay enabled as they are."""
    for unit in units:
        write_file(UNITS / f"{unit}.d/heat-scaleout.conf", GUARD)
    run("systemctl", "daemon-reload")


def unguard(units: Iterable[str]) -> None:
    """Allow guarded units to start again."""
    for unit in units:
        path = UNITS / f"{unit}.d/heat-scaleout.conf"
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
    run("systemctl", "daemon-reload")


# Stopping and starting the original processes.


def stop(entries: list[dict[str, Any]], seconds: float) -> None:
    """Stop original processes, and kill them if they do not end in time.

    Raises:
        TakeOverError: something starts them again.
    """
    units = [entry["name"] for entry in entries if entry["kind"] == "unit"]
    living = [entry for entry in entries if entry["kind"] != "site" and is_running(entry)]
    # With the start time: by the end of the wait, another process may have the PID.
    trees = {(pid, start_time(pid)) for entry in living for pid in process_tree(entry["pid"])}
    if units:
        # So that systemd does not start them again when their processes end.
        run("systemctl", "stop", "--no-block", *units)
    for entry in living:
        if entry["kind"] == "process":
            # uWSGI restarts at SIGTERM.
            number = signal.SIGQUIT if "uwsgi" in " ".join(command_line(entry["pid"])[:2]) else signal.SIGTERM
            with contextlib.suppress(OSError):
                os.kill(entry["pid"], number)
    sites = [Path(entry["path"]) for entry in entries if entry["kind"] == "site"]
    for site in sites:
        site.unlink(missing_ok=True)
    if sites:
        run("apache2ctl", "configtest")
        run("systemctl", "reload", "apache2")
    ports = [port for entry in entries for port in entry["ports"]]
    gone = wait_until(lambda: not any(map(is_running, living)) and not any(map(find_listening, ports)), seconds)
    if not gone:
        for pid, since in trees:
            with contextlib.suppress(OSError):
                if start_time(pid) == since:
                    os.kill(pid, signal.SIGKILL)
    if not wait_until(lambda: not any(map(find_listening, ports)), 10):
        who = ", ".join(
            f"{process_status(pid).get('Name')} (process {pid})" for port in ports for pid, _ in find_listening(port)
        )
        raise TakeOverError(f"something else starts Heat's original APIs again: {who}")


def start(entries: list[dict[str, Any]]) -> None:
    """Start original processes as they were started before."""
    units = [entry["name"] for entry in entries if entry["kind"] == "unit"]
    if units:
        run("systemctl", "start", "--no-block", *units)
    for number, entry in enumerate(json.loads(RECORD.read_text())["entries"]):
        if entry in entries and entry["kind"] == "process" and not is_running(entry):
            # In its own scope: it must not end with the login of this program.
            scope = ("systemd-run", "--quiet", "--scope", "--collect")
            run(*scope, sys.executable, str(Path(__file__).resolve()), "launch", str(number))
    sites = [entry for entry in entries if entry["kind"] == "site"]
    for entry in sites:
        if not Path(entry["path"]).is_symlink():
            Path(entry["path"]).symlink_to(entry["target"])
    if sites:
        run("systemctl", "reload", "apache2")


def start_engines(entries: list[dict[str, Any]]) -> None:
    """Start original engines, and wait until they run.

    Raises:
        TakeOverError: one does not start.
    """
    start(entries)
    for entry in entries:
        name = entry["name"]
        if entry["kind"] == "unit" and not wait_until(lambda: is_active(name), START):  # noqa: B023 # called at once
            raise TakeOverError(f"{name} does not start again: journalctl -u {name}")


def is_active(unit: str) -> bool:
    """Whether a systemd unit is active."""
    return unit_properties(unit, "ActiveState").get("ActiveState") == "active"


# Starting a recorded process with its own user and its own files.


def open_regular_file(path: str, flags: int, file: list[int] | None = None) -> int:
    """Open a regular file with the present rights of this process, without following symbolic links.

    Args:
        path: the absolute path.
        flags: the flags of open().
        file: device and inode of the file; None for any file.

    Returns:
        The file descriptor, at the end of the file.

    Raises:
        OSError: there is no such file, or it must not be opened with these flags.
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
        # By the descriptor that was checked: another file may have the name by now.
        opened_file = os.open(f"/proc/self/fd/{at}", flags | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(at)
    if not flags & os.O_APPEND:
        # The process continues after what it wrote before.
        os.lseek(opened_file, 0, os.SEEK_END)
    return opened_file


def reopen_same_file(file: dict[str, Any]) -> int | None:
    """Open, as root, the same file that a process had open for writing: root may have opened it for the process.

    Returns:
        The file descriptor; None if it is another file by now, or was not open for writing.
    """
    if file["file"] and file["flags"] & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR):
        with contextlib.suppress(OSError):
            return open_regular_file(file["path"], file["flags"], file["file"])
    return None


def output_files(recorded: list[Any]) -> list[dict[str, Any] | None]:
    """The files that a recorded process writes to. A record of an earlier version has only paths."""
    return [
        {"path": file, "flags": os.O_WRONLY | os.O_APPEND, "file": None} if isinstance(file, str) else file
        for file in recorded
    ]


def become(entry: dict[str, Any]) -> None:
    """Take the user and the output files of a recorded process.

    The files are opened as that user; if that fails, a file is used that the process had open itself.
    """
    output = output_files(entry["output"])
    same = [reopen_same_file(file) if file else None for file in output]
    os.setgroups(entry["groups"])
    os.setresgid(entry["gid"], entry["gid"], entry["gid"])
    os.setresuid(entry["uid"], entry["uid"], entry["uid"])
    os.umask(entry["umask"])
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    written: list[int] = []
    for number, file in enumerate(output):
        if number and file and file == output[0]:
            written.append(written[0])
            continue
        fallback = same[number]
        try:
            written.append(open_regular_file(file["path"], file["flags"]) if file else nothing)
        except OSError:
            written.append(nothing if fallback is None else fallback)
    for number, source in enumerate([nothing, *written]):
        os.dup2(source, number)
    os.closerange(3, 1024)


def launch(number: int) -> None:
    """Start a recorded process in the background.

    Args:
        number: its position in the record.
    """
    entry = json.loads(RECORD.read_text())["entries"][number]
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    become(entry)
    os.chdir(entry["cwd"])
    words = entry["argv"]
    # A script is started by its own name, as before; its first line names the interpreter.
    if len(words) > 1 and os.access(words[1], os.X_OK) and Path(words[1]).read_bytes()[:2] == b"#!":
        words = words[1:]
    program = words[0] if os.access(words[0], os.X_OK) else entry["exe"]
    os.execve(program, words, dict(pair.split("=", 1) for pair in entry["environment"]))  # noqa: S606


# The sockets of the original processes.


def duplicate_socket(pid: int, file: int, link: str) -> socket.socket:
    """Duplicate a socket of another process, so that both processes share it.

    Args:
        pid: the process.
        file: its file descriptor.
        link: what /proc showed for the descriptor, such as "socket:[123]".

    Raises:
        OSError: the system does not allow it, or the descriptor is another file by now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(PIDFD_GETFD, os.pidfd_open(pid), file, 0)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if f"socket:[{os.fstat(found).st_ino}]" != link:
        os.close(found)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return socket.socket(fileno=found)


def share_sockets(ports: Iterable[int]) -> list[socket.socket]:
    """Make the listening sockets of these ports shareable, so that HAProxy can bind the same ports.

    Returns:
        The sockets; empty if the system does not allow it.
    """
    found = []
    try:
        seen = set()
        for port in ports:
            for pid, file in find_listening(port):
                if (inode := link_target(f"/proc/{pid}/fd/{file}")) in seen:
                    continue
                seen.add(inode)
                shared = duplicate_socket(pid, file, inode)
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                os.fchown(shared.fileno(), 0, -1)
                found.append(shared)
    except (OSError, AttributeError) as error:
        print(f"HAProxy cannot share the ports with the original processes, which are stopped first: {error}")
        return []
    return found


def has_clients(entries: list[dict[str, Any]], ports: Iterable[int]) -> bool:
    """Whether an original process still has a connection to a client."""
    pids = {pid for entry in entries if entry["kind"] != "site" for pid in process_tree(entry["pid"])}
    return any(pid in pids for port in ports for pid, _ in find_descriptors(socket_inodes(port, ESTABLISHED)))


# HAProxy.


def admin_command(command: str) -> str:
    """Send a command to HAProxy's admin socket.

    Returns:
        The answer; empty if there is none.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(ADMIN)
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    return ""


def count_answers() -> dict[str, int]:
    """The number of HAProxy's successful responses, by listener."""
    rows = csv.DictReader(io.StringIO(admin_command("show stat").lstrip("# ")))
    return {row["pxname"]: int(row["hrsp_2xx"] or 0) for row in rows if row["svname"] == "FRONTEND"}


def health_status(address: str, port: int) -> int:
    """The HTTP status of Heat's health check at an address; 0 if nothing answers."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/healthcheck", headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def is_served(address: str, port: int) -> bool:
    """Whether Heat answers at an address, or a proxy that reaches Heat."""
    return 0 < health_status(address, port) < SERVER_ERROR


class Watch(threading.Thread):
    """Sends requests to an address over and over, and measures the longest time without an answer."""

    def __init__(self, address: str, port: int) -> None:
        super().__init__(daemon=True)
        self.where = (address, port)
        self.last, self.longest, self.ended = time.monotonic(), 0.0, False
        self.requests = self.failed = 0

    def run(self) -> None:
        """Send requests until `report` is called."""
        while not self.ended:
            answered = is_served(*self.where)
            self.requests += 1
            now = time.monotonic()
            if answered:
                self.longest, self.last = max(self.longest, now - self.last), now
            else:
                self.failed += 1
            time.sleep(INTERVAL)

    def report(self) -> str:
        """Stop, and return a sentence about the result."""
        self.ended = True
        self.join(6)
        self.longest = max(self.longest, time.monotonic() - self.last)
        where = f"{self.where[0]}:{self.where[1]}"
        failed = f"{self.failed} of {self.requests} requests failed"
        return f"{where} was {self.longest:.2f} s without an answer at most; {failed}"


def proxy_start_command() -> tuple[str, ...]:
    """Prepare HAProxy's start, and return the command that starts or reloads it."""
    run("systemctl", "--quiet", "enable", "haproxy")
    if is_active("haproxy"):
        return ("systemctl", "kill", "--signal", "USR2", "--kill-who", "main", "haproxy")
    run("systemctl", "reset-failed", "haproxy", check=False)
    return ("systemctl", "start", "haproxy")


def wait_for_proxy(listeners: dict[str, list[Any]]) -> None:
    """Wait until HAProxy itself has answered at each address.

    Raises:
        TakeOverError: it does not.
    """

    def all_answer() -> bool:
        for address, port in listeners.values():
            health_status(address, port)
        count = count_answers()
        return all(count.get(name) for name in listeners)

    if not wait_until(all_answer, 20):
        count = count_answers()
        silent = [f"{address}:{port}" for name, (address, port) in listeners.items() if not count.get(name)]
        raise TakeOverError(f"HAProxy does not answer at {' and '.join(silent)}")


def stop_proxy() -> None:
    """Stop and disable HAProxy."""
    run("systemctl", "--quiet", "disable", "--now", "haproxy", check=False)


# The record and the actions.


def load_record() -> dict[str, Any]:
    """Read the record: `entries` are the processes that were replaced, `guarded` the units that must not start."""
    if RECORD.exists():
        found: dict[str, Any] = json.loads(RECORD.read_text())
        return found
    return {"entries": [], "guarded": []}


def save_record(record: dict[str, Any]) -> None:
    """Write the record, readable by root only."""
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    write_file(RECORD, json.dumps(record, indent=1), 0o600)


def inspect(spec: dict[str, Any]) -> None:
    """Record how HAProxy is configured before anything changes, and check that the original APIs can be restored."""
    if not RECORD.exists():
        for entry in find_originals(port for _, port in spec["listeners"].values()):
            ports = " and ".join(map(str, entry["ports"]))
            print(f"{entry['name']} serves port {ports} now, and HAProxy will replace it")
    if PROXY_BEFORE.exists():
        return
    shipped = re.findall(rf"{PROXY_CONF} (\w+)", run("dpkg-query", "-W", "-f", "${Conffiles}", "haproxy", check=False))
    text = PROXY_CONF.read_text() if PROXY_CONF.exists() else ""
    if text and "heat-scaleout" not in text and run("md5sum", str(PROXY_CONF)).split()[0] not in shipped:
        sys.exit(
            f"{PROXY_CONF} is not from this program, and HAProxy can have only one configuration: "
            "move what it serves elsewhere, and remove the file"
        )
    state = unit_properties("haproxy", "ActiveState", "UnitFileState")
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    write_file(PROXY_BEFORE, json.dumps({"conf": "" if "heat-scaleout" in text else text, **state}), 0o600)


def take(spec: dict[str, Any]) -> None:
    """Hand the addresses over to HAProxy, and stop the original engines or keep them running."""
    listeners: dict[str, list[Any]] = spec["listeners"]
    ports = [port for _, port in listeners.values()]
    record = load_record()
    if found := find_originals(ports):
        record["entries"] += found
        record["guarded"] += [entry["name"] for entry in found if entry["kind"] == "unit"]
    record["guarded"] = sorted({*record["guarded"], *find_enabled(API_UNITS)})
    save_record(record)
    guard(record["guarded"])
    IN_FORCE.touch()
    if found:
        hand_over(listeners, found)
    stopped = [entry for entry in record["entries"] if entry.get("engine")]
    if spec["keep_engine"] and stopped:
        keep = [entry["name"] for entry in stopped if entry["kind"] == "unit"]
        unguard(keep)
        start_engines(stopped)
        record["entries"] = [entry for entry in record["entries"] if not entry.get("engine")]
        record["guarded"] = [unit for unit in record["guarded"] if unit not in keep]
        print(f"started {' and '.join(entry['name'] for entry in stopped)} again")
    elif not spec["keep_engine"] and (found := [{**entry, "engine": True} for entry in find_engines()]):
        record["entries"] += found
        record["guarded"] = sorted(
            {
                *record["guarded"],
                *find_enabled(ENGINE_UNITS),
                *(entry["name"] for entry in found if entry["kind"] == "unit"),
            }
        )
        save_record(record)
        guard(record["guarded"])
        stop(found, STOP)
        print(f"stopped {' and '.join(entry['name'] for entry in found)}")
    save_record(record)


def hand_over(listeners: dict[str, list[Any]], found: list[dict[str, Any]]) -> None:
    """Replace original processes by HAProxy. If that fails, restore them, and the program ends."""
    ports = [port for entry in found for port in entry["ports"]]
    watches = [Watch(address, port) for address, port in listeners.values() if port in ports]
    for watch in watches:
        watch.start()
    sockets = share_sockets(ports)
    try:
        start_command = proxy_start_command()
        if not sockets:
            stop(found, STOP_UNSHARED)
        run(*start_command)
        wait_for_proxy(listeners)
    except TakeOverError as error:
        result = restore_originals(found, ports)
        sys.exit(f"{error}; {result}. The last lines of HAProxy's log (journalctl -u haproxy):\n{proxy_log()}")
    for shared in sockets:
        # From here on, the original processes get no new connections.
        with contextlib.suppress(OSError):
            shared.shutdown(socket.SHUT_RD)
    if sockets:
        wait_until(lambda: not has_clients(found, ports), DRAIN)
        stop(found, STOP)
    for watch in watches:
        print(watch.report())
    print(f"HAProxy replaces {' and '.join(entry['name'] for entry in found)}")


def restore_originals(found: list[dict[str, Any]], ports: list[int]) -> str:
    """Stop HAProxy and start the original processes.

    Returns:
        A sentence about the result.
    """
    stop_proxy()
    record = load_record()
    replaced = [entry["name"] for entry in found]
    unguard(unit for unit in record["guarded"] if unit in replaced)
    start(found)
    record["entries"] = [entry for entry in record["entries"] if entry["name"] not in replaced]
    record["guarded"] = [unit for unit in record["guarded"] if unit not in replaced]
    save_record(record)
    if wait_until(lambda: all(map(find_listening, ports)), START):
        return "the original processes serve their addresses as before"
    return f"the original processes were started again and do not listen after {START} s: {', '.join(replaced)}"


def proxy_log() -> str:
    """The last lines of HAProxy's log."""
    return run("journalctl", "--unit", "haproxy", "--lines", "20", "--no-pager", "--output", "cat", check=False)


def give_back(spec: dict[str, Any]) -> None:
    """Give the addresses back to the original processes, and restore HAProxy's own configuration."""
    record = load_record()
    IN_FORCE.unlink(missing_ok=True)
    unguard(record["guarded"])
    apis = [entry for entry in record["entries"] if not entry.get("engine")]
    ports = sorted({port for entry in apis for port in entry["ports"]})
    start_engines([entry for entry in record["entries"] if entry.get("engine")])
    listeners = {name: where for name, where in spec["listeners"].items() if where[1] in ports}
    watches = [Watch(*where) for where in listeners.values()]
    for watch in watches:
        watch.start()
    # HAProxy releases the addresses and finishes its requests.
    for name in listeners:
        admin_command(f"disable frontend {name}")
    start(apis)
    if not wait_until(
        lambda: all(map(find_listening, ports)) and all(is_served(*where) for where in listeners.values()), START
    ):
        for name in listeners:
            admin_command(f"enable frontend {name}")
        sys.exit(
            "Heat's original APIs do not start again, and HAProxy keeps serving: "
            + ", ".join(entry["name"] for entry in apis)
        )
    stop_proxy()
    restore_proxy()
    for watch in watches:
        print(watch.report())
    for entry in record["entries"]:
        print(f"{entry['name']} runs again" + "".join(f", on port {port}" for port in entry["ports"]))
    shutil.rmtree(STATE, ignore_errors=True)


def restore_proxy() -> None:
    """Restore how HAProxy was configured before the take-over."""
    for path in (PROXY_STAMP, *PROXY_LIMITS):
        path.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    if not PROXY_BEFORE.exists():
        return
    before = json.loads(PROXY_BEFORE.read_text())
    if before["conf"]:
        write_file(PROXY_CONF, before["conf"])
    else:
        PROXY_CONF.unlink(missing_ok=True)
    if before.get("UnitFileState") == "enabled":
        run("systemctl", "--quiet", "enable", "haproxy", check=False)
    if before.get("ActiveState") == "active":
        run("systemctl", "start", "haproxy", check=False)


def main() -> None:
    """Run the action that the arguments name.

    Raises:
        TakeOverError: the action failed.
    """
    match sys.argv[1:]:
        case ["look"]:
            inspect(json.load(sys.stdin))
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
