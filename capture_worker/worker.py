"""The loop of a capture process: open, capture, publish, beat."""

import logging
import os
import time
from typing import Any

from pydantic import ValidationError

from capture_worker.camera import (
    Camera,
    CameraError,
    CapturedFrame,
    CorruptFrameError,
    EndOfVideoError,
    ReadFailedError,
)
from capture_worker.environment import opencv_environment
from capture_worker.misbehaviour import ScriptError
from capture_worker.publisher import FramePublisher
from capture_worker.source import source_of
from shm import ForeignSegmentError, ShmFullError
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from supervision.lifeline import Lifeline
from supervision.settings import WorkerConfiguration, what_is_wrong

MAX_FAILURES_IN_A_ROW = 5
_LOG_INTERVAL_S = 10.0
_RING_TIMEOUT_S = 5.0  # to allocate and clear the memory of a new ring

_log = logging.getLogger(__name__)


class CaptureWorker:
    """One camera's process. `run` returns its exit code; why it ended was reported before."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._facts: dict[str, Any] = {}
        self._failures = 0
        self._last_success_s = 0.0
        self._quiet_until_s = 0.0

    def run(self) -> int:
        """Capture until SIGTERM, the end of the video, or a failure."""
        try:
            self._serve(WorkerConfiguration.model_validate(self._lifeline.configuration))
        except EndOfVideoError:
            _log.info("the video is at its end")
            return exit_codes.FINISHED
        except CameraError as error:
            self._lifeline.error(error.code, str(error))
            return exit_codes.CAMERA_FAILED
        except ShmFullError as error:
            self._lifeline.error("shm_full", str(error.strerror))
            return exit_codes.SHM_FAILED
        except ForeignSegmentError as error:
            self._lifeline.error("shm_foreign", str(error.strerror))
            return exit_codes.SHM_FAILED
        except (ValidationError, ScriptError) as error:
            text = what_is_wrong(error) if isinstance(error, ValidationError) else str(error)
            self._lifeline.error("bad_configuration", text)
            return exit_codes.BAD_CONFIGURATION
        return exit_codes.TERMINATED

    def _serve(self, configuration: WorkerConfiguration) -> None:
        if self._lifeline.stopping:
            return  # asked to end while this was still being loaded: a device takes its time to open and close
        settings = configuration.camera
        self._lifeline.promise(settings.open_timeout_s)
        with _make_camera(configuration.name, settings) as camera:
            description = camera.describe()
            with FramePublisher(configuration.instance, configuration.name, settings.slots, description) as publisher:
                self._last_success_s = time.monotonic()
                while not self._lifeline.stopping:
                    self._lifeline.end_if_orphaned()
                    self._lifeline.promise(camera.capture_limit_s, **self._facts)
                    self._step(camera, publisher)

    def _step(self, camera: Camera, publisher: FramePublisher) -> None:
        try:
            frame = camera.capture()
        except (ReadFailedError, CorruptFrameError) as error:
            if self._lifeline.stopping:
                return  # SIGTERM interrupts some drivers' waiting: that is no failure
            publisher.count_error()
            self._tolerate(error, publisher.errors, camera.capture_limit_s)
            return
        if frame is not None:
            self._publish(frame, publisher)
            self._failures, self._last_success_s = 0, time.monotonic()

    def _publish(self, frame: CapturedFrame, publisher: FramePublisher) -> None:
        if not publisher.fits(frame):
            _log.info("a new ring for frames of %d x %d %s", frame.cols, frame.rows, frame.encoding.name.lower())
            self._lifeline.promise(_RING_TIMEOUT_S, **self._facts)
            publisher.build_ring(frame)
        number = publisher.publish(frame)
        self._facts = {
            "frames": publisher.frames,
            "frame_number": number,
            "captured_ns": frame.captured_ns,
            "rows": frame.rows,
            "cols": frame.cols,
            "encoding": frame.encoding.name.lower(),
            "drops": publisher.drops,
            "errors": publisher.errors,
        }
        if publisher.frames == 1:
            self._lifeline.ready(**self._facts)

    def _tolerate(self, error: CameraError, errors: int, limit_s: float) -> None:
        """Go on after a failed read, unless there were too many or they took too long together."""
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            _log.warning("failed reads so far: %d, the last one: %s", errors, error)
            self._quiet_until_s = now_s + _LOG_INTERVAL_S
        self._failures += 1
        silent_s = now_s - self._last_success_s
        if self._failures > MAX_FAILURES_IN_A_ROW or silent_s > limit_s:
            raise type(error)(f"no frame for {silent_s:.1f} s, failed reads in a row: {self._failures}; {error}")


def _make_camera(name: str, settings: CameraSettings) -> Camera:
    """Choose the implementation, and load OpenCV only now: that takes time, and it reads its environment then."""
    os.environ.update(opencv_environment(settings))
    if settings.driver == "synthetic":
        from capture_worker.synthetic_camera import SyntheticCamera  # noqa: PLC0415 - loads OpenCV

        return SyntheticCamera(name, settings)
    if settings.driver == "camera_interface":
        from capture_worker.camera_interface import CameraInterfaceCamera  # noqa: PLC0415 - loads the SDK

        return CameraInterfaceCamera(name, settings)
    if settings.device is not None and source_of(settings.device).kind == "file":
        from capture_worker.video_file import VideoFileCamera  # noqa: PLC0415 - loads OpenCV

        return VideoFileCamera(settings)
    from capture_worker.opencv_camera import OpenCVCamera  # noqa: PLC0415 - loads OpenCV

    return OpenCVCamera(settings)
