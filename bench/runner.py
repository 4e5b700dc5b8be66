"""A run of the bench: scene after scene, in each the repeats, in each repeat the cells, in each cell the servers."""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import servers
from bench.cells import Cell
from bench.crew import Crew, Load
from bench.figures import figure
from bench.measure import Part, Window, measure
from bench.servers import Server

Tell = Callable[[str], None]


class Progress:
    """Tells what was measured, and how long the rest will take."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._total = total
        self._tell = tell
        self._done = 0
        self._begun_s = time.monotonic()

    def note(self, part: Part) -> None:
        """Tell of one more measurement."""
        self._done += 1
        left_s = (time.monotonic() - self._begun_s) / self._done * (self._total - self._done)
        where = f"[{self._done:>3}/{self._total}, {left_s // 60:.0f}:{left_s % 60:02.0f} left]"
        age = "" if part.age_p50_ms is None else f", age {figure(part.age_p50_ms)} ms"
        errors = f", {part.errors} without a picture" if part.errors else ""
        self._tell(
            f"{where} {part.cell:<26}{part.server:<10}{part.images_per_s:>7.0f}/s, p50 {figure(part.p50_ms)} ms, "
            f"CPU {figure(part.cpu_ms)} ms/image{age}{errors}"
        )


def run(
    cells: Sequence[Cell], repeats: int, window: Window, tell: Tell, with_ceiling: Callable[[Cell], bool]
) -> list[Part]:
    """Measure these cells so often against each server, and return all parts."""
    progress = Progress(sum(repeats * (3 if with_ceiling(cell) else 2) for cell in cells), tell)
    parts: list[Part] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        servers.robot(Path(folder)) as place,
        Crew(place.log) as crew,
    ):
        for scene, group in itertools.groupby(cells, key=lambda cell: cell.scene):
            of_scene = list(group)
            wanted: list[Mapping[str, Any]] = [request for cell in of_scene for request in cell.requests]
            with servers.all_three(place, scene, wanted, crew) as three:
                for server in three:
                    _wear_in(server, wanted, crew, window)
                for cell, server, repeat in _turns(of_scene, three, repeats, with_ceiling):
                    server.resume()
                    parts.append(measure(cell, server, repeat, crew, window))
                    server.pause()
                    progress.note(parts[-1])
    return parts


def _wear_in(server: Server, wanted: Sequence[Mapping[str, Any]], crew: Crew, window: Window) -> None:
    """Let the server answer everything that it will be asked for, at the same time.

    What it has answered before decides what glibc keeps in its heaps: the reference's RAW answers cost three times as
    much before its first large ones. A server in the field has seen all kinds.
    """
    distinct = [json.loads(text) for text in dict.fromkeys(json.dumps(one, sort_keys=True) for one in wanted)]
    server.resume()
    crew.begin(Load(server.address, distinct), time.monotonic_ns() + round(window.seconds * 1e9))
    crew.end()
    server.pause()


def _turns(
    cells: list[Cell], three: list[Server], repeats: int, with_ceiling: Callable[[Cell], bool]
) -> Iterator[tuple[Cell, Server, int]]:
    """Who is measured when: another server begins in each repeat."""
    for repeat in range(repeats):
        first = repeat % len(three)
        for cell in cells:
            for server in three[first:] + three[:first]:
                if server.name != "ceiling" or with_ceiling(cell):
                    yield cell, server, repeat
