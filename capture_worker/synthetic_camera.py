"""A camera without hardware: the self-describing pattern at an exact rate, and every known way to go wrong.

Frame n is due at n periods of CLOCK_MONOTONIC and is painted with the number n: numbers survive a restart, two
cameras of one rate run in step, and a late frame is skipped instead of moving all later ones. A frame whose exposure
takes longer than a period is due at the first period after its end.
"""

import ctypes
import dataclasses
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from capture_worker import pattern
from capture_worker.camera import (
    CAPTURE_MARGIN_S,
    WAIT_SLICE_S,
    CameraAbsentError,
    CapturedFrame,
    CorruptFrameError,
    Description,
    ParametersRejectedError,
    ReadFailedError,
    jpeg_frame,
    raw_frame,
)
from capture_worker.control_file import ControlFile
from capture_worker.misbehaviour import Misbehaviour, parse_script
from supervision.camera_settings import CameraSettings, MisbehaviourKind

_DEFAULT_SIZE = (480, 640)
_DEFAULT_FPS = 30.0
_DEFAULT_EXPOSURE_S = 0.01  # and no more than half a period
_DEFAULT_SLOW_S = 0.5
_JPEG_QUALITY = 90
_HUFFMAN_TABLES = b"\xff\xc4"
_CODE_COUNTS = slice(5, 21)  # of a table's segment: how many codes there are of each length
_GARBAGE = (
    None,
    np.zeros((480, 640, 3), dtype=np.float64),
    np.zeros((0, 0, 3), dtype=np.uint8),
    np.frombuffer(b"\xff\xd8\xff\xdb\x00\x43", dtype=np.uint8),
)


class SyntheticCamera:
    """Delivers the pattern of `capture_worker.pattern`, and misbehaves.

    It follows its script after each open, and its control file from capture to capture.
    """

    def __init__(self, name: str, settings: CameraSettings) -> None:
        self.capture_limit_s = settings.capture_timeout_s + CAPTURE_MARGIN_S
        self._name = name
        self._encoding = settings.synthetic.encoding
        self._size = (settings.height, settings.width) if settings.height and settings.width else _DEFAULT_SIZE
        self._fps = settings.fps or _DEFAULT_FPS
        self._period_ns = round(1e9 / self._fps)
        self._script = parse_script(settings.synthetic.script, self._encoding)
        self._control = ControlFile(settings.synthetic.control_file, self._encoding)
        self._gain = 0.0  # dB
        self._exposure_s = min(_DEFAULT_EXPOSURE_S, 0.5 / self._fps)
        self._param_spec = _param_spec(self._exposure_s)
        self._opened_ns = 0
        self._last_number = -1
        self._exposed_from_ns = 0
        self._frozen_number: int | None = None
        self._garbage: Misbehaviour | None = None
        self._garbage_sent = 0

    def __enter__(self) -> "SyntheticCamera":
        """Start the script's clock; the first frame is the next one that is due. Raises CameraAbsentError."""
        cv2.setNumThreads(1)  # every camera has a process of its own
        self._control.read()
        if self._control.order is not None and self._control.order.kind == "unplug":
            raise CameraAbsentError(f"nothing is plugged in as synthetic camera {self._name}: its control file says so")
        self._opened_ns = time.monotonic_ns()
        self._begin_exposure(self._opened_ns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def describe(self) -> Description:
        """Say what it was set to."""
        return Description("synthetic", self._fps, self._param_spec)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Set gain and exposure, and begin a new exposure now."""
        gain = values["gain"]["double_value"]["value"]
        self._control.read()
        if (step := self._active("reject")) and gain >= step.figure(0):
            raise ParametersRejectedError(f"the script says: reject a gain of {gain:g} dB")
        self._gain, self._exposure_s = gain, values["exposure"]["double_value"]["value"]
        self._begin_exposure(time.monotonic_ns())

    def capture(self) -> CapturedFrame | None:
        """Wait for the next frame that is due and paint it, or misbehave."""
        due = self._due_number()
        wait_s = (due * self._period_ns - time.monotonic_ns()) / 1e9
        if wait_s > WAIT_SLICE_S:
            time.sleep(WAIT_SLICE_S)
            return None
        time.sleep(max(wait_s, 0))
        self._control.read()
        self._control.take_back()
        self._misbehave()
        number = time.monotonic_ns() // self._period_ns
        self._begin_exposure(number * self._period_ns)
        frame = self._frame(number, number - due)
        return dataclasses.replace(frame, gain=self._gain, exposure_s=self._exposure_s)

    def _begin_exposure(self, now_ns: int) -> None:
        self._exposed_from_ns, self._last_number = now_ns, now_ns // self._period_ns

    def _due_number(self) -> int:
        """Number of the first frame whose time has come when the exposure ends."""
        ready_ns = self._exposed_from_ns + round(self._exposure_s * 1e9)
        return max(self._last_number + 1, -(-ready_ns // self._period_ns))

    def _frame(self, number: int, lost: int) -> CapturedFrame:
        if (step := self._active("garbage")) and self._wants_garbage(step):
            self._deliver_garbage()
        captured_ns = number * self._period_ns
        if not self._active("freeze"):
            self._frozen_number = None
        elif self._frozen_number is None:
            self._frozen_number = number
        shown = number if self._frozen_number is None else self._frozen_number
        rows, cols = self._current_size()
        if self._encoding == "jpeg":
            picture = pattern.paint(self._name, shown, rows, cols)
            _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            if self._active("corrupt"):
                _destroy_huffman_tables(data)
            return jpeg_frame(data, captured_ns, lost=lost)
        picture = pattern.paint(self._name, shown, rows, cols, self._encoding)
        return raw_frame(picture, captured_ns, lost=lost, depth=self._encoding == "depth16")

    def _current_size(self) -> tuple[int, int]:
        step = self._active("wrong_size")
        rows, cols = self._size
        return step.size((max(rows // 2, 16), max(cols // 2, 16))) if step else self._size

    def _misbehave(self) -> None:
        if self._active("hang"):
            _hang()
        if self._active("crash"):
            raise RuntimeError("the script says: crash")
        if step := self._active("exit"):
            os._exit(int(step.figure(1)))
        if self._active("segfault"):
            ctypes.string_at(0)
        if step := self._active("slow"):
            time.sleep(step.figure(_DEFAULT_SLOW_S))
        if self._active("unplug"):
            raise ReadFailedError(f"synthetic camera {self._name} was unplugged")

    def _wants_garbage(self, step: Misbehaviour) -> bool:
        """Whether not all that this step asks for was delivered yet. A control file may ask again."""
        if step is not self._garbage:
            self._garbage, self._garbage_sent = step, 0
        return self._garbage_sent < step.figure(float("inf"))

    def _deliver_garbage(self) -> NoReturn:
        """Deliver the next of several things that are no frames, through the same checks as any frame."""
        thing = _GARBAGE[self._garbage_sent % len(_GARBAGE)]
        self._garbage_sent += 1
        if thing is not None and thing.ndim == 1:
            jpeg_frame(thing, 0)
        raw_frame(thing, 0)
        raise CorruptFrameError("garbage passed the checks")

    def _active(self, kind: MisbehaviourKind) -> Misbehaviour | None:
        """Return the control file's order if it is of this kind, else the newest step of it whose time has come."""
        if (order := self._control.order) is not None and order.kind == kind:
            return order
        elapsed_s = (time.monotonic_ns() - self._opened_ns) / 1e9
        steps = [step for step in self._script if step.kind == kind and step.at_s <= elapsed_s]
        return steps[-1] if steps else None


def _param_spec(exposure_s: float) -> dict[str, Any]:
    gain = {"default_value": 0.0, "min_value": 0.0, "max_value": 24.0, "units": {"name": "dB"}}
    exposure = {"default_value": exposure_s, "min_value": 1e-5, "max_value": 10.0, "units": {"name": "s"}}
    return {"specs": {name: {"spec": {"double_spec": spec}} for name, spec in (("gain", gain), ("exposure", exposure))}}


def _destroy_huffman_tables(data: NDArray[np.uint8]) -> None:
    """Make a JPEG that no decoder can follow and that looks whole from outside."""
    at = data.tobytes().index(_HUFFMAN_TABLES)
    data[at:][_CODE_COUNTS] = 255


def _hang() -> NoReturn:
    """Block inside C as a broken driver does: SIGTERM sets its flag, and nobody looks."""
    libc = ctypes.CDLL(None)
    while True:
        libc.pause()
