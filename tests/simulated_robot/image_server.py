"""A small real image service, as a payload runs it: plain text gRPC on loopback."""

import concurrent.futures
import threading
import time
from types import TracebackType
from typing import Any

import grpc
from bosdyn.api.header_pb2 import CommonError
from bosdyn.api.image_pb2 import GetImageResponse, ImageResponse, ListImageSourcesResponse
from bosdyn.api.image_service_pb2_grpc import ImageServiceServicer, add_ImageServiceServicer_to_server

MAX_MESSAGE_BYTES = 100 * 1024**2


class ImageServer(ImageServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """Answers each request with `data`. `failure` ends calls with that status; `hanging` waits for `go_on`.

    Sources in `broken` have no image, and formats that are not in `supported` (if any are) are refused. `metadata`,
    `deadline_s` and `given_up` tell of the last call, `formats` of every image that was asked for.
    """

    def __init__(self, data: bytes = b"", *, port: int = 0) -> None:
        self.data = data
        self.port = port
        self.failure: grpc.StatusCode | None = None
        self.hanging = False
        self.broken: set[str] = set()
        self.supported: set[int] = set()
        self.formats: list[int] = []
        self.metadata: dict[str, str | bytes] = {}
        self.deadline_s: float | None = None
        self.go_on = threading.Event()
        self.called = threading.Event()
        self.given_up = threading.Event()

    def __enter__(self) -> "ImageServer":
        options = (("grpc.max_send_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0))
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool, options=options)
        add_ImageServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._pool.shutdown()

    def ListImageSources(self, _request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (the protocol's name)
        """Return a source that is named like the data."""
        self._meet(context)
        response = ListImageSourcesResponse()
        response.header.error.code = CommonError.CODE_OK
        response.image_sources.add(name=self.data[:16].hex())
        return response

    def GetImage(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  (the protocol's name)
        """Return the data for each request."""
        self._meet(context)
        response = GetImageResponse()
        response.header.error.code = CommonError.CODE_OK
        for entry in request.image_requests:
            self.formats.append(entry.image_format)
            answer = response.image_responses.add(status=self._status_of(entry))
            if answer.status == ImageResponse.STATUS_OK:
                answer.shot.image.data = self.data
        return response

    def _status_of(self, entry: Any) -> "ImageResponse.Status":
        if entry.image_source_name in self.broken:
            return ImageResponse.STATUS_IMAGE_DATA_ERROR
        if self.supported and entry.image_format not in self.supported:
            return ImageResponse.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED
        return ImageResponse.STATUS_OK

    def _meet(self, context: grpc.ServicerContext) -> None:
        self.metadata = dict(context.invocation_metadata())
        self.deadline_s = context.time_remaining()
        ended = threading.Event()
        context.add_callback(ended.set)
        context.add_callback(self.given_up.set)
        self.called.set()
        if self.failure:
            context.abort(self.failure, "the service says so")
        if self.hanging:
            until_s = time.monotonic() + 30
            while not (ended.wait(0.01) or self.go_on.is_set()) and time.monotonic() < until_s:
                pass
