"""One entry of a GetImage request, from the question to the answer."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from bosdyn.api import image_pb2

from servicer import image_request, own_pictures
from servicer.answer import Answer, without_picture
from servicer.capture_requests import CaptureFailedError, Shot, WorkerAwayError
from servicer.custom_parameters import Parameters, ParameterSpec, RefusedError
from servicer.image_request import Refusal, Wanted
from servicer.picture import UndecodableFrameError
from servicer.served_camera import FrameLostError, NoRobotTimeError, ServedCamera
from shm import Encoding, FrameFacts

_RESPONSE = image_pb2.ImageResponse
_HAND_OVER_S = 1.0  # for a result that is being set
_NAME_LIMIT = 128
_NO_PARAMETERS = ParameterSpec(None).defaults
_JUST_NOW_S = 0.001  # so long the newest frame is taken to be the newest


class NoImageError(Exception):
    """There is no image for this entry; the message is the operator's sentence."""


class ImageEntry:
    """One `ImageRequest` to a camera, and the `answer` that becomes of it.

    In this order: `examine`; as long as it `lacks_capture`, `ask`, wait until it `is_due`, and `collect`; `fill`; and
    `finish`. Nothing in here raises: what goes wrong is in the answer, and in `reason` if it is
    no mistake of the client. `why_silent` gives the operator's sentence for a camera that has no fresh frame.
    """

    def __init__(self, request: Any, camera: ServedCamera, why_silent: Callable[[str], str | None]) -> None:
        self.camera = camera
        self.answer: Answer | None = None
        self.reason: str | None = None
        self.pending: Future[Shot] | None = None
        self.until_s = math.inf
        self._request = request
        self._asked: Any = None  # the ImageRequest for a class that makes pictures itself
        self._why_silent = why_silent
        self._parameters: Parameters = _NO_PARAMETERS
        self._shot: Shot | None = None
        self._mishaps = _Mishaps(self)
        self._wanted: tuple[Encoding, Wanted] | None = None  # what to make of frames of this encoding
        self._seen: FrameFacts | None = None
        self._seen_s = -math.inf

    def examine(self) -> None:
        """Refuse what cannot be answered before any camera is asked for it."""
        with self._mishaps:
            try:
                self._parameters = self._completed()
                if self.camera.makes_own_pictures:
                    self._asked = self._own_request()
                elif (facts := self._newest() or self.camera.newest(None)) is not None:
                    self._check(facts)
            except (RefusedError, _RefusedRequestError, NoImageError) as error:
                self._settle(error)

    def lacks_capture(self) -> bool:
        """Whether there is no frame to answer with unless the camera is asked for one.

        An answer that was filled and has grown too old since then is emptied.
        """
        with self._mishaps:
            if self._is_stale():
                self.answer = self._shot = None
            return self.answer is None and self._needs_capture()
        return False

    def ask(self, until_s: float) -> None:
        """Have the camera capture for this entry, which waits until then (`time.monotonic`)."""
        self.until_s = until_s
        self.pending = None
        with self._mishaps:
            self.pending = self.camera.ask(self._parameters, self._asked, until_s)

    def is_due(self) -> bool:
        """Whether to `collect`: the camera has answered, or it is too late."""
        return self.pending is None or self.pending.done() or time.monotonic() >= self.until_s

    def collect(self) -> None:
        """Take what the camera brought. What comes later may still serve somebody else's call."""
        self._seen_s = -math.inf
        with self._mishaps:
            if self.pending is not None and self.pending.done():
                try:
                    self._shot = self.pending.result(_HAND_OVER_S)
                except CaptureFailedError as error:
                    self._settle(error)
            elif self.answer is None:
                self._settle(NoImageError(self._why_silent(self.camera.name) or "it delivered no frame in time."))

    def leave(self) -> None:
        """Stop waiting: nobody waits for the answer any more."""
        if self.pending is not None:
            self.pending.cancel()

    def fill(self, until_s: float) -> int:
        """Answer, and say how many bytes the picture has: 0 for none, and for one that is there already."""
        with self._mishaps:
            if self.answer is not None:
                return 0
            try:
                self.answer = self._with_picture(until_s)
            except (_RefusedRequestError, NoImageError) as error:
                self._settle(error)
            return len(self.answer.data) if self.answer else 0
        return 0

    def finish(self) -> Answer:
        """Keep the freshness promise to the last moment: the others of the call may have taken long."""
        with self._mishaps:
            if self._is_stale():
                self._settle(NoImageError(f"its frame was {self._age_s():.1f} s old by the time of the answer."))
        return self.answer or _bare(_RESPONSE.STATUS_IMAGE_DATA_ERROR, self.camera.source_name)

    def fail(self, error: Exception) -> None:
        """Answer that something happened which nobody has thought of."""
        self.camera.unexpected.note(error)
        self.reason = "something unexpected went wrong; the log says what."
        self.answer = _bare(_RESPONSE.STATUS_IMAGE_DATA_ERROR, self.camera.source_name)

    def _is_stale(self) -> bool:
        """Whether the answer holds a picture that is too old by now."""
        return self._age_s() > self.camera.max_age_s

    def _age_s(self) -> float:
        """How old the picture in the answer is; 0 without one."""
        captured_ns = self.answer.captured_ns if self.answer else None
        return 0.0 if captured_ns is None else _age_s(captured_ns)

    def _newest(self) -> FrameFacts | None:
        """The newest frame with these parameters, of this moment."""
        now_s = time.monotonic()
        if now_s - self._seen_s > _JUST_NOW_S:
            self._seen, self._seen_s = self.camera.newest(self._parameters.params_id), now_s
        return self._seen

    def _needs_capture(self) -> bool:
        facts = self._newest()
        if self._shot is None:
            return self.camera.needs_capture(self._parameters, facts)
        if self.camera.makes_own_pictures:
            return _age_s(self._shot.captured_ns) > self.camera.max_age_s
        return facts is None or facts.frame_number < self._shot.frame_number or facts.age_s() > self.camera.max_age_s

    def _completed(self) -> Parameters:
        if self._request.custom_params.values and self.camera.descriptor() is None:
            raise NoImageError(self._why_no_frame(None))  # nobody knows whether it has such parameters
        return self.camera.spec.complete(self._request.custom_params)

    def _with_picture(self, until_s: float) -> Answer:
        facts = self._newest()
        try:
            if self.camera.makes_own_pictures and self._shot is not None:
                return self._own_picture(self._shot, facts)
            facts = self._fresh(facts)
            wanted = self._check(facts)
            answer = self.camera.answer(facts, wanted, self._parameters, until_s - time.monotonic())
        except (UndecodableFrameError, FrameLostError, NoRobotTimeError) as error:
            raise NoImageError(f"{error}.") from error
        except TimeoutError as error:
            raise NoImageError("the frame could not be encoded in time.") from error
        if self.camera.spec.raw != self._parameters.spec.raw:
            raise NoImageError("its parameters have changed meanwhile.")
        if not self._request.custom_params.values:
            self.camera.note_answered(self._request, facts, wanted)
        return answer

    def _fresh(self, facts: FrameFacts | None) -> FrameFacts:
        least = self._shot.frame_number if self._shot else 0
        if facts is None or facts.age_s() > self.camera.max_age_s or facts.frame_number < least:
            raise NoImageError(self._why_no_frame(facts))
        self.camera.keep()
        return facts

    def _own_picture(self, shot: Shot, newest: FrameFacts | None) -> Answer:
        if shot.captured_ns > time.monotonic_ns() or _age_s(shot.captured_ns) > self.camera.max_age_s:
            raise NoImageError(self._why_no_frame(newest))
        facts = newest if newest is not None and newest.frame_number == shot.frame_number else None
        known = (
            (None, math.nan, math.nan) if facts is None else ((facts.rows, facts.cols), facts.gain, facts.exposure_s)
        )
        try:
            encoded = own_pictures.encoded(shot, *known)
        except own_pictures.BrokenPictureError as error:
            self.camera.note_own_picture(str(error))
            raise NoImageError(str(error)) from error
        self.camera.note_own_picture()
        return self.camera.answer_with(encoded, self._parameters, facts)

    def _own_request(self) -> Any:
        asked = own_pictures.check(self._request, own_pictures.formats(self.camera.descriptor() or {}))
        if isinstance(asked, Refusal):
            raise _RefusedRequestError(asked.status)
        return asked

    def _check(self, facts: FrameFacts) -> Wanted:
        """What to make of such a frame."""
        if self._wanted is None or self._wanted[0] is not facts.encoding:
            wanted = image_request.check(self._request, facts.encoding)
            if isinstance(wanted, Refusal):
                raise _RefusedRequestError(wanted.status)
            self._wanted = facts.encoding, wanted
        return self._wanted[1]

    def _why_no_frame(self, facts: FrameFacts | None) -> str:
        why = self._why_silent(self.camera.name) or self.camera.problem
        if why:
            return why
        if facts is None:
            return "there is no frame of it yet." if self._shot is None else "its frame was overwritten too soon."
        return f"its newest frame is {facts.age_s():.1f} s old; the limit is {self.camera.max_age_s:.1f} s."

    def _settle(self, error: Exception) -> None:
        """Answer with an error."""
        message = image_pb2.ImageResponse(source=self.camera.source())
        if isinstance(error, CaptureFailedError):
            error = self._of_failure(error)
        if isinstance(error, RefusedError):
            message.status = _RESPONSE.STATUS_CUSTOM_PARAMS_ERROR
            message.custom_param_error.CopyFrom(error.error)
        elif isinstance(error, _RefusedRequestError):
            message.status = error.status
        else:
            message.status = _RESPONSE.STATUS_IMAGE_DATA_ERROR
            self.reason = str(error)
        self.answer = without_picture(message)

    def _of_failure(self, error: CaptureFailedError) -> Exception:
        """What a worker's failure is for the client: his mistake, or no image."""
        if error.failure == "parameters" and not self._parameters.are_defaults:
            return self._parameters.refused(str(error))
        if error.failure == "unsupported":
            return _RefusedRequestError(_RESPONSE.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED)
        if error.failure == "picture":
            self.camera.note_own_picture(str(error))
        away = isinstance(error, WorkerAwayError)
        return NoImageError((self._why_silent(self.camera.name) if away else None) or str(error))


class _Mishaps:
    """A mistake of ours inside, or a segment that nobody has thought of, costs the entry and no other one of the call.

    No generator: five of them for each entry would take a twentieth of all its time.
    """

    def __init__(self, entry: ImageEntry) -> None:
        self._entry = entry

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Answer for what was raised."""
        if isinstance(error, Exception):
            self._entry.fail(error)
            return True
        return False


class _RefusedRequestError(Exception):
    """The request cannot be answered; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def of_unknown_camera(name: str) -> Answer:
    """The answer to whoever asks for a camera that there is not."""
    return _bare(_RESPONSE.STATUS_UNKNOWN_CAMERA, name[:_NAME_LIMIT])


def _bare(status: int, name: str) -> Answer:
    message = image_pb2.ImageResponse(status=status)
    message.source.name = name
    return without_picture(message)


def _age_s(captured_ns: int) -> float:
    return (time.monotonic_ns() - captured_ns) / 1e9
