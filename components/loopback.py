"""Addresses that mean "this very host", and what they become when another host is to use them. Pure.

A value is rewritten where it is plain what part of it is a host; where it is not, it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, unquote

_HOST = (
    r"127(?:\.[0-9]{1,3}){3}|localhost(?:\.localdomain)?|localhost[46](?:\.localdomain[46])?|ip6-(?:localhost|loopback)"
)
_SIX = r"::1|(?:0{1,4}:){7}0{0,3}1|::ffff:127(?:\.[0-9]{1,3}){3}"
# Somewhere in a text, as a word of its own.
_ANYWHERE = re.compile(rf"(?<![\w.:%-])(?:{_HOST}|{_SIX})(?![\w-]|\.\w|:[0-9a-f]*:)", re.IGNORECASE)
# Where a client names a server, the address of every interface means this host too.
_WHOLE = re.compile(
    rf"(?:{_HOST}|127(?:\.[0-9]{{1,3}}){{1,2}}|{_SIX}|0\.0\.0\.0|::|(?:[\w-]+\.)*localhost)\.?", re.IGNORECASE
)
_URL = re.compile(r"(?P<scheme>[a-z][\w+.-]{0,30}://)(?P<netloc>[^/?#\s,;\"'<>]*)", re.IGNORECASE)
_DATABASE = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<login>[^:/]*(?::[^@]*)?)@)?"
    r"(?P<host>\[[^\]/?]+\]|[^/:?\[\]@]*)(?::(?P<port>[0-9]*))?(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
# Each part of a broker's URL without any character that could end it: what is public of it is decided here.
_TRANSPORT = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://(?P<netloc>[^/?#]*)(?P<rest>(?P<vhost>/(?:/|[^\s/?#@]*))?(?:\?[^\s?#@]*)?)",
    re.IGNORECASE,
)
_BROKER = re.compile(
    r"(?P<login>[^\s:@/,?#\[\]]*(?::[^\s@/,?#\[\]]*)?@)?"
    r"(?P<server>(?:\[[0-9a-f:.%]+\]|[\w.-]*|[0-9a-f:.]*)(?::\d{1,5})?)",
    re.IGNORECASE | re.ASCII,
)
_SERVER = re.compile(
    r"(?P<before>(?:inet6?:)?)(?:\[(?P<six>[^\]]+)\]|(?P<bare>[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*)|(?P<four>[^:\[\]]*))"
    r"(?P<port>(?::[^:]*)?)",
    re.IGNORECASE,
)


# No name of a host is longer, and what is longer would take long to be looked at.
_LONGEST_SERVER = 300


class UndecidableError(Exception):
    """What a loopback address stands for on another host cannot be known; the message never holds the value."""


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is the one that asks."""
    return bool(_WHOLE.fullmatch(host))


def stands_in(text: str) -> bool:
    """Whether a loopback address stands anywhere in a text."""
    return bool(_ANYWHERE.search(text))


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _server(text: str, address: str, *, empty: bool = False) -> str:
    """`host`, `host:port`, `[host]:port`: with the host replaced where it is a loopback one."""
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
        raise UndecidableError("an IPv6 address in a URL stands in brackets")
    rewritten = _server(server, address, empty=empty)
    return f"{login}{at}{bracketed(address) if rewritten == address else rewritten}"


def _checked(text: str) -> str:
    if stands_in(text):
        raise UndecidableError("a loopback address stands in it, and what it means on another host cannot be decided")
    return text


def urls(text: str, address: str) -> str:
    """Any text: the hosts of all URLs in it.

    Raises:
        UndecidableError: a loopback address stands elsewhere in it.
    """
    return _checked(_URL.sub(lambda found: found["scheme"] + _netloc(found["netloc"], address), text))


def unchanged(text: str, _: str) -> str:
    """A text in which no loopback address may stand, nor be replaced.

    Raises:
        UndecidableError: one stands there.
    """
    return _checked(text)


def _one_server(item: str, address: str) -> str:
    if item.startswith(("unix:", "/")):
        raise UndecidableError("a Unix socket is reached from its own host only: name a host and a port")
    return _server(item, address)


def servers(text: str, address: str) -> str:
    """A host, or several with commas between them, each with or without a port, or as a URL.

    Raises:
        UndecidableError: one is a Unix socket, or no host.
    """
    if "://" in text:
        return urls(text, address)
    return _checked(re.sub(r"[^,\s]+", lambda found: _one_server(found[0], address), text))


def database(text: str, address: str) -> str:
    """SQLAlchemy's URL of a database.

    Raises:
        UndecidableError: a file, a Unix socket, no host, or not a URL.
    """
    found = _DATABASE.fullmatch(text)
    if text.startswith("sqlite"):
        raise UndecidableError("SQLite's file is on one host only: move Heat's data to a database server first")
    if not found:
        raise UndecidableError("it is no URL of a database: percent-encode what is special in its password")
    for key, value in parse_qsl(found["query"] or ""):
        if key in ("unix_socket", "host") and value.startswith(("/", "@")):
            raise UndecidableError("a Unix socket is reached from its own host only: name a host and a port")
        if is_loopback(value) or stands_in(value):
            raise UndecidableError(f"a loopback address stands in its {key}: write the host before the database's name")
    if not found["host"]:
        raise UndecidableError("it names no host, so it means a Unix socket or a file: name a host and a port")
    # MySQL-python is long gone: nodes have PyMySQL.
    scheme = {"mysql": "mysql+pymysql", "mysql+mysqldb": "mysql+pymysql"}.get(found["scheme"], found["scheme"])
    login = "" if found["login"] is None else found["login"] + "@"
    host = found["host"].strip("[]")
    host = bracketed(address) if is_loopback(host) else found["host"]
    port = "" if found["port"] is None else ":" + found["port"]
    query = "" if found["query"] is None else "?" + found["query"]
    return f"{scheme}://{login}{host}{port}{found['path'] or ''}{query}"


def transport(text: str, address: str) -> str:
    """oslo.messaging's URL of one or several brokers: scheme://user:password@host:port,…/vhost?query.

    Raises:
        UndecidableError: the broker is no RabbitMQ, or it is not a URL.
    """
    if other := re.match(r"(?!rabbit:|kombu:)([a-z][a-z0-9+]*)://", text, re.IGNORECASE):
        raise UndecidableError(f"its broker is {other[1]}, and only RabbitMQ shares the work among engines here")
    found = _TRANSPORT.fullmatch(text)
    if not found or not all(map(_BROKER.fullmatch, found["netloc"].split(","))):
        raise UndecidableError(_NO_BROKER)
    # Without a host it is this one's, and without a login RabbitMQ's own.
    pieces = [piece for piece in found["netloc"].split(",") if piece] or ["guest:guest@"]
    hosts = ",".join(_netloc(piece, address, empty=True) for piece in pieces)
    return f"rabbit://{hosts}{found['rest'] or '/'}"


_NO_BROKER = (
    "it is no URL of a broker: rabbit://USER:PASSWORD@HOST:5672/VHOST, with what is special in the user, the password "
    "and the virtual host percent-encoded (/ is %2F, @ is %40, : is %3A, # is %23, ? is %3F, a comma is %2C)"
)


def brokers(transport_url: str) -> str:
    """Where a broker's URL leads, without the logins in it; of a URL that may be read in two ways nothing.

    Raises:
        UndecidableError: it is no such URL.
    """
    found = _TRANSPORT.fullmatch(transport_url)
    pieces = [_BROKER.fullmatch(piece) for piece in found["netloc"].split(",")] if found else []
    if not found or not all(pieces):
        raise UndecidableError(_NO_BROKER)
    return f"{found['scheme']}://{','.join(piece['server'] for piece in pieces if piece)}{found['vhost'] or ''}"


def notifications(text: str, address: str) -> str:
    """oslo.messaging's URL for notifications, which need no RabbitMQ.

    Raises:
        UndecidableError: a loopback address stands elsewhere than in the place of a host.
    """
    return transport(text, address) if text.startswith(("rabbit:", "kombu:")) else urls(text, address)


def transport_url(user: str, password: str, servers: list[str], vhost: str) -> str:
    """The URL of brokers that share one login, from parts as they are: each is encoded."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    # No vhost in a URL means RabbitMQ's first one, whose name is a slash.
    path = "" if vhost == "/" else quote(vhost, safe="")
    return f"rabbit://{','.join(f'{login}@{server}' for server in servers)}/{path}"


HIDDEN = "***"
_LOGIN = re.compile(r"(?P<user>[^:@/,?#\[\]]*)(?P<password>:[^:@/,?#\[\]]*)?@(?P<server>[^@]*)")
_TELLING = re.compile(r"passw|secret|key|token|auth", re.IGNORECASE)
_TELLING_PART = re.compile(rf"{_TELLING.pattern}|sig", re.IGNORECASE)


def has_login(text: str) -> bool:
    """Whether a URL with a login, or with a token in its query or its fragment, stands in a text."""
    return any("@" in rest or _tells(rest) for word in text.split() for rest in [word.partition("://")[2]])


def _tells(rest: str) -> bool:
    """Whether a part of a URL's query is named after a secret."""
    named = [part.partition("=") for part in re.split(r"[?&;#]", rest)[1:]]
    return any(equals and _TELLING_PART.search(name) for name, equals, _ in named)


def masked(text: str) -> str:
    """A secret as it may be shown: a URL without its passwords where it is plain which part they are, else nothing."""
    found = re.fullmatch(r"(?P<scheme>[a-z][\w+.-]*://)(?P<netloc>[^/?#\s]*)(?P<rest>[^@\s]*)", text, re.IGNORECASE)
    if not found or _TELLING.search(found["rest"]):
        return HIDDEN
    pieces = [_LOGIN.fullmatch(piece) for piece in found["netloc"].split(",")]
    if not all(pieces):
        return HIDDEN
    # A login without a password may be a token.
    shown = (
        f"{piece['user'] + ':' if piece['password'] else ''}{HIDDEN}@{piece['server']}" for piece in pieces if piece
    )
    return found["scheme"] + ",".join(shown) + found["rest"]


def passwords(text: str) -> set[str]:
    """The passwords in a URL, as they stand there and decoded."""
    # Each word as far as its last @: what follows is looked through once, and not again from every place.
    logins = [word[: word.rfind("@") + 1] for word in text.split()]
    found = {match[1] for login in logins for match in re.finditer(r"[/,][^:@/,]*:([^@\s]*)@", login)}
    return found | {unquote(password) for password in found}


# How an option's value is rewritten.
Rewrite = Callable[[str, str], str]
