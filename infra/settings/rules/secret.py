"""Which settings are secrets and which cannot be, and logins in settings that everybody may read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from infra.settings.formats import SECRET_FORMATS
from infra.settings.model import KEY_PLAIN, KEY_SECRET, Settings
from infra.settings.reader import Reader, camel
from infra.settings.rules.control import not_a_key

# Settings that are secrets; in their place `Settings` has a word for where they come from. Pulumi's own `secret: true`
# is of no use for them: a stack that leaves such a key out is refused, and so is a default.
SECRETS = (
    "sshPrivateKey", "databaseUrl", "transportUrl", "servicePassword", "stackDomainAdminPassword", "authEncryptionKey",
    "databaseAdminUrl", "brokerAdminUrl", "keystoneAdminPassword", "netrc",
)  # fmt: skip
# URLs that stand in plain state, in previews and in files that anybody on a host may read.
_OPEN_URLS = ("pip_index_url", "wheelhouse", "git_url", "debian_mirror")
# A user without a password is no secret where a key logs in.
_BY_KEY = re.compile(r"((git\+)?ssh://)?[A-Za-z0-9._-]+@[A-Za-z0-9._\[\]-]+(:|/)[^@?#]*")

# The settings that stand in the open.
_OPEN = {camel(item.name) for item in dataclasses.fields(Settings)} - {*SECRETS}
# The fields of the secret ones.
_NAMES = {key: re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key) for key in SECRETS}


def without_secrets(raw: Mapping[str, Any], reader: Reader) -> dict[str, Any]:
    """A stack's settings without those that are secret and would be used in the open; each of these is refused."""
    refused = [key for key, value in raw.items() if key in _OPEN and value == KEY_SECRET]
    for key in refused:
        rule = "this setting is not kept as a secret: its value would stand in plain state and in previews"
        part = _PARTS.get(key, "")
        value = reader.set(f"{key}{part}", "<its value>")
        if part:
            value += f", for each part under `secure:` in Pulumi.{reader.stack}.yaml"
        reader.refuse(key, KEY_SECRET, rule, remedy=value)
    return {key: value for key, value in raw.items() if key not in refused}


# How the path of a part goes on, of the settings that have parts.
_PARTS = {
    camel(item.name): "[0]" if isinstance(item.default, tuple) else ".<part>"
    for item in dataclasses.fields(Settings)
    if item.default_factory is not dataclasses.MISSING or isinstance(item.default, tuple)
}


def check_secret_forms(secrets: Mapping[str, str], reader: Reader) -> None:
    """The form of every secret, of which nothing is shown; where it is wrong no rule tells more about it."""
    for key, known in SECRET_FORMATS.items():
        if (text := secrets.get(key)) and (rule := known.refusal(text)):
            reader.refuse(key, KEY_SECRET, rule, remedy=reader.ask_secret(key))
            reader.malformed.add(key)


def check_secrets(settings: Settings, secrets: Mapping[str, str], reader: Reader) -> None:
    """Note secrets in the open, after every other rule: what one of those refuses is not told twice."""
    for key, name in _NAMES.items():
        if getattr(settings, name) == KEY_PLAIN and not _told(key, reader):
            reader.refuse(key, KEY_PLAIN, "this has to be a secret", remedy=reader.ask_secret(key))
    for name in _OPEN_URLS:
        _check_open(camel(name), getattr(settings, name), reader)
    url = settings.control.keystone_url
    if may_hold_login(url) and not _told("control.keystoneUrl", reader):
        rule = "a login, a query and a fragment do not belong in it: everybody may read it"
        reader.refuse("control.keystoneUrl", "(not shown)", rule, "<the URL without them>")
    key = secrets.get("authEncryptionKey", "")
    if key and settings.control_plane == "bundled" and (error := not_a_key(key)):
        reader.refuse("authEncryptionKey", KEY_SECRET, error, remedy=reader.ask_secret("authEncryptionKey"))
    if settings.netrc == KEY_SECRET and (error := _not_netrc(secrets.get("netrc", ""))):
        reader.refuse("netrc", KEY_SECRET, error, remedy=reader.ask_secret("netrc"))


def _check_open(key: str, url: str, reader: Reader) -> None:
    if not may_hold_login(url) or _told(key, reader):
        return
    rule = "a login, a query and a fragment do not belong in it: everybody may read it"
    remedy = reader.set(key, "<the URL without them>")
    if key == "debianMirror":
        rule += ", and the containers' base image is made without a login"
    else:
        remedy += f"; {reader.ask_secret('netrc')}: machine HOST login USER password PASSWORD"
    reader.refuse(key, "(not shown)", rule, remedy=remedy)


def _told(key: str, reader: Reader) -> bool:
    return any(problem.startswith(f"{key} = ") for problem in reader.problems)


def may_hold_login(url: str) -> bool:
    """Whether a URL has a place for a login, filled in: before an @, in a query or in a fragment."""
    return not url.startswith("/") and not _BY_KEY.fullmatch(url) and bool(re.search("[@?#]", url))


_WORD = r"[A-Za-z0-9!$%&()*+,./:;<=>?@\[\]^_`{|}~-][A-Za-z0-9!$%&()*+,./:;<=>?@\[\]^_`{|}~#-]*"
_LOGIN = re.compile(
    rf"\s*machine\s+(?P<host>[A-Za-z0-9.-]+)\s+login\s+(?P<user>{_WORD})\s+password\s+(?P<password>{_WORD})"
)


def logins(netrc: str) -> str | None:
    """The logins of a .netrc file, one on each line; None where not every program would read the same in it."""
    lines, at = [], 0
    while found := _LOGIN.match(netrc, at):
        lines.append(f"machine {found['host']} login {found['user']} password {found['password']}\n")
        at = found.end()
    return None if netrc[at:].strip() or not lines else "".join(lines)


def _not_netrc(text: str) -> str:
    if logins(text) is not None:
        return ""
    return (
        "logins are written machine HOST login USER password PASSWORD, one after the other, without quotes, "
        "backslashes, comments, default and macdef"
    )
