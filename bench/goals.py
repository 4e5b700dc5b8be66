"""The goals, and whether figures meet them: missed is what is missed in every repeat."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench import figures
from bench.cells import Cell
from bench.figures import Spread
from bench.measure import Part

What = Literal["throughput ÷ reference", "share of the ceiling", "CPU ÷ reference", "age ÷ reference", "captured"]
Verdict = Literal["met", "within the noise", "MISSED", "NOT MEASURED"]

_AT_LEAST: tuple[What, ...] = ("throughput ÷ reference", "share of the ceiling", "captured")


@dataclass(frozen=True)
class Goal:
    """A bound for one figure of one cell."""

    cell: str
    what: What
    bound: float

    @property
    def is_least(self) -> bool:
        """Whether more is better."""
        return self.what in _AT_LEAST

    def __str__(self) -> str:
        """As "≥ 2.5"."""
        return f"{'≥' if self.is_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Judged:
    """A goal, what was measured, and the verdict."""

    goal: Goal
    measured: Spread | None
    verdict: Verdict

    @property
    def is_missed(self) -> bool:
        """Whether the run has to say so."""
        return self.verdict in ("MISSED", "NOT MEASURED")


def _goals(cell: str, faster: float, cpu: float, share: float | None = None) -> list[Goal]:
    shares = [] if share is None else [Goal(cell, "share of the ceiling", share)]
    return [Goal(cell, "throughput ÷ reference", faster), *shares, Goal(cell, "CPU ÷ reference", cpu)]


GOALS = [
    *_goals("vga-jpeg-8", 2.5, 0.33, 0.80),
    *_goals("1080p-jpeg-8", 6, 0.11, 0.80),
    *_goals("vga-grey-8", 3, 0.2),
    *_goals("1080p-grey-8", 4, 0.15),
    *_goals("vga-rgb-8", 1.2, 0.8, 0.85),
    *_goals("1080p-rgb-8", 1.0, 0.8, 0.9),
    *_goals("vga-jpeg-different-8", 1.0, 1.0),
    *_goals("1080p-jpeg-different-8", 1.0, 1.0),
    *_goals("1080p-jpeg-4cameras-32", 4, 0.2),
    Goal("vga-jpeg-age", "age ÷ reference", 0.7),
    Goal("vga-jpeg-queued-age", "age ÷ reference", 0.1),
]
_CAPTURED = 0.99


def needs_ceiling(cell: Cell) -> bool:
    """Whether a goal is a share of the ceiling in this cell."""
    return any(goal.cell == cell.name and goal.what == "share of the ceiling" for goal in GOALS)


def judge_all(parts: Sequence[Part]) -> list[Judged]:
    """Judge every goal whose cell was measured, and the capture rate of the cell where it was lowest."""
    cells = list(dict.fromkeys(part.cell for part in parts))
    goals = [goal for goal in GOALS if goal.cell in cells]
    judged = [judge(goal, _measured(goal, parts)) for goal in goals]
    if goals:
        judged.append(_judge_captures(parts))
    return judged


def judge(goal: Goal, measured: Iterable[float]) -> Judged:
    """Judge the figures of the repeats: the median meets the goal, at least one of them does, or none."""
    found = figures.spread(measured)
    if found is None:
        return Judged(goal, None, "NOT MEASURED")
    best = found.most if goal.is_least else found.least
    verdict: Verdict = "met" if _meets(goal, found.median) else "within the noise" if _meets(goal, best) else "MISSED"
    return Judged(goal, found, verdict)


def _meets(goal: Goal, value: float) -> bool:
    return value >= goal.bound if goal.is_least else value <= goal.bound


def _measured(goal: Goal, parts: Sequence[Part]) -> list[float]:
    if goal.what == "throughput ÷ reference":
        return figures.ratios(parts, goal.cell, lambda part: part.images_per_s, over="reference")
    if goal.what == "share of the ceiling":
        return figures.ratios(parts, goal.cell, lambda part: part.images_per_s, over="ceiling")
    if goal.what == "CPU ÷ reference":
        return figures.ratios(parts, goal.cell, lambda part: part.cpu_ms, over="reference")
    return figures.ratios(parts, goal.cell, lambda part: part.age_p50_ms, over="reference")


def _judge_captures(parts: Sequence[Part]) -> Judged:
    """The mean of all repeats, in the cell where it was lowest: a frame that is lost is no noise."""
    cells = dict.fromkeys(part.cell for part in parts if part.server == "pipeline")
    rates = {cell: figures.of(parts, cell, "pipeline", lambda part: part.capture_rate) for cell in cells}
    means = {cell: statistics.fmean(values) for cell, values in rates.items()}
    worst = min(means, key=lambda cell: means[cell])
    verdict: Verdict = "met" if means[worst] >= _CAPTURED else "MISSED"
    return Judged(
        Goal(worst, "captured", _CAPTURED), Spread(means[worst], min(rates[worst]), max(rates[worst])), verdict
    )
