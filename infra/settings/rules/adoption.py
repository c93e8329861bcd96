"""A Heat that is adopted: what it needs beside it, and where its configuration may stand."""

from __future__ import annotations

from components.heat.install import Method
from infra.settings.model import Settings
from infra.settings.reader import Reader, camel

# What the adopted heat.conf says, and two answers could not be told apart.
_ITS_OWN = (
    "control", "database_url", "transport_url", "service_password", "stack_domain_admin_password",
    "auth_encryption_key", "database_admin_url", "broker_admin_url", "keystone_admin_password",
)  # fmt: skip


def check_adoption(settings: Settings, reader: Reader) -> None:
    """Note what is wrong with it."""
    default = Settings()
    if settings.hosts != "existing":
        rule = "adopt is true, and a Heat that is there already runs on a host that is there already"
        reader.refuse("hosts", settings.hosts, rule, "existing")
    if settings.control_plane != "existing":
        rule = "adopt is true, and the control plane is the one that the adopted heat.conf names"
        reader.refuse("controlPlane", settings.control_plane, rule, "existing")
    if settings.install in [method.value for method in Method] and not settings.release_is_known:
        rule = "adopt is true, and the adopted heat.conf is translated for a release that is known beforehand"
        reader.refuse("install", settings.install, rule, default.install)
    for name in _ITS_OWN:
        if getattr(settings, name) != getattr(default, name):
            reader.refuse(camel(name), "(set)", "adopt is true, and the adopted heat.conf says it")
    if settings.adopt_host not in settings.host_names:
        known = ", ".join(settings.host_names)
        reader.refuse("adoptHost", settings.adopt_host, f"this must be one of {known}", default.adopt_host)
    if not settings.adopt_from:
        reader.refuse("adoptFrom", [], "at least one file is wanted")
