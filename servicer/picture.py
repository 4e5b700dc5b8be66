"""From a frame to the bytes that are sent: decode, put upright, resize, convert, encode.

A JPEG is looked at before it is decoded: what its header promises is what a decoder allocates. What is broken so that
libjpeg only warns (bits that flipped on the way from a USB camera) is decoded and served: cameras that work send such
frames all the time.
"""

import contextlib
from dataclasses import dataclass

import cv2
import numpy as np
from bosdyn.api import image_pb2

from servicer import run_length
from servicer.image_request import Wanted
from servicer.orientation import UPRIGHT, NothingLeftError, Orientation
from servicer.pixel_formats import GREY_U8, SERVED, Picture
from shm import Encoding, Frame

_MOST_PIXELS = 64 * 2**20  # of a JPEG: a worker of ours lets no larger one pass
_MOST_SCANS = 100  # a progressive JPEG has about ten; each is decoded into the whole picture
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_FRAME_HEADER_BYTES = 9  # from its marker to its cols


class UndecodableFrameError(Exception):
    """No picture can be made of a frame: its own compression is broken, or our side fails. The message says which."""


@dataclass(frozen=True)
class Encoded:
    """The picture of one frame as one client wants it, with the frame's own facts.

    `rows` and `cols` are those of `data`, `frame_rows` and `frame_cols` those of the camera's frame, before it was put
    upright.
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


def encode(frame: Frame, wanted: Wanted, orientation: Orientation = UPRIGHT) -> Encoded:
    """Make what was wanted from one frame. Raises UndecodableFrameError if that cannot be done.

    Runs on the ring's own memory: the result holds no reference to it.
    """
    try:
        picture, encoding = _decode(frame, wanted)
        picture = _resize(orientation.apply(picture), encoding, wanted.resize_ratio)
        data = _to_bytes(picture, encoding, wanted)
    except NothingLeftError as error:
        raise UndecodableFrameError(str(error)) from error
    except cv2.error as error:
        raise UndecodableFrameError(f"its picture could not be encoded: {_reason(error)}") from error
    rows, cols = picture.shape[:2]
    return Encoded(
        data=data,
        rows=rows,
        cols=cols,
        wanted=wanted,
        frame_number=frame.frame_number,
        captured_ns=frame.captured_ns,
        frame_rows=frame.rows,
        frame_cols=frame.cols,
        gain=frame.gain,
        exposure_s=frame.exposure_s,
    )


def _decode(frame: Frame, wanted: Wanted) -> tuple[Picture, Encoding]:
    if frame.encoding is not Encoding.JPEG:
        return frame.pixels(), frame.encoding
    data = bytes(frame.data)
    grey = wanted.pixel_format == GREY_U8
    flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
    picture = None
    if _is_what_it_claims(data, frame.rows, frame.cols):
        with contextlib.suppress(cv2.error):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if picture is None or picture.shape[:2] != (frame.rows, frame.cols):
        raise UndecodableFrameError("the camera's JPEG cannot be decoded")
    return picture, Encoding.MONO8 if grey else Encoding.BGR8


def _is_what_it_claims(data: bytes, rows: int, cols: int) -> bool:
    """Whether a JPEG is whole, and decoding it costs no more than a picture of this size may."""
    is_whole = data.startswith(_START_OF_IMAGE) and data.endswith(_END_OF_IMAGE)
    is_small = rows * cols <= _MOST_PIXELS and data.count(_START_OF_SCAN) <= _MOST_SCANS
    return is_whole and is_small and _size_of(data) == (rows, cols)


def _size_of(data: bytes) -> tuple[int, int] | None:
    """Rows and cols in the frame header of a JPEG; None if there is no header where the decoder would find it."""
    at = len(_START_OF_IMAGE)
    while len(data) >= at + _FRAME_HEADER_BYTES and data[at] == 0xFF:  # noqa: PLR2004  what each marker begins with
        marker = data[at + 1]
        if marker in _FRAME_HEADERS:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        if marker == 0:  # no marker: the decoder would look for one from here on
            return None
        if marker == 0xFF:  # noqa: PLR2004  any number of them may stand in front of a marker
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _resize(picture: Picture, encoding: Encoding, ratio: float) -> Picture:
    if ratio == 1.0:
        return picture
    rows, cols = (max(1, round(side * ratio)) for side in picture.shape[:2])
    # The mean of two distances, or of a distance and 0 for "none", is where nothing is. (The method that is not called
    # exact takes a corner of what becomes one pixel, and not its middle.)
    method = cv2.INTER_NEAREST_EXACT if encoding is Encoding.DEPTH16 else cv2.INTER_AREA
    return cv2.resize(picture, (cols, rows), interpolation=method)


def _to_bytes(picture: Picture, encoding: Encoding, wanted: Wanted) -> bytes:
    if wanted.image_format == image_pb2.Image.FORMAT_JPEG:
        return _to_jpeg(picture, encoding, wanted)
    converted = SERVED[encoding][wanted.pixel_format](picture)
    return run_length.encode(converted) if wanted.image_format == image_pb2.Image.FORMAT_RLE else converted.tobytes()


def _to_jpeg(picture: Picture, encoding: Encoding, wanted: Wanted) -> bytes:
    if wanted.pixel_format == GREY_U8:
        picture = SERVED[encoding][GREY_U8](picture)
    elif encoding is Encoding.MONO8:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    elif encoding is Encoding.BGRA8:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, wanted.quality_percent])
    if not done:
        raise UndecodableFrameError("its picture could not be encoded as JPEG")
    return data.tobytes()


def _reason(error: cv2.error) -> str:
    """What OpenCV says, without the places in its own source; some errors have no such part."""
    return getattr(error, "err", None) or " ".join(str(error).split())
