"""Runs a command on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from tools.offline.command_provider.operation import (
    CommandError,
    Operation,
    Outputs,
    Transcript,
    previous_in_environment,
)
from tools.offline.command_provider.properties import Properties

_PIPE = asyncio.subprocess.PIPE
_CHUNK = 1 << 16


async def run(command: str, inputs: Properties, previous: Outputs, operation: Operation) -> Outputs:
    """Run a command to its end.

    Args:
        command: the text that the interpreter is given.
        inputs: the resource's, without marks.
        previous: what the resource's command wrote the last time.
        operation: when it is stopped, the command is killed with all its children.

    Raises:
        CommandError: it failed.
    """
    transcript = Transcript(operation, inputs.get("logging"))
    environment = {**os.environ, **inputs.get("environment", {}), **previous_in_environment(inputs, previous)}
    stdin = inputs.get("stdin", "").encode()
    arguments = [*(inputs.get("interpreter") or ["/bin/sh", "-c"]), command]
    try:
        operation.go_on()
        process = await _start(arguments, inputs.get("dir"), environment, with_stdin=bool(stdin))
    except CommandError as error:
        raise transcript.error(str(error), command) from None
    killer = asyncio.create_task(_kill_when_stopped(process.pid, operation))
    try:
        await asyncio.gather(
            _write(process.stdin, stdin),
            _read(process.stdout, transcript, "stdout"),
            _read(process.stderr, transcript, "stderr"),
        )
        status = await process.wait()
    finally:
        killer.cancel()
    transcript.end()
    if status:
        raise transcript.error(_ending(status), command)
    return transcript.outputs()


async def _start(
    arguments: list[str], directory: str | None, environment: dict[str, str], *, with_stdin: bool
) -> asyncio.subprocess.Process:
    if directory is not None and not Path(directory).is_dir():
        raise CommandError(f"chdir {directory}: no such file or directory")
    program = arguments[0] if "/" in arguments[0] else shutil.which(arguments[0])
    if program is None:
        raise CommandError(f'exec: "{arguments[0]}": executable file not found in $PATH')
    try:
        return await asyncio.create_subprocess_exec(
            *arguments,
            executable=program,
            cwd=directory,
            env=environment,
            stdin=_PIPE if with_stdin else asyncio.subprocess.DEVNULL,
            stdout=_PIPE,
            stderr=_PIPE,
        )
    except OSError as error:
        raise CommandError(f"fork/exec {program}: {os.strerror(error.errno or 0).lower()}") from None


async def _write(pipe: asyncio.StreamWriter | None, content: bytes) -> None:
    if pipe is None:
        return
    try:
        pipe.write(content)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        # A command need not read what it is given.
        pipe.close()


async def _read(pipe: asyncio.StreamReader | None, transcript: Transcript, stream: str) -> None:
    while pipe and (chunk := await pipe.read(_CHUNK)):
        transcript.add(stream, chunk)


async def _kill_when_stopped(pid: int, operation: Operation) -> None:
    await operation.stopped.wait()
    for member in [pid, *_descendants(pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in listing.read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from _descendants(child)


def _ending(status: int) -> str:
    if status > 0:
        return f"exit status {status}"
    return "signal: " + (signal.strsignal(-status) or f"signal {-status}").lower()
