"""The kernel's virtual video driver "vivid": its picture, its rate, how it is unplugged, and how it is made to fail."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

ROWS, COLS = 480, 640
FULL_BARS, DIM_BARS = 255, 191  # the brightness of "100% Colorbar" and of "75% Colorbar"

NODES = {"video0": Path("/dev/video0"), "video1": Path("/dev/video1")}
BRIGHTNESS = {"video0": FULL_BARS, "video1": DIM_BARS}  # so that one cannot pass for the other

# Each of these makes the next one fail: a buffer that arrives, one that is handed back, the request for buffers, the
# start of the stream; the last one ends a stream until the device is opened anew.
BUFFER_ERROR = "inject_v4l2_buf_flag_error"
QBUF_ERROR = "inject_vidioc_qbuf_error"
REQBUFS_ERROR = "inject_vidioc_reqbufs_error"
STREAMON_ERROR = "inject_vidioc_streamon_error"
FATAL_ERROR = "inject_fatal_streaming_error"

_PATTERNS = {DIM_BARS: 0, FULL_BARS: 1}
_BARS_RGB = (
    (1, 1, 1),  # white
    (1, 1, 0),  # yellow
    (0, 1, 1),  # cyan
    (0, 1, 0),  # green
    (1, 0, 1),  # magenta
    (1, 0, 0),  # red
    (0, 0, 1),  # blue
    (0, 0, 0),  # black
)


def is_vivid(node: Path) -> bool:
    """Whether the driver behind a /dev/videoN node is vivid."""
    name = Path("/sys/class/video4linux", node.name, "name")
    return name.exists() and name.read_text().startswith("vivid")


def show_bars(node: Path, brightness: int) -> None:
    """Let the device deliver still colour bars and nothing else: `picture(brightness)`, in every frame."""
    set_control(node, f"test_pattern={_PATTERNS[brightness]},osd_text_mode=2")


def picture(brightness: int) -> Picture:
    """Return the colour bars as the driver draws them: (480, 640, 3) uint8, RGB."""
    bars = np.array(_BARS_RGB, np.uint8) * np.uint8(brightness)
    row = np.repeat(bars, COLS // len(bars), axis=0)
    return np.broadcast_to(row, (ROWS, COLS, 3)).copy()


def inside_bars() -> npt.NDArray[np.bool_]:
    """Return which columns are far enough from a bar's edge to keep their colour in a JPEG: (640,) bool."""
    width = COLS // len(_BARS_RGB)
    offset = np.arange(COLS) % width
    return np.asarray((offset >= 16) & (offset < width - 16))


def lone_reader_rate_hz(node: Path, frames: int = 100) -> float:
    """Measure what one OpenCV reader gets when nothing else runs: frames per second of the driver's own time."""
    capture = cv2.VideoCapture(str(node), cv2.CAP_V4L2)
    try:
        start_ms = _grab_ms(capture)
        for _ in range(frames - 1):
            _grab_ms(capture)
        return 1000 * frames / (_grab_ms(capture) - start_ms)
    finally:
        capture.release()


@contextlib.contextmanager
def unplugged(node: Path) -> Iterator[None]:
    """Unplug the device for as long as the block runs: its streams end, and it cannot be opened.

    The driver plugs a device in again when its last user closes it. So that this is not the pipeline, a descriptor
    is held here.
    """
    held = os.open(node, os.O_RDWR)
    try:
        set_control(node, "disconnect=1")
        yield
    finally:
        os.close(held)


@contextlib.contextmanager
def dropping(node: Path, percentage: int) -> Iterator[None]:
    """Let the device lose so many of its frames for as long as the block runs."""
    set_control(node, f"percentage_of_dropped_buffers={percentage}")
    try:
        yield
    finally:
        set_control(node, "percentage_of_dropped_buffers=0")


def inject(node: Path, error: str) -> None:
    """Let the device fail once, in one of the ways above."""
    set_control(node, f"{error}=1")


def set_control(node: Path, assignment: str) -> None:
    """Set a control as an operator does: `name=value`, or several with commas."""
    subprocess.run(["v4l2-ctl", "-d", str(node), "--set-ctrl", assignment], check=True, timeout=30)  # noqa: S607 - found on PATH


def _grab_ms(capture: cv2.VideoCapture) -> float:
    if not capture.read()[0]:
        raise RuntimeError("the device delivers no frame")
    return float(capture.get(cv2.CAP_PROP_POS_MSEC))
