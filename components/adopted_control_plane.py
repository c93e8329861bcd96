"""What an existing Heat leans on, by its own heat.conf: read on its host, translated, and given to the nodes.

Nothing of it is made or changed here. Every secret that is read is one from the first moment.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components import adoption
from components.adoption import Adopted, Original, Wanted
from components.client_config import Login
from components.control_plane import ServiceLogin
from components.heat_conf import Options
from components.heat_node import HeatNode
from components.remote import Host
from components.rendering import TEMPLATES, render

_PROGRAM = "/usr/local/lib/heat-scaleout/original.py"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the configuration of the Heat that is adopted stands: files and directories, in reading order.

    It is read once, and again when `revision` is another one.
    """

    paths: Sequence[str]
    revision: int


class AdoptedControlPlane(pulumi.ComponentResource):
    """What a heat.conf names. Its attributes are those of ControlPlane."""

    keystone_url: pulumi.Output[str]
    public: pulumi.Output[Options]
    secret: pulumi.Output[Options]
    service: pulumi.Output[ServiceLogin]
    logins: pulumi.Output[dict[str, Login]]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        others: Collection[Host],
        source: Source,
        wanted: Wanted,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Read it.

        Args:
            name: the component's name.
            host: where the Heat runs that is adopted.
            others: hosts that may not be touched before the configuration is known to be good.
            source: where on the host it stands.
            wanted: what it has to agree with.
            opts: of the component.
        """
        super().__init__("heat:control:AdoptedControlPlane", name, {}, opts)
        program = host.file("original-program", _PROGRAM, (TEMPLATES / "adoption/original.py").read_text(), parent=self)
        read = host.script(
            "original",
            render("adoption/read.sh.j2", program=_PROGRAM, paths=source.paths, revision=source.revision),
            parent=self,
            after=[program],
        )
        adopted = pulumi.Output.secret(read.stdout).apply(lambda told: _adopted(told, wanted))
        fetched = host.script(
            "original-files",
            adopted.apply(
                lambda known: render("adoption/fetch.sh.j2", program=_PROGRAM, files=sorted({*known.files.values()}))
            ),
            parent=self,
            after=[read],
        )
        for other in others:
            other.use_after([fetched])
        # What has been fetched is base64 by the path there.
        self._contents = pulumi.Output.secret(fetched.stdout).apply(json.loads)
        placed = pulumi.Output.all(adopted, self._contents).apply(lambda known: known[0].placed(known[1]))
        # The translation has taken apart what may be read and what may not.
        self.public = pulumi.Output.unsecret(placed.apply(lambda known: known.public))
        self.secret = placed.apply(lambda known: known.secret)
        self.keystone_url = pulumi.Output.unsecret(adopted.apply(lambda known: known.keystone_url))
        self.service = adopted.apply(lambda known: service_login(known.login))
        self.logins = pulumi.Output.from_input({})
        self._read = fetched
        self.ready = [fetched]
        self.register_outputs({})

    def equip(self, node: HeatNode) -> None:
        """Bring the files along that heat.conf names."""
        text = self._contents.apply(
            lambda known: render(
                "adoption/place.sh.j2",
                directory=adoption.DIRECTORY,
                files={adoption.place(path, content): content for path, content in known.items()},
            )
        )
        node.files.append(node.host.script("adopted-files", text, parent=self, after=[node.installed]))

    def register(self, node: HeatNode) -> pulumi.Resource:  # noqa: ARG002 # as every control plane has it
        """Keystone knows Heat already."""
        return self._read


def _adopted(told: str, wanted: Wanted) -> Adopted:
    """What a host has told, adopted; or the `up` ends here.

    Raises:
        pulumi.RunError: with every problem found.
    """
    try:
        found = adoption.adopt(Original.told(told), wanted)
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
