"""RabbitMQ's vhosts and policies for Heat. Pure."""

from __future__ import annotations

import re

from components.heat.install import Installation, Method

# Up to Heat 25 engines exchange messages of version 1.4, from Heat 26 on 1.9. An engine that fetches a message of the
# other version loses it. So each version has its own vhost.
NEWER, OLDER = "heat", "heat-1.4"
_FIRST_NEWER = 26
# RabbitMQ's policy for the queues of engines that are gone: each worker of an engine has some, with a new id in their
# names at every start. Half an hour in milliseconds, as in oslo.messaging's own reply queues.
ORPHANS = {
    "pattern": r"^(engine|engine_worker|heat-engine-listener)\.",
    "definition": {"expires": 1800000},
    "apply-to": "queues",
    "priority": 0,
}


def broker_vhost(install: Installation) -> str:
    """The vhost for an installation's engines and APIs: its own vhost if only the hosts can report the release."""
    release = {Method.PIP: install.version, Method.GIT: install.git_ref, Method.APT: ""}[install.method]
    if not re.fullmatch(r"\d+\.\d+\.\d+", release):
        return f"heat-{install.name}"
    return NEWER if int(release.partition(".")[0]) >= _FIRST_NEWER else OLDER
