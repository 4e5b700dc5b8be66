"""Which pixel formats each encoding can be served in, and the conversion to each.

OpenCV's channel order is BGR; the proto's is RGB, and JPEG encoders take BGR. Keeping the two apart in one table
is what keeps blue things blue.
"""

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from bosdyn.api import image_pb2

from shm import Encoding

Picture = np.ndarray[Any, Any]
_Conversion = Callable[[Picture], Picture]

GREY_U8: int = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U8
RGB_U8: int = image_pb2.Image.PIXEL_FORMAT_RGB_U8
RGBA_U8: int = image_pb2.Image.PIXEL_FORMAT_RGBA_U8
DEPTH_U16: int = image_pb2.Image.PIXEL_FORMAT_DEPTH_U16
GREY_U16: int = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U16

_OF_8_BITS = (RGB_U8, RGBA_U8, GREY_U8)


def _convert(code: int) -> _Conversion:
    return lambda picture: cv2.cvtColor(picture, code)


def _same(picture: Picture) -> Picture:
    return picture


def _big_endian(picture: Picture) -> Picture:
    return picture.astype(">u2")  # image.proto: GREYSCALE_U16 is big-endian, DEPTH_U16 little-endian


# A conversion to RAW bytes for every pair that is served, the encoding's own format first.
_RAW: Mapping[Encoding, Mapping[int, _Conversion]] = {
    Encoding.BGR8: {
        RGB_U8: _convert(cv2.COLOR_BGR2RGB),
        GREY_U8: _convert(cv2.COLOR_BGR2GRAY),
        RGBA_U8: _convert(cv2.COLOR_BGR2RGBA),
    },
    Encoding.BGRA8: {
        RGBA_U8: _convert(cv2.COLOR_BGRA2RGBA),
        RGB_U8: _convert(cv2.COLOR_BGRA2RGB),
        GREY_U8: _convert(cv2.COLOR_BGRA2GRAY),
    },
    Encoding.MONO8: {
        GREY_U8: _same,
        RGB_U8: _convert(cv2.COLOR_GRAY2RGB),
        RGBA_U8: _convert(cv2.COLOR_GRAY2RGBA),
    },
    Encoding.MONO16: {GREY_U16: _big_endian},
    Encoding.DEPTH16: {DEPTH_U16: _same},
}
SERVED: Mapping[Encoding, Mapping[int, _Conversion]] = {**_RAW, Encoding.JPEG: _RAW[Encoding.BGR8]}  # decoded first

NATIVE: Mapping[Encoding, int] = {encoding: next(iter(formats)) for encoding, formats in SERVED.items()}


def fits_in_jpeg(encoding: Encoding) -> bool:
    """Whether pictures of this encoding can be sent as JPEG, which has 8 bits and no alpha."""
    return NATIVE[encoding] in _OF_8_BITS


def advertised(encoding: Encoding) -> list[int]:
    """The pixel formats to name in ListImageSources, the camera's own first: all that are answered."""
    return list(SERVED[encoding])
