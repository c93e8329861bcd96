"""The whole configuration of a stack: all sections, what follows from several of them, and all their rules.

Each section's file has its fields, its rules and its conversion to what the components take. A section inherits from
those that its conversion or its rules read. docs/settings.md is generated from the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from components.heat.heat_conf import BROKER_PORT, DATABASE_PORT, KEYSTONE_PORT, MEMCACHED_PORT
from components.hosts.ingress import ClosedPorts, IngressRule, closed_ports, ingress_rules
from components.hosts.spec import CloudSpec
from components.proxy.balancer import BalancerSpec
from components.proxy.monitor import Monitor
from infra.settings import octavia
from infra.settings.adoption import AdoptionSection, check_adoption
from infra.settings.caretaker import CaretakerSection
from infra.settings.control import ControlSection, check_control, check_encryption_key
from infra.settings.existing import FRONT
from infra.settings.heat import HeatSection, check_connections, check_ports, check_uwsgi_lines
from infra.settings.hosts import HostsSection, Routes, check_kind, check_subnet
from infra.settings.install import InstallSection, check_install, check_netrc
from infra.settings.openstack import SERVER_GROUPS
from infra.settings.options import OptionsSection, check_options, check_policy, check_processes, check_secret_options
from infra.settings.proxy import ProxySection, check_bodies, check_haproxy_lines, check_timeouts
from infra.settings.refusals import Refusals
from infra.settings.secret import check_secret_forms, check_secrets
from infra.settings.timeouts import TimeoutsSection

# In the order in which they are documented.
SECTIONS = (
    HostsSection,
    ControlSection,
    AdoptionSection,
    HeatSection,
    InstallSection,
    ProxySection,
    TimeoutsSection,
    CaretakerSection,
    OptionsSection,
)
_ANYWHERE = ("0.0.0.0/0",)


class Settings(CaretakerSection, HeatSection, AdoptionSection):
    """The settings of a stack."""

    MOVED: ClassVar[Mapping[str, str]] = {
        "rpcResponseTimeout": "timeouts.rpcResponse",
        "gracefulShutdownTimeout": "timeouts.engineGraceful",
    }

    @property
    def protected(self) -> bool:
        """Whether data, and what they are read with, cannot be deleted by `destroy` or by a replacement.

        An adopted Heat keeps its data, and gets back what was its own.
        """
        if self.protect == "auto":
            return self.kind.lasting and not self.adopt
        return self.protect == "true"

    @property
    def monitor(self) -> Monitor:
        """How the APIs are checked, for proxies that report no state."""
        return octavia.monitor(self.haproxy)

    @property
    def octavia_spec(self) -> BalancerSpec | None:
        """The load balancer of the cloud; None with HAProxy."""
        return octavia.balancer_spec(self)

    @property
    def ingress_rules(self) -> tuple[IngressRule, ...]:
        """Who may reach which port. Only a cloud restricts clients and operators; other hosts let in any address."""
        openstack, cloud = self.openstack, self.kind.cloud
        apis = () if self.octavia else tuple(self.api_ports.values())
        return ingress_rules(
            self.processes,
            client_ports=(*apis, *((KEYSTONE_PORT,) if self.bundled else ())),
            node_ports=(DATABASE_PORT, BROKER_PORT, KEYSTONE_PORT, MEMCACHED_PORT) if self.bundled else (),
            stats_port=self.stats_port,
            clients_from=openstack.clients if cloud else _ANYWHERE,
            stats_from=self.stats_networks,
            ssh_from=openstack.ssh_from if cloud else _ANYWHERE,
            # A load balancer's own machines are in the hosts' network, at addresses that the cloud chooses.
            requests_from=self.subnet if self.octavia else FRONT,
        )

    @property
    def closed(self) -> dict[str, ClosedPorts]:
        """The ports that the hosts' own firewall closes, by the host's name."""
        return closed_ports(self.ingress_rules, self.processes, self.addresses)

    def cloud_spec(self, stack: str) -> CloudSpec:
        """What is looked up and made in a cloud."""
        openstack = self.openstack
        return CloudSpec(
            hosts=self.addresses,
            ingress_rules=self.ingress_rules,
            mark=f"heat-scaleout-{stack}",
            subnet=self.subnet,
            cloud=openstack.cloud,
            image=openstack.image,
            front_flavor=openstack.front_flavor,
            node_flavor=openstack.node_flavor,
            boot_volume=openstack.boot_volume,
            external_network=openstack.external_network,
            floating_ip=openstack.floating_ip,
            network=openstack.network,
            key_pair=openstack.key_pair,
            availability_zones=openstack.availability_zones,
            server_group=SERVER_GROUPS[openstack.anti_affinity],
            user=openstack.user,
            dns_servers=openstack.dns_servers,
            tags=openstack.tags,
            protect=self.protected,
            rebuild=openstack.rebuild,
            balancer=self.octavia_spec,
        )

    def check(self, refusals: Refusals, routes: Routes, secrets: Mapping[str, str]) -> None:
        """Note every problem: with each value first, and between values only if all of them are good in themselves.

        Args:
            refusals: takes the problems.
            routes: this machine's IPv4 routes with their devices.
            secrets: the secret settings by their keys, as they are.
        """
        check_secret_forms(secrets, Settings, refusals)
        check_policy(self.policy, refusals)
        check_install(self, refusals)
        check_kind(self, refusals, octavia=self.octavia, bundled=self.bundled)
        if self.adopt:
            check_adoption(self, refusals)
        elif self.bundled:
            check_encryption_key(secrets.get("authEncryptionKey", ""), refusals)
        else:
            check_control(self, secrets, refusals)
        nodes = [name for name in self.host_names if name != FRONT]
        check_options(self, nodes, self.heat_version if self.release_is_known else "", refusals)
        check_secret_options(secrets.get("secretOptions", ""), refusals)
        check_haproxy_lines(self, refusals)
        check_uwsgi_lines(self, refusals)
        check_secrets(self, self.control.keystone_url, refusals)
        check_netrc(self, secrets.get("netrc", ""), refusals)
        if self.octavia and not refusals.problems:
            octavia.check_octavia(self, refusals)
        if not refusals.problems:
            self._check_together(refusals, routes)

    def _check_together(self, refusals: Refusals, routes: Routes) -> None:
        if not check_subnet(self, refusals, routes):
            return
        if check_ports(self, refusals, bundled=self.bundled):
            check_processes(self, [process.name for process in self.processes], refusals)
        if self.bundled:
            check_connections(self, refusals)
        check_bodies(self, self.memory_limits.haproxy, refusals)
        check_timeouts(self, refusals)
        if self.octavia:
            octavia.check_monitor(self, refusals)
