"""Figures of the repeats become ratios, and ratios become verdicts."""

import math
from typing import Any

import pytest

from bench import cells, figures, goals, report
from bench.goals import Goal, judge
from bench.measure import Part

LEAST, MOST = Goal("vga-jpeg-8", "throughput ÷ reference", 2.5), Goal("vga-jpeg-8", "CPU ÷ reference", 0.33)


def part(server: str, repeat: int = 0, **facts: Any) -> Part:
    """One measurement, in which nothing is remarkable but what the test says."""
    usual: dict[str, Any] = {
        "cell": "vga-jpeg-8",
        "seconds": 1.0,
        "images": 100,
        "errors": 0,
        "image_bytes": 64_000,
        **dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "cpu_ms", "servicer_cpu_ms", "client_cpu_ms"), 1.0),
        **dict.fromkeys(("age_p50_ms", "age_p95_ms")),
        "capture_rate": 1.0,
    }
    return Part(server=server, repeat=repeat, **{**usual, **facts})


@pytest.mark.parametrize(
    ("goal", "measured", "verdict"),
    [
        (LEAST, [2.4, 2.6, 2.7], "met"),
        (LEAST, [2.3, 2.4, 2.6], "within the noise"),
        (LEAST, [2.3, 2.4, 2.49], "MISSED"),
        (MOST, [0.3, 0.33, 0.4], "met"),
        (MOST, [0.3, 0.34, 0.4], "within the noise"),
        (MOST, [0.34, 0.35, 0.4], "MISSED"),
        (MOST, [0.3], "met"),
        (LEAST, [], "NOT MEASURED"),
        (LEAST, [math.nan], "NOT MEASURED"),
    ],
)
def test_verdicts(goal: Goal, measured: list[float], verdict: str) -> None:
    """The median meets a goal, or one repeat at least, or none; what was not measured is not met."""
    judged = judge(goal, measured)
    assert judged.verdict == verdict
    assert judged.is_missed == (verdict in ("MISSED", "NOT MEASURED"))


def test_ratios_are_of_the_same_repeat() -> None:
    """The machine may be twice as fast in the next one."""
    parts = [part("reference", 0, images=100), part("pipeline", 0, images=300)]
    parts += [part("pipeline", 1, images=500), part("reference", 1, images=200)]
    assert figures.ratios(parts, "vga-jpeg-8", lambda one: one.images_per_s, over="reference") == [3.0, 2.5]
    assert figures.ratios(parts, "vga-jpeg-8", lambda one: one.images_per_s, over="ceiling") == []


def test_a_server_that_answers_nothing_has_no_ratio() -> None:
    """Neither infinitely fast nor a crash of the bench."""
    parts = [part("reference", images=0), part("pipeline")]
    ratios = figures.ratios(parts, "vga-jpeg-8", lambda one: one.images_per_s, over="reference")
    assert figures.spread(ratios) is None


def test_the_spread_is_the_noise() -> None:
    """Median, least and most, without what is no number."""
    assert figures.spread([3.0, math.nan, 1.0, 2.0]) == figures.Spread(2.0, 1.0, 3.0)


def test_only_what_was_measured_is_judged() -> None:
    """A run of some cells says nothing about the others."""
    parts = [part("reference", cpu_ms=2.0, capture_rate=0.6), part("pipeline", images=300, capture_rate=0.95)]
    judged = {one.goal.what: one for one in goals.judge_all(parts)}
    assert judged["throughput ÷ reference"].verdict == "met"
    assert judged["CPU ÷ reference"].verdict == "MISSED"
    assert judged["share of the ceiling"].verdict == "NOT MEASURED"
    assert judged["captured"].verdict == "MISSED"
    assert goals.judge_all([part("reference", cell="vga-jpeg-1"), part("pipeline", cell="vga-jpeg-1")]) == []


def test_the_worst_capture_rate_is_judged() -> None:
    """99 % under any load means under each."""
    parts = [part("pipeline", capture_rate=1.0)]
    parts += [part("pipeline", repeat, cell="vga-rgb-32", capture_rate=rate) for repeat, rate in enumerate([0.9, 1, 1])]
    captured = next(one for one in goals.judge_all(parts) if one.goal.what == "captured")
    assert captured.goal.cell == "vga-rgb-32"
    assert captured.verdict == "MISSED"


def test_every_goal_has_its_cell() -> None:
    """The quick run measures what the goals are about, and nothing else."""
    quick = {cell.name for cell in cells.choose(goals_alone=True)}
    assert quick == {goal.cell for goal in goals.GOALS}


def test_cells_of_a_scene_are_together() -> None:
    """Servers are started once per scene; names are unique."""
    scenes = [cell.scene for cell in cells.ALL]
    runs = [scene for number, scene in enumerate(scenes) if number == 0 or scenes[number - 1] != scene]
    assert len(runs) == len(set(scenes))
    assert len({cell.name for cell in cells.ALL}) == len(cells.ALL)


def test_different_clients_ask_for_different_pictures() -> None:
    """And alike ones for the same, each of a camera of its own if there are several."""
    different = next(cell for cell in cells.ALL if cell.name == "vga-jpeg-different-8")
    assert len({request["quality_percent"] for request in different.requests}) == 8
    four = next(cell for cell in cells.ALL if cell.name == "1080p-jpeg-4cameras-32")
    assert {request["quality_percent"] for request in four.requests} == {75}
    assert {request["image_source_name"] for request in four.requests} == {"cam0", "cam1", "cam2", "cam3"}


def test_the_tables_show_every_cell() -> None:
    """Also one that a server took no part in, or answered nothing in."""
    parts = [part("reference"), part("pipeline"), part("reference", cell="vga-jpeg-age", age_p50_ms=20.0, images=0)]
    table = report.table(parts)
    assert "vga-jpeg-8" in table
    assert "vga-jpeg-age" in table
    assert "MISSED" in report.goals_table(goals.judge_all(parts))
