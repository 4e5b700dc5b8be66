"""`python -m bench scale`: what the pipeline needs as cameras and clients become more."""

from collections.abc import Callable
from typing import Any

from bench import alone, processes
from bench.cells import Cell, Scene
from bench.measure import Part, Window, measure
from bench.servers import Server
from shm import names

CAMERAS = (1, 2, 4, 8)
CLIENTS = (1, 8, 32, 256)
COLUMNS = ("images/s", "p99 ms", "cores", "memory MB", "segments MB", "captured")

_BLOCK_BYTES = 512  # of st_blocks


def run(size: str, window: Window, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every combination; a row each."""
    rows = []
    with alone.place_and_crew() as (place, crew):
        for cameras in CAMERAS:
            scene = Scene(size, cameras)
            with alone.serving(place, crew, scene) as server:
                for clients in CLIENTS:
                    part = measure(Cell(scene, "jpeg", clients), server, 0, crew, window)
                    rows.append(_row(cameras, clients, part, server))
                    tell(f"{cameras} cameras, {clients} clients: {part.images_per_s:.0f} images/s")
    return rows


def _row(cameras: int, clients: int, part: Part, server: Server) -> dict[str, Any]:
    return {
        "cameras": cameras,
        "clients": clients,
        "images/s": part.images_per_s,
        "p50 ms": part.p50_ms,
        "p99 ms": part.p99_ms,
        "cores": part.cpu_ms * part.images_per_s / 1000,
        "servicer's": part.servicer_cpu_ms * part.images_per_s / 1000,
        "memory MB": processes.memory_bytes(server.pids()) / 1e6,
        "segments MB": shm_bytes(server.instance) / 1e6,
        "captured": part.capture_rate,
        "without a picture": part.errors,
    }


def shm_bytes(instance: str) -> int:
    """What an instance takes in /dev/shm now."""
    return sum(names.path_of(name).stat().st_blocks * _BLOCK_BYTES for name in names.names_of(instance))
