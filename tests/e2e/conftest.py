from __future__ import annotations

import os
from typing import Any

import openstack
import pytest

from tests.e2e.lab import Stack


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The dev stack's shape, brought up from nothing. tests/e2e/run.sh has made the stack, and clears it away."""
    made = Stack(os.environ["STACK"])
    made.set("engines", 1)
    made.up()
    return made


@pytest.fixture(scope="session")
def cloud(stack: Stack) -> Any:  # openstacksdk's connection
    """A client of Heat, by the clouds.yaml that the stack wrote."""
    os.environ["OS_CLIENT_CONFIG_FILE"] = stack.outputs()["clouds_yaml"]
    return openstack.connect(cloud="heat")
