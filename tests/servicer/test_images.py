"""GetImage and ListImageSources as the SDK's client and the generated stub see them."""

import itertools
import math
import time

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2
from bosdyn.client.image import ImageDataError, UnknownImageSourceError, build_image_request

from servicer.robot_clock import RobotClock
from shm import Encoding, names
from tests.servicer.serving import BLUE, IMAGE, OFFSET_NS, STATUS, Ring, Served, one_colour, serving, smooth, to_jpeg

SOURCE = image_pb2.ImageSource
ROUNDING_S = 1e-6


def test_a_camera_is_listed_before_its_first_frame(served: Served) -> None:
    """Every configured camera, in the configured order, by name alone."""
    listed = served.client.list_image_sources()
    assert [source.name for source in listed] == ["front", "rear"]
    assert all(source.rows == source.cols == 0 and not source.pixel_formats for source in listed)


def test_a_camera_is_listed_with_what_its_frames_are(served: Served, front: Ring) -> None:
    """Size, formats and type come from the newest frame."""
    front.show(smooth())
    source = served.client.list_image_sources()[0]
    assert (source.rows, source.cols, source.image_type) == (64, 96, SOURCE.IMAGE_TYPE_VISUAL)
    assert list(source.image_formats) == [IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW, IMAGE.FORMAT_RLE]
    assert list(source.pixel_formats) == [
        IMAGE.PIXEL_FORMAT_RGB_U8,
        IMAGE.PIXEL_FORMAT_GREYSCALE_U8,
        IMAGE.PIXEL_FORMAT_RGBA_U8,
    ]


def test_a_depth_camera_is_listed_as_one(served: Served, front: Ring) -> None:
    """Distances come in millimetres, RAW or with run lengths."""
    front.show(np.full((64, 96), 1234, "<u2"), Encoding.DEPTH16)
    source = served.client.list_image_sources()[0]
    assert (source.image_type, source.depth_scale) == (SOURCE.IMAGE_TYPE_DEPTH, 1000)
    assert list(source.image_formats) == [IMAGE.FORMAT_RAW, IMAGE.FORMAT_RLE]
    assert list(source.pixel_formats) == [IMAGE.PIXEL_FORMAT_DEPTH_U16]
    image = served.one("front").shot.image
    assert (np.frombuffer(image.data, "<u2") == 1234).all()


def test_a_camera_stays_listed_when_its_ring_goes(
    instance: str, served: Served, front: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The robot must not see a source change because a worker is away."""
    monkeypatch.setattr("shm.reader._KEEP_NAMELESS_S", 0.0)
    front.show(smooth())
    before = served.client.list_image_sources()[0]
    names.remove(names.segment_name(instance, "front"))
    assert served.cameras["front"].newest() is None
    assert served.client.list_image_sources()[0] == before


def test_the_sdk_client_gets_a_blue_picture(served: Served, front: Ring) -> None:
    """The whole way: a blue frame in the ring is blue in the JPEG and in RAW, and says its size and formats."""
    front.show(one_colour(BLUE))
    (as_jpeg,) = served.client.get_image_from_sources(["front"])
    picture = cv2.imdecode(np.frombuffer(as_jpeg.shot.image.data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert np.abs(picture.astype(int) - BLUE).max() <= 6
    request = build_image_request("front", image_format=IMAGE.FORMAT_RAW, pixel_format=IMAGE.PIXEL_FORMAT_RGB_U8)
    (as_raw,) = served.client.get_image([request])
    assert as_raw.shot.image.data == bytes((0, 0, 255)) * 64 * 96
    assert (as_raw.shot.image.format, as_raw.shot.image.pixel_format) == (
        IMAGE.FORMAT_RAW,
        IMAGE.PIXEL_FORMAT_RGB_U8,
    )


def test_a_resized_picture_says_its_own_size_and_the_cameras(served: Served, front: Ring) -> None:
    """The image's rows and cols are those of its data; the source's are those of the frame."""
    front.show(smooth())
    answer = served.one("front", resize_ratio=0.25, image_format=IMAGE.FORMAT_RAW)
    assert (answer.shot.image.rows, answer.shot.image.cols) == (16, 24)
    assert len(answer.shot.image.data) == 16 * 24 * 3
    assert (answer.source.rows, answer.source.cols) == (64, 96)


def test_a_ring_of_another_size_and_encoding_is_followed(instance: str, served: Served, front: Ring) -> None:
    """A worker that starts again with other settings: the answers are of its new frames."""
    front.show(smooth())
    assert served.one("front").source.rows == 64
    with Ring(instance, "front") as other:
        other.show(smooth(32, 48)[:, :, 0], Encoding.MONO8)
        answer = served.one("front")
    assert (answer.source.rows, answer.shot.image.rows, answer.shot.image.cols) == (32, 32, 48)
    assert answer.shot.image.pixel_format == IMAGE.PIXEL_FORMAT_GREYSCALE_U8


def test_an_unknown_camera_is_named(served: Served) -> None:
    """The status and the name that was asked for, cut where it is no name any more."""
    answer = served.one("nobody")
    assert (answer.status, answer.source.name) == (STATUS.STATUS_UNKNOWN_CAMERA, "nobody")
    assert len(served.one("x" * 1000).source.name) == 128
    with pytest.raises(UnknownImageSourceError):
        served.client.get_image_from_sources(["nobody"])


def test_answers_come_in_the_order_of_the_request(instance: str, served: Served, front: Ring) -> None:
    """Each entry has its own status, and what is wrong with one does not touch the others."""
    front.show(one_colour(BLUE))
    with Ring(instance, "rear") as rear:
        rear.show(smooth()[:, :, 0], Encoding.MONO8)
        entries = [
            "rear",
            "nobody",
            "front",
            image_pb2.ImageRequest(image_source_name="front", resize_ratio=math.nan),
            image_pb2.ImageRequest(image_source_name="front", image_format=999),
            image_pb2.ImageRequest(image_source_name="rear", pixel_format=IMAGE.PIXEL_FORMAT_DEPTH_U16),
            "rear",
        ]
        answers = served.get(*entries).image_responses
    assert [answer.source.name for answer in answers] == ["rear", "nobody", *["front"] * 3, "rear", "rear"]
    assert [answer.status for answer in answers] == [
        STATUS.STATUS_OK,
        STATUS.STATUS_UNKNOWN_CAMERA,
        STATUS.STATUS_OK,
        STATUS.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED,
        STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED,
        STATUS.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED,
        STATUS.STATUS_OK,
    ]
    assert answers[0] == answers[6]
    assert all(answer.HasField("shot") == (answer.status == STATUS.STATUS_OK) for answer in answers)


def test_an_unknown_parameter_is_named_in_the_answer(served: Served, front: Ring) -> None:
    """STATUS_CUSTOM_PARAMS_ERROR, with the parameter's name in its error messages."""
    front.show(smooth())
    request = image_pb2.ImageRequest(image_source_name="front")
    request.custom_params.values["Contrast"].int_value.value = 1
    (answer,) = served.get(request).image_responses
    assert answer.status == STATUS.STATUS_CUSTOM_PARAMS_ERROR
    assert answer.custom_param_error.status == answer.custom_param_error.STATUS_UNSUPPORTED_PARAMETER
    assert "Contrast" in answer.custom_param_error.error_messages[0]


def test_a_broken_jpeg_is_a_data_error(served: Served, front: Ring) -> None:
    """STATUS_IMAGE_DATA_ERROR with the reason in the header, and the next whole frame is served again."""
    whole = to_jpeg(smooth())
    front.show(smooth(), Encoding.JPEG, data=b"\xff\xd8" + bytes(500))
    response = served.get("front")
    assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
    assert "front: the camera's JPEG cannot be decoded" in response.header.error.message
    with pytest.raises(ImageDataError):
        served.client.get_image_from_sources(["front"])
    front.show(smooth(), Encoding.JPEG, data=whole)
    assert served.one("front").status == STATUS.STATUS_OK


def test_a_failed_encoding_is_known_until_the_newest_frame_can_be_encoded(served: Served, front: Ring) -> None:
    """A client's wish that cannot be fulfilled is none of it; the failure stays until somebody forgets it."""
    camera = served.cameras["front"]
    front.show(smooth(), Encoding.JPEG, data=to_jpeg(smooth()))
    served.one("front", image_format=99)
    served.one("front", resize_ratio=math.nan)
    assert camera.undecodable is None
    front.show(smooth(), Encoding.JPEG, data=b"\xff\xd8" + bytes(500))
    served.one("front")
    failure = camera.undecodable
    assert failure is not None
    assert not camera.decodes_again()
    assert camera.undecodable is failure  # the same frame is not decoded again
    front.show(smooth(), Encoding.JPEG, data=to_jpeg(smooth()))
    assert camera.decodes_again()
    assert camera.undecodable is not None
    front.show(smooth())
    assert camera.decodes_again()  # what failed is not there any more


def test_the_header_says_when_and_echoes_small_requests(served: Served, front: Ring) -> None:
    """Received when the call began, answered when it ended; a large request is not sent back."""
    front.show(smooth())
    request = image_pb2.GetImageRequest(image_requests=[image_pb2.ImageRequest(image_source_name="front")])
    request.header.client_name = "tests"
    before_s = time.time()
    header = served.stub.GetImage(request).header
    stamps = (header.request_received_timestamp, header.response_timestamp)
    times_s = [before_s, *(stamp.ToNanoseconds() / 1e9 for stamp in stamps), time.time()]
    assert all(earlier <= later + ROUNDING_S for earlier, later in itertools.pairwise(times_s))
    echo = image_pb2.GetImageRequest()
    assert header.request.Unpack(echo)
    assert echo == request
    assert header.request_header.client_name == "tests"
    request.image_requests.add(image_source_name="x" * 5000)
    assert not served.stub.GetImage(request).header.HasField("request")


def test_the_time_of_receipt_is_that_of_the_beginning(served: Served, front: Ring) -> None:
    """Encoding lies between the two time stamps of the header."""
    picture = np.zeros((64, 96, 3), np.uint8)
    front.show(picture)
    entries = [
        image_pb2.ImageRequest(image_source_name="front", resize_ratio=0.5 + 0.01 * n, quality_percent=90)
        for n in range(30)
    ]
    header = served.get(*entries).header
    assert header.request_received_timestamp.ToNanoseconds() + 100_000 < header.response_timestamp.ToNanoseconds()


def test_the_acquisition_time_is_robot_time(served: Served, front: Ring) -> None:
    """Captured 0.25 s ago, on the robot's clock; the same frame always has the same time."""
    front.show(smooth(), age_s=0.25)
    now_ns = time.monotonic_ns()
    robot_ns = served.one("front").shot.acquisition_time.ToNanoseconds()
    assert robot_ns == pytest.approx(now_ns + OFFSET_NS - 250_000_000, abs=50_000_000)
    assert served.one("front").shot.acquisition_time.ToNanoseconds() == robot_ns


def test_there_is_no_image_before_the_first_time_sync(instance: str, front: Ring) -> None:
    """A time that is not the robot's would be believed: better no image, with the reason."""
    clock = RobotClock(None)
    front.show(smooth())
    with serving(instance, "front", clock=clock) as served:
        response = served.get("front")
        assert response.image_responses[0].status == STATUS.STATUS_IMAGE_DATA_ERROR
        assert "time sync" in response.header.error.message
        clock.offset_ns = OFFSET_NS
        assert served.one("front").status == STATUS.STATUS_OK


@pytest.mark.parametrize(
    ("gain", "exposure_s", "expected"),
    [
        (2.5, 0.004, (2.5, 4_000_000)),
        (math.nan, math.nan, (0, 0)),
        (-1.0, -1.0, (0, 0)),
        (math.inf, math.inf, (0, 0)),
        (0.0, 4000.0, (0, 0)),
    ],
)
def test_capture_parameters_are_told_if_they_are_known(
    served: Served, front: Ring, gain: float, exposure_s: float, expected: tuple[float, int]
) -> None:
    """What a driver says for "unknown" or "infinite" is left out instead of passed on."""
    front.show(smooth(), gain=gain, exposure_s=exposure_s)
    answer = served.one("front")
    assert answer.status == STATUS.STATUS_OK
    params = answer.shot.capture_params
    assert (params.gain, params.exposure_duration.ToNanoseconds()) == expected


def test_numbers_and_times_never_go_back_while_frames_flow(served: Served, front: Ring) -> None:
    """One client, asking as fast as it can in two formats, over many frames."""
    with front.showing(smooth(), period_s=0.002):
        times_ns = [
            served.one("front", image_format=1 + n % 2).shot.acquisition_time.ToNanoseconds() for n in range(200)
        ]
    assert times_ns == sorted(times_ns)
    assert len(set(times_ns)) > 10


def test_a_ring_with_what_is_no_picture_concerns_its_camera_only(served: Served, front: Ring, instance: str) -> None:
    """Whatever somebody wrote into one camera's ring, the other is listed and served."""
    front.show(smooth(), Encoding.JSON, data=b"{}")
    with Ring(instance, "rear") as rear:
        rear.show(smooth())
        assert [source.name for source in served.client.list_image_sources()] == ["front", "rear"]
        assert served.one("front").status == STATUS.STATUS_IMAGE_DATA_ERROR
        assert served.one("rear").status == STATUS.STATUS_OK
