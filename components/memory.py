"""How much memory a unit may use, as systemd's MemoryMax= has it.

The kernel ends a process of a unit that goes beyond, and systemd or the process's own master starts it again. Without a
limit the kernel chooses a victim among everything on the host. Each default is several times what was measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pulumi

from components.remote import Host
from components.rendering import render
from components.topology import Kind

# No limit, as systemd writes it.
NONE = "infinity"
_MEGABYTES = {"M": 1, "G": 1024}


def megabytes(size: str) -> int:
    """A limit as a number; 0 where the text is no limit, or none at all."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([MG])", size)
    return int(found[1]) * _MEGABYTES[found[2]] if found else 0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A limit for each kind of unit: a number with M or G, or "infinity" for none.

    `haproxy` is the proxy of Heat's APIs, `keystone_proxy` the one in front of the bundled Keystone.
    """

    engine: str = "4G"
    api: str = "2G"
    cfn_api: str = "2G"
    caretaker: str = "1G"
    haproxy: str = "1G"
    keystone: str = "3G"
    keystone_proxy: str = "1G"
    database: str = "4G"
    broker: str = "2G"
    cache: str = "512M"

    def of(self, kind: Kind) -> str:
        """The limit of one process of a kind."""
        return {Kind.ENGINE: self.engine, Kind.API: self.api, Kind.CFN: self.cfn_api}[kind]

    @property
    def broker_watermark(self) -> str:
        """Above this RabbitMQ takes no more messages, well before the kernel ends it. "" without a limit."""
        if self.broker == NONE:
            return ""
        return f"{megabytes(self.broker) * 6 // 10}MiB"


USUAL = Memory()


def limit_of(
    host: Host, unit: str, size: str, *, parent: pulumi.Resource, after: list[pulumi.Resource]
) -> pulumi.Resource:
    """Limit a unit of the distribution. The unit's script has systemd read it: templates/scripts/memory.inc.sh."""
    path = f"/etc/systemd/system/{unit}.service.d/heat-scaleout-memory.conf"
    return host.file(f"{unit}-memory", path, render("scripts/memory.conf.j2", size=size), parent=parent, after=after)
