"""Draw a report as SVG: the seconds of a wide stack by its width, and the effect of more engines.

Runs in an environment of its own, which has matplotlib: tests/bench/plot.sh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
# Text stays text, and the same report gives the same file.
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "heat-scaleout", "font.size": 10}

from matplotlib import pyplot as plt  # noqa: E402 # after the choice of the output
from matplotlib.ticker import NullFormatter, StrMethodFormatter  # noqa: E402

from tests.bench.report import Row, from_json, pace, per_second  # noqa: E402


def by_width(rows: Sequence[Row], path: Path) -> None:
    """Seconds of a wide stack by its width, for each release and pace; logarithmic."""
    wide = [row for row in rows if row.case.shape == "wide" and not row.setup.share and row.create]
    _draw(
        wide,
        path,
        x=lambda row: row.case.size[0],
        y=lambda row: row.create.seconds if row.create else 0,
        labels=("independent resources in one stack", "seconds until CREATE_COMPLETE"),
        ideal=False,
    )


def by_engines(rows: Sequence[Row], path: Path, shape: str) -> None:
    """What is created per second by the number of engines, and the linear ideal."""
    held = [row for row in rows if row.case.shape == shape and row.setup.share and row.create]
    what = "stacks" if shape == "many" else "resources"
    share = held[0].setup.share if held else 0
    _draw(
        held,
        path,
        x=lambda row: row.setup.engines,
        y=lambda row: per_second(row) or 0,
        labels=(f"engines, each with {share} % of a core", f"{what} created per second"),
        ideal=True,
    )


def _draw(
    rows: Sequence[Row],
    path: Path,
    *,
    x: Callable[[Row], float],
    y: Callable[[Row], float],
    labels: tuple[str, str],
    ideal: bool,
) -> None:
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    series: dict[str, list[Row]] = {}
    for row in rows:
        name = f"Heat {row.setup.release}, {pace(row.setup.checks)}"
        series.setdefault(f"{name}, {row.case}" if ideal else name, []).append(row)
    for name, found in series.items():
        points = sorted((x(row), y(row)) for row in found)
        (line,) = axes.plot(*zip(*points, strict=True), marker="o", label=name)
        if ideal:
            (first, rate), (last, _) = points[0], points[-1]
            axes.plot([first, last], [rate, rate / first * last], "--", color=line.get_color(), alpha=0.5)
    if ideal:
        axes.plot([], [], "--", color="grey", label="linear")
    axes.set_xscale("log", base=2 if ideal else 10)
    axes.set_yscale("log", base=2 if ideal else 10)
    axes.set_xticks(sorted({x(row) for row in rows}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path, file=sys.stderr)


def main(report: str, directory: str) -> None:
    rows = [from_json(item) for item in json.loads(Path(report).read_text())["rows"]]
    where = Path(directory)
    where.mkdir(parents=True, exist_ok=True)
    by_width(rows, where / "wide.svg")
    for shape in ("wide", "many"):
        by_engines(rows, where / f"engines-{shape}.svg", shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
