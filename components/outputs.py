"""Render a template with Pulumi outputs among its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.rendering import render


def render_output(template: str, values: Mapping[str, pulumi.Input[Any]]) -> pulumi.Output[str]:
    """Render a template once all of its values are known. The text is a secret if a value is.

    Args:
        template: path below templates/.
        values: by the names that the template uses.
    """
    return pulumi.Output.all(**values).apply(lambda known: render(template, **known))
