"""Many clients at once, who call the servicer again and again."""

import threading
from collections import Counter

import grpc
from bosdyn.api import image_pb2, image_service_pb2_grpc
from bosdyn.client.image import build_image_request

from tests.matrix.fleet import WATCHED


class Crowd:
    """Clients of one camera, each with a connection and a thread of its own; `seen` counts how their calls ended."""

    def __init__(self, address: str, clients: int, *, timeout_s: float = 5.0, pause_s: float = 0.25) -> None:
        self.seen: Counter[str] = Counter()
        self._address = address
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        request = image_pb2.GetImageRequest(image_requests=[build_image_request(WATCHED)])
        with grpc.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = image_service_pb2_grpc.ImageServiceStub(channel)
            while not self._done.wait(self._pause_s):
                try:
                    response = stub.GetImage(request, timeout=self._timeout_s)
                    status = image_pb2.ImageResponse.Status.Name(response.image_responses[0].status)
                    self.seen[" ".join([status, response.header.error.message]).strip()] += 1
                except grpc.RpcError as error:
                    self.seen[error.code().name] += 1
