"""Figures that tests measure for the fault matrix, and the file in which a test's result is kept for the table."""

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Figure:
    """Everything that was measured of one thing; `bound` is the most that each value may be, or the least."""

    row: str
    what: str
    bound: float
    unit: str
    is_least: bool
    values: list[float] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The value that is nearest to the bound, or furthest beyond it."""
        return min(self.values) if self.is_least else max(self.values)


@dataclass
class Result:
    """What became of one test: pytest's own words for the outcome."""

    test: str
    rows: list[str]
    outcome: str = "not run"
    figures: list[Figure] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write this test's file."""
        folder.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", self.test.rpartition("::")[2])[:60]
        (folder / f"{name}-{zlib.crc32(self.test.encode()):08x}.json").write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, file: Path) -> "Result":
        """Read a test's file."""
        document: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**document, "figures": [Figure(**figure) for figure in document["figures"]]})


class MeasuredRow:
    """Takes a test's figures of one row: each is kept, shown, and then held against its bound."""

    def __init__(self, row: str, result: Result, show: Callable[[str], None]) -> None:
        assert row in result.rows, f"the test has no marker for {row}"
        self._row = row
        self._result = result
        self._show = show

    def measured(self, what: str, seconds: float, bound_s: float) -> None:
        """A time that must not be longer than the bound."""
        self._take(what, seconds, bound_s, "s", is_least=False)

    def at_most(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """A figure that must not be larger than the bound."""
        self._take(what, value, bound, unit, is_least=False)

    def at_least(self, what: str, value: float, bound: float, unit: str = "") -> None:
        """A figure that must not be smaller than the bound."""
        self._take(what, value, bound, unit, is_least=True)

    def _take(self, what: str, value: float, bound: float, unit: str, *, is_least: bool) -> None:
        figures = self._result.figures
        figure = next((one for one in figures if (one.row, one.what) == (self._row, what)), None)
        if figure is None:
            figure = Figure(self._row, what, bound, unit, is_least)
            figures.append(figure)
        figure.values.append(round(value, 4))
        relation = ">=" if is_least else "<="
        said = f"{self._row} {what}: {value:.3g} {unit} ({relation} {bound:g}), number {len(figure.values)}"
        self._show(said)
        assert value >= bound if is_least else value <= bound, said
