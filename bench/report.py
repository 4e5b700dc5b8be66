"""What came out: tables for people, a JSON file for programs and for later comparison."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import figures, machine
from bench.figures import Figure, figure
from bench.goals import Judged
from bench.measure import Part

_SERVERS = ("reference", "pipeline", "ceiling")


def table(parts: Sequence[Part]) -> str:
    """A line per cell: the pipeline's own figures (medians), and against the others with their spread."""
    lines = [
        f"{'cell':<27}{'images/s':>9}  {'÷ reference':<21}{'of the ceiling':<21}{'CPU ms':>7}  {'÷ reference':<21}"
        f"{'p50/p95/p99 ms':<18}{'of the reference':<18}{'captured':<21}{'of the reference'}"
    ]
    return "\n".join(
        [
            *lines,
            *(_line(parts, cell) for cell in _cells(parts)),
            *_age_lines(parts),
            "",
            _sizes(parts),
            *_errors(parts),
        ]
    )


def goals_table(judged: Sequence[Judged]) -> str:
    """Each goal with what was measured."""
    lines = [f"{'cell':<27}{'figure':<26}{'measured (spread)':<24}{'goal':<9}verdict"]
    for one in judged:
        measured = "–" if one.measured is None else str(one.measured)
        lines.append(f"{one.goal.cell:<27}{one.goal.what:<26}{measured:<24}{one.goal!s:<9}{one.verdict}")
    return "\n".join(lines)


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Any rows with the same keys as a table, figures with three digits."""
    texts = [[figure(value) if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    titles = [*rows[0]] if rows else []
    widths = [max(len(line[column]) for line in [titles, *texts]) for column in range(len(titles))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [titles, *texts]
    )


def write(folder: Path, name: str, document: Mapping[str, Any]) -> Path:
    """Write a result with the facts of the machine; returns the file, which is named after the time and `name`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y-%m-%d-%H%M')}-{name}.json"
    path.write_text(json.dumps({"machine": machine.facts(), **document}, indent=1) + "\n")
    return path


def document(parts: Sequence[Part], judged: Sequence[Judged], **run: Any) -> dict[str, Any]:
    """All of a run."""
    goals = [{**asdict(one), "goal": {**asdict(one.goal), "text": str(one.goal)}} for one in judged]
    return {
        "run": run,
        "goals": goals,
        "parts": [{**asdict(part), "images_per_s": part.images_per_s} for part in parts],
    }


def _cells(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(part.cell for part in parts))


def _line(parts: Sequence[Part], cell: str) -> str:
    faster = figures.ratios(parts, cell, lambda part: part.images_per_s, over="reference")
    share = figures.ratios(parts, cell, lambda part: part.images_per_s, over="ceiling")
    cpu = figures.ratios(parts, cell, lambda part: part.cpu_ms, over="reference")
    ours = [_median(parts, cell, "pipeline", take) for take in (lambda part: part.images_per_s, lambda p: p.cpu_ms)]
    return (
        f"{cell:<27}{ours[0]:>9}  {_spread(faster):<21}{_spread(share):<21}{ours[1]:>7}  {_spread(cpu):<21}"
        f"{_latency(parts, cell, 'pipeline'):<18}{_latency(parts, cell, 'reference'):<18}"
        f"{_spread(figures.of(parts, cell, 'pipeline', _captured)):<21}"
        f"{_spread(figures.of(parts, cell, 'reference', _captured))}"
    )


def _age_lines(parts: Sequence[Part]) -> list[str]:
    cells = list(dict.fromkeys(part.cell for part in parts if part.age_p50_ms is not None))
    lines = (
        ["", f"{'frame age at receipt':<27}{'p50/p95 ms':>14}{'of the reference':>18}  ÷ reference"] if cells else []
    )
    for cell in cells:
        ratio = _spread(figures.ratios(parts, cell, lambda part: part.age_p50_ms, over="reference"))
        ours, theirs = (_age(parts, cell, server) for server in ("pipeline", "reference"))
        lines.append(f"{cell:<27}{ours:>14}{theirs:>18}  {ratio}")
    return lines


def _sizes(parts: Sequence[Part]) -> str:
    """How large the answers really were."""
    sizes = {(part.cell.rpartition("-")[0], part.image_bytes) for part in parts if part.server == "pipeline"}
    largest = {group: max(size for name, size in sizes if name == group) for group, _ in sorted(sizes)}
    return "image sizes: " + ", ".join(f"{group} {size / 1000:.0f} kB" for group, size in largest.items())


def _errors(parts: Sequence[Part]) -> list[str]:
    """Where somebody got no picture."""
    return [f"{part.errors} calls without a picture: {part.cell}, {part.server}" for part in parts if part.errors]


def _captured(part: Part) -> float | None:
    return part.capture_rate


def _latency(parts: Sequence[Part], cell: str, server: str) -> str:
    takes: list[Figure] = [lambda part: part.p50_ms, lambda part: part.p95_ms, lambda part: part.p99_ms]
    return "/".join(_median(parts, cell, server, take) for take in takes)


def _age(parts: Sequence[Part], cell: str, server: str) -> str:
    takes: list[Figure] = [lambda part: part.age_p50_ms, lambda part: part.age_p95_ms]
    return "/".join(_median(parts, cell, server, take) for take in takes)


def _median(parts: Sequence[Part], cell: str, server: str, take: Figure) -> str:
    found = figures.spread(figures.of(parts, cell, server, take))
    return "–" if found is None else figure(found.median)


def _spread(values: Sequence[float]) -> str:
    return str(figures.spread(values) or "–")
