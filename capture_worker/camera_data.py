"""What the SDK's camera classes return, image data of any kind and a time, as this pipeline's frames know it."""

import math
import numbers
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from capture_worker import jpeg
from capture_worker.camera import CapturedFrame, CorruptFrameError, jpeg_frame, raw_frame
from shm import Encoding

_OLDEST_S = 60.0  # an older time is that of an old picture, or of a clock of another kind
_CLOCKS_AGE_S = 365 * 86400.0  # a still older one is of a clock that was never set
_WHOLE_SECOND_NS = 1_100_000_000  # so long a time in whole seconds stands still
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


class CaptureTimes:
    """What one class says are the times of its pictures, as CLOCK_MONOTONIC.

    A picture that is returned again and again with its own time must not become new when that is a minute ago: its time
    stands still. A time that moves is that of a camera that works, whatever its clock says: beyond a minute, either the
    pictures came to be so late one by one, or the clock is wrong, and how wrong nobody knows.
    """

    def __init__(self) -> None:
        self._last_s = math.nan  # what the class said last
        self._last_ns = 0  # when it said so first
        self._believes = False  # that the class and this computer have the same time
        self._moves = False  # a clock that is wrong

    def captured_ns(self, timestamp: object) -> int | None:
        """Turn seconds of this computer's wall clock into CLOCK_MONOTONIC; None for what says nothing.

        To be called at once: until then, a step of the wall clock moves the frame in time.
        Raises CorruptFrameError for that of an old picture.
        """
        age_s = _age_s(timestamp)
        if age_s is None or age_s >= _CLOCKS_AGE_S:
            return None
        now_ns, seconds = time.monotonic_ns(), float(timestamp)  # type: ignore[arg-type]  # has an age: it is a number
        if age_s > _OLDEST_S:
            self._judge(age_s, seconds, now_ns)
        else:
            self._believes, self._moves = True, False
        if seconds != self._last_s:
            self._last_s, self._last_ns = seconds, now_ns
        if self._moves or age_s < -_AHEAD_S:
            return None
        return max(0, now_ns - round(max(age_s, 0.0) * 1e9))

    def _judge(self, age_s: float, seconds: float, now_ns: int) -> None:
        """Find out what a time of more than a minute ago means. Raises CorruptFrameError."""
        stood_ns = now_ns - self._last_ns
        if seconds == self._last_s:
            if stood_ns >= (_WHOLE_SECOND_NS if seconds.is_integer() else 0):
                raise CorruptFrameError(f"the camera returned the same picture again: its time is {age_s:.0f} s ago")
        elif self._believes:  # unless it goes back, or says this after a long pause, it has fallen behind
            self._believes = seconds > self._last_s and stood_ns < _OLDEST_S * 1e9
        else:
            self._moves = not math.isnan(self._last_s)


def kind_of(data: Any) -> str:
    """What to call image data in a sentence."""
    return f"an array {data.shape} of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__


def _age_s(timestamp: object) -> float | None:
    """How long ago a time of the wall clock is; None for what is no finite number."""
    if not isinstance(timestamp, numbers.Real) or isinstance(timestamp, bool):
        return None
    try:
        age_s = time.time() - float(timestamp)
    except OverflowError:
        return None
    return age_s if math.isfinite(age_s) else None


def _in_our_order(frame: CapturedFrame) -> CapturedFrame:
    conversion = _SWAPPED.get(frame.encoding)
    return frame if conversion is None else replace(frame, payload=cv2.cvtColor(frame.payload, conversion))
