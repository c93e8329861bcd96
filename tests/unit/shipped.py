"""Programs that are shipped to hosts, as modules."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from components.rendering import PROGRAMS


def shipped_program(path: str) -> ModuleType:
    """Load a program below programs/, such as "proxy/take_over.py", without running it."""
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].removesuffix(".py"), PROGRAMS / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
