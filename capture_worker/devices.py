"""Finds the capture devices of this computer by asking the kernel (VIDIOC_QUERYCAP), without OpenCV.

A webcam usually has two nodes: one for pictures, one for metadata, which OpenCV would open and then fail on.
The names are the kernel's own (linux/videodev2.h).
"""

import fcntl
import logging
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
V4L2_CAPABILITY = struct.Struct("=16s32s32sIII12x")  # driver, card, bus_info, version, capabilities, device_caps

V4L2_CAP_VIDEO_CAPTURE = 0x00000001
V4L2_CAP_VIDEO_OUTPUT = 0x00000002
V4L2_CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
V4L2_CAP_VIDEO_OUTPUT_MPLANE = 0x00002000
V4L2_CAP_META_CAPTURE = 0x00800000
V4L2_CAP_DEVICE_CAPS = 0x80000000

_CAPTURES = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE
_CONVERTS = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE  # a codec that takes and gives: no camera

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaptureDevice:
    """A node that delivers pictures. `stable_path` names the same camera after a replug, if udev made such a link."""

    device: str
    index: int
    name: str
    driver: str
    bus: str
    stable_path: str | None


def find_capture_devices(dev: Path = Path("/dev")) -> list[CaptureDevice]:
    """Return all capture devices by rising index. A node that cannot be asked is logged and left out."""
    nodes = [(int(found[1]), node) for node in dev.iterdir() if (found := re.fullmatch(r"video(\d+)", node.name))]
    links = dict(_stable_links(dev))
    return [device for index, node in sorted(nodes) if (device := _query(node, index, links))]


def identity(fd: int) -> str:
    """Name the device behind a descriptor: the same again after a restart, another one in another socket."""
    driver, card, bus, *_ = V4L2_CAPABILITY.unpack(_query_capabilities(fd))
    return f"{_text(driver)}, {_text(card)}, {_text(bus)}"


def _query(node: Path, index: int, links: dict[str, str]) -> CaptureDevice | None:
    try:
        answer = _query_node(node)
    except OSError as error:
        _log.warning("%s cannot be asked what it is: %s", node, error.strerror)
        return None
    driver, card, bus, _, capabilities, device_caps = V4L2_CAPABILITY.unpack(answer)
    # `capabilities` are those of the whole hardware: of its metadata node too.
    own = device_caps if capabilities & V4L2_CAP_DEVICE_CAPS else capabilities
    if not own & _CAPTURES or own & _CONVERTS:
        return None
    return CaptureDevice(str(node), index, _text(card), _text(driver), _text(bus), links.get(str(node.resolve())))


def _query_node(node: Path) -> bytes:
    fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _query_capabilities(fd)
    finally:
        os.close(fd)


def _query_capabilities(fd: int) -> bytes:
    answer = bytearray(V4L2_CAPABILITY.size)
    fcntl.ioctl(fd, VIDIOC_QUERYCAP, answer, True)
    return bytes(answer)


def _stable_links(dev: Path) -> Iterator[tuple[str, str]]:
    """Yield (node, link) of every link that udev keeps for a device; by-id, which knows serial numbers, wins."""
    for kind in ("by-path", "by-id"):
        folder = dev / "v4l" / kind
        if folder.is_dir():
            yield from ((str(link.resolve()), str(link)) for link in sorted(folder.iterdir()))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="replace")
