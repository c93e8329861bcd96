"""What a run of the benchmark measures: its options in the environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cases import DEFAULT, SCALING, SCALING_SHORT, SHORT, Case, cases, numbers, releases
from tests.bench.report import Setup

# The number of engines for the shapes: the default of the setting.
SHAPE_ENGINES = 2


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to measure.

    Args:
        releases: of Heat, the oldest first.
        paces: values of checksPerStack.
        shapes: cases with engines that are not limited.
        engines: numbers of engines, one after the other.
        scaling: cases for each number of engines.
        share: percent of a core for each of these engines.
        limit: seconds for one creation or deletion.
        pause: seconds above which a case is skipped at Heat's own pace.
        settings: further settings, by their paths.
        report: a file for the results, as JSON.
    """

    releases: list[str]
    paces: list[int]
    shapes: list[Case]
    engines: list[int]
    scaling: list[Case]
    share: int
    limit: int
    pause: int
    settings: dict[str, str]
    report: Path | None


def chosen(env: Mapping[str, str]) -> Choice:
    """Read the environment.

    Raises:
        ValueError: an option is invalid.
    """
    short = bool(env.get("SHORT"))
    shapes, scaling = (SHORT, SCALING_SHORT) if short else (DEFAULT, SCALING)
    return Choice(
        releases=releases(env.get("RELEASES") or ("27.0.1" if short else "27.0.1,24.1.2")),
        paces=numbers("PACES", env.get("PACES") or ("8" if short else "8,0"), least=0, most=1000),
        shapes=cases(env.get("CASES", shapes)),
        engines=numbers("ENGINES", env.get("ENGINES", "1,2" if short else "1,2,4,8"), least=1, most=64),
        scaling=cases(env.get("SCALING", scaling)),
        share=_one("SHARE", env, 15, least=1, most=100),
        limit=_one("LIMIT", env, 120 if short else 420, least=10, most=7200),
        pause=_one("PAUSE", env, 300, least=0, most=7200),
        settings=dict(_setting(word) for word in env.get("SET", "").split()),
        report=Path(env["REPORT"]) if env.get("REPORT") else None,
    )


def plan(choice: Choice) -> list[tuple[Setup, list[Case]]]:
    """The settings, one after the other, with the cases for each."""
    found = []
    for release in choice.releases:
        for checks in choice.paces:
            if choice.shapes:
                found.append((Setup(release, checks, SHAPE_ENGINES, 0), choice.shapes))
            if choice.scaling:
                setups = (Setup(release, checks, engines, choice.share) for engines in choice.engines)
                found.extend((setup, choice.scaling) for setup in setups)
    return found


def too_long(setup: Setup, case: Case, pause: int) -> str:
    """Why a case is skipped; "" if it is not."""
    if setup.checks == 0 and case.pause > pause:
        return f"skipped: at Heat's own pace it takes at least {case.pause} s"
    return ""


def _one(name: str, env: Mapping[str, str], default: int, *, least: int, most: int) -> int:
    found = numbers(name, env.get(name) or str(default), least=least, most=most)
    if len(found) != 1:
        raise ValueError(f"{name}: {env[name]!r} must be one integer from {least} to {most}.")
    return found[0]


def _setting(word: str) -> tuple[str, str]:
    path, sign, value = word.partition("=")
    if not sign or not path:
        raise ValueError(f"SET: {word!r} must be a setting's path and its value, such as engineWorkers=2.")
    return path, value
