"""Check at the end of an `up`, from this machine, that the public endpoints answer."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import pulumi

from components.watch import ssh_problem

_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 10
_RETRY_SECONDS = 1
# From this status on, the proxy has no backend or Heat does not work.
_SERVER_ERROR = 500


class UnreachableError(Exception):
    """This machine cannot connect, which says nothing about clients elsewhere."""


def http_problem(url: str) -> str:
    """Why a URL does not answer; empty if it does. A status below 500 is an answer.

    Raises:
        UnreachableError: packets from this machine do not arrive there, or the replies do not arrive here.
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
            client = http.client.HTTPConnection(parts.hostname or "", port)
            client.sock = connection
            client.request("GET", parts.path or "/", headers={"Connection": "close"})
            status = client.getresponse().status
        except ssl.SSLCertVerificationError:
            # A server answers. This machine need not trust the same certificates as the clients.
            return ""
        except TimeoutError:
            return f"a connection, but no answer within {_ANSWER_SECONDS} s"
        except (OSError, http.client.HTTPException) as error:
            return f"no HTTP answer ({error})"
    return "" if status < _SERVER_ERROR else f"HTTP status {status}"


async def _probe(url: str) -> tuple[str, str]:
    """The problem of a URL, and why this machine cannot reach it; at most one is not empty. Tries twice."""
    for attempt in range(2):
        try:
            problem = await asyncio.to_thread(http_problem, url)
        except UnreachableError as error:
            return "", str(error)
        if not problem:
            break
        if not attempt:
            await asyncio.sleep(_RETRY_SECONDS)
    return problem, ""


async def check_endpoints(urls: Mapping[str, str], *, stack: str, front: str, port: int, direct: bool) -> None:
    """Check that the public endpoints answer, or log in one line that this machine cannot check them.

    Args:
        urls: by a title for messages, such as "the ReST API".
        stack: the stack's name, for the remedy.
        front: the address of the front host.
        port: its sshd's port.
        direct: whether this machine logs in to it without a jump host.

    Raises:
        pulumi.RunError: an endpoint can be reached and does not answer as it should.
    """
    results = dict(zip(urls, await asyncio.gather(*map(_probe, urls.values())), strict=True))
    broken = [f"{title} ({urls[title]}): {problem}" for title, (problem, _) in results.items() if problem]
    unreached = [f"{title} ({urls[title]}: {reason})" for title, (_, reason) in results.items() if reason]
    if not direct:
        # On this side of a jump host the addresses may belong to other machines.
        unreached, broken = unreached + broken, []
    elif unreached and (problem := await asyncio.to_thread(ssh_problem, front, port, _CONNECT_SECONDS)):
        broken += [f"{line}; the front host does not answer SSH either ({problem})" for line in unreached]
        unreached = []
    if unreached:
        pulumi.log.info(f"endpoints not checked, because this machine cannot reach them: {', '.join(unreached)}")
    if broken:
        listed = "\n".join(f"  * {line}" for line in broken)
        raise pulumi.RunError(
            f"the public endpoints do not answer:\n{listed}\n"
            f"To see what differs from the last `up`, type: make verify STACK={stack}. "
            f"To repair it, type: make repair STACK={stack}"
        )
