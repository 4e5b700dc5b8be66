"""The robot's own clock: a wall clock that is not this host's."""

import secrets
import time

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

NS_PER_S = 1_000_000_000


class RobotClock:
    """Nanoseconds since the epoch as the robot sees them, `skew_s` ahead of this host when it was set.

    It runs on CLOCK_MONOTONIC, so that a step of this host's wall clock does not move it. `generation` changes
    whenever the clock is set: what clients have measured before says nothing about it any more.
    """

    def __init__(self, skew_s: float) -> None:
        self.set_skew(skew_s)

    def set_skew(self, skew_s: float) -> None:
        """Step the clock, as a reboot or an operator does."""
        self.skew_s = skew_s
        self.generation = secrets.token_hex(4)
        self._offset_ns = time.time_ns() - time.monotonic_ns() + round(skew_s * NS_PER_S)

    def now_ns(self) -> int:
        """Return the robot's time, nanoseconds since the epoch."""
        return time.monotonic_ns() + self._offset_ns


def timestamp(time_ns: int) -> Timestamp:
    """Return nanoseconds since the epoch as a protobuf timestamp."""
    message = Timestamp()
    message.FromNanoseconds(time_ns)
    return message


def duration(interval_ns: int) -> Duration:
    """Return nanoseconds as a protobuf duration."""
    message = Duration()
    message.FromNanoseconds(interval_ns)
    return message
