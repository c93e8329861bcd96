"""A well-behaved HTTP client, and what it counts as an answer.

The rules, from RFC 9110 (9.2.2) and RFC 9112 (9.3, 9.6):

* If the server has closed a kept-alive connection before the next request, the client opens a new one: nothing was sent
  on the old one.
* A GET on a kept-alive connection that closes before the first byte of the answer is sent again, once, on a new
  connection: the server may close an idle connection at the moment a request arrives. This counts as `retried`.
* Every other request without an answer is a failure. No request on a new connection is sent twice, and no POST, PUT or
  DELETE.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from dataclasses import dataclass

# Longer than the proxy waits for an API, so that the proxy's timeout shows.
TIMEOUT = 90


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer. `port` is the client's own: it identifies the request in the proxy's log."""

    status: int
    body: bytes
    seconds: float
    retried: bool
    port: int


class UnansweredError(Exception):
    """A request without an answer that the rules do not allow to repeat."""

    def __init__(self, error: Exception, port: int) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.port = port


class Client:
    """A client of one server.

    Args:
        host: the server's address.
        port: its port.
        kept: keep the connection for the next request; otherwise each request opens a new one.
        source: the client's own address; "" lets the kernel choose.
    """

    def __init__(self, host: str, port: int, *, kept: bool, source: str = "") -> None:
        self.port = port
        self._kept = kept
        self._connection = http.client.HTTPConnection(
            host, port, timeout=TIMEOUT, source_address=(source, 0) if source else None
        )

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Send a request and read the whole answer.

        Raises:
            UnansweredError: there was no complete answer.
        """
        began = time.monotonic()
        if not self._kept or self._closed_meanwhile():
            self.close()
        reused = self._connection.sock is not None
        try:
            return self._exchange(method, path, headers, body, began, retried=False)
        except _NotBegunError as error:
            if not (reused and method == "GET"):
                raise UnansweredError(error.reason, error.port) from error
        try:
            return self._exchange(method, path, headers, body, began, retried=True)
        except _NotBegunError as error:
            raise UnansweredError(error.reason, error.port) from error

    def close(self) -> None:
        self._connection.close()

    def _closed_meanwhile(self) -> bool:
        sock = self._connection.sock
        # A server sends nothing without a request: readable means that the connection has ended.
        return sock is not None and bool(select.select([sock], [], [], 0)[0])

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes, began: float, *, retried: bool
    ) -> Answer:
        connection, port = self._connection, 0
        try:
            if connection.sock is None:
                connection.connect()
            port = connection.sock.getsockname()[1]
            connection.request(method, path, body or None, headers)
            # This only peeks at the answer; no data means that the connection has ended.
            if not connection.sock.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError("closed without an answer")
        except ConnectionError as error:
            connection.close()
            raise _NotBegunError(error, port) from error
        except OSError as error:
            connection.close()
            raise UnansweredError(error, port) from error
        try:
            answer = connection.getresponse()
            read = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnansweredError(error, port) from error
        return Answer(status=answer.status, body=read, seconds=time.monotonic() - began, retried=retried, port=port)


class _NotBegunError(Exception):
    """The connection could not be made, or ended before the answer began."""

    def __init__(self, reason: Exception, port: int) -> None:
        self.reason = reason
        self.port = port
