"""Tells what a `device` setting names, and whether that exists, before OpenCV is asked to open it.

OpenCV answers "not opened" to everything. Looking first gives the operator a sentence to act on.
"""

import errno
import os
import socket
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from capture_worker.camera import CameraAbsentError, OpenFailedError
from capture_worker.devices import find_capture_devices
from supervision.settings import without_credentials

Kind = Literal["device", "file", "stream"]

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "http": 80, "https": 443}


@dataclass(frozen=True)
class Source:
    """A V4L2 device node, a video file or the URL of a stream. `shown` names it without passwords."""

    kind: Kind
    address: str
    shown: str


def source_of(device: int | str) -> Source:
    """Tell what a setting names: 0 and "0" are /dev/video0, a URL is a stream, anything else a path."""
    text = f"/dev/video{device}" if str(device).isdecimal() else str(device)
    if "://" in text:
        return Source("stream", text, without_credentials(text))
    return Source("device" if text.startswith("/dev/") else "file", text, text)


def require_present(source: Source, timeout_s: float) -> None:
    """Raise CameraAbsentError or OpenFailedError, with a sentence, if this cannot be opened."""
    if source.kind == "stream":
        _require_host(source, timeout_s)
        return
    path = Path(source.address)
    if not path.exists():
        raise CameraAbsentError(f"there is no {source.shown}" + (_present() if source.kind == "device" else ""))
    if source.kind == "device" and not path.is_char_device():
        raise OpenFailedError(f"{source.shown} is not a device{_present()}")
    if source.kind == "file" and not path.is_file():
        raise OpenFailedError(f"{source.shown} is not a file")
    wanted = os.R_OK | os.W_OK if source.kind == "device" else os.R_OK
    if not os.access(path, wanted):
        advice = "; add its user to the group video" if source.kind == "device" else ""
        raise OpenFailedError(f"this process may not open {source.shown}{advice}")


def why_not_open(source: Source) -> CameraAbsentError | OpenFailedError:
    """Find out why OpenCV did not open something that is present; it does not tell."""
    if source.kind == "device":
        try:
            os.close(os.open(source.address, os.O_RDWR | os.O_NONBLOCK))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENXIO):  # the node outlives the plug while somebody holds it
                return CameraAbsentError(f"nothing is plugged in at {source.shown} any more{_present()}")
    if source.kind == "stream":
        return OpenFailedError(f"{source.shown} does not open as a stream")
    return OpenFailedError(f"{source.shown} is there, but does not open: is another program using it?")


def _require_host(source: Source, timeout_s: float) -> None:
    try:
        url = urllib.parse.urlsplit(source.address)
        port = url.port or _DEFAULT_PORTS.get(url.scheme)
    except ValueError as error:  # its message may hold a part of the password
        raise OpenFailedError(f"{source.shown}: this URL has no usable port") from error
    if port is None or url.hostname is None:
        return  # a kind of stream that we know nothing about: OpenCV may
    try:
        socket.create_connection((url.hostname, port), timeout=timeout_s).close()
    except OSError as error:
        raise CameraAbsentError(f"{url.hostname} does not answer on port {port}: {error.strerror or error}") from error


def _present() -> str:
    found = ", ".join(f"{device.device} ({device.name})" for device in find_capture_devices())
    return f"; `python supervisor.py --list` shows: {found or 'no capture device'}"
