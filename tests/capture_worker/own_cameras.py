"""Opens the camera classes of `tests/user_cameras` as the configuration names them."""

from typing import Any

from capture_worker.camera import CapturedFrame
from capture_worker.camera_interface import CameraInterfaceCamera
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import PROJECT, wait_for

USER_CAMERAS = PROJECT / "tests" / "user_cameras"
_OF_THE_CLASS = ("arguments", "source", "python_path", "image_decode", "channel_order")


def own_camera(factory: str, *arguments: Any, **settings: Any) -> CameraSettings:
    """Return the settings of a camera class; what is not about the class is about the camera."""
    table = {"factory": factory, "arguments": list(arguments), "python_path": USER_CAMERAS}
    table |= {key: settings.pop(key) for key in _OF_THE_CLASS if key in settings}
    return CameraSettings.model_validate({"driver": "camera_interface", "camera_interface": table, **settings})


def own(factory: str, *arguments: Any, **settings: Any) -> CameraInterfaceCamera:
    """Return the camera, to be opened in this process."""
    return CameraInterfaceCamera("front", own_camera(factory, *arguments, **settings))


def next_frame(camera: CameraInterfaceCamera) -> CapturedFrame:
    """Return its next frame, however long it waits for it."""
    return wait_for(camera.capture)
