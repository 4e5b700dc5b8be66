"""What every call passes before its handler: only allowed peers, few at a time, and none that has waited too long.

Every call has a thread from the moment it arrives, because gRPC waits in it for the request: clients who open calls and
send nothing must not take the threads of the others, and who is not allowed is refused before anything of a request is
read. To gRPC all methods therefore take a stream of requests, which looks the same on the wire; we read one of it.

How many calls are *worked on* is limited here. The time in the queue counts: a call ends in time even if all of it was
spent there, and one whose client has given up by then is not begun.

A call that waits for a camera is not worked on: it gives its place back for so long. Half of the threads may wait.
"""

import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from servicer.peers import AllowedPeers
from servicer.places import Places
from servicer.silent_calls import SilentCalls

CALL_LIMIT_S = 2.0  # a call ends by then even if its client would wait longer; waiting for a camera may add to it
_AT_ONCE = 8
_MOST_WAITING = 256
_LOCAL = "/grpc.health.v1.Health/"  # methods for this computer alone, which cost nothing and need no place


class NoPlaceError(Exception):
    """Too many calls are here already; the message is for the client."""


class Call:
    """The call that a thread answers: when it came (`time.monotonic`), and its place among those that are worked on.

    `given_up_s` is when its client waits no longer.
    """

    def __init__(self, places: Places, waiting: threading.Semaphore) -> None:
        self.arrived_s = time.monotonic()
        self.given_up_s = math.inf
        self._limit_s = CALL_LIMIT_S
        self._places = places
        self._waiting = waiting
        self._has_place = False

    def ends_s(self, added_s: float = 0.0) -> float:
        """When the call has to end (`time.monotonic`)."""
        return min(self.arrived_s + self._limit_s + added_s, self.given_up_s)

    def take_place(self, until_s: float) -> None:
        """Wait for a place. Raises NoPlaceError."""
        if not self._places.take(until_s):
            raise NoPlaceError("too many calls at once: ask again later, or for less")
        self._has_place = True

    def give_place_back(self) -> None:
        """Let another call be worked on."""
        if self._has_place:
            self._has_place = False
            self._places.give_back()

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
        self._places = Places(_AT_ONCE)
        self._waiting = threading.Semaphore(_MOST_WAITING)
        self._silent = SilentCalls()

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Wrap the method's handler (all of ours are unary). gRPC calls this as the call arrives, before it queues."""
        self._silent.end_overdue()
        handler = continuation(handler_call_details)  # None if there is no such method
        call = Call(self._places, self._waiting)
        is_local = handler_call_details.method.startswith(_LOCAL)

        def admitted(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:
            if not self._peers.admit(context.peer(), local_only=is_local):
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "this address may not see the images of this payload")
            if handler is None:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
            call.given_up_s = _given_up_s(context)
            message = self._message(messages, context)
            if is_local:
                return handler.unary_unary(_parsed(message, handler, context), context)
            return self._in_turn(call, message, handler, context)

        return grpc.stream_unary_rpc_method_handler(admitted, None, getattr(handler, "response_serializer", None))

    def _message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Wait for the request. What gRPC raises when the call is cancelled meanwhile, it expects back."""
        with self._silent.awaiting(context):
            message = next(messages, None)
        if message is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no request")
        return message

    def _in_turn(self, call: Call, message: bytes, handler: Any, context: grpc.ServicerContext) -> Any:
        _call.set(call)
        try:
            call.take_place(call.ends_s())
            if not context.is_active():
                context.abort(grpc.StatusCode.CANCELLED, "nobody waits for the answer any more")
            return handler.unary_unary(_parsed(message, handler, context), context)
        except NoPlaceError as error:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        finally:
            call.give_place_back()


def _parsed(message: bytes, handler: Any, context: grpc.ServicerContext) -> Any:
    """Make the request of its bytes. Left to gRPC, what is none would be a traceback in the log."""
    try:
        return handler.request_deserializer(message)
    except DecodeError:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "these bytes are no request of this method")


def _given_up_s(context: grpc.ServicerContext) -> float:
    """When the client waits no longer (`time.monotonic`).

    Asked once, as the call comes: gRPC's answer follows the wall clock, which may step while the call is worked on.
    """
    remaining_s = context.time_remaining()
    return math.inf if remaining_s is None else time.monotonic() + remaining_s
