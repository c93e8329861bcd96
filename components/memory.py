"""Memory limits of the systemd units, as values of MemoryMax=. Pure.

The kernel kills a process of a unit that exceeds its limit, and systemd or the process's own master restarts it.
Without a limit, the kernel chooses a victim among all processes of the host. Each default is several times the
measured use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.topology import Kind

# systemd's word for no limit.
UNLIMITED = "infinity"
_MEGABYTES = {"M": 1, "G": 1024}


def megabytes(size: str) -> int:
    """A limit such as "2G" in MiB; 0 if the text is no such limit."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([MG])", size)
    return int(found[1]) * _MEGABYTES[found[2]] if found else 0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A limit for each kind of unit: an integer with M or G, or "infinity" for none.

    Attributes:
        haproxy: the proxy in front of Heat's APIs.
        keystone_proxy: the proxy in front of the bundled Keystone.
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
        """RabbitMQ blocks publishers above this, well before the kernel kills it. "" without a limit."""
        if self.broker == UNLIMITED:
            return ""
        return f"{megabytes(self.broker) * 6 // 10}MiB"


DEFAULTS = Memory()
