"""`python -m bench local`: the newest 1080p frame in another process, by shared memory and through the service."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import alone, processes
from bench.cells import Cell, Scene
from bench.crew import Crew, Load
from bench.figures import spread
from bench.measure import AGE_PAUSE_S, Window, percentiles_ms
from bench.servers import Server

WAYS = ("GetImage RAW", "RingReader.latest", "RingReader.use")

_SCENE = Scene("1080p")


def run(repeats: int, window: Window, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure the three ways in turn; a row each, with the median of the repeats."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with alone.place_and_crew(1) as (place, crew), alone.serving(place, crew, _SCENE) as server:
        for repeat in range(repeats):
            for way in WAYS:
                found[way].append(_measure(way, server, crew, window))
                tell(f"{repeat + 1}/{repeats}: {way}")
    return [{"way": way, **_medians(rows)} for way, rows in found.items()]


def _measure(way: str, server: Server, crew: Crew, window: Window) -> dict[str, float]:
    start_s = time.monotonic() + window.warm_up_s
    _begin(way, server, crew, round((start_s + window.seconds) * 1e9))
    time.sleep(window.warm_up_s)
    before = processes.usage(server.pids("servicer"))
    time.sleep(max(0.0, start_s + window.seconds - time.monotonic()))
    after = processes.usage(server.pids("servicer"))
    calls, reader_s = crew.end()
    good = calls[(calls["image_bytes"] > 0) & (calls["ended_ns"] >= start_s * 1e9)]
    p50, p99 = percentiles_ms(good["latency_ns"], 50, 99)
    (age,) = percentiles_ms(good["age_ns"], 50)
    return {
        "p50 ms": p50,
        "p99 ms": p99,
        "age p50 ms": age,
        "reader CPU ms": reader_s * 1e3 / max(1, int(np.count_nonzero(calls["image_bytes"]))),
        "servicer CPU ms": processes.used_s(before, after, server.pids("servicer")) * 1e3 / max(1, len(good)),
    }


def _begin(way: str, server: Server, crew: Crew, until_ns: int) -> None:
    """All of them look with the same pauses, and read the time of exposure afterwards."""
    if way == "GetImage RAW":
        wanted = Cell(_SCENE, "rgb", 1).requests
        crew.begin(Load(server.address, wanted, decode=True, pause_s=AGE_PAUSE_S), until_ns)
    else:
        camera, in_place = _SCENE.names[0], way == "RingReader.use"
        crew.begin_local(
            instance=server.instance, camera=camera, until_ns=until_ns, pause_s=AGE_PAUSE_S, in_place=in_place
        )


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    found = {key: spread(row[key] for row in rows) for key in rows[0]}
    return {key: float("nan") if one is None else one.median for key, one in found.items()}
