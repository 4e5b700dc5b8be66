"""One measurement: the clients of a cell against one server for a second or two."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import processes
from bench.cells import FPS, Cell
from bench.counter import captures_and_tick
from bench.crew import Crew, Load
from bench.servers import Server

AGE_PAUSE_S = 0.015  # of a client that wants to know how old pictures are: it should not meet the camera's rhythm

_UNDER_WAY = 2  # frames that a look at the counters may come between

_LONG_QUEUE = 100  # so many clients wait for each other's answers, and fill the window with few of their own


@dataclass(frozen=True)
class Window:
    """How long is measured, after the clients and the server have warmed up."""

    warm_up_s: float
    seconds: float

    def for_clients(self, clients: int) -> "Window":
        """Twice as long for very many of them."""
        return Window(2 * self.warm_up_s, 2 * self.seconds) if clients > _LONG_QUEUE else self


@dataclass(frozen=True)
class Part:
    """What came out, of images that arrived within the window. Times in ms, None: not measured here.

    `cpu_ms` is of all processes of the server per image, `servicer_cpu_ms` of that which answers alone. `capture_rate`
    is the share of the camera's frames that were captured.
    """

    cell: str
    server: str
    repeat: int
    seconds: float
    images: int
    errors: int
    image_bytes: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    servicer_cpu_ms: float
    client_cpu_ms: float
    age_p50_ms: float | None
    age_p95_ms: float | None
    capture_rate: float | None

    @property
    def images_per_s(self) -> float:
        """Throughput."""
        return self.images / self.seconds


def measure(cell: Cell, server: Server, repeat: int, crew: Crew, window: Window) -> Part:
    """Let the clients ask the server, which runs, and look at it at the beginning and the end of the window."""
    window = window.for_clients(cell.clients)
    load = Load(server.address, cell.requests, cell.age, AGE_PAUSE_S if cell.age else 0.0)
    start_s = time.monotonic() + window.warm_up_s
    crew.begin(load, round((start_s + window.seconds) * 1e9))
    before = _look(server, start_s)
    after = _look(server, start_s + window.seconds)
    calls, client_cpu_s = crew.end()
    return _part(cell, server, repeat, before, after, calls, client_cpu_s)


@dataclass(frozen=True)
class _Look:
    at_ns: int
    usage: processes.Usage
    captured: list[tuple[int, int]]


def _look(server: Server, at_s: float) -> _Look:
    time.sleep(max(0.0, at_s - time.monotonic()))
    at_ns = time.monotonic_ns()  # the window is what it was, not what it should have been
    return _Look(at_ns, processes.usage(server.pids()), [captures_and_tick(counter) for counter in server.counters])


def _part(
    cell: Cell,
    server: Server,
    repeat: int,
    before: _Look,
    after: _Look,
    calls: np.ndarray[Any, Any],
    client_cpu_s: float,
) -> Part:
    all_images = max(1, int(np.count_nonzero(calls["image_bytes"])))
    calls = calls[(calls["ended_ns"] >= before.at_ns) & (calls["ended_ns"] < after.at_ns)]
    good = calls[calls["image_bytes"] > 0]
    p50, p95, p99 = percentiles_ms(good["latency_ns"], 50, 95, 99)
    age_p50, age_p95 = percentiles_ms(good["age_ns"], 50, 95) if cell.age else (None, None)
    per_image_ms = 1e3 / max(1, len(good))
    servicer = server.pids("servicer") or server.pids()
    return Part(
        cell.name,
        server.name,
        repeat,
        (after.at_ns - before.at_ns) / 1e9,
        len(good),
        len(calls) - len(good),
        int(good["image_bytes"].mean()) if len(good) else 0,
        p50,
        p95,
        p99,
        processes.used_s(before.usage, after.usage, server.pids()) * per_image_ms,
        processes.used_s(before.usage, after.usage, servicer) * per_image_ms,
        client_cpu_s * 1e3 / all_images,
        age_p50,
        age_p95,
        _capture_rate(before, after, server.counters),
    )


def percentiles_ms(values_ns: np.ndarray[Any, Any], *percents: float) -> list[float]:
    """Percentiles in ms; NaN of nothing."""
    if not len(values_ns):
        return [float("nan")] * len(percents)
    return [float(value) / 1e6 for value in np.percentile(values_ns, percents)]


def _capture_rate(before: _Look, after: _Look, counters: Sequence[Path]) -> float | None:
    """Frames captured of those that all cameras had between the first and the last that was captured.

    A camera from which nothing more came has lost the rest of the window too.
    """
    if not counters:
        return None
    captured = had = 0
    in_window = int((after.at_ns - before.at_ns) / 1e9 * FPS) - _UNDER_WAY
    for (first, first_tick), (last, last_tick) in zip(before.captured, after.captured, strict=True):
        captured += last - first
        had += max(last_tick - first_tick, in_window)
    return captured / had if had else 0.0
