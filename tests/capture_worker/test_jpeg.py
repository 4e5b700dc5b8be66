"""A JPEG is judged from outside: whole, of the expected size, and nothing behind it."""

import contextlib
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture_worker import jpeg, pattern
from capture_worker.camera import CorruptFrameError, jpeg_frame
from capture_worker.environment import opencv_environment
from capture_worker.jpeg import BrokenJpegError
from supervision.camera_settings import CameraSettings
from tests.matrix.recording import MeasuredRow

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


@pytest.mark.row("M23")
def test_what_is_broken_is_refused_at_once_and_allocates_nothing(row: Callable[[str], MeasuredRow]) -> None:
    """A large JPEG cut at each of 200 places, without an end, empty, and one of 78 kB that says 15000 x 15000."""
    noise = np.random.default_rng(1).integers(0, 255, (200, 310, 3), np.uint8)
    data = bytes(cv2.imencode(".jpg", noise)[1])
    at = data.index(b"\xff\xc0") + 5
    bomb = data[:at] + (15000).to_bytes(2, "big") * 2 + data[at + 4 :]
    cut = [data[: len(data) * part // 200] for part in range(200)]
    took_s: list[float] = []
    tracemalloc.start()
    try:
        for broken in [*cut, data[:-2], b"", bomb]:
            begun_s = time.monotonic()
            with pytest.raises(CorruptFrameError, match="broken JPEG"):
                jpeg_frame(np.frombuffer(broken, np.uint8), 0)
            took_s.append(time.monotonic() - begun_s)
        allocated_mb = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    row("M23").measured("refused by the worker", max(took_s), 0.05)
    row("M23").at_most("allocated by the worker", allocated_mb, 100, "MB")


def test_opencv_refuses_a_bomb_where_it_decodes_itself() -> None:
    """With a worker's environment: a device whose JPEGs are decoded inside OpenCV's driver is no danger either."""
    script = (
        "import cv2, numpy, resource, sys\n"
        "data = numpy.frombuffer(sys.stdin.buffer.read(), numpy.uint8)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    print(cv2.imdecode(data, cv2.IMREAD_COLOR))\n"
        "except cv2.error:\n    print('refused')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)\n"
    )
    environment = {**os.environ, **opencv_environment(CameraSettings(device=0))}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input=with_size(15000, 15000),
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.split() == [b"refused", b"True"]


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
