"""Takes frames from a device that queues them, and keeps old ones from being taken for new ones.

A driver queues a few frames (V4L2: usually four) while nobody reads. After a reader was stopped for a second, these
come out first, a second old. So after a gap, frames are thrown away until a read had to wait for one: that one is
new. The time of capture is the driver's own where it can be believed, else the time at which the frame was taken out.

Something else is asked by `renew`: no frame whose exposure began before now. The frame that the device is just about
to deliver was begun before, as old as the queue's or not; so new frames are thrown away too.
"""

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_GAP_PERIODS = 2.0  # not read for so long: there may be a queue
_OLD_PERIODS = 3.0  # frames so old: there is a queue
_FRESH_PERIODS = 1.5  # not older than that: new, even if the read did not have to wait
_WAITED_PERIODS = 0.25  # a read that took so long had to wait
_MAX_THROWN = 32
_MAX_AHEAD_NS = 1_000_000_000  # a driver's time in the future is "now" up to here, and nonsense beyond
_MAX_AGE_NS = 10_000_000_000


class Grabber(Protocol):
    """The part of a capture device that is needed to take out a frame without decoding it."""

    def grab(self) -> bool:
        """Wait for a frame and take it out of the queue; False if none came."""
        ...

    def driver_time_ns(self) -> int | None:
        """Return the driver's time of the grabbed frame, if the driver gives any."""
        ...


@dataclass(frozen=True)
class Grabbed:
    """A frame was taken out and waits to be decoded.

    It tells when it was captured, and how many were thrown away before because they had become old: those that
    `renew` made old are nobody's loss.
    """

    captured_ns: int
    thrown: int


class Missed(enum.Enum):
    """Why a grab brought no frame."""

    FAILED = "the device failed, or took longer than its limit"
    NOT_YET = "the frames so far were begun too early; there was no time for more"


class Drain:
    """Grabs fresh frames. `period_ns` is the device's frame period, as well as it is known.

    A read may take `limit_s`; waiting for a frame that was begun late enough returns after `slice_s`, to be continued.
    """

    def __init__(
        self,
        device: Grabber,
        period_ns: int,
        limit_s: float,
        slice_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.period_ns = period_ns
        self._device = device
        self._limit_ns = limit_s * 1e9
        self._slice_ns = slice_s * 1e9
        self._clock_ns = clock_ns
        self._last_grab_ns: int | None = None
        self._last_age_ns = 0
        self._last_captured_ns = 0
        self._ahead_ns = 0
        self._renewed_ns: int | None = None
        self._new_to_throw = 0
        self._old_to_throw = 0

    def renew(self, new_to_throw: int) -> None:
        """From now on deliver only frames that the device finishes after now, and of these not the first few.

        One is the least for a frame that was not even begun before now.
        """
        self._renewed_ns, self._new_to_throw, self._old_to_throw = self._clock_ns(), new_to_throw, _MAX_THROWN

    def grab(self) -> Grabbed | Missed:
        """Wait for a fresh frame.

        After a time-out some drivers deliver what was left in a decoder: whatever such a read returned, it failed.
        """
        thrown, begun_ns = 0, self._clock_ns()
        queued = self._may_be_queued()
        while True:
            started_ns = self._clock_ns()
            delivered = self._device.grab()
            now_ns = self._clock_ns()
            self._last_grab_ns = now_ns
            if not delivered or now_ns - started_ns > self._limit_ns:
                return Missed.FAILED
            driver_ns = self._device.driver_time_ns()
            captured_ns = believable_time_ns(driver_ns, now_ns)
            waited = now_ns - started_ns >= _WAITED_PERIODS * self.period_ns
            finished_ns = None if captured_ns is None or driver_ns is None else self._true_time_ns(driver_ns, now_ns)
            if not self._is_begun_in_time(finished_ns, waited=waited):
                if now_ns - begun_ns > self._slice_ns:
                    return Missed.NOT_YET
            elif not queued or waited or self._is_fresh(captured_ns, now_ns) or thrown >= _MAX_THROWN:
                return self._take(captured_ns, now_ns, thrown)
            else:
                thrown += 1

    def _true_time_ns(self, driver_ns: int, now_ns: int) -> int:
        """Correct a driver's time by as much as it was seen ahead of the clock: vivid's is, by a period."""
        self._ahead_ns = max(self._ahead_ns, driver_ns - now_ns)
        return driver_ns - self._ahead_ns

    def _is_begun_in_time(self, finished_ns: int | None, *, waited: bool) -> bool:
        """Whether all that `renew` asked for was thrown away before this frame, as this counts it.

        The driver's time is the better witness of an old frame: a read also takes long on a busy computer.
        """
        if self._renewed_ns is None:
            return True
        is_new = waited if finished_ns is None else finished_ns > self._renewed_ns
        if not is_new and self._old_to_throw > 0:
            self._old_to_throw -= 1
            return False
        if self._new_to_throw > 0:
            self._new_to_throw -= 1
            return False
        self._renewed_ns = None
        return True

    def _may_be_queued(self) -> bool:
        if self._last_grab_ns is None:
            return True
        gap_ns = self._clock_ns() - self._last_grab_ns
        return gap_ns > _GAP_PERIODS * self.period_ns or self._last_age_ns > _OLD_PERIODS * self.period_ns

    def _is_fresh(self, captured_ns: int | None, now_ns: int) -> bool:
        return captured_ns is not None and now_ns - captured_ns <= _FRESH_PERIODS * self.period_ns

    def _take(self, captured_ns: int | None, now_ns: int, thrown: int) -> Grabbed:
        taken_ns = now_ns if captured_ns is None else captured_ns
        self._last_age_ns = now_ns - taken_ns
        self._last_captured_ns = max(self._last_captured_ns, taken_ns)  # a clock that was clamped must not go back
        return Grabbed(self._last_captured_ns, thrown)


def believable_time_ns(driver_ns: int | None, now_ns: int) -> int | None:
    """Return the driver's time if it can be one on CLOCK_MONOTONIC, clamped into the past; else None."""
    if driver_ns is None or not now_ns - _MAX_AGE_NS < driver_ns <= now_ns + _MAX_AHEAD_NS:
        return None
    return min(driver_ns, now_ns)
