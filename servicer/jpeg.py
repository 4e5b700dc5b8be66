"""What the headers of a camera's JPEG say, before anything of it is decoded.

What they promise is what a decoder allocates, so nobody believes them before they are compared with the frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_FRAME_HEADERS = (0xC0, 0xC1, 0xC2)
_HUFFMAN_TABLES, _SCAN, _QUANTISATION_TABLES, _EXIF = 0xC4, 0xDA, 0xDB, 0xE1
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_MOST_PIXELS = 64 * 2**20  # a worker of ours lets no larger one pass
_MOST_SCANS = 100  # a progressive JPEG has about ten; each is decoded into the whole picture
_TABLE_BYTES = 64
_MEAN_AT_50 = 57.625  # of the luminance table in annex K of the JPEG standard, which is quality 50 to all encoders


@dataclass
class JpegFacts:
    """What the headers say. `quality_percent` is that of an encoder that scales the standard's luminance table."""

    rows: int = 0
    cols: int = 0
    components: int = 0
    quality_percent: int | None = None
    has_huffman_tables: bool = False
    has_exif: bool = False


def facts_of(data: bytes, rows: int, cols: int) -> JpegFacts | None:
    """The facts of a JPEG of this size that is whole, and costs no more to decode than it may; else None."""
    if not (data.startswith(_START_OF_IMAGE) and data.endswith(_END_OF_IMAGE)):
        return None
    if rows * cols > _MOST_PIXELS or data.count(_START_OF_SCAN) > _MOST_SCANS:
        return None
    facts = JpegFacts()
    for marker, body in _segments(data):
        _take(marker, body, facts)
    return facts if (facts.rows, facts.cols) == (rows, cols) else None


def _take(marker: int, body: bytes, facts: JpegFacts) -> None:
    if marker in _FRAME_HEADERS and len(body) > 5 and not facts.rows:  # noqa: PLR2004  precision, rows, cols, components
        facts.rows, facts.cols = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        facts.components = body[5]
    elif marker == _QUANTISATION_TABLES and len(body) > _TABLE_BYTES and body[0] == 0:  # 8 bits, the first table
        facts.quality_percent = _quality_percent(body[1 : 1 + _TABLE_BYTES])
    elif marker == _HUFFMAN_TABLES:
        facts.has_huffman_tables = True
    elif marker == _EXIF:
        facts.has_exif = True


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker where the decoder would find it, and what belongs to it, up to the first scan."""
    at = len(_START_OF_IMAGE)
    while len(data) >= at + 4 and data[at] == 0xFF:  # noqa: PLR2004  what each marker begins with
        marker = data[at + 1]
        if marker in (0, _SCAN):  # 0: no marker; the decoder would look for one from here on
            return
        if marker == 0xFF:  # noqa: PLR2004  any number of them may stand in front of a marker
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            yield marker, data[at + 4 : at + 2 + length]
            at += 2 + length


def _quality_percent(table: bytes) -> int:
    scale = float(np.mean(np.frombuffer(table, np.uint8))) / _MEAN_AT_50
    return round(100 - 50 * scale if scale <= 1 else 50 / scale)
