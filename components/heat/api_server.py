"""What serves Heat's APIs on a node: uWSGI, or Heat's own programs."""

from __future__ import annotations

from dataclasses import dataclass

from components.heat.heat_conf import CONF_DIR
from components.topology import Kind


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """How much one API process serves at once: `processes` times `threads` requests under uWSGI.

    Attributes:
        processes: the number of worker processes.
        threads: the number of threads in each; not for `console`.
        console: run Heat's own program instead of uWSGI. Its processes have as many threads as they need.
        max_body: the largest body of a request, in bytes.
        max_header: the longest line of a request's headers, in bytes.
        extra: further lines for uWSGI's configuration.
    """

    processes: int = 1
    threads: int = 8
    console: bool = False
    max_body: int = 0
    max_header: int = 0
    extra: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        """The number of requests that one API process serves at once; 0 if the server sets no limit."""
        return 0 if self.console else self.processes * self.threads


def uwsgi_path(kind: Kind) -> str:
    """The path of uWSGI's configuration for a kind of API."""
    return f"{CONF_DIR}/uwsgi-{kind.value}.ini"
