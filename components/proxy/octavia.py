"""Octavia in place of HAProxy: the same listeners, checks and timeouts, in a load balancer of the cloud.

Of its providers only one that speaks HTTP does, such as amphora. What HAProxy does beyond it, and it does not, is in
docs/octavia.md.
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
    """A load balancer without listeners: its address is known before there is anything behind it.

    `inside` is its address in the hosts' network, in the subnet with `subnet_id`; `outside` is where clients find it.
    """

    provider: Provider
    prefix: str
    tags: Sequence[str]
    ready: Sequence[pulumi.Resource]
    id: pulumi.Output[str]
    subnet_id: pulumi.Input[str]
    inside: pulumi.Output[str]
    outside: pulumi.Output[str]


class OctaviaProxy(pulumi.ComponentResource):
    """Listeners, each with its pool, in front of the planned processes.

    Attributes:
        running: done when the load balancer sends requests to these processes and to no others.
        digest: of what it is told.
        inside: where it listens, as hosts reach it.
        socket: "", as it has none to be asked at.
    """

    running: list[pulumi.Resource]
    digest: str
    inside: pulumi.Output[str]
    socket = ""

    def __init__(
        self,
        name: str,
        *,
        balancer: Balancer,
        spec: BalancerSpec,
        fronted: Sequence[Listener],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Have the load balancer listen, and send what comes to the processes.

        Args:
            name: the component's name.
            balancer: without listeners yet.
            spec: its numbers.
            fronted: what it listens for.
            after: what must be done before it sends requests, such as starting the APIs.
            opts: of the component.
        """
        by = pulumi.ResourceOptions(providers=[balancer.provider])
        super().__init__("heat:front:OctaviaProxy", name, {}, pulumi.ResourceOptions.merge(opts, by))
        self._balancer, self._spec = balancer, spec
        self.digest = hashlib.sha256(repr((spec, tuple(fronted))).encode()).hexdigest()
        self.inside = balancer.inside
        self.running = []
        # One after the other: a load balancer takes no change while it makes another.
        before = [*balancer.ready]
        for listener in fronted:
            members = self._members(listener, before, after)
            self.running.append(members)
            before = [members]
        self.register_outputs({})

    def _members(
        self, listener: Listener, before: Sequence[pulumi.Resource], after: Sequence[pulumi.Resource]
    ) -> pulumi.Resource:
        spec, monitor, balancer = self._spec, self._spec.monitor, self._balancer
        name, called = listener.name.replace("_", "-"), f"{balancer.prefix}-{listener.name}"

        def options(*more: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, depends_on=more)

        front = loadbalancer.Listener(
            name,
            name=called,
            loadbalancer_id=balancer.id,
            protocol=_HTTP,
            protocol_port=listener.port,
            allowed_cidrs=[*spec.clients_from],
            connection_limit=spec.connections,
            # The APIs believe none of these; uWSGI writes the client's address into its log.
            insert_headers={"X-Forwarded-For": "true"},
            timeout_client_data=spec.client_timeout,
            timeout_member_connect=spec.connect_timeout,
            timeout_member_data=spec.server_timeout,
            tags=[*balancer.tags],
            opts=options(*before),
        )
        pool = loadbalancer.Pool(
            f"{name}-pool",
            name=called,
            listener_id=front.id,
            protocol=_HTTP,
            lb_method=spec.method,
            tags=[*balancer.tags],
            opts=options(),
        )
        checked = loadbalancer.Monitor(
            f"{name}-monitor",
            name=called,
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
        # All of them as one resource: who is no longer among them is out when it is done, and may stop.
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
            opts=options(checked, *after),
        )
