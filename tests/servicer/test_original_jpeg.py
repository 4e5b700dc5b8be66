"""A camera that sends JPEG: when its own bytes are the answer, and what is decoded of them when they are not."""

from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2

from servicer import jpeg
from servicer.image_request import Wanted, check
from servicer.orientation import Orientation
from servicer.picture import UndecodableFrameError, encode
from servicer.pixel_formats import GREY_U8, RGB_U8
from shm import Encoding
from tests.servicer.serving import IMAGE, Picture, frame_of, smooth

JPEG, RAW = IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW
ROWS, COLS = 480, 640


def camera_jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Compress as a camera of this quality does."""
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def answered(asked: dict[str, Any], data: bytes, orientation: Orientation | None = None) -> bytes:
    """What a client gets of a camera that sends these bytes."""
    wanted = check(image_pb2.ImageRequest(**asked), Encoding.JPEG)
    assert isinstance(wanted, Wanted)
    frame = frame_of(smooth(ROWS, COLS), Encoding.JPEG, data)
    return encode(frame, wanted, orientation or Orientation()).data


@pytest.mark.parametrize("asked", [{}, {"quality_percent": 85}, {"quality_percent": 100}, {"resize_ratio": 1.0}])
def test_the_cameras_own_jpeg_is_sent_as_it_is(asked: dict[str, Any]) -> None:
    """To whoever has not said which quality, and to whoever would get no better one."""
    original = camera_jpeg(smooth(ROWS, COLS))
    assert answered(asked, original) == original


@pytest.mark.parametrize(
    ("asked", "orientation"),
    [
        ({"quality_percent": 75}, None),
        ({"resize_ratio": 0.99}, None),
        ({"pixel_format": GREY_U8}, None),
        ({}, Orientation(rotate=180)),
        ({}, Orientation(flip="vertical")),
        ({}, Orientation(crop=(0, 0, COLS - 8, ROWS))),
    ],
)
def test_what_differs_from_it_is_made(asked: dict[str, Any], orientation: Orientation | None) -> None:
    """Smaller, grey, upright, or with fewer bytes."""
    original = camera_jpeg(smooth(ROWS, COLS))
    made = answered(asked, original, orientation)
    assert made != original
    assert cv2.imdecode(np.frombuffer(made, np.uint8), cv2.IMREAD_COLOR) is not None


def test_a_grey_camera_has_grey_jpegs() -> None:
    """Its own are no colour pictures, however it is asked."""
    original = camera_jpeg(smooth(ROWS, COLS)[:, :, 0])
    assert answered({"pixel_format": GREY_U8}, original) == original
    assert answered({"pixel_format": RGB_U8}, original) != original


def test_what_not_every_decoder_understands_is_made_anew() -> None:
    """A rotation in its EXIF part, which ours ignores, and tables that are left to the decoder."""
    original = camera_jpeg(smooth(ROWS, COLS))
    exif = b"\xff\xe1\x00\x10Exif\x00\x00II*\x00\x08\x00\x00\x00"
    assert answered({}, original[:2] + exif + original[2:]) != original
    without_tables = original.replace(b"\xff\xc4", b"\xff\xe5")  # as if they were a comment
    facts = jpeg.facts_of(without_tables, ROWS, COLS)
    assert facts is not None
    assert not facts.has_huffman_tables


def test_a_broken_one_is_not_sent() -> None:
    """Even if all its headers are right."""
    original = camera_jpeg(smooth(ROWS, COLS))
    tables = original.index(b"\xff\xc4") + 5
    with pytest.raises(UndecodableFrameError):
        answered({}, original[:tables] + bytes(40) + original[tables + 40 :])


@pytest.mark.parametrize("quality", [*range(20, 100, 5), 98, 100])
def test_the_quality_is_read_off_its_table(quality: int) -> None:
    """As it was given to the encoder, within rounding. Below 20 the entries of the table are cut."""
    facts = jpeg.facts_of(camera_jpeg(smooth(ROWS, COLS), quality), ROWS, COLS)
    assert facts is not None
    assert facts.quality_percent == pytest.approx(quality, abs=2)


@pytest.mark.parametrize("ratio", [0.7, 0.5, 0.37, 0.25, 0.125, 0.05, 0.01])
@pytest.mark.parametrize("pixel_format", [RGB_U8, GREY_U8])
@pytest.mark.parametrize("orientation", [Orientation(), Orientation(rotate=90, flip="horizontal")])
@pytest.mark.parametrize("size", [(480, 640), (479, 637)])
def test_a_small_picture_is_that_of_the_whole_one(
    ratio: float, pixel_format: int, orientation: Orientation, size: tuple[int, int]
) -> None:
    """What is decoded to fewer pixels looks like what is decoded whole and shrunk then, and has the same size."""
    data = camera_jpeg(smooth(*size), 95)
    small = encode(frame_of(smooth(*size), Encoding.JPEG, data), Wanted(RAW, pixel_format, 0, ratio), orientation)
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert whole is not None
    other = encode(frame_of(whole, Encoding.BGR8), Wanted(RAW, pixel_format, 0, ratio), orientation)
    assert (small.rows, small.cols) == (other.rows, other.cols)
    difference = np.frombuffer(small.data, np.uint8).astype(int) - np.frombuffer(other.data, np.uint8)
    assert np.abs(difference).mean() < 2
