"""A camera in the test's own hands, and the worker's loop around it, turn by turn: the ring and the socket are real."""

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np

from capture_worker.camera import CapturedFrame, Description, ParametersRejectedError, ReadFailedError, raw_frame
from capture_worker.defaults import apply_defaults
from capture_worker.loop import CaptureLoop
from capture_worker.publisher import FramePublisher
from capture_worker.requests import CaptureRequests
from shm import RingReader, names
from supervision.camera_settings import CameraSettings
from supervision.lifeline import Lifeline
from tests.capture_worker.harness import wait_for

SPEC = {"specs": {"gain": {"spec": {"double_spec": {"default_value": 1.0, "min_value": 0.0, "max_value": 100.0}}}}}


class ScriptedCamera:
    """Its pictures have the brightness of the gain in force. It takes each gain but those in `rejected`.

    `script` says what the next captures do: an exception is raised, None is returned, a function called; when it
    is empty, frames come.
    """

    capture_limit_s = 1.5

    def __init__(self, spec: dict[str, Any] | None = SPEC, *, decodes: bool = False, fps: float | None = 30.0) -> None:
        self.spec = spec
        self.fps = fps
        self.gone = False
        self.restless = False  # a pixel changes from picture to picture
        self.too_bright: float | None = None  # no frame comes with this gain
        self.own_decode = ((1, 1),) if decodes else None
        self.rejected: set[float] = set()
        self.script: list[Exception | Callable[[], object] | None] = []
        self.applied: list[float | None] = []
        self.captures = 0
        self.decode: Callable[[Mapping[str, Any]], bytes] = lambda request: json.dumps(
            [self._gain, self.captures, dict(request)]
        ).encode()
        self._gain = 77.0  # what somebody else has left behind

    def __enter__(self) -> "ScriptedCamera":
        """Open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""

    def describe(self) -> Description:
        """Offer a gain."""
        return Description("scripted", self.fps, self.spec, self.own_decode)

    def hang_softly(self, until: Callable[[], bool] = lambda: False) -> None:
        """Have no frame, and say so, until something is so."""

        def step() -> None:
            if not until():
                self.script.append(step)

        self.script = [step]

    def apply(self, values: Mapping[str, Any]) -> None:
        """Set the gain, or reject it."""
        gain = values["gain"]["double_value"]["value"] if values else None
        if self.gone:
            raise ReadFailedError("the camera is gone")
        if gain in self.rejected:
            self._gain = 66.0  # half way between here and there
            raise ParametersRejectedError(f"not with a gain of {gain}")
        self.applied.append(gain)
        self._gain = self._gain if gain is None else gain

    def capture(self) -> CapturedFrame | None:
        """Do what the script says."""
        self.captures += 1
        if self._gain == self.too_bright:
            raise ReadFailedError("too bright")
        step = self.script.pop(0) if self.script else ...
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step()
        if step is not ...:
            return None
        picture = np.full((16, 16), self._gain, np.uint8)
        picture[-1, -1] += self.captures % 2 if self.restless else 0
        return raw_frame(picture, time.monotonic_ns())


class Stage:
    """The worker's loop around a scripted camera, inside `with`."""

    def __init__(self, camera: ScriptedCamera, **settings: Any) -> None:
        self.camera = camera
        self.instance = f"t{uuid.uuid4().hex[:16]}"
        self.reader = RingReader(self.instance, "front")
        self._settings = CameraSettings.model_validate({"driver": "synthetic", **settings})
        self._holding = ExitStack()
        self.beats: list[dict[str, Any]] = []  # all that were reported

    def __enter__(self) -> "Stage":
        """Open the camera and publish its first frame."""
        settings = self._settings
        self._report_fd, child_fd = os.pipe()
        for fd in (self._report_fd, child_fd):
            os.set_blocking(fd, False)
            self._holding.callback(os.close, fd)
        defaults = apply_defaults(self.camera, settings.parameters)
        publisher = FramePublisher(self.instance, "front", settings.slots, defaults.description)
        requests = CaptureRequests(self.instance, "front")
        self._holding.callback(lambda: [names.remove(name) for name in names.names_of(self.instance)])
        self._holding.enter_context(publisher)
        self._holding.enter_context(requests)
        self.loop = CaptureLoop(self.camera, settings, defaults, publisher, requests, Lifeline(child_fd))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing behind."""
        self._holding.close()

    def turn(self, times: int = 1) -> None:
        """Let the loop turn."""
        for _ in range(times):
            self.loop.turn()

    def turn_until(self, condition: Callable[[], Any]) -> None:
        """Let the loop turn until something is so."""
        wait_for(lambda: self.loop.turn() or condition())  # type: ignore[func-returns-value]  # it returns None

    def newest_ns(self) -> int:
        """Return when the newest frame was captured."""
        frame = self.reader.latest()
        assert frame is not None
        return frame.captured_ns

    def reports(self) -> list[dict[str, Any]]:
        """Return what was reported since the last time."""
        try:
            lines = os.read(self._report_fd, 1 << 20).splitlines()
        except BlockingIOError:
            return []
        reports = [json.loads(line) for line in lines]
        self.beats += [report for report in reports if report["report"] == "beat"]
        return reports

    def brightness(self, params_id: bytes) -> int | None:
        """Return the brightness of the newest frame with these parameters."""
        frame = self.reader.latest(params_id)
        return None if frame is None else int(frame.pixels()[0, 0])
