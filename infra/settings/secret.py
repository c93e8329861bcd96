"""Secrets: how the settings know them without their values, and logins in settings that everybody may read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from infra.settings.fields import Section, camel, keys
from infra.settings.formats import Format
from infra.settings.refusals import Refusals

# What the settings have in place of a secret: where it comes from. `infra.settings.load.secret` returns the secret.
KEY_SECRET, KEY_PLAIN, KEY_AGENT = "[secret]", "[not a secret]", "[agent]"
# URLs that are in plain state, in previews and in files that every user of a host may read.
_OPEN_URLS = ("pip_index_url", "wheelhouse", "git_url", "debian_mirror")
# A user without a password is no secret if a key logs in.
_BY_KEY = re.compile(r"((git\+)?ssh://)?[A-Za-z0-9._-]+@[A-Za-z0-9._\[\]-]+(:|/)[^@?#]*")


def formats_of_secrets(section: type[Section]) -> dict[str, Format]:
    """The settings that are secrets, with how they may be written.

    Pulumi's own `secret: true` is of no use for them: it refuses a stack without the key, and a default.
    """
    return {key.path: key.format for key in keys(section) if key.format and key.format.secret}


def without_secrets(raw: Mapping[str, Any], section: type[Section], refusals: Refusals) -> dict[str, Any]:
    """A stack's settings without secrets that would be used in the open; each of these is refused."""
    known, secrets = {key.path: key for key in keys(section)}, formats_of_secrets(section)
    refused = [key for key, value in raw.items() if key in known and key not in secrets and value == KEY_SECRET]
    for key in refused:
        rule = "this setting cannot be a secret: its value would be in plain state and in previews"
        kind = known[key].rule
        part = "[0]" if kind == "must be a list" else ".<part>" if kind == "must be an object" else ""
        value = refusals.set(f"{key}{part}", "<its value>")
        if part:
            value += f", for each part under `secure:` in Pulumi.{refusals.stack}.yaml"
        refusals.refuse(key, KEY_SECRET, rule, remedy=value)
    return {key: value for key, value in raw.items() if key not in refused}


def check_secret_forms(secrets: Mapping[str, str], section: type[Section], refusals: Refusals) -> None:
    """The form of every secret, of which nothing is shown; no rule reports more about a secret with a wrong form."""
    for key, form in formats_of_secrets(section).items():
        if (text := secrets.get(key)) and (rule := form.refusal(text)):
            refusals.refuse_form(key, KEY_SECRET, rule, remedy=refusals.ask_secret(key))


def check_private_key(key: str, refusals: Refusals) -> None:
    """The key that hosts accept already is given, and as a secret."""
    if key not in (KEY_SECRET, KEY_AGENT):
        rule = "the private key must be a secret" if key else "there is neither a key nor an ssh agent"
        remedy = f"pulumi config set --secret sshPrivateKey --stack {refusals.stack} <~/.ssh/id_ed25519"
        refusals.refuse("sshPrivateKey", key or "(none)", rule, remedy=remedy)


def check_secrets(settings: Section, keystone_url: str, refusals: Refusals) -> None:
    """Secrets in the open. This runs after the other rules: what one of them refuses is not reported twice."""
    for key in keys(type(settings)):
        if getattr(settings, key.field) == KEY_PLAIN and not refusals.reported(key.path):
            refusals.refuse(key.path, KEY_PLAIN, "must be a secret", remedy=refusals.ask_secret(key.path))
    for name in _OPEN_URLS:
        _check_open(camel(name), getattr(settings, name), refusals)
    if may_hold_login(keystone_url) and not refusals.reported("control.keystoneUrl"):
        refusals.refuse("control.keystoneUrl", "(not shown)", _NO_LOGIN, "<the URL without them>")


_NO_LOGIN = "must not have a login, a query or a fragment: everybody may read it"


def _check_open(key: str, url: str, refusals: Refusals) -> None:
    if not may_hold_login(url) or refusals.reported(key):
        return
    rule, remedy = _NO_LOGIN, refusals.set(key, "<the URL without them>")
    if key == "debianMirror":
        rule += ", and the containers' base image is made without a login"
    else:
        remedy += f"; {refusals.ask_secret('netrc')}: machine HOST login USER password PASSWORD"
    refusals.refuse(key, "(not shown)", rule, remedy=remedy)


def may_hold_login(url: str) -> bool:
    """Whether a URL has something where a login may be: before an @, in a query or in a fragment."""
    return not url.startswith("/") and not _BY_KEY.fullmatch(url) and bool(re.search("[@?#]", url))
