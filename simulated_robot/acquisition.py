"""One capture of images from the registered image services: how it is made, and how far it is."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
from bosdyn.api.data_acquisition_pb2 import AssociatedMetadata, DataIdentifier, GetStatusResponse
from bosdyn.api.image_pb2 import GetImageRequest, GetImageResponse, Image, ImageRequest, ImageResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from simulated_robot.data_store import TooLargeError
from simulated_robot.state import RobotState

GET_IMAGE = "/bosdyn.api.ImageService/GetImage"
METADATA_CHANNEL = "metadata"
QUALITY_PERCENT = 75.0

_ENDED = (
    GetStatusResponse.STATUS_COMPLETE,
    GetStatusResponse.STATUS_ACQUISITION_CANCELLED,
    GetStatusResponse.STATUS_DATA_ERROR,
    GetStatusResponse.STATUS_TIMEDOUT,
)


class Acquisition:
    """A capture action of which a client was given the number. `run` belongs to a thread of its own.

    `request` is an `AcquireDataRequest`; `channels` are those to its image services, one per image capture.
    """

    def __init__(self, state: RobotState, request: Any, channels: Sequence[grpc.Channel], timeout_s: float) -> None:
        self._state = state
        self._request = request
        self._channels = channels
        self._until_s = time.monotonic() + timeout_s
        self._report = GetStatusResponse(status=GetStatusResponse.STATUS_ACQUIRING)
        self._cancelled = False
        self._call: Any = None
        self._lock = threading.Lock()

    def status(self) -> GetStatusResponse:
        """How far it is: a copy, without a header."""
        with self._lock:
            return GetStatusResponse.FromString(self._report.SerializeToString())

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        with self._lock:
            return self._report.status in _ENDED

    def cancel(self) -> bool:
        """End it without storing what is not stored yet; False if it has ended by itself."""
        with self._lock:
            if self._report.status in _ENDED:
                return False
            self._report.status = GetStatusResponse.STATUS_CANCEL_IN_PROGRESS
            self._cancelled = True
            call = self._call
        if call is not None:
            call.cancel()
        return True

    def run(self) -> None:
        """Get every image, and store it: one after the other, so that none is in memory for long."""
        captures = self._request.acquisition_requests.image_captures
        for capture, channel in zip(captures, self._channels, strict=True):
            self._go_on(GetStatusResponse.STATUS_ACQUIRING)
            self._take(capture, channel)
        if self._request.HasField("metadata"):
            about = AssociatedMetadata(metadata=self._request.metadata)
            about.reference_id.action_id.CopyFrom(self._request.action_id)
            self._save("metadata", METADATA_CHANNEL, about)
        self._end()

    def _take(self, capture: Any, channel: grpc.Channel) -> None:
        wanted = _image_request(capture)
        try:
            answer = self._answer(wanted, channel)
        except (grpc.RpcError, grpc.FutureCancelledError, ValueError) as error:  # ValueError: its channel was closed
            self._fail(wanted.image_source_name, _words(error))
            return
        if answer.status == ImageResponse.STATUS_OK:
            self._save("image", wanted.image_source_name, answer.shot)
        else:
            text = f"the image service answers {ImageResponse.Status.Name(answer.status)}"
            answer.ClearField("shot")
            self._fail(wanted.image_source_name, text, answer)

    def _answer(self, wanted: ImageRequest, channel: grpc.Channel) -> Any:
        """Ask for what the client chose; else for a JPEG, and for the bare pixels of a source which has none."""
        if wanted.image_format:
            return self._ask(wanted, channel)
        wanted.image_format = Image.FORMAT_JPEG
        answer = self._ask(wanted, channel)
        if answer.status == ImageResponse.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED:
            wanted.image_format = Image.FORMAT_RAW
            answer = self._ask(wanted, channel)
        return answer

    def _ask(self, wanted: ImageRequest, channel: grpc.Channel) -> Any:
        ask: Any = channel.unary_unary(GET_IMAGE, GetImageRequest.SerializeToString, GetImageResponse.FromString)
        request = GetImageRequest(image_requests=[wanted])
        request.header.client_name = "data-acquisition"
        request.header.request_timestamp.GetCurrentTime()
        with self._lock:
            if self._cancelled:
                raise grpc.FutureCancelledError
            self._call = ask.future(request, timeout=max(0.0, self._until_s - time.monotonic()))
        answers = self._call.result().image_responses
        return answers[0] if answers else ImageResponse()

    def _save(self, kind: Any, channel: str, content: Any) -> None:
        self._go_on(GetStatusResponse.STATUS_SAVING)
        data_id = DataIdentifier(action_id=self._request.action_id, channel=channel)
        with self._lock:
            if self._cancelled:
                return
        try:
            with self._state.lock:
                stored_id = self._state.store.add(kind, data_id, content)
        except TooLargeError as error:
            self._fail(channel, str(error))
            return
        with self._lock:
            self._report.data_saved.append(stored_id)

    def _fail(self, channel: str, text: str, answer: Any = None) -> None:
        with self._lock:
            failed = self._report.data_errors.add(error_message=text)
            failed.data_id.action_id.CopyFrom(self._request.action_id)
            failed.data_id.channel = channel
            if answer is not None:
                details = AnyMessage()
                details.Pack(answer)
                failed.error_data.CopyFrom(details)

    def _go_on(self, status: "GetStatusResponse.Status") -> None:
        with self._lock:
            if not self._cancelled:
                self._report.status = status

    def _end(self) -> None:
        with self._lock:
            if self._cancelled:
                self._report.status = GetStatusResponse.STATUS_ACQUISITION_CANCELLED
            elif not self._report.data_errors:
                self._report.status = GetStatusResponse.STATUS_COMPLETE
            elif time.monotonic() >= self._until_s:
                self._report.status = GetStatusResponse.STATUS_TIMEDOUT
            else:
                self._report.status = GetStatusResponse.STATUS_DATA_ERROR


def _image_request(capture: Any) -> ImageRequest:
    wanted = ImageRequest(quality_percent=QUALITY_PERCENT, pixel_format=capture.pixel_format)
    wanted.MergeFrom(capture.image_request)
    wanted.image_source_name = wanted.image_source_name or capture.image_source
    return wanted


def _words(error: Exception) -> str:
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if code is None or details is None:
        return "the image service was not asked any more"
    return f"the image service did not answer: {code().name}: {details()}"
