"""Looks at a JPEG from outside: is it whole, and how large would it become? Nothing is decoded.

A decoder that is given four bytes of size by a broken camera allocates what they say. So size and end are checked
where the frame enters, once, instead of by everybody who decodes it.
"""

import struct
from dataclasses import dataclass

MAX_PIXELS = 64 * 2**20
MAX_TAIL_BYTES = 64  # what may follow the end of the image, apart from zeros

_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_END_MARKER = 0xD9
_DECODABLE = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_OTHER_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_COMPONENTS = (1, 3)


class BrokenJpegError(ValueError):
    """These bytes are no whole JPEG of the expected size; the message says what is wrong."""


@dataclass(frozen=True)
class Inspected:
    """A whole JPEG: its size in pixels, 1 (grey) or 3 components, and its length up to and including the end marker."""

    rows: int
    cols: int
    components: int
    length_bytes: int


def begins(data: bytes) -> bool:
    """Whether these bytes claim to be a JPEG."""
    return data.startswith(_START_OF_IMAGE)


def inspect(data: bytes, size: tuple[int, int] | None = None) -> Inspected:
    """Check start, frame header, scan and end. Raises BrokenJpegError.

    `size` is the (rows, cols) it must have; without, anything up to `MAX_PIXELS` is accepted.
    """
    if not begins(data):
        raise BrokenJpegError(f"no start marker in {len(data)} bytes")
    rows, cols, components, scan = _read_headers(data)
    if size is not None and (rows, cols) != size:
        raise BrokenJpegError(f"its header says {cols} x {rows} pixels, the camera is set to {size[1]} x {size[0]}")
    if not 0 < rows * cols <= MAX_PIXELS:
        raise BrokenJpegError(f"its header says {cols} x {rows} pixels")
    end = data.rfind(_END_OF_IMAGE, scan)
    if end < 0:
        raise BrokenJpegError("it has no end")
    length = end + len(_END_OF_IMAGE)
    if len(data.rstrip(b"\0")) - length > MAX_TAIL_BYTES:
        raise BrokenJpegError(f"{len(data) - length} bytes follow its end")
    return Inspected(rows, cols, components, length)


def _read_headers(data: bytes) -> tuple[int, int, int, int]:
    """Walk the segments up to the first scan: (rows, cols, components, where the scan's data begins)."""
    size: tuple[int, int, int] | None = None
    position = len(_START_OF_IMAGE)
    while True:
        marker, position = _next_marker(data, position)
        if marker in _WITHOUT_LENGTH:
            continue
        if marker == _END_MARKER or marker in _OTHER_FRAMES:
            raise BrokenJpegError(f"a marker 0x{marker:02x} stands before any picture")
        body, position = _segment(data, position)
        if marker in _DECODABLE:
            if size is not None:
                raise BrokenJpegError("it has two frame headers")
            size = _read_size(body)
        if marker == _START_OF_SCAN:
            if size is None:
                raise BrokenJpegError("its scan begins before its size is known")
            return *size, position


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    start = position
    while data[position : position + 1] == b"\xff":
        position += 1
    if position == start or position >= len(data):
        raise BrokenJpegError(f"there is no marker at byte {start}")
    return data[position], position + 1


def _segment(data: bytes, position: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[position : position + 2], "big")
    body = data[position + 2 : position + length]
    if length < 2 or len(body) != length - 2:  # noqa: PLR2004 - the length counts its own two bytes
        raise BrokenJpegError(f"a segment at byte {position} is cut off")
    return body, position + length


def _read_size(body: bytes) -> tuple[int, int, int]:
    try:
        precision, rows, cols, components = struct.unpack_from(">BHHB", body)
    except struct.error as error:
        raise BrokenJpegError("its frame header is too short") from error
    if precision != 8 or components not in _COMPONENTS:  # noqa: PLR2004 - bits per sample
        raise BrokenJpegError(f"it has {components} components of {precision} bits")
    return rows, cols, components
