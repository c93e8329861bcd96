"""The whole program, run against a fake of Pulumi's engine that records every request.

Nothing is reached: no host, no network, no container engine. What comes back from a resource is made up here, and each
secret has a value that can be recognised wherever it turns up.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import functools
import gc
import json
import runpy
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import jinja2
import pulumi
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks
from pulumi.runtime.proto.resource_pb2 import (
    RegisterResourceOutputsRequest,
    RegisterResourceRequest,
    RegisterResourceResponse,
)
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import Stack, run_pulumi_func

from components import endpoints, watch
from components.hosts import subnets
from components.remote import remove_length_header
from infra.settings.fields import keys
from infra.settings.load import SECRETS
from infra.settings.model import Settings
from tests.unit.fake_cloud import FakeCloud, unlimited
from tests.unit.quick_pulumi import quick_pulumi

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "heat-scaleout"
STACK = "sample"

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"

INSTANCE = "openstack:compute/instance:Instance"
FLOATING = "openstack:networking/floatingIp:FloatingIp"
# The floating IP that the cloud gives to the front host, and the addresses of a load balancer.
FLOATING_IP = "203.0.113.7"
BALANCER = "openstack:loadbalancer/loadBalancer:LoadBalancer"
BALANCER_IP, BALANCER_VIP = "203.0.113.8", "10.0.0.5"

# How Pulumi marks a secret between a program and its engine.
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_IS_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
# A report of programs/heat/installed.py.
INSTALLED = json.dumps({"version": "27.0.1", "engine_worker": "1.9", "ec2_login": True})
# The checks of hosts and of the service during a run; a test may replace their results.
WARN_IF_SILENT, HTTP_PROBLEM = mock.Mock(), mock.Mock(return_value="")
# The name of a dump of Heat's database.
DUMP = "/var/lib/heat-scaleout/dumps/heat-20260101T000000Z.sql.gz"
# A part of every fake secret, and of nothing else.
MARK = "s3cr3t"


def fake_password(purpose: str) -> str:
    """The password of the resource secret-<purpose>: 32 characters, like a real one."""
    return f"{MARK}.{purpose}".ljust(32, ".")


def fake_keys(name: str) -> str:
    """A key pair in the form of programs/hosts/keypair.py."""
    private = f"-----BEGIN PRIVATE KEY-----\n{MARK}.{name}\n-----END PRIVATE KEY-----\n"
    return f"{private}ssh-ed25519 {public_key(name)}"


def public_key(name: str) -> str:
    """The public half of fake_keys, without its kind."""
    return "AAAA" + name.replace("-", "").ljust(20, "A")


# The files that an existing heat.conf names, on its own host.
FILES = {"/etc/heat/policy.yaml": '"stacks:index": "role:reader"\n', "/etc/ssl/cloud.pem": "the cloud's certificate\n"}


def original() -> dict[str, Any]:
    """A report of programs/adoption/original.py: a Heat with old option names and loopback addresses."""
    conf = f"""
[DEFAULT]
rabbit_host = localhost
rabbit_userid = stackrabbit
rabbit_password = {MARK}.broker
auth_encryption_key = {MARK}.key.of.32.characters.it.is
stack_user_domain_name = heat
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = {MARK}.domain-admin
num_engine_workers = 7
max_stacks_per_tenant = 77
heat_metadata_server_url = http://127.0.0.1:8000
[heat_api]
bind_host = 0.0.0.0
[database]
sql_connection = mysql://heat:{MARK}.database@127.0.0.1/heat
[keystone_authtoken]
auth_type = password
auth_url = https://localhost:5000/v3
cafile = /etc/ssl/cloud.pem
username = heat
password = {MARK}.service
project_name = service
user_domain_name = Default
project_domain_name = Default
memcached_servers = localhost:11211
"""
    return {"files": {"/etc/heat/heat.conf": conf}, "policies": ["/etc/heat/policy.yaml"], "release": "26.0.2"}


@dataclass(frozen=True)
class Secret:
    """A value that was marked as secret."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class Resource:
    """A resource as it was registered with Pulumi."""

    request: RegisterResourceRequest
    urn: str
    inputs: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def type(self) -> str:
        return self.request.type

    def text(self, key: str = "stdin") -> str:
        """An input, secret or not; stdin without its first line, as the host's program reads it."""
        value = self.inputs[key]
        text = value.value if isinstance(value, Secret) else value
        assert isinstance(text, str), f"{key} of {self.name} is {text!r}"
        return remove_length_header(text)

    @property
    def connection(self) -> dict[str, Any]:
        value = self.inputs["connection"]
        opened = value.value if isinstance(value, Secret) else value
        assert isinstance(opened, dict)
        return {key: entry.value if isinstance(entry, Secret) else entry for key, entry in opened.items()}


@dataclass
class Run:
    """One run of the program."""

    registered: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    # What each component registers as its outputs, by its name.
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The template of each text.
    templates: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def by_name(self) -> dict[str, Resource]:
        return {resource.name: resource for resource in self.registered}

    @functools.cached_property
    def by_urn(self) -> dict[str, Resource]:
        return {resource.urn: resource for resource in self.registered}

    @property
    def commands(self) -> list[Resource]:
        return [resource for resource in self.registered if resource.type in (LOCAL, REMOTE)]

    @property
    def remote(self) -> list[Resource]:
        return [resource for resource in self.registered if resource.type == REMOTE]

    def host_of(self, resource: Resource) -> str:
        """The name of the host that a remote command runs on."""
        names = {node["address"]: node["name"] for node in self.outputs["nodes"]} | {FLOATING_IP: "front"}
        return str(names[resource.connection["host"]])

    @functools.cached_property
    def _before(self) -> dict[str, frozenset[str]]:
        before: dict[str, frozenset[str]] = {}
        for resource in self.registered:
            direct = [self.by_urn[urn].name for urn in resource.request.dependencies]
            before[resource.name] = frozenset(direct).union(*(before[name] for name in direct))
        return before

    def before(self, name: str) -> frozenset[str]:
        """The names of everything that a resource depends on, directly or through others."""
        return self._before[name]


class Outputs(Mocks):
    def __init__(self, *, preview: bool, cloud: FakeCloud | None = None) -> None:
        self._preview = preview
        self._cloud = cloud

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        assert self._cloud is not None, f"the program asks a provider: {args.token}"
        assert "pulumi:providers:openstack::openstack::" in args.provider, args.provider
        return self._cloud.answer(args.token, dict(args.args)), []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """A resource's outputs besides its inputs, and its identifier."""
        return (None, {}) if self._preview else (f"{args.name}-id", self._made(args))

    def _made(self, args: MockResourceArgs) -> dict[str, str]:
        if args.typ == FLOATING:
            return {"address": BALANCER_IP if args.name.startswith("load-balancer") else FLOATING_IP}
        if args.typ == BALANCER:
            return {"vipAddress": BALANCER_VIP, "vipPortId": "vip-port-id"}
        if args.typ == INSTANCE and self._cloud is not None:
            return {"powerState": "error" if args.inputs["name"] in self._cloud.broken else "active"}
        return {"stdout": self.stdout(args.name), "stderr": ""}

    @staticmethod
    def stdout(name: str) -> str:
        files = {path: base64.b64encode(text.encode()).decode() for path, text in FILES.items()}
        printed = {
            "image": "podman\nlocalhost/heat-scaleout-bookworm:0123456789ab",
            "flags": "--systemd=always",
            "front-dump": f"A dump of the database before the upgrade, on front: {DUMP}\n",
        }
        if name.startswith("secret-"):
            return fake_password(name.removeprefix("secret-"))
        if name == "ssh-key" or name.endswith("-host-key"):
            return fake_keys(name)
        if name.endswith("-install"):
            return INSTALLED
        told = {
            "schema-state": {"current": "older", "newest": "newer"},
            "messaging": {},
            "original": original(),
            "original-files": files,
        }
        for kind, found in told.items():
            if name.endswith(f"-{kind}"):
                return json.dumps(found)
        return printed.get(name, "")


class Monitor(MockMonitor):
    def __init__(
        self, mocks: Mocks, registered: list[Resource], components: dict[str, dict[str, Any]] | None = None
    ) -> None:
        super().__init__(mocks)
        self._registered = registered
        self._components = {} if components is None else components

    def RegisterResourceOutputs(self, request: RegisterResourceOutputsRequest) -> empty_pb2.Empty:  # noqa: N802
        self._components[request.urn.rpartition("::")[2]] = json_format.MessageToDict(request.outputs)
        return empty_pb2.Empty()

    def RegisterResource(self, request: RegisterResourceRequest) -> RegisterResourceResponse:  # noqa: N802
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return RegisterResourceResponse(urn=urn)
        told = json_format.MessageToDict(request.object)
        self._registered.append(Resource(request=request, urn=urn, inputs=_opened(told)))
        identifier, made = self.mocks.new_resource(MockResourceArgs(request.type, request.name, told))
        answer = RegisterResourceResponse(urn=urn, id=identifier or "")
        if identifier:
            # Inputs stay as they came: decoding and encoding them again takes a tenth of a run.
            answer.object.CopyFrom(request.object)
            answer.object.update(made)
        return answer


def _opened(value: Any) -> Any:  # whatever JSON holds
    """A resource's inputs as Pulumi got them, with secrets marked."""
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _IS_SECRET:
            return Secret(_opened(value["value"]))
        return {key: _opened(entry) for key, entry in value.items()}
    return [_opened(entry) for entry in value] if isinstance(value, list) else value


def _written_down(templates: dict[str, str]) -> Any:
    """Record the template of each text that jinja2 renders."""
    original = jinja2.Template.render

    def render(self: jinja2.Template, *args: Any, **values: Any) -> str:
        text = original(self, *args, **values)
        assert self.name is not None
        templates[text] = self.name
        return text

    return mock.patch.object(jinja2.Template, "render", render)


async def _known(outputs: Mapping[str, Any], *, tell_secrets: bool) -> dict[str, Any]:
    """A stack's outputs."""
    known = {}
    for name, value in outputs.items():
        output = pulumi.Output.from_input(value)
        secret = tell_secrets and await output.is_secret()
        known[name] = Secret(await output.future()) if secret else await output.future()
    return known


def in_pulumi(
    body: Callable[[], object],
    monitor: MockMonitor,
    *,
    config: Mapping[str, object],
    preview: bool,
    tell_secrets: bool = False,
) -> dict[str, Any]:
    """Call `body` as a Pulumi program, in its own event loop and context; returns the stack's outputs."""
    loop = asyncio.new_event_loop()
    # A failed run raises its error here, so nobody needs the unretrieved exceptions.
    loop.set_exception_handler(lambda _, __: None)

    def inside() -> dict[str, Any]:
        # The state that a failed run has left.
        SETTINGS.rpc_manager.clear()
        SETTINGS.outputs.clear()
        pulumi.runtime.set_mocks(
            monitor.mocks, project=PROJECT, stack=STACK, preview=preview, monitor=monitor, organization="organization"
        )
        pulumi.runtime.set_all_config(
            {
                f"{PROJECT}:{key}": value if isinstance(value, str) else json.dumps(value)
                for key, value in config.items()
            },
            [f"{PROJECT}:{key}" for key in (*SECRETS, "secretOptions") if key in config],
        )
        with quick_pulumi():
            loop.run_until_complete(run_pulumi_func(lambda: (body(), None)[1]))
            stack = pulumi.runtime.get_root_resource()
            assert isinstance(stack, Stack)
            return loop.run_until_complete(_known(stack.outputs, tell_secrets=tell_secrets))

    asyncio.set_event_loop(loop)
    # Nearly all new objects stay in use: garbage collection would take a fifth of the time.
    gc.disable()
    try:
        return contextvars.copy_context().run(inside)
    finally:
        # The garbage of a run, 13 MB, stays until this process ends.
        gc.freeze()
        gc.enable()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


def run(
    *, preview: bool = False, first_host: int | None = None, cloud: FakeCloud | None = None, **config: object
) -> Run:
    """Run infra/__main__.py with these settings.

    Args:
        preview: no output of a resource is known.
        first_host: the address of the front host in its subnet, if not the usual one.
        cloud: the cloud of the VMs; by default it has everything that is required.
        config: the stack's settings, by their keys.
    """
    result = Run()
    if config.get("hosts") == "openstack" and cloud is None:
        cloud = unlimited()
    monitor = Monitor(Outputs(preview=preview, cloud=cloud), result.registered, result.components)
    interrupt, path = signal.getsignal(signal.SIGINT), list(sys.path)
    first = subnets._FIRST_HOST if first_host is None else first_host
    try:
        with (
            _written_down(result.templates),
            # Independent of this machine's routes.
            mock.patch.object(subnets, "parse_routes", return_value=[]),
            mock.patch.object(subnets, "_FIRST_HOST", first),
            # There are no hosts and no service.
            mock.patch.object(watch, "warn_if_silent", WARN_IF_SILENT),
            mock.patch.object(endpoints, "http_problem", HTTP_PROBLEM),
            # Source positions of resources take a tenth of the time, and no test uses them.
            mock.patch("pulumi.runtime.resource._get_stack_trace", return_value=StackTrace()),
        ):
            result.outputs = in_pulumi(
                lambda: runpy.run_path(str(ROOT / "infra" / "__main__.py"), run_name="__main__"),
                monitor,
                config=config,
                preview=preview,
                tell_secrets=True,
            )
    finally:
        signal.signal(signal.SIGINT, interrupt)
        sys.path[:] = path
    return result


@functools.cache
def _cached(key: str) -> Run:
    return run(**json.loads(key))


def cached(**config: object) -> Run:
    """The same, once for the same settings."""
    defaults = {key.path: key.default for key in keys(Settings)}
    said = {key: value for key, value in config.items() if key not in defaults or value != defaults[key]}
    return _cached(json.dumps(said, sort_keys=True))


def vm_sample(**config: object) -> Run:
    """The same on VMs of a cloud."""
    return cached(hosts="openstack", subnet="10.0.0.0/24", openstack={"sshFrom": ["198.51.100.0/24"], **config})


def balanced_sample(**config: object) -> Run:
    """The same behind a load balancer of the cloud's."""
    openstack = {"sshFrom": ["198.51.100.0/24"]}
    said: dict[str, object] = {"hosts": "openstack", "subnet": "10.0.0.0/24", "loadBalancer": "octavia"}
    return cached(**{**said, "openstack": openstack, **config})


def guide_sample(**config: object) -> Run:
    """The shape of the guide's sample: A is 10.0.0.1, B and C are 10.0.0.2 and 10.0.0.3."""
    return cached(first_host=1, subnet="10.0.0.0/24", **config)


def existing_control_plane(**config: object) -> Run:
    """The same machines with an existing control plane; by default nothing of it may be created."""
    usual: dict[str, object] = {
        "control": {"keystoneUrl": "https://keystone.example:5000", "memcached": ["10.0.0.9:11211"]},
        "databaseUrl": f"mysql+pymysql://heat:{MARK}.database@db.example/heat",
        "transportUrl": f"rabbit://heat:{MARK}.broker@mq-1.example:5672,heat:{MARK}.broker@mq-2.example:5672/heat",
        "servicePassword": f"{MARK}.service",
        "stackDomainAdminPassword": f"{MARK}.domain-admin",
    }
    return cached(controlPlane="existing", first_host=1, subnet="10.0.0.0/24", **usual | config)
