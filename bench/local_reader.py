"""A local program at a ring, with the pauses of a client of the service: what a frame costs without any RPC."""

import random
import time
from typing import Any

import numpy as np

from bench import scene
from bench.asking import CALLS
from shm import Frame, Loss, RingReader

_BAND = 15  # the time of exposure is in the first fifteenth


def read(instance: str, camera: str, until_ns: int, pause_s: float, *, in_place: bool) -> np.ndarray[Any, Any]:
    """Look at the newest frame until then; returns an entry of `CALLS` for each look.

    `in_place` takes what it needs out of the ring's own memory, else the frame is copied.
    """
    pauses = random.Random(1)  # noqa: S311 - no secrecy
    reader = RingReader(instance, camera)
    calls = []
    while (begun_ns := time.monotonic_ns()) < until_ns:
        band = reader.use(_band) if in_place else _copied(reader)
        ended_ns = time.monotonic_ns()
        age_ns = -1 if isinstance(band, Loss) else ended_ns - scene.exposed_ns(band, len(band) * _BAND)
        calls.append((ended_ns, ended_ns - begun_ns, age_ns, 0 if isinstance(band, Loss) else 1))
        time.sleep(pauses.uniform(0, 2 * pause_s))
    return np.array(calls, CALLS)


def _copied(reader: RingReader) -> scene.Picture | Loss:
    frame = reader.latest()
    return Loss.NO_FRAME if frame is None else _band(frame)


def _band(frame: Frame) -> scene.Picture:
    """A copy of one channel of the rows with the time."""
    return np.array(frame.pixels()[: frame.rows // _BAND, :, 0])
