"""One camera as the servicer sees it: its newest frames, whether they are fresh, and how it is described."""

import contextlib
import math
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from bosdyn.api import image_pb2
from google.protobuf import json_format

from servicer import image_request, own_pictures
from servicer.answer import Answer, with_picture
from servicer.capture_requests import CaptureRequests, Shot
from servicer.custom_parameters import Parameters, ParameterSpec
from servicer.frame_pace import FramePace
from servicer.image_source import SourceDescription
from servicer.known_requests import KnownRequests
from servicer.picture import Encoded, UndecodableFrameError, encode
from servicer.robot_clock import AcquisitionTimes, RobotClock
from servicer.shared_encodings import FrameKey, SharedEncodings
from servicer.unexpected import UnexpectedErrors
from shm import DEFAULT_PARAMS_ID, Encoding, Frame, FrameFacts, Loss, RingReader
from supervision.camera_settings import CameraSettings

_LEAST_MAX_AGE_S = 0.5
_MAX_AGE_PERIODS = 3
_SHARED_PERIODS = 2  # so young a frame with somebody's own parameters serves others who ask for the same
_FORGIVEN_S = 10.0  # after the failure of a camera's own class, if nobody asks it for anything more
_NO_TIME = "there was no time sync with the robot yet"
_AFTERWARDS_S = 2.0  # a capture is of use for the next call too, where the first could not wait for it


class FrameLostError(Exception):
    """The writer overtook every attempt to encode, or the ring went away meanwhile."""


class NoRobotTimeError(Exception):
    """Nobody knows the robot's time yet, and so where its camera was at a capture."""


@dataclass(frozen=True, eq=False)
class Undecodable:
    """That no picture could be made of a frame: why, when, of what encoding, what was wanted, and of which frame.

    Without these three it was the camera's own class that failed.
    """

    text: str
    encoding: Encoding | None = None
    wanted: image_request.Wanted | None = None
    frame_number: int | None = None
    noted_s: float = field(default_factory=time.monotonic)

    def is_of_same_frame(self, other: "Undecodable | None") -> bool:
        """Whether both tell of one frame, and so of one failure."""
        if other is None or self is other:
            return self is other
        return self.frame_number is not None and self.frame_number == other.frame_number


class ServedCamera:
    """Reads one ring for any number of request threads, and asks its worker for what is not in there.

    `source_name` is what clients call it, `name` what the configuration and the status board do. `undecodable` is the
    last failure to make a picture of its frames, until `decodes_again` and somebody forgets it.
    """

    def __init__(self, instance: str, name: str, settings: CameraSettings, clock: RobotClock) -> None:
        self.name = name
        self.source_name = settings.source_name or name
        self.undecodable: Undecodable | None = None
        self.unexpected = UnexpectedErrors(self.source_name)
        self._settings = settings
        self._description = SourceDescription(self.source_name, settings)
        self._reader = RingReader(instance, name)
        self._requests = CaptureRequests(instance, name)
        self._clock = clock
        self._acquisition_times = AcquisitionTimes(clock)
        self._shared: SharedEncodings[Answer] = SharedEncodings(lambda answer: len(answer.data))
        self._known = KnownRequests()
        self._pace = FramePace(idles=self.idles)
        self._last_descriptor: Mapping[str, Any] | None = None
        self._spec = ParameterSpec(None)
        self._own_made_s = -math.inf  # when its class last made a picture

    @property
    def problem(self) -> str | None:
        """Why the ring cannot be read, in a sentence; None while it can."""
        return self._reader.unreadable

    @property
    def idles(self) -> bool:
        """Whether it captures only while somebody asks: silence says nothing about it."""
        return self._settings.mode != "continuous"

    @property
    def captures_on_request(self) -> bool:
        """Whether each call gets a frame of its own time."""
        return self._settings.mode == "on_request"

    @property
    def makes_own_pictures(self) -> bool:
        """Whether its class does, in its worker, instead of this process."""
        own = self._settings.camera_interface
        return own is not None and own.image_decode == "own"

    @property
    def capture_timeout_s(self) -> float:
        """How long one capture may take."""
        return self._settings.capture_timeout_s

    @property
    def max_age_s(self) -> float:
        """Age beyond which a frame is never served as OK."""
        if self._settings.max_age_s is not None:
            return self._settings.max_age_s
        if self.captures_on_request:
            return math.inf  # each was exposed after the call came: what it takes until it is sent is the call's own
        return max(_LEAST_MAX_AGE_S, _MAX_AGE_PERIODS * self.period_s)

    @property
    def period_s(self) -> float:
        """The measured frame period, not below what the driver says; 0 before its first frame was seen."""
        return self._pace.period_s

    @property
    def spec(self) -> ParameterSpec:
        """The custom parameters that it has; none before its first frame."""
        raw = (self.descriptor() or {}).get("param_spec")
        spec = self._spec
        if spec.raw is not raw and spec.raw != raw:
            self._spec = spec = ParameterSpec(raw)
        return spec

    def descriptor(self) -> Mapping[str, Any] | None:
        """What the worker found out about the camera, when it was last there; None before the first time."""
        descriptor = self._reader.descriptor()
        if descriptor is not None:
            self._last_descriptor = descriptor
        return self._last_descriptor

    def newest(self, params_id: bytes | None = DEFAULT_PARAMS_ID) -> FrameFacts | None:
        """Facts of the newest frame with these parameters (None: with any), however old; None if there is none."""
        facts = self._reader.facts(params_id)
        if facts is not None:
            self._pace.note(facts, self.descriptor)
        return facts

    def needs_capture(self, parameters: Parameters, facts: FrameFacts | None) -> bool:
        """Whether to `ask` instead of serving the newest frame with these parameters, which may be missing."""
        if self.captures_on_request:
            return True
        if not parameters.are_defaults:
            limit_s = min(self.max_age_s, _SHARED_PERIODS * self.period_s)
            return self.makes_own_pictures or facts is None or facts.age_s() > limit_s
        if facts is None or facts.age_s() > self.max_age_s:
            return self.idles  # one that always captures will not do it for being asked
        return self.makes_own_pictures

    def ask(self, parameters: Parameters, picture: Any, until_s: float) -> "Future[Shot]":
        """Ask the worker for a frame that is exposed from now on; if its class makes them, for this `picture` instead.

        That is an `ImageRequest`, else None. See CaptureRequests.ask for what the future raises.
        """
        until_ns = round(until_s * 1e9)
        if not self.captures_on_request:
            until_ns = max(until_ns, time.monotonic_ns() + round((self.capture_timeout_s + _AFTERWARDS_S) * 1e9))
        if not parameters.are_defaults:
            self._pace.expect_others(until_ns)
        if picture is None:
            return self._requests.ask("capture", parameters.params_id, parameters.values, until_ns)
        asked = json_format.MessageToDict(picture, preserving_proto_field_name=True)
        key = picture.SerializeToString(deterministic=True)
        return self._requests.ask("decode", parameters.params_id, parameters.values, until_ns, asked, key)

    def keep(self) -> None:
        """Tell the worker of a camera that captures while it is asked that somebody still looks."""
        if self._settings.mode == "while_asked":
            self._requests.keep()

    def known_answer(self, request: Any, until_s: float) -> Answer | None:
        """The answer to an `ImageRequest` like one that was answered before, if there is a fresh frame; else None."""
        facts = self.newest()
        if facts is None or facts.age_s() > self.max_age_s:
            return None
        if (wanted := self._known.wanted(request, facts)) is None:
            return None
        if (ready := self._shared.ready(_key(facts), (wanted, self._clock.offset_ns))) is not None:
            return ready
        with contextlib.suppress(UndecodableFrameError, FrameLostError, NoRobotTimeError, TimeoutError):
            answer = self.answer(facts, wanted, self.spec.defaults, until_s - time.monotonic())
            if time.monotonic() <= until_s and facts.age_s() <= self.max_age_s:  # to make it may have taken long
                return answer
        return None

    def note_answered(self, request: Any, facts: FrameFacts, wanted: image_request.Wanted) -> None:
        """Know the next request like this one, if its answer depends on nothing but the newest frame."""
        if self._settings.mode == "continuous" and not self.makes_own_pictures and facts.params_id == DEFAULT_PARAMS_ID:
            self._known.note(request, facts, wanted)

    def answer(
        self, facts: FrameFacts, wanted: image_request.Wanted, parameters: Parameters, timeout_s: float
    ) -> Answer:
        """The picture, as wanted, of the newest frame with the parameters of that one; who wants it too shares it.

        Raises UndecodableFrameError, FrameLostError, NoRobotTimeError, and TimeoutError after `timeout_s`.
        """

        def make() -> Answer:
            if self._clock.offset_ns is None:
                raise NoRobotTimeError(_NO_TIME)
            # `wanted` was checked against the encoding in `facts`; a ring that has replaced it may hold another one.
            made = self._made(wanted, facts.encoding, facts.params_id)
            if made is None:
                raise FrameLostError("the frame was overwritten before it could be encoded")
            if self.spec.raw != parameters.spec.raw:  # another ring than that which the parameters were checked for
                raise FrameLostError("its parameters have changed meanwhile")
            return self.answer_with(made, parameters, facts)

        # Of the robot's clock too: where that was set back, no picture may have its old time.
        return self._shared.get(_key(facts), (wanted, self._clock.offset_ns), make, timeout_s)

    def answer_with(self, encoded: Encoded, parameters: Parameters, facts: FrameFacts | None) -> Answer:
        """The picture with all that belongs to it. `facts` are of a frame of its kind. Raises NoRobotTimeError."""
        robot_ns = self._acquisition_times.of(encoded.frame_number, encoded.captured_ns)
        if robot_ns is None:
            raise NoRobotTimeError(_NO_TIME)
        source, shot = self.source(facts), image_pb2.ImageCapture()
        frame_size = encoded.frame_rows, encoded.frame_cols
        self._description.resize(source, frame_size, (encoded.rows, encoded.cols))
        self._description.locate(shot)
        return with_picture(encoded, source, shot, robot_ns, parameters)

    def decodes_again(self) -> bool:
        """Try with the newest frame what failed last; False if it fails again, if it is the same or if there is none.

        Its own class is not asked, for that takes time of its camera: a picture for a client shows that it works again,
        or that nobody wants one for a while.
        """
        failure, facts = self.undecodable, self.newest(None)
        if failure is None:
            return facts is not None
        if failure.encoding is None or failure.wanted is None:
            return self._own_made_s > failure.noted_s or time.monotonic() - failure.noted_s > _FORGIVEN_S
        if facts is None or facts.frame_number == failure.frame_number:
            return False
        if facts.encoding is not failure.encoding:
            return True
        try:
            return self._made(failure.wanted, failure.encoding, None) is not None
        except UndecodableFrameError:
            return False

    def note_own_picture(self, failure: str | None = None) -> None:
        """Take note that its class has made a picture, or why not."""
        if failure is None:
            self._own_made_s = time.monotonic()
        else:
            self.undecodable = Undecodable(failure.rstrip("."))

    def source(self, facts: FrameFacts | None = None) -> Any:
        """The `image_pb2.ImageSource` for such a frame, or the newest one; the name alone until there was any."""
        facts = facts or self.newest(None) or self._pace.last
        if facts is None:
            return self._description.source(None, None)
        source = self._description.source(facts.encoding, (facts.rows, facts.cols))
        if self.makes_own_pictures and (pairs := own_pictures.formats(self.descriptor() or {})):
            source.image_formats[:], source.pixel_formats[:] = own_pictures.advertised(pairs)
        if self.spec.message.specs:
            source.custom_params.CopyFrom(self.spec.message)
        return source

    def add_place(self, tree: Any) -> None:
        """Add where this camera is to a `FrameTreeSnapshot` of several, if it is known."""
        self._description.add_place(tree)

    def _made(self, wanted: image_request.Wanted, encoding: Encoding, params_id: bytes | None) -> Encoded | None:
        """Make the picture of the newest frame; None if there is none, or one of another encoding."""
        upright = self._description.orientation
        tried: int | None = None

        def make(frame: Frame) -> Encoded | None:
            nonlocal tried
            tried = frame.frame_number
            return encode(frame, wanted, upright) if frame.encoding is encoding else None

        try:
            made = self._reader.use(make, params_id)
        except UndecodableFrameError as error:
            self.undecodable = Undecodable(str(error), encoding, wanted, tried)
            raise
        return None if isinstance(made, Loss) else made


def _key(facts: FrameFacts) -> FrameKey:
    return FrameKey(facts.epoch, facts.frame_number, facts.params_id)
