"""`controlPlane`, `control` and the secrets of an existing control plane."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from components import loopback
from components.heat.heat_conf import CA, SYSTEM_CA, Services
from infra.settings.fields import Section, camel
from infra.settings.files import ROOT, not_a_text
from infra.settings.formats import ENCRYPTION_KEY, KEYSTONE, NAME, PASSWORD, PATH, SERVER, SERVICE_URL, one_of
from infra.settings.refusals import Refusals
from infra.settings.secret import KEY_SECRET

# What may be made, and the secret of the account that makes it.
_MANAGED = {
    "database": "database_admin_url",
    "broker": "broker_admin_url",
    "keystone": "keystone_admin_password",
}
# What Heat needs, unless this program makes the part of the control plane.
_REQUIRED = {
    "database_url": "database",
    "transport_url": "broker",
    "service_password": "keystone",
    "stack_domain_admin_password": "keystone",
}
_TLS = ("database", "broker")
_KEY_LENGTH = 32
# Any address of another host shows what a loopback address would become.
_ELSEWHERE = "192.0.2.1"
BUNDLED = "bundled"


class ControlSettings(Section):
    """The control plane of `controlPlane: existing`, except its secrets."""

    keystone_url: Annotated[str, KEYSTONE] = ""
    """Keystone's URL, without a version. Required."""
    memcached: tuple[Annotated[str, SERVER], ...] = ()
    """Memcached servers with their ports, which cache tokens."""
    manage: tuple[Annotated[str, one_of(*_MANAGED)], ...] = ()
    """What this program makes there for Heat: users, a database, a vhost, endpoints."""
    tls: tuple[Annotated[str, one_of(*_TLS)], ...] = ()
    """What is reached by TLS. For Keystone, its URL decides."""
    ca: Annotated[str, PATH] = ""
    """A file on this machine with the CA certificates that all of it is checked against. Empty: the hosts' own."""
    user: Annotated[str, NAME] = Services.user
    """Heat's user in Keystone."""
    project: Annotated[str, NAME] = Services.project
    """The project of Heat's user."""
    domain: Annotated[str, NAME] = Services.domain
    """The domain of Heat's user and project."""
    stack_domain: Annotated[str, NAME] = Services.stack_domain
    """The domain of the users that stacks make."""
    stack_domain_admin: Annotated[str, NAME] = Services.stack_domain_admin
    """The user who manages the users of that domain."""
    admin_user: Annotated[str, NAME] = "admin"
    """With keystone in control.manage: Keystone's administrator."""
    admin_project: Annotated[str, NAME] = "admin"
    """With keystone in control.manage: the administrator's project."""

    @property
    def ca_path(self) -> Path:
        """Where the certificates are; a relative path starts at the checkout."""
        return ROOT / self.ca


class ControlSection(Section):
    """Control plane."""

    control_plane: Annotated[str, one_of(BUNDLED, "existing")] = BUNDLED
    """Database, broker, cache and Keystone: bundled (installed on the front host), or existing
    (docs/existing-control-plane.md)."""
    control: ControlSettings = Field(default_factory=ControlSettings)
    """The control plane of `controlPlane: existing`."""
    database_url: Annotated[str, SERVICE_URL.kept_secret] = ""
    """Heat's existing database: mysql+pymysql://USER:PASSWORD@HOST/DATABASE."""
    transport_url: Annotated[str, SERVICE_URL.kept_secret] = ""
    """The existing broker or brokers: rabbit://USER:PASSWORD@HOST:5672,USER:PASSWORD@HOST:5672/VHOST."""
    service_password: Annotated[str, PASSWORD.kept_secret] = ""
    """Password of Heat's user in the existing Keystone."""
    stack_domain_admin_password: Annotated[str, PASSWORD.kept_secret] = ""
    """Password of control.stackDomainAdmin in the existing Keystone."""
    auth_encryption_key: Annotated[str, ENCRYPTION_KEY.kept_secret] = ""
    """The 32 characters that Heat encrypts its database with. Unset: generated, for a database in which nothing is
    encrypted yet."""
    database_admin_url: Annotated[str, SERVICE_URL.kept_secret] = ""
    """With database in control.manage: URL with a login that may create databases and users."""
    broker_admin_url: Annotated[str, SERVICE_URL.kept_secret] = ""
    """With broker in control.manage: RabbitMQ's management API, http://USER:PASSWORD@HOST:15672."""
    keystone_admin_password: Annotated[str, PASSWORD.kept_secret] = ""
    """With keystone in control.manage: password of control.adminUser."""

    @property
    def bundled(self) -> bool:
        """Whether this program installs the control plane, on the front host."""
        return self.control_plane == BUNDLED

    @property
    def services(self) -> Services:
        """The services that Heat uses in an existing control plane."""
        control = self.control
        return Services(
            keystone_url=control.keystone_url,
            memcached=control.memcached,
            ca_file=CA if control.ca else SYSTEM_CA if control.tls else "",
            database_tls="database" in control.tls,
            broker_tls="broker" in control.tls,
            user=control.user,
            project=control.project,
            domain=control.domain,
            stack_domain=control.stack_domain,
            stack_domain_admin=control.stack_domain_admin,
        )


def check_control(settings: ControlSection, secrets: Mapping[str, str], refusals: Refusals) -> None:
    """An existing control plane: what is required, and what other hosts could not reach.

    Args:
        settings: the settings.
        secrets: the secret settings by their keys, as they are; none is ever shown.
        refusals: takes the problems.
    """
    control = settings.control
    for name, part in _REQUIRED.items():
        if not getattr(settings, name) and part not in control.manage:
            rule = f"Heat needs it, unless {part} is in control.manage and made by this program"
            refusals.refuse(camel(name), "(none)", rule, remedy=refusals.ask_secret(camel(name)))
    for part, name in _MANAGED.items():
        if part in control.manage and not getattr(settings, name):
            rule = f"control.manage has {part}, which is made with this login"
            refusals.refuse(camel(name), "(none)", rule, remedy=refusals.ask_secret(camel(name)))
    if error := _not_keystone(control.keystone_url):
        refusals.refuse("control.keystoneUrl", control.keystone_url or "(none)", error, KEYSTONE.example)
    for at, server in enumerate(control.memcached):
        if _rewritten(server, loopback.rewrite_servers):
            refusals.refuse(f"control.memcached[{at}]", server, _LOOPBACK, "<its address>:11211")
    if control.ca and (error := not_a_text(control.ca_path)):
        refusals.refuse("control.ca", control.ca, error, "<a PEM file's path>")
    for key, judge in _JUDGES.items():
        if (text := secrets.get(key)) and (error := judge(text)):
            refusals.refuse(key, KEY_SECRET, error, remedy=refusals.ask_secret(key))


def check_encryption_key(key: str, refusals: Refusals) -> None:
    """The key of a bundled control plane, which an operator may choose too."""
    if key and (error := _not_a_key(key)):
        refusals.refuse("authEncryptionKey", KEY_SECRET, error, remedy=refusals.ask_secret("authEncryptionKey"))


_LOOPBACK = "must be the address at which the nodes reach it; a loopback address leads every host to itself"


def _not_keystone(url: str) -> str:
    """Why this is no URL of Keystone; empty if it is one."""
    # Its form, if there is one, has been checked: KEYSTONE.
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return KEYSTONE.rule
    if url.endswith("/") or re.search(r"/v[23](\.0)?$", parts.path) or parts.query:
        return "must not have a version or a slash at its end"
    return _LOOPBACK if loopback.is_loopback(parts.hostname) else ""


def _rewritten(text: str, rewrite: Callable[[str, str], str]) -> str:
    """What the rules for existing files of Heat say against a URL; empty if they change nothing."""
    try:
        moved = rewrite(text, _ELSEWHERE)
    except loopback.UndecidableError as error:
        return str(error)
    return _LOOPBACK if _ELSEWHERE in moved and _ELSEWHERE not in text else ""


# A URL's parts as RFC 3986 has them: a part that is not encoded may end anywhere.
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
    "; percent-encode special characters in the user and the password "
    "(/ is %2F, @ is %40, : is %3A, # is %23, ? is %3F, % is %25, a comma is %2C)"
)


def _hint(text: str) -> str:
    """What to do if there is a login and nobody can tell where it ends."""
    return _ENCODE if "@" in text else ""


def _database(text: str) -> str:
    if not _DATABASE_URL.fullmatch(text):
        return f"must be a URL of MariaDB or MySQL: mysql+pymysql://USER:PASSWORD@HOST/DATABASE{_hint(text)}"
    return _rewritten(text, loopback.rewrite_database_url)


def _broker(text: str) -> str:
    error = _rewritten(text, loopback.rewrite_transport_url)
    if not error and not _BROKER_URL.fullmatch(text):
        return f"must be a URL of RabbitMQ: rabbit://USER:PASSWORD@HOST:5672/VHOST{_hint(text)}"
    return error


def _not_an_api(text: str) -> str:
    found = _API_URL.fullmatch(text)
    if not found:
        return f"must be the URL of RabbitMQ's management API: http://USER:PASSWORD@HOST:15672{_hint(text)}"
    return _LOOPBACK if loopback.is_loopback(found["host"].strip("[]")) else ""


def _not_a_key(text: str) -> str:
    """Why Heat cannot encrypt with this; empty if it can."""
    return "" if len(text) == _KEY_LENGTH else f"must have exactly {_KEY_LENGTH} characters, and has {len(text)}"


# Why a secret cannot be used; empty if it can.
_JUDGES: dict[str, Callable[[str], str]] = {
    "databaseUrl": _database,
    "databaseAdminUrl": _database,
    "transportUrl": _broker,
    "brokerAdminUrl": _not_an_api,
    "authEncryptionKey": _not_a_key,
}
