"""The servicer's end of a worker's socket: many clients ask, each camera is asked once.

What is asked for alike is one *wish*. One request for it is under way at a time: its answer serves all who asked before
the worker began with it; for those who came later the next request follows at once. So nobody gets a frame that was
exposed before he asked, and a crowd costs the camera two captures. When all who wait have gone, the worker is told to
forget the request; a capture that it has begun may still come, and is nobody's.

No method waits. One thread per connected worker reads the answers, and ends with the connection.
"""

import contextlib
import itertools
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from shm.capture_requests import PACKET_BYTES, CaptureAnswer, CaptureRequest, Failure, Kind, address, peer_uid

MOST_PICTURE_BYTES = 64 << 20  # of one that a camera class made itself: as much as a whole answer may have
_HELD_BYTES = 128 << 20

_TURN_MS = 500
_KEEP_EVERY_S = 1.0
_MOST_FDS = 1
_MOST = (1 << 63) - 1  # of what a ring or a timestamp can hold
_MAX_FUTURE_NS = 1_000_000_000  # as for the frames of a ring: some drivers stamp a little ahead
_TEXT_CHARACTERS = 1000


class CaptureFailedError(Exception):
    """The camera's process brought no frame; the message is its sentence. `failure` says whose trouble it is."""

    def __init__(self, text: str, failure: Failure = "camera") -> None:
        super().__init__(text)
        self.failure = failure


class WorkerAwayError(CaptureFailedError):
    """There is nobody to ask."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame that was captured on request. `picture` is the serialized `bosdyn.api.Image` that "decode" asks for."""

    frame_number: int
    captured_ns: int
    picture: bytes | None = None


@dataclass(frozen=True)
class _Waiter:
    asked_ns: int
    until_ns: int
    future: "Future[Shot]" = field(default_factory=Future)


@dataclass(eq=False)
class _Wish:
    """What is asked for, who waits for it, and the request that is under way."""

    kind: Kind
    params_id: bytes
    parameters: Mapping[str, Any]
    image_request: Mapping[str, Any]
    waiters: list[_Waiter] = field(default_factory=list)
    number: int = 0
    sent_ns: int = 0
    until_ns: int = 0

    def packet(self, number: int) -> bytes:
        return CaptureRequest(
            number=number,
            kind=self.kind,
            until_ns=self.until_ns,
            params_id=self.params_id.hex(),
            parameters=dict(self.parameters),
            image_request=dict(self.image_request),
        ).to_packet()

    def take_waiters(self, before_ns: int) -> list["Future[Shot]"]:
        """Let go those who asked by then, and return who of them still waits."""
        served = [waiter for waiter in self.waiters if waiter.asked_ns <= before_ns]
        self.waiters = [waiter for waiter in self.waiters if waiter.asked_ns > before_ns]
        return [waiter.future for waiter in served if waiter.future.set_running_or_notify_cancel()]

    def forget_absent(self, now_ns: int) -> None:
        """Nothing is captured for those who have gone."""
        self.waiters = [w for w in self.waiters if not w.future.cancelled() and w.until_ns > now_ns]


class CaptureRequests:
    """Asks one camera's worker, from any number of threads."""

    def __init__(self, instance: str, camera: str) -> None:
        self._pictures: weakref.WeakSet[Shot] = weakref.WeakSet()  # those that somebody still has
        self._address = address(instance, camera)
        self._numbers = itertools.count(1)
        self._wishes: dict[Hashable, _Wish] = {}
        self._connection: socket.socket | None = None
        self._next_keep_s = 0.0
        self._lock = threading.Lock()

    def ask(
        self,
        kind: Kind,
        params_id: bytes,
        parameters: Mapping[str, Any],
        until_ns: int,
        image_request: Mapping[str, Any] | None = None,
        key: Hashable = None,
    ) -> "Future[Shot]":
        """Ask for a frame whose exposure begins after now; cancel the future to stop waiting before `until_ns`.

        `key` tells image requests apart. The future raises CaptureFailedError, or WorkerAwayError at once if there is
        no worker. It is never resolved if the worker does not answer: whoever waits has to look at the clock.
        """
        waiter = _Waiter(time.monotonic_ns(), until_ns)
        with self._lock:
            wish = self._wishes.setdefault(
                (kind, params_id, key), _Wish(kind, params_id, parameters, image_request or {})
            )
            wish.waiters.append(waiter)
            if not wish.number:
                self._send(wish)
        waiter.future.add_done_callback(lambda future: self._forget_if_left(wish) if future.cancelled() else None)
        return waiter.future

    def keep(self) -> None:
        """Say that somebody still looks, at most once a second; not being heard is no trouble."""
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._next_keep_s:
                return
            self._next_keep_s = now_s + _KEEP_EVERY_S
            request = CaptureRequest(next(self._numbers), "keep", time.monotonic_ns() + 10**9, "")
            with contextlib.suppress(CaptureFailedError):
                self._transmit(request.to_packet())

    def _send(self, wish: _Wish) -> None:
        """Put a request for the wish under way, or tell all who wait why that cannot be."""
        number, wish.sent_ns = next(self._numbers), time.monotonic_ns()
        wish.until_ns = max(waiter.until_ns for waiter in wish.waiters)
        try:
            self._transmit(wish.packet(number))
            wish.number = number
        except CaptureFailedError as error:
            self._fail(wish, error)
        except ValueError as error:
            self._fail(wish, CaptureFailedError(f"the request is too large: {error}", "parameters"))

    def _forget_if_left(self, wish: _Wish) -> None:
        with self._lock:
            self._forget_unless_awaited(wish, time.monotonic_ns())

    def _forget_unless_awaited(self, wish: _Wish, now_ns: int) -> None:
        """Withdraw the request that is under way if nobody waits for it any more."""
        wish.forget_absent(now_ns)
        if wish.waiters or not wish.number:
            return
        request = CaptureRequest(wish.number, "forget", now_ns + 10**9, "")
        self._drop(wish)
        if self._connection is not None:
            with contextlib.suppress(CaptureFailedError):
                self._transmit(request.to_packet())

    def _drop(self, wish: _Wish) -> None:
        wish.number = 0
        self._wishes = {key: other for key, other in self._wishes.items() if other is not wish}

    def _transmit(self, packet: bytes) -> None:
        for attempt in range(2):
            connection = self._connection or self._connect()
            try:
                connection.send(packet)
            except BlockingIOError as error:
                raise CaptureFailedError("its capture process takes no more requests.", "busy") from error
            except OSError as error:  # it has gone, and its successor may be there already
                self._disconnect(connection, "its capture process has ended.")
                if attempt:
                    raise WorkerAwayError("its capture process has ended.") from error
            else:
                return

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            connection.connect(self._address)
            uid = peer_uid(connection)
        except OSError as error:
            connection.close()
            raise WorkerAwayError("its capture process is not there.") from error
        if uid != os.geteuid():
            connection.close()
            raise WorkerAwayError(f"the socket of its capture process belongs to the user {uid}.")
        reader = threading.Thread(target=self._read, args=(connection,), name="answers", daemon=True)
        try:
            reader.start()  # it looks at the connection only when the lock is free, and this one is stored
        except RuntimeError as error:
            connection.close()
            raise WorkerAwayError("there is no thread to hear its capture process with.") from error
        self._connection = connection
        return connection

    def _disconnect(self, connection: socket.socket, why: str) -> None:
        """Give a connection up; its reader sees that and closes it."""
        if self._connection is not connection:
            return
        self._connection = None
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        for wish in [wish for wish in self._wishes.values() if wish.number]:
            self._fail(wish, WorkerAwayError(why))

    def _fail(self, wish: _Wish, error: CaptureFailedError) -> None:
        self._answered(wish, wish.sent_ns, error)

    def _answered(self, wish: _Wish, before_ns: int, result: Shot | CaptureFailedError) -> None:
        """Serve who asked by then, and begin anew for the others."""
        wish.number = 0
        for future in wish.take_waiters(before_ns):
            if isinstance(result, Shot):
                future.set_result(result)
            else:
                future.set_exception(type(result)(str(result), result.failure))  # one for each: a traceback grows
        wish.forget_absent(time.monotonic_ns())
        if wish.waiters:
            self._send(wish)
        else:
            self._drop(wish)

    def _read(self, connection: socket.socket) -> None:
        """Hand answers to those who wait for them, until the connection ends."""
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        with connection:
            while True:
                arrived = poll.poll(_TURN_MS)
                with self._lock:
                    if self._connection is not connection:
                        return
                    if arrived and not self._take(connection):
                        self._disconnect(connection, "its capture process has ended.")
                        return
                    self._tidy()

    def _take(self, connection: socket.socket) -> bool:
        """Take one answer; False if no more will come."""
        try:
            packet, fds, _, _ = socket.recv_fds(connection, PACKET_BYTES + 1, _MOST_FDS)
        except BlockingIOError:
            return True
        except OSError:
            return False
        with _closing(fds):
            try:
                answer = CaptureAnswer.from_packet(packet)
            except ValueError:  # the end, or what no worker of ours says
                return False
            if not _is_plausible(answer):
                return False
            wish = next((wish for wish in self._wishes.values() if wish.number == answer.number), None)
            if wish is not None:
                self._answered(wish, max(wish.sent_ns, answer.begun_ns or 0), self._result(answer, fds))
        return True

    def _result(self, answer: CaptureAnswer, fds: list[int]) -> Shot | CaptureFailedError:
        if answer.failure is not None:
            return CaptureFailedError(answer.text[:_TEXT_CHARACTERS] or "it delivered no frame.", answer.failure)
        if answer.frame_number is None or answer.captured_ns is None:
            return CaptureFailedError("its capture process gave an answer that means nothing.")
        if not fds:
            return Shot(answer.frame_number, answer.captured_ns)
        try:
            picture = self._picture(fds[0])
        except OSError as error:
            return CaptureFailedError(f"its picture cannot be read: {error.strerror}.")
        except CaptureFailedError as error:
            return error
        shot = Shot(answer.frame_number, answer.captured_ns, picture)
        self._pictures.add(shot)
        return shot

    def _picture(self, fd: int) -> bytes:
        size_bytes = os.fstat(fd).st_size
        if size_bytes > MOST_PICTURE_BYTES:
            raise CaptureFailedError(f"it made a picture of {size_bytes >> 20} MiB, which no answer may hold.")
        held_bytes = sum(len(shot.picture or b"") for shot in self._pictures)
        if held_bytes + size_bytes > _HELD_BYTES:
            raise CaptureFailedError("too many of its pictures wait for slow clients: ask again.", "busy")
        return os.pread(fd, size_bytes, 0)

    def _tidy(self) -> None:
        """A worker drops a request whose time is over without a word; somebody may have come to wait since then."""
        now_ns = time.monotonic_ns()
        for wish in [wish for wish in self._wishes.values() if wish.number]:
            if wish.until_ns < now_ns:
                self._fail(wish, CaptureFailedError("it delivered no frame in time."))
            else:
                self._forget_unless_awaited(wish, now_ns)


def _is_plausible(answer: CaptureAnswer) -> bool:
    """Whether its numbers can be those of a frame: nothing is computed with any others."""
    now_ns = time.monotonic_ns()
    return (
        0 <= (answer.frame_number or 0) <= _MOST
        and 0 <= (answer.captured_ns or 0) <= now_ns + _MAX_FUTURE_NS
        and 0 <= (answer.begun_ns or 0) <= now_ns
    )


@contextlib.contextmanager
def _closing(fds: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)
