"""`timeouts`: how long each part waits for another."""

from __future__ import annotations

from pydantic import Field

from infra.settings.fields import Integer, Section
from infra.settings.formats import LONGEST


class TimeoutSettings(Section):
    """The chain of timeouts, in seconds: `components.timeouts`. A timeout that is not set follows from the others."""

    rpc_response: Integer = Field(default=60, ge=1, le=LONGEST)
    """Seconds that an API waits for an engine's answer."""
    uwsgi: Integer | None = Field(default=None, ge=1, le=LONGEST)
    """Seconds that uWSGI waits. Unset: timeouts.rpcResponse and 5."""
    proxy_server: Integer | None = Field(default=None, ge=1, le=LONGEST)
    """Seconds that the proxy waits for an API. Unset: timeouts.uwsgi and 5."""
    api_stop: Integer | None = Field(default=None, ge=1, le=LONGEST)
    """Seconds that an API has to finish its requests when it stops. Unset: timeouts.uwsgi and 10."""
    engine_graceful: Integer = Field(default=60, ge=1, le=LONGEST)
    """Seconds that `pulumi up` waits for an engine to stop. After that it fails and lists the engine's stacks, which
    the engine still finishes."""
    engine_stop: Integer | None = Field(default=None, ge=1, le=LONGEST)
    """Seconds after which systemd kills an engine. Unset: timeouts.engineGraceful and 15."""


class TimeoutsSection(Section):
    """Timeouts."""

    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    """How long each part waits for another, in seconds."""
