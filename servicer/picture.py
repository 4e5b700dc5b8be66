"""From a frame to the bytes that are sent: decode, resize, convert, encode."""

from dataclasses import dataclass

import cv2
import numpy as np
from bosdyn.api import image_pb2

from servicer.image_request import Wanted
from servicer.pixel_formats import GREY_U8, SERVED, Picture
from shm import Encoding, Frame


class UndecodableFrameError(Exception):
    """The camera's own compressed picture cannot be decoded."""


@dataclass(frozen=True)
class Encoded:
    """The picture of one frame as one client wants it, with the frame's own facts.

    `rows` and `cols` are those of `data`, `frame_rows` and `frame_cols` those of the camera's picture.
    """

    data: bytes
    rows: int
    cols: int
    wanted: Wanted
    frame_number: int
    captured_ns: int
    frame_rows: int
    frame_cols: int
    gain: float
    exposure_s: float


def encode(frame: Frame, wanted: Wanted) -> Encoded:
    """Make what was wanted from one frame. Raises UndecodableFrameError for a broken compressed one.

    Runs on the ring's own memory: the result holds no reference to it.
    """
    picture, encoding = _decode(frame, wanted)
    frame_rows, frame_cols = picture.shape[:2]
    picture = _resize(picture, encoding, wanted.resize_ratio)
    rows, cols = picture.shape[:2]
    if wanted.image_format == image_pb2.Image.FORMAT_JPEG:
        data = _to_jpeg(picture, encoding, wanted)
    else:
        data = SERVED[encoding][wanted.pixel_format](picture).tobytes()
    return Encoded(
        data=data,
        rows=rows,
        cols=cols,
        wanted=wanted,
        frame_number=frame.frame_number,
        captured_ns=frame.captured_ns,
        frame_rows=frame_rows,
        frame_cols=frame_cols,
        gain=frame.gain,
        exposure_s=frame.exposure_s,
    )


def _decode(frame: Frame, wanted: Wanted) -> tuple[Picture, Encoding]:
    if frame.encoding is not Encoding.JPEG:
        return frame.pixels(), frame.encoding
    grey = wanted.pixel_format == GREY_U8
    flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    try:
        picture = cv2.imdecode(np.frombuffer(frame.data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a header that promises more pixels than OpenCV is willing to allocate
        picture = None
    if picture is None or picture.shape[:2] != (frame.rows, frame.cols):
        raise UndecodableFrameError("the camera's JPEG cannot be decoded")
    return picture, Encoding.MONO8 if grey else Encoding.BGR8


def _resize(picture: Picture, encoding: Encoding, ratio: float) -> Picture:
    if ratio == 1.0:
        return picture
    rows, cols = (max(1, round(side * ratio)) for side in picture.shape[:2])
    # The mean of two distances, or of a distance and 0 for "none", is where nothing is.
    method = cv2.INTER_NEAREST if encoding is Encoding.DEPTH16 else cv2.INTER_AREA
    return cv2.resize(picture, (cols, rows), interpolation=method)


def _to_jpeg(picture: Picture, encoding: Encoding, wanted: Wanted) -> bytes:
    if wanted.pixel_format == GREY_U8:
        picture = SERVED[encoding][GREY_U8](picture)
    elif encoding is Encoding.MONO8:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    elif encoding is Encoding.BGRA8:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, wanted.quality_percent])[1].tobytes()
