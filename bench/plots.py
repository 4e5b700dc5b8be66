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
            axes.plot([row[x] for row in chosen], [row[value] for row in chosen], "o-", label=f"{by}: {one}")
        _over_loads(axes, value, [row[x] for row in rows])
        axes.set_xlabel(x)
    figure.axes[0].legend(fontsize=8)
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
    title = "ms from request to answer: p50 (dot), p95 and p99; right: p50 ÷ that of the SDK's service"
    return _side_by_side(canvas, parts, _cells(parts, age=False), takes, title)


def _cpu(parts: Sequence[Part], canvas: Any) -> bool:
    takes: list[Figure] = [lambda part: part.cpu_ms, lambda part: part.servicer_cpu_ms]
    title = "ms of server CPU per image (the pipeline's mark: its servicer alone); right: ÷ that of the SDK's service"
    return _side_by_side(canvas, parts, _cells(parts, age=False), takes, title)


def _age(parts: Sequence[Part], canvas: Any) -> bool:
    takes: list[Figure] = [lambda part: part.age_p50_ms, lambda part: part.age_p95_ms]
    title = "ms from exposure to receipt: p50 (dot), p95; right: p50 ÷ that of the SDK's service"
    return _side_by_side(canvas, parts, _cells(parts, age=True), takes, title)


def _cells(parts: Sequence[Part], *, age: bool) -> list[str]:
    return list(dict.fromkeys(part.cell for part in parts if (part.age_p50_ms is not None) == age))


def _side_by_side(canvas: Any, parts: Sequence[Part], names: list[str], takes: list[Figure], title: str) -> bool:
    """A line per cell: a dot for each server's first figure, marks for the others, and the ratio."""
    if not names:
        return False
    canvas.set_size_inches(12, 1.4 + 0.32 * len(names))
    axes = canvas.subplots()
    for server in ("reference", "pipeline"):
        dots, *marks = [[_median(parts, name, server, take) for name in names] for take in takes]
        axes.plot(dots, range(len(names)), "o", color=_COLOURS[server], label=_LABELS[server])
        for values in marks:
            axes.plot(values, range(len(names)), "|", color=_COLOURS[server], markersize=10)
    for place, name in enumerate(names):
        _write_ratio(axes, place, figures.ratios(parts, name, takes[0], over="reference"))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(which="both", labelsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return True


def _write_ratio(axes: "Axes", place: int, ratios: list[float]) -> None:
    if found := figures.spread(ratios):
        where = axes.get_yaxis_transform()
        axes.text(1.01, place, figures.figure(found.median), transform=where, va="center", fontsize=8)


def _median(parts: Sequence[Part], cell: str, server: str, take: Figure) -> float:
    found = figures.spread(figures.of(parts, cell, server, take))
    return float("nan") if found is None else found.median
