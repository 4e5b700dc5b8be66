"""A JPEG is judged from outside: whole, of the expected size, and nothing behind it."""

import contextlib

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_worker import jpeg, pattern
from capture_worker.jpeg import BrokenJpegError

ROWS, COLS = 48, 64


def encode(*options: int) -> bytes:
    """Return a whole JPEG of 48 x 64 pixels."""
    _, data = cv2.imencode(".jpg", pattern.paint("front", 5, ROWS, COLS), list(options))
    return bytes(data)


WHOLE = encode()
SIZE_AT = WHOLE.index(b"\xff\xc0") + 5  # marker, length, precision


@pytest.mark.parametrize(
    "options",
    [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 1), (cv2.IMWRITE_JPEG_QUALITY, 1)],
)
def test_whole_jpegs_of_every_kind_pass(options: tuple[int, ...]) -> None:
    """Baseline, progressive, with restart markers."""
    data = encode(*options)
    assert jpeg.inspect(data, (ROWS, COLS)) == jpeg.Inspected(ROWS, COLS, 3, len(data))


def test_a_jpeg_cut_off_anywhere_is_broken() -> None:
    """No prefix of a JPEG passes for a JPEG."""
    for length in range(len(WHOLE)):
        with pytest.raises(BrokenJpegError):
            jpeg.inspect(WHOLE[:length])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_never_raises_anything_else(position: int, change: int) -> None:
    """A damaged JPEG passes with its true size or is broken; it does not crash its judge."""
    damaged = bytearray(WHOLE)
    damaged[position] ^= change
    with contextlib.suppress(BrokenJpegError):
        assert jpeg.inspect(bytes(damaged), (ROWS, COLS)).length_bytes <= len(WHOLE)


@given(st.binary(max_size=200))
def test_noise_is_broken(noise: bytes) -> None:
    """Random bytes behind a start marker are refused."""
    with pytest.raises(BrokenJpegError):
        jpeg.inspect(b"\xff\xd8" + noise)


@pytest.mark.parametrize("size", [(65535, 65535), (0, 64), (48, 0), (16384, 4097)])
def test_a_bomb_is_refused_without_a_negotiated_size(size: tuple[int, int]) -> None:
    """A header that says 4 gigapixels, or none, is refused before anybody allocates for it."""
    with pytest.raises(BrokenJpegError, match="header says"):
        jpeg.inspect(with_size(*size))


def test_another_size_than_negotiated_is_refused() -> None:
    """A header may not differ from what the device was set to."""
    with pytest.raises(BrokenJpegError, match="65 x 48 pixels, the camera is set to 64 x 48"):
        jpeg.inspect(with_size(48, 65), (48, 64))


def test_what_a_driver_pads_with_is_cut_off() -> None:
    """Zeros of any length and a few odd bytes may follow the end; they are not part of the frame."""
    assert jpeg.inspect(WHOLE + bytes(100_000)).length_bytes == len(WHOLE)
    assert jpeg.inspect(WHOLE + b"\x55" * 64).length_bytes == len(WHOLE)
    with pytest.raises(BrokenJpegError, match="follow its end"):
        jpeg.inspect(WHOLE + b"\x55" * 65)


def test_an_end_inside_a_thumbnail_is_not_the_end() -> None:
    """An embedded picture in the headers does not make a cut-off one whole."""
    thumbnail = b"\xff\xe1" + (len(WHOLE) + 2).to_bytes(2, "big") + WHOLE
    with_thumbnail = WHOLE[:2] + thumbnail + WHOLE[2:]
    assert jpeg.inspect(with_thumbnail).length_bytes == len(with_thumbnail)
    with pytest.raises(BrokenJpegError, match="no end"):
        jpeg.inspect(with_thumbnail[:-2])


def with_size(rows: int, cols: int) -> bytes:
    """Return the JPEG with another size in its header."""
    return WHOLE[:SIZE_AT] + rows.to_bytes(2, "big") + cols.to_bytes(2, "big") + WHOLE[SIZE_AT + 4 :]
