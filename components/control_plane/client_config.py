"""The clients' logins: a clouds.yaml on the operator's machine, readable by the operator alone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_command as command

from components.outputs import render_output


@dataclass(frozen=True, kw_only=True)
class Login:
    """A user of Keystone and its project, both in the domain Default."""

    user: str
    project: str
    password: str


class ClientConfig(pulumi.ComponentResource):
    """A clouds.yaml, deleted on `destroy`.

    Attributes:
        path: the file's path, known once the file exists.
        content: the same as a text, which is a secret.
    """

    path: pulumi.Output[str]
    content: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        path: Path,
        keystone_url: pulumi.Input[str],
        region: str,
        logins: pulumi.Input[Mapping[str, Login]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Write the file.

        Args:
            name: the component's name.
            path: the file's path.
            keystone_url: Keystone's URL without a version.
            region: Keystone's region.
            logins: the logins by the names of their clouds in the file.
            opts: of the component.
        """
        super().__init__("heat:client:ClientConfig", name, {}, opts)
        quoted = shlex.quote(str(path))
        text = render_output(
            "control_plane/clouds.yaml.j2",
            {"keystone_url": keystone_url, "region": region, "logins": pulumi.Output.secret(logins)},
        )
        written = command.local.Command(
            "clouds-yaml",
            create=f"umask 077 && mkdir -p {shlex.quote(str(path.parent))} && rm -f {quoted} && cat >{quoted}",
            delete=f"rm -f {quoted}",
            stdin=text,
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.path = written.id.apply(lambda _: str(path))
        self.content = pulumi.Output.secret(text)
        self.register_outputs({"path": self.path})
