"""What a client asked for: checked once, as numbers that can be trusted, or the status that refuses it."""

from dataclasses import dataclass
from typing import Any

from bosdyn.api import image_pb2

from servicer.pixel_formats import COLOUR, NATIVE, SERVED
from shm import Encoding

_RESPONSE = image_pb2.ImageResponse
_IMAGE = image_pb2.Image

DEFAULT_QUALITY_PERCENT = 75
_BEST_QUALITY_PERCENT = 100
_SMALLEST_RATIO = 0.01  # image.proto: the ratio is clipped to [0.01, 1]


@dataclass(frozen=True)
class Wanted:
    """A request that can be answered: format and pixel format are the proto's enum numbers.

    `quality_percent` is 1 to 100 for JPEG and 0 for RAW, so that equal pictures are equal keys.
    """

    image_format: int
    pixel_format: int
    quality_percent: int
    resize_ratio: float


@dataclass(frozen=True)
class Refusal:
    """The status of a request that cannot be answered, and for the custom parameters which ones."""

    status: int
    parameters: tuple[str, ...] = ()


def check(request: Any, encoding: Encoding) -> Wanted | Refusal:
    """Decide how to answer an `image_pb2.ImageRequest` from frames of this encoding."""
    if not 0.0 <= request.resize_ratio <= 1.0:  # in this form NaN is refused too
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED)
    if request.custom_params.values:
        return Refusal(_RESPONSE.STATUS_CUSTOM_PARAMS_ERROR, tuple(sorted(request.custom_params.values)[:8]))
    candidates = _image_formats(request.image_format, encoding)
    if not candidates:
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED)
    asked = [request.pixel_format, *request.fallback_formats]
    for image_format in candidates:
        pixel_format = _pixel_format(asked, encoding, image_format)
        if pixel_format is not None:
            quality_percent = _quality(request.quality_percent) if image_format == _IMAGE.FORMAT_JPEG else 0
            return Wanted(image_format, pixel_format, quality_percent, _ratio(request.resize_ratio))
    return Refusal(_RESPONSE.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED)


def image_formats(encoding: Encoding) -> list[int]:
    """The image formats that frames of this encoding can be sent in, best first."""
    if any(pixel_format in COLOUR for pixel_format in SERVED[encoding]):
        return [_IMAGE.FORMAT_JPEG, _IMAGE.FORMAT_RAW]
    return [_IMAGE.FORMAT_RAW]


def _image_formats(asked: int, encoding: Encoding) -> list[int]:
    """The image formats to try; UNKNOWN leaves the choice to us, so that RGBA, which no JPEG holds, comes RAW."""
    possible = image_formats(encoding)
    return possible if asked == _IMAGE.FORMAT_UNKNOWN else [asked] if asked in possible else []


def _pixel_format(asked: list[int], encoding: Encoding, image_format: int) -> int | None:
    """The first that works, in the order of the client's preference; UNKNOWN leaves the choice to us."""
    possible = [
        pixel_format
        for pixel_format in SERVED[encoding]
        if image_format == _IMAGE.FORMAT_RAW or pixel_format in COLOUR  # a JPEG has no alpha and no 16 bits
    ]
    for pixel_format in asked:
        if pixel_format == _IMAGE.PIXEL_FORMAT_UNKNOWN:
            native = NATIVE[encoding]
            return native if native in possible else possible[0]
        if pixel_format in possible:
            return pixel_format
    return None


def _quality(percent: float) -> int:
    # 0 is "not set"; values outside, and NaN, get the default, as SDK clients are used to.
    return max(1, round(percent)) if 0.0 < percent <= _BEST_QUALITY_PERCENT else DEFAULT_QUALITY_PERCENT


def _ratio(ratio: float) -> float:
    return 1.0 if ratio == 0.0 else max(ratio, _SMALLEST_RATIO)
