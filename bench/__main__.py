"""`python -m bench [cells|scale|capture|local] [--quick] [--repeats N] [--cells PATTERN]`: docs/performance.md.

Exit code 0 if every goal that was measured is met or within the noise, 1 if not, 2 for a command line that makes no
sense, 130 if it was interrupted.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import cells, goals, local, machine, plots, publishing, report, runner, scale
from bench.measure import Window

_QUICK, _FULL = Window(0.3, 1.0), Window(0.4, 1.2)
_INTERRUPTED = 130


def main() -> int:
    """Measure what was asked for, and return the exit code."""
    flags = _flags()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up, as after Ctrl-C
    try:
        return {"cells": _cells, "scale": _scale, "capture": _capture, "local": _local}[flags.what](flags)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _tell(line: str) -> None:
    print(line, flush=True)


def _cells(flags: argparse.Namespace) -> int:
    chosen = cells.choose(flags.cells, goals_alone=flags.quick)
    if not chosen:
        _tell(f"no cell is called {flags.cells}; there are: {', '.join(cell.name for cell in cells.ALL)}")
        return 2
    window = Window(flags.seconds / 2, flags.seconds) if flags.seconds else _QUICK if flags.quick else _FULL
    _tell(machine.words())
    parts = runner.run(chosen, flags.repeats, window, _tell, goals.needs_ceiling if flags.quick else cells.has_ceiling)
    judged = goals.judge_all(parts)
    _tell(f"\n{report.table(parts)}\n")
    if judged:
        _tell(f"{report.goals_table(judged)}\n")
    document = report.document(parts, judged, repeats=flags.repeats, seconds=window.seconds, cells=flags.cells)
    path = report.write(flags.out, "quick" if flags.quick else "full", document)
    _tell_files([path, *_plotted(lambda: plots.draw(parts, flags.out, path.stem))])
    return 1 if any(one.is_missed for one in judged) else 0


def _scale(flags: argparse.Namespace) -> int:
    rows = scale.run(flags.size, _FULL, _tell)
    _tell(f"\n{report.table_of(rows)}\n")
    path = report.write(flags.out, f"scale-{flags.size}", {"rows": rows})
    picture = path.with_suffix(".png")
    _tell_files([path, *_plotted(lambda: [plots.lines(rows, "clients", "cameras", scale.COLUMNS, picture)])])
    return 0


def _capture(flags: argparse.Namespace) -> int:
    published, idle = publishing.run(_tell)
    _tell(f"\n{report.table_of(published)}\n\nCPU without clients, per cent of a core\n{report.table_of(idle)}\n")
    _tell_files([report.write(flags.out, "capture", {"publishing": published, "idle": idle})])
    return 0


def _local(flags: argparse.Namespace) -> int:
    rows = local.run(flags.repeats, _FULL, _tell)
    _tell(f"\n{report.table_of(rows)}\n")
    _tell_files([report.write(flags.out, "local", {"rows": rows})])
    return 0


def _plotted(draw: Any) -> Sequence[Path]:
    try:
        drawn: Sequence[Path] = draw()
    except ImportError:
        _tell("no plots: they need matplotlib (pip install '.[bench]')")
        return []
    return drawn


def _tell_files(paths: Sequence[Path]) -> None:
    _tell("\n".join(str(path) for path in paths))


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="The pipeline against the SDK's image service and the transport alone."
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="cells",
        choices=["cells", "scale", "capture", "local"],
        help="cells: against the others (default); scale: more cameras and clients; capture: publishing, and the "
        "pipeline without clients; local: by shared memory against GetImage",
    )
    parser.add_argument("--quick", action="store_true", help="the cells of the goals alone, within three minutes")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="how often each is measured (3)")
    parser.add_argument("--cells", default="*", metavar="PATTERN", help="only those whose names match, as in 'vga-*'")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each is measured (quick: 1, full: 1.2)")
    parser.add_argument("--size", default="vga", choices=sorted(cells.SIZES), help="of the cameras of `scale`")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), metavar="FOLDER", help="for the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
