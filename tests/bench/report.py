"""The results and their tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.cases import Case
from tests.bench.usage import Phase

# If other programs use this share of the CPUs, the results say little about Heat.
_DISTURBED = 0.2
# How many characters of a reason a table shows; the report has all of it.
_SHOWN = 300


@dataclass(frozen=True)
class Setup:
    """The settings under which cases are measured.

    Args:
        release: of Heat.
        checks: checksPerStack; 0 is Heat's own pace.
        engines: the number of engines.
        share: percent of a core for each engine; 0 means no limit.
    """

    release: str
    checks: int
    engines: int
    share: int

    def __str__(self) -> str:
        held = f", each with {self.share} % of a core" if self.share else ""
        return f"Heat {self.release}, {pace(self.checks)}, {self.engines} {_plural('engine', self.engines)}{held}"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What several clients were answered that asked all the time.

    Args:
        usage: the seconds, and what they cost.
        requests: how many were answered.
        median: seconds of an answer; half of the answers took longer.
        late: seconds that one answer of a hundred took longer than.
        failed: how many answers were not 200.
    """

    usage: Phase
    requests: int
    median: float
    late: float
    failed: int


@dataclass(kw_only=True)
class Row:
    """A case and its results.

    Args:
        setup: the settings.
        case: the case.
        resources: how many were created during its creation.
        create: its creation; None if that failed.
        delete: its deletion; None if that or the creation failed.
        alone: seconds of a small stack by itself, for the shape `beside`.
        beside: seconds of a small stack while the large stack was created.
        asked: the requests, for the shapes of `REQUESTS`.
        memory: MiB of the largest process of an engine and of the ReST API at the end, by the name of the unit.
        failed: why it was refused, failed, or was not complete in time; "" if it succeeded.
        skipped: why it was skipped; "" if it was not.
        errors: lines of the engines' journals about pools, locks, deadlocks or timeouts.
    """

    setup: Setup
    case: Case
    resources: int
    create: Phase | None = None
    delete: Phase | None = None
    alone: float | None = None
    beside: float | None = None
    asked: Asked | None = None
    memory: dict[str, int] = field(default_factory=dict)
    failed: str = ""
    skipped: str = ""
    errors: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "create": self.create and self.create.as_json(),
            "delete": self.delete and self.delete.as_json(),
            "asked": self.asked and {**asdict(self.asked), "usage": self.asked.usage.as_json()},
        }

    def line(self) -> str:
        """A line for the progress report."""
        if self.skipped:
            return f"{self.case}: {self.skipped}"
        parts = [
            f"{verb} in {half.seconds:.1f} s (idle CPU {half.idle:.0%})"
            for verb, half in (("created", self.create), ("deleted", self.delete))
            if half
        ]
        if self.alone and self.beside:
            parts.append(f"a small stack takes {self.beside:.1f} s, alone {self.alone:.1f} s")
        if self.asked:
            parts.append(f"{_per_second(self.asked):.0f} requests per second, median {self.asked.median * 1000:.0f} ms")
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
        return f"disturbed: other programs used {others:.0%} of the CPUs" if others >= _DISTURBED else ""

    @property
    def note(self) -> str:
        """The note next to the numbers in a table."""
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


def from_json(result: Mapping[str, Any]) -> Row:
    """A row from the result of `Row.as_json`."""
    asked = result.get("asked")
    return Row(
        **{
            **result,
            "asked": Asked(**{**asked, "usage": Phase(**asked["usage"])}) if asked else None,
            "setup": Setup(**result["setup"]),
            "case": Case(result["case"]["shape"], tuple(result["case"]["size"])),
            "create": Phase(**result["create"]) if result["create"] else None,
            "delete": Phase(**result["delete"]) if result["delete"] else None,
        }
    )


def bad(rows: Iterable[Row]) -> bool:
    """Whether anything failed."""
    return any(row.failed or row.errors or (row.asked and row.asked.failed) for row in rows)


def pace(checks: int) -> str:
    """The name of a pace, by the setting checksPerStack."""
    return f"checksPerStack {checks}" if checks else "Heat's own pace"


def markdown(rows: Sequence[Row]) -> str:
    """The tables, in Markdown."""
    shapes = [row for row in rows if not row.setup.share and not row.asked]
    held = [row for row in rows if row.setup.share]
    parts = [shape_table(shapes)] if shapes else []
    parts += [scaling_table(held)] if held else []
    asked = [row for row in rows if row.asked]
    parts += [request_table(asked)] if asked else []
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


def request_table(rows: Sequence[Row]) -> str:
    """Each case of requests: how many were answered, how fast, and what each cost."""
    head = ("Heat", "case", "requests per second", "median", "99 %", "failed", "API", "engine", "others", "memory")
    body = []
    for row in rows:
        asked = row.asked
        assert asked
        usage = asked.usage
        costs = (usage.apis, usage.engines, usage.carriers - usage.apis)
        body.append(
            (
                row.setup.release,
                str(row.case),
                f"{_per_second(asked):.0f}",
                f"{asked.median * 1000:.0f} ms",
                f"{asked.late * 1000:.0f} ms",
                str(asked.failed),
                *(f"{cost / max(asked.requests, 1) * 1000:.1f} ms" for cost in costs),
                ", ".join(f"{kind} {size} MiB" for kind, size in sorted(row.memory.items())),
            )
        )
    return (
        _table(head, body, left=(0, 9))
        + "\n\nThe number of a case is that of clients. Each sends its next request when it has the answer."
        " API, engine, others (the database and the broker): CPU time of a request."
    )


def _per_second(asked: Asked) -> float:
    return asked.requests / asked.usage.seconds


def scaling_table(rows: Sequence[Row]) -> str:
    """Each case by the number of engines, compared with linear scaling."""
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
    # Sorted by case, each with all its numbers of engines.
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
    """The ratio to linear scaling: 1 is linear. None if a value for the comparison is missing.

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
    """How many stacks of `many`, or resources of any other case, were created per second."""
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
    # A reason may contain any text.
    rows = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in (head, rule, *body)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
