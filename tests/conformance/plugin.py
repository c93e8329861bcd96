"""A provider plugin as the engine sees it: a process that prints a port, and a gRPC service on it.

Everything that a plugin answers comes back as plain data, so that the answers of two plugins can be compared.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from tools.offline.command_provider.properties import Properties, from_wire, to_wire

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"

# The engine's own limit.
_OPTIONS = [("grpc.max_receive_message_length", 400 << 20), ("grpc.absolute_max_metadata_size", 64 << 20)]


def urn(type_: str, name: str) -> str:
    """The URN of a resource in a stack of its own."""
    return f"urn:pulumi:test::conformance::{type_}::{name}"


@dataclass(frozen=True)
class Line:
    """A line of a plugin's log."""

    severity: str
    message: str
    urn: str
    status: bool


class _Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.lines: list[Line] = []

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, ARG002
        severity = engine_pb2.LogSeverity.Name(request.severity)
        self.lines.append(Line(severity, request.message, request.urn, request.ephemeral))
        return empty_pb2.Empty()


@dataclass
class Answer:
    """The outcome of a call: a result, or an error with its gRPC code."""

    result: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    code: str | None = None

    def __getitem__(self, key: str) -> Any:
        assert self.error is None, f"{self.code}: {self.error}"
        return self.result[key]


class Plugin:
    """A running plugin, configured as the engine configures it."""

    def __init__(self, binary: Path, *, environment: Mapping[str, str], directory: Path) -> None:
        self._engine = _Engine()
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        engine_pb2_grpc.add_EngineServicer_to_server(self._engine, self._server)
        engine_port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.process = subprocess.Popen(
            [binary, f"127.0.0.1:{engine_port}"],
            stdout=subprocess.PIPE,
            env=dict(environment),
            cwd=directory,
            text=True,
        )
        assert self.process.stdout
        port = self.process.stdout.readline().strip()
        assert port.isdigit(), f"{binary} printed {port!r} and no port"
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self.configured = self._call(
            "Configure",
            provider_pb2.ConfigureRequest(
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )

    def close(self) -> None:
        """End the plugin as the engine does."""
        self._channel.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self._server.stop(None)

    def log(self, type_: str, name: str) -> list[Line]:
        """What was logged for a resource so far."""
        return [line for line in self._engine.lines if line.urn == urn(type_, name)]

    def info(self) -> Answer:
        return self._call("GetPluginInfo", empty_pb2.Empty())

    def cancel(self) -> Answer:
        return self._call("Cancel", empty_pb2.Empty())

    def check_config(self) -> Answer:
        return self._call("CheckConfig", provider_pb2.CheckRequest(news=to_wire({"version": "1.2.1"})))

    def diff_config(self, old: Properties, new: Properties) -> Answer:
        request = provider_pb2.DiffRequest(olds=to_wire(old), old_inputs=to_wire(old), news=to_wire(new))
        return self._call("DiffConfig", request)

    def check(self, type_: str, inputs: Properties, name: str = "it") -> Answer:
        return self._call("Check", provider_pb2.CheckRequest(urn=urn(type_, name), news=to_wire(inputs)))

    def diff(
        self,
        type_: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        ignore: list[str] | None = None,
    ) -> Answer:
        request = provider_pb2.DiffRequest(
            urn=urn(type_, "it"),
            id="it01234567",
            old_inputs=to_wire(old_inputs),
            olds=to_wire(state),
            news=to_wire(inputs),
            ignoreChanges=ignore or [],
        )
        return self._call("Diff", request)

    def create(
        self, type_: str, inputs: Properties, *, preview: bool = False, timeout: float = 0, name: str = "it"
    ) -> Answer:
        request = provider_pb2.CreateRequest(
            urn=urn(type_, name), properties=to_wire(inputs), preview=preview, timeout=timeout
        )
        return self._call("Create", request)

    def update(
        self,
        type_: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        *,
        preview: bool = False,
        timeout: float = 0,
        ignore: list[str] | None = None,
        name: str = "it",
    ) -> Answer:
        request = provider_pb2.UpdateRequest(
            urn=urn(type_, name),
            id="it01234567",
            old_inputs=to_wire(old_inputs),
            olds=to_wire(state),
            news=to_wire(inputs),
            preview=preview,
            timeout=timeout,
            ignoreChanges=ignore or [],
        )
        return self._call("Update", request)

    def delete(self, type_: str, state: Properties, *, timeout: float = 0, name: str = "it") -> Answer:
        request = provider_pb2.DeleteRequest(
            urn=urn(type_, name), id="it01234567", properties=to_wire(state), timeout=timeout
        )
        return self._call("Delete", request)

    def read(self, type_: str, inputs: Properties, state: Properties) -> Answer:
        request = provider_pb2.ReadRequest(
            urn=urn(type_, "it"), id="it01234567", properties=to_wire(state), inputs=to_wire(inputs)
        )
        return self._call("Read", request)

    def _call(self, method: str, request: Any) -> Answer:
        try:
            response = getattr(self._stub, method)(request, timeout=60)
        except grpc.RpcError as error:
            call: Any = error
            return Answer(error=call.details(), code=call.code().name)
        return Answer(_as_data(response))


def _as_data(message: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for descriptor in message.DESCRIPTOR.fields:
        value = getattr(message, descriptor.name)
        if descriptor.message_type and descriptor.message_type.full_name == "google.protobuf.Struct":
            result[descriptor.name] = from_wire(value)
        elif descriptor.name == "detailedDiff":
            kinds = provider_pb2.PropertyDiff.Kind
            result["detailedDiff"] = {path: (kinds.Name(d.kind), d.inputDiff) for path, d in value.items()}
        elif descriptor.name == "failures":
            result["failures"] = sorted((failure.property, failure.reason) for failure in value)
        elif isinstance(value, str | bool | int | float):
            result[descriptor.name] = value
        else:
            result[descriptor.name] = sorted(value)
    return result


# For calls that run while a test continues.
in_background = futures.ThreadPoolExecutor(8).submit
