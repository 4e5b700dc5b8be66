"""Pictures that a camera's own class makes, in its worker: what may be asked of it, and what it answered."""

import math
from collections.abc import Mapping
from typing import Any

from bosdyn.api import image_pb2
from google.protobuf.message import DecodeError

from servicer import image_request
from servicer.capture_requests import Shot
from servicer.image_request import Refusal, Wanted
from servicer.picture import Encoded

_RESPONSE = image_pb2.ImageResponse
_IMAGE = image_pb2.Image
_ANY = 0  # UNKNOWN, in both enumerations
_LARGEST_SIDE = 65535

Pairs = list[tuple[int, int]]  # image format, pixel format

_BEST_FIRST = (_IMAGE.FORMAT_JPEG, _IMAGE.FORMAT_RAW, _IMAGE.FORMAT_RLE)
_ALL: Pairs = [
    (form, pixels) for form in _BEST_FIRST for pixels in image_pb2.Image.PixelFormat.values() if pixels != _ANY
]


class BrokenPictureError(Exception):
    """A worker's picture is none; the message is the operator's sentence."""


def formats(descriptor: Mapping[str, Any]) -> Pairs:
    """What the class makes, as far as the ring's descriptor says; no worker of ours writes anything but numbers."""
    pairs = descriptor.get("own_decode")
    return [pair for pair in _ALL if list(pair) in pairs] if isinstance(pairs, list) else []


def advertised(pairs: Pairs) -> tuple[list[int], list[int]]:
    """Image formats and pixel formats to name in ListImageSources: each of the ones works with each of the others.

    What works with the best image format is named; other pairs are answered all the same, if somebody asks.
    """
    makes = {form: [pixels for other, pixels in pairs if other == form] for form in _BEST_FIRST}
    best = next((makes[form] for form in _BEST_FIRST if makes[form]), [])
    return [form for form in _BEST_FIRST if best and set(best) <= set(makes[form])], best


def check(request: Any, pairs: Pairs) -> Any:
    """Decide what to ask of the class for a client's `ImageRequest`: such a request without alternatives, or a Refusal.

    Without custom parameters: they travel beside it, completed. Its numbers are those that every camera's clients get.
    If nobody knows what the class makes, it is asked for anything that the proto knows.
    """
    if math.isnan(request.resize_ratio):
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_RESIZE_RATIO_REQUESTED)
    asked = image_pb2.ImageRequest()
    asked.CopyFrom(request)
    asked.ClearField("custom_params")
    asked.ClearField("fallback_formats")
    asked.resize_ratio = image_request.ratio(request.resize_ratio)
    in_jpeg = request.image_format in (_ANY, _IMAGE.FORMAT_JPEG)
    asked.quality_percent = image_request.quality(request.quality_percent) if in_jpeg else 0
    possible = [pixels for form, pixels in pairs or _ALL if request.image_format in (_ANY, form)]
    if not possible:
        return Refusal(_RESPONSE.STATUS_UNSUPPORTED_IMAGE_FORMAT_REQUESTED)
    for pixel_format in (request.pixel_format, *request.fallback_formats):
        if pixel_format == _ANY or pixel_format in possible:
            asked.pixel_format = pixel_format
            return asked
    return Refusal(_RESPONSE.STATUS_UNSUPPORTED_PIXEL_FORMAT_REQUESTED)


def encoded(shot: Shot, frame_size: tuple[int, int] | None, gain: float, exposure_s: float) -> Encoded:
    """What a worker answered. Raises BrokenPictureError.

    `frame_size` is that of the frame, None if it is not known any more.
    """
    try:
        image = image_pb2.Image.FromString(shot.picture or b"")
    except DecodeError as error:
        raise BrokenPictureError("its class made something that is no picture.") from error
    if not image.data or not (0 < image.rows <= _LARGEST_SIDE and 0 < image.cols <= _LARGEST_SIDE):
        raise BrokenPictureError("its class made no picture.")
    frame_rows, frame_cols = frame_size or (image.rows, image.cols)
    return Encoded(
        data=image.data,
        rows=image.rows,
        cols=image.cols,
        wanted=Wanted(image.format, image.pixel_format, 0, 1.0),
        frame_number=shot.frame_number,
        captured_ns=shot.captured_ns,
        frame_rows=frame_rows,
        frame_cols=frame_cols,
        gain=gain,
        exposure_s=exposure_s,
    )
