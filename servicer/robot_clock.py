"""Robot time from CLOCK_MONOTONIC: one offset, fixed by each time sync.

Capture times are monotonic, so that a step of this computer's wall clock cannot move them. Each time sync gives the
robot's wall clock relative to ours, and thereby offset = skew + (wall - monotonic).
"""

import threading
import time
from collections import OrderedDict

_JUMP_NS = 20_000_000  # our wall clock against the monotonic one: slewing stays far below this between two syncs
_OTHER_CLOCK_NS = 1_000_000_000  # no correction of one clock is as large as this
_REMEMBERED_FRAMES = 16


class RobotClock:
    """The offset, shared by the robot link (writes) and the request threads (read).

    `offset_ns` is robot wall clock minus CLOCK_MONOTONIC, None before the first time sync.
    """

    def __init__(self, offset_ns: int | None) -> None:
        self.offset_ns = offset_ns
        self._wall_minus_monotonic_ns = _wall_minus_monotonic_ns()

    def set_skew(self, skew_ns: int) -> None:
        """Take over a time sync's result: robot wall clock minus this computer's."""
        self._wall_minus_monotonic_ns = _wall_minus_monotonic_ns()
        self.offset_ns = skew_ns + self._wall_minus_monotonic_ns

    def wall_clock_jumped(self) -> bool:
        """Whether this computer's wall clock was stepped since the last sync: time for a new one."""
        return abs(_wall_minus_monotonic_ns() - self._wall_minus_monotonic_ns) > _JUMP_NS


class AcquisitionTimes:
    """The robot times of one camera's frames: computed once per frame, and never below an earlier frame's.

    Computed anew per response, the same frame's time would change with every time sync, and go back. Only when the
    robot has got another clock (a reboot) is a time far below the last one the truth.
    """

    def __init__(self, clock: RobotClock) -> None:
        self._clock = clock
        self._known: OrderedDict[int, int] = OrderedDict()
        self._newest = (0, 0)  # frame number, robot ns
        self._lock = threading.Lock()

    def of(self, frame_number: int, captured_ns: int) -> int | None:
        """The acquisition time in robot ns; None before the first time sync."""
        offset_ns = self._clock.offset_ns
        if offset_ns is None:
            return None
        with self._lock:
            if frame_number not in self._known:
                self._known[frame_number] = self._bounded(frame_number, captured_ns + offset_ns)
                if len(self._known) > _REMEMBERED_FRAMES:
                    self._known.popitem(last=False)
            return self._known[frame_number]

    def _bounded(self, frame_number: int, robot_ns: int) -> int:
        newest_number, newest_ns = self._newest
        if frame_number < newest_number:
            return min(robot_ns, newest_ns)
        if robot_ns < newest_ns - _OTHER_CLOCK_NS:
            newest_ns = robot_ns
        self._newest = frame_number, max(robot_ns, newest_ns)
        return self._newest[1]


def _wall_minus_monotonic_ns() -> int:
    return time.time_ns() - time.monotonic_ns()
