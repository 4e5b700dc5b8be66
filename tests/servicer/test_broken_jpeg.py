"""JPEGs that a broken camera, or a segment that no worker of ours wrote, gives to the servicer."""

import contextlib
import random
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from servicer.image_request import Wanted
from servicer.picture import UndecodableFrameError, encode
from servicer.pixel_formats import GREY_U8, RGB_U8
from shm import Encoding
from tests.servicer.serving import IMAGE, STATUS, Picture, Ring, Served, frame_of, smooth, to_jpeg

RAW = IMAGE.FORMAT_RAW
SCAN, END = b"\xff\xda", b"\xff\xd9"
PLACES = 200
BOMB_ROWS = BOMB_COLS = 15_000
ALLOWED_S, ALLOWED_MB = 0.05, 100


@pytest.fixture(autouse=True)
def _quiet(capfd: Any) -> Iterator[None]:
    """Keep what libjpeg and OpenCV say about these out of the report."""
    yield
    capfd.readouterr()


def cut(whole: bytes) -> list[bytes]:
    """Return it without its end, at 200 places."""
    return [whole[: len(whole) * place // PLACES] or b"\0" for place in range(PLACES)]


def flipped(whole: bytes, first: int = 0) -> list[bytes]:
    """Return it with one bit the other way round, at 200 places from `first` on."""
    chosen = random.Random(4)  # noqa: S311  the same ones in every run
    made = []
    for _ in range(PLACES):
        data = bytearray(whole)
        data[chosen.randrange(first, len(data))] ^= 1 << chosen.randrange(8)
        made.append(bytes(data))
    return made


def sized(whole: bytes, rows: int, cols: int) -> bytes:
    """Return it with another size in its header."""
    header = whole.index(b"\xff\xc0") + 5
    return whole[:header] + struct.pack(">HH", rows, cols) + whole[header + 4 :]


def lying(whole: bytes) -> dict[str, bytes]:
    """Return what has the right size where one looks first, and another one where a decoder looks."""
    bomb = sized(whole, BOMB_ROWS, BOMB_COLS)
    header = whole.index(b"\xff\xc0")
    good = whole[header : header + 19]
    hidden = bomb[2 : -len(END)]
    return {
        "a larger size": bomb,
        "a size of nothing": sized(whole, 0, 0),
        "no marker, and then all of it": b"\xff\xd8\xff\x00" + struct.pack(">H", 2 + len(hidden)) + hidden + good + END,
        "two sizes": bomb[:header] + good + bomb[header:],
        "a size in a comment": b"\xff\xd8\xff\xfe" + struct.pack(">H", 2 + len(good)) + good + bomb[2:],
        "a length of nothing": b"\xff\xd8\xff\xfe\x00\x00" + bomb[2:],
    }


def decoded(data: bytes) -> Picture | None:
    """What libjpeg makes of it."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if picture is None else np.asarray(picture)


def answer_to(data: bytes, served: Served, front: Ring) -> Any:
    """What a client gets while this is the newest frame of the camera."""
    front.show(smooth(), Encoding.JPEG, data=data)
    return served.one("front", image_format=RAW, pixel_format=RGB_U8)


@pytest.mark.row("M23")
def test_no_broken_jpeg_is_a_good_image(served: Served, front: Ring) -> None:
    """What is cut off, or lies about its size, is a data error without a shot; a whole one is served after each."""
    whole = to_jpeg(smooth())
    for data in [*cut(whole), *lying(whole).values(), whole[: -len(END)], b"\xff\xd8" + END, bytes(500)]:
        answer = answer_to(data, served, front)
        assert answer.status == STATUS.STATUS_IMAGE_DATA_ERROR
        assert not answer.HasField("shot")
    assert answer_to(whole, served, front).status == STATUS.STATUS_OK


@pytest.mark.row("M23")
def test_flipped_bits_are_served_as_far_as_they_can_be_decoded(served: Served, front: Ring) -> None:
    """What is OK is exactly what libjpeg makes of these bytes; and where it only warns, it is OK.

    A wrong bit in the compressed pixels spoils a part of one picture; a camera whose every tenth frame had one would
    otherwise be no camera at all.
    """
    whole = to_jpeg(smooth())
    pixels = whole.index(SCAN) + 14
    for data in [*flipped(whole), *flipped(whole[: -len(END)], pixels)]:
        data = data if data.endswith(END) else data + END  # noqa: PLW2901
        answer, expected = answer_to(data, served, front), decoded(data)
        if answer.status == STATUS.STATUS_OK:
            assert expected is not None
            assert answer.shot.image.data == cv2.cvtColor(expected, cv2.COLOR_BGR2RGB).tobytes()
        else:
            assert expected is None or expected.shape != smooth().shape or data[:pixels] != whole[:pixels]


def peak_mb() -> float:
    """The most memory that this process has had since `reset_peak`."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def reset_peak() -> float:
    """Let the peak begin at what is in use now, and return that."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


@pytest.mark.row("M23")
@pytest.mark.parametrize("pixel_format", [RGB_U8, GREY_U8])
def test_a_broken_jpeg_costs_little(row: Callable[[str], Any], pixel_format: int) -> None:
    """Neither time nor memory, whatever size it claims: also where the ring's own metadata claim it, too."""
    picture = smooth(480, 640)
    whole = to_jpeg(picture)
    frames = [frame_of(picture, Encoding.JPEG, data) for data in [*cut(whole), *flipped(whole), *lying(whole).values()]]
    bomb = frame_of(picture, Encoding.JPEG, sized(whole, BOMB_ROWS, BOMB_COLS))
    frames.append(replace(bomb, rows=BOMB_ROWS, cols=BOMB_COLS))
    encode(frame_of(picture, Encoding.JPEG, whole), Wanted(RAW, pixel_format, 0, 1.0))
    before_mb, took_s = reset_peak(), []
    for frame in frames:
        began_s = time.thread_time()  # of this thread: the computer has other things to do, too
        with contextlib.suppress(UndecodableFrameError):
            encode(frame, Wanted(RAW, pixel_format, 0, 1.0))
        took_s.append(time.thread_time() - began_s)
    row("M23").measured("decoded or refused by the servicer", max(took_s), ALLOWED_S)
    row("M23").at_most("more memory of the servicer", peak_mb() - before_mb, ALLOWED_MB, "MB")


def test_a_progressive_picture_has_no_thousand_scans() -> None:
    """Each would be decoded into the whole picture: such a frame of 1 MB would keep a thread for many seconds."""
    made = cv2.imencode(".jpg", smooth(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    wanted = Wanted(RAW, RGB_U8, 0, 1.0)
    assert encode(frame_of(smooth(), Encoding.JPEG, made), wanted).rows == 64
    scan = SCAN + b"\x00\x08\x01\x01\x00\x01\x3f\x00\x00\x00"
    with pytest.raises(UndecodableFrameError, match="cannot be decoded"):
        encode(frame_of(smooth(), Encoding.JPEG, made[: -len(END)] + scan * 1000 + END), wanted)


@pytest.mark.parametrize("before", [b"\xff", b"\xff" * 7, b"\xff\x01", b"\xff\xd0", b"\xff\xe1\x00\x04ab"])
def test_what_may_stand_before_the_size_is_no_damage(before: bytes) -> None:
    """Fill bytes, markers without a length, and segments of applications."""
    data = to_jpeg(smooth())
    data = data[:2] + before + data[2:]
    assert decoded(data) is not None
    assert encode(frame_of(smooth(), Encoding.JPEG, data), Wanted(RAW, RGB_U8, 0, 1.0)).rows == 64
