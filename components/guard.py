"""What `destroy` has to take away first, and cannot while it is protected: so that nothing is taken away half.

Pulumi looks at each resource's protection only when its turn has come. With the one that comes first protected, a
`destroy` fails before it has done anything, whichever way it was called.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_command as command


class Guard(pulumi.ComponentResource):
    """Stands in front of everything."""

    def __init__(
        self,
        name: str,
        *,
        after: Sequence[pulumi.Resource],
        protect: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Depend on everything.

        Args:
            name: the component's name.
            after: resources, and components with all that is in them, on which no other ones depend.
            protect: whether it holds.
            opts: of the component.
        """
        super().__init__("heat:guard:Guard", name, {}, opts)
        command.local.Command(
            "guard",
            create=":",
            logging=command.local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*after], protect=protect or None),
        )
        self.register_outputs({})
