"""Broker URLs, and logins in any URL: find them, mask them, and build a URL from its parts. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

HIDDEN = "***"

# The characters of each part exclude all that could end it, so that no part of a password is taken for a host.
_TRANSPORT = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://(?P<netloc>[^/?#]*)(?P<rest>(?P<vhost>/(?:/|[^\s/?#@]*))?(?:\?[^\s?#@]*)?)",
    re.IGNORECASE,
)
_BROKER = re.compile(
    r"(?P<login>[^\s:@/,?#\[\]]*(?::[^\s@/,?#\[\]]*)?@)?"
    r"(?P<server>(?:\[[0-9a-f:.%]+\]|[\w.-]*|[0-9a-f:.]*)(?::\d{1,5})?)",
    re.IGNORECASE | re.ASCII,
)
_LOGIN = re.compile(r"(?P<user>[^:@/,?#\[\]]*)(?P<password>:[^:@/,?#\[\]]*)?@(?P<server>[^@]*)")
_SECRET = re.compile(r"passw|secret|key|token|auth", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(rf"{_SECRET.pattern}|sig", re.IGNORECASE)


class BrokerUrlError(ValueError):
    """A text is not the URL of a broker, or can be read in two ways. The message never holds the text."""

    def __init__(self) -> None:
        super().__init__(
            "it is not a broker URL: rabbit://USER:PASSWORD@HOST:5672/VHOST, with special characters percent-encoded "
            "in the user, the password and the virtual host (/ is %2F, @ is %40, : is %3A, # is %23, ? is %3F, a comma "
            "is %2C)"
        )


@dataclass(frozen=True, kw_only=True)
class TransportUrl:
    """An oslo.messaging URL in parts: scheme://user:password@host:port,…/vhost?query.

    Attributes:
        scheme: such as "rabbit".
        brokers: the logins and servers, such as "heat:secret@10.0.0.1:5672".
        servers: the same without the logins.
        vhost: with its slash; "" where the URL has none.
        rest: everything after the brokers.
    """

    scheme: str
    brokers: tuple[str, ...]
    servers: tuple[str, ...]
    vhost: str
    rest: str


def split_transport_url(text: str) -> TransportUrl:
    """Take an oslo.messaging URL apart.

    Raises:
        BrokerUrlError: the text is not such a URL.
    """
    found = _TRANSPORT.fullmatch(text)
    if not found:
        raise BrokerUrlError
    brokers = found["netloc"].split(",")
    parts = [_BROKER.fullmatch(broker) for broker in brokers]
    if not all(parts):
        raise BrokerUrlError
    return TransportUrl(
        scheme=found["scheme"],
        brokers=tuple(brokers),
        servers=tuple(part["server"] for part in parts if part),
        vhost=found["vhost"] or "",
        rest=found["rest"],
    )


def without_logins(transport_url: str) -> str:
    """The servers and the vhost of an oslo.messaging URL.

    Raises:
        BrokerUrlError: the text is not such a URL.
    """
    url = split_transport_url(transport_url)
    return f"{url.scheme}://{','.join(url.servers)}{url.vhost}"


def transport_url(user: str, password: str, servers: Sequence[str], vhost: str) -> str:
    """Build the oslo.messaging URL of brokers that share one login. Each part is percent-encoded here."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    # A URL without a vhost means the vhost "/".
    path = "" if vhost == "/" else quote(vhost, safe="")
    return f"rabbit://{','.join(f'{login}@{server}' for server in servers)}/{path}"


def bracketed(host: str) -> str:
    """A host as it is written before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def has_login(text: str) -> bool:
    """Whether a text contains a URL with a login, or with a token in its query or fragment."""
    return any(
        "@" in rest or _has_secret_parameter(rest) for word in text.split() for rest in [word.partition("://")[2]]
    )


def _has_secret_parameter(rest: str) -> bool:
    """Whether a parameter in a URL's query or fragment has the name of a secret."""
    parameters = [part.partition("=") for part in re.split(r"[?&;#]", rest)[1:]]
    return any(equals and _SECRET_PARAMETER.search(name) for name, equals, _ in parameters)


def masked(text: str) -> str:
    """A secret as a message may show it: a URL without its passwords if they can be recognised, else HIDDEN."""
    found = re.fullmatch(r"(?P<scheme>[a-z][\w+.-]*://)(?P<netloc>[^/?#\s]*)(?P<rest>[^@\s]*)", text, re.IGNORECASE)
    if not found or _SECRET.search(found["rest"]):
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
    """The passwords in the URLs of a text, both as written and decoded."""
    # Each word up to its last @, so that the time stays linear in the length of the text.
    logins = [word[: word.rfind("@") + 1] for word in text.split()]
    found = {match[1] for login in logins for match in re.finditer(r"[/,][^:@/,]*:([^@\s]*)@", login)}
    return found | {unquote(password) for password in found}
