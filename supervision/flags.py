"""The flags of `supervisor.py`: the SDK tutorial's own, and ours. Flags win over the configuration file."""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from supervision.calibration import with_camera_models
from supervision.checks import check
from supervision.configuration import (
    CREDENTIAL_KEYS,
    FLAGS,
    SIMULATED_CAMERAS,
    ConfigurationError,
    complete,
    device_from_text,
    merge,
    read_file,
    validate,
)
from supervision.discovery import NoCameraFoundError, cameras_named_after, find_cameras
from supervision.login import PASSWORD, USERNAME, Login, with_user, without_other_credentials
from supervision.route import with_host_ip
from supervision.settings import DEFAULT_PORT, PAYLOAD_CREDENTIALS, PAYLOAD_ROBOT, Settings

_VIDEO_SUFFIXES = {".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"}

_WAYS = ("payload", "external")

_USAGE = "supervisor.py [payload|external] [HOSTNAME] [flags]\n       supervisor.py status [--instance NAME] [--json]"
_DESCRIPTION = f"""\
Serves the cameras of this computer to a Spot robot: one process per camera, one image service, all of them watched
and restarted. Without any argument: robot {PAYLOAD_ROBOT}, the payload credentials of this computer, and every
camera that is plugged in.
"""
_EPILOG = f"""\
examples:
  python supervisor.py --simulate                              two synthetic cameras and a simulated robot
  python supervisor.py --list                                  the cameras of this computer
  python supervisor.py 192.168.80.3 --host-ip 192.168.80.20 \\
      --payload-credentials-file creds.txt --device-name 0 /dev/video2 clip.mp4
  python supervisor.py external 192.168.80.3 --device-name 0   as a user of the robot instead of a payload
  python supervisor.py --config pipeline.example.toml          every key is explained in that file
  python supervisor.py status [--instance NAME] [--json]       how the processes and cameras are

environment: {USERNAME} and {PASSWORD} are who `external` logs in as; without
that word they count where neither flags nor file nor a payload computer's own file say who we are

exit codes: 0 ended as asked, 1 no camera was found, or the system refused something, 2 usage, 71 no room in /dev/shm,
or a name there is another user's, 75 no route to the robot yet, or --host-ip is needed, 78 bad configuration,
100 another supervisor runs this instance, 130 interrupted before anything was started
"""


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the flags; ends the process with a usage message when they make no sense."""
    parser = argparse.ArgumentParser(
        prog="supervisor.py",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_robot_flags(parser)
    _add_service_flags(parser)
    _add_camera_flags(parser)
    _add_run_flags(parser)
    flags = parser.parse_intermixed_args(arguments)
    if "status" in flags.words:
        parser.error("`status` comes first: supervisor.py status [--instance NAME] [--json]")
    ways, hostnames = [word for word in flags.words if word in _WAYS], [w for w in flags.words if w not in _WAYS]
    if len(hostnames) > 1:
        parser.error(
            f"unrecognized arguments: {' '.join(hostnames[1:])}; {hostnames[0]!r} is taken for HOSTNAME, beside which "
            "only payload or external may stand"
        )
    if len(ways) > 1:
        parser.error(f"unrecognized arguments: {' '.join(ways[1:])}")
    if (flags.res_width is None) != (flags.res_height is None):
        parser.error("--res-width and --res-height go together")
    flags.way, flags.hostname = next(iter(ways), None), next(iter(hostnames), None)
    flags.verbose = flags.verbose or flags.show_debug_info
    return flags


def settings_from_flags(
    flags: argparse.Namespace,
    folder: Path,
    find: Callable[[], dict[str, Any]] = find_cameras,
    known: Settings | None = None,
    login: Login | None = None,
) -> Settings:
    """Read the configuration file, put the flags over it, `find` cameras if there are none, and check everything.

    `folder` is the one that relative paths among the flags belong to; what took time to find out may be `known`.
    `login` is for where a user is wanted, or nobody else is known. Raises ConfigurationError and its kinds,
    NoCameraFoundError.
    """
    below = read_file(flags.config) if flags.config else {}
    above, cameras, way = _document(flags, folder, simulate=flags.simulate or below.get("simulate") is True)
    document = merge(without_other_credentials(below, above, way), above)
    document = _with_somebody(document, way, login or Login({}))
    if document.get("simulate") and (hostname := above.get("robot", {}).get("hostname")):
        raise ConfigurationError(f"{FLAGS}: HOSTNAME {hostname} does not go together with a simulated robot")
    if cameras:
        extra = SIMULATED_CAMERAS if document.get("simulate") is True and not below.get("cameras") else {}
        document["cameras"] = {**extra, **cameras}
    elif not document.get("cameras"):
        validate(document, _source(flags))  # a search takes its time, and its own sentence would hide a mistake
        document["cameras"] = _found(find, above.get("robot", {}).get("hostname"))
    _put_camera_flags_over(document["cameras"], flags)
    settings = validate(document, _source(flags))
    try:
        settings = with_camera_models(settings)
        check(settings)
        return with_host_ip(settings, known)
    except ConfigurationError as error:
        raise type(error)(f"{_source(flags)}: {error}") from error


def _with_somebody(document: dict[str, Any], way: str | None, login: Login) -> dict[str, Any]:
    """Add what completes the document, and in it who we are for the robot."""
    if way == "external" and not document.get("simulate"):
        document = with_user(document, login)
    document = complete(document, None if way == "payload" else login.from_environment())
    if way != "payload" and _is_nobody(document):
        login.check_whole()
    return document


def _is_nobody(document: dict[str, Any]) -> bool:
    robot = document.get("robot", {})
    return not document.get("simulate") and isinstance(robot, dict) and not any(key in robot for key in CREDENTIAL_KEYS)


def _found(find: Callable[[], dict[str, Any]], hostname: str | None) -> dict[str, Any]:
    """Find cameras; whoever finds none may have meant something else by the word that was taken for HOSTNAME."""
    try:
        return find()
    except NoCameraFoundError as error:
        if hostname is None:
            raise
        raise NoCameraFoundError(f"{error} (HOSTNAME, the robot, is taken to be {hostname!r})") from error


def _source(flags: argparse.Namespace) -> str:
    return str(flags.config) if flags.config else FLAGS


def _add_robot_flags(parser: argparse.ArgumentParser) -> None:
    robot = parser.add_argument_group("robot")
    robot.add_argument(
        "words",
        nargs="*",
        metavar="[payload|external] [HOSTNAME]",
        help=f"HOSTNAME is the robot (default {PAYLOAD_ROBOT}). payload: authenticate as a payload of it; external: as "
        f"a user, by {USERNAME} and {PASSWORD}, or asked for on the terminal. Without the word: as what is given",
    )
    robot.add_argument(
        "--payload-credentials-file",
        metavar="FILE",
        help=f"guid and secret of this payload, one per line (default on a payload computer: {PAYLOAD_CREDENTIALS})",
    )
    robot.add_argument("--guid", help="the payload's guid, with --secret instead of a file")
    robot.add_argument("--secret", help="the payload's secret; everybody on this computer can see it, a file is better")
    robot.add_argument("--robot-port", type=int, metavar="P", help="port of the robot (a simulated one's; default 443)")
    robot.add_argument(
        "--robot-ca", metavar="FILE", help="root certificate of a simulated robot; written by --simulate"
    )
    robot.add_argument("--simulate", action="store_true", help="run a simulated robot too, and serve that one")


def _add_service_flags(parser: argparse.ArgumentParser) -> None:
    service = parser.add_argument_group("image service")
    service.add_argument("--host-ip", metavar="IP", help="address of this computer to register with the robot")
    service.add_argument(
        "--port", type=int, metavar="P", help=f"port that the service listens on (default {DEFAULT_PORT})"
    )
    service.add_argument("--service-name", metavar="NAME", help="its name in the robot's directory (web-cam-service)")
    service.add_argument("--authority", metavar="NAME", help="its authority there (robot-web-cam)")


def _add_camera_flags(parser: argparse.ArgumentParser) -> None:
    cameras = parser.add_argument_group(
        "cameras (those of --device-name replace the file's; the other flags are for all that OpenCV reads)"
    )
    cameras.add_argument(
        "--device-name",
        nargs="+",
        action="append",
        default=[],
        metavar="D",
        help="an index, a /dev path, a video file or a URL; several at once, or repeated",
    )
    cameras.add_argument(
        "--codec", type=str.upper, metavar="CCCC", help="four-character code to ask the driver for, as in MJPG"
    )
    cameras.add_argument(
        "--res-width",
        type=_size,
        metavar="W",
        help="columns to ask the driver for (with --res-height; 0 or less: as it has them)",
    )
    cameras.add_argument("--res-height", type=_size, metavar="H", help="rows to ask the driver for (with --res-width)")
    cameras.add_argument("--fps", type=_positive, metavar="F", help="frames per second to ask the driver for")
    cameras.add_argument(
        "--loop", action="store_true", help="start video files again when they end; --simulate does so by itself"
    )


def _add_run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="a configuration file, see pipeline.example.toml")
    parser.add_argument("--instance", metavar="NAME", help="name of this pipeline in /dev/shm (default spot-cameras)")
    parser.add_argument("--duration", type=_positive, metavar="S", help="end after this many seconds, with exit code 0")
    parser.add_argument("--list", action="store_true", help="print the capture devices of this computer, and end")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="log more, and all that the cameras' processes write"
    )
    parser.add_argument(
        "--show-debug-info",
        action="store_true",
        help="as --verbose; the windows that it opens in the SDK's example have no place on a payload",
    )


def _size(text: str) -> int | None:
    """A number of pixels; None for 0 or less, by which the SDK's example means that nothing is asked for."""
    try:
        size = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels") from None
    return size if size > 0 else None


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _document(
    flags: argparse.Namespace, folder: Path, *, simulate: bool
) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """What the flags say: the document without cameras, the cameras, and the word for who we are."""
    hostname, way, devices = split_devices(flags, folder, simulate=simulate)
    robot = {
        "hostname": hostname,
        "port": flags.robot_port,
        "ca": _absolute(flags.robot_ca, folder),
        "payload_credentials_file": _absolute(flags.payload_credentials_file, folder),
        "guid": flags.guid,
        "secret": flags.secret,
    }
    service = {"host_ip": flags.host_ip, "port": flags.port, "name": flags.service_name, "authority": flags.authority}
    tables = {"robot": _said(robot), "service": _said(service)}
    document = {
        "instance": flags.instance,
        "simulate": flags.simulate or None,
        **{k: v for k, v in tables.items() if v},
    }
    return _said(document), cameras_named_after([device_from_text(device, folder) for device in devices]), way


def split_devices(
    flags: argparse.Namespace, folder: Path, *, simulate: bool = False
) -> tuple[str | None, str | None, list[str]]:
    """Return HOSTNAME, the word for who we are, and the devices: argparse takes all for devices after --device-name.

    No HOSTNAME is among them when the robot is simulated; and the first of a group is a device in any case.
    """
    hostname, way = flags.hostname, flags.way
    devices: list[str] = []
    for group in flags.device_name:
        words = list(group)
        while len(words) > 1:
            if way is None and words[-1] in _WAYS and not (folder / words[-1]).exists():
                way = words.pop()
            elif hostname is None and not simulate and _looks_like_hostname(words[-1], folder):
                hostname = words.pop()
            else:
                break
        devices += words
    return hostname, way, devices


def _looks_like_hostname(text: str, folder: Path) -> bool:
    return not (text.isdigit() or "/" in text or _is_video_file(folder / text) or (folder / text).exists())


def _is_video_file(path: Path) -> bool:
    return path.suffix.lower() in _VIDEO_SUFFIXES or os.path.isfile(path)  # False for what is too long for a path


def _put_camera_flags_over(cameras: Any, flags: argparse.Namespace) -> None:
    asked = _said({"codec": flags.codec, "width": flags.res_width, "height": flags.res_height, "fps": flags.fps})
    for name, camera in cameras.items() if isinstance(cameras, dict) else ():
        if not isinstance(camera, dict) or camera.get("driver", "opencv") != "opencv":
            continue
        device = str(camera.get("device"))
        is_file = "://" not in device and _is_video_file(Path(device))
        loop = {"loop": True} if flags.loop or (flags.simulate and is_file and "loop" not in camera) else {}
        cameras[name] = {**camera, **asked, **loop}


def _said(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def _absolute(text: str | None, folder: Path) -> str | None:
    return None if text is None else str(folder / text)
