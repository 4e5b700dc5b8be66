"""What a client may ask for, and what it is told if it may not."""

import math
import struct
from typing import Any

import pytest
from bosdyn.api import image_pb2
from hypothesis import given
from hypothesis import strategies as st

from servicer.image_request import Refusal, Wanted, check, image_formats
from servicer.pixel_formats import NATIVE, SERVED, advertised
from shm import Encoding
from tests.servicer.serving import IMAGE, STATUS

PICTURES = [encoding for encoding in Encoding if encoding is not Encoding.JSON]
UNKNOWN, JPEG, RAW, RLE = IMAGE.FORMAT_UNKNOWN, IMAGE.FORMAT_JPEG, IMAGE.FORMAT_RAW, IMAGE.FORMAT_RLE
ANY = IMAGE.PIXEL_FORMAT_UNKNOWN
GREY, RGB, RGBA = IMAGE.PIXEL_FORMAT_GREYSCALE_U8, IMAGE.PIXEL_FORMAT_RGB_U8, IMAGE.PIXEL_FORMAT_RGBA_U8
DEPTH, GREY16 = IMAGE.PIXEL_FORMAT_DEPTH_U16, IMAGE.PIXEL_FORMAT_GREYSCALE_U16
NO_FORMAT, NO_PIXELS = (
    STATUS.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED,
    STATUS.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED,
)
NO_RATIO = STATUS.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED
SMALLEST_SUBNORMAL = 5e-324

# encoding → for (JPEG, RAW, RLE, not set): the pixel formats that are answered, the choice for "not set" first.
ANSWERED: dict[Encoding, dict[int, tuple[int, ...]]] = {
    Encoding.BGR8: dict.fromkeys((JPEG, RAW, RLE), (RGB, GREY, RGBA)),
    Encoding.JPEG: dict.fromkeys((JPEG, RAW, RLE), (RGB, GREY, RGBA)),
    Encoding.BGRA8: {JPEG: (RGB, GREY, RGBA), RAW: (RGBA, RGB, GREY), RLE: (RGBA, RGB, GREY)},
    Encoding.MONO8: dict.fromkeys((JPEG, RAW, RLE), (GREY, RGB, RGBA)),
    Encoding.MONO16: {RAW: (GREY16,), RLE: (GREY16,)},
    Encoding.DEPTH16: {RAW: (DEPTH,), RLE: (DEPTH,)},
}


def ask(encoding: Encoding = Encoding.BGR8, **fields: Any) -> Wanted | Refusal:
    """Check an ImageRequest with these fields."""
    return check(image_pb2.ImageRequest(**fields), encoding)


@pytest.mark.parametrize("encoding", PICTURES)
@pytest.mark.parametrize("image_format", [JPEG, RAW, RLE, 999])
@pytest.mark.parametrize("pixel_format", [ANY, GREY, RGB, RGBA, DEPTH, GREY16, 2, 999])
def test_every_combination_is_answered_or_refused_as_the_table_says(
    encoding: Encoding, image_format: int, pixel_format: int
) -> None:
    """An image format that no frame of the camera has is refused as such, before the pixel format is looked at."""
    possible = ANSWERED[encoding].get(image_format, ())
    answer = ask(encoding, image_format=image_format, pixel_format=pixel_format)
    if not possible:
        assert answer == Refusal(NO_FORMAT)
    elif pixel_format == ANY:
        assert isinstance(answer, Wanted)
        assert (answer.image_format, answer.pixel_format) == (image_format, possible[0])
    elif pixel_format in possible:
        assert isinstance(answer, Wanted)
        assert (answer.image_format, answer.pixel_format) == (image_format, pixel_format)
    else:
        assert answer == Refusal(NO_PIXELS)


@pytest.mark.parametrize(
    ("encoding", "pixel_format", "expected"),
    [
        (Encoding.BGR8, ANY, (JPEG, RGB)),
        (Encoding.MONO8, ANY, (JPEG, GREY)),
        (Encoding.BGRA8, ANY, (JPEG, RGB)),
        (Encoding.MONO16, ANY, (RAW, GREY16)),
        (Encoding.DEPTH16, ANY, (RAW, DEPTH)),
        (Encoding.BGRA8, RGBA, (JPEG, RGBA)),
        (Encoding.BGR8, RGBA, (JPEG, RGBA)),
        (Encoding.MONO8, RGB, (JPEG, RGB)),
    ],
)
def test_a_format_that_is_not_set_is_chosen(encoding: Encoding, pixel_format: int, expected: tuple[int, int]) -> None:
    """JPEG for 8 bits, RAW for 16, and for a pixel format that is not set the camera's own, without the alpha."""
    answer = ask(encoding, pixel_format=pixel_format)
    assert isinstance(answer, Wanted)
    assert (answer.image_format, answer.pixel_format) == expected


@pytest.mark.parametrize(
    ("first", "fallbacks", "expected"),
    [
        (DEPTH, [GREY], GREY),
        (DEPTH, [GREY16, RGB, GREY], RGB),
        (GREY, [RGB], GREY),
        (999, [998, GREY], GREY),
        (DEPTH, [ANY], RGB),
        (DEPTH, [GREY16], None),
    ],
)
def test_fallback_formats_are_tried_in_order(first: int, fallbacks: list[int], expected: int | None) -> None:
    """The first of the client's preferences that works; refused only if none does."""
    answer = ask(image_format=RAW, pixel_format=first, fallback_formats=fallbacks)
    assert answer == (Refusal(NO_PIXELS) if expected is None else Wanted(RAW, expected, 0, 1.0))


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (1.0, 1.0),
        (0.5, 0.5),
        (0.01, 0.01),
        (0.001, 0.01),
        (1e-300, 0.01),
        (SMALLEST_SUBNORMAL, 0.01),
        (-SMALLEST_SUBNORMAL, 0.01),
        (-1.0, 0.01),
        (2.0, 1.0),
        (math.nextafter(1.0, 2.0), 1.0),
        (math.inf, 1.0),
        (-math.inf, 0.01),
        (math.nan, None),
    ],
)
def test_resize_ratios(ratio: float, expected: float | None) -> None:
    """0 means no resizing, everything else is clipped to [0.01, 1] as the proto says; only NaN is no ratio."""
    answer = ask(resize_ratio=ratio)
    assert answer == (Refusal(NO_RATIO) if expected is None else Wanted(JPEG, RGB, 75, expected))


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        (0.0, 75),
        (-0.0, 75),
        (0.2, 1),
        (1.0, 1),
        (50.4, 50),
        (95.0, 95),
        (100.0, 100),
        (100.1, 75),
        (-5.0, 75),
        (SMALLEST_SUBNORMAL, 1),
        (math.nan, 75),
        (math.inf, 75),
        (-math.inf, 75),
    ],
)
def test_qualities(percent: float, expected: int) -> None:
    """0 is "not set"; what is no percentage gets the default; equal qualities make equal keys."""
    answer = ask(quality_percent=percent)
    assert isinstance(answer, Wanted)
    assert answer.quality_percent == expected


def test_quality_does_not_matter_for_raw() -> None:
    """Clients who differ in nothing else share one picture."""
    for image_format in (RAW, RLE):
        assert ask(image_format=image_format, quality_percent=10) == ask(image_format=image_format, quality_percent=90)


@pytest.mark.parametrize("encoding", PICTURES)
def test_what_is_advertised_is_answered(encoding: Encoding) -> None:
    """Every advertised pixel format in every advertised image format, and no others; the camera's own is the first."""
    assert NATIVE[encoding] == advertised(encoding)[0]
    for image_format in range(1, 6):
        for pixel_format in range(1, 9):
            answer = ask(encoding, image_format=image_format, pixel_format=pixel_format)
            offered = image_format in image_formats(encoding) and pixel_format in advertised(encoding)
            assert isinstance(answer, Wanted) == offered
            if isinstance(answer, Wanted):
                assert (answer.image_format, answer.pixel_format) == (image_format, pixel_format)


def any_double() -> st.SearchStrategy[float]:
    """Every bit pattern, NaN payloads and subnormals included."""
    return st.binary(min_size=8, max_size=8).map(lambda bits: float(struct.unpack("<d", bits)[0])) | st.floats()


@given(
    encoding=st.sampled_from(PICTURES),
    ratio=any_double() | st.floats(0, 1),
    quality=any_double(),
    image_format=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 4),
    pixel_formats=st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(0, 7), min_size=1, max_size=5),
)
def test_whatever_is_asked_is_wanted_or_refused(
    encoding: Encoding,
    ratio: float,
    quality: float,
    image_format: int,
    pixel_formats: list[int],
) -> None:
    """No bytes from the network raise an exception, and what is wanted can be made."""
    request = image_pb2.ImageRequest(
        resize_ratio=ratio,
        quality_percent=quality,
        image_format=image_format,
        pixel_format=pixel_formats[0],
        fallback_formats=pixel_formats[1:],
    )
    answer = check(request, encoding)
    if isinstance(answer, Wanted):
        assert answer.pixel_format in SERVED[encoding]
        assert answer.image_format in (JPEG, RAW, RLE)
        assert 0.01 <= answer.resize_ratio <= 1.0
        assert 1 <= answer.quality_percent <= 100 if answer.image_format == JPEG else answer.quality_percent == 0
    else:
        assert answer.status in (NO_RATIO, NO_FORMAT, NO_PIXELS)
