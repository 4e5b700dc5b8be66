"""What a picture in an answer proves about itself: the number of its frame, or what is wrong with it."""

from typing import Any

import cv2
import numpy as np
from bosdyn.api import image_pb2
from numpy.typing import NDArray

from capture_worker import pattern

_IMAGE = image_pb2.Image
_EXACT = {("front", _IMAGE.PIXEL_FORMAT_RGB_U8), ("top", _IMAGE.PIXEL_FORMAT_GREYSCALE_U8)}  # as they were painted


def read(image: Any, camera: str, *, resized: bool) -> tuple[int | None, str]:
    """Return the frame's number and "", or None and the flaw, of an `image_pb2.Image`."""
    try:
        pixels = _pixels(image)
        if image.format == _IMAGE.FORMAT_RAW and not resized and (camera, image.pixel_format) in _EXACT:
            return pattern.check(pixels, camera, order="rgb"), ""
        return pattern.check_lossy(pixels, camera, order="rgb"), ""
    except (pattern.PatternError, ValueError) as error:
        return None, str(error)


def _pixels(image: Any) -> NDArray[Any]:
    data = np.frombuffer(image.data, np.uint8)
    grey = image.pixel_format == _IMAGE.PIXEL_FORMAT_GREYSCALE_U8
    if image.format == _IMAGE.FORMAT_RAW:
        return data.reshape((image.rows, image.cols) if grey else (image.rows, image.cols, -1))
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("damaged: no decoder takes it")
    if decoded.shape[:2] != (image.rows, image.cols):
        raise ValueError(f"damaged: {decoded.shape[:2]} pixels, and the answer says {image.rows} x {image.cols}")
    return decoded if grey else decoded[:, :, ::-1]
