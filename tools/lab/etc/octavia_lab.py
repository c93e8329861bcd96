"""A network driver for Octavia in the lab: the address that clients reach is a port of Neutron's, and there is no more.

Installed into the cloud's container by tools/lab/setup.sh, where Octavia is.
"""

from typing import Any

from octavia.network.drivers.neutron.allowed_address_pairs import (  # type: ignore[import-not-found]
    AllowedAddressPairsDriver,
)
from octavia.network.drivers.noop_driver.driver import NoopNetworkDriver  # type: ignore[import-not-found]

# What an address needs, and what the API looks at before it takes one.
_REAL = {"allocate_vip", "deallocate_vip", "get_subnet"}


class LabNetworkDriver:
    """Octavia's usual one for addresses, and for machines the one that does nothing."""

    def __init__(self) -> None:
        self._real, self._none = AllowedAddressPairsDriver(), NoopNetworkDriver()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # whatever the two have
        return getattr(self._real if name in _REAL else self._none, name)
