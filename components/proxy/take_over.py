"""Hand the original APIs' addresses over to HAProxy on `up`, and back on `destroy`.

A program on the front host, programs/proxy/take_over.py, stops and starts the original processes.
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
    """A take-over of addresses on a host.

    Attributes:
        address: the address of all listeners.
        listeners: the name of each of HAProxy's listeners, with its port.
        keep_engine: whether the original engine keeps running.
    """

    address: str
    listeners: tuple[tuple[str, int], ...]
    keep_engine: bool

    def script(self, action: str, purpose: str) -> str:
        """Render the script that runs the program.

        Args:
            action: the program's action: look, take or give-back.
            purpose: a sentence for the script's first line.
        """
        spec = {
            "listeners": {name: [self.address, port] for name, port in self.listeners},
            "keep_engine": self.keep_engine,
        }
        return render("proxy/take-over.sh.j2", purpose=purpose, program=PROGRAM, action=action, spec=spec)

    @property
    def teardown(self) -> str:
        """The script that gives the addresses back."""
        return self.script("give-back", "Give the APIs' addresses back to the original processes, and stop HAProxy.")

    def inspect(self, host: Host, parent: pulumi.Resource) -> pulumi.Resource:
        """Find the processes that have the addresses, before anything changes."""
        program = host.file("take-over-program", PROGRAM, program_text("proxy/take_over.py"), parent=parent)
        text = self.script("look", "Find what serves the APIs' addresses now, and how HAProxy is configured.")
        return host.script("take-over-look", text, parent=parent, after=[program], show_output=True)

    def take(self, host: Host, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        """Hand the addresses over to HAProxy, after the APIs behind HAProxy run."""
        text = self.script("take", "Hand the APIs' addresses over from the original processes to HAProxy.")
        return host.script("take-over", text, parent=parent, after=after, show_output=True)
