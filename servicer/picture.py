"""From a frame to the bytes that are sent: decode, put upright, resize, convert, encode.

A camera's own JPEG is sent as it is to whoever would get nothing better by its being encoded again. What is broken in
one so that libjpeg only warns (bits that flipped on the way from a USB camera) is served: cameras that work send such
frames all the time.
"""

import contextlib
from dataclasses import dataclass

import cv2
import numpy as np
from bosdyn.api import image_pb2

from servicer import jpeg, run_length
from servicer.image_request import Wanted
from servicer.orientation import UPRIGHT, NothingLeftError, Orientation
from servicer.pixel_formats import GREY_U8, SERVED, Picture
from shm import Encoding, Frame

_BROKEN = "the camera's JPEG cannot be decoded"
_REDUCED = {  # by the factor: cameras' pictures are compressed in blocks of 8 x 8, which decode to fewer pixels as well
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}


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
        rows, cols, data = _made(frame, wanted, orientation)
    except NothingLeftError as error:
        raise UndecodableFrameError(str(error)) from error
    except cv2.error as error:
        raise UndecodableFrameError(f"its picture could not be encoded: {_reason(error)}") from error
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


def _made(frame: Frame, wanted: Wanted, orientation: Orientation) -> tuple[int, int, bytes]:
    """Rows, cols and bytes of what was wanted. Raises UndecodableFrameError, NothingLeftError, cv2.error."""
    rows, cols = (max(1, round(side * wanted.resize_ratio)) for side in orientation.size(frame.rows, frame.cols))
    if frame.encoding is Encoding.JPEG:
        data = bytes(frame.data)
        facts = jpeg.facts_of(data, frame.rows, frame.cols)
        if facts is None:
            raise UndecodableFrameError(_BROKEN)
        if wanted.is_met_by(facts) and orientation == UPRIGHT:
            _decode(data, frame, grey=True, factor=8)  # what is broken inside is no good image; the cheapest way to see
            return frame.rows, frame.cols, data
        grey = wanted.pixel_format == GREY_U8
        picture = _decode(data, frame, grey=grey, factor=_factor(wanted, orientation))
        encoding = Encoding.MONO8 if grey else Encoding.BGR8
    else:
        picture, encoding = frame.pixels(), frame.encoding
    picture = _resize(orientation.apply(picture), encoding, (rows, cols))
    return rows, cols, _to_bytes(picture, encoding, wanted)


def _factor(wanted: Wanted, orientation: Orientation) -> int:
    """How many times smaller to decode: a picture that is shrunk needs no pixels that it will not have."""
    if orientation.crop is not None:  # it is in pixels of the whole frame
        return 1
    return max(factor for factor in _REDUCED if factor * wanted.resize_ratio <= 1)


def _decode(data: bytes, frame: Frame, *, grey: bool, factor: int) -> Picture:
    picture = None
    with contextlib.suppress(cv2.error):
        flags = _REDUCED[factor][grey] | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if picture is None or picture.shape[:2] != (-(-frame.rows // factor), -(-frame.cols // factor)):
        raise UndecodableFrameError(_BROKEN)
    return picture


def _resize(picture: Picture, encoding: Encoding, size: tuple[int, int]) -> Picture:
    if picture.shape[:2] == size:
        return picture
    # The mean of two distances, or of a distance and 0 for "none", is where nothing is. (The method that is not called
    # exact takes a corner of what becomes one pixel, and not its middle.)
    method = cv2.INTER_NEAREST_EXACT if encoding is Encoding.DEPTH16 else cv2.INTER_AREA
    return cv2.resize(picture, size[::-1], interpolation=method)


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
