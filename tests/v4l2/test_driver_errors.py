"""A real driver that loses buffers, breaks them, or fails: what its clients get, and that others do not notice."""

import numpy as np
import pytest
from bosdyn.client.exceptions import TimedOutError
from bosdyn.client.image import ImageDataError

from tests.v4l2 import vivid
from tests.v4l2.pipeline import Pipeline

pytestmark = pytest.mark.v4l2

CAMERA, OTHER = "video0", "video1"
NODE = vivid.NODES[CAMERA]
KEPT_RATE = 0.95
DROPPED = 50  # per cent
STALE_S = 1.0  # max_age_s, and the way to a client in an emulator
BACK_S = 120.0


def test_dropped_buffers_are_a_lower_rate_and_no_fault(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """A camera that loses every other frame is served with those that come, and none of them is old."""
    restarts = pipeline.restarts(CAMERA)
    with vivid.dropping(NODE, DROPPED):
        rate_hz = pipeline.rate_hz(CAMERA)
        assert 0.3 * driver_rates_hz[CAMERA] < rate_hz < 0.75 * driver_rates_hz[CAMERA]
        assert all(pipeline.age_s(CAMERA) < STALE_S for _ in range(10))
        assert pipeline.keeps(OTHER, KEPT_RATE * driver_rates_hz[OTHER])
        assert not pipeline.faults()
        assert pipeline.error_code(CAMERA) is None
    assert pipeline.keeps(CAMERA, KEPT_RATE * driver_rates_hz[CAMERA])
    assert pipeline.restarts(CAMERA) == restarts


def test_broken_buffers_are_borne(pipeline: Pipeline) -> None:
    """A buffer that the driver flags as broken is no reason to start again; the pictures stay right."""
    restarts = pipeline.restarts(CAMERA)
    for _ in range(5):
        vivid.inject(NODE, vivid.BUFFER_ERROR)
        pipeline.next_frames(CAMERA, 10)
        assert np.array_equal(pipeline.raw(CAMERA), vivid.picture(vivid.BRIGHTNESS[CAMERA]))
    assert pipeline.restarts(CAMERA) == restarts
    assert not pipeline.faults()


def test_a_device_without_buffers_is_opened_anew(pipeline: Pipeline) -> None:
    """OpenCV never hands back a buffer that was refused once. When none is left, no frame comes: that is a restart."""
    restarts = pipeline.restarts(CAMERA)

    def has_none_left() -> bool:
        vivid.inject(NODE, vivid.QBUF_ERROR)
        return fresh_or_none(pipeline) and pipeline.restarts(CAMERA) > restarts

    pipeline.wait_until(has_none_left, "a restart", BACK_S)
    assert_back(pipeline)


def test_a_fatal_error_of_the_driver_is_a_restart(pipeline: Pipeline, driver_rates_hz: dict[str, float]) -> None:
    """A stream that ends for good is a new process, which opens the device anew; never an old picture meanwhile."""
    restarts = pipeline.restarts(CAMERA)
    vivid.inject(NODE, vivid.FATAL_ERROR)
    pipeline.wait_until(lambda: fresh_or_none(pipeline) and pipeline.restarts(CAMERA) > restarts, "a restart", BACK_S)
    assert pipeline.keeps(OTHER, KEPT_RATE * driver_rates_hz[OTHER])
    assert_back(pipeline)


def test_a_request_for_buffers_that_fails_is_borne(pipeline: Pipeline) -> None:
    """The device that is opened anew has no buffers at first: OpenCV asks again, and the camera is back."""
    restarts = pipeline.restarts(CAMERA)
    vivid.inject(NODE, vivid.REQBUFS_ERROR)
    vivid.inject(NODE, vivid.FATAL_ERROR)
    pipeline.wait_until(lambda: fresh_or_none(pipeline) and pipeline.restarts(CAMERA) > restarts, "a restart", BACK_S)
    assert_back(pipeline)


def test_a_device_that_does_not_stream_is_tried_until_it_does(pipeline: Pipeline) -> None:
    """While the driver refuses to stream, each start fails and says so; the other camera goes on; then all is well."""
    restarts = pipeline.restarts(CAMERA)
    vivid.inject(NODE, vivid.FATAL_ERROR)

    def has_failed_twice() -> bool:
        vivid.inject(NODE, vivid.STREAMON_ERROR)
        assert fresh_or_none(pipeline)
        return pipeline.error_code(CAMERA) == "open_failed" and pipeline.restarts(CAMERA) >= restarts + 2

    pipeline.wait_until(has_failed_twice, "two starts that fail", BACK_S)
    assert pipeline.answers(OTHER)
    assert not pipeline.answers(CAMERA)
    assert_back(pipeline)


def fresh_or_none(pipeline: Pipeline) -> bool:
    """Ask for an image: it is no old one, if there is one."""
    try:
        return pipeline.age_s(CAMERA) < STALE_S
    except (ImageDataError, TimedOutError):
        return True


def assert_back(pipeline: Pipeline) -> None:
    """Wait until the camera is served again, and the fault is gone."""
    pipeline.wait_until(lambda: pipeline.answers(CAMERA), f"{CAMERA} answers again", BACK_S)
    pipeline.wait_until(lambda: not pipeline.faults(), "the fault is cleared", 30)
    assert np.array_equal(pipeline.raw(CAMERA), vivid.picture(vivid.BRIGHTNESS[CAMERA]))
