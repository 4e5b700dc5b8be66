"""What a picture that somebody else made has to be before a client gets it: what it says it is.

The SDK takes whatever an `image_decode` leaves in the proto. Here its data is as long as its size and pixel format make
it, and its formats are those that were asked for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from bosdyn.api import image_pb2

from capture_worker import jpeg

ANY = 0  # UNKNOWN, in both enumerations: who makes the picture may choose
JPEG, RAW, RLE = image_pb2.Image.FORMAT_JPEG, image_pb2.Image.FORMAT_RAW, image_pb2.Image.FORMAT_RLE
RGB = image_pb2.Image.PIXEL_FORMAT_RGB_U8
GREY = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U8
RGBA = image_pb2.Image.PIXEL_FORMAT_RGBA_U8
DEPTH = image_pb2.Image.PIXEL_FORMAT_DEPTH_U16
GREY_16 = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U16

SAMPLES: Mapping[int, tuple[str, int]] = {  # type and number of a pixel's values
    RGB: ("u1", 3),
    GREY: ("u1", 1),
    RGBA: ("u1", 4),
    DEPTH: ("<u2", 1),
    GREY_16: (">u2", 1),
}
_BY_BYTES = {1: GREY, 3: RGB, 4: RGBA}  # what pixels that nobody named can only be
# What a JPEG of so many components may be called, its own name first. RGBA as in docs/decisions/0007: without alpha.
_IN_JPEG = {1: (GREY, RGB, RGBA), 3: (RGB, RGBA)}


def complete(image: Any) -> None:
    """Fill in what its maker may leave out because it follows: what a JPEG is, and what its bytes can only be."""
    if image.format == ANY and jpeg.begins(image.data):
        image.format = JPEG
    if image.pixel_format == ANY and image.format == RAW and image.rows > 0 and image.cols > 0:
        bytes_per_pixel, rest = divmod(len(image.data), image.rows * image.cols)
        image.pixel_format = ANY if rest else _BY_BYTES.get(bytes_per_pixel, ANY)


def problem(image: Any, image_format: int, pixel_format: int) -> str | None:
    """Say what is wrong with a picture that was asked for in these formats; None for a good one.

    It is the end of a sentence that begins with its maker. A JPEG's size is set to what it really is.
    """
    if not image.data:
        return "left the picture empty"
    if image.format not in (JPEG, RAW, RLE):
        return "did not say in which format its data is"
    wrong = _problem_of_jpeg(image) if image.format == JPEG else _problem_of_pixels(image)
    if wrong is None and (image_format, pixel_format) != (ANY, ANY):
        made = image_format in (ANY, image.format) and pixel_format in (ANY, image.pixel_format)
        wrong = None if made else f"made {shown(image.format, image.pixel_format)}"
    return wrong


def pixels(image: Any) -> np.ndarray[Any, Any]:
    """The pixels of a good RAW picture: a read-only view of (rows, cols, channels), in the proto's order."""
    samples, channels = SAMPLES[image.pixel_format]
    return np.frombuffer(image.data, samples).reshape(image.rows, image.cols, channels)


def shown(image_format: int, pixel_format: int) -> str:
    """Two formats as people call them: "JPEG of RGB_U8"."""
    return f"{_name(image_pb2.Image.Format, image_format)} of {_name(image_pb2.Image.PixelFormat, pixel_format)}"


def _problem_of_jpeg(image: Any) -> str | None:
    try:
        found = jpeg.inspect(image.data)
    except jpeg.BrokenJpegError as error:
        return f"made a broken JPEG: {error}"
    image.rows, image.cols = found.rows, found.cols
    names = _IN_JPEG[found.components]
    if image.pixel_format == ANY:
        image.pixel_format = names[0]
    if image.pixel_format not in names:
        return f"made a JPEG of {found.components} components, which is no {shown(JPEG, image.pixel_format)}"
    return None


def _problem_of_pixels(image: Any) -> str | None:
    if image.pixel_format not in SAMPLES:
        return "did not say what its pixels are"
    samples, channels = SAMPLES[image.pixel_format]
    pixel_bytes = np.dtype(samples).itemsize * channels
    count = image.rows * image.cols if image.rows > 0 and image.cols > 0 else 0
    if image.format == RAW:
        right = 0 < count * pixel_bytes == len(image.data)
    else:
        runs = np.frombuffer(image.data, np.uint8)[:: 1 + pixel_bytes]
        right = len(image.data) % (1 + pixel_bytes) == 0 and int(runs.sum()) == count
    said = f"{image.cols} x {image.rows} pixels as {shown(image.format, image.pixel_format)}"
    return None if right else f"made {len(image.data)} bytes, which are not {said}"


def _name(enumeration: Any, number: int) -> str:
    """A proto's name without its prefix; a number that it does not know stays a number."""
    if number not in enumeration.values():
        return str(number)
    name: str = enumeration.Name(number)
    return name.removeprefix("PIXEL_").removeprefix("FORMAT_")
