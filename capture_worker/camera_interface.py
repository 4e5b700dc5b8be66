"""A camera class of the user's own, written for the SDK's `image_service_helpers`, as it is.

The class is imported, constructed and called in this process's main thread, and nothing else of the SDK's machinery is
started: no thread, no fault client, no lock. Whether its methods are of today or of an older SDK is read from their
signatures, so that an exception in them is never taken for a wrong call, and no capture is made twice.
"""

import inspect
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from bosdyn.api import service_customization_pb2
from google.protobuf import json_format

from capture_worker.camera import (
    CAPTURE_MARGIN_S,
    WAIT_SLICE_S,
    CameraError,
    CapturedFrame,
    CorruptFrameError,
    Description,
    MisconfiguredError,
    OpenFailedError,
    ParametersRejectedError,
    ReadFailedError,
)
from capture_worker.camera_data import CaptureTimes, frame_of, kind_of
from capture_worker.camera_loading import UserCamera, accepts, in_words, load
from capture_worker.own_decode import OwnDecoder
from capture_worker.own_picture import DEPTH
from shm import parameters
from shm.layout import DESCRIPTOR_CAPACITY_BYTES
from supervision.camera_settings import CameraSettings

_MOST_FPS = 100.0  # of a class that does not wait for its camera
_KEEPS_TIME = 0.8  # of a period: a class that takes so long is not hurried on by us
_MOST_GAIN_DB = 100.0
_ROUNDING_NS = 1_000_000  # between the two clocks
_COARSE_NS = 1_000_000_000  # a time in whole seconds may be so much too early
_MOST_LAG_S = 60.0  # of a class's pictures behind their times
_MOST_SPEC_BYTES = DESCRIPTOR_CAPACITY_BYTES - 2048

_log = logging.getLogger(__name__)


class CameraInterfaceCamera:
    """Delivers what a `CameraInterface` captures, at most `settings.fps` times a second."""

    def __init__(self, name: str, settings: CameraSettings) -> None:
        if settings.camera_interface is None:
            raise ValueError(f"camera {name} names no class")
        self.capture_limit_s = settings.capture_timeout_s + CAPTURE_MARGIN_S
        self._settings = settings
        self._own = settings.camera_interface
        self._rgb = self._own.channel_order == "rgb"
        self._period_ns = round(1e9 / (settings.fps or _MOST_FPS))
        self._due_ns = 0
        self._applied_ns = 0
        self._lag_s: float | None = None  # how old a picture is when it comes, or what its clock is behind
        self._is_coarse = False  # whether the last picture's time is in whole seconds
        self._ahead: CapturedFrame | None = None  # captured while opening
        self._last: tuple[Any, tuple[int, int]] | None = None  # what `decode` is to make a picture of
        self._spec: dict[str, Any] | None = None
        self._custom_params: Any = None
        self._times = CaptureTimes()
        self._said: set[tuple[str, str]] = set()

    def __enter__(self) -> "CameraInterfaceCamera":
        """Import and construct it. Raises MisconfiguredError, OpenFailedError or CameraAbsentError."""
        self._user = load(self._own)
        self._method = f"{self._user.class_name}.blocking_capture"
        self._takes_params = _takes_params(self._user)
        self._read_spec()
        self._decoder = OwnDecoder(self._user, rgb=self._rgb)
        if self._own.image_decode == "own":
            self._try_own_decode()
        else:
            _log.info('%s is not used; it would be with image_decode = "own"', self._decoder.method)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The SDK's cameras have no end but that of their process."""

    def describe(self) -> Description:
        """Say what it was told, what its source declares, and which pictures the class makes."""
        return Description("camera_interface", self._settings.fps, self._spec, self._decoder.pairs or None)

    def apply(self, values: Mapping[str, Any]) -> None:
        """Give the class these parameters with the next capture, and forget what was captured before."""
        self._ahead = None
        self._applied_ns = time.monotonic_ns()
        if self._spec is None:
            if values:
                raise ParametersRejectedError(f"{self._method} takes no parameters")
            return
        try:
            self._custom_params = _dict_param(values)
        except json_format.ParseError as error:
            raise ParametersRejectedError(f"these are no parameters: {error}") from error

    def capture(self) -> CapturedFrame | None:
        """Call `blocking_capture` when the next frame is due.

        After an `apply`, frames are dropped until their own time is past it: for as long as the class is known to lag
        behind and `capture_limit_s`, then ReadFailedError.
        """
        if self._ahead is not None:
            frame, self._ahead = self._ahead, None
            return frame
        wait_s = (self._due_ns - time.monotonic_ns()) / 1e9
        if wait_s > WAIT_SLICE_S:
            time.sleep(WAIT_SLICE_S)
            return None
        time.sleep(max(wait_s, 0))
        frame = self._capture()
        if not self._is_too_old(frame):
            self._note_lag(frame)
            return frame
        if self._lag_s is None:
            self._note_lag(frame)
        if (waited_s := (time.monotonic_ns() - self._applied_ns) / 1e9) >= self.capture_limit_s + (self._lag_s or 0):
            raise ReadFailedError(
                f"{self._method} returns only pictures that are older than its parameters, after {waited_s:.1f} s"
            )
        return None

    def decode(self, image_request: Mapping[str, Any]) -> bytes:
        """Have the class make a picture of the frame that was captured last: a serialized `bosdyn.api.Image`.

        Raises UnsupportedRequestError for formats that it did not make while opening, and for a size or a quality that
        it alone fails at; CorruptFrameError for what else it fails to make now.
        """
        request = self._decoder.requested(image_request)
        if self._last is None:
            raise ReadFailedError(f"{self._method} has captured nothing yet")
        picture: bytes = self._decoder.make(*self._last, request).SerializeToString()
        return picture

    def _read_spec(self) -> None:
        """Find the parameters that its source declares, and start with their defaults."""
        spec = getattr(self._user.source, "param_spec", None)
        if spec is None or not spec.specs:
            return
        if not self._takes_params:
            _log.warning("%s has no custom_params: the parameters of its source are not offered", self._method)
            return
        self._spec = json_format.MessageToDict(spec, preserving_proto_field_name=True)
        if (size := len(json.dumps(self._spec))) > _MOST_SPEC_BYTES:
            raise MisconfiguredError(f"the parameter spec of {self._user.name} is too long: {size} bytes")
        self._custom_params = _dict_param(parameters.complete(self._spec, {}))

    def _try_own_decode(self) -> None:
        """Capture a frame, and find out what pictures the class makes of it."""
        try:
            self._ahead = self._capture()
            self._note_lag(self._ahead)
            if self._last is not None:
                self._decoder.probe(*self._last)
        except CameraError as error:
            raise OpenFailedError(str(error)) from error

    def _capture(self) -> CapturedFrame:
        begun_ns = time.monotonic_ns()
        self._last = None
        try:
            data, timestamp = self._call()
        finally:
            self._set_next_due(begun_ns)
        captured_ns = self._times.captured_ns(timestamp)
        self._is_coarse = captured_ns is not None and float(timestamp).is_integer()
        if captured_ns is None:
            self._say_once("%s says %.80r is its time: the time before the call is used", self._method, timestamp)
        gain, exposure_s = self._gain_and_exposure()
        frame = self._frame(data, begun_ns if captured_ns is None else captured_ns)
        return replace(frame, gain=gain, exposure_s=exposure_s)

    def _set_next_due(self, begun_ns: int) -> None:
        """A period after this capture was due, so that the rate does not drift; after a pause, after it was begun."""
        if time.monotonic_ns() - begun_ns >= _KEEPS_TIME * self._period_ns:
            self._due_ns = 0
            return
        is_late = begun_ns - self._due_ns >= self._period_ns
        self._due_ns = (begun_ns if is_late else self._due_ns) + self._period_ns

    def _is_too_old(self, frame: CapturedFrame) -> bool:
        """Whether a class with a capture thread of its own returned a picture from before the last `apply`.

        A time in whole seconds cannot always tell. It gets the benefit of the doubt when better ones should have come.
        """
        limit_ns = self._applied_ns - _ROUNDING_NS
        if self._is_coarse and time.monotonic_ns() >= self._applied_ns + _COARSE_NS:
            limit_ns -= _COARSE_NS
        return frame.captured_ns < limit_ns

    def _note_lag(self, frame: CapturedFrame) -> None:
        """Pictures from after an `apply` come so much later than it: a network's latency, or a clock that is slow."""
        self._lag_s = min(max(0.0, (time.monotonic_ns() - frame.captured_ns) / 1e9), _MOST_LAG_S)

    def _call(self) -> tuple[Any, Any]:
        try:
            returned = self._blocking_capture()
        except (Exception, SystemExit) as error:
            self._say_once("%s raised an exception", self._method, error=error)
            raise ReadFailedError(f"{self._method} raised {in_words(error)}") from error
        if not isinstance(returned, tuple | list) or len(returned) != 2:  # noqa: PLR2004 - data and time
            raise CorruptFrameError(f"{self._method} returned {kind_of(returned)} instead of (image data, time)")
        data, timestamp = returned
        if data is None:
            raise ReadFailedError(f"{self._method} returned no image data")
        return data, timestamp

    def _blocking_capture(self) -> Any:
        if not self._takes_params:
            return self._user.camera.blocking_capture()
        custom_params = self._custom_params
        if custom_params is not None:  # a copy: what the class does with it must not change the next capture
            custom_params = type(custom_params).FromString(custom_params.SerializeToString())
        return self._user.camera.blocking_capture(custom_params=custom_params)

    def _frame(self, data: Any, captured_ns: int) -> CapturedFrame:
        frame = frame_of(data, captured_ns, depth=DEPTH in self._user.pixel_formats, rgb=self._rgb)
        if frame is not None:
            size = frame.rows, frame.cols
        else:
            size = self._user.advertised_size
            self._say_once("%s makes every frame: no ring holds %s", self._decoder.method, kind_of(data))
            try:
                frame = self._decoder.frame(data, captured_ns)
            except CorruptFrameError as error:
                raise CorruptFrameError(f"{self._method} returned {kind_of(data)}; {error}") from error
        if self._own.image_decode == "own":
            self._last = data, size
        return frame

    def _gain_and_exposure(self) -> tuple[float, float]:
        """What the source says now, in dB and seconds; NaN for what it does not say, or cannot mean.

        Both are calls into the user's code if they are functions. Their failure is no reason to lose a frame.
        """
        if self._user.source is None:
            return math.nan, math.nan
        try:
            said = self._user.source.get_image_capture_params()
            gain = float(said.gain)
            exposure_s = said.exposure_duration.seconds + said.exposure_duration.nanos / 1e9
        except (Exception, SystemExit) as error:
            self._say_once("gain and exposure of %s are unknown: %s", self._user.name, in_words(error))
            return math.nan, math.nan
        return self._plausible("gain", gain, _MOST_GAIN_DB, "dB"), self._plausible(
            "exposure", exposure_s, self._settings.capture_timeout_s, "s"
        )

    def _plausible(self, what: str, value: float, most: float, unit: str) -> float:
        """Drop what a driver's own units, or -1 for "not supported", look like."""
        if value == 0:
            return math.nan  # the SDK's word for unknown
        if 0 < value <= most:
            return value
        why = f"below 0 {unit}" if value < 0 else f"above {most:g} {unit}" if value > most else "no number"
        self._say_once("%s of %s is said to be %g, and not reported: it is %s", what, self._user.name, value, why)
        return math.nan

    def _say_once(self, message: str, what: str, *facts: Any, error: BaseException | None = None) -> None:
        """Say a message about one thing once, whatever else is said of that."""
        if (message, what) not in self._said:
            self._said.add((message, what))
            _log.warning(message, what, *facts, exc_info=error)


def _takes_params(user: UserCamera) -> bool:
    """Tell today's signature from that before 3.3, which takes nothing. Raises MisconfiguredError for any other."""
    try:
        signature = inspect.signature(user.camera.blocking_capture)
    except ValueError:
        return True
    if accepts(signature, custom_params=None):
        return True
    if accepts(signature):
        return False
    raise MisconfiguredError(f"{user.class_name}.blocking_capture{signature} is no method of a CameraInterface")


def _dict_param(values: Mapping[str, Any]) -> Any:
    return json_format.ParseDict({"values": values}, service_customization_pb2.DictParam())
