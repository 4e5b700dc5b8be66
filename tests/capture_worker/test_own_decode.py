"""Image data of every kind becomes a frame, and a class that makes its own pictures is checked."""

import sys
from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2

from capture_worker import own_picture
from capture_worker.camera import CorruptFrameError, OpenFailedError, ReadFailedError, UnsupportedRequestError
from capture_worker.camera_interface import CameraInterfaceCamera
from shm import Encoding
from tests.capture_worker.harness import wait_for
from tests.capture_worker.own_cameras import next_frame, own

Image = image_pb2.Image
JPEG, RAW, RLE = Image.FORMAT_JPEG, Image.FORMAT_RAW, Image.FORMAT_RLE
RGB, GREY = Image.PIXEL_FORMAT_RGB_U8, Image.PIXEL_FORMAT_GREYSCALE_U8
RGBA, DEPTH = Image.PIXEL_FORMAT_RGBA_U8, Image.PIXEL_FORMAT_DEPTH_U16
BLUE = (255, 0, 0)  # in the ring's order
DEPTHS = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 50


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a camera puts its folder into the path of this process."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "imencoded", "column", "row"])
def test_a_jpeg_is_passed_on_as_it_is(kind: str) -> None:
    """Bytes of any type, or OpenCV's array of them."""
    with own("kinds:Kind", kind) as camera:
        frame = next_frame(camera)
    assert (frame.encoding, frame.rows, frame.cols) == (Encoding.JPEG, 24, 32)
    pixels = cv2.imdecode(frame.payload, cv2.IMREAD_COLOR)
    assert pixels is not None
    assert np.abs(pixels.astype(int) - BLUE).max() <= 2


@pytest.mark.parametrize(
    ("kind", "encoding", "colour"),
    [
        ("grey", Encoding.MONO8, 255),
        ("grey1", Encoding.MONO8, [255]),
        ("bgr", Encoding.BGR8, BLUE),
        ("bgra", Encoding.BGRA8, (*BLUE, 255)),
        ("rgb", Encoding.BGR8, BLUE),
        ("rgba", Encoding.BGRA8, (*BLUE, 255)),
    ],
)
def test_pixels_arrive_in_the_rings_order(kind: str, encoding: Encoding, colour: Any) -> None:
    """Grey with two or three axes (D41), colours with or without alpha, in either order: blue stays blue (D5)."""
    with own("kinds:Kind", kind, channel_order="rgb" if kind.startswith("rgb") else "bgr") as camera:
        frame = next_frame(camera)
    assert (frame.encoding, frame.rows, frame.cols) == (encoding, 24, 32)
    assert np.array_equal(frame.payload, np.broadcast_to(colour, frame.payload.shape))
    assert frame.payload.flags.c_contiguous


@pytest.mark.parametrize("kind", ["uint16", "uint16_1", "big_endian"])
@pytest.mark.parametrize(("factory", "encoding"), [("Kind", Encoding.MONO16), ("make_depth", Encoding.DEPTH16)])
def test_sixteen_bits_are_depths_if_the_source_says_so(kind: str, factory: str, encoding: Encoding) -> None:
    """Stored little-endian whatever the class returns."""
    with own(f"kinds:{factory}", kind) as camera:
        frame = next_frame(camera)
    assert frame.encoding is encoding
    assert frame.payload.tobytes() == DEPTHS.astype("<u2").tobytes()


@pytest.mark.parametrize("kind", ["dict", "float", "png"])
def test_data_that_no_ring_holds_is_made_a_picture_by_the_class(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once per frame, as a JPEG; said once."""
    with own("kinds:Kind", kind) as camera:
        frames = [next_frame(camera) for _ in range(2)]
    assert [frame.encoding for frame in frames] == [Encoding.JPEG, Encoding.JPEG]
    pixels = cv2.imdecode(frames[0].payload, cv2.IMREAD_COLOR)
    assert pixels is not None
    assert np.abs(pixels.astype(int) - BLUE).max() <= 2
    assert caplog.text.count("Kind.image_decode makes every frame") == 1


def test_depths_in_an_object_of_their_own_stay_depths() -> None:
    """The class is asked for RAW where no JPEG holds its pixels."""
    with own("kinds:make_depth", "depth_object") as camera:
        frame = next_frame(camera)
    assert frame.encoding is Encoding.DEPTH16
    assert frame.payload.tobytes() == DEPTHS.tobytes()


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("none", ReadFailedError, "Kind.blocking_capture returned no image data"),
        ("empty", CorruptFrameError, "empty picture"),
        ("empty_array", CorruptFrameError, "empty picture"),
        ("cut_jpeg", CorruptFrameError, "broken JPEG"),
        ("no_axis", CorruptFrameError, r"returned an array \(\) of uint8; Kind.image_decode raised KeyError"),
        ("object", CorruptFrameError, "Kind.blocking_capture returned object; Kind.image_decode raised KeyError"),
    ],
)
def test_what_is_no_picture_is_a_failed_read(kind: str, error: type[Exception], text: str) -> None:
    """The sentence says what was returned."""
    with own("kinds:Kind", kind) as camera, pytest.raises(error, match=text):
        next_frame(camera)


def test_a_class_may_reuse_its_buffer() -> None:
    """What was copied before the next capture stays what it was."""
    with own("troubled:Buffered") as camera:
        copies = [next_frame(camera).payload.copy() for _ in range(3)]
    assert [int(copy[0, 0, 0]) for copy in copies] == [1, 2, 3]


def picture(camera: CameraInterfaceCamera, **image_request: Any) -> Any:
    """Have the class make a picture."""
    return Image.FromString(camera.decode(image_request))


def test_a_class_makes_its_own_pictures_of_the_frame_captured_last() -> None:
    """What it makes is found out while opening; a request is passed on with all that it says."""
    with own("legacy:Before33", image_decode="own") as camera:
        assert camera.describe().own_decode == ((RAW, GREY),)
        for _ in range(3):
            frame = next_frame(camera)
            made = picture(camera, image_format="FORMAT_RAW", pixel_format="PIXEL_FORMAT_GREYSCALE_U8")
            assert (made.rows, made.cols, made.format, made.pixel_format) == (24, 32, RAW, GREY)
            assert made.data == frame.payload.tobytes()


def test_a_jpeg_of_a_picture_with_alpha_may_be_called_so() -> None:
    """As the SDK's example calls it, and as our own are called; docs/decisions/0007."""
    with own("kinds:make_alpha", image_decode="own") as camera:
        assert camera.describe().own_decode == ((JPEG, RGBA), (RAW, RGBA))
        next_frame(camera)
        assert picture(camera, image_format="FORMAT_JPEG").pixel_format == RGBA


def test_the_oldest_image_decode_gets_format_and_quality() -> None:
    """A class from before 3.1 need not say what its pixels are; its TypeError is its own (D17)."""
    with own("legacy:Before31", image_decode="own") as camera:
        assert camera.describe().own_decode == ((RAW, GREY),)
        next_frame(camera)
        assert picture(camera, image_format="FORMAT_RAW").pixel_format == GREY
    with own("legacy:Before31", image_decode="own") as camera:
        camera._decoder.pairs = ((JPEG, GREY),)
        next_frame(camera)
        with pytest.raises(CorruptFrameError, match=r"Before31.image_decode raised TypeError: format 1 at 33.0 %"):
            picture(camera, image_format="FORMAT_JPEG", quality_percent=33.0)


@pytest.mark.parametrize(
    "image_request",
    [
        {"image_format": "FORMAT_JPEG"},
        {"image_format": "FORMAT_RLE", "pixel_format": "PIXEL_FORMAT_GREYSCALE_U8"},
        {"image_format": "FORMAT_RAW", "pixel_format": "PIXEL_FORMAT_RGB_U8"},
        {"image_format": "FORMAT_GIF"},
        {"no_field": 1},
    ],
)
def test_what_a_class_does_not_make_is_unsupported(image_request: dict[str, Any]) -> None:
    """A client's wish is no failure of the camera (D16, D18)."""
    with own("legacy:Before33", image_decode="own") as camera:
        next_frame(camera)
        with pytest.raises(UnsupportedRequestError):
            camera.decode(image_request)


@pytest.mark.parametrize(("chooses", "asked"), [(False, RGB), (True, 0)])
def test_pixels_are_left_to_the_class_if_it_can_choose(chooses: bool, asked: int) -> None:
    """A request that does not say which is passed on as it is, or names those that the class was seen to make."""
    with own("troubled:Picky", arguments={"chooses": chooses}, image_decode="own") as camera:
        next_frame(camera)
        for image_request in ({}, {"image_format": "FORMAT_RAW"}):
            assert picture(camera, **image_request).pixel_format == RGB
            assert camera._user.camera.asked[-1] == asked


def test_a_class_that_fails_later_is_a_failure_of_the_camera(caplog: pytest.LogCaptureFixture) -> None:
    """With type and text (D18), and the stack in the log, once."""
    with own("troubled:Camera", "bad_decode", 2, image_decode="own") as camera:
        assert camera.describe().own_decode == ((RAW, RGB),)
        wait_for(lambda: next_frame(camera) and camera._user.camera.captures > 2)
        for _ in range(2):
            with pytest.raises(CorruptFrameError, match=r"raised TypeError: decode does not work today"):
                camera.decode({})
    assert caplog.text.count('raise TypeError("decode does not work today")') == 1


def test_a_class_that_fails_at_one_request_only_does_not_support_it(caplog: pytest.LogCaptureFixture) -> None:
    """What it makes of the same data without such a wish shows that it works."""
    with own("troubled:FullSize", image_decode="own") as camera:
        next_frame(camera)
        for _ in range(2):
            with pytest.raises(UnsupportedRequestError, match="raised ValueError: not so small"):
                camera.decode({"resize_ratio": 0.2})
        assert picture(camera, resize_ratio=0.5).format == RAW
    assert caplog.text.count("Traceback") == 1


def test_a_class_that_fails_at_every_request_has_failed_whatever_was_asked() -> None:
    """A client's wish for another size is no excuse."""
    with own("troubled:Camera", "bad_decode", 1, image_decode="own") as camera:
        wait_for(lambda: next_frame(camera) and camera._user.camera.captures > 1)
        with pytest.raises(CorruptFrameError, match="raised TypeError"):
            camera.decode({"resize_ratio": 0.2})


@pytest.mark.parametrize(("trouble", "kind"), [("bad_decode", "TypeError"), ("exit_decode", "SystemExit: 0")])
def test_a_class_that_makes_no_picture_does_not_open(trouble: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The first reason is given, and the log shows where it is."""
    with pytest.raises(OpenFailedError, match=f"image_decode raised {kind}"):
        own("troubled:Camera", trouble, 0, image_decode="own").__enter__()
    assert caplog.text.count("Traceback") == 1


def test_nothing_is_made_before_a_capture_or_after_a_failed_one() -> None:
    """A picture of an older frame would pass for the new one."""
    with own("troubled:Camera", "raise_type_error", 1, image_decode="own") as camera:
        next_frame(camera)
        assert camera.decode({})
        with pytest.raises(ReadFailedError):
            next_frame(camera)
        with pytest.raises(ReadFailedError, match="captured nothing"):
            camera.decode({})


def test_the_use_of_image_decode_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """By default the pipeline makes the pictures; the log says how to change that."""
    caplog.set_level("INFO")
    with own("troubled:Camera"):
        assert 'Camera.image_decode is not used; it would be with image_decode = "own"' in caplog.text
    with own("troubled:Camera", image_decode="own"):
        assert "Camera.image_decode makes RAW of RGB_U8" in caplog.text
        assert "red and blue are swapped in RAW" in caplog.text  # D5, in a class that does so


PIXELS = bytes(range(6))
BLUE_JPEG = cv2.imencode(".jpg", np.full((8, 16, 3), BLUE, np.uint8))[1].tobytes()
GREY_JPEG = cv2.imencode(".jpg", np.full((8, 16), 5, np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("image", "asked", "text"),
    [
        (Image(rows=1, cols=6, format=RAW, pixel_format=GREY), (RAW, GREY), "left the picture empty"),
        (Image(rows=1, cols=6, data=PIXELS), (0, 0), "did not say in which format"),
        (Image(rows=1, cols=3, format=RAW, data=PIXELS), (RAW, 0), "did not say what its pixels are"),
        (
            Image(rows=1, cols=5, format=RAW, pixel_format=GREY, data=PIXELS),
            (RAW, GREY),
            "made 6 bytes, which are not 5",
        ),
        (Image(rows=-2, cols=-3, format=RAW, pixel_format=GREY, data=PIXELS), (RAW, GREY), "which are not"),
        (Image(rows=1, cols=6, format=RAW, pixel_format=GREY, data=PIXELS), (RAW, RGB), "made RAW of GREYSCALE_U8"),
        (Image(rows=1, cols=6, format=RAW, pixel_format=GREY, data=PIXELS), (RLE, GREY), "made RAW of GREYSCALE_U8"),
        (Image(rows=1, cols=7, format=RLE, pixel_format=GREY, data=b"\x02a\x03b"), (RLE, GREY), "which are not 7 x 1"),
        (Image(rows=1, cols=5, format=RLE, pixel_format=GREY, data=b"\x02a\x03"), (RLE, GREY), "which are not 5 x 1"),
        (Image(format=JPEG, data=BLUE_JPEG[:-9]), (JPEG, 0), "made a broken JPEG: it has no end"),
        (Image(format=JPEG, pixel_format=GREY, data=BLUE_JPEG), (JPEG, GREY), "which is no JPEG of GREYSCALE_U8"),
        (Image(format=99, data=PIXELS), (0, 0), "did not say in which format"),
    ],
)
def test_a_picture_that_is_not_what_it_says_is_refused(image: Any, asked: tuple[int, int], text: str) -> None:
    """Empty, of the wrong length, of another format (D7, D18)."""
    own_picture.complete(image)
    assert text in (own_picture.problem(image, *asked) or "")


@pytest.mark.parametrize(
    ("image", "asked", "size", "pixel_format"),
    [
        (Image(rows=2, cols=3, format=RAW, data=PIXELS), (RAW, GREY), (2, 3), GREY),
        (Image(rows=1, cols=2, format=RAW, data=PIXELS), (RAW, 0), (1, 2), RGB),
        (Image(rows=1, cols=3, format=RAW, pixel_format=DEPTH, data=PIXELS), (RAW, DEPTH), (1, 3), DEPTH),
        (Image(rows=1, cols=5, format=RLE, pixel_format=GREY, data=b"\x02a\x03b"), (RLE, 0), (1, 5), GREY),
        (Image(rows=99, cols=99, data=BLUE_JPEG), (0, 0), (8, 16), RGB),
        (Image(format=JPEG, data=GREY_JPEG), (JPEG, GREY), (8, 16), GREY),
        (Image(format=JPEG, pixel_format=RGB, data=GREY_JPEG), (JPEG, RGB), (8, 16), RGB),
        (Image(format=JPEG, pixel_format=RGBA, data=BLUE_JPEG), (JPEG, RGBA), (8, 16), RGBA),
    ],
)
def test_what_follows_from_a_picture_is_filled_in(
    image: Any, asked: tuple[int, int], size: tuple[int, int], pixel_format: int
) -> None:
    """A JPEG's true size and kind, and what pixels can only be."""
    own_picture.complete(image)
    assert own_picture.problem(image, *asked) is None
    assert (image.rows, image.cols) == size
    assert image.pixel_format == pixel_format
