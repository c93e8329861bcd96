from __future__ import annotations

import os
from typing import Any

import openstack
import pytest

from tests.e2e.lab import Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Two nodes on VMs, after the first `pulumi up`. tests/openstack/run.sh creates and removes the stack."""
    made = Stack(os.environ["STACK"])
    made.up()
    return made


@pytest.fixture(scope="session")
def project() -> Any:  # openstacksdk's connection
    """The project of the lab's cloud, as its member sees it."""
    return openstack.connect(cloud="lab")
