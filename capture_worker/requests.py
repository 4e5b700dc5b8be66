"""The worker's end of the socket on which a servicer asks for captures: nothing here waits, except `wait` itself.

Whoever connects is believed only if it runs as the same user. A client that sends what is no request, or does not read
its answers, loses its connection; a request is forgotten once its time is over, or its client has gone or says so.
"""

import fcntl
import os
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest, Failure, address, peer_uid

MOST_CONNECTIONS = 64
MOST_WAITING = 64

_PACKETS_PER_TURN = 16  # of one client: one that floods does not keep the loop
_RETRY_S = 0.1  # while the address is taken
_PATIENCE_S = 5.0  # with a predecessor of ours that still holds it: it is killed or about to end
_TEXT_CHARACTERS = 1000
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request, when it came, and where its answer goes."""

    request: CaptureRequest
    arrived_ns: int
    connection: socket.socket

    def is_like(self, other: "Waiting") -> bool:
        """Whether one answer is right for both."""
        mine, its = self.request, other.request
        return (mine.kind, mine.params_id, mine.image_request) == (its.kind, its.params_id, its.image_request)


class CaptureRequests:
    """The requests to one camera's worker, inside `with`.

    `asked_s` is the CLOCK_MONOTONIC time, in seconds, at which anybody last asked for anything; `problem` says in a
    sentence why nobody can: the address belongs to somebody else.
    """

    def __init__(self, instance: str, camera: str) -> None:
        self.asked_s = float("-inf")
        self.problem: str | None = None
        self._address = address(instance, camera)
        self._listener: socket.socket | None = None
        self._connections: dict[socket.socket, None] = {}  # that which has been silent longest is the first
        self._waiting: list[Waiting] = []
        self._tried_since_s: float | None = None
        self._next_try_s = 0.0

    def __enter__(self) -> "CaptureRequests":
        """Listen, or try again later: a worker that has just been killed may still hold the address."""
        self.receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let everybody go: whoever waits sees that its connection is closed."""
        for connection in list(self._connections):
            self._drop(connection)
        if self._listener is not None:
            self._listener.close()

    def wait(self, timeout_s: float) -> None:
        """Wait until somebody has something to say, for so long at most."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLIN)
        if self._listener is not None:
            poll.register(self._listener, select.POLLIN)
        else:
            timeout_s = min(timeout_s, _RETRY_S)
        poll.poll(timeout_s * 1000)

    def receive(self) -> None:
        """Take whatever has arrived, and forget what nobody waits for any more."""
        if self._listener is None and time.monotonic() >= self._next_try_s:
            self._listen()
        for connection in list(self._connections):  # before anybody has to make room: who asks is not silent
            self._read(connection)
        self._accept()
        now_ns = time.monotonic_ns()
        self._waiting = [waiting for waiting in self._waiting if waiting.request.until_ns > now_ns]

    def first(self, params_id: str | None = None) -> list[Waiting]:
        """Return the request that has waited longest, and all that are like it; an empty list if there is none.

        With a `params_id`, only requests for these parameters count.
        """
        waiting = [one for one in self._waiting if params_id in (None, one.request.params_id)]
        return [one for one in waiting if one.is_like(waiting[0])]

    def waiting(self) -> list[Waiting]:
        """Return all requests that wait."""
        return list(self._waiting)

    def still_waiting(self, group: list[Waiting]) -> bool:
        """Whether anybody still waits for the answer to any of these."""
        return any(waiting in self._waiting for waiting in group)

    def answer(
        self,
        group: list[Waiting],
        *,
        frame_number: int,
        captured_ns: int,
        begun_ns: int,
        picture: bytes | None = None,
    ) -> None:
        """Answer all that still wait with a frame.

        `picture` travels in a sealed memfd. Without room for it, they are told so.
        """
        with ExitStack() as holding:
            try:
                fd = None if picture is None else _memfd_of(picture, holding)
            except OSError as error:
                self.fail(group, "camera", f"no room for a picture of {len(picture or b'')} bytes: {error.strerror}")
                return
            for waiting in group:
                self._send(waiting, CaptureAnswer(waiting.request.number, frame_number, captured_ns, begun_ns), fd)

    def fail(self, group: list[Waiting], failure: Failure, text: str) -> None:
        """Tell all that still wait why there is no frame."""
        text = text[:_TEXT_CHARACTERS].encode("utf-8", "replace").decode()
        for waiting in group:
            self._send(waiting, CaptureAnswer(waiting.request.number, failure=failure, text=text))

    def fail_all(self, failure: Failure, text: str) -> None:
        """Tell everybody who waits for anything."""
        self.fail(list(self._waiting), failure, text)

    def _listen(self) -> None:
        now_s = time.monotonic()
        self._next_try_s = now_s + _RETRY_S
        self._tried_since_s = now_s if self._tried_since_s is None else self._tried_since_s
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            listener.bind(self._address)
            listener.listen(MOST_CONNECTIONS)
        except OSError as error:
            listener.close()
            self.problem = self._why_not(error, now_s - self._tried_since_s)
            return
        self._listener, self.problem = listener, None

    def _why_not(self, error: OSError, tried_s: float) -> str | None:
        """Say who is in the way, once it is clear that it is no process of ours that is about to end."""
        uid = _holder_uid(self._address)
        if uid not in (None, os.getuid()):
            return f"the socket @{self._address[1:]} belongs to the user {uid}: nobody can ask this camera for anything"
        if tried_s < _PATIENCE_S:
            return None
        return f"the socket @{self._address[1:]} cannot be taken ({error.strerror}): nobody can ask this camera"

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # nobody is there any more; or no descriptor is left for whoever is
                return
            if peer_uid(connection) != os.getuid():
                connection.close()
                continue
            if len(self._connections) >= MOST_CONNECTIONS and not self._made_room():
                connection.close()
                continue
            connection.setblocking(False)
            self._connections[connection] = None
            self._read(connection)

    def _made_room(self) -> bool:
        """Drop the connection that was silent longest, so that a program that forgets its own keeps nobody out.

        One on which an answer is waited for stays.
        """
        waiting = {one.connection for one in self._waiting}
        silent = next((connection for connection in self._connections if connection not in waiting), None)
        if silent is not None:
            self._drop(silent)
        return silent is not None

    def _read(self, connection: socket.socket) -> None:
        for _ in range(_PACKETS_PER_TURN):
            try:
                packet = connection.recv(PACKET_BYTES + 1)
                if not packet:
                    self._drop(connection)
                    return
                self._connections[connection] = self._connections.pop(connection)
                self._take(CaptureRequest.from_packet(packet), connection)
            except BlockingIOError:
                return
            except (OSError, ValueError):
                self._drop(connection)
                return

    def _take(self, request: CaptureRequest, connection: socket.socket) -> None:
        if request.kind == "forget":
            self._forget(request.number, connection)
            return
        self.asked_s = time.monotonic()
        if request.kind == "keep":
            return
        waiting = Waiting(request, time.monotonic_ns(), connection)
        self._waiting.append(waiting)
        if len(self._waiting) > MOST_WAITING:
            self.fail([waiting], "busy", f"{MOST_WAITING} requests wait already")

    def _forget(self, number: int, connection: socket.socket) -> None:
        self._waiting = [
            waiting
            for waiting in self._waiting
            if waiting.connection is not connection or waiting.request.number != number
        ]

    def _send(self, waiting: Waiting, answer: CaptureAnswer, fd: int | None = None) -> None:
        if waiting not in self._waiting:
            return
        self._waiting.remove(waiting)
        with ExitStack() as holding:
            try:
                # A description of its own for each: they read at a position of their own, and cannot write.
                fds = [] if fd is None else [_reopen(fd, holding)]
                socket.send_fds(waiting.connection, [answer.to_packet()], fds)
            except OSError:  # it has gone, or does not read; or no descriptor is left
                self._drop(waiting.connection)

    def _drop(self, connection: socket.socket) -> None:
        self._connections.pop(connection, None)
        self._waiting = [waiting for waiting in self._waiting if waiting.connection is not connection]
        connection.close()


def _holder_uid(held: str) -> int | None:
    """Whose socket has this address: None if that cannot be found out, because nobody listens on it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as asking:
        try:
            asking.connect(held)
            return peer_uid(asking)
        except OSError:
            return None


def _memfd_of(data: bytes, holding: ExitStack) -> int:
    """Put bytes into an anonymous file that nobody can change any more; `holding` closes its descriptor."""
    fd = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    holding.callback(os.close, fd)
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd


def _reopen(fd: int, holding: ExitStack) -> int:
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    holding.callback(os.close, again)
    return again
