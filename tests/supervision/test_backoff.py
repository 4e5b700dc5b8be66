"""The delays between restarts, and the rate of a camera, both as pure arithmetic."""

import pytest

from supervision.backoff import Backoff
from supervision.frame_rate import FrameRate
from supervision.health import Health
from supervision.reports import Beat, Error
from supervision.timing import Timing

SECOND_NS = 1_000_000_000


@pytest.mark.row("M6")
def test_delays_double_up_to_half_a_minute() -> None:
    """At once, then 0.5 s doubling to 30 s, and never more."""
    backoff = Backoff(jitter=lambda: 0.0)
    delays_s = [backoff.next_delay_s() for _ in range(10)]
    assert delays_s == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_year_of_failures() -> None:
    """The delay stays finite and the same after very many failures."""
    backoff = Backoff(jitter=lambda: 0.0)
    assert {backoff.next_delay_s() for _ in range(100_000)} == {0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0}


def test_jitter_shortens_a_delay_a_little() -> None:
    """Delays differ between cameras, and none is much shorter than meant."""
    backoff = Backoff(jitter=lambda: 0.999)
    delays_s = [backoff.next_delay_s() for _ in range(8)]
    assert all(0.8 * 0.5 <= delay_s < 30.0 for delay_s in delays_s[1:])


def test_forgiven_after_a_minute_of_frames() -> None:
    """Failures are forgotten after 60 s of frames, not after 60 s of promises alone."""
    health = Health("front", Timing(), needs_frames=True)
    for _ in range(5):
        health.next_delay_s()
    health.begin()
    for second in range(120):
        health.take_beat(Beat(report="beat", within_ms=1000), second * SECOND_NS)
    assert health.next_delay_s() > 5
    for second in range(62):
        health.take_beat(Beat(report="beat", within_ms=1000, frames=second + 1), second * SECOND_NS)
    assert health.next_delay_s() == 0.0


def test_an_idle_camera_is_forgiven_for_its_promises() -> None:
    """A camera that nobody asks for frames is well while it keeps its promises, and stays so when it is asked again."""
    health = Health("front", Timing(), needs_frames=True)
    health.report("absent", "there is no /dev/video7")
    for _ in range(5):
        health.next_delay_s()
    health.begin()
    for second in range(3):
        health.take_beat(Beat.model_validate({"report": "beat", "within_ms": 1000, "idle": True}), second * SECOND_NS)
    assert health.error_code is None
    assert health.turned_ns == 0
    assert health.fields(3 * SECOND_NS)["facts"]["idle"] is True
    for second in range(3, 62):
        beat = {"report": "beat", "within_ms": 1000, "frames": second // 10, "idle": second % 10 > 0}
        health.take_beat(Beat.model_validate(beat), second * SECOND_NS)
    assert health.next_delay_s() == 0.0
    assert health.turned_ns == 61 * SECOND_NS


def test_error_is_over_after_two_seconds_of_frames() -> None:
    """An error stays on the board until frames have come for 2 s; an error that is said again stays on."""
    health = Health("front", Timing(), needs_frames=True)
    health.report("absent", "there is no /dev/video7")
    health.begin()
    health.take_beat(Beat(report="beat", within_ms=1000, frames=1), 0)
    health.take_beat(Beat(report="beat", within_ms=1000, frames=2), 2 * SECOND_NS - 1)
    assert health.error_code == "absent"
    health.take_beat(Beat(report="beat", within_ms=1000, frames=3), 2 * SECOND_NS)
    assert health.error_code is None
    for second in range(3, 10):
        health.take_error(Error(report="error", code="frozen", text="the same picture"))
        health.take_beat(Beat(report="beat", within_ms=1000, frames=second + 1), second * SECOND_NS)
    assert health.error_code == "frozen"


def test_rate_of_steady_beats() -> None:
    """30 frames per second, reported ten times a second, are 30 Hz."""
    rate = FrameRate()
    for beat in range(100):
        rate.add(beat * SECOND_NS // 10, 3 * beat)
    assert abs(rate.rate_hz(99 * SECOND_NS // 10) - 30.0) < 0.01


def test_rate_of_a_slow_camera() -> None:
    """A frame every 5 s is 0.2 Hz, although the window is shorter."""
    rate = FrameRate()
    for frame in range(1, 5):
        rate.add(frame * 5 * SECOND_NS, frame)
    assert abs(rate.rate_hz(21 * SECOND_NS) - 0.2) < 0.01


def test_rate_sinks_without_frames() -> None:
    """A camera that has stopped does not keep its rate."""
    rate = FrameRate()
    for beat in range(30):
        rate.add(beat * SECOND_NS // 10, 3 * beat)
    assert rate.rate_hz(12 * SECOND_NS) < 10
    assert rate.rate_hz(60 * SECOND_NS) < 2
