"""Runs a command over SSH.

asyncssh, because a connection here is a coroutine like everything else in this process: any number of commands
run at once without a thread each, and every wait has an end that can be set. Its configuration files, default keys
and known hosts are all left out: a connection has what the resource says, and nothing of the user's.
"""

# asyncssh names the callbacks and their arguments, of which some are unused here.
# ruff: noqa: ARG002

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import asyncssh
from asyncssh.packet import SSHPacket, String

from tools.offline.command_provider.operation import (
    CommandError,
    Operation,
    Outputs,
    Transcript,
    previous_in_environment,
)
from tools.offline.command_provider.properties import Properties

# Between attempts: it grows by half each time, up to the limit.
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.1, 1.5, 5.0
# The real plugin waits without limit for a server that accepts a connection and then sends nothing.
_HANDSHAKE_SECONDS = 120
_KEEPALIVE_SECONDS, _KEEPALIVES = 15, 9
_WINDOW, _PACKET = 2 << 20, 32 << 10
# A signal that ended a command remotely is a status too, but only if it is one of those that SSH names.
_SIGNALS = ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM")

# A server is asked for a key of the pinned one's kind first, and then for any. One that was asked for no other,
# and has none, would hang up without a word; as it is, the user reads that the key is another one.
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

_Dialled = TypeVar("_Dialled")


async def run(command: str, inputs: Properties, previous: Outputs, operation: Operation) -> Outputs:
    """Run a command to its end.

    Args:
        command: the text that the user's login shell on the host is given.
        inputs: the resource's, without marks.
        previous: what the resource's command wrote the last time.
        operation: when it is stopped, no further attempt to connect is made; a command that runs is let run.

    Raises:
        CommandError: it failed, or the host could not be reached.
    """
    async with await _connect(inputs["connection"], operation) as connection:
        session = _Session(Transcript(operation, inputs.get("logging")))
        channel = _Channel(connection, asyncio.get_running_loop())
        try:
            await channel.open()
            for name, value in inputs.get("environment", {}).items():
                if not await channel.set_variable(name, value):
                    operation.error(_refused(name))
                    raise CommandError(f'could not set environment variable "{name}": ssh: setenv failed')
            for name, value in previous_in_environment(inputs, previous).items():
                if not await channel.set_variable(name, value):
                    operation.warning(_refused(name))
            await channel.execute(command, session)
        except asyncssh.Error as error:
            raise CommandError(f"ssh: {error.reason}") from None
        # A command that has ended already takes nothing.
        with contextlib.suppress(OSError):
            channel.write(inputs.get("stdin", "").encode())
            channel.write_eof()
        await session.closed
    session.transcript.end()
    if ending := session.ending():
        raise session.transcript.error(ending, command)
    return session.transcript.outputs()


def _refused(name: str) -> str:
    return (
        f"Unable to set '{name}'. This only works if your SSH server is configured to accept\n"
        "\tthese variables via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, you"
        " could\n\tprefix the command itself with the variables in the form 'VAR=value command'"
    )


class _Session(asyncssh.SSHClientSession[bytes]):
    """The far end of a command."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._unread = False
        self._status: int | None = None
        self._signal = ""
        self._message = ""

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self.transcript.add("stdout" if datatype is None else "stderr", data)

    def exit_status_received(self, status: int) -> None:
        self._status = status
        self._unread = bool(self._channel and self._channel.get_write_buffer_size())

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._signal, self._message = signal, msg

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def ending(self) -> str:
        """How the command ended; empty if it succeeded."""
        if self._status == 0:
            # Stdin that did not fit on the way to a command that does not read it.
            return "EOF" if self._unread else ""
        if self._status is None and not self._signal:
            return "wait: remote command exited without exit status or exit signal"
        status = self._status
        if status is None:
            status = 128 + (signal.Signals["SIG" + self._signal] if self._signal in _SIGNALS else 0)
        text = f"Process exited with status {status}"
        if self._signal:
            text += f" from signal {self._signal}"
        return text + (f". Reason was: {self._message}" if self._message else "")


class _Channel(asyncssh.SSHClientChannel[bytes]):
    """A session's channel in which a refused environment variable is known before the command runs.

    asyncssh sends variables without asking for an answer, so this takes apart what its `create` does in one.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(connection, loop, "strict", None, "strict", _WINDOW, _PACKET)
        self._opened: SSHPacket | None = None

    async def open(self) -> None:
        self._opened = await super()._open(b"session")

    async def _open(self, chantype: bytes, *args: bytes) -> SSHPacket:
        return await super()._open(chantype, *args) if self._opened is None else self._opened

    async def set_variable(self, name: str, value: str) -> bool:
        return bool(await self._make_request(b"env", String(name), String(value)))

    async def execute(self, command: str, session: _Session) -> None:
        # No pty, no X11, no agent.
        nothing: Any = None
        await self.create(lambda: session, command, None, {}, False, None, nothing, {}, False, None, None, False, False)


# --- connecting ---


async def _connect(connection: Properties, operation: Operation) -> asyncssh.SSHClientConnection:
    target = await _Endpoint.of(connection)
    if "proxy" not in connection:
        return await _dial(operation, "Dial", target.attempts, target.dial)
    try:
        proxy = await _Endpoint.of(connection["proxy"])
        tunnel = await _dial(operation, "Dial proxy", proxy.attempts, proxy.dial)
        return await _dial(operation, "Dial from proxy", target.attempts, lambda: target.log_in(tunnel=tunnel))
    except CommandError as error:
        raise CommandError(f"proxy: {error}") from None


async def _dial(operation: Operation, what: str, limit: int, attempt: Callable[[], Awaitable[_Dialled]]) -> _Dialled:
    """Connect, and retry up to `limit` times; -1 means no limit."""
    pause = _FIRST_PAUSE
    failed = 0
    while True:
        try:
            return await attempt()
        except CommandError as error:
            if -1 < limit <= failed:
                raise CommandError(f"after {failed} failed attempts: {error}") from None
        failed += 1
        operation.status(f"{what} {failed}/{'inf' if limit == -1 else limit} failed: retrying")
        await operation.pause(pause)
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


class _Endpoint:
    """Where to connect to and as whom."""

    def __init__(self, settings: Properties) -> None:
        self._host: str = settings["host"]
        self._port = int(settings["port"])
        self._user: str = settings["user"]
        self._timeout = settings["perDialTimeout"] or None
        self._password: str | None = settings.get("password")
        self._keys = [_private_key(settings)] if "privateKey" in settings else []
        self._host_key = _host_key(settings["hostKey"]) if "hostKey" in settings else None
        self._agent: asyncssh.SSHAgentClient | None = None
        self.attempts = int(settings["dialErrorLimit"])

    @classmethod
    async def of(cls, settings: Properties) -> _Endpoint:
        """Take settings. An SSH agent that does not answer is an error here and is not retried."""
        endpoint = cls(settings)
        path = settings.get("agentSocketPath") or os.environ.get("SSH_AUTH_SOCK")
        if path:
            endpoint._agent = await _agent(path)
        return endpoint

    async def dial(self) -> asyncssh.SSHClientConnection:
        """Connect and log in, once."""
        return await self.log_in(sock=await _tcp(self._host, self._port, self._timeout))

    async def log_in(self, **transport: Any) -> asyncssh.SSHClientConnection:  # noqa: ANN401 - asyncssh's
        """Log in over an established connection."""
        client = _Client(self._keys, self._password, self._agent)
        try:
            return await asyncssh.connect(
                self._host,
                self._port,
                client_factory=lambda: client,
                username=self._user,
                known_hosts=([self._host_key], [], []) if self._host_key else None,
                server_host_key_algs=[self._host_key.get_algorithm(), *_HOST_KEYS] if self._host_key else "default",
                config=None,
                client_keys=None,
                agent_path=None,
                host_based_auth=False,
                gss_kex=False,
                gss_auth=False,
                login_timeout=_HANDSHAKE_SECONDS,
                **transport,
            )
        except (OSError, asyncssh.Error) as error:
            raise CommandError(_handshake_error(error, client.attempted)) from None


class _Client(asyncssh.SSHClient):
    """Answers the server's questions while logging in, and keeps count of what was tried."""

    def __init__(
        self, keys: list[asyncssh.SSHKey], password: str | None, agent: asyncssh.SSHAgentClient | None
    ) -> None:
        self.attempted = ["none"]
        self._keys = keys
        self._password = password
        self._agent = agent

    def _first_time(self, method: str) -> bool:
        if method in self.attempted:
            return False
        self.attempted.append(method)
        return True

    async def public_key_auth_requested(self) -> list[asyncssh.SSHKey] | list[asyncssh.SSHKeyPair] | None:
        if not (self._keys or self._agent) or not self._first_time("publickey"):
            return None
        # A given key is preferred to the agent's: one method of each kind is all that is tried.
        if self._keys or not self._agent:
            return self._keys
        return list(await self._agent.get_keys())

    def password_auth_requested(self) -> str | None:
        return self._password if self._password and self._first_time("password") else None

    def kbdint_auth_requested(self) -> str | None:
        return "" if self._password and self._first_time("keyboard-interactive") else None

    def kbdint_challenge_received(
        self,
        name: str,
        instructions: str,
        lang: str,
        prompts: Sequence[tuple[str, bool]],
    ) -> list[str]:
        return [self._password or ""] * len(prompts)


def _private_key(settings: Properties) -> asyncssh.SSHKey:
    passphrase = settings.get("privateKeyPassword")
    try:
        return asyncssh.import_private_key(settings["privateKey"], passphrase)
    except asyncssh.KeyEncryptionError:
        raise CommandError("x509: decryption password incorrect") from None
    except asyncssh.KeyImportError as error:
        if "passphrase" in str(error).lower() and passphrase is None:
            raise CommandError("ssh: this private key is passphrase protected") from None
        raise CommandError("ssh: no key found") from None


def _host_key(line: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        raise CommandError("failed to parse host key: ssh: no key found") from None


async def _agent(path: str) -> asyncssh.SSHAgentClient:
    try:
        return await asyncssh.connect_agent(path)
    except OSError as error:
        raise CommandError(f"dial unix {path}: connect: {_reason(error)}") from None


async def _tcp(host: str, port: int, timeout: float | None) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise CommandError(f"dial tcp: lookup {host}: no such host") from None
    first = ""
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await asyncio.wait_for(loop.sock_connect(connection, address), timeout)
        except (OSError, asyncio.TimeoutError) as error:
            connection.close()
            reason = f"connect: {_reason(error)}" if isinstance(error, OSError) and error.errno else "i/o timeout"
            place = f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}"
            first = first or f"dial tcp {place}: {reason}"
        else:
            # A host that disappears during a silent command is noticed after two and a half minutes, as with Go.
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                connection.setsockopt(socket.IPPROTO_TCP, option, _KEEPALIVE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVES)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return connection
    raise CommandError(first)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


_DISCONNECTS: Mapping[type[Exception], str] = {
    asyncssh.HostKeyNotVerifiable: "ssh: host key mismatch",
    asyncssh.ConnectionLost: "EOF",
}


def _handshake_error(error: Exception, attempted: list[str]) -> str:
    if isinstance(error, asyncssh.ChannelOpenError):
        # A proxy that cannot reach the host.
        return f"ssh: rejected: connect failed ({error.reason})"
    if isinstance(error, asyncssh.PermissionDenied):
        methods = " ".join(attempted)
        text = f"ssh: unable to authenticate, attempted methods [{methods}], no supported methods remain"
    elif isinstance(error, OSError):
        text = f"read tcp: read: {_reason(error)}"
    else:
        reason = error.reason if isinstance(error, asyncssh.Error) else str(error)
        text = _DISCONNECTS.get(type(error), f"ssh: {reason}")
    return f"ssh: handshake failed: {text}"
