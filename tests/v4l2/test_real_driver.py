"""Two devices of a real V4L2 driver through the whole pipeline, from the driver's buffers to the SDK's ImageClient."""

import numpy as np
import pytest

from tests.v4l2 import vivid
from tests.v4l2.pipeline import Pipeline

pytestmark = pytest.mark.v4l2

KEPT_RATE = 0.95
JPEG_ERROR = 6  # of 255, on a plain colour at quality 95
MEASURED_S = 8.0


@pytest.mark.parametrize("source", vivid.NODES)
def test_raw_is_the_drivers_picture(pipeline: Pipeline, source: str) -> None:
    """Every byte of a RAW RGB answer is what the driver drew: order of the bars, order of the channels, brightness."""
    assert np.array_equal(pipeline.raw(source), vivid.picture(vivid.BRIGHTNESS[source]))


@pytest.mark.parametrize("source", vivid.NODES)
def test_jpeg_has_the_drivers_colours(pipeline: Pipeline, source: str) -> None:
    """A JPEG answer decodes to the driver's colours, away from the edges of the bars."""
    error = np.abs(pipeline.jpeg(source).astype(int) - vivid.picture(vivid.BRIGHTNESS[source]))
    assert error[:, vivid.inside_bars()].max() <= JPEG_ERROR


def test_both_keep_the_drivers_rate(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """Each camera has at least 95 % of the rate that a lone OpenCV reader gets, with both running."""
    for name, alone_hz in driver_rates_hz.items():
        assert pipeline.rate_hz(name, MEASURED_S) >= KEPT_RATE * alone_hz
    for name, record in pipeline.status().items():
        if name in driver_rates_hz:
            assert record["rate_hz"] >= KEPT_RATE * driver_rates_hz[name]


def test_unplugging_is_a_fault_of_that_camera_only(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """An unplugged camera is a fault and never an old picture; the other goes on; plugged in again, it comes back."""
    with vivid.unplugged(vivid.NODES["video0"]):
        pipeline.wait_until(lambda: not pipeline.answers("video0"), "video0 stops answering", 5)
        pipeline.wait_until(lambda: bool(pipeline.faults()), "a fault of video0", 15)
        assert pipeline.rate_hz("video1", MEASURED_S) >= KEPT_RATE * driver_rates_hz["video1"]
        assert pipeline.answers("video1")
        assert not pipeline.answers("video0")
        assert all("video0" in fault for fault in pipeline.faults())
    pipeline.wait_until(lambda: pipeline.answers("video0"), "video0 answers again", 60)
    pipeline.wait_until(lambda: not pipeline.faults(), "the fault is cleared", 30)
    assert np.array_equal(pipeline.raw("video0"), vivid.picture(vivid.BRIGHTNESS["video0"]))
