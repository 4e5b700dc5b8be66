"""What every call passes before its handler: only allowed peers, few at a time, and none that has waited too long.

Every call has a thread from the moment it arrives, because gRPC waits in it for the request: a few clients who open
calls and send nothing must not take the threads of the others. How many calls are *worked on* is limited here. The time
in the queue counts: a call ends in time even if all of it was spent there.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from servicer.peers import AllowedPeers

CALL_LIMIT_S = 2.0  # a call ends by then even if its client would wait longer
_AT_ONCE = 8

_until_s: contextvars.ContextVar[float] = contextvars.ContextVar("until_s")


def until_s() -> float:
    """When the call that this thread answers has to end (`time.monotonic`); outside of one, a full limit from now."""
    return _until_s.get(time.monotonic() + CALL_LIMIT_S)


class Admission(grpc.ServerInterceptor):
    """Refuses peers that are not allowed with PERMISSION_DENIED, and late calls with RESOURCE_EXHAUSTED."""

    def __init__(self, peers: AllowedPeers) -> None:
        self._peers = peers
        self._places = threading.Semaphore(_AT_ONCE)

    def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Wrap the method's handler (all of ours are unary). gRPC calls this as the call arrives, before it queues."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        ends_s = time.monotonic() + CALL_LIMIT_S

        def admitted(request: Any, context: grpc.ServicerContext) -> Any:
            if not self._peers.admit(context.peer()):
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "this address may not see the images of this payload")
            if not self._places.acquire(timeout=max(0.0, ends_s - time.monotonic())):
                context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at once: ask again later, or for less"
                )
            try:
                if not context.is_active():
                    context.abort(grpc.StatusCode.CANCELLED, "nobody waits for the answer any more")
                _until_s.set(ends_s)
                return handler.unary_unary(request, context)
            finally:
                self._places.release()

        return grpc.unary_unary_rpc_method_handler(admitted, handler.request_deserializer, handler.response_serializer)
