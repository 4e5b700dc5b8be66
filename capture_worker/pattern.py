"""The self-describing test picture: it carries its frame number and its camera, and proves that it is whole.

A picture is a background (colour bars above, a ramp in the camera's own hue below) on which every frame draws its
number, a moving ball, and twice the same eight-byte **code**: frame number (4 bytes), camera (2), checksum (2).

* *Marks*, for an exact copy: the code as eight grey pixels at the left of the first row of every 16 x 16 block.
  `check` reads them all, then compares every pixel with a picture painted anew.
* *Bands*, for a copy that was compressed, scaled or turned grey: the code as 2 x 32 black and white cells, at the top,
  in the middle and at the bottom of the picture, at places that are fractions of its size. `check_lossy` reads these
  and the order of the colour bars.

Numbers count modulo 2**32. 16-bit pictures hold v in the high byte and its complement in the low one, so that
swapped bytes are found. numpy is all that this module imports.
"""

import binascii
import colorsys
import functools
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from capture_worker.glyphs import GLYPH_COLS, GLYPH_ROWS, draw_text

Encoding = Literal["bgr8", "bgra8", "mono8", "mono16", "depth16"]
Order = Literal["bgr", "rgb"]
Picture = NDArray[Any]

NUMBERS = 2**32

_CODE = struct.Struct("<IHH")  # number, camera id, CRC-16 of both
_BLOCK = 16  # pixels
_CELL_LINES, _CELLS = 2, 32  # 64 cells, one per bit of the code
_THIRTIETHS = 30  # heights are counted in thirtieths of the picture's
_BANDS = (0, 14, 28)
_BARS = (2, 14)
_NAME_TOP, _BALL_TOP, _BALL_SIZE = 17, 21, 6
_HIGH, _LOW = 220, 20  # of the colour bars
_BAR_COLOURS = (  # red, green, blue; each darker than the one before when turned grey
    (1, 1, 1),  # white
    (1, 1, 0),  # yellow
    (0, 1, 1),  # cyan
    (0, 1, 0),  # green
    (1, 0, 1),  # magenta
    (1, 0, 0),  # red
    (0, 0, 1),  # blue
    (0, 0, 0),  # black
)
_CHANNELS = {"bgr8": 3, "bgra8": 4, "mono8": 1, "mono16": 1, "depth16": 1}
_MIN_CONTRAST = 64  # between a bar's colours that are on and those that are off
_MIN_LOSSY_COLS, _MIN_LOSSY_ROWS = 64, 60  # two pixels per cell


class PatternError(ValueError):
    """A picture that is not one whole frame of the camera that it should be of; the message says what is wrong."""


def paint(
    camera: str, number: int, rows: int, cols: int, encoding: Encoding = "bgr8", *, order: Order = "bgr"
) -> Picture:
    """Paint frame `number` of `camera`: a new array (rows, cols[, channels]) of uint8, or uint16 for 16-bit encodings.

    At least 16 x 16 pixels. `order` is the order of the colour channels; alpha, if there is one, is last and opaque.
    """
    return _pattern(camera, rows, cols, encoding, order).paint(number)


def check(pixels: Picture, camera: str, *, order: Order = "bgr") -> int:
    """Return the number of an exact copy of a picture that `paint` made.

    Raises PatternError for a torn, foreign, damaged or wrongly coloured one: no pixel may differ.
    """
    rows, cols = pixels.shape[:2]
    number = _only_code(_read_marks(pixels), camera)
    expected = paint(camera, number, rows, cols, _encoding_of(pixels), order=order)
    if not np.array_equal(pixels, expected):
        raise PatternError(f"frame {number}: {_difference(pixels, expected)}")
    return number


def check_lossy(pixels: Picture, camera: str, *, order: Order = "bgr") -> int:
    """Return the number of a picture that was compressed (JPEG quality >= 50), scaled (>= 0.5) or turned grey.

    At least 64 x 60 pixels are needed. Raises PatternError for a torn, foreign, damaged or wrongly coloured picture.
    """
    _encoding_of(pixels)
    rows, cols = pixels.shape[:2]
    if cols < _MIN_LOSSY_COLS or rows < _MIN_LOSSY_ROWS:
        raise PatternError(f"{cols} x {rows} pixels are too few to read the code")
    planes = _to_8_bits(pixels).reshape(rows, cols, -1)[:, :, :3]
    number = _only_code(_read_bands(planes.mean(axis=2)), camera)
    _check_bars(planes if order == "rgb" else planes[:, :, ::-1])
    return number


def camera_id(camera: str) -> int:
    """Return the 16-bit id under which a camera of this name is known in its pictures."""
    return zlib.crc32(camera.encode()) & 0xFFFF


@functools.lru_cache(maxsize=16)
def _pattern(camera: str, rows: int, cols: int, encoding: Encoding, order: Order) -> "_Pattern":
    return _Pattern(camera, rows, cols, encoding, order)


class _Pattern:
    """What all pictures of one camera, size and encoding share: painted once, copied for each frame."""

    def __init__(self, camera: str, rows: int, cols: int, encoding: Encoding, order: Order) -> None:
        if rows < _BLOCK or cols < _BLOCK:
            raise ValueError(f"a picture of {cols} x {rows} pixels is smaller than {_BLOCK} x {_BLOCK}")
        self._camera = camera
        self._rows, self._cols = rows, cols
        self._encoding = encoding
        self._order = order
        self._ink = _shades(encoding)

    def paint(self, number: int) -> Picture:
        picture = self._background.copy()
        canvas = picture.reshape(self._rows, self._cols, -1)[:, :, :3]
        code = np.frombuffer(_encode(self._camera, number), dtype=np.uint8)
        self._draw_text(canvas, str(number % NUMBERS), line=1)
        self._draw_ball(canvas, number)
        self._draw_bands(canvas, code)
        self._draw_marks(canvas, code)
        return picture

    @functools.cached_property
    def _background(self) -> Picture:
        picture = _scenery(self._camera, self._rows, self._cols)
        channels = _CHANNELS[self._encoding]
        if channels == 1:
            grey = np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
            background: Picture = self._ink[grey]
        else:
            background = np.full((self._rows, self._cols, channels), 255, dtype=np.uint8)
            background[:, :, :3] = picture if self._order == "rgb" else picture[:, :, ::-1]
        self._draw_text(background.reshape(self._rows, self._cols, -1)[:, :, :3], self._camera, line=0)
        return background

    def _draw_text(self, canvas: Picture, text: str, line: int) -> None:
        fitting = self._cols // (GLYPH_COLS * (max(len(self._camera), 10) + 2))
        scale = max(1, min(self._rows // 110, fitting))
        top = self._height(_NAME_TOP) + line * scale * (GLYPH_ROWS + 2)
        left = scale * GLYPH_COLS
        box = canvas[top : top + scale * GLYPH_ROWS, left : left + scale * GLYPH_COLS * len(text)]
        box[draw_text(text, scale)[: box.shape[0], : box.shape[1]]] = self._ink[255]

    def _draw_ball(self, canvas: Picture, number: int) -> None:
        size = min(self._height(_BALL_SIZE), self._cols // 2)
        span = self._cols - size
        way = number * max(1, self._cols // 160) % (2 * span)
        left, top = span - abs(span - way), self._height(_BALL_TOP)
        canvas[top : top + size, left : left + size][self._ball] = self._ink[235]

    @functools.cached_property
    def _ball(self) -> NDArray[np.bool_]:
        size = min(self._height(_BALL_SIZE), self._cols // 2)
        y, x = np.ogrid[:size, :size]
        ball: NDArray[np.bool_] = (2 * y - size + 1) ** 2 + (2 * x - size + 1) ** 2 <= size**2
        return ball

    def _draw_bands(self, canvas: Picture, code: NDArray[np.uint8]) -> None:
        cells = np.unpackbits(code).reshape(_CELL_LINES, _CELLS) * np.uint8(255)
        lines = self._ink[cells[:, np.arange(self._cols) * _CELLS // self._cols]]
        for band in _BANDS:
            for line in range(_CELL_LINES):
                canvas[self._height(band + line) : self._height(band + line + 1)] = lines[line, :, None]

    def _draw_marks(self, canvas: Picture, code: NDArray[np.uint8]) -> None:
        end = self._cols // _BLOCK * _BLOCK
        for offset, byte in enumerate(code):
            canvas[::_BLOCK, offset:end:_BLOCK] = self._ink[byte]

    def _height(self, thirtieths: int) -> int:
        return self._rows * thirtieths // _THIRTIETHS


def _scenery(camera: str, rows: int, cols: int) -> NDArray[np.uint8]:
    """Paint the still part of the picture, in red, green, blue."""
    picture = np.empty((rows, cols, 3), dtype=np.uint8)
    tint = np.array(colorsys.hsv_to_rgb(camera_id(camera) / 0x10000, 0.75, 1.0))
    ramp = np.linspace(40, 200, cols)
    picture[:] = (ramp[:, None] * tint).astype(np.uint8)
    bars = np.where(np.array(_BAR_COLOURS), _HIGH, _LOW).astype(np.uint8)
    top, bottom = (rows * place // _THIRTIETHS for place in _BARS)
    picture[top:bottom] = bars[np.arange(cols) * len(bars) // cols]
    return picture


def _shades(encoding: Encoding) -> Picture:
    """Return the pixel value for each of 256 greys."""
    greys = np.arange(256, dtype=np.uint16)
    return (greys << 8) | (greys ^ 0xFF) if encoding in ("mono16", "depth16") else greys.astype(np.uint8)


def _to_8_bits(pixels: Picture) -> Picture:
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _encoding_of(pixels: Picture) -> Encoding:
    kinds: dict[tuple[str, int], Encoding] = {
        ("uint8", 1): "mono8",
        ("uint16", 1): "mono16",
        ("uint8", 3): "bgr8",
        ("uint8", 4): "bgra8",
    }
    channels = {2: 1, 3: pixels.shape[-1]}.get(pixels.ndim, 0)
    if (pixels.dtype.name, channels) not in kinds or min(pixels.shape[:2]) < _BLOCK:
        raise PatternError(f"an array {pixels.shape} of {pixels.dtype} is no test picture")
    return kinds[pixels.dtype.name, channels]


def _encode(camera: str, number: int) -> bytes:
    name = camera_id(camera)
    return _CODE.pack(number % NUMBERS, name, _checksum(number % NUMBERS, name))


def _checksum(number: int, name: int) -> int:
    return binascii.crc_hqx(struct.pack("<IH", number, name), 0xFFFF)


def _read_marks(pixels: Picture) -> NDArray[np.uint8]:
    """Read the codes of all blocks: shape (blocks, 8)."""
    _encoding_of(pixels)
    rows, cols = pixels.shape[:2]
    lines = pixels.reshape(rows, cols, -1)[::_BLOCK, : cols // _BLOCK * _BLOCK, 0]
    return _to_8_bits(lines).reshape(-1, _BLOCK)[:, : _CODE.size]


def _read_bands(grey: Picture) -> NDArray[np.uint8]:
    """Read the codes of the three bands: shape (3, 8). A cell is the median of nine samples around its middle."""
    rows, cols = grey.shape
    around = np.array([0.35, 0.5, 0.65])
    x = ((np.arange(_CELLS)[:, None] + around) * cols / _CELLS).astype(int)
    lines = np.add.outer(_BANDS, np.arange(_CELL_LINES)).reshape(-1)
    y = ((lines[:, None] + around) * rows / _THIRTIETHS).astype(int)
    samples = grey[y[:, None, :, None], x[None, :, None, :]]
    bits = np.median(samples, axis=(2, 3)) > 127  # noqa: PLR2004 - half way between black and white
    return np.packbits(bits.reshape(len(_BANDS), -1), axis=1)


def _only_code(codes: NDArray[np.uint8], camera: str) -> int:
    """Return the number that all `codes` agree on."""
    found = [_CODE.unpack(code) for code in np.unique(np.ascontiguousarray(codes).view(f"V{_CODE.size}")).tolist()]
    if any(checksum != _checksum(number, name) for number, name, checksum in found):
        raise PatternError(f"damaged: {len(found)} different codes, not all of them valid")
    if len(found) > 1:
        raise PatternError("torn: made of the frames " + ", ".join(str(number) for number, _, _ in found[:4]))
    number, name, _ = found[0]
    if name != camera_id(camera):
        raise PatternError(f"foreign: of a camera with id {name:#06x}, and {camera} has {camera_id(camera):#06x}")
    return int(number)


def _check_bars(rgb: Picture) -> None:
    rows, cols = rgb.shape[:2]
    top, bottom = ((rows * place) // _THIRTIETHS for place in (_BARS[0] + 3, _BARS[1] - 3))
    middles = [int((bar + 0.5) * cols / len(_BAR_COLOURS)) for bar in range(len(_BAR_COLOURS))]
    seen = np.array([np.median(rgb[top:bottom, x - 1 : x + 2], axis=(0, 1)) for x in middles])
    if seen.shape[1] == 1:
        if not np.all(np.diff(seen[:, 0]) < 0):
            raise PatternError(f"the bars do not get darker from left to right: {seen[:, 0].tolist()}")
        return
    on = np.array(_BAR_COLOURS, dtype=bool)
    if seen[on].min() - seen[~on].max() < _MIN_CONTRAST:
        raise PatternError(f"the colour bars have other colours: red, green, blue are {seen.tolist()}")


def _difference(pixels: Picture, expected: Picture) -> str:
    if pixels.ndim == 3 and np.array_equal(pixels[:, :, [2, 1, 0]], expected[:, :, :3]):  # noqa: PLR2004 - colour
        return "red and blue are swapped"
    where = np.argwhere(pixels != expected)
    return f"damaged: {len(where)} values differ, the first at {tuple(where[0].tolist())}"
