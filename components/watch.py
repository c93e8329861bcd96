"""Warn during an `up` about a host that does not answer SSH.

Pulumi does nothing where nothing has changed, and waits without a message for a host that accepts a connection and
then sends nothing. A preview does not warn.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading

import pulumi

# A healthy sshd sends its banner on a new connection within a fraction of a second.
_SILENT_AFTER = 10


def ssh_problem(address: str, port: int, seconds: float) -> str:
    """Why no SSH server answers; empty if one does.

    Args:
        address: an IP address or a host name.
        port: sshd's port.
        seconds: how long to wait for its banner.
    """
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            return "" if connection.recv(4) else "it closes the connection at once"
    except TimeoutError:
        return f"it accepts no connection, or sends nothing, for {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)


_watched: set[tuple[str, int]] = set()


def warn_if_silent(host: str, address: str, port: int = 22) -> None:
    """Warn about a host that does not answer within 10 s. Returns at once and never delays the end of an `up`.

    Args:
        host: its name.
        address: where this machine reaches it.
        port: sshd's port.
    """
    # Several hosts may share a jump host.
    if (address, port) in _watched:
        return
    _watched.add((address, port))
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()

    def warn(problem: str) -> None:
        pulumi.log.warn(
            f"{host} ({address}) does not answer SSH on port {port}: {problem}. All changes to this host wait. Check "
            "whether it is down, paused or overloaded. This run continues when it answers; Ctrl-C ends the run."
        )

    def probe() -> None:
        if problem := ssh_problem(address, port, _SILENT_AFTER):
            # The run may have ended.
            try:
                loop.call_soon_threadsafe(warn, problem, context=context)
            except RuntimeError:
                return

    threading.Thread(target=probe, name=f"ssh of {host}", daemon=True).start()
