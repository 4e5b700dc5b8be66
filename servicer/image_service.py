"""Answers ListImageSources and GetImage. Nothing in here waits for the robot, and nothing a client asks is a fault."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from bosdyn.api import header_pb2, image_pb2, service_customization_pb2

from servicer import admission, image_request
from servicer.bytes_in_flight import BytesInFlight
from servicer.image_log import ImageLog
from servicer.image_request import Refusal
from servicer.picture import Encoded, UndecodableFrameError
from servicer.served_camera import FrameFacts, FrameLostError, ServedCamera

_RESPONSE = image_pb2.ImageResponse

_LEAST_ENTRIES = 32
_RESPONSE_LIMIT_BYTES = 64 << 20
_IN_FLIGHT_BYTES = 128 << 20  # gRPC holds two to three times as much for them
_ECHO_LIMIT_BYTES = 4096  # larger requests are not sent back in the header
_NAME_LIMIT = 128

_LONGEST_EXPOSURE_S = 3600.0  # beyond is a driver's mistake (some say "infinite")


class NoImageError(Exception):
    """There is no image for this entry; the message is the operator's sentence."""


class ImageService:
    """The servicer that gRPC calls from its request threads.

    `why_silent` gives the operator's sentence for a camera that has no fresh frame. `requests` counts the GetImage
    calls that came, `ended` the calls of any kind that are over. `image_log` is told of every answered GetImage.
    """

    def __init__(
        self,
        cameras: Mapping[str, ServedCamera],
        why_silent: Callable[[str], str | None],
        image_log: ImageLog | None = None,
    ) -> None:
        self.requests = 0
        self.ended = 0
        self._cameras = cameras
        self._why_silent = why_silent
        self._image_log = image_log
        self._in_flight = BytesInFlight(_IN_FLIGHT_BYTES)
        self._counting = threading.Lock()

    def ListImageSources(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802  gRPC's name
        """Describe every configured camera, in the configured order."""
        response = image_pb2.ListImageSourcesResponse()
        _begin_header(response, request)
        try:
            response.image_sources.extend(camera.source(camera.newest()) for camera in self._cameras.values())
        finally:
            self._count_end()
        _end_header(response)
        return response

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  gRPC's name
        """Answer every entry in the order of the request."""
        received_ns = time.monotonic_ns()
        with self._counting:
            self.requests += 1
        try:
            response = self._images(request, context)
            if self._image_log is not None:
                self._image_log.note(request, response, received_ns)
            return response
        finally:
            self._count_end()

    def _images(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = image_pb2.GetImageResponse()
        _begin_header(response, request)
        most = max(_LEAST_ENTRIES, 4 * len(self._cameras))
        if len(request.image_requests) > most:
            response.header.error.code = header_pb2.CommonError.CODE_INVALID_REQUEST
            response.header.error.message = f"{len(request.image_requests)} image requests; at most {most} are answered"
        else:
            self._answer_all(request.image_requests, response, context)
        _end_header(response)
        return response

    def _count_end(self) -> None:
        with self._counting:
            self.ended += 1

    def _answer_all(self, entries: Any, response: Any, context: grpc.ServicerContext) -> None:
        until_s, remaining_s = admission.until_s(), context.time_remaining()
        if remaining_s is not None:
            until_s = min(until_s, time.monotonic() + remaining_s)
        reasons: dict[str, str] = {}
        served: list[tuple[Any, ServedCamera, int]] = []
        total_bytes = 0
        for entry in entries:
            if not context.is_active() or time.monotonic() > until_s:
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the images were not ready in time")
            answer = response.image_responses.add()
            encoded = self._answer(entry, answer, reasons, until_s)
            if encoded is not None:
                served.append((answer, self._cameras[entry.image_source_name], encoded.captured_ns))
                total_bytes += len(encoded.data)
                self._check_room(total_bytes, len(encoded.data), context)
        self._withdraw_stale(served, reasons)
        response.header.error.message = " ".join(f"{name}: {why}" for name, why in reasons.items())

    def _check_room(self, total_bytes: int, added_bytes: int, context: grpc.ServicerContext) -> None:
        """End a call whose answer gets too large, for its client or for what the clients of this moment may hold."""
        if total_bytes > _RESPONSE_LIMIT_BYTES:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the answer is larger than {_RESPONSE_LIMIT_BYTES >> 20} MiB: ask for fewer images in one call",
            )
        if not self._in_flight.take(added_bytes, context):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many images wait for slow clients: ask again")

    def _answer(self, entry: Any, answer: Any, reasons: dict[str, str], until_s: float) -> Encoded | None:
        """Fill one ImageResponse; the encoded picture if it was filled with one."""
        camera = self._cameras.get(entry.image_source_name)
        if camera is None:
            answer.status = _RESPONSE.STATUS_UNKNOWN_CAMERA
            answer.source.name = entry.image_source_name[:_NAME_LIMIT]
            return None
        facts = camera.newest()
        answer.source.CopyFrom(camera.source(facts))
        try:
            return self._picture(camera, self._fresh(camera, facts), entry, answer, until_s)
        except NoImageError as error:
            _withhold(answer, camera, str(error), reasons)
            return None

    def _fresh(self, camera: ServedCamera, facts: FrameFacts | None) -> FrameFacts:
        if facts is not None and facts.age_s() <= camera.max_age_s:
            return facts
        why = self._why_silent(camera.name) or camera.problem
        if why:
            raise NoImageError(why)
        if facts is None:
            raise NoImageError("there is no frame of it yet.")
        raise NoImageError(f"its newest frame is {facts.age_s():.1f} s old; the limit is {camera.max_age_s:.1f} s.")

    @staticmethod
    def _picture(camera: ServedCamera, facts: FrameFacts, entry: Any, answer: Any, until_s: float) -> Encoded | None:
        wanted = image_request.check(entry, facts.encoding)
        if isinstance(wanted, Refusal):
            _refuse(answer, wanted)
            return None
        try:
            encoded = camera.encoded(facts, wanted, until_s - time.monotonic())
        except (UndecodableFrameError, FrameLostError) as error:
            raise NoImageError(f"{error}.") from error
        except TimeoutError as error:
            raise NoImageError("the frame could not be encoded in time.") from error
        robot_ns = camera.acquisition_times.of(encoded.frame_number, encoded.captured_ns)
        if robot_ns is None:
            raise NoImageError("there was no time sync with the robot yet.")
        _fill(answer, encoded, robot_ns)
        return encoded

    @staticmethod
    def _withdraw_stale(served: list[tuple[Any, ServedCamera, int]], reasons: dict[str, str]) -> None:
        """Keep the freshness promise to the last moment: encoding the others may have taken long."""
        for answer, camera, captured_ns in served:
            age_s = (time.monotonic_ns() - captured_ns) / 1e9
            if age_s > camera.max_age_s:
                answer.ClearField("shot")
                why = f"its frame was {age_s:.1f} s old by the time of the answer."
                _withhold(answer, camera, why, reasons)


def _withhold(answer: Any, camera: ServedCamera, why: str, reasons: dict[str, str]) -> None:
    answer.status = _RESPONSE.STATUS_IMAGE_DATA_ERROR
    reasons[camera.name] = why


def _refuse(answer: Any, refusal: Refusal) -> None:
    answer.status = refusal.status
    if refusal.status == _RESPONSE.STATUS_CUSTOM_PARAMS_ERROR:
        error = answer.custom_param_error
        error.status = service_customization_pb2.CustomParamError.STATUS_UNSUPPORTED_PARAMETER
        error.error_messages.extend(f"no parameter is called {name[:_NAME_LIMIT]!r}" for name in refusal.parameters)


def _fill(answer: Any, encoded: Encoded, robot_ns: int) -> None:
    answer.status = _RESPONSE.STATUS_OK
    answer.source.rows, answer.source.cols = encoded.frame_rows, encoded.frame_cols
    shot, image = answer.shot, answer.shot.image
    shot.acquisition_time.FromNanoseconds(robot_ns)
    image.rows, image.cols = encoded.rows, encoded.cols
    image.format, image.pixel_format = encoded.wanted.image_format, encoded.wanted.pixel_format
    image.data = encoded.data
    if math.isfinite(encoded.gain) and encoded.gain >= 0:  # NaN: unknown; -1: some drivers' way to say so
        shot.capture_params.gain = encoded.gain
    if 0 < encoded.exposure_s <= _LONGEST_EXPOSURE_S:
        shot.capture_params.exposure_duration.FromNanoseconds(round(encoded.exposure_s * 1e9))


def _begin_header(response: Any, request: Any) -> None:
    response.header.request_received_timestamp.GetCurrentTime()
    response.header.request_header.CopyFrom(request.header)
    response.header.error.code = header_pb2.CommonError.CODE_OK
    if request.ByteSize() <= _ECHO_LIMIT_BYTES:
        response.header.request.Pack(request)


def _end_header(response: Any) -> None:
    response.header.response_timestamp.GetCurrentTime()
