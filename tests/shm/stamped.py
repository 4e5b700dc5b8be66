"""Self-describing frames: every 8 bytes repeat one stamp, so that a mixture of two frames shows anywhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shm import DEFAULT_PARAMS_ID, Encoding, Frame, RingWriter

PROJECT = Path(__file__).resolve().parents[2]  # where a process that imports shm and tests is started


def payload_of(stamp: int, size_bytes: int) -> bytes:
    """`size_bytes` (a multiple of 8) of the stamp, again and again."""
    return stamp.to_bytes(8, "little") * (size_bytes // 8)


def publish(
    ring: RingWriter,
    stamp: int,
    size_bytes: int,
    *,
    rows: int = 1,
    encoding: Encoding = Encoding.MONO8,
    params_id: bytes = DEFAULT_PARAMS_ID,
) -> int:
    """Publish a stamped frame, captured now, and return its number. `size_bytes` is a multiple of 8 and of the rows."""
    stride = size_bytes // rows
    return ring.publish(
        payload_of(stamp, size_bytes),
        captured_ns=time.monotonic_ns(),
        rows=rows,
        cols=stride // (1 if encoding.compressed else encoding.bytes_per_pixel),
        row_stride_bytes=0 if encoding.compressed else stride,
        encoding=encoding,
        gain=float(stamp % 1000),
        params_id=params_id,
    )


@dataclass(frozen=True)
class Stamp:
    """What a whole frame says about itself."""

    stamp: int
    size_bytes: int


def stamp_of(frame: Frame) -> Stamp:
    """The stamp of a whole frame. Raises TornError if any byte of payload or metadata is another frame's."""
    data = bytes(frame.data)
    stamp = int.from_bytes(data[:8], "little")
    if data != payload_of(stamp, len(data)):
        raise TornError(f"frame {frame.frame_number}: a payload of {len(data)} bytes from more than one frame")
    described = len(data) if frame.encoding.compressed else frame.rows * frame.row_stride_bytes
    if frame.gain != float(stamp % 1000) or described != len(data):
        raise TornError(f"frame {frame.frame_number}: metadata of another frame than its payload")
    return Stamp(stamp, len(data))


class TornError(AssertionError):
    """A frame that nobody published."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return as soon as the condition holds; fail with `what` after the deadline."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds} s for: {what}"
        time.sleep(0.001)
