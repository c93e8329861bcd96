"""Which settings cannot be, each with what to type against it."""

from __future__ import annotations

from collections.abc import Mapping

from infra.settings.model import Settings
from infra.settings.reader import Reader
from infra.settings.rules.adoption import check_adoption
from infra.settings.rules.balancer import check_balancer
from infra.settings.rules.control import check_control
from infra.settings.rules.existing_hosts import check_existing_hosts
from infra.settings.rules.install import check_install
from infra.settings.rules.lines import check_lines
from infra.settings.rules.openstack import check_openstack
from infra.settings.rules.options import check_options, check_secret_options
from infra.settings.rules.secret import check_secret_forms, check_secrets
from infra.settings.rules.together import Routes, check_together
from infra.settings.rules.values import check_values

__all__ = ["Routes", "check"]


def check(settings: Settings, reader: Reader, routes: Routes, secrets: Mapping[str, str]) -> None:
    """Note every problem: of each value first, and only where all are good in themselves, between them.

    Args:
        settings: what was asked for.
        reader: takes the problems.
        routes: this machine's IPv4 routes with their devices.
        secrets: the secret settings by their keys, as they are.
    """
    check_secret_forms(secrets, reader)
    check_values(settings, reader)
    check_install(settings, reader)
    if settings.hosts == "existing":
        check_existing_hosts(settings, reader)
    if settings.hosts == "openstack":
        check_openstack(settings, reader)
    if settings.adopt:
        check_adoption(settings, reader)
    elif settings.control_plane == "existing":
        check_control(settings, secrets, reader)
    check_options(settings, reader)
    if given := secrets.get("secretOptions"):
        check_secret_options(given, reader)
    check_lines(settings, reader)
    check_secrets(settings, secrets, reader)
    if settings.octavia and not reader.problems:
        check_balancer(settings, reader)
    if not reader.problems:
        check_together(settings, reader, routes)
