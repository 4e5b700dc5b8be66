"""A worker's end of the socket that answers what a test tells it to, when a test tells it to."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest, address
from tests.servicer.serving import Ring, smooth

Answer = CaptureAnswer | bytes | None
SPEC: dict[str, Any] = {
    "specs": {
        "gain": {"spec": {"double_spec": {"default_value": 0.0, "min_value": 0.0, "max_value": 24.0}}},
        "night": {"spec": {"bool_spec": {"default_value": False}}},
    }
}


class ScriptedWorker:
    """Listens like a worker, inside `with`. `requests` are those that came.

    "keep" is counted apart in `keeps`, and `forgotten` are the numbers that "forget" named.
    `answer` is called for each request, from a thread of its own connection: it may wait, and None means no answer.
    `picture` goes with each answer.
    """

    def __init__(
        self,
        instance: str,
        answer: Callable[[CaptureRequest], Answer] = lambda _: None,
        picture: bytes | None = None,
        camera: str = "front",
    ) -> None:
        self.requests: list[CaptureRequest] = []
        self.keeps = 0
        self.forgotten: list[int] = []
        self.picture = picture
        self._answer = answer
        self._address = address(instance, camera)
        self._connections: list[socket.socket] = []

    def __enter__(self) -> "ScriptedWorker":
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self._address)
        self._listener.listen()
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.hang_up()

    @property
    def connections(self) -> int:
        """How many came."""
        return len(self._connections)

    def hang_up(self) -> None:
        """End every connection, as the end of a worker does."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def send(self, answer: CaptureAnswer | bytes) -> None:
        """Answer on the newest connection."""
        packet = answer if isinstance(answer, bytes) else answer.to_packet()
        if self.picture is None:
            self._connections[-1].send(packet)
            return
        fd = os.memfd_create("picture")
        os.write(fd, self.picture)
        socket.send_fds(self._connections[-1], [packet], [fd])
        os.close(fd)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._listen_to, args=(connection,)).start()

    def _listen_to(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while packet := connection.recv(PACKET_BYTES):
                request = CaptureRequest.from_packet(packet)
                if request.kind == "keep":
                    self.keeps += 1
                    continue
                if request.kind == "forget":
                    self.forgotten.append(request.number)
                    continue
                self.requests.append(request)
                answer = self._answer(request)
                if answer is not None:
                    self.send(answer)


def done(request: CaptureRequest, frame_number: int = 1, begun_ns: int | None = None) -> CaptureAnswer:
    """A frame that was begun just now."""
    now_ns = time.monotonic_ns()
    return CaptureAnswer(request.number, frame_number, now_ns, now_ns if begun_ns is None else begun_ns)


def failed(request: CaptureRequest, failure: Any, text: str) -> CaptureAnswer:
    """A failure with this sentence."""
    return CaptureAnswer(request.number, failure=failure, text=text)


def capturing(ring: Ring) -> Callable[[CaptureRequest], CaptureAnswer]:
    """Answer each request as a good worker does: with a new frame in the ring that has the parameters."""

    def answer(request: CaptureRequest) -> CaptureAnswer:
        begun_ns = time.monotonic_ns()
        gain = request.parameters.get("gain", {}).get("double_value", {}).get("value", 0.0)
        number = ring.show(smooth(), params_id=bytes.fromhex(request.params_id), gain=gain)
        return done(request, number, begun_ns)

    return answer
