"""The fast path: what an equal request came to is looked up, and answered with what somebody else has got already."""

import time
from typing import Any

import grpc
import pytest
from bosdyn.api import image_pb2

from servicer import image_service
from servicer.image_entry import ImageEntry
from servicer.image_request import Wanted
from servicer.known_requests import KnownRequests
from servicer.robot_clock import RobotClock
from shm import Encoding, FrameFacts
from tests.servicer.serving import (
    BLUE,
    GREEN,
    IMAGE,
    OFFSET_NS,
    STATUS,
    Ring,
    Served,
    one_colour,
    serving,
    smooth,
    wait_for,
)

WANTED = Wanted(IMAGE.FORMAT_JPEG, IMAGE.PIXEL_FORMAT_RGB_U8, 75, 1.0)


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The entries that go the long way, by the names of their cameras."""
    names: list[str] = []
    examine = ImageEntry.examine

    def remembering(entry: ImageEntry) -> None:
        names.append(entry.camera.name)
        examine(entry)

    monkeypatch.setattr(ImageEntry, "examine", remembering)
    return names


def asked(served: Served, **fields: Any) -> Any:
    """Ask camera "front" once, and return its ImageResponse."""
    request = image_pb2.ImageRequest(image_source_name="front", **fields)
    response = served.stub.GetImage(image_pb2.GetImageRequest(image_requests=[request]), timeout=10)
    return response.image_responses[0]


def test_an_equal_request_is_not_examined_again(served: Served, front: Ring, examined: list[str]) -> None:
    """It gets the same answer as the first one; another request goes its own way."""
    front.show(smooth())
    first = asked(served, quality_percent=60)
    assert asked(served, quality_percent=60) == first
    assert first.status == STATUS.STATUS_OK
    assert examined == ["front"]
    assert asked(served, quality_percent=61) != first
    assert examined == ["front", "front"]


def test_a_new_frame_is_a_new_picture(served: Served, front: Ring, examined: list[str]) -> None:
    """What is known about the request holds for the next frame; the picture does not."""
    for colour in (BLUE, GREEN):
        front.show(one_colour(colour))
        for _ in range(2):
            data = asked(served, image_format=IMAGE.FORMAT_RAW).shot.image.data
            assert data[:3] == bytes(colour[::-1])
    assert examined == ["front"]  # the first request of all


def test_an_old_picture_is_no_answer(instance: str, front: Ring) -> None:
    """Freshness is looked at in every call."""
    with serving(instance, "front", max_age_s=2.0) as served:
        front.show(smooth())
        camera, request = served.cameras["front"], image_pb2.ImageRequest(image_source_name="front")
        assert asked(served).status == STATUS.STATUS_OK
        assert camera.known_answer(request, time.monotonic() + 10) is not None
        wait_for(lambda: camera.newest().age_s() > camera.max_age_s)  # type: ignore[union-attr]
        assert camera.known_answer(request, time.monotonic() + 10) is None
        assert asked(served).status == STATUS.STATUS_IMAGE_DATA_ERROR


def test_one_entry_that_is_not_known_takes_all_the_long_way(served: Served, front: Ring, examined: list[str]) -> None:
    """The order of the answers is that of the request."""
    front.show(smooth())
    asked(served)
    examined.clear()
    response = served.get("front", "nobody", "front")
    assert [one.status for one in response.image_responses] == [
        STATUS.STATUS_OK,
        STATUS.STATUS_UNKNOWN_CAMERA,
        STATUS.STATUS_OK,
    ]
    assert examined == ["front", "front"]


def test_many_large_pictures_are_not_made_before_there_is_room_for_them(
    served: Served, front: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each of them alone was answered before: the call ends at the first one that is too much."""
    front.show(smooth())
    requests = [
        image_pb2.ImageRequest(image_source_name="front", image_format=IMAGE.FORMAT_RAW, resize_ratio=1 - number / 100)
        for number in range(10)
    ]
    largest_bytes = max(len(served.get(request).image_responses[0].shot.image.data) for request in requests)
    monkeypatch.setattr(image_service, "_RESPONSE_LIMIT_BYTES", 2 * largest_bytes)
    front.show(smooth())
    made = served.cameras["front"]._shared.made
    with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
        served.get(*requests)
    assert served.cameras["front"]._shared.made - made <= 3


def test_a_clock_that_was_set_back_leaves_no_picture_with_its_old_time(instance: str, front: Ring) -> None:
    """The same frame has one time in all formats, though one of them was made before the robot's clock changed."""
    clock = RobotClock(OFFSET_NS)
    with serving(instance, "front", clock=clock) as served:
        front.show(smooth())
        before_ns = asked(served).shot.acquisition_time.ToNanoseconds()
        clock.offset_ns = OFFSET_NS - 5_000_000_000
        for image_format in (IMAGE.FORMAT_RAW, IMAGE.FORMAT_UNKNOWN):
            answer = asked(served, image_format=image_format)
            assert answer.shot.acquisition_time.ToNanoseconds() == before_ns - 5_000_000_000


def test_a_mistake_on_the_fast_path_costs_nothing(
    served: Served, front: Ring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The long way answers instead, and the log says what was wrong."""
    front.show(smooth())
    monkeypatch.setattr(served.cameras["front"], "known_answer", lambda *_: 1 / 0)
    assert asked(served).status == STATUS.STATUS_OK
    assert "ZeroDivisionError" in caplog.text


def facts_of(encoding: Encoding = Encoding.BGR8) -> FrameFacts:
    """Facts of some frame."""
    return FrameFacts(1, 1, 4, 4, encoding, 1.0, 1.0, bytes(16), epoch=1)


def test_what_is_known_is_of_one_encoding() -> None:
    """A camera may be replaced by one whose frames are of another kind."""
    known, request = KnownRequests(), image_pb2.ImageRequest(image_source_name="front")
    known.note(request, facts_of(Encoding.BGR8), WANTED)
    assert known.wanted(request, facts_of(Encoding.BGR8)) == WANTED
    assert known.wanted(request, facts_of(Encoding.JPEG)) is None


def test_not_more_is_kept_than_clients_need() -> None:
    """Neither very many requests nor long ones are remembered."""
    known = KnownRequests()
    requests = [image_pb2.ImageRequest(image_source_name=f"camera{number}") for number in range(100)]
    for request in requests:
        known.note(request, facts_of(), WANTED)
    assert [known.wanted(request, facts_of()) is not None for request in requests] == [False] * 36 + [True] * 64
    long = image_pb2.ImageRequest(image_source_name="x" * 300)
    known.note(long, facts_of(), WANTED)
    assert known.wanted(long, facts_of()) is None
