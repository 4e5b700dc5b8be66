"""Two devices of a real V4L2 driver through the whole pipeline, from the driver's buffers to the SDK's ImageClient."""

import contextlib

import numpy as np
import pytest
from bosdyn.client.image import ImageDataError

from tests.v4l2 import vivid
from tests.v4l2.pipeline import Pipeline

pytestmark = pytest.mark.v4l2

KEPT_RATE = 0.95
JPEG_ERROR = 6  # of 255, on a plain colour at quality 95
LEVEL_ERROR = 4  # of 255, of the driver's own computing in YCbCr
CLOCK_ERROR_S = 0.025  # two time synchronizations over loopback
MAX_AGE_S = 0.5
FAULT = "Image Capture Failure for video0"


@pytest.mark.parametrize("source", vivid.NODES)
def test_raw_is_the_drivers_picture(pipeline: Pipeline, source: str) -> None:
    """Every byte of a RAW RGB answer is what the driver drew: order of the bars, order of the channels, brightness."""
    assert np.array_equal(pipeline.raw(source), vivid.picture(vivid.BRIGHTNESS[source]))


@pytest.mark.parametrize("source", vivid.NODES)
def test_jpeg_has_the_drivers_colours(pipeline: Pipeline, source: str) -> None:
    """A JPEG answer decodes to the driver's colours, away from the edges of the bars."""
    error = np.abs(pipeline.jpeg(source).astype(int) - vivid.picture(vivid.BRIGHTNESS[source]))
    assert error[:, vivid.inside_bars()].max() <= JPEG_ERROR


@pytest.mark.parametrize("source", vivid.NODES)
def test_capture_time_is_never_ahead(pipeline: Pipeline, source: str) -> None:
    """The driver stamps its frames 33 ms ahead of the clock: the ring says that they were captured now, in order."""
    frames = pipeline.next_frames(source, 20)
    assert all(captured_ns <= seen_ns for captured_ns, seen_ns in frames)
    assert [captured_ns for captured_ns, _ in frames] == sorted({captured_ns for captured_ns, _ in frames})


@pytest.mark.parametrize("source", vivid.NODES)
def test_acquisition_time_is_recent_in_robot_time(pipeline: Pipeline, source: str) -> None:
    """By the robot's clock no answer is from the future, or old."""
    ages_s = [pipeline.age_s(source) for _ in range(10)]
    assert min(ages_s) > -CLOCK_ERROR_S
    assert max(ages_s) < MAX_AGE_S


@pytest.mark.parametrize("source", vivid.NODES)
def test_keeps_the_drivers_rate(pipeline: Pipeline, driver_rates_hz: dict[str, float], source: str) -> None:
    """With both cameras running, each has at least 95 % of the rate that a lone OpenCV reader gets from it."""
    assert pipeline.keeps(source, KEPT_RATE * driver_rates_hz[source])


def test_status_tells_what_the_driver_delivers(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """`status --json` has size, encoding and rate of both cameras."""
    for name, record in pipeline.status().items():
        assert (record["rows"], record["cols"], record["encoding"]) == (vivid.ROWS, vivid.COLS, "bgr8")
        # Starting the status command takes an emulated processor for seconds: this is no measurement of the pipeline.
        assert record["rate_hz"] == pytest.approx(driver_rates_hz[name], rel=0.3)


@pytest.mark.parametrize("source", vivid.NODES)
def test_a_clients_parameters_are_in_its_picture_only(pipeline: Pipeline, source: str) -> None:
    """A robot's client finds the driver's controls, sets one, and the next picture for everybody is as ever."""
    brightness = pipeline.parameters(source).specs["brightness"].spec.int_spec
    assert (brightness.min_value.value, brightness.default_value.value, brightness.max_value.value) == (0, 128, 255)
    plain = vivid.picture(vivid.BRIGHTNESS[source])
    for asked in (160, 178, 160):
        picture = patiently(pipeline, source, brightness=asked)
        assert int(picture[:, -40].max()) == pytest.approx(asked - 128, abs=LEVEL_ERROR)
        assert np.array_equal(pipeline.raw(source), plain)
    assert np.array_equal(pipeline.raw(source, brightness=128), plain)


def patiently(pipeline: Pipeline, source: str, **integers: int) -> vivid.Picture:
    """Ask until there is a picture: in the emulator a client's capture may take longer than others can wait for."""
    pictures: list[vivid.Picture] = []

    def asked() -> bool:
        with contextlib.suppress(ImageDataError):
            pictures.append(pipeline.raw(source, **integers))
        return bool(pictures)

    pipeline.wait_until(asked, f"a picture with {integers}", 20)
    return pictures[0]


def test_unplugging_is_a_fault_of_that_camera_only(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """An unplugged camera is a fault and never an old picture; the other goes on; plugged in again, it comes back."""
    with vivid.unplugged(vivid.NODES["video0"]):
        pipeline.wait_until(lambda: not pipeline.answers("video0"), "video0 stops answering", 5)
        pipeline.wait_until(lambda: bool(pipeline.faults()), "a fault of video0", 15)
        pipeline.wait_until(lambda: pipeline.error_code("video0") == "absent", "the worker finds it unplugged", 60)
        assert pipeline.keeps("video1", KEPT_RATE * driver_rates_hz["video1"])
        assert pipeline.answers("video1")
        assert not pipeline.answers("video0")
        assert [fault.partition(":")[0] for fault in pipeline.faults()] == [FAULT]
    pipeline.wait_until(lambda: pipeline.answers("video0"), "video0 answers again", 90)
    pipeline.wait_until(lambda: not pipeline.faults(), "the fault is cleared", 30)
    assert np.array_equal(pipeline.raw("video0"), vivid.picture(vivid.BRIGHTNESS["video0"]))
