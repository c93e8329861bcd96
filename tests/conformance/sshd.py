"""A temporary SSH server on loopback, for the user who runs the tests."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from tools.offline.command_provider.properties import Properties

# On Debian sshd is only on root's PATH.
BINARY = shutil.which("sshd", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")


@dataclass(frozen=True)
class Key:
    """A key pair: the private key in OpenSSH's format, the public key as a line of authorized_keys."""

    private: str
    public: str

    @classmethod
    def make(cls, kind: str = "ssh-ed25519", passphrase: str | None = None) -> Key:
        key = asyncssh.generate_private_key(kind)
        return cls(key.export_private_key(passphrase=passphrase).decode(), key.export_public_key().decode().strip())


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Sshd:
    """An SSH server that accepts one key, and environment variables called ACCEPTED_…"""

    def __init__(self, directory: Path) -> None:
        assert BINARY
        self._directory = directory
        self.port = free_port()
        self.key = Key.make()
        self.host_key = Key.make()
        # As root, sshd needs this directory, which systemd usually creates.
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._write("host_key", self.host_key.private)
        self._write("authorized_keys", self.key.public)
        config = self._write(
            "sshd_config",
            f"ListenAddress 127.0.0.1:{self.port}\n"
            f"HostKey {directory}/host_key\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\n"
            "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nAcceptEnv ACCEPTED_*\nMaxStartups 200\n",
        )
        self._process = subprocess.Popen(
            [BINARY, "-D", "-e", "-f", config], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self._process.stderr
        output = ""
        while "Server listening" not in output:
            line = self._process.stderr.readline()
            output += line
            assert line, f"sshd did not start: {output}"
        # Nothing reads the output any more, and a full pipe would block sshd.
        self._drain = subprocess.Popen(["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL)

    def _write(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    @contextlib.contextmanager
    def also(self, key: Key) -> Iterator[None]:
        """Accept another key for a while."""
        self._write("authorized_keys", f"{self.key.public}\n{key.public}")
        yield
        self._write("authorized_keys", self.key.public)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        # Connections that a plugin keeps open outlive the server, and so does their log.
        self._drain.kill()
        self._drain.wait()

    def connection(self, **settings: object) -> Properties:
        """The connection to this server, as a program writes it."""
        return {
            "host": "127.0.0.1",
            "port": float(self.port),
            "user": getpass.getuser(),
            "privateKey": self.key.private,
            "hostKey": self.host_key.public,
            "dialErrorLimit": 0.0,
            **settings,
        }
