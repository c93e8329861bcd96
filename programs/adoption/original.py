"""Tell what a Heat that runs here is configured with, so that it can be adopted. Run by the host's python3, as root.

Usage: original.py read PATH …    files, and directories of *.conf, in the order in which Heat reads them
       original.py fetch          with a JSON object on stdin: files, the paths of further ones that Heat reads

Prints a JSON object. read: files (text by path, in order), policies (paths of policy files that Heat finds without
being told), release (of the engine that runs, or else of a Heat that is installed; empty for none), ignored (what
calls itself an engine, and may be anybody's). fetch: base64 by path. Both have secrets in them.

Nothing is run here that was found here. What may be written by another user than root is read with that user's rights:
a link of his leads to nothing that he could not read himself.
"""

import base64
import contextlib
import errno
import grp
import json
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# Where packages of the distribution are, and what an administrator has installed beside them.
PREFIXES = ("/usr/local", "/usr")
LINKS = 40
# Metadata begin with what is looked for.
LONGEST = 1 << 16
VERSION = r"[0-9][0-9A-Za-z.+!_-]{0,63}"


class UntrustedError(Exception):
    """A path that others than root and one user of a service's can lead elsewhere."""


# Reading with no more rights than whoever may have written.


def members(gid: int) -> set[int]:
    """The users of a group; by its list, or because it is their own."""
    named = set(grp.getgrgid(gid).gr_mem)
    return {user.pw_uid for user in pwd.getpwall() if user.pw_gid == gid or user.pw_name in named}


def writers(info: os.stat_result, path: str) -> set[int]:
    """Who may change what is at a path.

    Raises:
        UntrustedError: everybody, or more users than can be told.
    """
    found = {info.st_uid}
    # In a directory like /tmp everybody may add something, and only its owner changes what is there.
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX):
        return found
    if info.st_mode & stat.S_IWOTH:
        raise UntrustedError(f"{path!r} can be written by everybody: take that away (chmod o-w)")
    if info.st_mode & stat.S_IWGRP:
        with contextlib.suppress(OSError):  # a file system without them
            if "system.posix_acl_access" in os.listxattr(path):
                raise UntrustedError(f"{path!r} can be written by those in its access list: take it away (setfacl -b)")
        try:
            found |= members(info.st_gid)
        except KeyError:
            raise UntrustedError(f"{path!r} can be written by group {info.st_gid}, which has no name") from None
    return found


def found_at(path: str) -> tuple[str, set[int]]:
    """Where a path leads, link by link, and which users have a part in what is there.

    Raises:
        OSError: nothing is there.
        UntrustedError: anybody has.
    """
    if not path.startswith("/"):
        raise UntrustedError(f"{path!r} is no path from the root")
    done, rest, links = Path("/"), path.split("/"), 0
    part_in = writers(done.lstat(), "/")
    while rest:
        name, *rest = rest
        if name in ("", ".", ".."):
            done = done.parent if name == ".." else done
            continue
        at = done / name
        info = at.lstat()
        part_in |= writers(info, str(at))
        if not stat.S_ISLNK(info.st_mode):
            done = at
            continue
        links += 1
        if links > LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        leads = str(at.readlink())
        done, rest = Path("/") if leads.startswith("/") else done, [*leads.split("/"), *rest]
    return str(done), part_in - {0, os.geteuid()}


def as_user(uid: int, act: Callable[[], bytes]) -> bytes:
    """What comes of something that another process does, with a user's rights.

    Raises:
        OSError: it fails there.
    """
    reading, writing = os.pipe()
    if not (child := os.fork()):
        status = errno.EIO
        try:
            user = pwd.getpwuid(uid)
            os.initgroups(user.pw_name, user.pw_gid)
            os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
            os.setresuid(uid, uid, uid)
            with os.fdopen(writing, "wb") as told:
                told.write(act())
            status = 0
        except OSError as error:
            status = error.errno or status
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read()
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise OSError(status, os.strerror(status))
    return text


def content(path: str, limit: int) -> bytes:
    """What a regular file holds; what is none is not waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return file.read(limit)


def read_file(path: str, *, limit: int = -1, authors: Collection[int] = ()) -> bytes:
    """Read a file, with the rights of the user who has a part in it, or in its being named.

    Args:
        path: from the root.
        limit: how many bytes of it.
        authors: who has named it, beside root.

    Raises:
        OSError: it cannot be read so.
        UntrustedError: others than root and one user have a part in it.
    """
    place, part_in = found_at(path)
    part_in |= set(authors)
    if len(part_in) > 1:
        raise UntrustedError(
            f"{path!r} can be changed by {' and '.join(sorted(map(name_of, part_in)))}, not by one alone"
        )
    for uid in part_in:
        return as_user(uid, lambda: content(place, limit))
    return content(place, limit)


def name_of(uid: int) -> str:
    """A user's name."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"


def of_operators(path: str, authors: Collection[int] = ()) -> bytes:
    """A file that is to be adopted; the program ends where it cannot be."""
    try:
        return read_file(path, authors=authors)
    except OSError as error:
        rights = "".join(f", with the rights of {name_of(uid)}" for uid in authors)
        sys.exit(f"{path} cannot be read{rights}: {error.strerror}")
    except UntrustedError as problem:
        sys.exit(f"{path} is not read: {problem}")


def authors_of(paths: Iterable[str]) -> set[int]:
    """Who may change these files, beside root; the program ends where that is anybody."""
    try:
        return set().union(*(found_at(path)[1] for path in paths))
    except (OSError, UntrustedError) as problem:
        sys.exit(f"what is configured here cannot be trusted: {problem}")


# The configuration.


def conf_files(paths: list[str]) -> list[Path]:
    """The files that Heat reads; a directory that is not there holds none."""
    found, missing = [], []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(path.glob("*.conf"))
        elif path.is_file():
            found.append(path)
        elif path.suffix != ".d":
            missing.append(str(path))
    if missing:
        sys.exit(f"there is no {' and no '.join(missing)}: type pulumi config set --path 'adoptFrom[0]' and its path")
    return found


def text_of(path: Path) -> str:
    """A file's text."""
    try:
        return of_operators(str(path)).decode()
    except UnicodeDecodeError:
        sys.exit(f"{path} is no text in UTF-8")


def policies(files: list[Path]) -> list[str]:
    """Policy files beside the configuration, where Heat looks for them."""
    directory = files[0].parent
    beside = [directory / "policy.yaml", directory / "policy.json", *sorted((directory / "policy.d").glob("*"))]
    return [str(path) for path in beside if path.is_file() and path.stat().st_size]


# The release.


def metadata_of(site: Path) -> Iterator[str]:
    """Files that may tell of a package openstack-heat in a directory of packages."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(site)):  # noqa: PTH208 # names are wanted
            kind = re.fullmatch(r"openstack[-_.]heat\b.*\.(dist-info|egg-info|egg-link)", name, re.I)
            if not kind:
                continue
            if kind[1] == "dist-info":
                yield f"{site}/{name}/METADATA"
            elif kind[1] == "egg-info":
                yield from (f"{site}/{name}/PKG-INFO", f"{site}/{name}")
            else:
                # Installed from a clone, which is elsewhere.
                with contextlib.suppress(OSError, UntrustedError):
                    clone = read_file(f"{site}/{name}", limit=LONGEST).decode(errors="replace").split("\n")[0].strip()
                    yield f"{clone}/openstack_heat.egg-info/PKG-INFO"


def installed_below(prefix: str, trusted: Collection[int]) -> str:
    """The release of Heat that is installed below a prefix; empty for none.

    Raises:
        UntrustedError: others than root and `trusted` can change what tells it.
    """
    lib = [path for part in ("lib", "lib64", "local/lib") for path in sorted(Path(prefix, part).glob("python3*"))]
    for site in (path / name for path in lib for name in ("site-packages", "dist-packages")):
        for path in metadata_of(site):
            with contextlib.suppress(OSError):
                _, part_in = found_at(path)
                if others := part_in - set(trusted):
                    raise UntrustedError(f"its files can be changed by {' and '.join(sorted(map(name_of, others)))}")
                head = read_file(path, limit=LONGEST).decode(errors="replace").partition("\n\n")[0]
                version = re.search(rf"(?m)^Version: *({VERSION})\s*$", head, re.A)
                if version and re.search(r"(?mi)^Name: *openstack[-_.]heat\s*$", head):
                    return version[1]
    return ""


def claims(pid: int) -> str:
    """The script of an engine that a process says to run; empty for none."""
    with contextlib.suppress(OSError):
        command = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        # An engine's title has its script in brackets.
        script = re.match(
            r"(?:[^\0]*python[^\0]*\0|[^\0]*: master process \[)?(/[^\0 \]]*/heat-engine)(?![\w.-])", command
        )
        return script[1] if script else ""
    return ""


def user_of(pid: int) -> int | None:
    """Whose process it is; None where it has ended, or has the rights of more than one user."""
    with contextlib.suppress(OSError):
        told = re.search(r"(?m)^Uid:((?:\s+\d+)+)$", (PROC / str(pid) / "status").read_text())
        users = set(map(int, told[1].split())) if told else set()
        return users.pop() if len(users) == 1 else None
    return None


def is_service(pid: int) -> bool:
    """Whether systemd has started a process as the main one of a service, as no user but root can have it do."""
    with contextlib.suppress(OSError):
        groups = (PROC / str(pid) / "cgroup").read_text()
        # A user may make control groups below his own, called as he likes; a unit's name has no other characters.
        for unit in re.findall(r"/([\w:.@\\-]+\.service)(?:/|$)", groups, re.M | re.A):
            asked = ("systemctl", "show", "--property", "MainPID", "--value", "--", unit)
            if subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() == str(pid):  # noqa: S603
                return True
    return False


def prefixes(script: str) -> list[str]:
    """Below which a script's packages may be: where it is itself, and where the Python in its first line is."""
    found = [str(Path(script).parent.parent)]
    with contextlib.suppress(OSError, UntrustedError):
        first = read_file(script, limit=LONGEST).decode(errors="replace").split("\n")[0]
        if named := re.match(r"#! *(/\S*/bin)/python[\d.]*\s*$", first):
            found.append(str(Path(named[1]).parent))
    return found


def release() -> tuple[str, list[str]]:
    """The release of Heat whose engine runs here, or which is installed; and which processes were left aside, and why.

    An engine is the main process of a service, or a process of root's or of the user heat: any other user may call a
    process so. What it says of itself is believed as far as root's and its own user's files bear it out.
    """
    ignored = []
    own = {0}
    with contextlib.suppress(KeyError):
        own.add(pwd.getpwnam("heat").pw_uid)
    for pid in sorted(int(path.name) for path in PROC.iterdir() if path.name.isdecimal()):
        script, user = claims(pid), user_of(pid)
        if not script or user is None:
            continue
        if user not in own and not is_service(pid):
            ignored.append(f"process {pid} of {name_of(user)} calls itself heat-engine, and is no service of systemd")
            continue
        try:
            told = [installed_below(prefix, {user}) for prefix in prefixes(script)]
        except (UntrustedError, OSError) as problem:
            ignored.append(f"process {pid} of {name_of(user)} calls itself heat-engine, and {problem}")
            continue
        for found in filter(None, told):
            return found, ignored
    with contextlib.suppress(UntrustedError):
        for found in filter(None, (installed_below(prefix, ()) for prefix in PREFIXES)):
            return found, ignored
    return "", ignored


# What is done.


def read(paths: list[str]) -> dict[str, Any]:
    """What the configuration is."""
    files = conf_files(paths)
    if not files:
        sys.exit(f"there is no file in {' and '.join(paths)}")
    found, ignored = release()
    return {
        "files": {str(path): text_of(path) for path in files},
        "policies": policies(files),
        "release": found,
        "ignored": ignored,
    }


def fetch(paths: list[str], conf: list[str]) -> dict[str, str]:
    """Further files, as they are: with the rights of whoever may have had them named."""
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        sys.exit(f"heat.conf names files that are not there: {', '.join(missing)}")
    authors = authors_of(map(str, conf_files(conf)))
    return {path: base64.b64encode(of_operators(path, authors)).decode() for path in paths}


def main() -> None:
    """Print what is asked for."""
    action, *paths = sys.argv[1:]
    if action == "read":
        told = read(paths)
    else:
        spec = json.load(sys.stdin)
        told = fetch(spec["files"], spec["conf"])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
