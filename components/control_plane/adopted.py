"""What an existing Heat leans on, by its own heat.conf: read on its host, translated, and given to the nodes.

Nothing of it is made or changed here. Every secret that is read is one from the first moment.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.adoption import merge as adoption
from components.adoption.merge import AUTH, Adopted, AdoptionSpec, Original
from components.adoption.translation import keystone_root
from components.control_plane.bundled import ControlPlane, ServiceLogin, run_program
from components.control_plane.client_config import Login
from components.control_plane.existing import KEYSTONE_CHECK, REACH
from components.heat import heat_conf
from components.heat.heat_conf import STACK_USER_ROLE, SYSTEM_CA, Deployment, Options, merge
from components.heat.node import HeatNode
from components.remote import Host
from components.rendering import program_text, render
from components.secrets import password
from components.topology import APIS

_PROGRAM = "/usr/local/lib/heat-scaleout/original.py"
# How oslo.config writes that something is so.
_TRUE = ("true", "1", "on", "yes")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the configuration of the Heat that is adopted stands: files and directories, in reading order.

    It is read once, and again when `revision` is another one.
    """

    paths: Sequence[str]
    revision: int


class AdoptedControlPlane(ControlPlane):
    """What a heat.conf names."""

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        front: Host,
        hosts: Collection[Host],
        source: Source,
        spec: AdoptionSpec,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Read it.

        Args:
            name: the component's name.
            host: where the Heat runs that is adopted.
            front: where the check at the end of an `up` runs.
            hosts: all of them, that one as well: none is changed before the configuration is known to be good.
            source: where on the host it stands.
            spec: what it has to agree with.
            opts: of the component.
        """
        super().__init__("heat:control:AdoptedControlPlane", name, {}, opts)
        self._deployment = spec.deployment
        program = host.file("original-program", _PROGRAM, program_text("adoption/original.py"), parent=self)
        read = host.script(
            "original",
            render("adoption/read.sh.j2", program=_PROGRAM, paths=source.paths, revision=source.revision),
            parent=self,
            after=[program],
        )
        told: pulumi.Output[str] = pulumi.Output.secret(read.stdout)
        adopted = told.apply(lambda known: _adopted(known, spec))
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
            each.use_after([fetched])
        brought: pulumi.Output[str] = pulumi.Output.secret(fetched.stdout)
        # Base64, by the path there.
        self._contents: pulumi.Output[dict[str, str]] = brought.apply(json.loads)
        # The Heat that is adopted need not know the key: what it keeps in the cache has other names there.
        key = password("secret-token-cache", self)
        placed = pulumi.Output.all(adopted, self._contents, key).apply(
            lambda known: known[0].placed(known[1]).with_encrypted_tokens(known[2])
        )
        self._options = placed.apply(lambda known: merge(known.public, known.secret))
        # The translation has taken apart what may be read and what may not.
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
        # The host that is adopted has its files where they are.
        found = adopted if front is host else placed
        self.ready = [fetched if front is host else self._place(front, [fetched])]
        self.ca_file = pulumi.Output.unsecret(found.apply(lambda known: known.public.get(AUTH, {}).get("cafile", "")))
        self.register_outputs({})

    def _place(self, host: Host, after: Sequence[pulumi.Resource]) -> pulumi.Resource:
        text = self._contents.apply(
            lambda known: render(
                "adoption/place.sh.j2",
                directory=adoption.DIRECTORY,
                parent=heat_conf.CONF_DIR,
                files={adoption.place(path, content): adoption.encoded(content) for path, content in known.items()},
            )
        )
        return host.script("adopted-files", text, parent=self, after=after)

    def install_files(self, node: HeatNode) -> None:
        """Bring the files along that heat.conf names."""
        node.files.append(self._place(node.host, [node.installed]))

    def prepare(self, node: HeatNode) -> list[pulumi.Resource]:
        """See that database, broker and cache let Heat in from here. Run on a Heat node."""
        spec = self._options.apply(reached)
        purpose = "Heat's database, broker and cache let it in."
        after = [node.encrypted, *self.ready]
        return [run_program(node, "reach", REACH, purpose=purpose, spec=spec, parent=self, after=after)]

    def register(self, node: HeatNode) -> pulumi.Resource:
        """See that Keystone knows Heat. Run on a Heat node."""
        spec = self._options.apply(lambda known: keystone_known(known, self._deployment))
        return run_program(
            node,
            "keystone-check",
            KEYSTONE_CHECK,
            purpose="Keystone knows Heat.",
            spec=spec,
            parent=self,
            after=self.ready,
            shown=True,
        )


def reached(options: Options) -> dict[str, Any]:
    """What is to be reached from a node, in the form of programs/control_plane/reach.py: nothing may be made there."""
    rabbit, auth, cache = (options.get(section, {}) for section in ("oslo_messaging_rabbit", AUTH, "cache"))
    servers = ",".join(filter(None, (auth.get("memcached_servers"), cache.get("memcache_servers"))))
    return {
        "database": {"url": options["database"]["connection"], "admin_url": ""},
        "broker": {
            "url": options["DEFAULT"]["transport_url"],
            "ca": rabbit.get("ssl_ca_file", SYSTEM_CA) if rabbit.get("ssl", "").lower() in _TRUE else "",
            "admin_url": "",
            "policy": {},
        },
        "cache": sorted({server.strip() for server in servers.split(",") if server.strip()}),
    }


def keystone_known(options: Options, deployment: Deployment) -> dict[str, Any]:
    """What Keystone has to know, in the form of programs/control_plane/keystone_check.py."""
    auth, default = options[AUTH], options["DEFAULT"]
    domains = [f"{kind}_domain_{by}" for kind in ("user", "project") for by in ("name", "id")]
    login = {key: auth[key] for key in ("username", "password", "project_name", *domains) if key in auth}
    keeper = {}
    for by in ("id", "name"):
        if domain := default.get(f"stack_user_domain_{by}"):
            keeper = {
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
        # An administrator may do what a service may.
        "roles": ["admin"],
        "stack_domain": keeper,
        "role": default.get("heat_stack_user_role", STACK_USER_ROLE),
        "endpoints": {api.catalog.type: deployment.urls[kind] for kind, api in APIS.items()},
    }


def _adopted(told: str, spec: AdoptionSpec) -> Adopted:
    """What a host has told, adopted; or the `up` ends here.

    Raises:
        pulumi.RunError: with every problem found.
    """
    try:
        found = adoption.adopt(Original.told(told), spec)
    except adoption.AdoptionError as error:
        raise pulumi.RunError(str(error)) from None
    for note in found.notes:
        pulumi.log.warn(note)
    return found


def service_login(options: Mapping[str, str]) -> ServiceLogin:
    """Heat's own login, of the options of [keystone_authtoken]."""
    return ServiceLogin(
        user=options["username"],
        password=options["password"],
        project=options["project_name"],
        domain=options.get("user_domain_name", "Default"),
        domain_id=options.get("user_domain_id", ""),
        project_domain=options.get("project_domain_name", ""),
        project_domain_id=options.get("project_domain_id", ""),
    )
