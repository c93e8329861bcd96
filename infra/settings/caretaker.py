"""`caretaker`: stack recovery and cleanup."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from components.heat.caretaker import Schedule
from infra.settings.fields import Integer, Section
from infra.settings.formats import LONGEST, TIME, refusal


def _divides(whole: int, unit: str) -> Callable[[int], int]:
    """A period that divides an hour or a day comes at the same times in each of them."""
    fitting = [number for number in range(1, whole) if whole % number == 0]

    def check(value: int) -> int:
        if 0 < value < whole and value not in fitting:
            raise refusal(f"must be {unit} ({', '.join(map(str, fitting))}), or 0 for never")
        return value

    return check


_Minutes = Annotated[Integer, AfterValidator(_divides(60, "minutes that divide an hour"))]
_Hours = Annotated[Integer, AfterValidator(_divides(24, "hours that divide a day"))]


class CaretakerSettings(Section):
    """When the caretaker recovers stacks and cleans up; 0 is never."""

    rescue_minutes: _Minutes = Field(default=1, ge=0, le=59)
    """Minutes between searches for stacks whose engine is gone. 0: never."""
    # Longer than Heat's resources take between a message and their lock: API calls, retries, properties to be resolved.
    grace_seconds: Integer = Field(default=180, ge=1, le=LONGEST)
    """Seconds that a stack must stand still before it is recovered."""
    clean_hours: _Hours = Field(default=1, ge=0, le=23)
    """Hours between removals of the records of dead engines. 0: never."""
    # The default of `heat-manage purge_deleted`; beyond a hundred years it counts to a day that Python does not have.
    purge_days: Integer = Field(default=90, ge=0, le=36_500)
    """Days after which deleted stacks are purged. 0: never."""
    purge_at: Annotated[str, TIME] = "03:30"
    """Time of the day for that."""


class CaretakerSection(Section):
    """Stack recovery and cleanup."""

    caretaker: CaretakerSettings = Field(default_factory=CaretakerSettings)
    """Stack recovery and cleanup (docs/caretaker.md)."""

    @property
    def schedule(self) -> Schedule:
        """When the caretaker does what."""
        return Schedule(**self.caretaker.model_dump())
