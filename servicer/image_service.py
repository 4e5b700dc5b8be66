"""Answers ListImageSources and GetImage. Nothing in here waits for the robot, and nothing a client asks is a fault."""

import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from bosdyn.api import header_pb2, image_pb2

from servicer import admission
from servicer.answer import Answer, joined
from servicer.bytes_in_flight import BytesInFlight
from servicer.image_entry import ImageEntry, of_unknown_camera
from servicer.image_log import ImageLog
from servicer.served_camera import ServedCamera

SERVICE = "bosdyn.api.ImageService"

_LEAST_ENTRIES = 32
_RESPONSE_LIMIT_BYTES = 64 << 20
_IN_FLIGHT_BYTES = 128 << 20  # gRPC holds two to three times as much for them
_ECHO_LIMIT_BYTES = 4096  # larger requests are not sent back in the header

_ROUNDS = 3
_ANSWERING_S = 0.5
_ANSWERING_SHARE = 0.2


class ImageService:
    """The servicer that gRPC calls from its request threads.

    `cameras` are known by the names of their image sources. `why_silent` gives the operator's sentence for a camera,
    by its own name, that has no fresh frame. `requests` counts the GetImage calls that came, `ended` the calls of any
    kind that are over. `image_log` is told of every answered GetImage.
    """

    def __init__(
        self,
        cameras: Mapping[str, ServedCamera],
        why_silent: Callable[[str], str | None],
        image_log: ImageLog | None = None,
    ) -> None:
        self.requests = 0
        self.ended = 0
        self._begun = 0
        self._cameras = cameras
        self._why_silent = why_silent
        self._image_log = image_log
        self._in_flight = BytesInFlight(_IN_FLIGHT_BYTES)
        self._counting = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no call is being answered, and no picture is on its way."""
        return self._begun == self.ended and not self._in_flight.used_bytes

    def add_to(self, server: grpc.Server) -> None:
        """Let a server answer for it. What GetImage returns is what goes over the wire."""
        handlers = {
            "ListImageSources": grpc.unary_unary_rpc_method_handler(
                self.ListImageSources,
                image_pb2.ListImageSourcesRequest.FromString,
                image_pb2.ListImageSourcesResponse.SerializeToString,
            ),
            "GetImage": grpc.unary_unary_rpc_method_handler(self.GetImage, image_pb2.GetImageRequest.FromString),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def ListImageSources(self, request: Any, _context: grpc.ServicerContext) -> Any:  # noqa: N802  gRPC's name
        """Describe every configured camera, in the configured order."""
        self._count_begin()
        response = image_pb2.ListImageSourcesResponse(header=_header_for(request))
        try:
            for camera in self._cameras.values():
                response.image_sources.append(_source(camera))
                camera.add_place(response.transforms_snapshot)
        finally:
            self._count_end()
        response.header.response_timestamp.FromNanoseconds(time.time_ns())
        return response

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> bytes:  # noqa: N802  gRPC's name
        """Answer every entry in the order of the request, with the serialized `GetImageResponse`."""
        received_ns = time.monotonic_ns()
        self._count_begin(requests=1)
        try:
            header = _header_for(request)
            answers = self._answers(request.image_requests, header, context)
            header.response_timestamp.FromNanoseconds(time.time_ns())
            if self._image_log is not None:
                self._image_log.note(request, header, answers, received_ns)
            return joined(header, answers)
        finally:
            self._count_end()

    def _answers(self, requests: Any, header: Any, context: grpc.ServicerContext) -> list[Answer]:
        most = max(_LEAST_ENTRIES, 4 * len(self._cameras))
        if len(requests) > most:
            header.error.code = header_pb2.CommonError.CODE_INVALID_REQUEST
            header.error.message = f"{len(requests)} image requests; at most {most} are answered"
            return []
        room = _Room(self._in_flight, context)
        # Of one entry alone: whoever asks for more is told after each picture whether there is room for the next one.
        if len(requests) == 1 and (known := self._known_answer(requests[0])) is not None:
            room.take(len(known.data))
            return [known]
        begun = [self._examined(request) for request in requests]
        entries = [entry for entry in begun if isinstance(entry, ImageEntry)]
        self._fill_all(entries, context, room)
        answers = [entry.finish() if isinstance(entry, ImageEntry) else entry for entry in begun]
        reasons = {entry.camera.source_name: entry.reason for entry in entries if entry.reason}
        header.error.message = " ".join(f"{name}: {why}" for name, why in reasons.items())
        return answers

    def _count_begin(self, requests: int = 0) -> None:
        with self._counting:
            self._begun += 1
            self.requests += requests

    def _count_end(self) -> None:
        with self._counting:
            self.ended += 1

    def _known_answer(self, request: Any) -> Answer | None:
        """The fast path: the answer, if a request like this one was answered before and nothing goes wrong.

        With many clients most calls are like that, and the interpreter runs one at a time: what is examined here costs
        all of them. So there is one look at the ring, and what the request comes to is looked up. Whatever is not as
        usual is left to the long way, which finds the same and tells it.
        """
        camera = self._cameras.get(request.image_source_name)
        if camera is None:
            return None
        try:
            return camera.known_answer(request, admission.current().ends_s())
        except Exception as error:
            camera.unexpected.note(error)
            return None

    def _examined(self, request: Any) -> ImageEntry | Answer:
        """Begin an answer to an entry; one about an unknown camera is an answer already."""
        camera = self._cameras.get(request.image_source_name)
        if camera is None:
            return of_unknown_camera(request.image_source_name)
        entry = ImageEntry(request, camera, self._why_silent)
        entry.examine()
        return entry

    @staticmethod
    def _fill_all(entries: list[ImageEntry], context: grpc.ServicerContext, room: "_Room") -> None:
        until_s = _until_s(entries)
        fill = functools.partial(_fill, until_s=until_s, context=context, room=room)
        _wait_for_captures(entries, until_s, context, fill)
        for entry in entries:  # after all waits: what nobody had to wait for is still fresh
            fill(entry)


class _Room:
    """How much one answer may hold, for its client and for what the clients of this moment may hold together."""

    def __init__(self, in_flight: BytesInFlight, context: grpc.ServicerContext) -> None:
        self._in_flight = in_flight
        self._context = context
        self._total_bytes = 0

    def take(self, added_bytes: int) -> None:
        """Count a picture, or end a call whose answer gets too large."""
        self._total_bytes += added_bytes
        if self._total_bytes > _RESPONSE_LIMIT_BYTES:
            self._context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the answer is larger than {_RESPONSE_LIMIT_BYTES >> 20} MiB: ask for fewer images in one call",
            )
        if not self._in_flight.take(added_bytes, self._total_bytes, self._context):
            self._context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many images wait for slow clients: ask again")


def _wait_for_captures(
    entries: list[ImageEntry], until_s: float, context: grpc.ServicerContext, fill: Callable[[ImageEntry], None]
) -> None:
    """Have captured what is not there yet, for all entries at the same time, and fill each as soon as it is.

    A ring has room for a few frames only: what one set of parameters brought is overwritten while others are awaited.
    What was captured fast may be old when the slowest is done, or gone before it was seen: then it is captured again.
    """
    call = admission.current()
    patience_s = _patience_s(until_s)
    for _ in range(_ROUNDS):
        lacking = [entry for entry in entries if entry.lacks_capture()]
        if not lacking or not context.is_active():
            return
        with call.waiting(until_s):
            for entry in lacking:
                added_s = entry.camera.capture_timeout_s if entry.camera.captures_on_request else 0.0
                entry.ask(min(until_s, time.monotonic() + admission.CALL_LIMIT_S + added_s) - patience_s)
            _answer_as_they_come(lacking, until_s, context, fill)


def _answer_as_they_come(
    entries: list[ImageEntry], until_s: float, context: grpc.ServicerContext, fill: Callable[[ImageEntry], None]
) -> None:
    is_awaited = False
    try:
        for due in _as_they_come(entries, context):
            with admission.current().working(until_s):
                _collect(due, fill)
        is_awaited = context.is_active()
    finally:
        if not is_awaited:
            for entry in entries:
                entry.leave()


def _collect(due: list[ImageEntry], fill: Callable[[ImageEntry], None]) -> None:
    for entry in due:
        entry.collect()
        if not entry.lacks_capture():
            fill(entry)


def _as_they_come(entries: list[ImageEntry], context: grpc.ServicerContext) -> Iterator[list[ImageEntry]]:
    """Wait for the entries, and yield those that are due, until all are or nobody waits for the answer any more."""
    woken = threading.Event()
    context.add_callback(woken.set)
    for entry in entries:
        if entry.pending is not None:
            entry.pending.add_done_callback(lambda _: woken.set())
    while entries and context.is_active():
        woken.clear()  # before looking: what happens afterwards wakes
        due = [entry for entry in entries if entry.is_due()]
        if due:
            yield due
            entries = [entry for entry in entries if entry not in due]
        else:
            woken.wait(max(0.0, min(entry.until_s for entry in entries) - time.monotonic()))


def _fill(entry: ImageEntry, until_s: float, context: grpc.ServicerContext, room: _Room) -> None:
    if not context.is_active() or time.monotonic() > until_s:
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the images were not ready in time")
    if added_bytes := entry.fill(until_s):
        room.take(added_bytes)


def _source(camera: ServedCamera) -> Any:
    """The description of one camera: its name alone if that fails, which must not hide the others."""
    try:
        return camera.source()
    except Exception as error:
        camera.unexpected.note(error)
        return image_pb2.ImageSource(name=camera.source_name, image_type=image_pb2.ImageSource.IMAGE_TYPE_VISUAL)


def _until_s(entries: list[ImageEntry]) -> float:
    """When the call has to end: cameras that capture on request may take their time for it."""
    on_request = [entry.camera.capture_timeout_s for entry in entries if entry.camera.captures_on_request]
    return admission.current().ends_s(max(on_request, default=0.0))


def _patience_s(until_s: float) -> float:
    """What is left of a call after its waits: time to make the pictures and to send them."""
    return min(_ANSWERING_S, (until_s - time.monotonic()) * _ANSWERING_SHARE)


def _header_for(request: Any) -> Any:
    """A `ResponseHeader`, to be completed."""
    header = header_pb2.ResponseHeader(request_header=request.header)
    header.request_received_timestamp.FromNanoseconds(time.time_ns())
    header.error.code = header_pb2.CommonError.CODE_OK
    if request.ByteSize() <= _ECHO_LIMIT_BYTES:
        header.request.Pack(request)
    return header
