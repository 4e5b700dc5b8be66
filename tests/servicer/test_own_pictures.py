"""Pictures that a camera's own class makes in its worker: asked for, checked, shared, and sent as they are."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bosdyn.api import image_pb2

from shm.capture_requests import CaptureAnswer, CaptureRequest
from tests.capture_worker.harness import WorkerProcess
from tests.capture_worker.own_cameras import own_camera
from tests.servicer.scripted_worker import done
from tests.servicer.serving import IMAGE, STATUS, serving, smooth, wait_for
from tests.servicer.test_capture_modes import told, wanting

JPEG, RAW = IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW
OWN: dict[str, Any] = {
    "driver": "camera_interface",
    "camera_interface": {"factory": "m:C", "image_decode": "own"},
}


def picture(**fields: Any) -> bytes:
    """What a camera class made."""
    image = image_pb2.Image(rows=2, cols=3, format=RAW, pixel_format=3, data=b"\x07" * 18)
    image.MergeFrom(image_pb2.Image(**fields))
    return bytes(image.SerializeToString())


def test_a_picture_that_the_class_makes_is_sent_as_it_made_it(asked: Any) -> None:
    """Asked for in its own worker, without the parameters and the alternatives; the ring says that frames flow."""
    served, worker, ring = asked(picture=picture(), **OWN)
    request = wanting(gain=3.0)
    request.pixel_format, request.quality_percent = 1, 40
    request.fallback_formats.append(3)
    (answer,) = served.get(request).image_responses
    assert answer.shot.image == image_pb2.Image.FromString(picture())
    assert (told(answer), answer.shot.capture_params.gain) == (3.0, 3.0)
    (question,) = worker.requests
    assert (question.kind, question.parameters["gain"]) == ("decode", {"double_value": {"value": 3.0}})
    assert question.image_request == {
        "image_source_name": "front",
        "quality_percent": 40.0,
        "pixel_format": "PIXEL_FORMAT_RGB_U8",
    }
    source = served.client.list_image_sources()[1]
    assert (list(source.image_formats), list(source.pixel_formats)) == ([1, 2], [3])
    ring.show(smooth(), age_s=31.0)
    assert served.one("front").status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert len(worker.requests) == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"image_format": 3}, STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED),
        ({"pixel_format": 4}, STATUS.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED),
        ({"resize_ratio": float("nan")}, STATUS.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED),
        ({"fallback_formats": [5] * 60_000}, STATUS.STATUS_OK),
        ({"image_source_name": "front", "quality_percent": float("inf")}, STATUS.STATUS_OK),
    ],
)
def test_what_the_class_does_not_make_is_not_asked_for(asked: Any, fields: dict[str, Any], status: int) -> None:
    """The worker hears only of what it can do."""
    served, worker, _ = asked(picture=picture(), **OWN)
    assert served.one(**{"name": "front", **{k: v for k, v in fields.items() if k != "image_source_name"}}).status == (
        status
    )
    assert len(worker.requests) == (status == STATUS.STATUS_OK)


@pytest.mark.parametrize(
    "made", [b"", b"\xff" * 50, picture()[:10], bytes(image_pb2.Image(rows=2).SerializeToString())]
)
def test_what_is_no_picture_is_an_error_of_that_entry(asked: Any, made: bytes) -> None:
    """Whatever the class left behind."""
    served, _, _ = asked(picture=made, **OWN)
    response = served.get("front", "rear")
    assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert not response.image_responses[0].HasField("shot")
    assert "its class made" in response.header.error.message


def test_a_class_of_a_user_makes_its_pictures_in_its_worker() -> None:
    """The whole way, with parameters: the tablet's JPEG is refused by a class that makes RAW, without a fault."""
    own = own_camera("contrast_camera:make_source", image_decode="own")
    with WorkerProcess(own) as worker:
        worker.wait_report("ready")
        with serving(worker.instance, front=own) as served:
            request = image_pb2.ImageRequest(image_source_name="front", image_format=RAW)
            request.custom_params.values["Contrast"].double_value.value = 99
            (answer,) = served.get(request).image_responses
            assert told(answer, "Contrast") == 99
            assert answer.shot.capture_params.gain == 1.99
            assert answer.shot.image.data == (bytes(3) * 32 + b"c" * 3 * 32) * 48
            refused = served.one("front", image_format=JPEG)
            assert refused.status == STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED
            assert list(refused.source.image_formats) == [RAW]


def test_who_wants_the_same_of_a_class_shares_one_picture(asked: Any) -> None:
    """Asked for together, made twice at most."""
    gate = threading.Event()

    def answer(request: CaptureRequest) -> CaptureAnswer:
        gate.wait(20)
        return done(request)

    served, worker, _ = asked(answer, picture=picture(), **OWN)
    with ThreadPoolExecutor(20) as clients:
        calls = [clients.submit(served.one, "front") for _ in range(20)]
        wait_for(lambda: served.service.requests == 20)
        gate.set()
        assert {call.result(20).status for call in calls} == {STATUS.STATUS_OK}
    assert len(worker.requests) <= 3
