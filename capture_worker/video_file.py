"""A recorded video as a camera: every frame at its own time, once or over and over."""

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import cv2

from capture_worker.camera import (
    CAPTURE_MARGIN_S,
    WAIT_SLICE_S,
    CapturedFrame,
    Description,
    EndOfVideoError,
    OpenFailedError,
    raw_frame,
)
from capture_worker.source import require_present, source_of
from supervision.camera_settings import CameraSettings

_DEFAULT_FPS = 30.0
_MAX_FPS = 1000.0
_MAX_LATE_PERIODS = 2

_log = logging.getLogger(__name__)


class VideoFileCamera:
    """Plays a file at its own rate, or at `settings.fps`.

    Frame k is due k periods after the first: an average that does not drift. After a pause (a stopped process, a disk
    that slept) the video goes on from where it was, instead of hurrying after the clock.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self.capture_limit_s = settings.capture_timeout_s + CAPTURE_MARGIN_S
        self._settings = settings
        self._source = source_of(str(settings.device))
        self._video = cv2.VideoCapture()
        self._fps = _DEFAULT_FPS
        self._period_ns = 0
        self._due_ns = 0
        self._ahead: Any = None

    def __enter__(self) -> "VideoFileCamera":
        """Open the file and decode its first frame. Raises CameraAbsentError or OpenFailedError."""
        cv2.setNumThreads(1)
        require_present(self._source, self._settings.open_timeout_s)
        self._rewind()
        declared = self._video.get(cv2.CAP_PROP_FPS)
        if not 0 < declared <= _MAX_FPS and self._settings.fps is None:
            _log.warning("%s does not say its rate: played at %g frames/s", self._source.shown, _DEFAULT_FPS)
            declared = _DEFAULT_FPS
        if self._settings.width is not None:
            _log.warning("%s is played at its own size; width and height are for devices", self._source.shown)
        self._fps = self._settings.fps or declared
        self._period_ns = round(1e9 / self._fps)
        self._due_ns = time.monotonic_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._video.release()

    def describe(self) -> Description:
        """Say at which rate the file is played."""
        return Description("opencv", self._fps)

    def apply(self, _values: Mapping[str, Any]) -> None:
        """A file has no parameters. Its next frame is not due before now, so that it was not captured before."""
        self._due_ns = max(self._due_ns, time.monotonic_ns())

    def capture(self) -> CapturedFrame | None:
        """Return the next frame when it is due; its capture time is when it was due."""
        if self._ahead is None:
            self._ahead = self._decode_next()
        late_ns = time.monotonic_ns() - self._due_ns
        if late_ns < -WAIT_SLICE_S * 1e9:
            time.sleep(WAIT_SLICE_S)
            return None
        if late_ns > _MAX_LATE_PERIODS * self._period_ns:
            self._due_ns += late_ns
        time.sleep(max(self._due_ns - time.monotonic_ns(), 0) / 1e9)
        captured_ns, pixels = self._due_ns, self._ahead
        self._due_ns += self._period_ns
        self._ahead = None
        return raw_frame(pixels, captured_ns)

    def _decode_next(self) -> Any:
        decoded, pixels = self._video.read()
        if decoded:
            return pixels
        if not self._settings.loop:
            raise EndOfVideoError
        self._rewind()
        return self._ahead

    def _rewind(self) -> None:
        """Open the file anew: seeking to the first frame is not exact in every container."""
        decoded = self._video.open(self._source.address)
        if decoded:
            decoded, self._ahead = self._video.read()
        if not decoded:
            raise OpenFailedError(f"{self._source.shown} is no video that can be decoded")
