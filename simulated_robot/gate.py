"""The door in front of every call: it counts, misbehaves on command, checks tokens and stamps headers."""

import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.header_pb2 import CommonError

from simulated_robot.clock import timestamp
from simulated_robot.misbehaviour import Refusal, refuse
from simulated_robot.state import RobotState

_Behaviour = Callable[[Any, grpc.ServicerContext], Any]


class Gate(grpc.ServerInterceptor):
    """Wraps the handlers of the robot's `own` services and of the proxy.

    Those of the types in `waiting` call other services themselves: they are not locked while they answer, and take the
    state's lock on their own.
    """

    def __init__(self, state: RobotState, own: Sequence[ServiceEntry], waiting: frozenset[str] = frozenset()) -> None:
        self._state = state
        self._own = {entry.type: entry for entry in own}
        self._waiting = waiting

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of the call with everything of this module around it."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler  # unknown, or a stream: none of the robot's services answers one
        behaviour = functools.partial(self._pass, handler_call_details.method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(behaviour, handler.request_deserializer, handler.response_serializer)

    def _pass(self, method: str, behaviour: _Behaviour, request: Any, context: grpc.ServicerContext) -> Any:
        service_type, rpc = method.removeprefix("/").split("/")
        entry = self._own.get(service_type)
        received_ns = self._state.clock.now_ns()
        self._count(f"{service_type.rpartition('.')[2]}/{rpc}")
        self._misbehave(entry, context)
        if entry is None:
            return behaviour(request, context)
        with self._state.lock:
            if entry.user_token_required and self._state.caller(context) is None:
                refuse(context, Refusal.UNAUTHENTICATED)
        with contextlib.nullcontext() if service_type in self._waiting else self._state.lock:
            response = behaviour(request, context)
        self._stamp(response, request, received_ns)
        return response

    def _count(self, call: str) -> None:
        with self._state.lock:
            self._state.calls[call] += 1

    def _misbehave(self, entry: ServiceEntry | None, context: grpc.ServicerContext) -> None:
        with self._state.lock:
            misbehaviour = self._state.misbehaviour
        if misbehaviour.delay_s:
            _await_end(context, misbehaviour.delay_s)
        if misbehaviour.silent or (entry is not None and entry.name in misbehaviour.services_silent):
            _await_end(context, None)
            context.abort(grpc.StatusCode.CANCELLED, "the caller gave up")
        if misbehaviour.refusal:
            refuse(context, misbehaviour.refusal)
        if entry is not None and entry.name in misbehaviour.services_down:
            refuse(context, Refusal.SERVICE_UNAVAILABLE)

    def _stamp(self, response: Any, request: Any, received_ns: int) -> None:
        header = response.header
        header.request_header.CopyFrom(request.header)
        header.error.code = header.error.code or CommonError.CODE_OK
        header.request_received_timestamp.CopyFrom(timestamp(received_ns))
        header.response_timestamp.CopyFrom(timestamp(self._state.clock.now_ns()))


def _await_end(context: grpc.ServicerContext, timeout_s: float | None) -> None:
    """Wait until the caller has given up, its deadline has passed or the server stops, at most `timeout_s`."""
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait(timeout_s)
