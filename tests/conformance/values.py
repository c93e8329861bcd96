"""Marked values, for the cases."""

from tools.offline.command_provider.properties import Marked, Value

UNKNOWN = Marked(unknown=True)


def secret(value: Value) -> Marked:
    return Marked(value=value, secret=True)
