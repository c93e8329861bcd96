"""The whole program with an adopted Heat, on the guide's machines."""

from __future__ import annotations

from tests.unit.program import Run, cached
from tests.unit.test_existing_hosts import KEY, hosts


def adopted_heat(**config: object) -> Run:
    return cached(hosts="existing", controlPlane="existing", adopt=True, sshPrivateKey=KEY, existing=hosts(), **config)
