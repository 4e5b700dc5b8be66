"""Notices a live camera that delivers the same picture again and again, with new times.

A thousand pixels of each frame are compared with those of the frame before: the noise of a sensor alone changes some
of them, so that an ordinary frame costs no more (about 20 µs at 1080p). Only while they stay as they are, whole
pictures are compared by their checksums (2 ms): once a second, and every frame in the last second before the picture is
called frozen, because something in it may blink in time with the looks.
"""

import logging
import time
import zlib
from dataclasses import dataclass

from capture_worker.camera import CapturedFrame
from capture_worker.source import source_of
from supervision.camera_settings import CameraSettings

_DEFAULT_S, _DEFAULT_FRAMES = 5.0, 150
_LEAST_FRAMES = 5  # where a person sets the time: two pictures of a camera that is asked twice a day prove nothing
_SAMPLES = 1024
_CHANNELS = 12  # a multiple of 1, 3 and 4: the samples are of all of them in turn
_SUSPICION = 0.2  # of the limit
_CERTAINTY_S = 1.0
_LOOK_EVERY_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrozenLimit:
    """A picture that stays the same for so long, and for so many frames, is frozen."""

    seconds: float
    frames: int


def frozen_limit(settings: CameraSettings) -> FrozenLimit | None:
    """Return the limit for this camera; None if its picture may stand still, as that of a recorded video may."""
    wanted_s = settings.frozen_after_s
    if wanted_s is not None:
        return FrozenLimit(wanted_s, _LEAST_FRAMES) if wanted_s else None
    is_recorded = settings.device is not None and source_of(settings.device).kind == "file"
    return None if is_recorded else FrozenLimit(_DEFAULT_S, _DEFAULT_FRAMES)


class FrozenPicture:
    """Sees every frame of a camera. `complaint` is a sentence for the operator while its picture is frozen."""

    def __init__(self, limit: FrozenLimit | None) -> None:
        self.complaint: str | None = None
        self._limit = limit
        self._sample: tuple[object, ...] | None = None
        self._checksum: int | None = None
        self._since_ns = 0
        self._frames = 0
        self._next_look_s = 0.0

    def see(self, frame: CapturedFrame) -> None:
        """Take note of the next frame; its time of capture is the clock."""
        if self._limit is None:
            return
        sample = _sample(frame)
        if sample != self._sample:
            self._begin(frame, sample, None, self._limit)
            return
        self._frames += 1
        still_s = self._still_s(frame)
        if still_s >= self._next_look_s:
            self._look(frame, still_s, self._limit)

    def _begin(
        self, frame: CapturedFrame, sample: tuple[object, ...], checksum: int | None, limit: FrozenLimit
    ) -> None:
        """Begin with a new picture."""
        if self.complaint is not None:
            _log.info("the picture changes again, after %.0f s", self._still_s(frame))
        self.complaint = None
        self._sample, self._checksum = sample, checksum
        self._since_ns, self._frames = frame.captured_ns, 1
        self._next_look_s = _SUSPICION * limit.seconds

    def _look(self, frame: CapturedFrame, still_s: float, limit: FrozenLimit) -> None:
        """Compare the whole picture with that of the last look."""
        self._next_look_s = still_s + _LOOK_EVERY_S
        if self.complaint is None:
            self._next_look_s = min(self._next_look_s, max(still_s, limit.seconds - _CERTAINTY_S))
        checksum = zlib.crc32(frame.payload.data)
        if self._checksum is None:
            self._checksum = checksum
        elif checksum != self._checksum:
            self._begin(frame, _sample(frame), checksum, limit)
        elif self.complaint is None and still_s >= limit.seconds and self._frames >= limit.frames:
            self._complain(still_s)

    def _complain(self, still_s: float) -> None:
        _log.warning("the picture has not changed for %.0f s, %d frames", still_s, self._frames)
        since = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() - still_s))
        self.complaint = (
            f"the picture has not changed since {since}, although frames come: unplug the camera and plug it in again, "
            "or switch its power off and on. The dark or still scene of a camera without noise looks the same; if that "
            "is what it sees, set frozen_after_s = 0 for it"
        )

    def _still_s(self, frame: CapturedFrame) -> float:
        return (frame.captured_ns - self._since_ns) / 1e9


def _sample(frame: CapturedFrame) -> tuple[object, ...]:
    values = frame.payload.reshape(-1)
    step = values.size // _SAMPLES // _CHANNELS * _CHANNELS + 1
    return frame.rows, frame.cols, frame.encoding, values.size, values[::step].tobytes()
