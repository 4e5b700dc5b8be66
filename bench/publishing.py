"""`python -m bench capture`: what a frame costs before anybody asks for it.

Publishing against a copy of the same bytes between memory that is as warm and as large, in turn in one process; and the
CPU of a pipeline without clients.
"""

import mmap
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench import alone, processes
from bench.cells import Scene
from shm import Encoding, RingWriter, names

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840)}

_SLOTS = 6
_ROUNDS = 30
_FRAMES = 12  # of each kind in a round
_IDLE_S = 5.0


def run(tell: Callable[[str], None]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows about publishing, and rows about idle pipelines."""
    published = [_publishing(name, rows, cols) for name, (rows, cols) in SIZES.items()]
    tell("published")
    idle = []
    with alone.place_and_crew(1) as (place, crew):
        for scene in (Scene("vga"), Scene("1080p"), Scene("1080p", cameras=4)):
            with alone.serving(place, crew, scene) as server:
                time.sleep(1.0)  # for what a start leaves to be done
                before = processes.usage(server.pids())
                time.sleep(_IDLE_S)
                after = processes.usage(server.pids())
            idle.append(_idle_row(scene, server.processes, before, after))
            tell(f"idle: {scene.cameras} x {scene.size}")
    return published, idle


def _publishing(name: str, rows: int, cols: int) -> dict[str, Any]:
    frame = np.random.default_rng(1).integers(0, 256, (rows, cols, 3), np.uint8)
    instance = f"bench-{os.getpid()}-ring"
    try:
        with RingWriter(
            instance, "cam", slots=_SLOTS, payload_capacity_bytes=frame.nbytes, descriptor={"driver": "bench"}
        ) as ring:
            copied = memoryview(mmap.mmap(-1, _SLOTS * frame.nbytes))
            times = [(_copy_s(frame, copied), _publish_s(frame, ring)) for _ in range(_ROUNDS + 1)][1:]
    finally:
        for left in names.names_of(instance):
            names.remove(left)
    ratios = [publish / copy for copy, publish in times]
    return {
        "frame": name,
        "MB": frame.nbytes / 1e6,
        "memcpy ms": statistics.median(copy for copy, _ in times) * 1e3,
        "publish ms": statistics.median(publish for _, publish in times) * 1e3,
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
    }


def _copy_s(frame: np.ndarray[Any, Any], target: memoryview) -> float:
    source = frame.data.cast("B")
    begun_s = time.perf_counter()
    for number in range(_FRAMES):
        at = number % _SLOTS * frame.nbytes
        target[at : at + frame.nbytes] = source
    return (time.perf_counter() - begun_s) / _FRAMES


def _publish_s(frame: np.ndarray[Any, Any], ring: RingWriter) -> float:
    rows, cols = frame.shape[:2]
    begun_s = time.perf_counter()
    for _ in range(_FRAMES):
        ring.publish(
            frame,
            captured_ns=time.monotonic_ns(),
            rows=rows,
            cols=cols,
            row_stride_bytes=cols * 3,
            encoding=Encoding.BGR8,
        )
    return (time.perf_counter() - begun_s) / _FRAMES


def _idle_row(scene: Scene, what: Any, before: processes.Usage, after: processes.Usage) -> dict[str, Any]:
    percent = {
        role: 100 * processes.used_s(before, after, [pid for pid, kind in what.items() if kind == role]) / _IDLE_S
        for role in ("supervisor", "servicer", "camera")
    }
    return {
        "cameras": f"{scene.cameras} x {scene.size}",
        "supervisor %": percent["supervisor"],
        "servicer %": percent["servicer"],
        "per camera %": percent["camera"] / scene.cameras,
        "in all %": sum(percent.values()),
    }
