"""No frame older than the limit is ever served as OK, whatever the reason; and the reason is told."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bosdyn.api import image_pb2, service_customization_pb2

from servicer import picture, served_camera
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera
from shm import DEFAULT_PARAMS_ID
from supervision.camera_settings import CameraSettings
from tests.servicer.scripted_worker import SPEC
from tests.servicer.serving import OFFSET_NS, STATUS, Ring, Served, serving, smooth, wait_for


def test_without_a_ring_there_is_a_reason(served: Served) -> None:
    """A camera that has never delivered: a data error, named in the header."""
    response = served.get("front", "rear")
    assert [answer.status for answer in response.image_responses] == [STATUS.STATUS_IMAGE_DATA_ERROR] * 2
    assert [answer.source.name for answer in response.image_responses] == ["front", "rear"]
    assert "front: there is no frame" in response.header.error.message
    assert "rear: there is no frame" in response.header.error.message


def test_a_writer_that_stops_is_never_ok_again(instance: str, front: Ring) -> None:
    """Every OK answer is younger than the limit by the client's own clock; past the limit there is none."""
    with serving(instance, "front", max_age_s=0.3) as served:
        with front.showing(smooth()):
            assert served.one("front").status == STATUS.STATUS_OK
        stopped_s, statuses = time.monotonic(), set()
        while time.monotonic() < stopped_s + 0.8:
            asked_ns = time.monotonic_ns()
            answer = served.one("front")
            if answer.status == STATUS.STATUS_OK:
                assert asked_ns + OFFSET_NS - answer.shot.acquisition_time.ToNanoseconds() <= 0.3e9
            if asked_ns > (stopped_s + 0.3) * 1e9:
                statuses.add(answer.status)
        assert statuses == {STATUS.STATUS_IMAGE_DATA_ERROR}
        assert "old; the limit is 0.3 s" in served.get("front").header.error.message
        front.show(smooth())
        assert served.one("front").status == STATUS.STATUS_OK


def test_the_operators_reason_is_told_for_a_silent_camera(instance: str, front: Ring) -> None:
    """What the supervisor knows about the worker stands before the age, and says nothing about fresh frames."""
    with serving(instance, "front", max_age_s=0.5, why_silent=lambda name: f"{name} was unplugged.") as served:
        front.show(smooth(), age_s=0.6)
        assert "front: front was unplugged." in served.get("front").header.error.message
        front.show(smooth())
        response = served.get("front")
        assert response.image_responses[0].status == STATUS.STATUS_OK
        assert not response.header.error.message


def test_a_frame_that_grew_old_during_the_call_is_withdrawn(instance: str, front: Ring, monkeypatch: Any) -> None:
    """The first entry is encoded at once, the second takes long: by the end the first is too old to be OK."""
    encode = picture.encode

    def slowly(frame: Any, wanted: Any, *how: Any) -> Any:
        if wanted.resize_ratio == 0.5:
            threading.Event().wait(0.6)
        return encode(frame, wanted, *how)

    monkeypatch.setattr(served_camera, "encode", slowly)
    with serving(instance, "front", "rear", max_age_s=0.4) as served, Ring(instance, "rear") as rear:
        front.show(smooth())
        rear.show(smooth())
        response = served.get("front", image_pb2.ImageRequest(image_source_name="rear", resize_ratio=0.5))
    assert [answer.status for answer in response.image_responses] == [STATUS.STATUS_IMAGE_DATA_ERROR] * 2
    assert not any(answer.HasField("shot") for answer in response.image_responses)
    assert "front: its frame was" in response.header.error.message


def limit_after(front: Ring, camera: ServedCamera, periods_s: list[float]) -> float:
    """Show frames at these distances, look at each, and return the limit that follows."""
    age_s = sum(periods_s)
    for period_s in [0.0, *periods_s]:
        age_s -= period_s
        front.show(smooth(), age_s=age_s)
        camera.newest()
    return camera.max_age_s


@pytest.mark.parametrize(
    ("periods_s", "expected_s"),
    [
        ([], 0.5),
        ([0.03] * 5, 0.5),
        ([0.4] * 5, 1.2),
        ([0.03] * 5 + [9.0], 0.5),
        ([9.0] + [0.03] * 4, 0.5),
        ([0.03] + [6.0] * 4, 18.0),
        ([0.9, 0.1], 1.5),
        ([0.9, 0.1] * 4, 1.5),
        ([0.1, 0.9] * 4, 1.5),
        ([0.9, 0.1] * 4 + [0.9], 1.5),
        ([0.9], 2.7),
    ],
)
def test_the_limit_follows_the_cameras_own_rate(
    instance: str, front: Ring, periods_s: list[float], expected_s: float
) -> None:
    """Three periods, at least half a second; neither a stall nor the short way between the frames of a pair counts."""
    camera = ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(OFFSET_NS))
    assert limit_after(front, camera, periods_s) == pytest.approx(expected_s, rel=0.05)


@pytest.mark.parametrize(("fps", "periods_s", "expected_s"), [(30, [0.5] * 5, 1.5), (2, [0.03] * 5, 1.5)])
def test_the_limit_is_that_of_the_slower_of_what_is_said_and_what_is_measured(
    instance: str, fps: float, periods_s: list[float], expected_s: float
) -> None:
    """A webcam in the dark delivers less than it says; one that does more may go back to what it said."""
    camera = ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(OFFSET_NS))
    with Ring(instance, "front", descriptor={"fps": fps}) as ring:
        assert limit_after(ring, camera, periods_s) == pytest.approx(expected_s, rel=0.05)


@pytest.fixture
def asked_for_others(instance: str) -> Iterator[tuple[Ring, ServedCamera]]:
    """A camera that somebody has asked for a capture with parameters of his own, for a time that is not over."""
    camera = ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(OFFSET_NS))
    with Ring(instance, "front", descriptor={"fps": 30.0, "param_spec": SPEC}) as ring:
        ring.show(smooth(), age_s=200)
        asked = service_customization_pb2.DictParam()
        asked.values["gain"].double_value.value = 3.0
        camera.ask(camera.spec.complete(asked), None, time.monotonic() + 1.0)
        yield ring, camera


@pytest.mark.parametrize("looks", [True, False], ids=["every frame is seen", "default frames are seen"])
def test_captures_for_clients_never_stretch_the_limit(asked_for_others: tuple[Ring, ServedCamera], looks: bool) -> None:
    """However many come one after another: the gaps that they make are not the camera's rate."""
    ring, camera = asked_for_others
    assert limit_after(ring, camera, [0.03]) == 0.5
    for age_s in range(120, 0, -6):
        ring.show(smooth(), age_s=age_s + 3, params_id=b"others".ljust(len(DEFAULT_PARAMS_ID)))
        if looks:
            camera.newest(None)
        ring.show(smooth(), age_s=age_s)
        camera.newest()
    assert camera.max_age_s == 0.5


def test_a_camera_that_slows_down_is_noticed_while_others_ask(asked_for_others: tuple[Ring, ServedCamera]) -> None:
    """Between two frames for everybody that follow each other, nobody else's lies."""
    ring, camera = asked_for_others
    assert limit_after(ring, camera, [0.03] * 5) == 0.5
    assert limit_after(ring, camera, [0.5] * 5) == pytest.approx(1.5, rel=0.05)


def test_a_configured_limit_is_the_limit(instance: str, front: Ring) -> None:
    """Whatever the camera's rate is."""
    settings = CameraSettings(driver="synthetic", max_age_s=0.1)
    camera = ServedCamera(instance, "front", settings, RobotClock(OFFSET_NS))
    assert limit_after(front, camera, [2.0] * 5) == 0.1


@pytest.mark.parametrize(
    ("fps", "expected_s"), [(0.2, 15.0), (30, 0.5), (None, 0.5), (0, 0.5), (-1.0, 0.5), ("fast", 0.5)]
)
def test_before_anything_is_measured_the_drivers_rate_counts(instance: str, fps: Any, expected_s: float) -> None:
    """A camera of one picture in five seconds is not silent because nobody has seen two of them yet."""
    camera = ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(OFFSET_NS))
    with Ring(instance, "front", descriptor={"fps": fps}) as ring:
        ring.show(smooth())
        assert camera.newest() is not None
        assert camera.max_age_s == pytest.approx(expected_s)


def test_the_gap_of_a_restart_is_no_period(instance: str, front: Ring) -> None:
    """Between the last frame of one ring and the first of the next lies no frame period."""
    camera = ServedCamera(instance, "front", CameraSettings(driver="synthetic"), RobotClock(OFFSET_NS))
    front.show(smooth(), age_s=20)
    camera.newest()
    with Ring(instance, "front") as successor:
        successor.show(smooth())
        assert wait_for(camera.newest).rows == 64
        assert camera.max_age_s == 0.5
