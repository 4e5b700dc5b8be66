"""The writing end of a ring: one process, one ring, once."""

import math
import os
import secrets
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from shm import layout, names, protocol, segment
from shm.fence import Fence
from shm.frame import DEFAULT_PARAMS_ID, Encoding, describes_a_frame

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MAX_LEAD_MS = 60_000  # an old ring's number may be ahead of the clock by bursts of over 1,000 frames/s, not more


class RingWriter:
    """Publishes frames under a camera's name, inside `with`.

    Entering builds the ring aside; the first `publish` takes the name, so that whoever finds the ring finds a
    frame in it. A restart and a change of size are both just another RingWriter. Leaving never removes the name:
    readers keep the last frame, and names are removed by the supervisor alone.
    """

    def __init__(
        self,
        instance: str,
        camera: str,
        *,
        payload_capacity_bytes: int,
        descriptor: Mapping[str, Any],
        slots: int = 6,
    ) -> None:
        self._instance = instance
        self._name = names.segment_name(instance, camera)
        self._layout = layout.RingLayout(slots, payload_capacity_bytes)
        self._descriptor = descriptor
        self._named = False
        self._next_number = 0
        self._memory: segment.Mapping

    def __enter__(self) -> "RingWriter":
        """Build the ring aside. Raises ShmFullError, ForeignSegmentError, or LayoutError for the descriptor."""
        fence = Fence(self._instance)
        epoch = secrets.randbits(63) | 1
        header = layout.pack_header(self._layout, epoch, self._name[1:], self._descriptor)
        self._memory = segment.create_aside(self._name, header, self._layout.total_bytes, fence)
        self._next_number = self._first_number(fence)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave a ring that has its name as it is; remove one that never got a frame."""
        if not self._named:
            names.remove(names.aside_name(self._name, os.getpid()))

    @property
    def payload_capacity_bytes(self) -> int:
        """The largest payload that fits into a slot."""
        return self._layout.payload_capacity_bytes

    def publish(
        self,
        payload: "Buffer",
        *,
        captured_ns: int,
        rows: int,
        cols: int,
        row_stride_bytes: int,
        encoding: Encoding,
        gain: float = math.nan,
        exposure_s: float = math.nan,
        params_id: bytes = DEFAULT_PARAMS_ID,
    ) -> int:
        """Copy one frame into the ring, make it the newest, and return its number.

        `payload` is any C-contiguous buffer; `captured_ns` is CLOCK_MONOTONIC. Raises ValueError for a payload
        that does not fit or is not what the other arguments say: nothing of it is published then.
        """
        data = memoryview(payload).cast("B")
        number = self._next_number
        metadata = layout.Metadata(
            number, captured_ns, rows, cols, row_stride_bytes, encoding, len(data), gain, exposure_s, params_id
        )
        if not describes_a_frame(metadata, self._layout.payload_capacity_bytes):
            raise ValueError(f"{len(data)} bytes are no {encoding.name} frame of {rows} x {cols} in this ring")
        protocol.write_frame(self._memory, self._layout, number, layout.pack_metadata(metadata), data)
        self._next_number = number + 1
        if not self._named:
            segment.take_name(self._name)
            self._named = True
        return number

    def count_drop(self) -> None:
        """Count a frame that the camera delivered and that was not published."""
        self._count(layout.DROPS_OFFSET)

    def count_error(self) -> None:
        """Count a capture that failed."""
        self._count(layout.ERRORS_OFFSET)

    def _count(self, offset: int) -> None:
        self._memory.store(offset, self._memory.load(offset) + 1)

    def _first_number(self, fence: Fence) -> int:
        """A number above every number that was ever used under this name since boot."""
        now_ms = time.monotonic_ns() // 1_000_000
        try:
            old = segment.attach(self._name, fence)
        except layout.LayoutError:
            old = None
        last = protocol.newest_number(old.mapping) if old and old.is_whole() else 0
        return max(now_ms, last + 1) if last <= now_ms + _MAX_LEAD_MS else now_ms
