"""A live camera through OpenCV: a V4L2 device, with its controls as parameters, or the URL of a stream.

OpenCV's `set` answers True to settings that the device refused, and `isOpened` is True for devices that never deliver:
here settings are read back, and a camera is open when a frame came. What a read may take is limited (see
`capture_worker.environment`), so that a dead camera is a failed read and not a process that hangs.
"""

import logging
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from capture_worker.camera import (
    WAIT_SLICE_S,
    CameraError,
    CapturedFrame,
    CorruptFrameError,
    Description,
    OpenFailedError,
    ReadFailedError,
    jpeg_frame,
    raw_frame,
)
from capture_worker.drain import Drain, Missed
from capture_worker.source import require_present, source_of, why_not_open
from capture_worker.v4l2_parameters import V4l2Parameters
from supervision.camera_settings import CameraSettings

_MARGIN_S = 1.0  # between the limit of a read and the promise: decoding, a slow machine
_OPEN_SHARE = 0.8  # of the promise that OpenCV's own opening may take
_DEFAULT_FPS = 30.0
_MAX_FPS = 240.0  # what a stream may declare and be believed
_MAX_DEVIATION = 0.2  # of the measured from the declared rate
_FIRST_READS = 5
_MEASURED_FRAMES = 4
_MEASURING_S = 1.0
_COMPRESSED = ("MJPG", "JPEG")
_DEPTH = "Z16 "
_BEGUN_BEFORE = 1  # frames that come after a request and were begun before it
# After a change of controls, the frame that is being exposed has the old values, and the next one may have some of
# them: drivers write over a slow bus, and sensors use a new exposure time only for the frame after the one whose
# readout they have begun. A lens that has to move takes longer; nothing tells when it has arrived.
_AFTER_A_CHANGE = 2
_UNCONVERTED = ("GREY", "Y16 ", _DEPTH)  # OpenCV makes three channels of them, unless told to leave them alone

_log = logging.getLogger(__name__)


class OpenCVCamera:
    """Delivers the frames of a live device at the device's own rate: MJPG as the device compressed it, others raw.

    `predecessor` is the descriptor of the ring that this camera's name has now (see `V4l2Parameters`). A frame's
    exposure time is in seconds where the driver tells it; its gain is unknown, because V4L2's has no unit.
    """

    def __init__(self, settings: CameraSettings, predecessor: Mapping[str, Any] | None = None) -> None:
        if settings.device is None:
            raise ValueError("an OpenCV camera needs a device")
        self._limit_s = settings.read_limit_s
        self.capture_limit_s = self._limit_s + _MARGIN_S
        self._settings = settings
        self._source = source_of(settings.device)
        self._is_v4l2 = self._source.kind == "device"
        self._capture = cv2.VideoCapture()
        self._drain = Drain(self, round(1e9 / (settings.fps or _DEFAULT_FPS)), self._limit_s, WAIT_SLICE_S)
        # A frame that was begun before the exposure time was changed comes first, within the same limit.
        self._parameters = V4l2Parameters(self._source.address, self._limit_s / 2, predecessor)
        self._holding = ExitStack()
        self._fps: float | None = None
        self._passthrough = False
        self._is_depth = False
        self._timed_out = False

    def __enter__(self) -> "OpenCVCamera":
        """Open, set, and wait for the first frames. Raises CameraAbsentError or OpenFailedError."""
        cv2.setNumThreads(1)
        self._holding.callback(self._capture.release)
        require_present(self._source, self._settings.open_timeout_s * (1 - _OPEN_SHARE))
        if not self._open():
            raise why_not_open(self._source)
        if self._is_v4l2:
            self._apply_settings()
        self._await_first_frame()
        if self._is_v4l2:
            self._open_parameters()
        self._fps = self._find_fps()
        if self._fps is not None:
            self._drain.period_ns = round(1e9 / self._fps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put its controls back, and release the device."""
        self._holding.close()

    def describe(self) -> Description:
        """Say the rate, measured if the device lies about it, and the controls."""
        return Description("opencv", self._fps, self._parameters.spec, found=self._parameters.found)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Write what differs from what is in force. A stream has no parameters: what is queued is dropped."""
        writes_before = self._parameters.writes
        try:
            self._parameters.apply(values)
        finally:
            self._renew(writes_before)

    def capture(self) -> CapturedFrame | None:
        """Wait for the next fresh frame; None if those that came in time were begun before `apply`."""
        if self._timed_out:
            raise ReadFailedError(f"{self._source.shown} timed out before, and does not recover from that")
        grabbed = self._drain.grab()
        if isinstance(grabbed, Missed):
            if grabbed is Missed.NOT_YET:
                return None
            self._timed_out = not self._is_v4l2
            raise ReadFailedError(f"{self._source.shown} delivers no frame")
        try:
            decoded, pixels = self._capture.retrieve()
        except cv2.error:  # as for a size that only a broken header can say: see capture_worker.environment
            decoded, pixels = False, None
        if not decoded:
            raise CorruptFrameError(f"a frame of {self._source.shown} cannot be decoded")
        if self._passthrough:
            frame = jpeg_frame(pixels, grabbed.captured_ns, size=self._negotiated_size(), lost=grabbed.thrown)
        else:
            frame = raw_frame(pixels, grabbed.captured_ns, lost=grabbed.thrown, depth=self._is_depth)
        return replace(frame, exposure_s=self._parameters.exposure_s())

    def grab(self) -> bool:
        """Take a frame out of the device's queue."""
        return bool(self._capture.grab())

    def driver_time_ns(self) -> int | None:
        """Return the buffer's time on CLOCK_MONOTONIC; a stream has only a position."""
        return round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6) if self._is_v4l2 else None

    def _open(self) -> bool:
        if self._is_v4l2:
            return bool(self._capture.open(self._source.address, cv2.CAP_V4L2))
        # These are accepted here only, not by `set`.
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(self._settings.open_timeout_s * _OPEN_SHARE * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            self._limit_s * 1000,
            cv2.CAP_PROP_N_THREADS,
            1,
        ]
        return bool(self._capture.open(self._source.address, cv2.CAP_FFMPEG, limits))

    def _open_parameters(self) -> None:
        """Only now that it streams: some controls are fixed from then on."""
        self._holding.enter_context(self._parameters)
        if self._parameters.writes:
            self._renew(0)

    def _renew(self, writes_before: int) -> None:
        changed = self._parameters.writes > writes_before
        self._drain.renew(_AFTER_A_CHANGE if changed else _BEGUN_BEFORE)

    def _apply_settings(self) -> None:
        """Ask for what is configured, and say what the device made of it."""
        wanted = self._settings
        if wanted.codec is not None:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted.codec))
        numbers = (
            ("width", cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            ("height", cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            ("fps", cv2.CAP_PROP_FPS, wanted.fps),
        )
        for _, prop, value in numbers:
            if value is not None:
                self._capture.set(prop, value)
        for name, prop, value in numbers:  # only now: OpenCV applies a size when it knows both sides
            if value is not None and self._capture.get(prop) != value:
                self._warn_of_refusal(f"{name} {value:g}", f"{self._capture.get(prop):g}")
        self._choose_conversion(wanted.codec)

    def _choose_conversion(self, wanted_codec: str | None) -> None:
        """Take grey and depth as they are. A JPEG is passed on only if it was asked for: others may expect pixels."""
        codec = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
        if wanted_codec is not None and codec != wanted_codec:
            self._warn_of_refusal(f"codec {wanted_codec}", codec)
        self._is_depth = codec == _DEPTH
        self._passthrough = wanted_codec in _COMPRESSED and codec in _COMPRESSED
        if self._passthrough or codec in _UNCONVERTED:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)

    def _warn_of_refusal(self, wanted: str, actual: str) -> None:
        _log.warning("%s: asked for %s, the device uses %s", self._source.shown, wanted, actual)

    def _negotiated_size(self) -> tuple[int, int]:
        return (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )

    def _await_first_frame(self) -> None:
        """Ask for a frame before believing that the device is open; decode here if it compresses wrongly."""
        error = self._try_first_frames()
        if isinstance(error, CorruptFrameError) and self._passthrough:
            _log.warning("%s: %s; decoding every frame instead of passing it on", self._source.shown, error)
            self._passthrough = False
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)
            error = self._try_first_frames()
        if error is not None:
            raise OpenFailedError(f"{self._source.shown} opens, but does not stream: {error}") from error

    def _try_first_frames(self) -> CameraError | None:
        """Return None as soon as there is a valid frame; else why the last read failed."""
        failed: CameraError | None = None
        until_s = time.monotonic() + self._settings.open_timeout_s * _OPEN_SHARE - self._limit_s
        for _ in range(_FIRST_READS):
            try:
                self.capture()
            except (CorruptFrameError, ReadFailedError) as error:  # the first buffers of a stream can be junk
                failed = error
            else:
                return None
            if time.monotonic() > until_s:
                break
        return failed

    def _find_fps(self) -> float | None:
        declared = self._capture.get(cv2.CAP_PROP_FPS)
        believed = declared if 0 < declared <= _MAX_FPS else None
        if not self._is_v4l2:
            return believed
        measured = self._measure_fps()
        if believed is None or measured is None:
            return measured or believed
        if abs(measured - believed) <= _MAX_DEVIATION * believed:
            return believed
        _log.warning("%s says %g frames/s and delivers %.1f", self._source.shown, believed, measured)
        return measured

    def _measure_fps(self) -> float | None:
        """Measure over a few frames; None if they do not come evenly enough to say."""
        times_ns: list[int] = []
        until_s = time.monotonic() + _MEASURING_S
        try:
            while len(times_ns) < _MEASURED_FRAMES and time.monotonic() < until_s:
                if frame := self.capture():
                    times_ns.append(frame.captured_ns)
        except (ReadFailedError, CorruptFrameError):
            return None
        if len(times_ns) < 2:  # noqa: PLR2004 - an interval has two ends
            return None
        period_ns = statistics.median(np.diff(times_ns).tolist())
        return 1e9 / period_ns if period_ns > 0 else None
