"""Puts frames of any size into the ring that fits them: a change of size or encoding is a new ring."""

from contextlib import ExitStack
from dataclasses import asdict
from types import TracebackType
from typing import Any

from capture_worker.camera import CapturedFrame, Description
from shm import Encoding, RingWriter

_MIN_COMPRESSED_BYTES = 2**20
_MAX_COUNTED_LOSSES = 1000  # after a long stop: the exact figure is of no use to anybody


class FramePublisher:
    """The rings of one camera, one after the other, inside `with`.

    `frames`, `drops` and `errors` count since the start of the process. A ring is built when its first frame is
    there, because only a real frame says what the camera really delivers.
    """

    def __init__(
        self, instance: str, camera: str, slots: int, description: Description, shm_group: str | None = None
    ) -> None:
        self.frames = 0
        self.drops = 0
        self.errors = 0
        self._instance = instance
        self._camera = camera
        self._slots = slots
        self._description = description
        self._shm_group = shm_group
        self._ring: RingWriter | None = None
        self._shape: tuple[int, int, Encoding] | None = None
        self._holding = ExitStack()

    def __enter__(self) -> "FramePublisher":
        """Nothing exists before the first frame."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last ring to its readers."""
        self._holding.close()

    def fits(self, frame: CapturedFrame) -> bool:
        """Whether the current ring can take this frame, and is still where readers look for it."""
        return (
            self._ring is not None
            and self._shape == (frame.rows, frame.cols, frame.encoding)
            and frame.payload.nbytes <= self._ring.payload_capacity_bytes
            and self._ring.is_in_place()
        )

    def build_ring(self, frame: CapturedFrame) -> None:
        """Build a ring for frames like this one; the old one keeps its name until the new one has a frame.

        Takes a while. Raises ShmFullError, ForeignSegmentError or GroupError.
        """
        with ExitStack() as building:
            ring = building.enter_context(
                RingWriter(
                    self._instance,
                    self._camera,
                    slots=self._slots,
                    payload_capacity_bytes=_capacity_bytes(frame),
                    descriptor=_descriptor(frame, self._description),
                    shm_group=self._shm_group,
                )
            )
            self._holding.close()
            self._holding = building.pop_all()
        self._ring, self._shape = ring, (frame.rows, frame.cols, frame.encoding)

    def publish(self, frame: CapturedFrame, params_id: bytes) -> int:
        """Publish a frame that fits, captured with these parameters, and return its number.

        Raises ForeignSegmentError for a new ring's name.
        """
        if self._ring is None:
            raise ValueError("no ring was built for this frame")
        number = _publish_into(self._ring, frame, params_id)
        self.frames += 1
        if self.frames > 1:  # what was lost while starting belongs to nobody
            self._count_drops(frame.lost)
        return number

    def count_error(self) -> None:
        """Count a capture that brought no frame."""
        self.errors += 1
        if self._ring is not None:
            self._ring.count_error()

    def _count_drops(self, lost: int) -> None:
        self.drops += lost
        for _ in range(min(lost, _MAX_COUNTED_LOSSES)):
            if self._ring is not None:
                self._ring.count_drop()


def _publish_into(ring: RingWriter, frame: CapturedFrame, params_id: bytes) -> int:
    return ring.publish(
        frame.payload.data,
        captured_ns=frame.captured_ns,
        rows=frame.rows,
        cols=frame.cols,
        row_stride_bytes=frame.row_stride_bytes,
        encoding=frame.encoding,
        gain=frame.gain,
        exposure_s=frame.exposure_s,
        params_id=params_id,
    )


def _descriptor(frame: CapturedFrame, description: Description) -> dict[str, Any]:
    size = {"rows": frame.rows, "cols": frame.cols, "encoding": frame.encoding.name.lower()}
    return {**size, **asdict(description)}


def _capacity_bytes(frame: CapturedFrame) -> int:
    if frame.encoding.compressed:
        return max(_MIN_COMPRESSED_BYTES, frame.rows * frame.cols, frame.payload.nbytes)
    return frame.payload.nbytes
