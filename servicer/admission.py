"""What every call passes before its handler: only allowed peers, few at a time, and none that has waited too long.

Every call has a thread from the moment it arrives, because gRPC waits in it for the request: a few clients who open
calls and send nothing must not take the threads of the others. How many calls are *worked on* is limited here. The time
in the queue counts: a call ends in time even if all of it was spent there.

A call that waits for a camera is not worked on: it gives its place back for so long. Half of the threads may wait.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from servicer.peers import AllowedPeers

CALL_LIMIT_S = 2.0  # a call ends by then even if its client would wait longer; waiting for a camera may add to it
_AT_ONCE = 8
_MOST_WAITING = 256


class NoPlaceError(Exception):
    """Too many calls are here already; the message is for the client."""


class Call:
    """The call that a thread answers: when it came (`time.monotonic`), and its place among those that are worked on."""

    def __init__(self, places: threading.Semaphore, waiting: threading.Semaphore) -> None:
        self.arrived_s = time.monotonic()
        self._limit_s = CALL_LIMIT_S
        self._places = places
        self._waiting = waiting
        self._has_place = False

    def ends_s(self, added_s: float = 0.0) -> float:
        """When the call has to end (`time.monotonic`)."""
        return self.arrived_s + self._limit_s + added_s

    def take_place(self, until_s: float) -> None:
        """Wait for a place. Raises NoPlaceError."""
        if not self._places.acquire(timeout=max(0.0, until_s - time.monotonic())):
            raise NoPlaceError("too many calls at once: ask again later, or for less")
        self._has_place = True

    def give_place_back(self) -> None:
        """Let another call be worked on."""
        if self._has_place:
            self._has_place = False
            self._places.release()

    @contextlib.contextmanager
    def working(self, until_s: float) -> Iterator[None]:
        """Have a place inside, for what a call that waits has to do meanwhile. Raises NoPlaceError."""
        self.take_place(until_s)
        try:
            yield
        finally:
            self.give_place_back()

    @contextlib.contextmanager
    def waiting(self, until_s: float) -> Iterator[None]:
        """Have no place inside, and one again afterwards. Raises NoPlaceError."""
        if not self._waiting.acquire(blocking=False):
            raise NoPlaceError("too many calls wait for cameras already: ask again later")
        self.give_place_back()
        try:
            yield
        finally:
            self._waiting.release()
        self.take_place(until_s)


_call: contextvars.ContextVar[Call] = contextvars.ContextVar("call")


def current() -> Call:
    """The call that this thread answers."""
    return _call.get()


class Admission(grpc.ServerInterceptor):
    """Refuses peers that are not allowed with PERMISSION_DENIED, and late calls with RESOURCE_EXHAUSTED."""

    def __init__(self, peers: AllowedPeers) -> None:
        self._peers = peers
        self._places = threading.Semaphore(_AT_ONCE)
        self._waiting = threading.Semaphore(_MOST_WAITING)

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Wrap the method's handler (all of ours are unary). gRPC calls this as the call arrives, before it queues."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        call = Call(self._places, self._waiting)

        def admitted(request: Any, context: grpc.ServicerContext) -> Any:
            if not self._peers.admit(context.peer()):
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "this address may not see the images of this payload")
            _call.set(call)
            try:
                call.take_place(call.ends_s())
                if not context.is_active():
                    context.abort(grpc.StatusCode.CANCELLED, "nobody waits for the answer any more")
                return handler.unary_unary(request, context)
            except NoPlaceError as error:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            finally:
                call.give_place_back()

        return grpc.unary_unary_rpc_method_handler(admitted, handler.request_deserializer, handler.response_serializer)
