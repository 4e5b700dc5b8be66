"""Robot time from CLOCK_MONOTONIC: one offset, fixed by each time sync.

Capture times are monotonic, so that a step of this computer's wall clock cannot move them. Each time sync gives the
robot's wall clock relative to ours, and thereby offset = skew + (wall - monotonic).
"""

import threading
import time

_JUMP_NS = 20_000_000  # our wall clock against the monotonic one: slewing stays far below this between two syncs
_OTHER_CLOCK_NS = 1_000_000_000  # no correction of one clock is as large as this
_REMEMBERED_FRAMES = 16
_READINGS = 3
_LOST_FAILURES = 3
_LOST_AFTER_NS = 10_000_000_000
_LARGEST_NS = 1 << 63  # 292 years


class RobotClock:
    """The offset, shared by the robot link (writes) and the request threads (read).

    `offset_ns` is robot wall clock minus CLOCK_MONOTONIC, None before the first time sync. One from the status board
    is taken over only if it leads to times that exist. `sync_is_lost` after syncs have failed for ten seconds, three at
    least, until one succeeds; the offset stays what it was.
    """

    def __init__(self, offset_ns: int | None) -> None:
        self.offset_ns = offset_ns if offset_ns is not None and abs(offset_ns) < _LARGEST_NS else None
        self.sync_is_lost = False
        self._synced_wall_ns = wall_minus_monotonic_ns()
        self._failed_syncs, self._failing_since_ns = 0, 0

    def set_skew(self, skew_ns: int, synced_wall_ns: int) -> None:
        """Take over a time sync's result: robot wall clock minus this computer's.

        `synced_wall_ns` is what `wall_minus_monotonic_ns` said before the sync began. If the wall clock was stepped
        meanwhile, half of the step is in the result: see `wall_clock_stepped_since`.
        """
        self._synced_wall_ns = synced_wall_ns
        self.offset_ns = skew_ns + synced_wall_ns
        self.sync_is_lost, self._failed_syncs = False, 0

    def note_failed_sync(self) -> None:
        """Take note that the robot answers, and does not say its time."""
        now_ns = time.monotonic_ns()
        if self._failed_syncs == 0:
            self._failing_since_ns = now_ns
        self._failed_syncs += 1
        if self._failed_syncs >= _LOST_FAILURES and now_ns - self._failing_since_ns >= _LOST_AFTER_NS:
            self.sync_is_lost = True

    def forget_failed_syncs(self) -> None:
        """The robot itself is lost: what failed before does not count together with what fails when it is back."""
        self._failed_syncs = 0

    def wall_clock_jumped(self) -> bool:
        """Whether this computer's wall clock was stepped since the last sync began: time for a new one."""
        return wall_clock_stepped_since(self._synced_wall_ns)


class AcquisitionTimes:
    """The robot times of one camera's frames: computed once per frame, and never below an earlier frame's.

    Computed anew per response, the same frame's time would change with every time sync, and go back. Only when the
    robot has got another clock (a reboot) is a time far below the last one the truth.
    """

    def __init__(self, clock: RobotClock) -> None:
        self._clock = clock
        self._offset_ns: int | None = None
        self._known: dict[int, int] = {}  # frame number → robot ns
        self._lock = threading.Lock()

    def of(self, frame_number: int, captured_ns: int) -> int | None:
        """The acquisition time in robot ns; None before the first time sync."""
        offset_ns = self._clock.offset_ns
        if offset_ns is None:
            return None
        with self._lock:
            self._forget_another_clock(offset_ns)
            if frame_number not in self._known:
                self._known[frame_number] = self._between_neighbours(frame_number, captured_ns + offset_ns)
                if len(self._known) > _REMEMBERED_FRAMES:
                    del self._known[min(self._known)]
            return self._known.get(frame_number, captured_ns + offset_ns)

    def _forget_another_clock(self, offset_ns: int) -> None:
        if self._offset_ns is not None and offset_ns < self._offset_ns - _OTHER_CLOCK_NS:
            self._known.clear()
        self._offset_ns = offset_ns

    def _between_neighbours(self, frame_number: int, robot_ns: int) -> int:
        earlier = [known_ns for number, known_ns in self._known.items() if number < frame_number]
        later = [known_ns for number, known_ns in self._known.items() if number > frame_number]
        return max([min([robot_ns, *later]), *earlier])


def wall_clock_stepped_since(wall_ns: int) -> bool:
    """Whether this computer's wall clock was stepped since `wall_minus_monotonic_ns` said this."""
    return abs(wall_minus_monotonic_ns() - wall_ns) > _JUMP_NS


def wall_minus_monotonic_ns() -> int:
    """This computer's wall clock minus CLOCK_MONOTONIC, from the reading that was least disturbed."""
    return min(_reading() for _ in range(_READINGS))[1]


def _reading() -> tuple[int, int]:
    """How long it took, and what it said."""
    before_ns, wall_ns, after_ns = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2
