"""Loopback addresses in configuration values, rewritten for use on another host. Pure.

A value is rewritten if the part that names a host is certain, and refused otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl

from components.urls import BrokerUrlError, bracketed, split_transport_url

_HOST = (
    r"127(?:\.[0-9]{1,3}){3}|localhost(?:\.localdomain)?|localhost[46](?:\.localdomain[46])?|ip6-(?:localhost|loopback)"
)
_SIX = r"::1|(?:0{1,4}:){7}0{0,3}1|::ffff:127(?:\.[0-9]{1,3}){3}"
# Anywhere in a text, as a separate word.
_ANYWHERE = re.compile(rf"(?<![\w.:%-])(?:{_HOST}|{_SIX})(?![\w-]|\.\w|:[0-9a-f]*:)", re.IGNORECASE)
# A client that connects to 0.0.0.0 or :: reaches its own host too.
_WHOLE = re.compile(
    rf"(?:{_HOST}|127(?:\.[0-9]{{1,3}}){{1,2}}|{_SIX}|0\.0\.0\.0|::|(?:[\w-]+\.)*localhost)\.?", re.IGNORECASE
)
_URL = re.compile(r"(?P<scheme>[a-z][\w+.-]{0,30}://)(?P<netloc>[^/?#\s,;\"'<>]*)", re.IGNORECASE)
_DATABASE = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<login>[^:/]*(?::[^@]*)?)@)?"
    r"(?P<host>\[[^\]/?]+\]|[^/:?\[\]@]*)(?::(?P<port>[0-9]*))?(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_SERVER = re.compile(
    r"(?P<before>(?:inet6?:)?)(?:\[(?P<six>[^\]]+)\]|(?P<bare>[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*)|(?P<four>[^:\[\]]*))"
    r"(?P<port>(?::[^:]*)?)",
    re.IGNORECASE,
)
# No host name is longer. The pattern would take too long on a longer text.
_LONGEST_SERVER = 300


class UndecidableError(Exception):
    """A loopback address has no certain meaning on another host. The message never holds the value."""


# Returns an option's value for use on another host: the value, and the address that replaces a loopback one.
Rewrite = Callable[[str, str], str]


def is_loopback(host: str) -> bool:
    """Whether a host name or address, without brackets, means the host that uses it."""
    return bool(_WHOLE.fullmatch(host))


def contains_loopback(text: str) -> bool:
    """Whether a loopback address occurs anywhere in a text."""
    return bool(_ANYWHERE.search(text))


def refuse_loopback(text: str, _: str) -> str:
    """Return a text unchanged.

    Raises:
        UndecidableError: the text contains a loopback address.
    """
    if contains_loopback(text):
        raise UndecidableError(
            "it contains a loopback address, which is undefined on other hosts: use one that all hosts reach"
        )
    return text


def rewrite_urls(text: str, address: str) -> str:
    """Rewrite the hosts of all URLs in any text.

    Raises:
        UndecidableError: the text has a loopback address elsewhere.
    """
    return refuse_loopback(_URL.sub(lambda found: found["scheme"] + _netloc(found["netloc"], address), text), address)


def rewrite_servers(text: str, address: str) -> str:
    """Rewrite a host or a comma-separated list of hosts, each with or without a port, or as a URL.

    Raises:
        UndecidableError: an item is a Unix socket or not a host.
    """
    if "://" in text:
        return rewrite_urls(text, address)
    return refuse_loopback(re.sub(r"[^,\s]+", lambda found: _one_server(found[0], address), text), address)


def rewrite_database_url(text: str, address: str) -> str:
    """Rewrite an SQLAlchemy URL.

    Raises:
        UndecidableError: the text names a file, a Unix socket or no host, or is not a URL.
    """
    found = _DATABASE.fullmatch(text)
    if text.startswith("sqlite"):
        raise UndecidableError("an SQLite file exists on one host only: move Heat's data to a database server first")
    if not found:
        raise UndecidableError("it is not a database URL: percent-encode the special characters in its password")
    for key, value in parse_qsl(found["query"] or ""):
        if key in ("unix_socket", "host") and value.startswith(("/", "@")):
            raise UndecidableError("a Unix socket works only on its own host: use a host and a port")
        if is_loopback(value) or contains_loopback(value):
            raise UndecidableError(
                f"its parameter {key} contains a loopback address: write the host before the database's name"
            )
    if not found["host"]:
        raise UndecidableError("it names no host, which means a Unix socket or a file: use a host and a port")
    # Nodes have PyMySQL; MySQL-python is no longer maintained.
    scheme = {"mysql": "mysql+pymysql", "mysql+mysqldb": "mysql+pymysql"}.get(found["scheme"], found["scheme"])
    login = "" if found["login"] is None else found["login"] + "@"
    host = found["host"].strip("[]")
    host = bracketed(address) if is_loopback(host) else found["host"]
    port = "" if found["port"] is None else ":" + found["port"]
    query = "" if found["query"] is None else "?" + found["query"]
    return f"{scheme}://{login}{host}{port}{found['path'] or ''}{query}"


def rewrite_transport_url(text: str, address: str) -> str:
    """Rewrite the oslo.messaging URL of one or several RabbitMQ brokers.

    Raises:
        UndecidableError: the broker is not RabbitMQ, or the text is not such a URL.
    """
    if other := re.match(r"(?!rabbit:|kombu:)([a-z][a-z0-9+]*)://", text, re.IGNORECASE):
        raise UndecidableError(f"its broker is {other[1]}, and only RabbitMQ shares the work among engines here")
    try:
        url = split_transport_url(text)
    except BrokerUrlError as error:
        raise UndecidableError(str(error)) from None
    # oslo.messaging's defaults: this host, and RabbitMQ's own login.
    brokers = [broker for broker in url.brokers if broker] or ["guest:guest@"]
    hosts = ",".join(_netloc(broker, address, empty=True) for broker in brokers)
    return f"rabbit://{hosts}{url.rest or '/'}"


def rewrite_notification_url(text: str, address: str) -> str:
    """Rewrite the oslo.messaging URL for notifications, whose broker may be any.

    Raises:
        UndecidableError: the text has a loopback address where no host belongs.
    """
    return (
        rewrite_transport_url(text, address) if text.startswith(("rabbit:", "kombu:")) else rewrite_urls(text, address)
    )


def _server(text: str, address: str, *, empty: bool = False) -> str:
    """Replace the host of `host`, `host:port` or `[host]:port` if it is a loopback one, or `empty` and missing."""
    found = _SERVER.fullmatch(text) if len(text) <= _LONGEST_SERVER else None
    if not found:
        return text
    host = found["six"] or found["bare"] or found["four"] or ""
    if not (is_loopback(host) if host else empty):
        return text
    before = found["before"]
    if before:
        before = "inet6:" if ":" in address else "inet:" if before == "inet:" else ""
    port = found["port"]
    plain = not port and not found["six"] and not before and not empty
    return f"{before}{address if plain else bracketed(address)}{port}"


def _netloc(text: str, address: str, *, empty: bool = False) -> str:
    login, at, server = text.rpartition("@")
    if server.count(":") > 1 and not server.startswith("["):
        raise UndecidableError("an IPv6 address in a URL must be in brackets")
    rewritten = _server(server, address, empty=empty)
    return f"{login}{at}{bracketed(address) if rewritten == address else rewritten}"


def _one_server(item: str, address: str) -> str:
    if item.startswith(("unix:", "/")):
        raise UndecidableError("a Unix socket works only on its own host: use a host and a port")
    return _server(item, address)
