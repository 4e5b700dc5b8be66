"""The robot's proxy: calls to a registered service are passed on, by authority and service type, as raw bytes.

The robot speaks TLS to the caller and plain text to the payload. Tokens are checked here and not passed on.
Unary calls only: no service that payloads provide has another kind.
"""

import functools
import threading
from typing import Any, NoReturn

import grpc

from simulated_robot.misbehaviour import Refusal, refuse
from simulated_robot.registry import Registration
from simulated_robot.state import RobotState

MAX_MESSAGE_BYTES = 100 * 1024**2

# A payload's service that was restarted must be reachable again at once: gRPC would wait up to two minutes.
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)
_NOT_PASSED_ON = frozenset({"authorization", "user-agent", "host", "te", "content-type"})
_NO_DEADLINE_S = 365 * 24 * 3600.0


class Proxy(grpc.GenericRpcHandler):
    """Handles every call that is not for one of the robot's own services. `close` ends its connections."""

    def __init__(self, state: RobotState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return a handler that passes this method on."""
        return grpc.unary_unary_rpc_method_handler(functools.partial(self._forward, handler_call_details.method))

    def close(self) -> None:
        """Close the connections to the payloads; later calls open new ones."""
        with self._lock:
            self._close_all_but(frozenset())

    def _forward(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        forward: Any = self.channel_to(self._route(method, context)).unary_unary(method)
        call = forward.future(request, timeout=_timeout_s(context), metadata=_metadata(context))
        if not context.add_callback(call.cancel):
            call.cancel()
        try:
            response: bytes = call.result()
        except grpc.FutureCancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "the caller gave up")
        except grpc.RpcError:
            _pass_error_on(call, context)
        context.set_trailing_metadata(call.trailing_metadata())
        return response

    def _route(self, method: str, context: grpc.ServicerContext) -> Registration:
        service_type = method.removeprefix("/").split("/")[0]
        with self._state.lock:
            registration = self._state.registry.route(authority_of(context), service_type)
            caller = self._state.caller(context)
        if registration is None:
            refuse(context, Refusal.SERVICE_UNAVAILABLE)
        if registration.entry.user_token_required and caller is None:
            refuse(context, Refusal.UNAUTHENTICATED)
        return registration

    def channel_to(self, registration: Registration) -> grpc.Channel:
        """Return the connection to a registered service, for the robot's own calls too."""
        target = _target(registration)
        with self._lock:
            if target not in self._channels:
                with self._state.lock:
                    registered = frozenset(_target(other) for other in self._state.registry)
                self._close_all_but(registered)
                self._channels[target] = grpc.insecure_channel(target, _CHANNEL_OPTIONS)
            return self._channels[target]

    def _close_all_but(self, targets: frozenset[str]) -> None:
        for target in self._channels.keys() - targets:
            self._channels.pop(target).close()


def authority_of(context: Any) -> str:
    """Return the `:authority` that the caller dialled.

    gRPC's Python server shows it in a private attribute only: this function is the one place that knows, and its
    test the one that breaks when it moves.
    """
    host: bytes = context._rpc_event.call_details.host
    return host.decode()


def _target(registration: Registration) -> str:
    return f"{registration.endpoint.host_ip}:{registration.endpoint.port}"


def _timeout_s(context: grpc.ServicerContext) -> float | None:
    remaining_s = context.time_remaining()
    return remaining_s if remaining_s is not None and remaining_s < _NO_DEADLINE_S else None


def _metadata(context: grpc.ServicerContext) -> list[tuple[str, str | bytes]]:
    return [
        (key, value)
        for key, value in context.invocation_metadata()
        if key not in _NOT_PASSED_ON and not key.startswith(("grpc-", ":"))
    ]


def _pass_error_on(call: Any, context: grpc.ServicerContext) -> NoReturn:
    """Pass on what the service said; a service that cannot be reached is the proxy's own error.

    gRPC does not tell a broken connection from a service which itself answers UNAVAILABLE: both are the proxy's.
    """
    if call.code() is grpc.StatusCode.UNAVAILABLE:
        refuse(context, Refusal.SERVICE_UNAVAILABLE)
    context.set_trailing_metadata(call.trailing_metadata())
    context.abort(call.code(), call.details())
