from __future__ import annotations

import os
from typing import Any

import openstack
import pytest

from tests.e2e.lab import Result, Stack


@pytest.fixture(scope="session")
def empty_stack() -> Stack:
    """A stack with the shape of the dev stack and no resources. tests/e2e/run.sh creates and removes it."""
    stack = Stack(os.environ["STACK"])
    stack.set("engines", 1)
    return stack


@pytest.fixture(scope="session")
def first_preview(empty_stack: Stack) -> Result:
    """The preview that an operator sees before the first `pulumi up`."""
    return empty_stack.pulumi("preview")


@pytest.fixture(scope="session")
def stack(empty_stack: Stack, first_preview: Result) -> Stack:  # noqa: ARG001 # the preview comes first
    """The same stack after its first `pulumi up`."""
    empty_stack.up()
    return empty_stack


@pytest.fixture(scope="session")
def cloud(stack: Stack) -> Any:  # openstacksdk's connection
    """A client of Heat with the login in the stack's clouds.yaml."""
    os.environ["OS_CLIENT_CONFIG_FILE"] = stack.outputs()["cloudsYamlPath"]
    return openstack.connect(cloud="heat")
