"""What the SDK's camera classes return, image data of any kind and a time, as this pipeline's frames know it."""

import numbers
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from capture_worker import jpeg
from capture_worker.camera import CapturedFrame, CorruptFrameError, jpeg_frame, raw_frame
from shm import Encoding

_OLDEST_S = 60.0  # an older time is a clock of another kind, or one that was never set
_AHEAD_S = 0.1  # how far a driver's times may run ahead of the clock
_SWAPPED = {Encoding.BGR8: cv2.COLOR_RGB2BGR, Encoding.BGRA8: cv2.COLOR_RGBA2BGRA}


def frame_of(data: object, captured_ns: int, *, depth: bool, rgb: bool) -> CapturedFrame | None:
    """Make a frame of image data; None if it is of a kind that no ring holds.

    A JPEG comes as bytes, or as an array of uint8 with one axis, as OpenCV's `imencode` makes it. Pixels come as an
    array: (rows, cols[, 1, 3 or 4]) of uint8, their channels in the order that `rgb` says, or (rows, cols[, 1]) of
    uint16. They are not copied if they are in order: publish the frame before the class captures again.
    Raises CorruptFrameError for what is empty, or begins as a JPEG and is none.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        data = np.frombuffer(bytes(data), np.uint8)
    if not isinstance(data, np.ndarray) or data.ndim == 0:  # without an axis it is a single thing, of any kind
        return None
    if data.size == 0:
        raise CorruptFrameError("the camera returned an empty picture")
    if data.dtype == np.uint8 and data.size == max(data.shape) and jpeg.begins(data.flat[:2].tobytes()):
        return jpeg_frame(data, captured_ns)
    try:
        frame = raw_frame(data, captured_ns, depth=depth)
    except CorruptFrameError:
        return None
    return _in_our_order(frame) if rgb else frame


def monotonic_ns(timestamp: object) -> int | None:
    """Turn seconds of this computer's wall clock into CLOCK_MONOTONIC; None for what can be no time of a capture.

    To be called at once: until then, a step of the wall clock moves the frame in time.
    """
    if not isinstance(timestamp, numbers.Real) or isinstance(timestamp, bool):
        return None
    now_ns = time.monotonic_ns()
    try:
        age_s = time.time() - float(timestamp)
    except OverflowError:
        return None
    return now_ns - round(max(age_s, 0.0) * 1e9) if -_AHEAD_S <= age_s <= _OLDEST_S else None


def kind_of(data: Any) -> str:
    """What to call image data in a sentence."""
    return f"an array {data.shape} of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__


def _in_our_order(frame: CapturedFrame) -> CapturedFrame:
    conversion = _SWAPPED.get(frame.encoding)
    return frame if conversion is None else replace(frame, payload=cv2.cvtColor(frame.payload, conversion))
