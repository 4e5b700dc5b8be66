"""Pictures put upright: what comes where, for every way to mount a camera, and for crops that do not fit."""

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2

from servicer.image_request import Wanted
from servicer.image_source import SourceDescription
from servicer.orientation import NothingLeftError, Orientation
from servicer.picture import Encoded, UndecodableFrameError, encode
from servicer.pixel_formats import DEPTH_U16, GREY_U8, RGB_U8, Picture
from shm import Encoding
from supervision.camera_settings import CameraSettings
from tests.servicer.serving import IMAGE, frame_of, smooth, to_jpeg

RAW = IMAGE.FORMAT_RAW
ROWS, COLS = 48, 64
CROPS = [None, (0, 0, 40, 30), (7, 5, 30, 41)]
WAYS = list(itertools.product(CROPS, [0, 90, 180, 270], ["none", "horizontal", "vertical"]))


def upright(picture: Picture, crop: tuple[int, int, int, int] | None, rotate: int, flip: str) -> Picture:
    """The picture as it should be, by numpy's own words for each step."""
    if crop:
        left, top, width, height = crop
        picture = picture[top : top + height, left : left + width]
    picture = np.rot90(picture, -rotate // 90)  # its positive direction is the other one
    return {"none": picture, "horizontal": np.fliplr(picture), "vertical": np.flipud(picture)}[flip]


def raw(picture: Picture, encoding: Encoding, pixel_format: int, orientation: Orientation, **frame: Any) -> Encoded:
    """Encode as RAW."""
    return encode(frame_of(picture, encoding, **frame), Wanted(RAW, pixel_format, 0, 1.0), orientation)


@pytest.mark.parametrize(("crop", "rotate", "flip"), WAYS)
def test_pictures_are_cropped_then_turned_clockwise_then_mirrored(
    crop: tuple[int, int, int, int] | None, rotate: int, flip: str
) -> None:
    """In every encoding, and rows and cols are those of what comes out."""
    orientation = Orientation(crop, rotate, flip)
    colour = smooth(ROWS, COLS)
    depth = np.arange(ROWS * COLS, dtype="<u2").reshape(ROWS, COLS)
    for picture, encoding, pixel_format, last in (
        (colour, Encoding.BGR8, RGB_U8, (3,)),
        (colour[:, :, 0], Encoding.MONO8, GREY_U8, ()),
        (depth, Encoding.DEPTH16, DEPTH_U16, ()),
    ):
        made = raw(picture, encoding, pixel_format, orientation, padding_bytes=6)
        expected = upright(picture[:, :, ::-1] if last else picture, crop, rotate, flip)
        assert (made.rows, made.cols) == expected.shape[:2] == orientation.size(ROWS, COLS)
        assert (made.frame_rows, made.frame_cols) == (ROWS, COLS)
        assert made.data == np.ascontiguousarray(expected).tobytes()


@pytest.mark.parametrize(("crop", "rotate", "flip"), WAYS)
def test_the_map_of_coordinates_says_the_same(crop: tuple[int, int, int, int] | None, rotate: int, flip: str) -> None:
    """The pixel that came to (u, v) is the one that `pixel_map` sends there."""
    orientation = Orientation(crop, rotate, flip)
    came_from = orientation.apply(np.moveaxis(np.indices((ROWS, COLS), np.uint8), 0, 2))
    rows, cols = came_from.shape[:2]
    v, u = came_from.reshape(-1, 2).T.astype(float)
    sent_to = orientation.pixel_map(ROWS, COLS) @ np.stack([u, v, np.ones_like(u)])
    here_v, here_u = np.mgrid[0:rows, 0:cols].reshape(2, -1)
    assert np.array_equal(sent_to, np.stack([here_u, here_v, np.ones_like(u)]))


@pytest.mark.parametrize("image_format", [IMAGE.FORMAT_JPEG, RAW])
def test_compressed_frames_are_turned_too(image_format: int) -> None:
    """A camera's own JPEG is never handed on as it is when something is to be done to it."""
    picture = smooth(ROWS, COLS)
    frame = frame_of(picture, Encoding.JPEG, to_jpeg(picture))
    made = encode(frame, Wanted(image_format, RGB_U8, 95 if image_format != RAW else 0, 1.0), Orientation(None, 90))
    assert (made.rows, made.cols) == (COLS, ROWS)
    sent = np.frombuffer(made.data, np.uint8)
    got = cv2.imdecode(sent, cv2.IMREAD_COLOR) if image_format != RAW else sent.reshape(COLS, ROWS, 3)[:, :, ::-1]
    assert got is not None
    assert cv2.PSNR(np.ascontiguousarray(got), np.ascontiguousarray(np.rot90(picture, -1))) > 30


def test_nothing_is_done_when_nothing_is_configured() -> None:
    """Not even a copy."""
    picture = smooth()
    assert Orientation().apply(picture).base is picture


def test_of_a_crop_that_reaches_beyond_the_frame_the_inside_is_shown() -> None:
    """A device may deliver other sizes than it was asked for."""
    picture = smooth(ROWS, COLS)
    made = raw(picture, Encoding.BGR8, RGB_U8, Orientation((50, 40, 640, 480)))
    assert (made.rows, made.cols) == (8, 14)
    assert made.data == np.ascontiguousarray(picture[40:, 50:, ::-1]).tobytes()


@pytest.mark.parametrize("crop", [(64, 0, 10, 10), (0, 48, 10, 10), (65535, 65535, 1, 1)])
def test_a_crop_outside_the_frame_is_a_sentence(crop: tuple[int, int, int, int]) -> None:
    """No picture is sent, the source claims no size, and neither raises anything that nobody expects."""
    orientation = Orientation(crop)
    with pytest.raises(UndecodableFrameError, match=r"lies outside the frame of 64 x 48 pixels"):
        raw(smooth(ROWS, COLS), Encoding.BGR8, RGB_U8, orientation)
    with pytest.raises(NothingLeftError):
        orientation.pixel_map(ROWS, COLS)
    settings = CameraSettings(driver="synthetic", crop=crop)
    source = SourceDescription("front", settings).source(Encoding.BGR8, (ROWS, COLS))
    assert (source.rows, source.cols, source.image_type) == (0, 0, image_pb2.ImageSource.IMAGE_TYPE_VISUAL)
