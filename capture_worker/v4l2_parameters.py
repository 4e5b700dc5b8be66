"""A V4L2 device's controls as custom parameters (see `shm.parameters`).

The defaults are the values at which the device was found, not the driver's: what an operator tuned before the start
stays, and nothing is written until somebody asks for something else. When the camera is closed, or its worker was
killed and has a successor, what clients changed is put back.
"""

import contextlib
import errno
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from capture_worker import devices, v4l2_controls
from capture_worker.camera import ParametersRejectedError, ReadFailedError
from capture_worker.v4l2_controls import V4L2_CTRL_TYPE_BOOLEAN, Control

EXPOSURE_UNIT_S = 1e-4  # of V4L2_CID_EXPOSURE_ABSOLUTE; V4L2's gain has no unit at all
_EXPOSURE_INTERVAL_S = 1.0
_MANUAL = (v4l2_controls.V4L2_EXPOSURE_MANUAL, v4l2_controls.V4L2_EXPOSURE_SHUTTER_PRIORITY)
_MOST_SPEC_BYTES = 12_000  # of the descriptor's 16,256

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Parameter:
    """A control that clients may set. `default` and `maximum` are raw values, as the driver counts."""

    key: str
    control: Control
    default: int
    maximum: int

    def spec(self, order: int) -> dict[str, Any]:
        """Return its `DictParam.ChildSpec`."""
        control, about = self.control, {"display_name": self.control.name, "display_order": order}
        if control.is_menu:
            options = [name for name, _ in control.options]
            return _child("string", {"options": options, "default_value": self.shown(self.default)}, about)
        if control.type == V4L2_CTRL_TYPE_BOOLEAN:
            return _child("bool", {"default_value": bool(self.default)}, about)
        numbers: dict[str, Any] = {
            "default_value": self.default,
            "min_value": control.minimum,
            "max_value": self.maximum,
        }
        if control.id == v4l2_controls.V4L2_CID_EXPOSURE_ABSOLUTE:
            numbers["units"] = {"name": "100 µs"}
        if control.step > 1:
            about["description"] = f"In steps of {control.step}"
        return _child("int", numbers, about)

    def raw(self, value: Mapping[str, Any] | None) -> int:
        """Return the driver's number for a `CustomParam`; the default's if there is none."""
        if value is None:
            return self.default
        if self.control.is_menu:
            return dict(self.control.options)[value["string_value"]["value"]]
        return int(value["bool_value" if self.control.type == V4L2_CTRL_TYPE_BOOLEAN else "int_value"]["value"])

    def takes(self, raw: object) -> bool:
        """Whether this is a value that it can have."""
        if self.control.is_menu:
            return any(raw == number for _, number in self.control.options)
        return isinstance(raw, int) and self.control.minimum <= raw <= self.maximum

    def require_step(self, raw: int) -> None:
        """Reject what the driver would round: the picture would be another than the one that was asked for."""
        control = self.control
        below = raw - (raw - control.minimum) % control.step
        if raw not in (below, self.default):
            allowed = f"{below} or {below + control.step}" if below + control.step <= self.maximum else f"{below}"
            raise ParametersRejectedError(f"{self.key} = {raw}: it goes in steps of {control.step}; use {allowed}")

    def shown(self, raw: int) -> str:
        """Return a raw value as clients know it."""
        names = (name for name, number in self.control.options if number == raw)
        return next(names, str(raw))


class V4l2Parameters:
    """The parameters of a device that streams already, inside `with`. A device without controls has none.

    Exposure times are offered up to `longest_exposure_s`: with longer ones, reads would time out. `predecessor` is the
    descriptor of the ring that has this camera's name: a worker that was killed left its parameters in force, and what
    it had found is the truth about the same device.
    """

    def __init__(self, node: str, longest_exposure_s: float, predecessor: Mapping[str, Any] | None = None) -> None:
        self.writes = 0
        self._node = node
        self._longest_exposure = round(longest_exposure_s / EXPOSURE_UNIT_S)
        self._predecessor = predecessor or {}
        self._device = ""
        self._fd = -1
        self._parameters: list[_Parameter] = []
        self._in_force: dict[_Parameter, int] = {}
        self._usual: dict[_Parameter, int] = {}  # what was put in force first: the defaults that clients know
        self._written: set[_Parameter] = set()
        self._rounded: set[_Parameter] = set()
        self._exposure_s = math.nan
        self._read_exposure_at_s = math.inf

    def __enter__(self) -> "V4l2Parameters":
        """Ask the device, and put back what a killed predecessor left in force. Raises ReadFailedError."""
        try:
            self._fd = v4l2_controls.open_device(self._node)
            self._device = devices.identity(self._fd)
            self._parameters = _fitting(list(self._find()), self._node)
        except OSError as error:
            _log.info("%s has no controls: %s", self._node, error.strerror)
            return self
        self._in_force = {parameter: parameter.default for parameter in self._parameters}
        if self._inherited():
            with contextlib.suppress(ParametersRejectedError):
                self._put(self._in_force)
        self._read_exposure_at_s = 0.0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back what was changed here, and only that: an operator may have tuned the rest meanwhile."""
        with contextlib.suppress(ParametersRejectedError, ReadFailedError):  # it may be unplugged
            self._put({parameter: parameter.default for parameter in self._parameters if parameter in self._written})
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def spec(self) -> dict[str, Any] | None:
        """The `DictParam.Spec`; None for a device without controls."""
        return _spec(self._parameters) if self._parameters else None

    @property
    def found(self) -> dict[str, Any] | None:
        """What a successor has to know: which device this is, and how it was found."""
        if not self._parameters:
            return None
        return {"device": self._device, "values": {parameter.key: parameter.default for parameter in self._parameters}}

    def apply(self, values: Mapping[str, Any]) -> None:
        """Put completed values in force; `writes` counts what had to be changed for that.

        A control without effect, because its automatic is on, is left alone, and may be asked for nothing but its
        default. Raises ParametersRejectedError, after putting back what was in force, or ReadFailedError for a device
        that is gone.
        """
        wanted = {parameter: parameter.raw(values.get(parameter.key)) for parameter in self._parameters}
        for parameter, raw in wanted.items():
            parameter.require_step(raw)
        try:
            self._put(wanted)
            self._require_effect(wanted)
        except ParametersRejectedError:
            with contextlib.suppress(ParametersRejectedError):
                self._put(self._in_force)
            raise
        self._in_force = wanted
        self._usual = self._usual or wanted

    def exposure_s(self) -> float:
        """The exposure time in force, asked for at most once a second; NaN while an automatic keeps it to itself."""
        now_s = time.monotonic()
        if now_s >= self._read_exposure_at_s:
            self._exposure_s = _exposure_s(self._fd)
            self._read_exposure_at_s = now_s + _EXPOSURE_INTERVAL_S
        return self._exposure_s

    def _find(self) -> Iterator[_Parameter]:
        keys: set[str] = set()
        for control in v4l2_controls.find_controls(self._fd):
            key = v4l2_controls.key_of(control)
            if key and key not in keys and (parameter := self._parameter(key, control)):
                keys.add(key)
                yield parameter

    def _parameter(self, key: str, control: Control) -> _Parameter | None:
        """Make a parameter of a control as it was found: by a predecessor, or now."""
        try:
            now = v4l2_controls.get_value(self._fd, control)
        except OSError as error:
            _log.info("%s: %s cannot be read: %s", self._node, key, error.strerror)
            return None
        maximum = control.maximum
        if control.id == v4l2_controls.V4L2_CID_EXPOSURE_ABSOLUTE:
            maximum = min(maximum, max(self._longest_exposure, control.minimum, now))
        if not control.is_menu:  # some webcams have controls outside their own ranges while these are inactive
            now = min(max(now, control.minimum), maximum)
        candidates = (self._inherited().get(key), now, control.default)
        parameters = (_Parameter(key, control, raw, maximum) for raw in candidates if isinstance(raw, int))
        return next((parameter for parameter in parameters if parameter.takes(parameter.default)), None)

    def _inherited(self) -> Mapping[str, Any]:
        found = self._predecessor.get("found")
        if not isinstance(found, dict) or found.get("device") != self._device:
            return {}
        values = found.get("values")
        return values if isinstance(values, dict) else {}

    def _put(self, wanted: Mapping[_Parameter, int]) -> None:
        """Write what differs from what is in force.

        An automatic makes the controls that it works by inactive. So what it takes over is put right before it is
        switched on, or it would come to light when somebody switches it off; what it sets free is set afterwards.
        """
        switches = {parameter: raw for parameter, raw in wanted.items() if parameter.control.is_switch}
        others = {parameter: raw for parameter, raw in wanted.items() if parameter not in switches}
        if any(self._differs(*item) for item in switches.items()):
            with contextlib.suppress(ParametersRejectedError):  # the switch may make it possible
                self._write(others)
            self._write(switches)
        self._write(others)

    def _require_effect(self, wanted: Mapping[_Parameter, int]) -> None:
        """Reject what an automatic decides: a frame would be said to have what was asked for."""
        for parameter, raw in wanted.items():
            what = f"{parameter.key} = {parameter.shown(raw)}"
            if raw not in (parameter.default, self._usual.get(parameter)):  # as found, or as configured
                with self._sentences(what):
                    control = v4l2_controls.query_control(self._fd, parameter.control.id)
                if control.is_inactive:
                    raise ParametersRejectedError(
                        f"{what}: has no effect while {self._automatic_of(control)} is on; switch that off as well"
                    )

    def _automatic_of(self, control: Control) -> str:
        switches = {
            parameter.control.id: parameter.key for parameter in self._parameters if parameter.control.is_switch
        }
        automatic_id = v4l2_controls.AUTOMATIC_OF.get(control.id, 0)
        return switches.get(automatic_id) or " or ".join(switches.values()) or "an automatic"

    def _write(self, wanted: Mapping[_Parameter, int]) -> None:
        for parameter, raw in wanted.items():
            if self._differs(parameter, raw):
                self._write_one(parameter, raw)

    def _differs(self, parameter: _Parameter, raw: int) -> bool:
        """Whether the device has another value in force, which can be changed now."""
        with self._sentences(f"{parameter.key} = {parameter.shown(raw)}"):
            inactive = v4l2_controls.query_control(self._fd, parameter.control.id).is_inactive
            return not inactive and v4l2_controls.get_value(self._fd, parameter.control) != raw

    def _write_one(self, parameter: _Parameter, raw: int) -> None:
        what = f"{parameter.key} = {parameter.shown(raw)}"
        self._read_exposure_at_s = 0.0
        self.writes += 1
        self._written.add(parameter)
        with self._sentences(what):
            # The answer is the driver's final word. Asking again would tell where a lens is on its way.
            actual = v4l2_controls.set_value(self._fd, parameter.control, raw)
        if actual == raw:
            return
        if raw != parameter.default:
            raise ParametersRejectedError(f"{what}: the driver makes {parameter.shown(actual)} of it")
        if parameter not in self._rounded:  # it was found like that, but only the hardware could do it
            self._rounded.add(parameter)
            _log.warning("%s: %s cannot be put back; it is %s", self._node, what, parameter.shown(actual))

    @contextlib.contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        """Turn the kernel's refusals into sentences."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise ReadFailedError(f"{self._node} is gone") from error
            raise ParametersRejectedError(f"{what}: the driver refuses it ({error.strerror})") from error


def _exposure_s(fd: int) -> float:
    try:
        control = v4l2_controls.query_control(fd, v4l2_controls.V4L2_CID_EXPOSURE_ABSOLUTE)
        if not control.is_volatile and (control.is_inactive or not _is_exposure_manual(fd)):
            return math.nan
        value = v4l2_controls.get_value(fd, control)
    except OSError:
        return math.nan
    return value * EXPOSURE_UNIT_S if value > 0 else math.nan


def _is_exposure_manual(fd: int) -> bool:
    """Whether the exposure time is what was set, also on devices that know nothing else."""
    try:
        auto = v4l2_controls.query_control(fd, v4l2_controls.V4L2_CID_EXPOSURE_AUTO)
    except OSError:
        return True
    return v4l2_controls.get_value(fd, auto) in _MANUAL


def _fitting(parameters: list[_Parameter], node: str) -> list[_Parameter]:
    """Leave out the last ones if there are more than a ring's descriptor can describe."""
    kept = list(parameters)
    while len(json.dumps(_spec(kept), separators=(",", ":"))) > _MOST_SPEC_BYTES:
        kept.pop()
    if len(kept) < len(parameters):
        left_out = ", ".join(parameter.key for parameter in parameters[len(kept) :])
        _log.warning("%s has more controls than can be offered; left out: %s", node, left_out)
    return kept


def _spec(parameters: list[_Parameter]) -> dict[str, Any]:
    return {"specs": {parameter.key: parameter.spec(order) for order, parameter in enumerate(parameters, 1)}}


def _child(kind: str, spec: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {f"{kind}_spec": spec}, "ui_info": about}
