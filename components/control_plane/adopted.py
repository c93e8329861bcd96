"""The control plane of an existing Heat: its heat.conf is read on its host, translated, and given to the nodes.

Nothing in the control plane is made or changed. Every secret in the file is a Pulumi secret from the start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pulumi

from components.adoption import merge as adoption
from components.adoption.combined import keystone_root
from components.adoption.merge import Adopted, AdoptionSpec, Original, Problem
from components.adoption.tables import AUTH
from components.control_plane.base import Connections, ControlPlane, run_program
from components.control_plane.client_config import Login
from components.control_plane.existing import REACH
from components.control_plane.keystone import KEYSTONE_CHECK, ServiceLogin, endpoints
from components.heat import heat_conf
from components.heat.heat_conf import STACK_USER_ROLE, SYSTEM_CA, Deployment, Options, merge
from components.heat.node import HeatNode
from components.remote import Host
from components.rendering import program_text, render
from components.secrets import password

_PROGRAM = "/usr/local/lib/heat-scaleout/original.py"
# The texts that oslo.config reads as true.
_TRUE = ("true", "1", "on", "yes")


@dataclass(frozen=True, kw_only=True)
class Source:
    """The configuration of the adopted Heat: files and directories, in the order in which Heat reads them.

    It is read once, and again when `revision` changes.
    """

    paths: Sequence[str]
    revision: int


class AdoptedControlPlane(ControlPlane):
    """The control plane in the heat.conf of an existing Heat."""

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        front: Host,
        hosts: Collection[Host],
        source: Source,
        spec: AdoptionSpec,
        connections: Connections,
        describe: Callable[[Problem], str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Read and translate the configuration.

        Args:
            name: the component's name.
            host: the host of the adopted Heat.
            front: the host that runs the check at the end of an `up`.
            hosts: all hosts, including `host`. None is changed before the configuration has been accepted.
            source: the paths of the configuration on `host`.
            spec: the properties of the deployment that the configuration must agree with.
            connections: how many connections to the database the engines may open.
            describe: returns a sentence about a problem, for the operator.
            opts: of the component.

        Raises:
            pulumi.RunError: the configuration cannot be adopted. Pulumi shows every problem and ends the program.
        """
        super().__init__("heat:control:AdoptedControlPlane", name, {}, opts)
        self._deployment, self._connections = spec.deployment, connections
        program = host.file("original-program", _PROGRAM, program_text("adoption/original.py"), parent=self)
        read = host.script(
            "original",
            render("adoption/read.sh.j2", program=_PROGRAM, paths=source.paths, revision=source.revision),
            parent=self,
            after=[program],
        )
        report: pulumi.Output[str] = pulumi.Output.secret(read.stdout)
        adopted = report.apply(lambda known: _adopted(known, spec, describe))
        fetched = host.script(
            "original-files",
            adopted.apply(
                lambda known: render(
                    "adoption/fetch.sh.j2", program=_PROGRAM, files=sorted({*known.files.values()}), conf=source.paths
                )
            ),
            parent=self,
            after=[read],
        )
        for each in hosts:
            each.require([fetched])
        contents: pulumi.Output[str] = pulumi.Output.secret(fetched.stdout)
        # The content in Base64, by the path on the adopted host.
        self._contents: pulumi.Output[dict[str, str]] = contents.apply(json.loads)
        # The adopted Heat does not need the key: its entries in the cache have other names.
        key = password("secret-token-cache", self)
        placed = pulumi.Output.all(adopted, self._contents, key).apply(
            lambda known: known[0].with_node_paths(known[1]).with_encrypted_tokens(known[2])
        )
        self._options = placed.apply(lambda known: merge(known.public, known.secret))
        # The translation has separated public options from secret ones.
        self.public = pulumi.Output.unsecret(placed.apply(lambda known: known.public))
        self.secret = placed.apply(lambda known: known.secret)
        self.keystone_url = self.public_keystone_url = pulumi.Output.unsecret(
            adopted.apply(lambda known: known.keystone_url)
        )
        self.service = adopted.apply(lambda known: service_login(known.login))
        self.logins = self.service.apply(
            lambda known: {"heat-service": Login(user=known.user, project=known.project, password=known.password)}
        )
        self.files = {}
        # On the adopted host the files stay in their places.
        found = adopted if front is host else placed
        self.ready = [fetched if front is host else self._place(front, [fetched])]
        self.ca_file = pulumi.Output.unsecret(found.apply(lambda known: known.public.get(AUTH, {}).get("cafile", "")))
        self.register_addresses()

    def _place(self, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        text = self._contents.apply(
            lambda known: render(
                "adoption/place.sh.j2",
                directory=adoption.DIRECTORY,
                parent=heat_conf.CONF_DIR,
                files={
                    adoption.node_path(path, content): adoption.clean_base64(content) for path, content in known.items()
                },
            )
        )
        return host.script("adopted-files", text, parent=self, after=after)

    def install_files(self, node: HeatNode) -> None:
        """Copy the files to the node that heat.conf names."""
        node.files.append(self._place(node.host, [node.installed]))

    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:
        """Check that database, broker and cache accept Heat's logins from this node."""
        spec = self._options.apply(lambda known: reach_spec(known, self._connections))
        purpose = "Check that Heat's database, broker and cache accept its logins."
        after = [node.put_key_test(), *self.ready]
        return [run_program(node, "reach", REACH, purpose=purpose, spec=spec, parent=self, after=after)]

    def register(self, node: HeatNode) -> pulumi.Resource:
        """Check that Heat is registered in Keystone, on a Heat node."""
        spec = self._options.apply(lambda known: keystone_check_spec(known, self._deployment))
        return run_program(
            node,
            "keystone-check",
            KEYSTONE_CHECK,
            purpose="Check that Heat is registered in Keystone.",
            spec=spec,
            parent=self,
            after=self.ready,
            show_output=True,
        )


def reach_spec(options: Options, connections: Connections) -> dict[str, Any]:
    """The services that a node must reach, as the spec of programs/control_plane/reach.py. Nothing may be made."""
    rabbit, auth, cache = (options.get(section, {}) for section in ("oslo_messaging_rabbit", AUTH, "cache"))
    servers = ",".join(filter(None, (auth.get("memcached_servers"), cache.get("memcache_servers"))))
    return {
        "database": {
            "url": options["database"]["connection"],
            "admin_url": "",
            "connections": asdict(connections),
        },
        "broker": {
            "url": options["DEFAULT"]["transport_url"],
            "ca": rabbit.get("ssl_ca_file", SYSTEM_CA) if rabbit.get("ssl", "").lower() in _TRUE else "",
            "admin_url": "",
            "policy": {},
        },
        "cache": sorted({server.strip() for server in servers.split(",") if server.strip()}),
    }


def keystone_check_spec(options: Options, deployment: Deployment) -> dict[str, Any]:
    """The expected registration of Heat, as the spec of programs/control_plane/keystone_check.py."""
    auth, default = options[AUTH], options["DEFAULT"]
    domains = [f"{kind}_domain_{by}" for kind in ("user", "project") for by in ("name", "id")]
    login = {key: auth[key] for key in ("username", "password", "project_name", *domains) if key in auth}
    admin = {}
    for by in ("id", "name"):
        if domain := default.get(f"stack_user_domain_{by}"):
            admin = {
                "username": default.get("stack_domain_admin", ""),
                "password": default.get("stack_domain_admin_password", ""),
                f"user_domain_{by}": domain,
                f"domain_{by}": domain,
            }
            break
    return {
        "url": f"{keystone_root(auth['auth_url'])}/v3",
        "ca": auth.get("cafile", ""),
        "login": login,
        # An administrator has the rights of a service.
        "roles": ["admin"],
        "stack_domain": admin,
        "role": default.get("heat_stack_user_role", STACK_USER_ROLE),
        "endpoints": endpoints(deployment),
    }


def _adopted(report: str, spec: AdoptionSpec, describe: Callable[[Problem], str]) -> Adopted:
    """Adopt the configuration that a host has reported.

    Raises:
        pulumi.RunError: with every problem in the configuration.
    """
    try:
        found = adoption.adopt(Original.parse(report), spec)
    except adoption.AdoptionError as error:
        reasons = "\n".join(f"  * {describe(problem)}" for problem in error.problems)
        raise pulumi.RunError(f"the heat.conf cannot be adopted:\n{reasons}") from None
    for note in found.notes:
        pulumi.log.warn(note)
    return found


def service_login(options: Mapping[str, str]) -> ServiceLogin:
    """Heat's own login, from the options of [keystone_authtoken]."""
    return ServiceLogin(
        user=options["username"],
        password=options["password"],
        project=options["project_name"],
        domain=options.get("user_domain_name", "Default"),
        domain_id=options.get("user_domain_id", ""),
        project_domain=options.get("project_domain_name", ""),
        project_domain_id=options.get("project_domain_id", ""),
    )
