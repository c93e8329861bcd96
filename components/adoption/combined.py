"""Options that are made of several: the broker's URL, Keystone's URL, and the logins that old names stood for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping

from components import loopback, urls
from components.adoption.names import OptionNames, label
from components.adoption.oslo_files import DEFAULT, Entry
from components.adoption.report import Outcome, Report
from components.adoption.tables import (
    AUTH,
    AUTH_URL,
    AUTH_URL_OPTIONS,
    BROKER_OPTIONS,
    EC2_URI,
    IDENTITY_URI,
    OLD_LOGIN,
    RABBIT,
    RPC_BACKEND,
    TRANSPORT_URL,
)
from components.adoption.values import Values
from components.heat.options import Name

_GUEST = "RabbitMQ accepts guest from its own host only: create a user for Heat"
_EC2 = "ec2authtoken"
_EC2_ENDPOINT: Name = (_EC2, "endpoint_override")
_WWW_AUTHENTICATE_URI: Name = (AUTH, "www_authenticate_uri")


def keystone_root(url: str) -> str:
    """Keystone's URL without version."""
    return re.sub(r"/(v2\.0|v3)(/ec2tokens)?$", "", url.rstrip("/"))


def guest_note(url: str) -> str:
    """A note on a broker's URL with RabbitMQ's user guest; empty for another user."""
    return _GUEST if re.search(r"//guest[:@]|,guest[:@]", url) else ""


def broker_url(parts: Mapping[str, str]) -> str:
    """The broker's URL of the options that old releases had instead.

    Raises:
        loopback.UndecidableError: the broker is not RabbitMQ, or there is none.
    """
    backend = parts.get("rpc_backend", "rabbit")
    if not re.fullmatch(r"(.*\.)?(impl_kombu|rabbit|kombu)", backend):
        raise loopback.UndecidableError(
            f"rpc_backend is {backend}, and only RabbitMQ shares the work among engines here"
        )
    port = parts.get("rabbit_port", "5672")
    hosts = parts.get("rabbit_hosts") or urls.bracketed(parts.get("rabbit_host", "localhost"))
    servers = [
        server if re.search(r"^[^:]*:[0-9]+$|\]:[0-9]+$", server) else f"{urls.bracketed(server.strip('[]'))}:{port}"
        for server in re.findall(r"[^,\s]+", hosts)
    ]
    if not servers:
        raise loopback.UndecidableError("it names no broker")
    return urls.transport_url(
        parts.get("rabbit_userid", "guest"),
        parts.get("rabbit_password", "guest"),
        servers,
        parts.get("rabbit_virtual_host", "/"),
    )


def keystone_url(parts: Mapping[str, str]) -> str:
    """Keystone's URL of the options that old releases had instead."""
    host = urls.bracketed(parts.get("auth_host", "127.0.0.1").strip("[]"))
    prefix = parts.get("auth_admin_prefix", "").strip("/")
    root = f"{parts.get('auth_protocol', 'https')}://{host}:{parts.get('auth_port', '35357')}"
    return f"{root}/{prefix}" if prefix else root


class Combiner:
    """Makes options of several others, in `values`, and records their results in `report`."""

    def __init__(self, values: Values, names: OptionNames, report: Report) -> None:
        self._values, self._names, self._report = values, names, report

    def combine_broker(self, targets: Collection[Name]) -> None:
        """Make transport_url of the broker's old options.

        Args:
            targets: options that the file has under their own or an older name.
        """
        names = [(section, key) for key in BROKER_OPTIONS for section in (RABBIT, DEFAULT)]
        self._combine([*names, RPC_BACKEND], TRANSPORT_URL, broker_url, targets)

    def combine_keystone(self, targets: Collection[Name]) -> None:
        """Make auth_url of Keystone's old options.

        Args:
            targets: options that the file has under their own or an older name.
        """
        parts = [(AUTH, key) for key in AUTH_URL_OPTIONS]
        if not self._values.entry(IDENTITY_URI):
            self._combine(parts, AUTH_URL, keystone_url, targets)
            return
        self._combine([IDENTITY_URI], AUTH_URL, lambda found: found["identity_uri"], targets)
        winner = IDENTITY_URI if AUTH_URL in self._values.new else AUTH_URL
        for name in parts:
            if entry := self._values.entry(name):
                self._drop_for(entry, winner)

    def _combine(
        self,
        names: Iterable[Name],
        target: Name,
        build: Callable[[Mapping[str, str]], str],
        targets: Collection[Name],
    ) -> None:
        """Make one option of several, unless the file has that option itself."""
        entries = [entry for name in names if (entry := self._values.entry(name))]
        if not entries:
            return
        # Of the same option in two sections, the one in the later file counts.
        parts: dict[str, Entry] = {}
        for entry in entries:
            before = parts.get(entry.name[1])
            if before is None or entry.file > before.file:
                parts[entry.name[1]] = entry
        for entry in entries:
            winner = parts[entry.name[1]]
            if entry is not winner:
                self._report.record(entry, Outcome.DROPPED, f"{label(winner.name)} comes before it")
        if target in targets or target in self._names.allow:
            for entry in parts.values():
                self._drop_for(entry, target)
            return
        self._build(parts, target, build)

    def _build(self, parts: Mapping[str, Entry], target: Name, build: Callable[[Mapping[str, str]], str]) -> None:
        values, report = self._values, self._report
        resolved = {key: found for key, entry in parts.items() if (found := values.resolve(entry)) is not None}
        if len(resolved) < len(parts):
            report.refuse_together(parts.values(), f"{label(target)} cannot be made without the others")
            return
        if not self._names.is_known(target):
            reason = f"it would become {label(target)}, which this auth_type does not have"
            report.refuse_together(parts.values(), reason)
            return
        try:
            value = values.rewrite(target, build({key: text for key, (text, _) in resolved.items()}))
        except loopback.UndecidableError as problem:
            report.refuse_together(parts.values(), str(problem))
            return
        for entry in parts.values():
            report.record(entry, Outcome.RENAMED, targets=(target,))
        reason = f"made of {', '.join(label(entry.name) for entry in parts.values())}"
        if target == TRANSPORT_URL and "//guest:" in value:
            reason += f"; {_GUEST}"
        values.add(target, value, reason, secret=any(secret for _, secret in resolved.values()))

    def _drop_for(self, entry: Entry, winner: Name) -> None:
        self._report.record(entry, Outcome.DROPPED, f"{label(winner)} is set instead")

    def complete_login(self) -> None:
        """Add what a login by old names left out: before Keystone had domains, there was one kind of login."""
        new = self._values.new
        if not any(self._is_renamed((AUTH, old)) for old in OLD_LOGIN):
            return
        reason = "the old options imply it"
        if (AUTH, "auth_type") not in new:
            self._values.add((AUTH, "auth_type"), "password", reason)
        for kind in ("user", "project"):
            if not {(AUTH, f"{kind}_domain_id"), (AUTH, f"{kind}_domain_name")} & set(new):
                self._values.add((AUTH, f"{kind}_domain_id"), "default", reason)
        if AUTH_URL not in new and (url := new.get(_WWW_AUTHENTICATE_URI)):
            secret = _WWW_AUTHENTICATE_URI in self._values.secret
            self._values.add(AUTH_URL, url, "www_authenticate_uri is Keystone's URL too", secret=secret)

    def _is_renamed(self, name: Name) -> bool:
        result = self._report.results.get(name)
        return result is not None and result.outcome is Outcome.RENAMED

    def make_ec2_login(self) -> None:
        """Give the CFN API a login of its own: Keystone checks EC2 signatures for services only."""
        values, report = self._values, self._report
        entry = values.entry(EC2_URI)
        login = {key: value for (section, key), value in values.new.items() if section == AUTH}
        has_login = bool({(_EC2, "auth_type"), (_EC2, "auth_section")} & set(values.new))
        if not has_login and not _is_complete(login):
            if entry:
                needed = "auth_type, auth_url, username and password"
                report.refuse(entry, f"it needs a complete login, and [{AUTH}] does not have one: {needed}")
            return
        url, secret = "", False
        if entry:
            if (resolved := values.resolve(entry)) is None:
                return
            url, secret = resolved
            try:
                url = loopback.rewrite_urls(url, values.address)
            except loopback.UndecidableError as problem:
                report.refuse(entry, str(problem))
                return
        if not has_login:
            self._copy_login(login)
            for name in (("clients_keystone", "auth_uri"), _WWW_AUTHENTICATE_URI, AUTH_URL):
                url = url or values.new.get(name, "")
        if _EC2_ENDPOINT in values.new:
            if entry:
                self._drop_for(entry, _EC2_ENDPOINT)
            return
        root = keystone_root(url)
        if entry:
            values.set(_EC2_ENDPOINT, root, secret=secret)
            reason = "Heat adds /v3/ec2tokens itself"
            report.record(entry, Outcome.RENAMED, reason, targets=(_EC2_ENDPOINT,), new=root, secret=secret)
        elif not has_login and root:
            values.add(_EC2_ENDPOINT, root, "Keystone's URL without version: Heat adds /v3/ec2tokens itself")

    def _copy_login(self, login: Mapping[str, str]) -> None:
        keys = ("auth_type", "auth_url", "username", "password", "project_name", "project_id")
        domains = tuple(f"{kind}_domain_{by}" for kind in ("user", "project") for by in ("id", "name"))
        for key in (*keys, *domains):
            name: Name = (_EC2, key)
            if key in login and name not in self._values.new:
                secret = (AUTH, key) in self._values.secret
                self._values.add(name, login[key], f"the CFN API logs in to Keystone as [{AUTH}] does", secret=secret)


def _is_complete(login: Mapping[str, str]) -> bool:
    return login.get("auth_type", "") in ("password", "v3password") and {"auth_url", "username", "password"} <= set(
        login
    )
