"""What a simulated robot can do wrong to its callers, and the errors by which the robot's proxy says so."""

import dataclasses
import enum
from typing import NoReturn

import grpc

_HTTP_STATUS = "Received http2 header with status: "


class Refusal(enum.Enum):
    """An error that the robot's proxy answers with: gRPC status and details, as the SDK tells them apart."""

    UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, _HTTP_STATUS + "401")
    TOO_MANY_REQUESTS = (grpc.StatusCode.UNAVAILABLE, _HTTP_STATUS + "429")
    SERVICE_UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, _HTTP_STATUS + "502")
    TIMED_OUT = (grpc.StatusCode.CANCELLED, _HTTP_STATUS + "504")
    EXHAUSTED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at once")


@dataclasses.dataclass(frozen=True)
class Misbehaviour:
    """What goes wrong with every call from now on; the default is a robot in order.

    `silent` accepts calls and never answers them. `refusal` answers each with that error. `delay_s` is waited before
    each answer. `services_down` are directory names of the robot's own services whose process is gone ("fault"),
    `services_silent` of those whose process hangs.
    """

    silent: bool = False
    refusal: Refusal | None = None
    delay_s: float = 0.0
    services_down: frozenset[str] = frozenset()
    services_silent: frozenset[str] = frozenset()


def refuse(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    """End the call with `refusal`."""
    code, details = refusal.value
    context.abort(code, details)
