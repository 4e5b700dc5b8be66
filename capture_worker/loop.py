"""When a camera captures: always, for a request, or while somebody asks; and with which parameters.

One thread, one loop. A frame is published with the id of the parameters that it was really captured with, and every
answer names a frame that was published before.

A camera that captures for everybody does so first of all. A client's own parameters get it for two frame periods or
0.3 s, and what that cost the others is given back to them before the next client's turn.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from capture_worker.camera import (
    Camera,
    CameraError,
    CapturedFrame,
    CorruptFrameError,
    DecodingCamera,
    ParametersRejectedError,
    ReadFailedError,
    UnsupportedRequestError,
)
from capture_worker.complaints import Complaints
from capture_worker.defaults import Defaults
from capture_worker.frozen import FrozenPicture, frozen_limit
from capture_worker.patience import Patience
from capture_worker.publisher import FramePublisher
from capture_worker.requests import CaptureRequests, Waiting
from capture_worker.sharing import Sharing
from shm import DEFAULT_PARAMS_ID
from shm.capture_requests import CaptureRequest
from shm.parameters import ParametersError, Problem, complete, parameters_id
from supervision.camera_settings import CameraSettings
from supervision.lifeline import Lifeline

_RING_TIMEOUT_S = 5.0  # to allocate and clear the memory of a new ring
_IDLE_WAIT_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shot:
    """A published frame. No part of it was exposed before `begun_ns`, which is 0 if nobody took care of that."""

    params_id: bytes
    frame_number: int
    captured_ns: int
    begun_ns: int


class CaptureLoop:
    """The work of one open camera. `defaults` are in force unless they say otherwise."""

    def __init__(
        self,
        camera: Camera,
        settings: CameraSettings,
        defaults: Defaults,
        publisher: FramePublisher,
        requests: CaptureRequests,
        lifeline: Lifeline,
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._defaults = defaults
        self._spec = defaults.description.param_spec or {}
        self._publisher = publisher
        self._requests = requests
        self._lifeline = lifeline
        self._in_force: Mapping[str, Any] | None = defaults.values
        self._owes_frame = True  # the first one shows that the camera works, in every mode
        self._last: _Shot | None = None
        self._facts: dict[str, Any] = {}
        self._patience = Patience(camera.capture_limit_s)
        self._frozen = FrozenPicture(frozen_limit(settings))
        self._complaints = Complaints(lifeline)
        self._sharing = Sharing(defaults.description.fps, settings.max_age_s)
        has_applied = defaults.description.param_spec is not None and defaults.rejection is None
        self._back_since_s = time.monotonic() if has_applied else None  # until there is a frame with the defaults

    def turn(self) -> None:
        """Do one thing: answer a request, capture a frame for everybody, or wait for a request.

        Takes as long as one capture of the camera. Raises CameraError when the camera does not work any more,
        EndOfVideoError, ShmFullError or ForeignSegmentError.
        """
        self._requests.receive()
        self._refuse_what_is_too_slow()
        self._complaints.repeat(
            ("frozen", self._frozen.complaint),
            ("parameters", self._defaults.complaint),
            ("shm_foreign", self._requests.problem),
        )
        if group := self._next_group():
            self._serve(group)
        elif self._owes_frame or self._is_asked():
            self._capture_for_everybody()
        else:
            self._idle()

    def _next_group(self) -> list[Waiting]:
        if self._owes_frame:
            return []
        is_others_turn = self._is_asked() and self._sharing.is_others_turn()
        return self._requests.first(DEFAULT_PARAMS_ID.hex() if is_others_turn else None)

    def _refuse_what_is_too_slow(self) -> None:
        if not self._is_asked():
            return
        for waiting in self._requests.waiting():
            if not _is_default(waiting.request) and (text := self._sharing.refusal(waiting.request.params_id)):
                self._requests.fail([waiting], "camera", text)

    def _is_asked(self) -> bool:
        """Whether frames are wanted even if nobody waits for one."""
        if self._settings.mode == "while_asked":
            return time.monotonic() - self._requests.asked_s < self._settings.idle_after_s
        return self._settings.mode == "continuous"

    def _idle(self) -> None:
        self._in_force = None  # what is captured next is to be exposed then: `apply` takes care of that
        self._patience.renew()
        self._promise(idle=True)
        self._requests.wait(_IDLE_WAIT_S)

    def _promise(self, **facts: Any) -> None:
        """Promise the same whatever comes next: what differs is sent at once, dozens of times a second on request."""
        self._lifeline.promise(self._camera.capture_limit_s, **self._facts, **facts)

    def _capture_for_everybody(self) -> None:
        self._promise()
        try:
            if self._in_force != self._defaults.values:
                self._apply(self._defaults.values)
            frame = self._camera.capture()
        except (ReadFailedError, CorruptFrameError, ParametersRejectedError) as error:
            self._bear(error, self._patience)
            return
        if frame is not None:
            self._publish(frame, DEFAULT_PARAMS_ID, begun_ns=0)
            self._owes_frame = False

    def _serve(self, group: list[Waiting]) -> None:
        request = group[0].request
        if request.kind == "decode" and self._defaults.description.own_decode is None:
            self._requests.fail(group, "unsupported", "the camera makes no pictures itself")
            return
        self._owes_frame = self._is_asked()
        begun_s = time.monotonic()
        if not _is_default(request) and self._owes_frame:
            self._sharing.take()
        try:
            shot = self._last if self._has_right_frame(group) else self._shoot(group)
        except ParametersError as error:
            self._requests.fail(group, "parameters", str(error))
        except ParametersRejectedError as error:
            self._requests.fail(group, "camera" if _is_default(request) else "parameters", str(error))
            self._complaints.warn("parameters were rejected: %s", error)
            self._owes_frame = True
        except CameraError as error:
            if _is_default(request):
                raise
            self._requests.fail(group, "camera", str(error))
            self._owes_frame = True  # whether the camera itself still works is found out with the defaults
        else:
            if shot is not None:
                self._answer(group, shot)
        if not _is_default(request):
            self._patience.excuse(time.monotonic() - begun_s)

    def _has_right_frame(self, group: list[Waiting]) -> bool:
        """Whether the last frame will do: exposed after everybody had asked, or the newest of a running camera."""
        request, last = group[0].request, self._last
        if last is None or last.params_id.hex() != request.params_id or self._patience.failures:
            return False
        is_newest = request.kind == "decode" and self._is_asked()
        return is_newest or last.begun_ns >= max(waiting.arrived_ns for waiting in group)

    def _shoot(self, group: list[Waiting]) -> _Shot | None:
        """Capture and publish a frame that is exposed from now on.

        None once nobody waits for it any more, or if whether the camera works is to be found out first.
        """
        request = group[0].request
        if _is_default(request):
            return self._shoot_with_defaults(group)
        values = self._values_of(request)
        limit_s = self._sharing.limit_s if self._is_asked() else float("inf")
        begun_ns = time.monotonic_ns()
        self._promise()
        try:
            self._apply(values)
            # What a camera does not manage with a client's parameters says nothing about the camera itself.
            return self._capture_for(group, begun_ns, Patience(self._camera.capture_limit_s), limit_s)
        finally:
            if _elapsed_s(begun_ns) >= limit_s:
                self._sharing.note_too_slow(request.params_id, self._too_slow(limit_s))

    def _shoot_with_defaults(self, group: list[Waiting]) -> _Shot | None:
        begun_ns = time.monotonic_ns()
        self._promise()
        try:
            self._apply(self._defaults.values)
        except ReadFailedError as error:
            self._owes_frame = True
            self._bear(error, self._patience)
            return None
        return self._capture_for(group, begun_ns, self._patience)

    def _capture_for(
        self, group: list[Waiting], begun_ns: int, patience: Patience, limit_s: float = float("inf")
    ) -> _Shot | None:
        while self._requests.still_waiting(group) and not self._lifeline.stopping:
            self._promise()
            try:
                if frame := self._camera.capture():
                    return self._publish(frame, bytes.fromhex(group[0].request.params_id), begun_ns)
            except (ReadFailedError, CorruptFrameError) as error:
                self._owes_frame = True  # also if nobody waits for the answer any more
                self._bear(error, patience)
            if _elapsed_s(begun_ns) >= limit_s:
                raise ReadFailedError(self._too_slow(limit_s))
            self._requests.receive()
        return None

    def _too_slow(self, limit_s: float) -> str:
        return (
            f"no frame with these parameters within {limit_s:.1f} s: the camera captures for others too. "
            f'With mode = "on_request" it waits up to capture_timeout_s ({self._settings.capture_timeout_s:g} s)'
        )

    def _values_of(self, request: CaptureRequest) -> Mapping[str, Any]:
        """Return a client's own values. Raises ParametersError for those that this camera never offered."""
        values = complete(self._spec, request.parameters)
        if parameters_id(self._spec, values).hex() != request.params_id:
            raise ParametersError([Problem("value", "the camera's parameters have changed meanwhile")])
        if self._defaults.rejection is not None:  # there would be no way back
            raise ParametersError([Problem("value", f"the camera rejects its defaults: {self._defaults.rejection}")])
        return values

    def _apply(self, values: Mapping[str, Any]) -> None:
        self._in_force = None  # if this fails, nobody knows
        self._back_since_s = time.monotonic() if values == self._defaults.values else None
        try:
            self._camera.apply(values)
        except ParametersRejectedError:
            if self._defaults.rejection is None:
                raise
        self._in_force = values

    def _answer(self, group: list[Waiting], shot: _Shot) -> None:
        request = group[0].request
        try:
            picture = self._decode(request.image_request) if request.kind == "decode" else None
            self._requests.answer(
                group,
                frame_number=shot.frame_number,
                captured_ns=shot.captured_ns,
                begun_ns=shot.begun_ns,
                picture=picture,
            )
        except UnsupportedRequestError as error:
            self._requests.fail(group, "unsupported", str(error))
        except CorruptFrameError as error:
            self._requests.fail(group, "picture", str(error))
        except CameraError as error:
            self._requests.fail(group, "camera", str(error))

    def _decode(self, image_request: Mapping[str, Any]) -> bytes:
        self._promise()
        return cast("DecodingCamera", self._camera).decode(image_request)

    def _publish(self, frame: CapturedFrame, params_id: bytes, begun_ns: int) -> _Shot:
        publisher = self._publisher
        if not publisher.fits(frame):
            _log.info("a new ring for frames of %d x %d %s", frame.cols, frame.rows, frame.encoding.name.lower())
            self._lifeline.promise(_RING_TIMEOUT_S, **self._facts)
            publisher.build_ring(frame)
        number = publisher.publish(frame, params_id)
        self._frozen.see(frame)
        self._patience.renew()
        if params_id == DEFAULT_PARAMS_ID:
            self._note_ordinary_frame(frame)
        self._last = _Shot(params_id, number, frame.captured_ns, begun_ns)
        self._facts = {
            "frames": publisher.frames,
            "frame_number": number,
            "captured_ns": frame.captured_ns,
            "rows": frame.rows,
            "cols": frame.cols,
            "encoding": frame.encoding.name.lower(),
            "drops": publisher.drops,
            "errors": publisher.errors,
        }
        if publisher.frames == 1:
            self._lifeline.ready(**self._facts)
        return self._last

    def _note_ordinary_frame(self, frame: CapturedFrame) -> None:
        self._sharing.give_back()
        if self._back_since_s is not None:
            self._sharing.note_way_back(time.monotonic() - self._back_since_s)
            self._back_since_s = None
        self._sharing.note_lateness(_elapsed_s(frame.captured_ns))

    def _bear(self, error: CameraError, patience: Patience) -> None:
        if self._lifeline.stopping:
            return  # SIGTERM interrupts some drivers' waiting: that is no failure
        self._publisher.count_error()
        self._complaints.warn("failed reads so far: %d, the last one: %s", self._publisher.errors, error)
        patience.bear(error)


def _is_default(request: CaptureRequest) -> bool:
    return request.params_id == DEFAULT_PARAMS_ID.hex()


def _elapsed_s(since_ns: int) -> float:
    return (time.monotonic_ns() - since_ns) / 1e9
