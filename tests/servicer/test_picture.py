"""From a frame to the bytes that a client gets: colours, sizes, byte order, quality."""

import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from servicer import run_length
from servicer.image_request import Wanted, image_formats
from servicer.picture import Encoded, UndecodableFrameError, encode
from servicer.pixel_formats import DEPTH_U16, GREY_U8, GREY_U16, RGB_U8, RGBA_U8, advertised
from shm import Encoding
from tests.servicer.serving import BLUE, GREEN, IMAGE, RED, Picture, frame_of, one_colour, smooth, to_jpeg

JPEG, RAW, RLE = IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW, IMAGE.FORMAT_RLE
PICTURES = [encoding for encoding in Encoding if encoding is not Encoding.JSON]
BYTES = {GREY_U8: 1, RGB_U8: 3, RGBA_U8: 4, DEPTH_U16: 2, GREY_U16: 2}  # of a pixel
GREYS = {BLUE: 29, GREEN: 150, RED: 76}  # ITU-R BT.601
CHANNELS = {GREY_U8: 1, RGB_U8: 3, RGBA_U8: 4}
TOLERANCE = 6  # of a JPEG of one colour


def raw(frame: Any, pixel_format: int, ratio: float = 1.0) -> Picture:
    """Encode as RAW, and shape what comes out by the rows and cols that it claims."""
    made = encode(frame, Wanted(RAW, pixel_format, 0, ratio))
    return np.frombuffer(made.data, np.uint8).reshape(made.rows, made.cols, CHANNELS[pixel_format])


def jpeg(frame: Any, pixel_format: int = RGB_U8, quality: int = 90, ratio: float = 1.0) -> Encoded:
    """Encode as JPEG."""
    return encode(frame, Wanted(JPEG, pixel_format, quality, ratio))


def decoded(made: Encoded) -> Picture:
    """Decode a JPEG as it is: grey ones stay grey, colours come in OpenCV's order."""
    picture = cv2.imdecode(np.frombuffer(made.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.shape[:2] == (made.rows, made.cols)
    return picture


def frames_of(colour: tuple[int, int, int]) -> dict[Encoding, Any]:
    """The same colour in every encoding that has colours."""
    picture = one_colour(colour)
    return {
        Encoding.BGR8: frame_of(picture, Encoding.BGR8, padding_bytes=5),
        Encoding.BGRA8: frame_of(one_colour((*colour, 77)), Encoding.BGRA8),
        Encoding.JPEG: frame_of(picture, Encoding.JPEG, to_jpeg(picture)),
    }


@pytest.mark.parametrize("colour", [BLUE, GREEN, RED])
@pytest.mark.parametrize("encoding", [Encoding.BGR8, Encoding.BGRA8, Encoding.JPEG])
def test_blue_is_blue(colour: tuple[int, int, int], encoding: Encoding) -> None:
    """RAW is in the proto's order (red first), a JPEG shows the same colours, and grey has their brightness."""
    frame = frames_of(colour)[encoding]
    exact = TOLERANCE if encoding is Encoding.JPEG else 0
    assert np.abs(raw(frame, RGB_U8).astype(int) - colour[::-1]).max() <= exact
    rgba = raw(frame, RGBA_U8)
    assert np.abs(rgba[..., :3].astype(int) - colour[::-1]).max() <= exact
    assert (rgba[..., 3] == (77 if encoding is Encoding.BGRA8 else 255)).all()
    assert np.abs(raw(frame, GREY_U8).astype(int) - GREYS[colour]).max() <= exact
    assert np.abs(decoded(jpeg(frame)).astype(int) - colour).max() <= TOLERANCE
    grey = decoded(jpeg(frame, GREY_U8))
    assert grey.ndim == 2
    assert np.abs(grey.astype(int) - GREYS[colour]).max() <= TOLERANCE


def test_grey_cameras() -> None:
    """A grey picture is grey in every form, and the same bytes where its own form was asked for."""
    picture = smooth()[:, :, 0]
    frame = frame_of(picture, Encoding.MONO8, padding_bytes=3)
    assert (raw(frame, GREY_U8)[..., 0] == picture).all()
    for pixel_format in (RGB_U8, RGBA_U8):
        assert (raw(frame, pixel_format)[..., :3] == picture[..., np.newaxis]).all()
    assert decoded(jpeg(frame, GREY_U8)).ndim == 2
    assert decoded(jpeg(frame, RGB_U8)).shape == (*picture.shape, 3)
    assert cv2.PSNR(decoded(jpeg(frame, GREY_U8)), picture) >= 35


@pytest.mark.parametrize("quality", [90, 95, 100])
@pytest.mark.parametrize("encoding", [Encoding.BGR8, Encoding.BGRA8])
def test_good_quality_is_good(quality: int, encoding: Encoding) -> None:
    """At 90 percent and above a JPEG is within 35 dB of the frame."""
    picture = smooth()
    source = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA) if encoding is Encoding.BGRA8 else picture
    assert cv2.PSNR(decoded(jpeg(frame_of(source, encoding), quality=quality)), picture) >= 35


def test_quality_is_a_scale() -> None:
    """More percent are more bytes and a better picture."""
    picture = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8), (5, 5), 0)
    frame = frame_of(picture, Encoding.BGR8)
    made = [jpeg(frame, quality=quality) for quality in (1, 25, 50, 75, 100)]
    sizes = [len(one.data) for one in made]
    likenesses = [cv2.PSNR(decoded(one), picture) for one in made]
    assert sizes == sorted(set(sizes))
    assert likenesses == sorted(set(likenesses))


@pytest.mark.parametrize(
    ("encoding", "pixel_format", "order"),
    [(Encoding.MONO16, GREY_U16, ">u2"), (Encoding.DEPTH16, DEPTH_U16, "<u2")],
)
def test_16_bit_samples_have_the_byte_order_of_the_proto(encoding: Encoding, pixel_format: int, order: str) -> None:
    """Grey is big-endian, depth is little-endian."""
    picture = np.arange(64 * 96, dtype="<u2").reshape(64, 96) * 10
    made = encode(frame_of(picture, encoding, padding_bytes=6), Wanted(RAW, pixel_format, 0, 1.0))
    assert (np.frombuffer(made.data, order).reshape(made.rows, made.cols) == picture).all()


def frame_in(encoding: Encoding, picture: Picture) -> Any:
    """A frame of a BGR picture in any encoding."""
    if encoding is Encoding.JPEG:
        return frame_of(picture, encoding, to_jpeg(picture))
    if encoding in (Encoding.MONO16, Encoding.DEPTH16):
        return frame_of(picture[:, :, 0].astype("<u2") * 257 + 1, encoding, padding_bytes=2)
    codes = {Encoding.BGRA8: cv2.COLOR_BGR2BGRA, Encoding.MONO8: cv2.COLOR_BGR2GRAY}
    return frame_of(cv2.cvtColor(picture, codes[encoding]) if encoding in codes else picture, encoding)


def expand(data: bytes, pixel_bytes: int) -> bytes:
    """Undo run lengths, the plain way."""
    assert len(data) % (1 + pixel_bytes) == 0
    runs = [data[at : at + 1 + pixel_bytes] for at in range(0, len(data), 1 + pixel_bytes)]
    assert all(run[0] for run in runs)
    return b"".join(run[1:] * run[0] for run in runs)


@pytest.mark.parametrize("encoding", PICTURES)
def test_every_advertised_combination_is_a_picture(encoding: Encoding) -> None:
    """RAW and RLE have a value for every pixel, a JPEG can be opened and has the label that was asked for."""
    frame = frame_in(encoding, smooth())
    for image_format, pixel_format in itertools.product(image_formats(encoding), advertised(encoding)):
        made = encode(frame, Wanted(image_format, pixel_format, 75 if image_format == JPEG else 0, 0.5))
        assert (made.rows, made.cols, made.wanted.pixel_format) == (32, 48, pixel_format)
        if image_format == JPEG:
            assert decoded(made).ndim == (2 if pixel_format == GREY_U8 else 3)
        else:
            plain = made.data if image_format == RAW else expand(made.data, BYTES[pixel_format])
            assert len(plain) == made.rows * made.cols * BYTES[pixel_format]


@pytest.mark.parametrize("encoding", PICTURES)
@pytest.mark.parametrize("picture", [smooth(), one_colour(RED), np.zeros((64, 96, 3), np.uint8)])
def test_run_lengths_expand_to_the_raw_picture(encoding: Encoding, picture: Picture) -> None:
    """Byte for byte, in every pixel format, alpha and 16-bit samples included."""
    frame = frame_in(encoding, picture)
    for pixel_format in advertised(encoding):
        packed, plain = (encode(frame, Wanted(form, pixel_format, 0, 1.0)).data for form in (RLE, RAW))
        assert expand(packed, BYTES[pixel_format]) == plain


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([7], [1, 7]),
        ([7] * 254, [254, 7]),
        ([7] * 255, [255, 7]),
        ([7] * 256, [255, 7, 1, 7]),
        ([7] * 510, [255, 7, 255, 7]),
        ([7] * 511 + [8, 7], [255, 7, 255, 7, 1, 7, 1, 8, 1, 7]),
    ],
)
def test_runs_are_of_at_most_255_pixels(row: list[int], expected: list[int]) -> None:
    """One byte says how often the pixel after it comes: there are no runs of 0, and none that does not fit."""
    assert list(run_length.encode(np.array([row], np.uint8))) == expected


def test_runs_of_large_pictures() -> None:
    """However many pixels: rows run on into each other, and nothing is lost where the work is divided."""
    picture = np.zeros((700, 1000), np.uint8)
    picture[300:, 500:] = np.random.default_rng(1).integers(0, 3, (400, 500))
    packed = run_length.encode(picture)
    assert expand(packed, 1) == picture.tobytes()
    assert len(packed) < picture.size
    assert len(run_length.encode(np.zeros((100, 510), np.uint8))) == 2 * 200


@pytest.mark.parametrize("row", [[5, 5, 5], [5, 6, 6, 7], [1, 2, 2, 3, 3, 3], [9] * 256, [9] * 510, [1, 2]])
def test_runs_of_16_bit_pixels_are_whole_samples_together(row: list[int]) -> None:
    """The SDK's own file writer takes them for 16-bit samples, and fails on half a one; nothing else changes."""
    picture = np.array([row], "<u2")
    packed = run_length.encode(picture)
    assert len(packed) % 2 == 0
    assert expand(packed, 2) == picture.tobytes()


def test_a_fault_of_opencv_is_an_error_with_a_name(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """What fails on our side has a sentence as well, and reaches no client as an aborted call."""
    with pytest.raises(UndecodableFrameError, match="could not be encoded"):
        jpeg(frame_of(np.zeros((16, 65535), np.uint8), Encoding.MONO8))  # no JPEG is so wide
    capfd.readouterr()  # what OpenCV says about it

    def fail(*_: Any, **__: Any) -> None:
        raise cv2.error("out of\nmemory")

    monkeypatch.setattr(cv2, "resize", fail)
    with pytest.raises(UndecodableFrameError, match="its picture could not be encoded: out of memory"):
        jpeg(frame_of(smooth(), Encoding.BGR8), ratio=0.5)


def test_shrinking_depth_invents_no_distances() -> None:
    """Between a near thing, a far one and "no echo" there is nothing: every sample is one of the camera's."""
    picture = np.zeros((64, 96), "<u2")
    picture[::2, ::2], picture[1::2, 1::2] = 500, 9000
    made = encode(frame_of(picture, Encoding.DEPTH16), Wanted(RAW, DEPTH_U16, 0, 0.3))
    assert set(np.frombuffer(made.data, "<u2")) <= {0, 500, 9000}


@pytest.mark.parametrize(
    ("rows", "cols", "ratio", "expected"),
    [
        (64, 96, 1.0, (64, 96)),
        (64, 96, 0.5, (32, 48)),
        (63, 95, 0.33, (21, 31)),
        (64, 96, 0.01, (1, 1)),
        (30, 40, 0.01, (1, 1)),
        (480, 640, 0.25, (120, 160)),
    ],
)
@pytest.mark.parametrize("image_format", [JPEG, RAW])
def test_the_size_that_is_said_is_the_size_that_is_sent(
    rows: int, cols: int, ratio: float, expected: tuple[int, int], image_format: int
) -> None:
    """Rows and cols are those of the bytes, the frame's are told beside, and no picture shrinks to nothing."""
    made = encode(frame_of(smooth(rows, cols), Encoding.BGR8), Wanted(image_format, RGB_U8, 75, ratio))
    assert (made.rows, made.cols) == expected
    assert (made.frame_rows, made.frame_cols) == (rows, cols)
    if image_format == RAW:
        assert len(made.data) == made.rows * made.cols * 3
    else:
        decoded(made)


def test_shrinking_takes_the_mean() -> None:
    """A fine pattern becomes its mean brightness, not one of its lines."""
    picture = np.zeros((64, 96), np.uint8)
    picture[::2] = 200
    assert (raw(frame_of(picture, Encoding.MONO8), GREY_U8, 0.5) == 100).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"\x00" * 500,
        lambda data: data[:20],
        lambda data: b"\xff\xd8" + data[300:],
        lambda data: data.replace(b"\x00\x40\x00\x60", b"\x00\x10\x00\x10", 1),  # another size
        lambda data: data.replace(b"\x00\x40\x00\x60", b"\xff\xff\xff\xff", 1),  # a bomb of 4 gigapixels
    ],
)
@pytest.mark.parametrize("pixel_format", [RGB_U8, GREY_U8])
def test_a_broken_jpeg_is_an_error_with_a_name(spoil: Any, pixel_format: int, capfd: Any) -> None:
    """Whatever the camera sent: the operator's sentence, never a picture of something else."""
    whole = to_jpeg(smooth())
    broken = spoil(whole)
    assert broken != whole
    with pytest.raises(UndecodableFrameError):
        raw(frame_of(smooth(), Encoding.JPEG, broken), pixel_format)
    capfd.readouterr()  # what OpenCV says about it
