"""Pictures that a camera's own class makes in its worker: asked for, checked, shared, and sent as they are."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bosdyn.api import image_pb2

from servicer import own_pictures, served_camera
from servicer.camera_health import DecodingHealth
from servicer.image_request import Refusal
from shm.capture_requests import CaptureAnswer, CaptureRequest
from tests.capture_worker.harness import WorkerProcess
from tests.capture_worker.own_cameras import own_camera
from tests.servicer.scripted_worker import done, failed
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
        "resize_ratio": 1.0,
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


def question(pairs: own_pictures.Pairs, **fields: Any) -> Any:
    """What a class that makes these pairs is asked, or the status that refuses it."""
    asked = own_pictures.check(image_pb2.ImageRequest(**fields), pairs)
    return asked.status if isinstance(asked, Refusal) else asked


@pytest.mark.parametrize(
    ("sent", "told_the_class"), [(30.0, 1.0), (1e30, 1.0), (-1.0, 0.01), (0.001, 0.01), (0.0, 1.0), (0.5, 0.5)]
)
def test_a_class_is_asked_for_no_other_sizes_than_pictures_of_ours_have(sent: float, told_the_class: float) -> None:
    """Thirty times the frame is gigabytes, in a method that believes what it is told."""
    assert question([], resize_ratio=sent).resize_ratio == pytest.approx(told_the_class)


@pytest.mark.parametrize(
    ("fields", "told_the_class"),
    [
        ({"image_format": JPEG}, 75),
        ({"quality_percent": 40.4}, 40),
        ({"image_format": JPEG, "quality_percent": -3.0}, 75),
        ({"image_format": JPEG, "quality_percent": float("nan")}, 75),
        ({"image_format": RAW, "quality_percent": 40.0}, 0),
    ],
)
def test_a_class_is_asked_for_a_quality_that_exists(fields: dict[str, Any], told_the_class: float) -> None:
    """The default for what is none; and equal requests are equal, so that they are shared."""
    assert question([], **fields).quality_percent == told_the_class


def test_what_the_proto_does_not_know_is_not_asked_of_a_class_that_nobody_knows() -> None:
    """A number that is no format is the client's mistake; the alternatives count."""
    assert question([], image_format=99) == STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED
    assert question([], pixel_format=99) == STATUS.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED
    assert question([], pixel_format=99, fallback_formats=[98, 4, 1]).pixel_format == 4
    assert question([(RAW, 3)], pixel_format=4, fallback_formats=[3]).pixel_format == 3


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(1, 3), (2, 3)], ([1, 2], [3])),
        ([(1, 3), (1, 1), (2, 3), (2, 1), (2, 4)], ([1, 2], [3, 1])),
        ([(1, 3), (2, 1)], ([1], [3])),
        ([(1, 3), (1, 1), (2, 3), (3, 3), (3, 1)], ([1, 3], [3, 1])),
        ([(2, 6), (3, 6), (3, 3)], ([2, 3], [6])),
        ([(3, 3)], ([3], [3])),
        ([], ([], [])),
    ],
)
def test_each_advertised_pixel_format_works_in_each_advertised_image_format(
    pairs: own_pictures.Pairs, expected: tuple[list[int], list[int]]
) -> None:
    """JPEG stays if it works for any: clients combine what they read."""
    assert own_pictures.advertised(pairs) == expected


def test_what_works_is_answered_whether_it_is_advertised_or_not(asked: Any) -> None:
    """The list is what can be combined freely, not all there is."""
    served, worker, _ = asked(picture=picture(), own_decode=[[1, 3], [2, 3], [2, 1], ["x"], 5, [0, 0], [1, 99]], **OWN)
    (source,) = [source for source in served.client.list_image_sources() if source.name == "front"]
    assert (list(source.image_formats), list(source.pixel_formats)) == ([1, 2], [3])
    assert served.one("front", image_format=RAW, pixel_format=1).status == STATUS.STATUS_OK
    assert served.one("front", image_format=JPEG, pixel_format=1).status == (
        STATUS.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED
    )
    assert len(worker.requests) == 1


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


def test_a_class_that_fails_to_make_a_picture_is_seen_by_the_operator(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a decode fault, until it has made one or nobody asks; what is unsupported or was not captured is none."""
    failure = "unsupported"

    def answer(request: CaptureRequest) -> CaptureAnswer:
        return done(request) if failure == "none" else failed(request, failure, "it raised TypeError.")

    served, _, _ = asked(answer, picture=picture(), **OWN)
    camera = served.cameras["front"]
    health = DecodingHealth(camera)
    for failure in ("unsupported", "camera", "parameters", "busy"):  # noqa: B007  answer() reads it
        served.one("front")
        assert camera.undecodable is None
    failure = "picture"
    response = served.get("front")
    assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert response.header.error.message == "front: it raised TypeError."
    for now_s, is_fault in ((0.0, False), (1.0, False), (2.5, True), (9.0, True)):
        health.update(None, now_s)
        assert (health.fault is not None and "front: it raised TypeError." in health.fault.text) is is_fault
        assert not camera.decodes_again()
    monkeypatch.setattr(served_camera, "_FORGIVEN_S", 0.0)
    assert camera.decodes_again()
    monkeypatch.undo()
    assert not camera.decodes_again()
    failure = "none"
    assert served.one("front").status == STATUS.STATUS_OK
    for now_s in (10.0, 12.5):
        health.update(None, now_s)
    assert (health.fault, camera.undecodable) == (None, None)


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
