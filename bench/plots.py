"""The figures as pictures. matplotlib is loaded by whoever asks for one: `pip install '.[bench]'`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cells, figures
from bench.figures import Figure
from bench.measure import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"reference": "#b0552c", "pipeline": "#1f6f8b", "ceiling": "#9a9a9a"}
_LABELS = {"reference": "SDK's service", "pipeline": "this pipeline", "ceiling": "transport alone"}
_BAR = 0.38
_ACROSS = 3


def draw(parts: Sequence[Part], folder: Path, name: str) -> list[Path]:
    """Draw what there is something of: throughput, latency, CPU, age."""
    drawn: list[tuple[str, Callable[[Sequence[Part], Any], bool]]] = [
        ("throughput", _throughput),
        ("latency", _latency),
        ("cpu", _cpu),
        ("age", _age),
    ]
    return [path for what, draw_it in drawn if (path := _drawn(parts, draw_it, folder / f"{name}-{what}.png"))]


def lines(rows: Sequence[Mapping[str, Any]], x: str, by: str, values: Sequence[str], path: Path) -> Path:
    """Draw some columns of a table over another one, a line for each value of `by`."""
    figure = _figure(len(values))
    for axes, value in zip(figure.axes, values, strict=False):
        for one in dict.fromkeys(row[by] for row in rows):
            chosen = [row for row in rows if row[by] == one]
            axes.plot([row[x] for row in chosen], [row[value] for row in chosen], "o-", label=f"{one} {by}")
        _over_loads(axes, value, [row[x] for row in rows])
        axes.set_xlabel(x)
        axes.legend(fontsize=7)
    return _save(figure, path)


def _drawn(parts: Sequence[Part], draw_it: Callable[[Sequence[Part], Any], bool], path: Path) -> Path | None:
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    canvas = Canvas(figsize=(12, 7), layout="constrained")
    return _save(canvas, path) if draw_it(parts, canvas) else None


def _figure(count: int) -> Any:
    from matplotlib.figure import Figure as Canvas  # noqa: PLC0415

    rows = -(-count // _ACROSS)
    canvas = Canvas(figsize=(12, 0.5 + 3.2 * rows), layout="constrained")
    canvas.subplots(rows, min(_ACROSS, count), squeeze=False)
    for spare in canvas.axes[count:]:
        spare.remove()
    return canvas


def _save(canvas: Any, path: Path) -> Path:
    canvas.savefig(path, dpi=110)
    return path


def _throughput(parts: Sequence[Part], canvas: Any) -> bool:
    known = {cell.name: cell for cell in cells.ALL if not cell.age}
    measured = [known[name] for name in dict.fromkeys(part.cell for part in parts) if name in known]
    groups = list(dict.fromkeys(cell.group for cell in measured))
    if not groups:
        return False
    rows = -(-len(groups) // _ACROSS)
    canvas.set_size_inches(12, 0.8 + 2.7 * rows)
    grid = canvas.subplots(rows, _ACROSS, squeeze=False).flatten()
    for axes, group in zip(grid, groups, strict=False):
        of_group = sorted((cell for cell in measured if cell.group == group), key=lambda cell: cell.clients)
        for server in _COLOURS:
            _line(axes, parts, [(cell.clients, cell.name) for cell in of_group], server)
        _over_loads(axes, group, [cell.clients for cell in of_group])
    for spare in grid[len(groups) :]:
        spare.remove()
    grid[0].legend(fontsize=8)
    canvas.suptitle("Images per second over concurrent clients (median, and all repeats)")
    return True


def _line(axes: "Axes", parts: Sequence[Part], places: list[tuple[int, str]], server: str) -> None:
    points = []
    for clients, cell in places:
        values = figures.of(parts, cell, server, lambda part: part.images_per_s)
        if found := figures.spread(values):
            points.append((clients, found))
    if points:
        x, middle = [clients for clients, _ in points], [found.median for _, found in points]
        errors = [[f.median - f.least for _, f in points], [f.most - f.median for _, f in points]]
        axes.errorbar(x, middle, errors, fmt="o-", capsize=3, color=_COLOURS[server], label=_LABELS[server])


def _over_loads(axes: "Axes", title: str, loads: list[int]) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(set(loads)), [str(load) for load in sorted(set(loads))])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _latency(parts: Sequence[Part], canvas: Any) -> bool:
    takes: list[Figure] = [lambda part: part.p50_ms, lambda part: part.p95_ms, lambda part: part.p99_ms]
    names = [part.cell for part in parts if part.age_p50_ms is None]
    drawn = _bars(canvas, parts, names, takes, "ms from request to answer: p50 (bar), p95 and p99 (marks)")
    if drawn:
        canvas.axes[0].set_xscale("log")
    return drawn


def _cpu(parts: Sequence[Part], canvas: Any) -> bool:
    names = [part.cell for part in parts if part.age_p50_ms is None]
    title = "ms of server CPU per image (the pipeline's mark: its servicer alone)"
    drawn = _bars(canvas, parts, names, [lambda part: part.cpu_ms, lambda part: part.servicer_cpu_ms], title)
    if drawn:
        canvas.axes[0].set_xscale("log")
    return drawn


def _age(parts: Sequence[Part], canvas: Any) -> bool:
    names = [part.cell for part in parts if part.age_p50_ms is not None]
    canvas.set_size_inches(12, 3.5)
    title = "ms from exposure to receipt: p50 (bar), p95 (mark)"
    return _bars(canvas, parts, names, [lambda part: part.age_p50_ms, lambda part: part.age_p95_ms], title)


def _bars(canvas: Any, parts: Sequence[Part], cell_names: Sequence[str], takes: list[Figure], title: str) -> bool:
    """A bar for the first figure of each cell and server, marks for the others."""
    names = list(dict.fromkeys(cell_names))
    if not names:
        return False
    axes = canvas.subplots()
    for offset, server in ((-_BAR / 2, "reference"), (_BAR / 2, "pipeline")):
        places = [index + offset for index in range(len(names))]
        bars, *marks = [[_median(parts, name, server, take) for name in names] for take in takes]
        axes.barh(places, bars, _BAR, color=_COLOURS[server], label=_LABELS[server])
        for values in marks:
            axes.plot(values, places, "|", color="black", markersize=9)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=8)
    return True


def _median(parts: Sequence[Part], cell: str, server: str, take: Figure) -> float:
    found = figures.spread(figures.of(parts, cell, server, take))
    return float("nan") if found is None else found.median
