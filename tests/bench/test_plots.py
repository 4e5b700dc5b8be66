"""The pictures of a run are drawn from whatever was measured."""

from pathlib import Path
from typing import Any

import pytest

from bench import cells, plots
from tests.bench.test_goals import part

pytest.importorskip("matplotlib", reason="the plots are an extra: pip install '.[bench]'")


def test_a_plot_for_each_figure(tmp_path: Path) -> None:
    """Of every cell, also of one that a server gave nothing in."""
    parts = []
    for cell in cells.ALL:
        ages: dict[str, Any] = {"age_p50_ms": 20.0, "age_p95_ms": 30.0} if cell.age else {}
        parts += [part(server, cell=cell.name, **ages) for server in ("reference", "pipeline")]
    drawn = plots.draw([*parts, part("ceiling", images=0)], tmp_path, "run")
    assert [path.name for path in drawn] == [f"run-{what}.png" for what in ("throughput", "latency", "cpu", "age")]
    assert all(path.stat().st_size > 10_000 for path in drawn)


def test_no_plot_of_nothing(tmp_path: Path) -> None:
    """A run without age cells has no picture of ages."""
    drawn = plots.draw([part("reference"), part("pipeline")], tmp_path, "run")
    assert [path.name for path in drawn] == [f"run-{what}.png" for what in ("throughput", "latency", "cpu")]


def test_a_table_as_lines(tmp_path: Path) -> None:
    """As `scale` draws its own."""
    rows = [{"cameras": c, "clients": n, "images/s": 10.0 * n} for c in (1, 2) for n in (1, 8)]
    path = plots.lines(rows, "clients", "cameras", ["images/s"], tmp_path / "scale.png")
    assert path.stat().st_size > 5_000
