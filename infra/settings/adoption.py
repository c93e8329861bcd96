"""`adopt`: a Heat that runs already is scaled out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from components.hosts.kinds import named
from infra.settings.control import ControlSection
from infra.settings.existing import FRONT
from infra.settings.fields import Integer, Truth, camel
from infra.settings.formats import ABSOLUTE, ALLOWED, HOST_NAME
from infra.settings.hosts import HostsSection
from infra.settings.install import InstallSection
from infra.settings.refusals import Refusals


class AdoptionSection(InstallSection, HostsSection, ControlSection):
    """Adopting a running Heat."""

    adopt: Truth = False
    """Scale out a Heat that already runs on the front host: its heat.conf names the control plane, and HAProxy takes
    over the addresses of its APIs (docs/adoption.md)."""
    adopt_host: Annotated[str, HOST_NAME] = FRONT
    """Name of the host with the heat.conf that is adopted."""
    adopt_from: tuple[Annotated[str, ABSOLUTE], ...] = ("/etc/heat/heat.conf", "/etc/heat/heat.conf.d")
    """Its configuration files and directories, in the order in which Heat reads them."""
    adopt_allow: tuple[Annotated[str, ALLOWED], ...] = ()
    """Options in these files that are kept although no release of Heat knows them."""
    adopt_revision: Integer = Field(default=1, ge=0, le=10**9)
    """Change it to read the adopted configuration again."""
    keep_original_engine: Truth = True
    """Whether the original engine keeps running with the new ones."""


# What the adopted heat.conf has. With a setting as well, it would be unclear which of the two counts.
_ADOPTED = (
    "control", "database_url", "transport_url", "service_password", "stack_domain_admin_password",
    "auth_encryption_key", "database_admin_url", "broker_admin_url", "keystone_admin_password",
)  # fmt: skip


def check_adoption(settings: AdoptionSection, refusals: Refusals) -> None:
    """What an adopted Heat requires of the other settings."""
    usual = type(settings)()
    if settings.kind.made:
        rule = "adopt is true, and a Heat that already runs is on existing hosts"
        refusals.refuse("hosts", settings.hosts, rule, named(made=False))
    if settings.bundled:
        rule = "adopt is true, and the adopted heat.conf names an existing control plane"
        refusals.refuse("controlPlane", settings.control_plane, rule, "existing")
    if not settings.release_is_known:
        rule = "adopt is true, and the adopted heat.conf can only be translated for a release that is known beforehand"
        refusals.refuse("install", settings.install, rule, usual.install)
    for name in _ADOPTED:
        if getattr(settings, name) != getattr(usual, name):
            refusals.refuse(camel(name), "(set)", "adopt is true, and the adopted heat.conf has it")
    if settings.adopt_host not in settings.host_names:
        known = ", ".join(settings.host_names)
        refusals.refuse("adoptHost", settings.adopt_host, f"must be one of {known}", usual.adopt_host)
    if not settings.adopt_from:
        refusals.refuse("adoptFrom", [], "must name at least one file")
