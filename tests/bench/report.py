"""What was measured, and the tables made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.cases import Case
from tests.bench.usage import Phase

# A share of the CPUs that goes to something else than the stack, from which on the numbers say little of Heat.
_DISTURBED = 0.2
# Characters of a reason that a table has; the report has all of it.
_SHOWN = 300


@dataclass(frozen=True)
class Setup:
    """The settings under which cases are measured.

    Args:
        release: of Heat.
        checks: checksPerStack; 0 is Heat's own pace.
        engines: how many.
        share: percent of a core that each engine has; 0 holds nobody back.
    """

    release: str
    checks: int
    engines: int
    share: int

    def __str__(self) -> str:
        held = f", each with {self.share} % of a core" if self.share else ""
        return f"Heat {self.release}, {pace(self.checks)}, {self.engines} {_plural('engine', self.engines)}{held}"


@dataclass(kw_only=True)
class Row:
    """A case, and what became of it.

    Args:
        setup: under which settings.
        case: which.
        resources: that were made during its creation.
        create: its creation; None where that failed.
        delete: its deletion; None where that failed, or the creation did.
        alone: seconds of a small stack with nothing beside it, for the shape `beside`.
        beside: seconds of one while the large stack was created.
        failed: why it was refused, failed, or was not done in time; "" where it was not.
        skipped: why it was not tried; "" where it was.
        errors: lines of the engines' journals that speak of pools, locks, deadlocks or timeouts.
    """

    setup: Setup
    case: Case
    resources: int
    create: Phase | None = None
    delete: Phase | None = None
    alone: float | None = None
    beside: float | None = None
    failed: str = ""
    skipped: str = ""
    errors: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "create": self.create and self.create.as_json(),
            "delete": self.delete and self.delete.as_json(),
        }

    def line(self) -> str:
        """For whoever watches the run."""
        if self.skipped:
            return f"{self.case}: {self.skipped}"
        parts = [
            f"{verb} in {half.seconds:.1f} s (idle CPU {half.idle:.0%})"
            for verb, half in (("created", self.create), ("deleted", self.delete))
            if half
        ]
        if self.alone and self.beside:
            parts.append(f"a small stack takes {self.beside:.1f} s, alone {self.alone:.1f} s")
        if self._disturbed:
            parts.append(self._disturbed)
        if self.failed:
            parts.append(f"FAILED: {self.failed}")
        if self.errors:
            parts.append(f"{len(self.errors)} error {_plural('line', len(self.errors))} in the engines' journals")
        return f"{self.case}: {', '.join(parts)}"

    @property
    def _disturbed(self) -> str:
        others = max((half.others for half in (self.create, self.delete) if half), default=0.0)
        return f"disturbed: something else had {others:.0%} of the CPUs" if others >= _DISTURBED else ""

    @property
    def note(self) -> str:
        """What a table says beside the numbers."""
        notes = [self.skipped or self.failed[:_SHOWN]]
        if self.alone and not self.beside:
            notes.append("the large stack was complete before a small one was")
        if self.alone and self.beside:
            notes.append(
                f"a small stack: {self.beside:.1f} s, alone {self.alone:.1f} s, {self.beside / self.alone:.1f} times"
            )
        notes.append(self._disturbed)
        if self.errors:
            notes.append(f"{len(self.errors)} error {_plural('line', len(self.errors))}")
        return "; ".join(note for note in notes if note)


def from_json(told: Mapping[str, Any]) -> Row:
    """What `Row.as_json` gave."""
    return Row(
        **{
            **told,
            "setup": Setup(**told["setup"]),
            "case": Case(told["case"]["shape"], tuple(told["case"]["size"])),
            "create": Phase(**told["create"]) if told["create"] else None,
            "delete": Phase(**told["delete"]) if told["delete"] else None,
        }
    )


def bad(rows: Iterable[Row]) -> bool:
    """Whether anything failed."""
    return any(row.failed or row.errors for row in rows)


def pace(checks: int) -> str:
    """A pace by its setting."""
    return f"checksPerStack {checks}" if checks else "Heat's own pace"


def markdown(rows: Sequence[Row]) -> str:
    """The tables, ready to be pasted."""
    shapes = [row for row in rows if not row.setup.share]
    held = [row for row in rows if row.setup.share]
    parts = [shape_table(shapes)] if shapes else []
    parts += [scaling_table(held)] if held else []
    lines = [f"- {row.setup}, {row.case}: {line}" for row in rows for line in row.errors[:5]]
    if lines:
        parts.append("Error lines (at most five of a case):\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def shape_table(rows: Sequence[Row]) -> str:
    """Each case by release and pace: seconds, CPU seconds per resource, idle CPU, for creation and deletion."""
    head = ("Heat", "pace", "engines", "case", "created", "CPU s", "idle CPU", "deleted", "CPU s", "idle CPU", "")
    body = [
        (
            row.setup.release,
            pace(row.setup.checks),
            str(row.setup.engines),
            str(row.case),
            *_half(row.create, row.resources),
            *_half(row.delete, row.case.resources),
            row.note,
        )
        for row in rows
    ]
    return (
        _table(head, body, left=(0, 1, 3, 10))
        + "\n\nCPU s: CPU seconds per resource, of the engines + of the database, the broker and the APIs."
    )


def scaling_table(rows: Sequence[Row]) -> str:
    """Each case by the number of engines, and how much of linear that is."""
    head = (
        "Heat",
        "pace",
        "case",
        "engines",
        "created",
        "per second",
        "of linear",
        "deleted",
        "of linear",
        "idle CPU",
        "",
    )
    body = []
    # One case after the other, each with all its engines.
    order = list(dict.fromkeys(map(_series, rows)))
    for row in sorted(rows, key=lambda row: order.index(_series(row))):
        alike = [one for one in rows if _series(one) == _series(row)]
        body.append(
            (
                row.setup.release,
                pace(row.setup.checks),
                str(row.case),
                str(row.setup.engines),
                _seconds(row.create),
                _rate(row),
                _ratio(linear({one.setup.engines: one.create.seconds for one in alike if one.create}, row)),
                _seconds(row.delete),
                _ratio(linear({one.setup.engines: one.delete.seconds for one in alike if one.delete}, row)),
                f"{row.create.idle:.0%}" if row.create else "",
                row.note,
            )
        )
    shares = sorted({row.setup.share for row in rows})
    return (
        _table(head, body, left=(0, 1, 2, 10))
        + f"\n\nEach engine has {' or '.join(map(str, shares))} % of a core. Per second: stacks of `many`, resources of"
        " the others. Of linear: how many times as fast as the fewest engines, over how many times as many engines."
    )


def linear(seconds: Mapping[int, float], row: Row) -> float | None:
    """How much of linear a number of engines gives: 1 is all of it. None where it, or what to compare with, is missing.

    Args:
        seconds: by the number of engines.
        row: whose number of engines.
    """
    engines = row.setup.engines
    if engines not in seconds:
        return None
    fewest = min(seconds)
    return seconds[fewest] / seconds[engines] / (engines / fewest)


def per_second(row: Row) -> float | None:
    """Stacks of `many`, and resources of any other case, that were created in a second."""
    made = row.case.stacks if row.case.shape == "many" else row.case.resources
    return made / row.create.seconds if row.create else None


def _series(row: Row) -> tuple[str, int, Case, int]:
    return row.setup.release, row.setup.checks, row.case, row.setup.share


def _half(phase: Phase | None, resources: int) -> tuple[str, str, str]:
    if not phase:
        return "", "", ""
    each = [cpu / resources for cpu in (phase.engines, phase.carriers)]
    return _seconds(phase), f"{each[0]:.3f} + {each[1]:.3f}", f"{phase.idle:.0%}"


def _seconds(phase: Phase | None) -> str:
    return f"{phase.seconds:.1f} s" if phase else ""


def _rate(row: Row) -> str:
    rate = per_second(row)
    return f"{rate:.2f}" if rate is not None else ""


def _ratio(ratio: float | None) -> str:
    return f"{ratio:.2f}" if ratio is not None else ""


def _table(head: Sequence[str], body: Iterable[Sequence[str]], *, left: Sequence[int]) -> str:
    """A table in Markdown; all but the `left` columns are numbers."""
    rule = [":--" if column in left else "--:" for column in range(len(head))]
    # A reason may be any text.
    rows = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in (head, rule, *body)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
