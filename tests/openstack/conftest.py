from __future__ import annotations

import os
from typing import Any

import openstack
import pytest

from tests.e2e.lab import Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """Two nodes on VMs, brought up from nothing. tests/openstack/run.sh has made the stack, and clears it away."""
    made = Stack(os.environ["STACK"])
    made.up()
    return made


@pytest.fixture(scope="session")
def project() -> Any:  # openstacksdk's connection
    """The project of the lab's cloud that everything is made in, as its member sees it."""
    return openstack.connect(cloud="lab")
