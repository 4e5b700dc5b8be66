"""A device that queues frames never gets an old one taken for a new one."""

import itertools
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_worker.drain import Drain, Grabbed, Missed, believable_time_ns

MS = 1_000_000
PERIOD_NS = 40 * MS


class QueueingDevice:
    """A driver with a queue of four: exposes a frame per period, and drops new ones while the queue is full."""

    def __init__(self, *, tells_time: bool, ahead_ns: int = 0) -> None:
        self.now_ns = 1_000_000 * MS
        self.grabbed_ns = 0
        self.reads = 0
        self.hang_ns = 0
        self.unplugged = False
        self._tells_time = tells_time
        self._ahead_ns = ahead_ns
        self._next_ns = self.now_ns + PERIOD_NS
        self._queue: deque[int] = deque()

    def clock_ns(self) -> int:
        """Return the injected time."""
        return self.now_ns

    def work(self, duration_ns: int) -> None:
        """Let time pass while nobody reads."""
        self.now_ns += duration_ns
        while self._next_ns <= self.now_ns:
            if len(self._queue) < 4:
                self._queue.append(self._next_ns)
            self._next_ns += PERIOD_NS

    def grab(self) -> bool:
        """Take the oldest frame, or wait for the next."""
        self.reads += 1
        self.work(50_000 + self.hang_ns)
        if self.unplugged:
            return False
        if not self._queue:
            self.work(self._next_ns - self.now_ns)
        self.grabbed_ns = self._queue.popleft()
        return True

    def driver_time_ns(self) -> int | None:
        """Return when the grabbed frame was exposed, if this driver says so."""
        return self.grabbed_ns + self._ahead_ns if self._tells_time else None


def drain_of(device: QueueingDevice) -> Drain:
    """Return a drain with a limit of 2 s."""
    return Drain(device, PERIOD_NS, limit_s=2.0, slice_s=0.5, clock_ns=device.clock_ns)


@pytest.mark.parametrize("tells_time", [True, False])
def test_after_a_stop_the_queue_is_thrown_away(tells_time: bool) -> None:
    """A reader that was stopped for a second gets a new frame, stamped with its true time, and knows the loss."""
    device = QueueingDevice(tells_time=tells_time)
    drain = drain_of(device)
    for _ in range(5):
        drain.grab()
    device.work(1000 * MS)
    grabbed = drain.grab()
    assert isinstance(grabbed, Grabbed)
    assert grabbed.thrown == 4
    assert device.now_ns - device.grabbed_ns < 1.5 * PERIOD_NS
    assert abs(grabbed.captured_ns - device.grabbed_ns) < MS


@pytest.mark.parametrize("tells_time", [True, False])
def test_frames_queued_before_the_first_read_are_thrown_away(tells_time: bool) -> None:
    """Time passes between opening a device and its first read."""
    device = QueueingDevice(tells_time=tells_time)
    device.work(500 * MS)
    grabbed = drain_of(device).grab()
    assert isinstance(grabbed, Grabbed)
    assert grabbed.thrown == 4
    assert device.now_ns - device.grabbed_ns < 1.5 * PERIOD_NS


@given(st.booleans(), st.lists(st.integers(0, PERIOD_NS - 2 * MS), min_size=20, max_size=60))
def test_a_reader_that_keeps_up_gets_every_frame(tells_time: bool, work_ns: list[int]) -> None:
    """Nothing is thrown away, and nothing gets old, at the device's own rate."""
    device = QueueingDevice(tells_time=tells_time)
    drain = drain_of(device)
    exposed = []
    for pause_ns in work_ns:
        grabbed = drain.grab()
        assert isinstance(grabbed, Grabbed)
        assert grabbed.thrown == 0
        assert 0 <= device.now_ns - device.grabbed_ns < 2 * PERIOD_NS
        exposed.append(device.grabbed_ns)
        device.work(pause_ns)
    assert {later - earlier for earlier, later in itertools.pairwise(exposed)} == {PERIOD_NS}


def test_a_reader_that_is_always_late_does_not_live_in_the_past() -> None:
    """At 1.5 periods of work per frame the queue stays full; the driver's times give it away."""
    device = QueueingDevice(tells_time=True)
    drain = drain_of(device)
    ages_ns = []
    for _ in range(100):
        drain.grab()
        ages_ns.append(device.now_ns - device.grabbed_ns)
        device.work(PERIOD_NS * 3 // 2)
    assert max(ages_ns) <= 4 * PERIOD_NS
    assert sum(ages_ns) / len(ages_ns) < 3 * PERIOD_NS


@given(st.lists(st.tuples(st.sampled_from([0, PERIOD_NS // 2, PERIOD_NS, 900 * MS])), min_size=5, max_size=50))
def test_capture_times_never_go_back(pauses: list[tuple[int]]) -> None:
    """Even when the driver's clock runs ahead and is clamped."""
    device = QueueingDevice(tells_time=True, ahead_ns=30 * MS)
    drain = drain_of(device)
    last_ns = 0
    for (pause_ns,) in pauses:
        grabbed = drain.grab()
        assert isinstance(grabbed, Grabbed)
        assert last_ns <= grabbed.captured_ns <= device.now_ns
        last_ns = grabbed.captured_ns
        device.work(pause_ns)


def test_a_read_beyond_its_limit_failed_whatever_it_returned() -> None:
    """After a time-out a decoder hands out what it had left: that is no frame."""
    device = QueueingDevice(tells_time=False)
    drain = drain_of(device)
    assert isinstance(drain.grab(), Grabbed)
    device.hang_ns = 2001 * MS
    assert drain.grab() is Missed.FAILED


def test_a_device_that_fails_has_failed() -> None:
    """A refused read is not retried here."""
    device = QueueingDevice(tells_time=True)
    drain = drain_of(device)
    device.unplugged = True
    assert drain.grab() is Missed.FAILED
    assert device.reads == 1


def test_an_endless_queue_does_not_drain_for_ever() -> None:
    """A stream that delivers faster than it should gives a frame after a bounded number of reads."""
    device = QueueingDevice(tells_time=False)
    drain = Drain(device, 10_000 * MS, limit_s=2.0, slice_s=0.5, clock_ns=device.clock_ns)
    assert isinstance(drain.grab(), Grabbed)
    assert device.reads < 40
    drain.renew(2)
    while not isinstance(drain.grab(), Grabbed):
        assert device.reads < 80


@pytest.mark.parametrize("tells_time", [True, False])
@pytest.mark.parametrize("ahead_ns", [0, 33 * MS])
@given(
    idle_ns=st.integers(0, 6 * PERIOD_NS), hurries=st.booleans(), to_throw=st.sampled_from([1, 2]), busy=st.booleans()
)
def test_after_renewing_no_frame_was_begun_before(
    tells_time: bool, ahead_ns: int, idle_ns: int, hurries: bool, to_throw: int, busy: bool
) -> None:
    """Whatever was queued, and whether the driver's time is right, ahead or absent; and no more are lost than needed.

    A frame is begun a period before it is finished, and a reader that is always late has a queue that is always full.
    """
    device = QueueingDevice(tells_time=tells_time, ahead_ns=ahead_ns)
    drain = drain_of(device)
    for _ in range(5):
        drain.grab()
        device.work(PERIOD_NS * 3 // 2 if busy else MS)
    device.work(0 if hurries else idle_ns)
    renewed_ns = device.now_ns
    drain.renew(to_throw)
    grabbed = drain.grab()
    assert isinstance(grabbed, Grabbed)
    assert device.grabbed_ns - to_throw * PERIOD_NS >= renewed_ns
    assert device.grabbed_ns - (to_throw + 1) * PERIOD_NS <= renewed_ns or not tells_time
    assert grabbed.thrown == 0
    assert isinstance(drain.grab(), Grabbed)


def test_a_read_that_took_long_on_a_busy_computer_is_no_proof_of_a_new_frame() -> None:
    """The driver's time says that the frame is from the queue, however long it took to get it."""
    device = QueueingDevice(tells_time=True)
    drain = drain_of(device)
    drain.grab()
    device.work(1000 * MS)
    renewed_ns = device.now_ns
    drain.renew(1)
    device.hang_ns = 30 * MS
    assert isinstance(drain.grab(), Grabbed)
    assert device.grabbed_ns - PERIOD_NS >= renewed_ns


def test_waiting_for_a_frame_that_was_begun_in_time_lets_the_loop_turn() -> None:
    """A camera of one frame a second: the answer comes in pieces, each within the limit of one read."""
    device = QueueingDevice(tells_time=True)
    drain = Drain(device, PERIOD_NS, limit_s=2.0, slice_s=0.03, clock_ns=device.clock_ns)
    drain.grab()
    drain.renew(2)
    assert [type(drain.grab()) for _ in range(3)] == [Missed, Missed, Grabbed]


@pytest.mark.parametrize(
    ("driver_ns", "believed_ns"),
    [
        (None, None),
        (-1 * MS, None),
        (99_990 * MS, 99_990 * MS),
        (100_030 * MS, 100_000 * MS),
        (101_001 * MS, None),
        (80_000 * MS, None),
        (1_700_000_000_000 * MS, None),
    ],
    ids=["none", "unsupported", "true", "a little ahead", "far ahead", "far behind", "wall clock"],
)
def test_a_drivers_time_is_believed_only_if_it_can_be_true(driver_ns: int | None, believed_ns: int | None) -> None:
    """It must lie on CLOCK_MONOTONIC and in the past; a little ahead is now."""
    assert believable_time_ns(driver_ns, 100_000 * MS) == believed_ns
