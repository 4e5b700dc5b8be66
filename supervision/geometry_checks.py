"""Geometry that cannot be right, as far as the configuration alone shows it: pictures, camera models, places.

What the real frames are shows only when they come; but what was asked for should fit together.
"""

from supervision.camera_settings import CameraModelSettings, CameraSettings
from supervision.configuration import ConfigurationError
from supervision.settings import Settings

_CROPPED = "probably a cropped sensor mode, which needs a calibration of its own"


def check_geometry(settings: Settings) -> None:
    """Check each camera's picture and model, and the places of all. Raises ConfigurationError."""
    for name, camera in settings.cameras.items():
        _check_picture(name, camera)
        if camera.camera_model is not None:
            _check_model(name, camera.camera_model, configured_size(camera))
    _check_frames(settings)


def configured_size(camera: CameraSettings) -> tuple[int, int] | None:
    """Rows and cols of a camera's frames as far as the configuration says."""
    if camera.width and camera.height:
        return camera.height, camera.width
    return (480, 640) if camera.driver == "synthetic" else None


def _check_picture(name: str, camera: CameraSettings) -> None:
    own = camera.camera_interface
    if own and own.image_decode == "own" and (camera.crop or camera.rotate or camera.flip != "none"):
        raise ConfigurationError(f"cameras.{name}: a class that makes its own pictures must crop, rotate and flip them")
    size = configured_size(camera)
    if camera.crop and size:
        (left, top, width, height), (rows, cols) = camera.crop, size
        if left + width > cols or top + height > rows:
            raise ConfigurationError(f"cameras.{name}.crop: reaches beyond the picture of {cols} x {rows} pixels")


def _check_model(name: str, model: CameraModelSettings, size: tuple[int, int] | None) -> None:
    if size is None or model.is_for_shape(*size):
        return
    rows, cols = size
    is_turned = (model.width - model.height) * (cols - rows) < 0
    why = "it must be that of the picture before it is turned" if is_turned else _CROPPED
    raise ConfigurationError(
        f"cameras.{name}: the camera model is for {model.width} x {model.height} pixels, and the camera delivers "
        f"{cols} x {rows}: {why}"
    )


def _check_frames(settings: Settings) -> None:
    """All mounted cameras are listed in one tree: a sensor frame in it has one place, and its parent has none."""
    owners: dict[str, tuple[str, object]] = {}  # of each sensor frame: a camera, and where that is
    mounts = {name: camera.mount for name, camera in settings.cameras.items() if camera.mount is not None}
    for name, mount in mounts.items():
        camera = settings.cameras[name]
        frame = mount.frame_name or camera.source_name or name
        place = mount.model_copy(update={"frame_name": frame}), camera.rotate
        owner, known_place = owners.setdefault(frame, (name, place))
        if place != known_place:
            raise ConfigurationError(
                f"cameras.{name}.mount: its sensor frame {frame!r} is that of camera {owner} too, at another place; "
                "choose a frame_name"
            )
    for name, mount in mounts.items():
        if mount.parent in owners:
            owner, _ = owners[mount.parent]
            whose = "the sensor's own" if owner == name else f"the sensor frame of camera {owner}"
            raise ConfigurationError(
                f"cameras.{name}.mount.parent: the frame {mount.parent!r} is {whose}; name one of the robot's"
            )
