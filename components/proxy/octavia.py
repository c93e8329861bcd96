"""Octavia instead of HAProxy: the same listeners, checks and timeouts, in a load balancer of the cloud.

Its provider must support HTTP, as amphora does. docs/octavia.md lists what only HAProxy does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_openstack import Provider, loadbalancer

from components.proxy.balancer import BalancerSpec
from components.proxy.haproxy import Listener

_HTTP = "HTTP"


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A load balancer without listeners. Its addresses are known before the hosts exist.

    Attributes:
        provider: the cloud.
        prefix: the start of the names in the cloud.
        tags: the tags of everything made in the cloud.
        ready: what must be done before the load balancer accepts changes.
        id: its id.
        subnet_id: the hosts' subnet.
        internal_address: its address in that subnet.
        public_address: the address that clients use.
    """

    provider: Provider
    prefix: str
    tags: Sequence[str]
    ready: Sequence[pulumi.Resource]
    id: pulumi.Output[str]
    subnet_id: pulumi.Input[str]
    internal_address: pulumi.Output[str]
    public_address: pulumi.Output[str]


class OctaviaProxy(pulumi.ComponentResource):
    """Listeners with their pools, in front of the planned processes.

    Attributes:
        running: done when the load balancer sends requests to these processes and to no others.
        digest: SHA-256 of its configuration, in hexadecimal.
        internal_address: where it listens, as hosts reach it.
        socket: empty, as there is no admin socket.
    """

    running: list[pulumi.Resource]
    digest: str
    internal_address: pulumi.Output[str]
    socket = ""

    def __init__(
        self,
        name: str,
        *,
        balancer: Balancer,
        spec: BalancerSpec,
        listeners: Sequence[Listener],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Add listeners to a load balancer.

        Args:
            name: the component's name.
            balancer: the load balancer, without listeners yet.
            spec: its limits and timeouts.
            listeners: one for each API.
            after: what must be done before it sends requests, such as starting the APIs.
            opts: options of the component.
        """
        provided = pulumi.ResourceOptions(providers=[balancer.provider])
        super().__init__("heat:front:OctaviaProxy", name, {}, pulumi.ResourceOptions.merge(opts, provided))
        self._balancer, self._spec = balancer, spec
        self.digest = hashlib.sha256(repr((spec, tuple(listeners))).encode()).hexdigest()
        self.internal_address = balancer.internal_address
        self.running = []
        # One after the other: a load balancer refuses a change while it makes another one.
        before = [*balancer.ready]
        for listener in listeners:
            members = self._members(listener, before, after)
            self.running.append(members)
            before = [members]
        self.register_outputs({"internal_address": self.internal_address, "digest": self.digest})

    def _members(
        self, listener: Listener, before: Sequence[pulumi.Resource], after: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        spec, monitor, balancer = self._spec, self._spec.monitor, self._balancer
        name, cloud_name = listener.name.replace("_", "-"), f"{balancer.prefix}-{listener.name}"

        def options(*more: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, depends_on=more)

        front = loadbalancer.Listener(
            name,
            name=cloud_name,
            loadbalancer_id=balancer.id,
            protocol=_HTTP,
            protocol_port=listener.port,
            allowed_cidrs=[*spec.clients_from],
            connection_limit=spec.connections,
            # The APIs trust no such header; uWSGI writes the client's address to its log.
            insert_headers={"X-Forwarded-For": "true"},
            timeout_client_data=spec.client_timeout,
            timeout_member_connect=spec.connect_timeout,
            timeout_member_data=spec.server_timeout,
            tags=[*balancer.tags],
            opts=options(*before),
        )
        pool = loadbalancer.Pool(
            f"{name}-pool",
            name=cloud_name,
            listener_id=front.id,
            protocol=_HTTP,
            lb_method=spec.method,
            tags=[*balancer.tags],
            opts=options(),
        )
        monitored = loadbalancer.Monitor(
            f"{name}-monitor",
            name=cloud_name,
            pool_id=pool.id,
            type=_HTTP,
            http_method="GET",
            url_path="/healthcheck",
            expected_codes="200",
            delay=monitor.delay,
            timeout=monitor.timeout,
            max_retries=monitor.rise,
            max_retries_down=monitor.fall,
            opts=options(),
        )
        # All members are one resource: once it is done, a process that is not a member gets no requests and may stop.
        return loadbalancer.Members(
            f"{name}-members",
            pool_id=pool.id,
            members=[
                loadbalancer.MembersMemberArgs(
                    name=process.backend,
                    address=process.address,
                    protocol_port=process.port or 0,
                    subnet_id=balancer.subnet_id,
                )
                for process in listener.processes
            ],
            opts=options(monitored, *after),
        )
