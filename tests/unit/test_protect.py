"""What cannot be deleted by mistake, on every kind of host, and that a refused `destroy` changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.program import MARK, Run, cached
from tests.unit.test_existing_hosts import KEY, hosts

EXISTING: dict[str, Any] = {"hosts": "existing", "sshPrivateKey": KEY, "existing": hosts()}
VMS: dict[str, Any] = {
    "hosts": "openstack", "subnet": "10.0.0.0/24", "openstack": {"sshFrom": ["198.51.100.0/24"]},
}  # fmt: skip
CONTROL: dict[str, Any] = {
    "controlPlane": "existing",
    "control": {"keystoneUrl": "https://keystone.example:5000", "memcached": ["10.0.0.9:11211"]},
    "databaseUrl": f"mysql+pymysql://heat:{MARK}.database@db.example/heat",
    "transportUrl": f"rabbit://heat:{MARK}.broker@mq.example:5672/heat",
    "servicePassword": f"{MARK}.service",
    "stackDomainAdminPassword": f"{MARK}.domain-admin",
}
KINDS: dict[str, dict[str, Any]] = {
    # Some nodes run no process.
    "containers": {"nodes": 3, "engines": 1, "apis": 1, "cfnApis": 1},
    "existing": EXISTING,
    "openstack": VMS,
    "octavia": {**VMS, "loadBalancer": "octavia"},
    "existing control plane": EXISTING | CONTROL,
    "adopted": {**EXISTING, "controlPlane": "existing", "adopt": True},
}
ADOPTED = KINDS["adopted"]
for_every_kind = pytest.mark.parametrize("kind", KINDS)


def protected(result: Run) -> set[str]:
    return {one.name for one in result.registered if one.request.protect}


@for_every_kind
def test_nothing_is_protected_without_the_setting(kind: str) -> None:
    assert protected(cached(**KINDS[kind], protect="false")) == set()


@for_every_kind
def test_keys_and_passwords_are_protected_with_the_setting(kind: str) -> None:
    result = cached(**KINDS[kind], protect="true")
    # No lasting data depends on the token cache's key.
    secrets = {name for name in result.by_name if name.startswith("secret-")} - {"secret-token-cache"}
    assert secrets <= protected(result)
    if kind in ("containers", "openstack"):
        assert {"front-machine", "network", "ssh-key", "front-host-key"} <= protected(result)
    assert not [name for name in protected(result) if name.startswith("node-")], "a node too many has to go"


@pytest.mark.parametrize(
    ("config", "kept"),
    [({}, False), (EXISTING, True), (EXISTING | CONTROL, True), (VMS, True), (ADOPTED, False)],
    ids=["containers", "existing", "existing control plane", "openstack", "adopted"],
)
def test_hosts_other_than_containers_are_protected_by_default(config: dict[str, Any], kept: bool) -> None:
    assert bool(protected(cached(**config))) is kept
