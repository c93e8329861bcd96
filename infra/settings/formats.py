"""How a text in the settings may be written. A field names its format: `image: Annotated[str, NAME]`. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from components.text import control_character

# A number with more digits was never meant.
MOST_DIGITS = 18


def refusal(rule: str, **context: object) -> PydanticCustomError:
    """The error with which a field's type refuses a value; `infra.settings.refusals` makes a message from it."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, **context})


def as_text(value: object) -> object:
    """The text that YAML took for a number or a truth value."""
    if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
        raise refusal(f"must not have more than {MOST_DIGITS} digits")
    if isinstance(value, (bool, int, float)):
        return json.dumps(value) if isinstance(value, bool) else str(value)
    return value


@dataclass(frozen=True)
class Format:
    """One way in which a text may be written.

    Attributes:
        rule: what a refusal says about a text that does not fit.
        fits: whether a text of one line fits. A regular expression must match the whole text.
        longest: the maximum number of characters.
        example: what to type instead if the setting has no default.
        remedy: the command to type instead of `pulumi config set`, with {stack}.
        mended: the same text as it should be written; empty if that is not known.
        lines: whether the text may have several lines.
        secret: whether the setting is a secret. `Settings` then has a word for where it comes from, not the text.
        key: whether the text is a key of an object.
        titles: what each of a few words means, for documentation.
    """

    rule: str
    fits: Callable[[str], object] = lambda _: True
    longest: int = 255
    example: str = ""
    remedy: str = ""
    mended: Callable[[str], str] = lambda _: ""
    lines: bool = False
    secret: bool = False
    key: bool = False
    titles: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """The type of a field that is written like this."""
        checked = core_schema.no_info_after_validator_function(self._check, handler(source))
        return core_schema.no_info_before_validator_function(as_text, checked)

    def _check(self, text: str) -> str:
        rule = WORD.refusal(text) if self.secret else self.refusal(text)
        if rule:
            raise refusal(rule, format=self)
        return text

    @property
    def kept_secret(self) -> Format:
        """The same for a setting that is a secret."""
        return replace(self, secret=True)

    @property
    def of_keys(self) -> Format:
        """The same for the keys of an object."""
        return replace(self, key=True)

    def refusal(self, text: str) -> str:
        """Why a text does not fit; empty if it does."""
        if len(text) > self.longest:
            return f"must have at most {self.longest} characters, and has {len(text)}"
        if found := control_character(text, but="\n" if self.lines else ""):
            return f"must be {'printable text' if self.lines else 'one line of printable text'}, and has {found}"
        return "" if self.fits(text) else self.rule


def one_of(*words: str, titles: Mapping[str, str] = MappingProxyType({})) -> Format:
    """One of these words."""
    return Format(f"must be {listed(words)}", lambda text: text in words, example=words[0], titles=titles)


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them: a, b or c."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _pattern(text: str) -> Callable[[str], object]:
    """A regular expression that must match the whole text; digits and letters are those of ASCII."""
    compiled = re.compile(text, re.ASCII)
    return compiled.fullmatch


_PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*\.?"
_SIX = r"\[[0-9A-Fa-f:.]{2,45}\]"
_SERVER = rf"(?:{_NAME}|{_SIX})"
_URL_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"


def _host(text: str) -> bool:
    """A name or an address, without brackets and without a scope."""
    if ":" in text:
        return _address(text) is not None
    if re.fullmatch(r"[0-9.]+", text):
        return _address(text) is not None
    # What the resolver takes for a number, such as 0x7f.1, is an address that nobody can read.
    if re.fullmatch(r"(?:.*\.)?(?:0[xX][0-9A-Fa-f]*|[0-9]+)\.?", text):
        return False
    return len(text) <= 253 and bool(re.fullmatch(_NAME, text, re.ASCII))  # noqa: PLR2004 # as DNS has it


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else found


def _server_and_port(text: str) -> bool:
    server, colon, port = text.rpartition(":")
    host = server[1:-1] if server.startswith("[") and server.endswith("]") else server
    bracketed = host != server
    return bool(colon and re.fullmatch(_PORT, port) and _host(host) and bracketed == (":" in host))


def _url(schemes: str, *, login: bool = False, query: bool = False) -> Callable[[str], bool]:
    """A URL of one of these schemes, `https?` for two of them; with a valid host and port."""
    who = r"(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?" if login else ""
    what = r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?(?:#[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?" if query else ""
    shape = re.compile(
        rf"(?:{schemes})://{who}(?P<host>{_SERVER})(?::{_PORT})?{_URL_PATH}{what}",
        re.ASCII,
    )

    def fits(text: str) -> bool:
        found = shape.fullmatch(text)
        return bool(found) and _host(found["host"].strip("[]")) if found else False

    return fits


def _network(kind: Callable[[str], object], *, single: bool) -> Callable[[str], object]:
    """Addresses with a prefix (10.0.0.0/8); with `single` one address too. No netmask, no scope."""

    def fits(text: str) -> bool:
        _, slash, prefix = text.partition("/")
        if not (re.fullmatch(r"[0-9]{1,3}", prefix) if slash else single):
            return False
        try:
            kind(text)
        except ValueError:
            return False
        return "%" not in text

    return fits


def _with_prefix(text: str) -> str:
    """The network of an address with a prefix or a netmask, as it should be written."""
    try:
        return str(ipaddress.ip_network(text, strict=False)) if "%" not in text else ""
    except ValueError:
        return ""


def _host_key(text: str) -> bool:
    """A public key as ssh-keyscan prints it: its kind and the key, whose parts have the right lengths."""
    found = re.fullmatch(r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})", text)
    if not found:
        return False
    try:
        blob = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return False
    parts = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        parts.append(blob[4 : 4 + length])
        if len(blob) < 4 + length:
            return False
        blob = blob[4 + length :]
    kind = found[1].encode()
    if kind == b"ssh-ed25519":
        return [len(part) for part in parts[1:]] == [32] and parts[0] == kind
    curve = kind.removeprefix(b"ecdsa-sha2-")
    point = {b"nistp256": 65, b"nistp384": 97, b"nistp521": 133}[curve]
    return parts[:2] == [kind, curve] and [len(part) for part in parts[2:]] == [point]


_DURATION = re.compile(r"([0-9]{1,10})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
# HAProxy counts milliseconds in 31 bits, which is 24.8 days, and refuses longer durations.
LONGEST = 7 * 24 * 3600


def seconds(duration: str) -> float | None:
    """A duration as HAProxy writes them ("90s", "1m"), in seconds; None if it is none.

    A unit is required: HAProxy takes a bare number for milliseconds, and people mean seconds.
    """
    match = _DURATION.fullmatch(duration)
    return int(match[1]) * _SECONDS[match[2]] if match else None


# The formats.

# A name in Keystone or in a cloud.
NAME = Format("must be a name that neither begins nor ends with a space", lambda text: text and text == text.strip())
ADDRESS = Format(
    "must be an IPv4 address, such as 10.0.0.1",
    lambda text: isinstance(_address(text), ipaddress.IPv4Address),
    example="<its address>",
)
HOST = Format("must be an address or a name", _host, example="<its address>")
HOST_NAME = Format(
    "must be a name of lower-case letters, digits and -, at most 63 of them",
    _pattern(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
    example="node-1",
)
SERVER = Format("must be a server and its port, such as 10.0.0.1:11211", _server_and_port, example="10.0.0.1:11211")
NETWORK4 = Format(
    "must be an IPv4 network with its prefix, such as 10.0.0.0/24",
    _network(ipaddress.IPv4Network, single=False),
    example="<address>/32",
    mended=lambda text: _with_prefix(text) if ":" not in text else "",
)
NETWORK = Format(
    "must be an address or a network with its prefix, such as 10.0.0.0/24 or 2001:db8::/32",
    _network(ipaddress.ip_network, single=True),
    mended=_with_prefix,
)
TRUSTED = Format(
    "must be an address or a network with its prefix, such as 192.0.2.0/24, but not all addresses",
    lambda text: _network(ipaddress.ip_network, single=True)(text) and ipaddress.ip_network(text).prefixlen,
    example="<the proxy's address>",
)
USER = Format(
    "must be a Unix user's name: lower-case letters, digits and _-., not beginning with -",
    _pattern(r"[a-z_][a-z0-9_.-]{0,31}"),
)
REGION = Format("must be letters, digits and _.-", _pattern(r"[A-Za-z0-9_.-]+"))
HOST_KEY = Format(
    "must be a public key as ssh-keyscan prints it, after the address: ssh-ed25519 AAAA…",
    _host_key,
    longest=400,
    remedy="make hostkeys STACK={stack}",
)
PATH = Format("must be a path that does not begin with -", lambda text: not text.startswith("-"), longest=1000)
ABSOLUTE = Format(
    "must be an absolute path on the host",
    _pattern(r"/[^ ].*"),
    longest=1000,
    example="/etc/heat/heat.conf",
)
URL = Format(
    "must be a URL, http or https, with a host and, if needed, a port from 1 to 65535",
    _url("https?", login=True, query=True),
    longest=2000,
    example="https://<host>/<path>",
)
KEYSTONE = Format(
    "must be Keystone's URL, http or https, without a login and without a query",
    _url("https?"),
    longest=1000,
    example="http://10.0.0.1:5000",
)
PACKAGES = Format(
    "must be a directory on each host (/…) or a URL, http or https",
    lambda text: URL.fits(text) or re.fullmatch(r"/[^\s]+", text),
    longest=1000,
)
_GIT = _url("https?|ssh|git", login=True)
GIT = Format(
    "must be a URL that git clones: https, http, ssh, git or file, or user@host:path",
    lambda text: (
        _GIT(text) or re.fullmatch(rf"(?:file://)?/[A-Za-z0-9._~+@%/-]+|[a-z0-9_.-]+@{_NAME}:[A-Za-z0-9._~/-]+", text)
    ),
    longest=1000,
)
REF = Format("must be a tag, a branch or a commit", _pattern(r"[A-Za-z0-9][A-Za-z0-9._/-]*"), longest=200)
RELEASE = Format("must be a release, three numbers such as 27.0.1", _pattern(r"[0-9A-Za-z.]{1,32}"))
DURATION = Format(
    "must be a duration with its unit (ms, s, m, h), from 1ms to 168h",
    lambda text: 0 < (seconds(text) or 0) <= LONGEST,
)
TIME = Format("must be a time of the day, 00:00 to 23:59", _pattern(r"([01][0-9]|2[0-3]):[0-5][0-9]"))
TAG = Format("must be 1 to 60 characters, without comma and slash", _pattern(r"[^,/]{1,60}"))
LINE = Format("must be one line", str.strip, longest=1000)
SECTION = Format(
    "must be a section: DEFAULT, or lower-case letters, digits and _.:-",
    lambda text: text == "DEFAULT" or (re.fullmatch(r"[a-z0-9_][a-z0-9_.:-]*", text) and text != "default"),
    longest=100,
)
OPTION = Format(
    "must be an option's name: letters, digits and _.-, beginning with a letter or _",
    _pattern(r"[A-Za-z_][A-Za-z0-9_.-]*"),
    longest=100,
)
VALUE = Format("must be one line of printable text", longest=4096)
ALLOWED = Format(
    "must be an option with its section, such as my_plugin.colour",
    lambda text: SECTION.fits(text.rpartition(".")[0]) and OPTION.fits(text.rpartition(".")[2]),
    longest=200,
    example="my_plugin.colour",
)
# Below 64 MB no unit starts.
MEMORY = Format(
    "must be at least 64M, a number with M or G such as 512M or 2G; or infinity for no limit",
    _pattern(r"(6[4-9]|[7-9][0-9]|[1-9][0-9]{2,5})M|[1-9][0-9]{0,5}G|infinity"),
    example="2G",
)
# The word that stands for a secret.
WORD = Format("must be one of a few words", longest=64)

# The secrets themselves, which are checked and never shown.
PRIVATE_KEY = Format(
    "must be a private key as ssh-keygen writes it, from its BEGIN line to its END line",
    _pattern(r"-----BEGIN [A-Z0-9 ]+-----\n(?:[\x20-\x7e]+\n)+-----END [A-Z0-9 ]+-----\n?"),
    longest=20_000,
    lines=True,
)
PASSWORD = Format("must be one line of printable text", longest=1024)
NETRC = Format("must be lines of printable text", longest=20_000, lines=True)
ENCRYPTION_KEY = Format("must have exactly 32 characters of ASCII", lambda text: text.isascii(), longest=1024)


def _servers_of(text: str) -> bool:
    """Whether a URL with a login has no spaces, and valid servers and ports."""
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[\x21-\x7e]+", text):
        return False
    if scheme.startswith("mysql"):
        # SQLAlchemy takes a slash in a password.
        servers = [re.split(r"[/?]", rest.rpartition("@")[2] if "@" in rest else rest)[0]]
    else:
        servers = [piece.rpartition("@")[2] for piece in re.split(r"[/?#]", rest)[0].split(",") if piece]
    return all(not server or re.fullmatch(rf"{_SERVER}?(?::{_PORT}?)?", server, re.ASCII) for server in servers)


SERVICE_URL = Format(
    "must be a URL without spaces, with valid hosts and ports; percent-encode special characters in its password",
    _servers_of,
    longest=4096,
)
