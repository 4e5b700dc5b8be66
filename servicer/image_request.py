"""What a client asked for: checked once, as numbers that can be trusted, or the status that refuses it."""

import math
from dataclasses import dataclass
from typing import Any

from bosdyn.api import image_pb2

from servicer.jpeg import JpegFacts
from servicer.pixel_formats import GREY_U8, NATIVE, RGB_U8, RGBA_U8, SERVED, fits_in_jpeg
from shm import Encoding

_RESPONSE = image_pb2.ImageResponse
_IMAGE = image_pb2.Image

DEFAULT_QUALITY_PERCENT = 75
_BEST_QUALITY_PERCENT = 100
_SMALLEST_RATIO = 0.01  # image.proto: the ratio is clipped to [0.01, 1]


@dataclass(frozen=True)
class Wanted:
    """A request that can be answered: format and pixel format are the proto's enum numbers.

    `quality_percent` is 1 to 100 for JPEG and 0 for RAW and RLE, so that equal pictures are equal keys. `any_quality`:
    the client has not said which, and gets a camera's own JPEG, of whatever quality that is.
    """

    image_format: int
    pixel_format: int
    quality_percent: int
    resize_ratio: float
    any_quality: bool = False

    def is_met_by(self, original: JpegFacts) -> bool:
        """Whether a camera's own JPEG is as good as one that is made of it: to encode it again can only lose.

        Not if it leaves its Huffman tables to the decoder, or says which way is up: not all do as ours does then.
        """
        if self.image_format != _IMAGE.FORMAT_JPEG or self.resize_ratio != 1.0:
            return False
        if original.components != (1 if self.pixel_format == GREY_U8 else 3):
            return False
        if original.has_exif or not original.has_huffman_tables:
            return False
        return self.any_quality or (original.quality_percent or 100) <= self.quality_percent


@dataclass(frozen=True)
class Refusal:
    """The status of a request that cannot be answered."""

    status: int


def check(request: Any, encoding: Encoding) -> Wanted | Refusal:
    """Decide how to answer an `image_pb2.ImageRequest` from frames of this encoding."""
    if math.isnan(request.resize_ratio):
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED)
    possible = image_formats(encoding)
    image_format = request.image_format or possible[0]  # UNKNOWN, which is 0, leaves the choice to us
    if image_format not in possible:
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED)
    pixel_format = _pixel_format([request.pixel_format, *request.fallback_formats], encoding, image_format)
    if pixel_format is None:
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED)
    quality_percent = quality(request.quality_percent) if image_format == _IMAGE.FORMAT_JPEG else 0
    any_quality = encoding is Encoding.JPEG and image_format == _IMAGE.FORMAT_JPEG and request.quality_percent == 0
    return Wanted(image_format, pixel_format, quality_percent, ratio(request.resize_ratio), any_quality)


def image_formats(encoding: Encoding) -> list[int]:
    """The image formats that frames of this encoding can be sent in, best first."""
    jpeg = [_IMAGE.FORMAT_JPEG] if fits_in_jpeg(encoding) else []
    return [*jpeg, _IMAGE.FORMAT_RAW, _IMAGE.FORMAT_RLE]


def quality(percent: float) -> int:
    """The quality that a client gets: 1 to 100."""
    # 0 is "not set"; values outside, and NaN, get the default, as SDK clients are used to.
    return max(1, round(percent)) if 0.0 < percent <= _BEST_QUALITY_PERCENT else DEFAULT_QUALITY_PERCENT


def ratio(asked: float) -> float:
    """The resize ratio that a client gets: 0.01 to 1. Not for NaN, which is refused."""
    return 1.0 if asked == 0.0 else min(max(asked, _SMALLEST_RATIO), 1.0)


def _pixel_format(asked: list[int], encoding: Encoding, image_format: int) -> int | None:
    """The first that works, in the order of the client's preference; UNKNOWN leaves the choice to us."""
    for pixel_format in asked:
        if pixel_format == _IMAGE.PIXEL_FORMAT_UNKNOWN:
            native = NATIVE[encoding]
            return RGB_U8 if (native, image_format) == (RGBA_U8, _IMAGE.FORMAT_JPEG) else native  # it has no alpha
        if pixel_format in SERVED[encoding]:
            return pixel_format
    return None
