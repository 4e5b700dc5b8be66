"""One camera as the servicer sees it: its newest frame, whether that is fresh, and how it is described."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any

from servicer import image_request
from servicer.image_source import SourceDescription
from servicer.picture import Encoded, encode
from servicer.robot_clock import AcquisitionTimes, RobotClock
from servicer.shared_encodings import FrameKey, SharedEncodings
from shm import Encoding, Frame, Loss, RingReader
from supervision.camera_settings import CameraSettings

_LEAST_MAX_AGE_S = 0.5
_MAX_AGE_PERIODS = 3
_PERIOD_SAMPLES = 5


class FrameLostError(Exception):
    """The writer overtook every attempt to encode, or the ring went away meanwhile."""


@dataclass(frozen=True)
class FrameFacts:
    """What is known about a frame without copying it."""

    frame_number: int
    captured_ns: int
    rows: int
    cols: int
    encoding: Encoding
    epoch: int

    def age_s(self) -> float:
        """Seconds since the capture."""
        return (time.monotonic_ns() - self.captured_ns) / 1e9


class ServedCamera:
    """Reads one ring for any number of request threads."""

    def __init__(self, instance: str, name: str, settings: CameraSettings, clock: RobotClock) -> None:
        self.name = name
        self.acquisition_times = AcquisitionTimes(clock)
        self._settings = settings
        self._description = SourceDescription(settings.source_name or name, settings)
        self._reader = RingReader(instance, name)
        self._shared: SharedEncodings[Encoded] = SharedEncodings(lambda encoded: len(encoded.data))
        self._last: FrameFacts | None = None
        self._periods_s: deque[float] = deque(maxlen=_PERIOD_SAMPLES)
        self._noting = threading.Lock()

    @property
    def problem(self) -> str | None:
        """Why the ring cannot be read, in a sentence; None while it can."""
        return self._reader.problem

    @property
    def max_age_s(self) -> float:
        """Age beyond which a frame is never served as OK."""
        if self._settings.max_age_s is not None:
            return self._settings.max_age_s
        return max(_LEAST_MAX_AGE_S, _MAX_AGE_PERIODS * self._period_s())

    def newest(self) -> FrameFacts | None:
        """Facts of the newest frame, however old; None if there is none."""
        facts = self._reader.use(_facts)
        if isinstance(facts, Loss):
            return None
        self._note(facts)
        return facts

    def encoded(self, facts: FrameFacts, wanted: image_request.Wanted, timeout_s: float) -> Encoded:
        """The picture of the newest frame as wanted.

        Raises UndecodableFrameError, FrameLostError, and TimeoutError after `timeout_s`.
        """

        def make() -> Encoded:
            # `wanted` was checked against the encoding in `facts`; a ring that has replaced it may hold another one.
            made = self._reader.use(lambda frame: encode(frame, wanted) if frame.encoding is facts.encoding else None)
            if made is None or isinstance(made, Loss):
                raise FrameLostError("the frame was overwritten before it could be encoded")
            return made

        return self._shared.get(FrameKey(facts.epoch, facts.frame_number), wanted, make, timeout_s)

    def source(self, facts: FrameFacts | None) -> Any:
        """The `image_pb2.ImageSource` of this camera: the name alone until there was a frame."""
        facts = facts or self._last
        if facts is None:
            return self._description.source(None, None, None)
        return self._description.source(facts.encoding, (facts.rows, facts.cols), self._reader.descriptor())

    def _period_s(self) -> float:
        """The measured frame period; before there is one, what the driver says; 0 if it says nothing."""
        if self._periods_s:
            return median(self._periods_s)  # one slow frame, or the gap of a stall, must not stretch the limit
        fps = (self._reader.descriptor() or {}).get("fps")
        return 1 / fps if isinstance(fps, int | float) and fps > 0 else 0.0

    def _note(self, facts: FrameFacts) -> None:
        """Measure the frame period between two looks at the same ring."""
        with self._noting:
            last = self._last
            if last is not None and last.epoch == facts.epoch and facts.frame_number <= last.frame_number:
                return
            self._last = facts
            if last is not None and last.epoch == facts.epoch:
                frames = facts.frame_number - last.frame_number
                self._periods_s.append((facts.captured_ns - last.captured_ns) / 1e9 / frames)


def _facts(frame: Frame) -> FrameFacts:
    return FrameFacts(frame.frame_number, frame.captured_ns, frame.rows, frame.cols, frame.encoding, frame.epoch)
