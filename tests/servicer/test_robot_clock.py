"""Robot times that never go back, whatever the clocks do."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servicer import robot_clock
from servicer.robot_clock import AcquisitionTimes, RobotClock, wall_minus_monotonic_ns

S = 1_000_000_000
MS = 1_000_000


class Clocks:
    """This computer's clocks, which go when they are told to. `disturbed_ns` is lost between two readings."""

    def __init__(self) -> None:
        self.monotonic_now_ns = 1000 * S
        self.wall_ahead_ns = 1_700_000_000 * S
        self.disturbed_ns: Iterator[int] = itertools.repeat(0)

    def monotonic_ns(self) -> int:
        """Stand in for time.monotonic_ns."""
        return self.monotonic_now_ns

    def time_ns(self) -> int:
        """Stand in for time.time_ns."""
        now_ns = self.monotonic_now_ns + self.wall_ahead_ns
        self.monotonic_now_ns += next(self.disturbed_ns)
        return now_ns


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks in the hands of the test."""
    injected = Clocks()
    monkeypatch.setattr(robot_clock, "time", injected)
    return injected


def test_the_offset_is_skew_plus_wall_minus_monotonic(clocks: Clocks) -> None:
    """Robot time of a capture is its monotonic time plus the offset."""
    clock = RobotClock(None)
    assert clock.offset_ns is None
    clock.set_skew(5 * S, wall_minus_monotonic_ns())
    assert clock.offset_ns == clocks.wall_ahead_ns + 5 * S


@pytest.mark.parametrize("step_ns", [3600 * S, -3600 * S, 30 * MS, -30 * MS])
def test_a_step_of_the_wall_clock_is_noticed_and_moves_nothing(clocks: Clocks, step_ns: int) -> None:
    """The offset stays right until the next sync, which is due at once, and then once only."""
    clock = RobotClock(None)
    clock.set_skew(5 * S, wall_minus_monotonic_ns())
    clocks.monotonic_now_ns += 600 * S
    assert not clock.wall_clock_jumped()
    offset_ns = clock.offset_ns
    clocks.wall_ahead_ns += step_ns
    assert clock.wall_clock_jumped()
    assert clock.offset_ns == offset_ns
    clock.set_skew(5 * S - step_ns, wall_minus_monotonic_ns())
    assert clock.offset_ns == offset_ns
    assert not clock.wall_clock_jumped()


def test_a_sync_is_lost_after_three_failures_in_ten_seconds(clocks: Clocks) -> None:
    """The offset stays; one success is enough, and a robot that was away in between is no failure of its time sync."""
    clock = RobotClock(77)
    for _ in range(5):
        clock.note_failed_sync()
        clocks.monotonic_now_ns += S
    assert not clock.sync_is_lost
    clocks.monotonic_now_ns += 5 * S
    assert not clock.sync_is_lost
    clock.note_failed_sync()
    assert (clock.sync_is_lost, clock.offset_ns) == (True, 77)
    clock.set_skew(0, 0)
    clock.note_failed_sync()
    clocks.monotonic_now_ns += 600 * S
    clock.note_failed_sync()
    assert not clock.sync_is_lost


def test_failures_before_an_outage_do_not_count_after_it(clocks: Clocks) -> None:
    """The robot is back and its time sync is not yet: that is no lost sync, however long it was away."""
    clock = RobotClock(77)
    for _ in range(2):
        clock.note_failed_sync()
    clock.forget_failed_syncs()
    clocks.monotonic_now_ns += 600 * S
    clock.note_failed_sync()
    assert not clock.sync_is_lost


def test_slewing_is_no_step(clocks: Clocks) -> None:
    """What NTP does in a minute does not ask for a new sync."""
    clock = RobotClock(None)
    clocks.wall_ahead_ns += 10 * MS
    assert not clock.wall_clock_jumped()


def test_a_step_during_a_sync_is_noticed_after_it(clocks: Clocks) -> None:
    """Such a sync is worth nothing, and the next one is due at once."""
    clock = RobotClock(None)
    before_ns = wall_minus_monotonic_ns()
    clocks.wall_ahead_ns += 10 * S
    clock.set_skew(5 * S, before_ns)
    assert clock.wall_clock_jumped()


def test_a_restarted_servicer_has_the_offset_of_its_predecessor(clocks: Clocks) -> None:
    """From the status board, before any time sync of its own."""
    assert AcquisitionTimes(RobotClock(77)).of(1, 100) == 177
    assert clocks.monotonic_now_ns


def test_a_disturbed_reading_is_not_used(clocks: Clocks) -> None:
    """The process was not running between the readings of the two clocks: another reading counts."""
    clocks.disturbed_ns = iter([50 * MS, 0, 80 * MS])
    assert wall_minus_monotonic_ns() == clocks.wall_ahead_ns


def test_there_is_no_time_before_a_sync() -> None:
    """None instead of a time that is not the robot's."""
    assert AcquisitionTimes(RobotClock(None)).of(1, 100) is None


def test_a_frame_keeps_its_time() -> None:
    """Asked again after another sync: the same answer."""
    clock = RobotClock(0)
    times = AcquisitionTimes(clock)
    assert times.of(1, 100 * S) == 100 * S
    clock.offset_ns = 5 * MS
    assert times.of(1, 100 * S) == 100 * S
    assert times.of(2, 101 * S) == 101 * S + 5 * MS


def test_a_correction_does_not_turn_time_back() -> None:
    """A later frame after a sync that went back half a second: not before the earlier one."""
    clock = RobotClock(0)
    times = AcquisitionTimes(clock)
    times.of(1, 100 * S)
    clock.offset_ns = -S // 2
    assert times.of(2, 100 * S + 30 * MS) == 100 * S
    assert times.of(3, 101 * S) == 100 * S + S // 2


def test_an_earlier_frame_is_not_later() -> None:
    """A slow thread asks for a frame after a later one was asked for, and after a sync that went forward."""
    clock = RobotClock(0)
    times = AcquisitionTimes(clock)
    times.of(2, 100 * S + 33 * MS)
    clock.offset_ns = 50 * MS
    assert times.of(1, 100 * S) == 100 * S + 33 * MS


def test_a_rebooted_robots_clock_is_believed() -> None:
    """Far below the last time: the old ones say nothing any more, not even about frames from before."""
    clock = RobotClock(1_000_000 * S)
    times = AcquisitionTimes(clock)
    times.of(1, 100 * S)
    clock.offset_ns = 0
    assert times.of(2, 101 * S) == 101 * S
    assert times.of(1, 100 * S) == 100 * S


def test_what_is_remembered_is_bounded() -> None:
    """For hours of frames, and for a frame older than all that are remembered."""
    times = AcquisitionTimes(RobotClock(0))
    for number in range(1, 1000):
        times.of(number, number * S)
    assert len(times._known) <= 16
    assert times.of(5, 5 * S) == 5 * S


@settings(max_examples=500)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(-S // 2, S // 2)),  # which frame is asked for, after which sync
        min_size=1,
        max_size=40,
    )
)
def test_times_are_ordered_like_the_frames(calls: list[tuple[int, int]]) -> None:
    """Whatever threads ask for in whatever order: per frame one time, and never below an earlier frame's."""
    clock = RobotClock(0)
    times = AcquisitionTimes(clock)
    said: dict[int, int] = {}
    for number, offset_ns in calls:
        clock.offset_ns = offset_ns
        said_ns = times.of(number, number * 33 * MS)
        assert said_ns is not None
        assert said.setdefault(number, said_ns) == said_ns
    in_order = [said[number] for number in sorted(said)]
    assert in_order == sorted(in_order)
