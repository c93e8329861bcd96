"""What is seen from this machine while an `up` runs: whether each host answers at all, and at its end the service.

Pulumi does nothing where nothing has changed, and waits in silence for a host that takes a connection and says nothing.
Never in a preview.
"""

from __future__ import annotations

import asyncio
import contextvars
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import pulumi

# A host that is up says its name on a new connection to sshd within a fraction of a second.
_SILENT_AFTER = 10
_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 10
_AGAIN_SECONDS = 1
# From here on it is the proxy's word that nothing is behind it, or Heat's that it does not work.
_BROKEN = 500


def banner(address: str, port: int, seconds: float) -> str:
    """Why a host does not say that it speaks SSH; empty where it does.

    Args:
        address: where it is.
        port: sshd's.
        seconds: how long it is waited for.
    """
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            return "" if connection.recv(4) else "it ends the connection at once"
    except TimeoutError:
        return f"it takes no connection, or says nothing on it, for {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)


_watched: set[tuple[str, int]] = set()


def name_silent(host: str, address: str, port: int = 22) -> None:
    """Have a host named by a warning if it does not answer within 10 s. Returns at once, and delays no end of an `up`.

    Args:
        host: its name.
        address: where it is reached from here.
        port: sshd's.
    """
    # Many hosts have one jump host.
    if (address, port) in _watched:
        return
    _watched.add((address, port))
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()

    def warn(why: str) -> None:
        pulumi.log.warn(
            f"{host} ({address}) does not answer ssh at port {port}: {why}. What is to be done there waits for it. "
            "See whether it runs, or is paused or overloaded; this goes on as soon as it answers, and Ctrl-C ends it."
        )

    def look() -> None:
        if why := banner(address, port, _SILENT_AFTER):
            # The run may be over by now.
            try:
                loop.call_soon_threadsafe(warn, why, context=context)
            except RuntimeError:
                return

    threading.Thread(target=look, name=f"ssh of {host}", daemon=True).start()


class UnreachableError(Exception):
    """No connection from here: that says nothing about what clients reach."""


def ask(url: str) -> str:
    """Why nobody answers at a URL; empty where somebody does.

    Raises:
        UnreachableError: packets from here do not arrive there, or their answers not here.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        connection = socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_SECONDS)
    except ConnectionRefusedError:
        return "nothing listens there (connection refused)"
    except OSError as error:
        raise UnreachableError(error.strerror or f"no answer within {_CONNECT_SECONDS} s") from None
    with connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            if parts.scheme == "https":
                connection = ssl.create_default_context().wrap_socket(connection, server_hostname=parts.hostname)
            asked = http.client.HTTPConnection(parts.hostname or "", port)
            asked.sock = connection
            asked.request("GET", parts.path or "/", headers={"Connection": "close"})
            status = asked.getresponse().status
        except ssl.SSLCertVerificationError:
            # Somebody is there. Whom clients trust is not for this machine's certificates to say.
            return ""
        except TimeoutError:
            return f"a connection, but no answer within {_ANSWER_SECONDS} s"
        except (OSError, http.client.HTTPException) as error:
            return f"no HTTP answer ({error})"
    return "" if status < _BROKEN else f"HTTP status {status}"


async def _asked(url: str) -> tuple[str, str]:
    """What is wrong at a URL, and why it could not be looked at; both empty where it answers. Asked twice."""
    for attempt in range(2):
        try:
            why = await asyncio.to_thread(ask, url)
        except UnreachableError as error:
            return "", str(error)
        if not why:
            break
        if not attempt:
            await asyncio.sleep(_AGAIN_SECONDS)
    return why, ""


async def look_at_service(urls: Mapping[str, str], *, stack: str, front: str, port: int, direct: bool) -> None:
    """See that what clients reach answers; or say in one line that it was not looked at.

    Args:
        urls: where to ask, by what it is.
        stack: its name, for what to type.
        front: the address of the front host.
        port: its sshd's.
        direct: whether it is logged in to from here, and not over a jump host.

    Raises:
        pulumi.RunError: something is reached and does not answer as it should.
    """
    answers = dict(zip(urls, await asyncio.gather(*map(_asked, urls.values())), strict=True))
    broken = [f"  * {what} ({urls[what]}): {why}" for what, (why, _) in answers.items() if why]
    unseen = [f"{what} ({urls[what]}: {why})" for what, (_, why) in answers.items() if why]
    if not direct:
        # Whoever has these addresses on this side of the jump host is not known.
        unseen, broken = unseen + [line.removeprefix("  * ") for line in broken], []
    elif unseen and (why := await asyncio.to_thread(banner, front, port, _CONNECT_SECONDS)):
        broken, unseen = [*broken, *(f"  * {line}; nor does the front host answer ssh ({why})" for line in unseen)], []
    if unseen:
        pulumi.log.info(
            f"whether Heat answers was not looked at, as there is no way there from here: {', '.join(unseen)}"
        )
    if broken:
        listed = "\n".join(broken)
        raise pulumi.RunError(
            f"what clients reach does not answer:\n{listed}\n"
            f"Type: make verify STACK={stack}, which says what is not as it was left, and make repair STACK={stack}."
        )
