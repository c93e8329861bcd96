"""What a command has while it runs: cancellation, a deadline, a log, and what it has written so far."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from pulumi.runtime.proto import engine_pb2

from tools.offline.command_provider.properties import Properties

Send: TypeAlias = Callable[[engine_pb2.LogRequest], Coroutine[Any, Any, None]]


class CommandError(Exception):
    """A command failed, or could not be run. The text is for the user, and is the real plugin's."""


@dataclass(frozen=True)
class Outputs:
    """What a command wrote."""

    stdout: str = ""
    stderr: str = ""


class Operation:
    """One Create, Update or Delete while it is under way."""

    def __init__(self, urn: str, send: Send) -> None:
        self.stopped = asyncio.Event()
        self.reason = ""
        self._urn = urn
        self._send = send
        self._lines: asyncio.Queue[engine_pb2.LogRequest] = asyncio.Queue()

    def stop(self, reason: str) -> None:
        """Ask the running command to end."""
        self.reason = self.reason or reason
        self.stopped.set()

    async def pause(self, seconds: float) -> None:
        """Wait, unless the operation is stopped, which is an error."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), seconds)
        self.go_on()

    def go_on(self) -> None:
        """Fail if the operation was stopped."""
        if self.stopped.is_set():
            raise CommandError(self.reason)

    def status(self, message: str) -> None:
        """Show a line next to the resource while it is the newest."""
        self._log(engine_pb2.INFO, message, ephemeral=True)

    def warning(self, message: str) -> None:
        """Show a message to the user."""
        self._log(engine_pb2.WARNING, message)

    def error(self, message: str) -> None:
        """Show an error to the user, and make the run fail."""
        self._log(engine_pb2.ERROR, message)

    def _log(self, severity: engine_pb2.LogSeverity.ValueType, message: str, *, ephemeral: bool = False) -> None:
        self._lines.put_nowait(
            engine_pb2.LogRequest(severity=severity, message=message, urn=self._urn, ephemeral=ephemeral)
        )

    async def send_log(self) -> None:
        """Send what is logged, in order, until cancelled."""
        while True:
            line = await self._lines.get()
            # The engine has exited and needs no log.
            with contextlib.suppress(grpc.RpcError):
                await self._send(line)
            self._lines.task_done()

    async def log_sent(self) -> None:
        """Wait until the engine has received everything that was logged."""
        await self._lines.join()


class Operations:
    """All operations under way."""

    def __init__(self) -> None:
        self._running: set[Operation] = set()
        self._cancelled = False

    @contextlib.asynccontextmanager
    async def begin(self, urn: str, send: Send, timeout: float) -> AsyncIterator[Operation]:
        """Run an operation with a time limit in seconds, 0 for none, and see its log out."""
        operation = Operation(urn, send)
        if self._cancelled:
            operation.stop(_CANCELED)
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(int(timeout), operation.stop, "context deadline exceeded") if timeout else None
        sender = asyncio.create_task(operation.send_log())
        self._running.add(operation)
        try:
            yield operation
        finally:
            self._running.discard(operation)
            if deadline:
                deadline.cancel()
            await operation.log_sent()
            sender.cancel()

    def cancel(self) -> None:
        """Stop all operations, and those that start later."""
        self._cancelled = True
        for operation in self._running:
            operation.stop(_CANCELED)


_CANCELED = "context canceled"


class Transcript:
    """What a command writes, as it comes in."""

    def __init__(self, operation: Operation, logging: str | None) -> None:
        self._operation = operation
        self._logged = {"stdout", "stderr"} & set(_LOGGED.get(logging, ()))
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}
        self._both = bytearray()
        self._line = b""

    def add(self, stream: str, chunk: bytes) -> None:
        """Add what one of the two streams received."""
        self._streams[stream] += chunk
        self._both += chunk
        if stream in self._logged:
            *lines, self._line = (self._line + chunk).split(b"\n")
            for line in lines:
                self._operation.status(_text(line.removesuffix(b"\r")))

    def end(self) -> None:
        """Note that both streams have ended."""
        if self._line:
            self._operation.status(_text(self._line))

    def outputs(self) -> Outputs:
        """What came in, each without its last newline.

        Raises:
            UnicodeDecodeError: it is no text, and state has only that.
        """
        return Outputs(*(written.decode().removesuffix("\n") for written in self._streams.values()))

    def error(self, cause: str, command: str) -> CommandError:
        """The error for a command that ended with `cause`."""
        return CommandError(f"{cause}: running {quoted(command)}:\n{_text(self._both)}")


_LOGGED: dict[str | None, tuple[str, ...]] = {
    None: ("stdout", "stderr"),
    "stdoutAndStderr": ("stdout", "stderr"),
    "stdout": ("stdout",),
    "stderr": ("stderr",),
}


def previous_in_environment(inputs: Properties, previous: Outputs) -> dict[str, str]:
    """The environment variables with the output of the previous run, if they are enabled and not empty."""
    if inputs.get("addPreviousOutputInEnv") is False:
        return {}
    variables = {"PULUMI_COMMAND_STDOUT": previous.stdout, "PULUMI_COMMAND_STDERR": previous.stderr}
    return {name: value for name, value in variables.items() if value}


def _text(written: bytes | bytearray) -> str:
    return written.decode(errors="replace")


_FOUR_DIGITS = 0xFFFF
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quoted(text: str) -> str:
    """Quote a text as Go's %q does."""
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escaped(c)) for c in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character.isascii():
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _FOUR_DIGITS else f"\\U{code:08x}"
