"""What a camera returns becomes a frame, or an error that says why not."""

from typing import Any

import cv2
import numpy as np
import pytest

from capture_worker import pattern
from capture_worker.camera import CorruptFrameError, jpeg_frame, raw_frame
from shm import Encoding


@pytest.mark.parametrize(
    ("shape", "dtype", "encoding"),
    [
        ((4, 6, 3), np.uint8, Encoding.BGR8),
        ((4, 6, 4), np.uint8, Encoding.BGRA8),
        ((4, 6), np.uint8, Encoding.MONO8),
        ((4, 6, 1), np.uint8, Encoding.MONO8),
        ((4, 6), np.uint16, Encoding.MONO16),
        ((4, 6), ">u2", Encoding.MONO16),
    ],
)
def test_pixels_become_a_frame(shape: tuple[int, ...], dtype: Any, encoding: Encoding) -> None:
    """Shape and type say what the pixels are; 16-bit ones are stored little-endian."""
    pixels = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    frame = raw_frame(pixels, 17, lost=2)
    assert (frame.rows, frame.cols, frame.encoding, frame.captured_ns, frame.lost) == (4, 6, encoding, 17, 2)
    assert frame.row_stride_bytes == 6 * encoding.bytes_per_pixel
    assert frame.payload.dtype.byteorder in "=|<"
    assert np.array_equal(frame.payload, pixels)


def test_depth_is_what_the_camera_says() -> None:
    """16-bit pixels of a depth camera are depths."""
    assert raw_frame(np.ones((4, 6), np.uint16), 0, depth=True).encoding is Encoding.DEPTH16


def test_scattered_pixels_are_gathered() -> None:
    """A view with gaps becomes one contiguous block."""
    pixels = np.arange(4 * 12 * 3, dtype=np.uint8).reshape(4, 12, 3)[:, ::2]
    frame = raw_frame(pixels, 0)
    assert frame.payload.flags.c_contiguous
    assert np.array_equal(frame.payload, pixels)


@pytest.mark.parametrize(
    "thing",
    [
        None,
        b"bytes",
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
        np.zeros((4, 6, 3), np.float64),
        np.zeros((4, 6, 3), np.uint16),
        np.zeros((4, 6, 2), np.uint8),
        np.zeros(24, np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        np.zeros((4, 6), bool),
        np.zeros((65536, 1), np.uint8),
        np.zeros((1, 65536, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(thing: object) -> None:
    """None, empty, of a wrong type or of a wrong shape."""
    with pytest.raises(CorruptFrameError, match="the camera returned"):
        raw_frame(thing, 0)


def test_a_jpeg_is_stored_without_its_padding() -> None:
    """OpenCV hands out a row of bytes, as long as the driver's buffer."""
    _, data = cv2.imencode(".jpg", pattern.paint("front", 5, 48, 64))
    padded = np.concatenate([data, np.zeros(500, np.uint8)]).reshape(1, -1)
    frame = jpeg_frame(padded, 0, size=(48, 64))
    assert (frame.rows, frame.cols, frame.encoding, frame.row_stride_bytes) == (48, 64, Encoding.JPEG, 0)
    assert frame.payload.tobytes() == data.tobytes()


@pytest.mark.parametrize("thing", [None, np.zeros(9, np.uint8), np.zeros(9, np.float32), np.zeros(0, np.uint8)])
def test_what_is_no_jpeg_is_refused(thing: object) -> None:
    """None, zeros, nothing."""
    with pytest.raises(CorruptFrameError, match="JPEG"):
        jpeg_frame(thing, 0)
