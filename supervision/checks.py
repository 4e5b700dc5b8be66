"""What no single value shows: two cameras on one device, times out of order, too little shared memory.

Each check raises ConfigurationError with one sentence; all of them run before anything is started.
"""

import contextlib
import ipaddress
import os
import socket
from pathlib import Path

from shm import names
from supervision.configuration import ConfigurationError, shown_device
from supervision.settings import PAYLOAD_PORTS, PAYLOAD_ROBOT, RESERVED_PORT, CameraSettings, Settings

_PAYLOAD_NETWORK = ipaddress.ip_network("192.168.50.0/24")
_OTHER_CHILDREN = ("servicer", "simulated_robot")
_BYTES_PER_PIXEL = {"bgr8": 3, "bgra8": 4, "mono8": 1, "mono16": 2, "depth16": 2}
_SMALLEST_COMPRESSED_BYTES = 1 << 20


def check(settings: Settings) -> None:
    """Run every check. Raises ConfigurationError."""
    if not settings.cameras:
        raise ConfigurationError("cameras: at least one is needed")
    for name, camera in settings.cameras.items():
        if name in _OTHER_CHILDREN:
            raise ConfigurationError(f"cameras.{name}: this is the name of another process; choose another one")
        _check_times(name, camera)
    _check_devices(settings)
    _check_port(settings)
    _check_credentials(settings)
    _check_memory(settings)


def with_host_ip(settings: Settings, known: Settings | None = None) -> Settings:
    """Fill in the address that is registered with the robot: the local end of the route to it.

    It is taken from `known` settings for the same robot, if there are any: a name may take long to look up.
    """
    if settings.service.host_ip is not None:
        _check_address(settings.service.host_ip)
        return settings
    if known and known.service.host_ip and known.robot.hostname == settings.robot.hostname:
        host_ip = known.service.host_ip
    elif settings.simulate:
        host_ip = "127.0.0.1"
    else:
        host_ip = _address_of_route_to(settings.robot.hostname)
    if settings.robot.hostname == PAYLOAD_ROBOT and not settings.simulate:
        _check_inside_payload_network(host_ip)
    service = settings.service.model_copy(update={"host_ip": host_ip})
    return settings.model_copy(update={"service": service})


def _address_of_route_to(hostname: str) -> str:
    try:
        address = socket.getaddrinfo(hostname, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(address[0], socket.SOCK_DGRAM) as route:
            route.connect(address[4])  # looks up the route; a datagram socket sends nothing here
            return str(route.getsockname()[0])
    except OSError as error:
        raise ConfigurationError(
            f"service.host_ip: no route to the robot {hostname} ({error.strerror}); give this computer's own address "
            "with --host-ip"
        ) from error


def _check_address(host_ip: str) -> None:
    try:
        usable = not ipaddress.ip_address(host_ip).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"service.host_ip: {host_ip!r} is no address at which a robot could reach us")


def _check_inside_payload_network(host_ip: str) -> None:
    if ipaddress.ip_address(host_ip) not in _PAYLOAD_NETWORK:
        raise ConfigurationError(
            f"service.host_ip: the route to the robot {PAYLOAD_ROBOT} starts at {host_ip}, which is outside its "
            f"network {_PAYLOAD_NETWORK} (a bridged container?); give the address "
            "at which the robot reaches us with --host-ip"
        )


def _check_times(name: str, camera: CameraSettings) -> None:
    if camera.capture_timeout_s > camera.open_timeout_s:
        raise ConfigurationError(
            f"cameras.{name}.capture_timeout_s: {camera.capture_timeout_s:g} s is longer than open_timeout_s "
            f"({camera.open_timeout_s:g} s)"
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


def _real_device(device: int | str) -> str:
    if isinstance(device, int):
        device = f"/dev/video{device}"
    return device if "://" in device else os.path.realpath(device)


def _check_port(settings: Settings) -> None:
    port = settings.service.port
    if settings.simulate or settings.robot.hostname != PAYLOAD_ROBOT:
        return  # a developer's machine has no firewall that lets in these ports only
    if port not in PAYLOAD_PORTS or port == RESERVED_PORT:
        raise ConfigurationError(
            f"service.port: {port} cannot be reached by the robot; a payload's ports are {PAYLOAD_PORTS[0]} to "
            f"{PAYLOAD_PORTS[-1]} without {RESERVED_PORT}"
        )


def _check_credentials(settings: Settings) -> None:
    robot = settings.robot
    if (robot.guid is None) != (robot.secret is None):
        raise ConfigurationError("robot: guid and secret (--guid, --secret) go together")
    if robot.guid is not None and robot.payload_credentials_file is not None:
        raise ConfigurationError("robot: payload_credentials_file, or guid and secret, not both")
    if settings.simulate or robot.guid is not None:
        return
    if robot.payload_credentials_file is None:
        raise ConfigurationError(
            "robot.payload_credentials_file: needed to authenticate (or --guid and --secret); see --help"
        )
    _check_credentials_file(robot.payload_credentials_file)


def _check_credentials_file(path: Path) -> None:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as error:
        raise ConfigurationError(f"robot.payload_credentials_file: {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"robot.payload_credentials_file: {path}: is no text file") from error
    if len(lines) < 2:  # noqa: PLR2004 - guid and secret
        raise ConfigurationError(f"robot.payload_credentials_file: {path}: needs a guid and a secret, one per line")


def _check_memory(settings: Settings) -> None:
    rings = [_ring_bytes(camera) for camera in settings.cameras.values()]
    needed_bytes = sum(rings) + max(rings)  # a ring that replaces another exists beside it for a moment
    free_bytes = names.free_bytes() + _used_bytes(settings.instance)
    if needed_bytes > free_bytes:
        raise ConfigurationError(
            f"cameras: their frames need {_megabytes(needed_bytes)} in /dev/shm and {_megabytes(free_bytes)} are free; "
            "give the container more with shm_size (or --shm-size, or ipc: host), or use fewer slots or smaller frames"
        )


def _used_bytes(instance: str) -> int:
    used_bytes = 0
    for name in names.names_of(instance):
        with contextlib.suppress(FileNotFoundError):
            used_bytes += names.path_of(name).stat().st_blocks * 512
    return used_bytes


def _ring_bytes(camera: CameraSettings) -> int:
    """Return the size of a camera's ring, 0 when only the device knows how large its frames are."""
    if camera.driver == "synthetic":
        rows, cols = camera.height or 480, camera.width or 640
    elif camera.width and camera.height:
        rows, cols = camera.height, camera.width
    else:
        return 0
    encoding = camera.synthetic.encoding if camera.driver == "synthetic" else "bgr8"
    compressed = max(_SMALLEST_COMPRESSED_BYTES, rows * cols)
    return camera.slots * (rows * cols * _BYTES_PER_PIXEL[encoding] if encoding in _BYTES_PER_PIXEL else compressed)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
