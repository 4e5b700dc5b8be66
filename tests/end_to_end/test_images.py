"""What a client of the robot gets: whole pictures of the right camera, right in colour, size and time."""

import math
import time
from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2
from bosdyn.client.exceptions import InvalidRequestError, RpcError
from numpy.typing import NDArray

from capture_worker import pattern
from tests.end_to_end.running import OK, Pipeline

IMAGE = image_pb2.Image
RESPONSE = image_pb2.ImageResponse


def pixels(answer: image_pb2.ImageResponse) -> NDArray[Any]:
    """The picture in an answer, RGB or grey, decoded if it is a JPEG."""
    image = answer.shot.image
    if image.format == IMAGE.FORMAT_JPEG:
        grey = image.pixel_format == IMAGE.PIXEL_FORMAT_GREYSCALE_U8
        decoded = cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded if grey else decoded[:, :, ::-1]
    flat = np.frombuffer(image.data, np.uint8)
    return flat.reshape(image.rows, image.cols, -1).squeeze()


def test_sources_are_described(pipeline: Pipeline) -> None:
    """ListImageSources names every camera, in the configured order, with its true size."""
    sources = pipeline.images.list_image_sources()
    assert [(source.name, source.rows, source.cols) for source in sources] == [("front", 480, 640), ("rear", 720, 1280)]


def test_raw_is_the_cameras_own_picture(pipeline: Pipeline) -> None:
    """A RAW answer is one whole frame of the camera that was asked for, in RGB."""
    answer = pipeline.ask("front", image_format=IMAGE.FORMAT_RAW, pixel_format=IMAGE.PIXEL_FORMAT_RGB_U8)
    assert answer.status == OK
    pattern.check(pixels(answer), "front", order="rgb")


@pytest.mark.parametrize("camera", ["front", "rear"])
@pytest.mark.parametrize("pixel_format", [IMAGE.PIXEL_FORMAT_RGB_U8, IMAGE.PIXEL_FORMAT_GREYSCALE_U8])
@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_jpeg_is_whole_and_rightly_coloured(
    pipeline: Pipeline, camera: str, pixel_format: "image_pb2.Image.PixelFormat", ratio: float
) -> None:
    """A JPEG answer decodes to the camera's picture, with rows and cols of what was sent."""
    answer = pipeline.ask(camera, quality_percent=90, pixel_format=pixel_format, resize_ratio=ratio)
    assert answer.status == OK
    picture = pixels(answer)
    assert picture.shape[:2] == (answer.shot.image.rows, answer.shot.image.cols)
    assert answer.shot.image.rows == round(answer.source.rows * (ratio or 1))
    pattern.check_lossy(picture, camera, order="rgb")


def test_acquisition_time_is_in_robot_time(pipeline: Pipeline) -> None:
    """The acquisition time is when the frame was captured, by the robot's clock."""
    answer = pipeline.ask("front")
    behind_s = (pipeline.robot.now_ns() - answer.shot.acquisition_time.ToNanoseconds()) / 1e9
    assert 0 <= behind_s < 1.0
    assert abs(time.time() - answer.shot.acquisition_time.seconds) > 60, "the simulated robot's clock is another one"


def test_frames_never_go_back(pipeline: Pipeline) -> None:
    """Asked again and again, a camera's pattern numbers and acquisition times only rise."""
    numbers, times = [], []
    for _ in range(60):
        answer = pipeline.ask("front", image_format=IMAGE.FORMAT_RAW)
        numbers.append(pattern.check(pixels(answer), "front", order="rgb"))
        times.append(answer.shot.acquisition_time.ToNanoseconds())
    assert numbers == sorted(numbers)
    assert times == sorted(times)
    assert len(set(numbers)) > 1


@pytest.mark.parametrize(
    ("request_fields", "status"),
    [
        ({"resize_ratio": math.nan}, RESPONSE.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED),
        ({"image_format": 999}, RESPONSE.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED),
        ({"pixel_format": 999}, RESPONSE.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED),
        ({"pixel_format": -1}, RESPONSE.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED),
    ],
)
def test_what_cannot_be_done_is_refused(pipeline: Pipeline, request_fields: dict[str, float], status: int) -> None:
    """A bad request gets the proto's status: it raises no fault, and the service lives."""
    servicer = pipeline.pid("servicer")
    assert pipeline.ask("front", **request_fields).status == status
    assert pipeline.answers("front")
    assert pipeline.pid("servicer") == servicer
    assert pipeline.faults() == {}


def test_unknown_source(pipeline: Pipeline) -> None:
    """A source that does not exist has a status of its own, and its name in the answer."""
    answer = pipeline.ask("nobody")
    assert (answer.status, answer.source.name) == (RESPONSE.STATUS_UNKNOWN_CAMERA, "nobody")


def test_ten_thousand_entries(pipeline: Pipeline) -> None:
    """A request that asks for too much is refused as a whole, in words."""
    request = image_pb2.ImageRequest(image_source_name="front")
    with pytest.raises((InvalidRequestError, RpcError)):
        pipeline.images.get_image([request] * 10_000, timeout=10)
    assert pipeline.answers("front")
    assert pipeline.faults() == {}
