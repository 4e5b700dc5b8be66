"""The loop of a capture process: open, capture, publish, beat."""

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from capture_worker.camera import Camera, CameraError, EndOfVideoError, OpenFailedError
from capture_worker.defaults import apply_defaults
from capture_worker.environment import opencv_environment
from capture_worker.loop import CaptureLoop
from capture_worker.misbehaviour import ScriptError
from capture_worker.publisher import FramePublisher
from capture_worker.requests import CaptureRequests
from capture_worker.source import source_of
from shm import ForeignSegmentError, GroupError, RingReader, ShmFullError
from shm.parameters import ParametersError
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from supervision.lifeline import Lifeline
from supervision.settings import WorkerConfiguration, what_is_wrong

_log = logging.getLogger(__name__)


class CaptureWorker:
    """One camera's process. `run` returns its exit code; why it ended was reported before."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline

    def run(self) -> int:
        """Capture until SIGTERM, the end of the video, or a failure."""
        try:
            self._serve(WorkerConfiguration.model_validate(self._lifeline.configuration))
        except EndOfVideoError:
            _log.info("the video is at its end")
            return exit_codes.FINISHED
        except CameraError as error:
            self._lifeline.error(error.code, str(error))
            return exit_codes.BAD_CONFIGURATION if error.code == "bad_configuration" else exit_codes.CAMERA_FAILED
        except ShmFullError as error:
            self._lifeline.error("shm_full", str(error.strerror))
            return exit_codes.SHM_FAILED
        except ForeignSegmentError as error:
            self._lifeline.error("shm_foreign", str(error.strerror))
            return exit_codes.SHM_FAILED
        except (ValidationError, ScriptError, ParametersError, GroupError) as error:
            self._refuse(error)
            return exit_codes.BAD_CONFIGURATION
        return exit_codes.TERMINATED

    def _refuse(self, error: ValidationError | ScriptError | ParametersError | GroupError) -> None:
        if isinstance(error, ParametersError):
            self._lifeline.error("parameters", f"of its configuration: {error}")
        else:
            text = what_is_wrong(error) if isinstance(error, ValidationError) else str(error)
            self._lifeline.error("bad_configuration", text)

    def _serve(self, configuration: WorkerConfiguration) -> None:
        if self._lifeline.stopping:
            return  # asked to end while this was still being loaded: a device takes its time to open and close
        settings = configuration.camera
        where = configuration.instance, configuration.name
        self._lifeline.promise(settings.open_timeout_s)
        with _make_camera(*where, settings) as camera:
            defaults = apply_defaults(camera, settings.parameters)
            with (
                FramePublisher(*where, settings.slots, defaults.description, configuration.shm_group) as publisher,
                CaptureRequests(*where) as requests,
            ):
                self._run(CaptureLoop(camera, settings, defaults, publisher, requests, self._lifeline), requests)

    def _run(self, loop: CaptureLoop, requests: CaptureRequests) -> None:
        try:
            while not self._lifeline.stopping:
                self._lifeline.end_if_orphaned()
                loop.turn()
        except CameraError as error:
            requests.fail_all("camera", str(error))
            raise


def _enter_folder(folder: Path | None) -> None:
    """Make relative paths of a user's class those of its module's folder. Raises OpenFailedError."""
    try:
        os.chdir(folder or ".")
    except OSError as error:
        raise OpenFailedError(f"{folder}: {error.strerror}") from error


def _make_camera(instance: str, name: str, settings: CameraSettings) -> Camera:
    """Choose the implementation, and load OpenCV only now: that takes time, and it reads its environment then."""
    os.environ.update(opencv_environment(settings))
    if settings.driver == "synthetic":
        from capture_worker.synthetic_camera import SyntheticCamera  # noqa: PLC0415 - loads OpenCV

        return SyntheticCamera(name, settings)
    if settings.camera_interface is not None:
        _enter_folder(settings.camera_interface.python_path)
        from capture_worker.camera_interface import CameraInterfaceCamera  # noqa: PLC0415 - loads the SDK

        return CameraInterfaceCamera(name, settings)
    if settings.device is not None and source_of(settings.device).kind == "file":
        from capture_worker.video_file import VideoFileCamera  # noqa: PLC0415 - loads OpenCV

        return VideoFileCamera(settings)
    from capture_worker.opencv_camera import OpenCVCamera  # noqa: PLC0415 - loads OpenCV

    return OpenCVCamera(settings, RingReader(instance, name).descriptor())
