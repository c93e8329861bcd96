"""Values of options: references resolved, loopback addresses replaced, and the new options as they grow. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from components import loopback, urls
from components.adoption.names import OptionNames
from components.adoption.oslo_files import Entry, Resolver, UnresolvedError
from components.adoption.report import Report
from components.adoption.tables import REFERENCE_DEFAULTS, TRANSPORT_URL
from components.heat.options import Name

_SERVER_OPTIONS = re.compile(r"(^|_)(host|hosts|hostname|server|servers|sentinels|ip)$")
_KEYSTONE_URLS = ("auth_uri", "auth_url", "identity_uri", "www_authenticate_uri", "endpoint_override")


def _keystone_url(value: str, address: str) -> str:
    """A URL of Keystone, which has no version 2 any more."""
    return re.sub(r"/v2\.0/?$", "/v3", loopback.rewrite_urls(value, address))


def _backend_argument(value: str, address: str) -> str:
    """An argument of the cache's backend, as `name:value`."""
    name, colon, rest = value.partition(":")
    if name in ("url", "host", "hosts", "server", "servers"):
        return name + colon + loopback.rewrite_servers(rest, address)
    return loopback.rewrite_urls(value, address)


def _unchanged(value: str, _: str) -> str:
    return value


# Options whose names say what their values are. In other values, URLs are searched for.
_REWRITES: dict[Name, loopback.Rewrite] = {
    TRANSPORT_URL: loopback.rewrite_transport_url,
    ("oslo_messaging_notifications", "transport_url"): loopback.rewrite_notification_url,
    ("cache", "backend_argument"): _backend_argument,
    **{
        ("database", option): loopback.rewrite_database_url
        for option in ("connection", "slave_connection", "asyncio_connection", "asyncio_slave_connection")
    },
}


class Values:
    """The options that are read, and the new options that are made of them.

    Attributes:
        entries: the options that are read.
        address: replaces loopback addresses.
        new: the new options' values.
        secret: the new options whose values are secrets.
    """

    def __init__(self, entries: Mapping[Name, Entry], address: str, names: OptionNames, report: Report) -> None:
        self.entries = entries
        self.address = address
        self.new: dict[Name, str] = {}
        self.secret: set[Name] = set()
        self._names, self._report = names, report

    def entry(self, name: Name) -> Entry | None:
        """An option that is read and not allowed by name: an allowed one is kept as it is."""
        return None if name in self._names.allow else self.entries.get(name)

    def resolve(self, entry: Entry) -> tuple[str, bool] | None:
        """An option's value without references, and whether a reference led to a secret.

        An option whose value cannot be resolved is refused; the result is then None.
        """
        try:
            return self._resolve(entry)
        except (UnresolvedError, loopback.UndecidableError) as problem:
            self._report.refuse(entry, str(problem))
            return None

    def _resolve(self, entry: Entry) -> tuple[str, bool]:
        names = self._names
        resolver = Resolver(self.entries, REFERENCE_DEFAULTS, names.is_known)
        lines = []
        for value in entry.values if names.is_repeatable(entry.name) else (entry.last,):
            line = resolver.resolve(entry.name[0], value, (entry.name,))
            if "\n" in line:
                if not names.is_list(entry.name):
                    raise loopback.UndecidableError("its value has several lines: write it on one line")
                line = " ".join(line.split("\n"))
            lines.append(line)
        secret = any(names.is_secret(name) or urls.has_login(self.entries[name].last) for name in resolver.used)
        return "\n".join(lines), secret

    def rewrite(self, name: Name, value: str) -> str:
        """A value as other hosts can use it.

        Raises:
            loopback.UndecidableError: it has a loopback address, and nobody can tell what it is on another host.
        """
        rewrite = self._rewrite_of(name)
        return "\n".join(rewrite(line, self.address) for line in value.split("\n"))

    def _rewrite_of(self, name: Name) -> loopback.Rewrite:
        section, key = name
        if name in _REWRITES:
            return _REWRITES[name]
        if self._names.is_secret(name):
            return _unchanged
        if section.startswith("cors"):
            # In an origin, a loopback address means the host of the browser.
            return loopback.refuse_loopback
        if key in _KEYSTONE_URLS:
            return _keystone_url
        return loopback.rewrite_servers if _SERVER_OPTIONS.search(key) else loopback.rewrite_urls

    def set(self, name: Name, value: str, *, secret: bool = False) -> None:
        """Set a new option."""
        self.new[name] = value
        if secret or self._names.is_secret(name) or urls.has_login(value):
            self.secret.add(name)
            self._report.hide(value)

    def add(self, name: Name, value: str, reason: str, *, secret: bool = False) -> None:
        """Set a new option that is in no file, and report it."""
        self.set(name, value, secret=secret)
        self._report.add(name, value, reason, secret=name in self.secret)
