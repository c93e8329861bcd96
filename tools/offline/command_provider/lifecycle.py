"""Which of its commands a resource runs, and what its state is afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tools.offline.command_provider import inputs as accepted
from tools.offline.command_provider import local, remote
from tools.offline.command_provider.inputs import Object, Property, Type
from tools.offline.command_provider.operation import CommandError, Operation, Outputs
from tools.offline.command_provider.properties import Marked, Properties, is_unknown, plain, same

Run: TypeAlias = Callable[[str, Properties, Outputs, Operation], Awaitable[Outputs]]

_TEXT = Property(type=Type(name="string", accepts=str), required=True)
_OUTPUTS = {"stdout": _TEXT, "stderr": _TEXT}
_UNKNOWN = Marked(unknown=True)


@dataclass(frozen=True)
class Resource:
    """One of the kinds of resource."""

    inputs: Object
    run: Run

    async def create(self, inputs: Properties, operation: Operation | None) -> Properties:
        """Create the resource. Without an operation it is a preview, and no command runs."""
        if operation is None:
            return {**inputs, "stdout": _UNKNOWN, "stderr": _UNKNOWN}
        return await self._state(inputs, inputs.get("create"), Outputs(), operation)

    async def update(
        self, state: Properties, inputs: Properties, ignored: list[str], operation: Operation | None
    ) -> Properties:
        """Bring the resource from its state to new inputs."""
        previous = self._previous(state)
        inputs = {**inputs, **{name: state[name] for name in ignored if name in state}}
        if operation is None:
            changed = any(
                is_unknown(inputs.get(name)) or (name in state and not same(inputs.get(name), state[name]))
                for name in self.inputs.properties
            )
            after = (_UNKNOWN, _UNKNOWN) if changed else (previous.stdout, previous.stderr)
            return {**inputs, "stdout": after[0], "stderr": after[1]}
        command = inputs.get("update") if "update" in inputs else inputs.get("create")
        return await self._state(inputs, command, previous, operation)

    async def delete(self, state: Properties, operation: Operation) -> None:
        """Undo the resource."""
        previous = self._previous(state)
        command = plain(state.get("delete"))
        if command is not None:
            await self.run(command, plain(state), previous, operation)

    async def _state(self, inputs: Properties, command: object, previous: Outputs, operation: Operation) -> Properties:
        command = plain(command)
        outputs = previous
        if isinstance(command, str):
            outputs = await self.run(command, plain(inputs), previous, operation)
        return {**inputs, "stdout": outputs.stdout, "stderr": outputs.stderr}

    def _previous(self, state: Properties) -> Outputs:
        if error := accepted.decode_error(self.inputs, _OUTPUTS, state):
            raise CommandError(error)
        return Outputs(plain(state["stdout"]), plain(state["stderr"]))


RESOURCES = {
    "command:local:Command": Resource(accepted.LOCAL, local.run),
    "command:remote:Command": Resource(accepted.REMOTE, remote.run),
}


def new_id(urn: str) -> str:
    """An ID for a new resource: its name and eight random digits."""
    return urn.rpartition("::")[2] + secrets.token_hex(4)
