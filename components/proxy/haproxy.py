"""HAProxy on the front host, at the addresses of the original APIs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.memory import Memory
from components.proxy.take_over import TakeOver
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process, of_kind

CONF = "/etc/haproxy/haproxy.cfg"
# programs/proxy/leave.lua, about APIs that hang. Its resource is haproxy-leave-program, and unrelated to haproxy-leave,
# the script of a `destroy`.
_HANGING_API_PROGRAM = "/etc/haproxy/heat-scaleout-leave.lua"
# Seconds that a reload waits for the old worker to exit. A worker with idle clients exits after `timeout http-request`.
_OLD_WORKER_TIMEOUT = 30

# Bytes that uWSGI accepts as a request's headers, which have the URL twice, and the part of them that it adds itself.
UWSGI_BUFFER, _UWSGI_ADDS = 65535, 2048
# Bodies above this size (bytes) are counted. Of smaller ones a client cannot send enough at once to matter.
_LARGE_BODY = 65536
# A client may send one large body at a time for every so many connections that it may have.
_CONNECTIONS_FOR_A_LARGE_BODY = 16
_PAGE = 16384


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of requests, in bytes, and of one client.

    Attributes:
        body: the largest body.
        header: the largest size of all headers together.
        client_connections: the connections that one client may have at once.
    """

    body: int
    header: int
    client_connections: int

    @property
    def longest_url(self) -> int:
        """The longest URL, in bytes."""
        return (UWSGI_BUFFER - _UWSGI_ADDS - self.header) // 2

    @property
    def buffer(self) -> int:
        """The size of HAProxy's buffer for a request, with room for its changes and its own bookkeeping, in bytes."""
        return -(-(self.body + 2 * self.header + 2 * _PAGE) // _PAGE) * _PAGE

    @property
    def large(self) -> int:
        """The size above which a body is counted as large, in bytes."""
        return _LARGE_BODY

    @property
    def large_bodies(self) -> int:
        """How many large bodies one client may send at once."""
        return max(1, self.client_connections // _CONNECTIONS_FOR_A_LARGE_BODY)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One API, as clients see it. `name` is the guide's, `extra` an operator's own lines."""

    kind: Kind
    name: str
    port: int
    processes: Sequence[Process]
    extra: Sequence[str] = ()


def listeners(
    processes: Sequence[Process], *, ports: Mapping[Kind, int], extra: Mapping[Kind, Sequence[str]] | None = None
) -> tuple[Listener, ...]:
    """One for each kind of API, with the planned processes behind it."""
    return tuple(
        Listener(
            kind=kind,
            name=api.listener,
            port=ports[kind],
            processes=of_kind(processes, kind),
            extra=(extra or {}).get(kind, ()),
        )
        for kind, api in APIS.items()
    )


def configuration(
    address: str,
    fronted: Sequence[Listener],
    *,
    haproxy: Mapping[str, object],
    limits: Limits,
    at_once: int,
    stats_port: int,
    stats_allow: Sequence[str],
    lua_program: str = _HANGING_API_PROGRAM,
) -> str:
    """Render haproxy.cfg.

    Args:
        address: the front host's address, at which the original APIs were.
        fronted: the listeners.
        haproxy: HAProxy's settings (limits, durations, extra lines), by the names in the template.
        limits: the limits of requests.
        at_once: how many requests one API serves at once; 0 if the API has no limit of its own.
        stats_port: the port of the statistics page.
        stats_allow: the networks that may see that page, besides the host itself.
        lua_program: the path of programs/proxy/leave.lua on the host.
    """
    return render(
        "proxy/haproxy.cfg.j2",
        address=address,
        listeners=fronted,
        haproxy=haproxy,
        limits=limits,
        at_once=at_once,
        stats_port=stats_port,
        stats_allow=stats_allow,
        lua_program=lua_program,
    )


class FrontProxy(pulumi.ComponentResource):
    """HAProxy, running with a configuration.

    Attributes:
        running: done when HAProxy runs with the configuration.
        digest: SHA-256 of the configuration and the Lua program that it loads, in hexadecimal.
        internal_address: where HAProxy listens, as hosts reach it.
        socket: the path of its admin socket on the host.
    """

    running: list[pulumi.Resource]
    digest: str
    internal_address: pulumi.Output[str]
    socket = "/run/haproxy/admin.sock"

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        text: str,
        after: Sequence[pulumi.Resource],
        memory: str = Memory.haproxy,
        take_over: TakeOver | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Install HAProxy and run it with a configuration.

        Args:
            name: the component's name.
            host: the front host.
            text: haproxy.cfg.
            after: what must be done before the proxy sends requests, such as starting the APIs.
            memory: HAProxy's memory limit, as systemd's MemoryMax has it.
            take_over: the hand-over from the processes that may have the addresses; None if there are none.
            opts: options of the component.
        """
        super().__init__("heat:front:FrontProxy", name, {}, opts)
        program = program_text("proxy/leave.lua")
        self.digest = hashlib.sha256((text + program).encode()).hexdigest()
        self.internal_address = pulumi.Output.from_input(host.address)
        inspected = [take_over.inspect(host, self)] if take_over else []
        installed = host.script("haproxy-install", render("proxy/install.sh.j2"), parent=self, after=inspected)
        lua = host.file("haproxy-leave-program", _HANGING_API_PROGRAM, program, parent=self, after=[installed])
        conf = host.file(
            # -dW: a warning refuses the file as an error does. It means that a line has no effect.
            "haproxy-cfg", CONF, text, check="haproxy -c -dW -f", parent=self, after=[lua, *after]
        )  # fmt: skip
        ready: list[pulumi.Resource] = [conf, host.limit_memory("haproxy", memory, parent=self, after=[installed])]
        if take_over:
            # Before the take-over: `destroy` must give the addresses back even if this `up` is killed in the middle.
            teardown = self._on_destroy(host, take_over.teardown, [conf, *after])
            ready = [take_over.take(host, self, [*ready, teardown])]
        run = render("proxy/run.sh.j2", digest=self.digest, old_worker_timeout=_OLD_WORKER_TIMEOUT, memory=memory)
        self.running = [host.script("haproxy", run, parent=self, after=ready)]
        if not take_over:
            self._on_destroy(host, render("proxy/teardown.sh.j2"), [*self.running, *after])
        self.register_outputs({"internal_address": self.internal_address, "digest": self.digest})

    def _on_destroy(self, host: Host, text: str, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return host.on_destroy(
            "haproxy-leave",
            text,
            if_unreachable="should it come back, HAProxy runs on; stop it there: systemctl disable --now haproxy",
            parent=self,
            after=after,
        )
