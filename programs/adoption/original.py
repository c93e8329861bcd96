"""Report the configuration of the Heat that runs on this host, so that it can be adopted. Run by python3, as root.

Usage: original.py read PATH …    files, and directories of *.conf, in the order in which Heat reads them
       original.py fetch          with a JSON object on stdin: files, the paths of further files that Heat reads, and
                                  conf, the paths of the configuration

The program prints a JSON object. read: files (text by path, in order), policies (paths of policy files that Heat finds
by itself), release (of the running engine, or else of an installed Heat; empty if there is none), ignored (sentences
about processes that call themselves engines and are not trusted). fetch: base64 by path. Both results have secrets.

The program executes nothing that it finds. It reads a file that a user other than root can write with that user's
rights, so that a link of that user leads to nothing that the user could not read.
"""

import base64
import contextlib
import errno
import grp
import json
import os
import pwd
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# The prefixes of the distribution's packages and of what an administrator installs.
PREFIXES = ("/usr/local", "/usr")
MOST_LINKS = 40
# The name and the version are at the start of a package's metadata.
HEAD_BYTES = 1 << 16
VERSION_PATTERN = r"[0-9][0-9A-Za-z.+!_-]{0,63}"


class UntrustedError(Exception):
    """More users than root and one other can change what a path leads to."""


# Reading with no more rights than the user who can write the file.


def group_members(gid: int) -> set[int]:
    """The user ids of a group: listed members, and users whose primary group it is."""
    named = set(grp.getgrgid(gid).gr_mem)
    return {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid or user.pw_name in named}


def find_writers(info: os.stat_result, path: str) -> set[int]:
    """The user ids that can change what is at a path.

    Raises:
        UntrustedError: everybody can, or the users cannot be determined.
    """
    found = {info.st_uid}
    # In a directory like /tmp, everybody can add a file, and only a file's owner can change it.
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX):
        return found
    if info.st_mode & stat.S_IWOTH:
        raise UntrustedError(f"{path!r} can be written by everybody. Type: chmod o-w {shlex.quote(path)}")
    if info.st_mode & stat.S_IWGRP:
        with contextlib.suppress(OSError):  # a file system without access lists
            if "system.posix_acl_access" in os.listxattr(path):
                raise UntrustedError(
                    f"{path!r} can be written by users in its access list. Type: setfacl -b {shlex.quote(path)}"
                )
        try:
            found |= group_members(info.st_gid)
        except KeyError:
            raise UntrustedError(f"{path!r} can be written by group {info.st_gid}, which has no name") from None
    return found


def resolve(path: str) -> tuple[str, set[int]]:
    """Resolve a path, link by link.

    Returns:
        The path without links, and the ids of the users, other than root and this one, that can change what it is.

    Raises:
        OSError: nothing is there.
        UntrustedError: everybody can change it.
    """
    if not path.startswith("/"):
        raise UntrustedError(f"{path!r} is not an absolute path")
    done, rest, links = Path("/"), path.split("/"), 0
    writers = find_writers(done.lstat(), "/")
    while rest:
        name, *rest = rest
        if name in ("", ".", ".."):
            done = done.parent if name == ".." else done
            continue
        at = done / name
        info = at.lstat()
        writers |= find_writers(info, str(at))
        if not stat.S_ISLNK(info.st_mode):
            done = at
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        leads = str(at.readlink())
        done, rest = Path("/") if leads.startswith("/") else done, [*leads.split("/"), *rest]
    return str(done), writers - {0, os.geteuid()}


def run_as_user(uid: int, act: Callable[[], bytes]) -> bytes:
    """Call a function in another process, with a user's rights.

    Returns:
        The function's result.

    Raises:
        OSError: the function raised it.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        status = errno.EIO
        try:
            user = pwd.getpwuid(uid)
            os.initgroups(user.pw_name, user.pw_gid)
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(uid, uid, uid)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(act())
            status = 0
        except OSError as error:
            status = error.errno or status
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise OSError(status, os.strerror(status))
    return text


def read_regular_file(path: str, limit: int) -> bytes:
    """Read a regular file. The function does not wait for anything else, such as a pipe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(limit)


def read_file(path: str, *, limit: int = -1, authors: Collection[int] = ()) -> bytes:
    """Read a file with the rights of the user who can change it, or who named it.

    Args:
        path: the absolute path.
        limit: the number of bytes to read; -1 for all.
        authors: the ids of users, other than root, who named the file.

    Raises:
        OSError: the file cannot be read with these rights.
        UntrustedError: more users than root and one other can change it.
    """
    target, writers = resolve(path)
    writers |= set(authors)
    if len(writers) > 1:
        users = " and ".join(sorted(map(user_name, writers)))
        raise UntrustedError(f"{path!r} can be changed by {users}: only one user other than root may be able to")
    for uid in writers:
        return run_as_user(uid, lambda: read_regular_file(target, limit))
    return read_regular_file(target, limit)


def user_name(uid: int) -> str:
    """The name of a user id."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"


def read_or_exit(path: str, authors: Collection[int] = ()) -> bytes:
    """Read a file that is to be adopted. The program ends if that fails."""
    try:
        return read_file(path, authors=authors)
    except OSError as error:
        rights = "".join(f", with the rights of {user_name(uid)}" for uid in authors)
        sys.exit(f"{path} cannot be read{rights}: {error.strerror}")
    except UntrustedError as problem:
        sys.exit(f"{path} is not trusted: {problem}")


def find_authors(paths: Iterable[str]) -> set[int]:
    """The ids of users, other than root, that can change these files. The program ends if everybody can."""
    try:
        return set().union(*(resolve(path)[1] for path in paths))
    except (OSError, UntrustedError) as problem:
        sys.exit(f"the configuration is not trusted: {problem}")


# The configuration.


def conf_files(paths: list[str]) -> list[Path]:
    """The files that Heat reads. A missing directory has none; the program ends if a file is missing."""
    found, missing = [], []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob("*.conf"))
        elif path.is_file():
            found.append(path)
        elif path.suffix != ".d":
            missing.append(str(path))
    if missing:
        sys.exit(f"there is no {' and no '.join(missing)}. Type: pulumi config set --path 'adoptFrom[0]' PATH")
    return found


def read_text(path: Path) -> str:
    """Read a file's text. The program ends if that fails."""
    try:
        return read_or_exit(str(path)).decode()
    except UnicodeDecodeError:
        sys.exit(f"{path} must be UTF-8")


def find_policies(files: list[Path]) -> list[str]:
    """The policy files in the directory of the configuration, where Heat looks for them."""
    directory = files[0].parent
    candidates = [directory / "policy.yaml", directory / "policy.json", *sorted((directory / "policy.d").glob("*"))]
    return [str(path) for path in candidates if path.is_file() and path.stat().st_size]


# The release.


def find_metadata(site: Path) -> Iterator[str]:
    """Files that may have the metadata of openstack-heat in a directory of packages."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(site)):  # noqa: PTH208 # only the names matter
            kind = re.fullmatch(r"openstack[-_.]heat\b.*\.(dist-info|egg-info|egg-link)", name, re.I)
            if not kind:
                continue
            if kind[1] == "dist-info":
                yield f"{site}/{name}/METADATA"
            elif kind[1] == "egg-info":
                yield from (f"{site}/{name}/PKG-INFO", f"{site}/{name}")
            else:
                # Installed in place from a clone elsewhere.
                with contextlib.suppress(OSError, UntrustedError):
                    link = read_file(f"{site}/{name}", limit=HEAD_BYTES).decode(errors="replace")
                    clone = link.split("\n")[0].strip()
                    yield f"{clone}/openstack_heat.egg-info/PKG-INFO"


def installed_release(prefix: str, trusted: Collection[int]) -> str:
    """The release of Heat that is installed below a prefix; empty if there is none.

    Args:
        prefix: the prefix.
        trusted: the ids of users that may be able to change the metadata, besides root.

    Raises:
        UntrustedError: other users can change the metadata.
    """
    lib = [path for part in ("lib", "lib64", "local/lib") for path in sorted(Path(prefix, part).glob("python3*"))]
    for site in (path / name for path in lib for name in ("site-packages", "dist-packages")):
        for path in find_metadata(site):
            with contextlib.suppress(OSError):
                _, writers = resolve(path)
                if others := writers - set(trusted):
                    raise UntrustedError(f"its files can be changed by {' and '.join(sorted(map(user_name, others)))}")
                head = read_file(path, limit=HEAD_BYTES).decode(errors="replace").partition("\n\n")[0]
                version = re.search(rf"(?m)^Version: *({VERSION_PATTERN})\s*$", head, re.A)
                if version and re.search(r"(?mi)^Name: *openstack[-_.]heat\s*$", head):
                    return version[1]
    return ""


def claimed_script(pid: int) -> str:
    """The script of an engine that a process claims to run; empty if it claims none."""
    with contextlib.suppress(OSError):
        command = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        # The title of an engine has its script in brackets.
        script = re.match(
            r"(?:[^\0]*python[^\0]*\0|[^\0]*: master process \[)?(/[^\0 \]]*/heat-engine)(?![\w.-])", command
        )
        return script[1] if script else ""
    return ""


def process_user(pid: int) -> int | None:
    """The user id of a process; None if it has ended, or has the rights of several users."""
    with contextlib.suppress(OSError):
        line = re.search(r"(?m)^Uid:((?:\s+\d+)+)$", (PROC / str(pid) / "status").read_text())
        users = set(map(int, line[1].split())) if line else set()
        return users.pop() if len(users) == 1 else None
    return None


def is_service(pid: int) -> bool:
    """Whether a process is the main process of a systemd service, which only root can set up."""
    with contextlib.suppress(OSError):
        groups = (PROC / str(pid) / "cgroup").read_text()
        # A user can make control groups with any name below its own. A unit's name has only these characters.
        for unit in re.findall(r"/([\w:.@\\-]+\.service)(?:/|$)", groups, re.M | re.A):
            command = ("systemctl", "show", "--property", "MainPID", "--value", "--", unit)
            if subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == str(pid):  # noqa: S603
                return True
    return False


def find_prefixes(script: str) -> list[str]:
    """The prefixes of a script's packages: its own, and that of the Python in its first line."""
    found = [str(Path(script).parent.parent)]
    with contextlib.suppress(OSError, UntrustedError):
        first = read_file(script, limit=HEAD_BYTES).decode(errors="replace").split("\n")[0]
        if named := re.match(r"#! *(/\S*/bin)/python[\d.]*\s*$", first):
            found.append(str(Path(named[1]).parent))
    return found


def find_release() -> tuple[str, list[str]]:
    """Find the release of Heat whose engine runs here, or which is installed.

    An engine is the main process of a service, or a process of root or of the user heat: any other user can give a
    process the name. Its release comes only from files that root and its own user can change.

    Returns:
        The release, empty if there is none, and a sentence for each process that is ignored.
    """
    ignored = []
    own = {0}
    with contextlib.suppress(KeyError):
        own.add(pwd.getpwnam("heat").pw_uid)
    for pid in sorted(int(path.name) for path in PROC.iterdir() if path.name.isdecimal()):
        script, user = claimed_script(pid), process_user(pid)
        if not script or user is None:
            continue
        if user not in own and not is_service(pid):
            ignored.append(f"process {pid} of {user_name(user)} calls itself heat-engine, and is not a systemd service")
            continue
        try:
            releases = [installed_release(prefix, {user}) for prefix in find_prefixes(script)]
        except (UntrustedError, OSError) as problem:
            ignored.append(f"process {pid} of {user_name(user)} calls itself heat-engine, and {problem}")
            continue
        for found in filter(None, releases):
            return found, ignored
    with contextlib.suppress(UntrustedError):
        for found in filter(None, (installed_release(prefix, ()) for prefix in PREFIXES)):
            return found, ignored
    return "", ignored


# The actions.


def read_configuration(paths: list[str]) -> dict[str, Any]:
    """Read the configuration and the release."""
    files = conf_files(paths)
    if not files:
        sys.exit(f"there is no file in {' and '.join(paths)}")
    found, ignored = find_release()
    return {
        "files": {str(path): read_text(path) for path in files},
        "policies": find_policies(files),
        "release": found,
        "ignored": ignored,
    }


def fetch_files(paths: list[str], conf: list[str]) -> dict[str, str]:
    """Read further files, with the rights of the user who can name them in the configuration.

    Args:
        paths: the files.
        conf: the paths of the configuration.

    Returns:
        Base64 by path.
    """
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        sys.exit(f"heat.conf names files that are not there: {', '.join(missing)}")
    authors = find_authors(map(str, conf_files(conf)))
    return {path: base64.b64encode(read_or_exit(path, authors)).decode() for path in paths}


def main() -> None:
    """Run the action that the arguments name, and print its result."""
    action, *paths = sys.argv[1:]
    if action == "read":
        result = read_configuration(paths)
    else:
        spec = json.load(sys.stdin)
        result = fetch_files(spec["files"], spec["conf"])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
