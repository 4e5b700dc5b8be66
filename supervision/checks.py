"""What no single value shows: two cameras of one name or device, times out of order, too little shared memory.

Each check raises ConfigurationError with one sentence; all of them run before anything is started.
"""

import math
import os

from pydantic import JsonValue

from shm import GroupError
from shm.rights import check_group
from supervision.camera_settings import OTHER_CHILDREN, CameraSettings
from supervision.configuration import ConfigurationError, shown_device
from supervision.geometry_checks import check_geometry
from supervision.login import check_credentials
from supervision.room import check_room
from supervision.settings import PAYLOAD_PORTS, PAYLOAD_ROBOT, RESERVED_PORT, Settings
from supervision.small_file import read_small_file

_DRIVERS_OF_KEY = {
    "codec": ("opencv",),
    "loop": ("opencv",),
    "width": ("opencv", "synthetic"),
    "height": ("opencv", "synthetic"),
    "synthetic": ("synthetic",),
}
_OPENING_S = 2.0  # what an opening needs beside its first read


def check(settings: Settings) -> None:
    """Run every check. Raises ConfigurationError."""
    if not settings.cameras:
        raise ConfigurationError("cameras: at least one is needed")
    for name, camera in settings.cameras.items():
        if name in OTHER_CHILDREN:
            raise ConfigurationError(f"cameras.{name}: this is the name of another process; choose another one")
        _check_keys(name, camera)
        _check_times(name, camera)
        _check_numbers(f"cameras.{name}.parameters", camera.parameters)
        _check_class(name, camera)
    _check_devices(settings)
    _check_source_names(settings)
    check_geometry(settings)
    _check_hostname(settings.robot.hostname)
    _check_port(settings)
    check_credentials(settings)
    _check_certificate(settings)
    _check_group(settings.shm_group)
    check_room(settings)


def _check_keys(name: str, camera: CameraSettings) -> None:
    """A key that does nothing for this driver was meant for another one."""
    for key, drivers in _DRIVERS_OF_KEY.items():
        if key in camera.model_fields_set and camera.driver not in drivers:
            raise ConfigurationError(
                f"cameras.{name}.{key}: is for driver {' and '.join(drivers)}; this camera's is {camera.driver}"
            )


def _check_numbers(where: str, value: JsonValue) -> None:
    """Lines to the children are JSON, which has neither infinity nor NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{where}: is no finite number (it is {value})")
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    for key, element in inner.items() if isinstance(inner, dict) else ():
        _check_numbers(f"{where}.{key}", element)


def _check_class(name: str, camera: CameraSettings) -> None:
    """A class of the user's own is loaded by its worker alone; what can be seen without that is said now."""
    own = camera.camera_interface
    if own is None:
        return
    where = f"cameras.{name}.camera_interface"
    _check_numbers(f"{where}.arguments", own.arguments)
    module, _, attribute = own.factory.partition(":")
    if module.endswith(".py"):
        raise ConfigurationError(f"{where}.factory: {module} is a file; its module is {module[:-3]}:{attribute}")
    if own.python_path is not None and not own.python_path.is_dir():
        raise ConfigurationError(f"{where}.python_path: {own.python_path}: there is no such folder")


def _is_live(camera: CameraSettings) -> bool:
    """Whether it is a device or a stream: reads of a file are not limited."""
    device = str(camera.device)
    return camera.driver == "opencv" and (device.isdecimal() or device.startswith("/dev/") or "://" in device)


def _check_times(name: str, camera: CameraSettings) -> None:
    if camera.capture_timeout_s > camera.open_timeout_s:
        raise ConfigurationError(
            f"cameras.{name}.capture_timeout_s: {camera.capture_timeout_s:g} s is longer than open_timeout_s "
            f"({camera.open_timeout_s:g} s)"
        )
    read_s = camera.read_limit_s
    if _is_live(camera) and camera.open_timeout_s < read_s + _OPENING_S:
        raise ConfigurationError(
            f"cameras.{name}.open_timeout_s: {camera.open_timeout_s:g} s is too short to open a camera whose first "
            f"frame alone may take {read_s} s; at least {read_s + _OPENING_S:g} s are needed"
        )
    period_s = 1 / camera.fps if camera.fps else 0.0
    for key, limit_s in (("capture_timeout_s", camera.capture_timeout_s), ("max_age_s", camera.max_age_s)):
        if limit_s is not None and limit_s < period_s:
            raise ConfigurationError(
                f"cameras.{name}.{key}: {limit_s:g} s is shorter than one frame at {camera.fps:g} fps ({period_s:g} s)"
            )


def _check_devices(settings: Settings) -> None:
    seen: dict[str, str] = {}
    for name, camera in settings.cameras.items():
        if camera.device is None:
            continue
        device = _real_device(camera.device)
        if device in seen:
            raise ConfigurationError(
                f"cameras.{name}.device: {shown_device(camera)} is the device of camera {seen[device]} too"
            )
        seen[device] = name


def _check_source_names(settings: Settings) -> None:
    seen: dict[str, str] = {}
    for name, camera in settings.cameras.items():
        source = camera.source_name or name
        if source in seen:
            raise ConfigurationError(
                f"cameras.{name}.source_name: clients know camera {seen[source]} as {source!r} already"
            )
        seen[source] = name


def _real_device(device: int | str) -> str:
    if isinstance(device, int):
        device = f"/dev/video{device}"
    return device if "://" in device else os.path.realpath(device)


def _check_hostname(hostname: str) -> None:
    try:
        hostname.encode("idna")
    except UnicodeError as error:
        raise ConfigurationError(f"robot.hostname: {hostname!r} is no name of a computer") from error


def _check_port(settings: Settings) -> None:
    port = settings.service.port
    if settings.simulate or settings.robot.hostname != PAYLOAD_ROBOT:
        return  # a developer's machine has no firewall that lets in these ports only
    if port not in PAYLOAD_PORTS or port == RESERVED_PORT:
        raise ConfigurationError(
            f"service.port: {port} cannot be reached by the robot; a payload's ports are {PAYLOAD_PORTS[0]} to "
            f"{PAYLOAD_PORTS[-1]} without {RESERVED_PORT}"
        )


def _check_certificate(settings: Settings) -> None:
    path = settings.robot.ca
    if path is None:
        return
    if settings.simulate:
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise ConfigurationError(f"robot.ca: {path}: no file can be written there")
        return
    try:
        is_certificate = b"-----BEGIN CERTIFICATE-----" in read_small_file(path)
    except OSError as error:
        raise ConfigurationError(f"robot.ca: {path}: {error.strerror}") from error
    if not is_certificate:
        raise ConfigurationError(f"robot.ca: {path}: is no certificate in PEM format")


def _check_group(group: str | None) -> None:
    try:
        if group is not None:
            check_group(group)
    except GroupError as error:
        raise ConfigurationError(f"shm_group: {error}") from error
