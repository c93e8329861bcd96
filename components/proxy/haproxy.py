"""HAProxy on the front host, on the addresses where the original APIs were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.memory import Memory, limit_of
from components.proxy.take_over import TakeOver
from components.remote import Host
from components.rendering import program_text, render
from components.topology import APIS, Kind, Process, of_kind

CONF = "/etc/haproxy/haproxy.cfg"
_LEAVE = "/etc/haproxy/heat-scaleout-leave.lua"
# Seconds that a reload waits for the worker before: one whose clients are idle is left after timeoutHttpRequest.
_LEAVE_TIMEOUT = 30


# What uWSGI takes of a request's headers, in which it has the URL twice, and of that what it adds to them itself.
UWSGI_BUFFER, _UWSGI_ADDS = 65535, 2048
# Bodies above this size are counted: of the others a client cannot send enough at once to matter.
_LARGE_BODY = 65536
# For so many connections of a client one of its large bodies may be on its way.
_CONNECTIONS_FOR_A_LARGE_BODY = 16
_PAGE = 16384


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may be at most, in bytes.

    Attributes:
        body: of it.
        header: all of its headers.
        client_connections: of one client at once.
    """

    body: int
    header: int
    client_connections: int

    @property
    def url(self) -> int:
        """The longest URL."""
        return (UWSGI_BUFFER - _UWSGI_ADDS - self.header) // 2

    @property
    def buffer(self) -> int:
        """What HAProxy needs to hold one, with room for what it changes and for its own bookkeeping."""
        return -(-(self.body + 2 * self.header + 2 * _PAGE) // _PAGE) * _PAGE

    @property
    def large(self) -> int:
        """A body above this is a large one."""
        return _LARGE_BODY

    @property
    def large_bodies(self) -> int:
        """How many of those one client may have on their way."""
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
    leave: str = _LEAVE,
) -> str:
    """haproxy.cfg.

    Args:
        address: the front host's, where the original APIs were.
        fronted: what it listens for.
        haproxy: its own numbers and durations, by the names of the template.
        limits: what a request may be.
        at_once: how many requests one API serves at once; 0 where it has no limit of its own.
        stats_port: where the statistics page is.
        stats_allow: the networks that may see it, beside the host itself.
        leave: where programs/proxy/leave.lua is.
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
        leave=leave,
    )


class FrontProxy(pulumi.ComponentResource):
    """The proxy, running with a configuration.

    Attributes:
        running: done when HAProxy has taken the configuration over.
        digest: of the configuration, with the program that it loads.
        inside: where it listens.
        socket: where it is asked what it knows of the APIs.
    """

    running: list[pulumi.Resource]
    digest: str
    inside: pulumi.Output[str]
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
        """Install HAProxy and have it run with `text`.

        Args:
            name: the component's name.
            host: the front host.
            text: haproxy.cfg.
            after: what must be there before the proxy sends requests, such as the APIs.
            memory: what HAProxy may use.
            take_over: what has the proxy's addresses until then, if anything has.
            opts: of the component.
        """
        super().__init__("heat:front:FrontProxy", name, {}, opts)
        program = program_text("proxy/leave.lua")
        self.digest = hashlib.sha256((text + program).encode()).hexdigest()
        self.inside = pulumi.Output.from_input(host.address)
        looked = [take_over.look(host, self)] if take_over else []
        installed = host.script("haproxy-install", render("proxy/install.sh.j2"), parent=self, after=looked)
        leave = host.file("haproxy-leave-program", _LEAVE, program, parent=self, after=[installed])
        conf = host.file(
            # -dW: a warning refuses the file as an error does; it says that a line does nothing.
            "haproxy-cfg", CONF, text, check="haproxy -c -dW -f", parent=self, after=[leave, *after]
        )  # fmt: skip
        ready: list[pulumi.Resource] = [conf, limit_of(host, "haproxy", memory, parent=self, after=[installed])]
        if take_over:
            # First: what an `up` that is killed right then has taken, `destroy` has to give back.
            leaving = self._on_destroy(host, take_over.teardown, [conf, *after])
            ready = [take_over.run(host, self, [*ready, leaving])]
        run = render("proxy/run.sh.j2", digest=self.digest, leave_timeout=_LEAVE_TIMEOUT, memory=memory)
        self.running = [host.script("haproxy", run, parent=self, after=ready)]
        if not take_over:
            self._on_destroy(host, render("proxy/teardown.sh.j2"), [*self.running, *after])
        self.register_outputs({})

    def _on_destroy(self, host: Host, text: str, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        return host.on_destroy(
            "haproxy-leave",
            text,
            undone="should it come back, HAProxy runs on; stop it there: systemctl disable --now haproxy",
            parent=self,
            after=after,
        )
