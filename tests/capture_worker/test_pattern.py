"""The test picture proves that it is whole, of which camera, and of the right colours."""

import subprocess
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture_worker import pattern
from capture_worker.pattern import Encoding, PatternError
from tests.capture_worker.harness import PROJECT

ENCODINGS = st.sampled_from(["bgr8", "bgra8", "mono8", "mono16", "depth16"])
SIDES = st.integers(16, 130)
NUMBERS = st.integers(0, pattern.NUMBERS - 1)
Check = Callable[..., int]
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=32)


@settings(deadline=None)
@given(NAMES, NUMBERS, SIDES, SIDES, ENCODINGS)
def test_an_exact_copy_tells_its_number(camera: str, number: int, rows: int, cols: int, encoding: Encoding) -> None:
    """Whatever the size and encoding, a whole picture is recognised."""
    picture = pattern.paint(camera, number, rows, cols, encoding)
    assert picture.shape[:2] == (rows, cols)
    assert pattern.check(picture, camera) == number


@settings(deadline=None)
@given(NUMBERS, st.integers(1, 1000), SIDES, SIDES, ENCODINGS, st.floats(0, 1))
def test_a_torn_picture_is_found(
    number: int, step: int, rows: int, cols: int, encoding: Encoding, where: float
) -> None:
    """Bytes of two frames, cut at any place, are never taken for a whole picture that is neither of them."""
    old = pattern.paint("front", number, rows, cols, encoding)
    new = pattern.paint("front", number + step, rows, cols, encoding)
    cut = int(where * old.nbytes)
    mixed = np.frombuffer(new.tobytes()[:cut] + old.tobytes()[cut:], dtype=old.dtype).reshape(old.shape)
    if np.array_equal(mixed, old) or np.array_equal(mixed, new):
        return
    with pytest.raises(PatternError):
        pattern.check(mixed, "front")


def test_every_cut_through_a_picture_is_seen() -> None:
    """Consecutive frames differ often enough that a cut nearly anywhere gives a mixture."""
    old, new = (pattern.paint("front", number, 480, 640) for number in (7, 8))
    differing = np.flatnonzero(old.reshape(-1) != new.reshape(-1))
    assert differing[0] < 4096
    assert differing[-1] > old.size - 65536
    assert np.diff(differing).max() <= 16 * 640 * 3


@settings(deadline=None)
@given(st.integers(0, 479), st.integers(0, 639), st.integers(1, 255))
def test_one_wrong_byte_is_found(row: int, col: int, change: int) -> None:
    """No pixel is unimportant."""
    picture = pattern.paint("front", 5, 480, 640)
    picture[row, col, 1] ^= change
    with pytest.raises(PatternError):
        pattern.check(picture, "front")


@pytest.mark.parametrize("check", [pattern.check, pattern.check_lossy])
def test_another_cameras_picture_is_foreign(check: Check) -> None:
    """A picture under the wrong name is refused."""
    with pytest.raises(PatternError, match="foreign"):
        check(pattern.paint("rear", 5, 480, 640), "front")


@pytest.mark.parametrize("check", [pattern.check, pattern.check_lossy])
def test_swapped_colours_are_found(check: Check) -> None:
    """RGB that is called BGR is refused, and taken when it is called RGB."""
    picture = pattern.paint("front", 5, 480, 640)
    with pytest.raises(PatternError, match=r"swapped|colours"):
        check(picture[:, :, ::-1], "front")
    assert check(picture[:, :, ::-1], "front", order="rgb") == 5


@pytest.mark.parametrize("quality", [50, 90])
@pytest.mark.parametrize("ratio", [0.5, 1.0])
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("rows", "cols"), [(120, 160), (480, 640), (1080, 1920)])
def test_a_lossy_copy_tells_its_number(quality: int, ratio: float, grey: bool, rows: int, cols: int) -> None:
    """Through JPEG, half size and grey, number and camera stay readable."""
    for number in (0, 1234567, pattern.NUMBERS - 1):
        copy = cv2.resize(
            pattern.paint("hand", number, rows, cols), None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA
        )
        copy = cv2.cvtColor(copy, cv2.COLOR_BGR2GRAY) if grey else copy
        _, data = cv2.imencode(".jpg", copy, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
        assert pattern.check_lossy(decoded, "hand") == number


def test_a_torn_lossy_copy_is_found() -> None:
    """The upper part of one frame over the lower part of another is refused."""
    picture = pattern.paint("front", 5, 480, 640)
    picture[300:] = pattern.paint("front", 6, 480, 640)[300:]
    with pytest.raises(PatternError, match="torn"):
        pattern.check_lossy(picture, "front")


@pytest.mark.parametrize(
    "nonsense",
    [np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640, 2), np.uint8), np.zeros((480, 640), np.float32)],
)
def test_nonsense_is_no_test_picture(nonsense: pattern.Picture) -> None:
    """Black, odd shapes and odd types are errors, not numbers."""
    with pytest.raises(PatternError):
        pattern.check(nonsense, "front")
    with pytest.raises(PatternError):
        pattern.check_lossy(nonsense, "front")


def test_16_bit_pictures_show_swapped_bytes() -> None:
    """High and low byte differ everywhere."""
    with pytest.raises(PatternError):
        pattern.check(pattern.paint("front", 5, 48, 64, "mono16").byteswap(), "front")


def test_the_pattern_needs_numpy_alone() -> None:
    """Whoever checks a picture loads neither OpenCV nor the rest of the worker."""
    program = "import sys, capture_worker.pattern; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, check=True, text=True)
    assert "numpy" in loaded.stdout.split()
    assert not {"cv2", "pydantic", "posix_ipc", "shm", "supervision"} & set(loaded.stdout.split())


def test_painting_is_cheap() -> None:
    """The pattern leaves the processor to what is measured with it."""

    def best_s(rows: int, cols: int) -> float:
        started_s = time.perf_counter()
        pattern.paint("front", 5, rows, cols)
        return time.perf_counter() - started_s

    assert min(best_s(480, 640) for _ in range(20)) < 0.004
    assert min(best_s(1080, 1920) for _ in range(20)) < 0.016
