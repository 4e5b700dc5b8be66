"""What the bench's cameras see: a picture as natural as arithmetic makes it, with the time of its exposure in it.

Clouds of all sizes, some hundred objects with edges, and the noise of a sensor, so that an encoder has as much to do as
with a photo. The time is a band of black and white cells at the top, which survives JPEG and halving.
"""

import binascii

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

VARIANTS = 8  # the camera pans a little from one to the next

_SEED = 20
_PAN = 4  # pixels
_NOISE = {480: 10.4, 1080: 6.9}  # standard deviation, for JPEGs of 64 and 271 kB at quality 75
_OTHER_NOISE = 5.0
_OBJECTS = 300
_OCTAVES = 8
_TIME_BYTES = 6  # of microseconds: enough for nine years of uptime
_CELL_LINES, _CELLS = 2, 32  # 64 cells, one per bit of time and checksum
_THIRTIETHS = 30  # heights are counted in thirtieths of the picture's
_HALF = 127


class StampError(ValueError):
    """There is no time in this picture, or it is damaged."""


def paint(rows: int, cols: int) -> Picture:
    """Paint the variants: (variants, rows, cols, 3), always the same ones."""
    random = np.random.default_rng(_SEED)
    view = _landscape(random, rows, cols + _PAN * (VARIANTS - 1))
    pictures = np.empty((VARIANTS, rows, cols, 3), np.uint8)
    for variant in range(VARIANTS):
        grain = random.normal(0, _NOISE.get(rows, _OTHER_NOISE), (rows, cols, 1)).astype(np.float32)
        seen = view[:, variant * _PAN : variant * _PAN + cols]
        pictures[variant] = np.clip(seen + grain, 0, 255)
    return pictures


def stamp(picture: Picture, exposed_ns: int) -> None:
    """Write the time of exposure (CLOCK_MONOTONIC) into a picture, whose first fifteenth it covers."""
    rows, cols = picture.shape[:2]
    time_us = (exposed_ns // 1000).to_bytes(_TIME_BYTES, "little")
    code = np.frombuffer(time_us + _checksum(time_us), np.uint8)
    cells = np.unpackbits(code).reshape(_CELL_LINES, _CELLS) * np.uint8(255)
    lines = cells[:, np.arange(cols) * _CELLS // cols]
    for line in range(_CELL_LINES):
        picture[rows * line // _THIRTIETHS : rows * (line + 1) // _THIRTIETHS] = lines[line, :, None]


def exposed_ns(grey: Picture, rows: int | None = None) -> int:
    """Read the time of exposure from (rows, cols) of grey, to the microsecond. Raises StampError.

    `rows` are those of the whole picture, for who has its first fifteenth alone.
    """
    rows, cols = rows or len(grey), grey.shape[1]
    around = np.array([0.35, 0.5, 0.65])
    x = ((np.arange(_CELLS)[:, None] + around) * cols / _CELLS).astype(int)
    y = ((np.arange(_CELL_LINES)[:, None] + around) * rows / _THIRTIETHS).astype(int)
    bits = np.median(grey[y[:, None, :, None], x[None, :, None, :]], axis=(2, 3)) > _HALF
    code = np.packbits(bits).tobytes()
    time_us = code[:_TIME_BYTES]
    if code[_TIME_BYTES:] != _checksum(time_us):
        raise StampError("no time of exposure can be read")
    return int.from_bytes(time_us, "little") * 1000


def _landscape(random: np.random.Generator, rows: int, cols: int) -> NDArray[np.float32]:
    view = np.full((rows, cols, 3), 110, np.float32)
    view += 30 * _clouds(random, rows, cols)[:, :, None]
    for channel in range(3):
        view[:, :, channel] += 10 * _clouds(random, rows, cols, octaves=3)
    objects = np.clip(view, 0, 255).astype(np.uint8)
    for _ in range(_OBJECTS):
        _draw_object(random, objects)
    lens: NDArray[np.float32] = cv2.GaussianBlur(objects, (0, 0), rows / 1000 + 0.3).astype(np.float32)
    return lens


def _clouds(random: np.random.Generator, rows: int, cols: int, octaves: int = _OCTAVES) -> NDArray[np.float32]:
    """Noise of all sizes, the amplitude falling with the frequency as in photos; mean 0, standard deviation 1."""
    total = np.zeros((rows, cols), np.float32)
    for octave in range(1, octaves + 1):
        across = 2**octave
        grid = random.normal(size=(max(2, across * rows // cols), across)).astype(np.float32)
        total += cv2.resize(grid, (cols, rows), interpolation=cv2.INTER_CUBIC) / across
    scaled: NDArray[np.float32] = (total - total.mean()) / total.std()
    return scaled


def _draw_object(random: np.random.Generator, canvas: Picture) -> None:
    """A small ellipse or box in a colour near that of its place: sizes as in photos, many small and few large ones."""
    rows, cols = canvas.shape[:2]
    x, y = int(random.integers(cols)), int(random.integers(rows))
    size = rows / 60 / random.uniform(0.08, 1.0)
    width, height = int(size * random.uniform(0.5, 1.5)) + 1, int(size * random.uniform(0.5, 1.5)) + 1
    shade = canvas[y, x].astype(int) + random.integers(-60, 61) + random.integers(-15, 16, 3)
    colour = tuple(int(value) for value in np.clip(shade, 0, 255))
    if random.random() < 0.5:  # noqa: PLR2004 - half of them
        cv2.ellipse(canvas, (x, y), (width, height), float(random.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(canvas, (x, y), (x + width, y + height), colour, -1)


def _checksum(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "little")
