"""Figures of two servers against each other: one for each repeat, so that their spread is the noise."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.measure import Part

Figure = Callable[[Part], float | None]


@dataclass(frozen=True)
class Spread:
    """Of figures that were taken in turn: the middle one, and between which they lie."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """As "2.41 (2.35–2.60)"."""
        return f"{figure(self.median)} ({figure(self.least)}–{figure(self.most)})"


def spread(values: Iterable[float]) -> Spread | None:
    """The spread of the figures that are numbers; None if there are none."""
    numbers = [value for value in values if math.isfinite(value)]
    if not numbers:
        return None
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


def of(parts: Iterable[Part], cell: str, server: str, take: Figure) -> list[float]:
    """A figure of one server in a cell, in the order of the repeats."""
    chosen = sorted((part for part in parts if (part.cell, part.server) == (cell, server)), key=lambda p: p.repeat)
    return [math.nan if (value := take(part)) is None else value for part in chosen]


def ratios(parts: Sequence[Part], cell: str, take: Figure, *, over: str, of_server: str = "pipeline") -> list[float]:
    """The figure of a server divided by that of another one in the same repeat."""
    upper = {part.repeat: take(part) for part in parts if (part.cell, part.server) == (cell, of_server)}
    lower = {part.repeat: take(part) for part in parts if (part.cell, part.server) == (cell, over)}
    return [_divided(upper[repeat], lower[repeat]) for repeat in sorted(upper.keys() & lower.keys())]


def figure(value: float) -> str:
    """A figure with three digits, as a person reads it."""
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "–"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def _divided(upper: float | None, lower: float | None) -> float:
    return math.nan if upper is None or not lower else upper / lower
