"""Scale a stack by Pulumi's Automation API: what a service or a scheduled job does instead of typing commands.

    . ./env.sh
    .venv/bin/python examples/automation/scale.py STACK ENGINES

Run it in the directory of the project. The stack must exist: `make up STACK=…` creates it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi import automation

ROOT = Path(__file__).resolve().parents[2]


def engines_of(outputs: Mapping[str, automation.OutputValue]) -> list[str]:
    """The engines that a stack's outputs name, such as "heat-engine@1 on node-1"."""
    processes: list[Mapping[str, Any]] = outputs["processes"].value
    return [f"{one['unit']} on {one['node']}" for one in processes if one["kind"] == "heat-engine"]


def scale(stack: automation.Stack, engines: int) -> list[str]:
    """Run `engines` engines in all. Fewer than before: each one that goes finishes its work first.

    Returns:
        The engines that run now.

    Raises:
        automation.CommandError: Pulumi has refused the setting, or a host has failed. The message says which and why.
    """
    stack.set_config("engines", automation.ConfigValue(str(engines)))
    planned = stack.preview().change_summary
    print(", ".join(f"{operation}: {count}" for operation, count in planned.items()))
    return engines_of(stack.up(on_output=print).outputs)


def main(arguments: list[str]) -> int:
    """Scale the stack that the first argument names."""
    name, engines = arguments
    stack = automation.select_stack(name, work_dir=str(ROOT))
    try:
        running = scale(stack, int(engines))
    except automation.CommandError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(running))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
