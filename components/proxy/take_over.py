"""The addresses of the APIs that ran before: to HAProxy on `up`, and back on `destroy`.

What stops and starts the original processes is a program on the front host, programs/proxy/take_over.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.remote import Host
from components.rendering import program_text, render

PROGRAM = "/usr/local/lib/heat-scaleout/take_over.py"


@dataclass(frozen=True, kw_only=True)
class TakeOver:
    """What is taken over on a host.

    `listeners` are HAProxy's, with the port of each, on `address`. The engine that ran there before goes on, or makes
    room as well.
    """

    address: str
    listeners: tuple[tuple[str, int], ...]
    keep_engine: bool

    def text(self, action: str, purpose: str) -> str:
        """The script for an action of the program."""
        spec = {
            "listeners": {name: [self.address, port] for name, port in self.listeners},
            "keep_engine": self.keep_engine,
        }
        return render("proxy/take-over.sh.j2", purpose=purpose, program=PROGRAM, action=action, spec=spec)

    @property
    def teardown(self) -> str:
        """What puts everything back."""
        return self.text("give-back", "What served the APIs' addresses before has them back, and HAProxy leaves.")

    def look(self, host: Host, parent: pulumi.Resource) -> pulumi.Resource:
        """See what there is to be taken over, before anything is changed."""
        program = host.file("take-over-program", PROGRAM, program_text("proxy/take_over.py"), parent=parent)
        text = self.text("look", "What serves the APIs' addresses now, and what HAProxy is here before it is used.")
        return host.script("take-over-look", text, parent=parent, after=[program], show_output=True)

    def run(self, host: Host, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Have HAProxy take the addresses, once all of `after` is there to answer behind it."""
        text = self.text("take", "HAProxy for what served the APIs' addresses before.")
        return host.script("take-over", text, parent=parent, after=after, show_output=True)
