"""A real HAProxy on this machine, for tests that send requests through a rendered configuration."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def running_haproxy(configuration: str, address: str, port: int, directory: Path) -> Iterator[Path]:
    """Run HAProxy with a configuration, as soon as it listens at this address and port. Yields the path of its log."""
    conf, log = directory / "haproxy.cfg", directory / "log"
    conf.write_text(configuration)
    assert HAPROXY
    with log.open("w") as output:
        process = subprocess.Popen([HAPROXY, "-dW", "-db", "-f", conf], stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 10
        while (address, port) not in listening():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield log
    finally:
        process.kill()
        process.wait()


def listening() -> set[tuple[str, int]]:
    """Addresses and ports with a listening socket. To connect instead would be a request to the server behind."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == "0A":
            address, port = local.split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found
