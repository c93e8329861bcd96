"""The control plane that is there already: what must be given, and what cannot be where others are to reach it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from components import loopback
from infra.settings.files import not_a_text
from infra.settings.model import KEY_SECRET, ControlSettings, Settings
from infra.settings.reader import Reader, camel

# What may be made, and the secret of the one who makes it.
_MANAGED = {
    "database": "database_admin_url",
    "broker": "broker_admin_url",
    "keystone": "keystone_admin_password",
}
# What Heat must be told, and by what it need not be: it is made then.
_WANTED = {
    "database_url": "database",
    "transport_url": "broker",
    "service_password": "keystone",
    "stack_domain_admin_password": "keystone",
}
_TLS = ("database", "broker")
_KEY_LENGTH = 32
# Any address of another host will do to see what would become of a loopback one.
_ELSEWHERE = "192.0.2.1"


def check_control(settings: Settings, secrets: Mapping[str, str], reader: Reader) -> None:
    """Note what is wrong with it.

    Args:
        settings: what was asked for.
        secrets: the secret settings by their keys, as they are; none is ever shown.
        reader: takes the problems.
    """
    control = settings.control
    for name, part in _WANTED.items():
        if not getattr(settings, name) and part not in control.manage:
            rule = f"Heat has to be told, or {part} be named in control.manage for it to be made"
            reader.refuse(camel(name), "(none)", rule, remedy=reader.ask_secret(camel(name)))
    for part, name in _MANAGED.items():
        if part in control.manage and not getattr(settings, name):
            rule = f"control.manage has {part}, and this is how it is made"
            reader.refuse(camel(name), "(none)", rule, remedy=reader.ask_secret(camel(name)))
    _check_plain(control, reader)
    for key, judge in _JUDGES.items():
        if (text := secrets.get(key)) and (error := judge(text)):
            reader.refuse(key, KEY_SECRET, error, remedy=reader.ask_secret(key))


def _check_plain(control: ControlSettings, reader: Reader) -> None:
    """What is no secret."""
    for name, known in (("manage", tuple(_MANAGED)), ("tls", _TLS)):
        for at, part in enumerate(getattr(control, name)):
            if part not in known:
                reader.refuse(f"control.{name}[{at}]", part, f"this must be one of {', '.join(known)}", known[0])
    if error := _not_keystone(control.keystone_url):
        example = "http://10.0.0.1:5000"
        reader.refuse("control.keystoneUrl", control.keystone_url or "(none)", error, example)
    for at, server in enumerate(control.memcached):
        key = f"control.memcached[{at}]"
        if _rewritten(server, loopback.rewrite_servers):
            reader.refuse(key, server, _LOOPBACK, "<its address>:11211")
    if control.ca and (error := not_a_text(control.ca_path)):
        reader.refuse("control.ca", control.ca, error, "<a PEM file's path>")


_LOOPBACK = "a loopback address leads every host to itself: the address at which the nodes reach it is wanted"


def _not_keystone(url: str) -> str:
    """Why this is no URL of Keystone; empty where it is one."""
    # The form of one that is given is known to be good: infra/settings/formats.py.
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "Keystone's URL is wanted, http or https"
    if url.endswith("/") or re.search(r"/v[23](\.0)?$", parts.path) or parts.query:
        return "without a version and without a slash at its end"
    return _LOOPBACK if loopback.is_loopback(parts.hostname) else ""


def _rewritten(text: str, rewrite: Callable[[str, str], str]) -> str:
    """What the rules for existing files of Heat say against a URL; empty where they change nothing."""
    try:
        moved = rewrite(text, _ELSEWHERE)
    except loopback.UndecidableError as error:
        return str(error)
    return _LOOPBACK if _ELSEWHERE in moved and _ELSEWHERE not in text else ""


# A URL's parts as RFC 3986 has them, and what stands for the rest: a part that is not encoded may end anywhere.
_PART = r"(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})"
_LOGIN = rf"{_PART}+:{_PART}+@"
_SERVER = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?"
_QUERY = r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:/-]|%[0-9A-Fa-f]{2})*)?"
_DATABASE_URL = re.compile(rf"mysql\+pymysql://{_LOGIN}{_SERVER}(?:/{_PART}*)?{_QUERY}")
_BROKER_URL = re.compile(
    rf"(?:rabbit|kombu)://{_LOGIN}[^@/?#\s,]+(?:,(?:{_LOGIN})?[^@/?#\s,]+)*(?:/(?:/|{_PART}*))?{_QUERY}"
)
_API_URL = re.compile(rf"https?://{_LOGIN}{_SERVER}/?")
_ENCODE = (
    "; percent-encode what is special in the user and the password "
    "(/ is %2F, @ is %40, : is %3A, # is %23, ? is %3F, % is %25, a comma is %2C)"
)


def _hint(text: str) -> str:
    """What to do where a login is there, and it cannot be told where it ends."""
    return _ENCODE if "@" in text else ""


def _database(text: str) -> str:
    if not _DATABASE_URL.fullmatch(text):
        return f"must be a URL of MariaDB or MySQL: mysql+pymysql://USER:PASSWORD@HOST/DATABASE{_hint(text)}"
    return _rewritten(text, loopback.rewrite_database_url)


def _broker(text: str) -> str:
    told = _rewritten(text, loopback.rewrite_transport_url)
    if not told and not _BROKER_URL.fullmatch(text):
        return f"must be a URL of RabbitMQ: rabbit://USER:PASSWORD@HOST:5672/VHOST{_hint(text)}"
    return told


def _not_an_api(text: str) -> str:
    found = _API_URL.fullmatch(text)
    if not found:
        return f"must be the URL of RabbitMQ's management API: http://USER:PASSWORD@HOST:15672{_hint(text)}"
    return _LOOPBACK if loopback.is_loopback(found["host"].strip("[]")) else ""


def not_a_key(text: str) -> str:
    """Why Heat cannot encrypt with this; empty where it can."""
    return "" if len(text) == _KEY_LENGTH else f"it has {len(text)} characters, and Heat wants exactly {_KEY_LENGTH}"


# Why a secret cannot be; empty where it can.
_JUDGES: dict[str, Callable[[str], str]] = {
    "databaseUrl": _database,
    "databaseAdminUrl": _database,
    "transportUrl": _broker,
    "brokerAdminUrl": _not_an_api,
    "authEncryptionKey": not_a_key,
}
