"""Answers ListImageSources and GetImage. Nothing in here waits for the robot, and nothing a client asks is a fault."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from bosdyn.api import header_pb2, image_pb2

from servicer import admission
from servicer.bytes_in_flight import BytesInFlight
from servicer.image_entry import ImageEntry
from servicer.image_log import ImageLog
from servicer.served_camera import ServedCamera

_RESPONSE = image_pb2.ImageResponse

_LEAST_ENTRIES = 32
_RESPONSE_LIMIT_BYTES = 64 << 20
_IN_FLIGHT_BYTES = 128 << 20  # gRPC holds two to three times as much for them
_ECHO_LIMIT_BYTES = 4096  # larger requests are not sent back in the header
_NAME_LIMIT = 128

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
            for camera in self._cameras.values():
                response.image_sources.append(camera.source(camera.newest(None)))
                camera.add_place(response.transforms_snapshot)
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

    def _answer_all(self, requests: Any, response: Any, context: grpc.ServicerContext) -> None:
        entries = self._examine(requests, response)
        until_s = _until_s(entries, context)
        self._wait_for_captures(entries, until_s, context)
        total_bytes = 0
        for entry in entries:  # after all waits: what nobody had to wait for is still fresh
            if not context.is_active() or time.monotonic() > until_s:
                context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the images were not ready in time")
            added_bytes = entry.fill(until_s)
            if added_bytes:
                total_bytes += added_bytes
                self._check_room(total_bytes, added_bytes, context)
        for entry in entries:
            entry.withdraw_if_stale()
        reasons = {entry.camera.source_name: entry.reason for entry in entries if entry.reason}
        response.header.error.message = " ".join(f"{name}: {why}" for name, why in reasons.items())

    def _examine(self, requests: Any, response: Any) -> list[ImageEntry]:
        """Begin an answer to each entry; one about an unknown camera is an answer already."""
        entries = []
        for request in requests:
            answer = response.image_responses.add()
            camera = self._cameras.get(request.image_source_name)
            if camera is None:
                answer.status = _RESPONSE.STATUS_UNKNOWN_CAMERA
                answer.source.name = request.image_source_name[:_NAME_LIMIT]
                continue
            entry = ImageEntry(request, answer, camera, self._why_silent)
            entry.examine()
            entries.append(entry)
        return entries

    @staticmethod
    def _wait_for_captures(entries: list[ImageEntry], until_s: float, context: grpc.ServicerContext) -> None:
        """Have captured what is not there yet, for all entries at the same time.

        What was captured fast may be old, or gone, when the slowest is done: then it is captured again.
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
                _wait(lacking, context)
            for entry in lacking:
                entry.collect()

    def _check_room(self, total_bytes: int, added_bytes: int, context: grpc.ServicerContext) -> None:
        """End a call whose answer gets too large, for its client or for what the clients of this moment may hold."""
        if total_bytes > _RESPONSE_LIMIT_BYTES:
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the answer is larger than {_RESPONSE_LIMIT_BYTES >> 20} MiB: ask for fewer images in one call",
            )
        if not self._in_flight.take(added_bytes, context):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many images wait for slow clients: ask again")


def _until_s(entries: list[ImageEntry], context: grpc.ServicerContext) -> float:
    """When the call has to end: cameras that capture on request may take their time for it."""
    on_request = [entry.camera.capture_timeout_s for entry in entries if entry.camera.captures_on_request]
    until_s = admission.current().ends_s(max(on_request, default=0.0))
    remaining_s = context.time_remaining()
    return until_s if remaining_s is None else min(until_s, time.monotonic() + remaining_s)


def _patience_s(until_s: float) -> float:
    """What is left of a call after its waits: time to make the pictures and to send them."""
    return min(_ANSWERING_S, (until_s - time.monotonic()) * _ANSWERING_SHARE)


def _wait(entries: list[ImageEntry], context: grpc.ServicerContext) -> None:
    """Wait until each entry has its frame or its time is over, or nobody waits for the answer any more."""
    woken = threading.Event()
    context.add_callback(woken.set)
    for entry in entries:
        if entry.pending is not None:
            entry.pending.add_done_callback(lambda _: woken.set())
    while True:
        woken.clear()  # before looking: what happens afterwards wakes
        waiting = [entry.until_s for entry in entries if entry.pending and not entry.pending.done()]
        left_s = max(waiting, default=0.0) - time.monotonic()
        if left_s <= 0 or not context.is_active():
            return
        woken.wait(left_s)


def _begin_header(response: Any, request: Any) -> None:
    response.header.request_received_timestamp.GetCurrentTime()
    response.header.request_header.CopyFrom(request.header)
    response.header.error.code = header_pb2.CommonError.CODE_OK
    if request.ByteSize() <= _ECHO_LIMIT_BYTES:
        response.header.request.Pack(request)


def _end_header(response: Any) -> None:
    response.header.response_timestamp.GetCurrentTime()
