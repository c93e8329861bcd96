"""Lines of an operator's own, for haproxy.cfg and uWSGI's configuration: none that a setting or this program says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from components.timeouts import LINKS
from infra.settings.model import LISTENER_LINES, HaproxySettings, Settings
from infra.settings.reader import Reader, camel

# What begins a section of haproxy.cfg.
_SECTIONS = {
    "acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "http-errors", "listen",
    "log-forward", "log-profile", "mailers", "namespace_list", "peers", "program", "resolvers", "ring", "traces",
    "userlist",
}  # fmt: skip
# Settings by the first words of the lines that they are in haproxy.cfg, by where those would stand.
_SERVER = {"timeout server": "timeouts.proxyServer"}
_TAKEN: dict[str, dict[str, str]] = {
    "extra_global": {"maxconn": "haproxy.globalMaxconn", "tune.bufsize": "haproxy.maxBody"},
    "extra_defaults": {
        **{name: f"haproxy.{name}" for name in ("maxconn", "retries", "balance")},
        **{
            item.name.replace("_", " ", 1).replace("_", "-"): f"haproxy.{camel(item.name)}"
            for item in dataclasses.fields(HaproxySettings)
            if item.name.startswith("timeout_")
        },
        **_SERVER,
    },
    **dict.fromkeys(LISTENER_LINES.values(), _SERVER),
}
# The same for the keys of uWSGI; those without a setting are as they are for a reason: templates/heat/uwsgi.ini.j2.
UWSGI: dict[str, str] = {
    "processes": "apiProcesses",
    "workers": "apiProcesses",
    "threads": "apiThreads",
    "socket-timeout": "timeouts.uwsgi",
    "worker-reload-mercy": "timeouts.uwsgi",
    **dict.fromkeys(
        (
            "buffer-size", "enable-threads", "hook-master-start", "http-socket", "lazy-apps", "log-format",
            "limit-post", "log-x-forwarded-for", "master", "module", "need-app", "pyargv", "strict", "thunder-lock",
            "wsgi-file",
        ),
        "",
    ),
}  # fmt: skip


# Two names for one.
_OTHER_NAMES = {"logformat": "log-format", "file": "wsgi-file", "wsgi": "module"}


def check_lines(settings: Settings, reader: Reader) -> None:
    """Each line for itself; whether the program that reads it knows it is for that one to say, on its host."""
    for name, taken in _TAKEN.items():
        for index, line in enumerate(getattr(settings.haproxy, name)):
            if rule := _not_haproxys(line, taken):
                reader.refuse(f"haproxy.{camel(name)}[{index}]", line, rule)
    for index, line in enumerate(settings.uwsgi_extra):
        console = "the APIs run without uWSGI: apiRunner = console" if settings.api_runner == "console" else ""
        if rule := console or _not_uwsgis(line, settings):
            reader.refuse(f"uwsgiExtra[{index}]", line, rule)


def _not_haproxys(line: str, taken: Mapping[str, str]) -> str:
    """Why this is no line to be put into a section of haproxy.cfg as it is; empty where it is one."""
    words = re.split(r"[ \t]+", line.strip(" \t"))
    # These two come before the keyword that they turn round.
    if words[0] in ("no", "default"):
        words = words[1:]
    # HAProxy takes quotes, backslashes, variables and the start of a comment from within a word, and words with a dot
    # before them for conditions: a keyword is written as it is, so that it is clear what the line does.
    if not words or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", words[0]):
        return "must be one line of haproxy.cfg that begins with its keyword, without quotes and without # before it"
    if words[0] in _SECTIONS:
        return "this would begin a section of its own"
    if not _closed(line):
        return "must close its quotes, and must not end with a backslash"
    setting = taken.get(words[0]) or taken.get(" ".join(words[:2]))
    return f"{setting} says this" if setting else ""


def _closed(line: str) -> bool:
    """Whether no quote and no backslash of a line of haproxy.cfg reaches beyond its end."""
    plain = r"[^'\"\\]|\\."
    return bool(re.fullmatch(rf"(?:{plain}|'[^']*'|\"(?:[^\"\\]|\\.)*\")*", line))


def _not_uwsgis(line: str, settings: Settings) -> str:
    """The same for uWSGI's configuration."""
    match = re.fullmatch(r"\s*([a-z0-9-]+)\s*=\s*(\S.*)", line)
    if not match:
        return "one line of uWSGI's is wanted, such as max-requests = 1000"
    key, value = match.groups()
    key = _OTHER_NAMES.get(key, key)
    if key in UWSGI:
        return f"{UWSGI[key]} says this" if UWSGI[key] else "this program sets it itself, and for a reason"
    rpc = settings.timeouts.rpc_response
    # uWSGI reads %(name), %n, $(NAME) and @(file) as other values.
    if re.search(r"%|[$@]\(", value):
        return "must not use %, $( or @(, where uWSGI puts something else"
    if key == "harakiri" and not (re.fullmatch(r"[0-9]{1,9}", value) and int(value) > rpc):
        return f"must be longer than timeouts.rpcResponse ({rpc} s), or {LINKS[0].consequence}"
    return ""
