"""The drivers of the bench's camera behave as a camera without memory does, and as V4L2's four buffers do."""

from pathlib import Path

import pytest

from bench.camera import PlainDriver, QueueingDriver, Ticks
from bench.counter import Counter, captures_and_tick


class Clock(Ticks):
    """A camera's rhythm whose time the test sets: `now` is the number of the last frame."""

    def __init__(self) -> None:
        super().__init__("front", 30.0)
        self.now = 100

    def last(self) -> int:
        """The number of the last frame."""
        return self.now

    def wait(self, tick: int) -> None:
        """Let the time pass."""
        self.now = max(self.now, tick)


def test_a_plain_camera_waits_for_its_next_frame() -> None:
    """Who comes late has missed a frame, and gets no old one."""
    clock = Clock()
    driver = PlainDriver(clock)
    assert [driver.read(), driver.read()] == [101, 102]
    clock.now = 110
    assert driver.read() == 111


def test_a_queueing_camera_delivers_the_oldest_first() -> None:
    """Four frames wait; what comes while all buffers are full is dropped; then reads wait for new ones."""
    clock = Clock()
    driver = QueueingDriver(clock)
    clock.now = 110
    assert [driver.read() for _ in range(4)] == [101, 102, 103, 104]
    assert [driver.read(), driver.read()] == [111, 112]


def test_a_buffer_that_is_free_takes_the_next_frame() -> None:
    """Read slower than it is filled, the queue stays full, and its frames get old."""
    clock = Clock()
    driver = QueueingDriver(clock)
    clock.now = 104
    assert driver.read() == 101
    clock.now = 107
    assert [driver.read() for _ in range(4)] == [102, 103, 104, 105]


def test_captures_are_counted_across_processes(tmp_path: Path) -> None:
    """With the number of the last frame, so that a rate needs no clock."""
    path = tmp_path / "count"
    path.write_bytes(bytes(8))
    assert captures_and_tick(path) == (0, 0)
    counter = Counter(path)
    counter.count(41)
    counter.count(43)
    assert captures_and_tick(path) == (2, 43)


@pytest.mark.parametrize("fps", [10.0, 30.0])
def test_frames_come_in_the_camera_s_rhythm(fps: float) -> None:
    """A frame's time is that of its number."""
    ticks = Ticks("front", fps)
    assert ticks.time_ns(8) - ticks.time_ns(7) == round(1e9 / fps)
    before = ticks.last()
    ticks.wait(before + 1)
    assert ticks.last() > before
