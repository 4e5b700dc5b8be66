# ruff: noqa: N802 - the protocol names the methods
"""The difference between a client's clock and the robot's, estimated from round trips as NTP does."""

import collections
import dataclasses
import secrets
from typing import Any

import grpc
from bosdyn.api.directory_pb2 import ServiceEntry
from bosdyn.api.time_sync_pb2 import TimeSyncEstimate, TimeSyncRoundTrip, TimeSyncState, TimeSyncUpdateResponse
from bosdyn.api.time_sync_service_pb2_grpc import TimeSyncServiceServicer, add_TimeSyncServiceServicer_to_server

from simulated_robot.clock import duration, timestamp
from simulated_robot.state import RobotState

SAMPLES_KEPT = 16


@dataclasses.dataclass(frozen=True)
class _Sample:
    """One round trip: how long it took without the robot's share, and how far ahead the robot's clock was."""

    round_trip_ns: int
    skew_ns: int
    measured_ns: int

    def estimate(self) -> TimeSyncEstimate:
        return TimeSyncEstimate(round_trip_time=duration(self.round_trip_ns), clock_skew=duration(self.skew_ns))


class TimeSyncService(TimeSyncServiceServicer):  # type: ignore[misc]  # the SDK has no types
    """A client's first call gets an identifier, the second, which brings the first round trip, an estimate.

    The best estimate is the one of the quickest of the last round trips. When the robot's clock is set, all
    identifiers lose their meaning and clients start over.
    """

    entry = ServiceEntry(
        name="time-sync", type="bosdyn.api.TimeSyncService", authority="api.spot.robot", user_token_required=True
    )
    add_to_server = staticmethod(add_TimeSyncServiceServicer_to_server)

    def __init__(self, state: RobotState) -> None:
        self._state = state
        self._generation = ""
        self._samples: dict[str, collections.deque[_Sample]] = {}

    def TimeSyncUpdate(self, request: Any, _context: grpc.ServicerContext) -> TimeSyncUpdateResponse:
        """Take the previous round trip in and answer with the best estimate."""
        self._forget_samples_of_another_clock()
        identifier = request.clock_identifier
        if identifier not in self._samples:
            identifier = secrets.token_hex(8)
            self._samples[identifier] = collections.deque(maxlen=SAMPLES_KEPT)
        elif request.HasField("previous_round_trip"):
            self._samples[identifier].append(self._sample(request.previous_round_trip))
        return self._answer(identifier)

    def _answer(self, identifier: str) -> TimeSyncUpdateResponse:
        response = TimeSyncUpdateResponse(clock_identifier=identifier)
        samples = self._samples[identifier]
        if not samples:
            response.state.status = TimeSyncState.STATUS_MORE_SAMPLES_NEEDED
            return response
        best = min(samples, key=lambda sample: sample.round_trip_ns)
        response.state.status = TimeSyncState.STATUS_OK
        response.state.best_estimate.CopyFrom(best.estimate())
        response.state.measurement_time.CopyFrom(timestamp(best.measured_ns))
        response.previous_estimate.CopyFrom(samples[-1].estimate())
        return response

    def _sample(self, trip: TimeSyncRoundTrip) -> _Sample:
        client_tx_ns, client_rx_ns = trip.client_tx.ToNanoseconds(), trip.client_rx.ToNanoseconds()
        server_rx_ns, server_tx_ns = trip.server_rx.ToNanoseconds(), trip.server_tx.ToNanoseconds()
        return _Sample(
            round_trip_ns=(client_rx_ns - client_tx_ns) - (server_tx_ns - server_rx_ns),
            skew_ns=((server_rx_ns - client_tx_ns) + (server_tx_ns - client_rx_ns)) // 2,
            measured_ns=self._state.clock.now_ns(),
        )

    def _forget_samples_of_another_clock(self) -> None:
        if self._generation != self._state.clock.generation:
            self._generation = self._state.clock.generation
            self._samples.clear()
