"""Pulumi's ResourceProvider service, and the process that serves it."""

# The protocol names the methods, and gives each a context.
# ruff: noqa: ARG002, N802

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from google.protobuf.message_factory import GetMessageClass
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2

from tools.offline.command_provider import inputs
from tools.offline.command_provider.difference import difference
from tools.offline.command_provider.lifecycle import RESOURCES, Resource, new_id
from tools.offline.command_provider.operation import CommandError, Operation, Operations
from tools.offline.command_provider.properties import from_wire, to_wire

# The version of the plugin that this stand-in replaces, and that of its framework, which the plugin stores in the
# provider's state: a stack that changes from one plugin to the other must see no difference.
VERSION = "1.2.1"
_FRAMEWORK = {"__pulumi-go-provider-version": "1.2.0"}

_MESSAGE_LIMIT = 400 << 20
_ENGINE_GONE_SECONDS = 30

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Request: TypeAlias = provider_pb2.CreateRequest | provider_pb2.UpdateRequest | provider_pb2.DeleteRequest


class Provider:
    """The methods of the service, by their names in the protocol; it answers the others as unimplemented."""

    def __init__(self, engine: str) -> None:
        self._operations = Operations()
        self._connect(engine)

    def _connect(self, engine: str) -> None:
        # The engine is on this machine: no proxy of the environment applies.
        self.channel = grpc.aio.insecure_channel(engine, options=[("grpc.enable_http_proxy", 0)])
        self._engine = engine_pb2_grpc.EngineStub(self.channel)

    async def _log(self, line: engine_pb2.LogRequest) -> None:
        # The stubs know only the blocking kind of call.
        answer: Any = self._engine.Log(line)
        await answer

    def _operation(self, request: _Request) -> contextlib.AbstractAsyncContextManager[Operation]:
        return self._operations.begin(request.urn, self._log, request.timeout)

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: _Context) -> plugin_pb2.PluginInfo:
        """Report the version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    async def Attach(self, request: plugin_pb2.PluginAttach, context: _Context) -> empty_pb2.Empty:
        """Serve another engine."""
        self._connect(request.address)
        return empty_pb2.Empty()

    async def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: _Context
    ) -> provider_pb2.GetSchemaResponse:
        """Give the name and the version; a Python program needs no more."""
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "command", "version": "{VERSION}"}}')

    async def CheckConfig(self, request: provider_pb2.CheckRequest, context: _Context) -> provider_pb2.CheckResponse:
        """Accept the provider's configuration; there is none."""
        return provider_pb2.CheckResponse(inputs=to_wire({**from_wire(request.news), **_FRAMEWORK}))

    async def Configure(
        self, request: provider_pb2.ConfigureRequest, context: _Context
    ) -> provider_pb2.ConfigureResponse:
        """Report which features of the protocol are supported."""
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    async def Cancel(self, request: empty_pb2.Empty, context: _Context) -> empty_pb2.Empty:
        """Stop what is under way."""
        self._operations.cancel()
        return empty_pb2.Empty()

    async def Check(self, request: provider_pb2.CheckRequest, context: _Context) -> provider_pb2.CheckResponse:
        """Check a resource's inputs."""
        resource = await _resource(request.urn, context)
        checked = inputs.check(resource.inputs, from_wire(request.news))
        failures = [provider_pb2.CheckFailure(property=name, reason=reason) for name, reason in checked.failures]
        return provider_pb2.CheckResponse(inputs=to_wire(checked.inputs), failures=failures)

    async def Diff(self, request: provider_pb2.DiffRequest, context: _Context) -> provider_pb2.DiffResponse:
        """Report what an update would change."""
        await _resource(request.urn, context)
        state = from_wire(request.olds)
        news = from_wire(request.news)
        news.update({name: state[name] for name in request.ignoreChanges if name in state})
        found = difference(from_wire(request.old_inputs), news, inputs.REPLACING)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found.detailed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=found.changed,
            replaces=found.replacing,
            detailedDiff={path: provider_pb2.PropertyDiff(kind=kind) for path, kind in found.detailed.items()},
            hasDetailedDiff=True,
        )

    async def Create(self, request: provider_pb2.CreateRequest, context: _Context) -> provider_pb2.CreateResponse:
        """Create a resource."""
        resource = await _resource(request.urn, context)
        given = from_wire(request.properties)
        if request.preview:
            state = await resource.create(given, None)
        else:
            async with _errors_to(context), self._operation(request) as operation:
                state = await resource.create(given, operation)
        return provider_pb2.CreateResponse(id=new_id(request.urn), properties=to_wire(state))

    async def Read(self, request: provider_pb2.ReadRequest, context: _Context) -> provider_pb2.ReadResponse:
        """Return the known state: nothing can be read back."""
        await _resource(request.urn, context)
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Update(self, request: provider_pb2.UpdateRequest, context: _Context) -> provider_pb2.UpdateResponse:
        """Update a resource."""
        resource = await _resource(request.urn, context)
        old, new, ignored = from_wire(request.olds), from_wire(request.news), list(request.ignoreChanges)
        async with _errors_to(context):
            if request.preview:
                state = await resource.update(old, new, ignored, None)
            else:
                async with self._operation(request) as operation:
                    state = await resource.update(old, new, ignored, operation)
        return provider_pb2.UpdateResponse(properties=to_wire(state))

    async def Delete(self, request: provider_pb2.DeleteRequest, context: _Context) -> empty_pb2.Empty:
        """Undo a resource."""
        resource = await _resource(request.urn, context)
        async with _errors_to(context), self._operation(request) as operation:
            await resource.delete(from_wire(request.properties), operation)
        return empty_pb2.Empty()


async def _resource(urn: str, context: _Context) -> Resource:
    token = urn.split("::")[2].rpartition("$")[2]
    if token not in RESOURCES:
        name = token.removeprefix("command:")
        await context.abort(
            grpc.StatusCode.NOT_FOUND,
            f"Resource '{name}' not found: the stand-in for the command plugin has only " + " and ".join(RESOURCES),
        )
    return RESOURCES[token]


@contextlib.asynccontextmanager
async def _errors_to(context: _Context) -> AsyncIterator[None]:
    try:
        yield
    except CommandError as error:
        await context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except UnicodeDecodeError:
        why = "grpc: error while marshaling: string field contains invalid UTF-8"
        await context.abort(grpc.StatusCode.INTERNAL, why)


def _handlers(provider: Provider) -> grpc.GenericRpcHandler:
    service = provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"]
    handlers: dict[str, Any] = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(provider, method.name),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in service.methods
        if hasattr(provider, method.name)
    }
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


async def serve(engine: str) -> None:
    """Serve until the engine exits. Usually the engine ends this process long before that is noticed here."""
    provider = Provider(engine)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT),
        ]
    )
    server.add_generic_rpc_handlers((_handlers(provider),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await _engine_gone(provider)
    await server.stop(None)


async def _engine_gone(provider: Provider) -> None:
    while True:
        channel = provider.channel
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        try:
            await asyncio.wait_for(channel.channel_ready(), _ENGINE_GONE_SECONDS)
        except asyncio.TimeoutError:
            if channel is provider.channel:
                return


def main(arguments: list[str]) -> None:
    """Start as the engine starts a plugin: the last argument is the engine's address."""
    if not arguments:
        sys.exit("usage: pulumi-resource-command ENGINE_ADDRESS")
    asyncio.run(serve(arguments[-1]))
