"""Whether the cameras' frames have room in /dev/shm, asked before anything is started."""

import contextlib
import os

from shm import names
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from supervision.configuration import ConfigurationError
from supervision.geometry_checks import configured_size
from supervision.settings import Settings

_BYTES_PER_PIXEL = {"bgr8": 3, "bgra8": 4, "mono8": 1, "mono16": 2, "depth16": 2}
_SMALLEST_COMPRESSED_BYTES = 1 << 20
_COMPRESSED_CODECS = {"MJPG", "JPEG"}
_DOCKERS_BYTES = 64 << 20
_LIKELY_SIZE = 720, 1280  # rows and columns of a device …
_LIKELY_LARGE_SIZE = 1080, 1920  # … and of a stream, a file, or what somebody has written a class for
_REMEDY = "give the container more with shm_size (or --shm-size, or ipc: host), or use fewer slots or smaller frames"


class NoRoomError(ConfigurationError):
    """The frames that are asked for have no room in /dev/shm."""

    exit_code = exit_codes.SHM_FAILED


def check_room(settings: Settings) -> None:
    """Refuse frames whose sizes are known and that do not fit. Raises NoRoomError."""
    needed_bytes = _needed_bytes([_ring_bytes(camera, configured_size(camera)) for camera in settings.cameras.values()])
    free_bytes = names.free_bytes() + _used_bytes(settings.instance)
    if needed_bytes > free_bytes:
        raise NoRoomError(
            f"cameras: their frames need {_megabytes(needed_bytes)} in /dev/shm and {_megabytes(free_bytes)} are free; "
            f"{_REMEDY}"
        )


def room_warning(settings: Settings) -> str | None:
    """Return a sentence if /dev/shm is as large as Docker makes it, and frames of unknown sizes will hardly fit."""
    sizes = [(camera, _size(camera)) for camera in settings.cameras.values()]
    needed_bytes = _needed_bytes([_ring_bytes(camera, size) for camera, size in sizes])
    if _total_bytes() != _DOCKERS_BYTES or needed_bytes <= _DOCKERS_BYTES:
        return None
    return (
        f"{names.SHM_DIR} has {_megabytes(_DOCKERS_BYTES)}, which is Docker's default, and these cameras may need "
        f"{_megabytes(needed_bytes)}: {_REMEDY}"
    )


def _needed_bytes(rings: list[int]) -> int:
    return sum(rings) + max(rings)  # a ring that replaces another exists beside it for a moment


def _total_bytes() -> int:
    room = os.statvfs(names.SHM_DIR)
    return room.f_blocks * room.f_frsize


def _used_bytes(instance: str) -> int:
    used_bytes = 0
    for name in names.names_of(instance):
        with contextlib.suppress(FileNotFoundError):
            used_bytes += names.path_of(name).lstat().st_blocks * 512
    return used_bytes


def _size(camera: CameraSettings) -> tuple[int, int]:
    is_device = str(camera.device).isdecimal() or str(camera.device).startswith("/dev/")
    return configured_size(camera) or (_LIKELY_SIZE if is_device else _LIKELY_LARGE_SIZE)


def _ring_bytes(camera: CameraSettings, size: tuple[int, int] | None) -> int:
    """Return the size of a camera's ring with frames of (rows, columns), 0 when only the device knows these."""
    if size is None:
        return 0
    rows, cols = size
    encoding = camera.synthetic.encoding if camera.driver == "synthetic" else _opencv_encoding(camera)
    compressed = max(_SMALLEST_COMPRESSED_BYTES, rows * cols)
    return camera.slots * (rows * cols * _BYTES_PER_PIXEL[encoding] if encoding in _BYTES_PER_PIXEL else compressed)


def _opencv_encoding(camera: CameraSettings) -> str:
    return "jpeg" if camera.codec in _COMPRESSED_CODECS else "bgr8"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
