"""Where every byte of a ring lies. All integers are little-endian; the golden test pins every offset.

Header, `HEADER_BYTES` long, written before the ring takes its name and never changed afterwards:

    offset  size  type   field
         0     8  bytes  magic "SPOTRING"
         8     4  u32    layout version
        12     4  u32    CRC-32 of the whole header with this field zero
        16     4  u32    slot count N (4 … 64)
        20     4  u32    descriptor length in bytes
        24     8  u64    slot stride in bytes (a multiple of the page)
        32     8  u64    payload capacity in bytes
        40     8  u64    total size of the segment in bytes
        48     8  u64    epoch: random, not zero, another one for every ring
        56    72  bytes  segment name without the slash, NUL padded (at most 32 + 5 + 32 characters)
       128     …  bytes  descriptor: a JSON object in UTF-8

Live page, at `LIVE_OFFSET`: cells of 8 bytes, each alone in its cache line, written while readers look:

         0     8  u64    publish: the newest complete frame's number, 0 before the first
        64     8  u64    drops: frames that the camera delivered and the worker did not publish
       128     8  u64    capture errors

Slot i, at `slot_offset(i)`; frame n lives in slot n mod N:

         0     8  u64    sequence: 2n+1 while frame n is written, 2n+2 when it is complete
        64    76  –      metadata (below)
      4096     …  bytes  payload

Metadata:

         0     8  u64    frame number
         8     8  u64    capture time, CLOCK_MONOTONIC ns
        16     4  u32    rows
        20     4  u32    cols
        24     4  u32    row stride in bytes; 0 for compressed payloads
        28     4  u32    encoding (frame.Encoding)
        32     8  u64    payload length in bytes
        40     8  f64    gain in dB, NaN when unknown
        48     8  f64    exposure in seconds, NaN when unknown
        56    16  bytes  id of the custom parameters that the frame was captured with, zeros for none
        72     4  u32    CRC-32 of the 72 bytes before it
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAGIC = b"SPOTRING"
VERSION = 1
PAGE_BYTES = 4096

HEADER_BYTES = 4 * PAGE_BYTES
DESCRIPTOR_OFFSET = 128
DESCRIPTOR_CAPACITY_BYTES = HEADER_BYTES - DESCRIPTOR_OFFSET
_HEADER = struct.Struct("<8sIIIIQQQQ72s")
_CRC_OFFSET = 12

LIVE_OFFSET = HEADER_BYTES
PUBLISH_OFFSET = LIVE_OFFSET
DROPS_OFFSET = LIVE_OFFSET + 64
ERRORS_OFFSET = LIVE_OFFSET + 128

SLOTS_OFFSET = LIVE_OFFSET + PAGE_BYTES
METADATA_OFFSET = 64
PAYLOAD_OFFSET = PAGE_BYTES
_METADATA = struct.Struct("<QQIIIIQdd16s")
_CRC = struct.Struct("<I")
PARAMS_ID_BYTES = 16
METADATA_BYTES = _METADATA.size + _CRC.size

MIN_SLOTS = 4
MAX_SLOTS = 64
MAX_PAYLOAD_BYTES = 1 << 31  # far above any camera; keeps every sum of a hostile header small


class LayoutError(ValueError):
    """These bytes are no ring of this layout; the message says what is wrong with them."""


@dataclass(frozen=True)
class RingLayout:
    """The shape of one ring, from which every offset follows."""

    slots: int
    payload_capacity_bytes: int

    def __post_init__(self) -> None:
        """Raise LayoutError for a shape that no ring has."""
        if not MIN_SLOTS <= self.slots <= MAX_SLOTS:
            raise LayoutError(f"{self.slots} slots; a ring has {MIN_SLOTS} to {MAX_SLOTS}")
        if not 1 <= self.payload_capacity_bytes <= MAX_PAYLOAD_BYTES:
            raise LayoutError(f"a payload capacity of {self.payload_capacity_bytes} bytes")

    @property
    def stride_bytes(self) -> int:
        """Bytes from one slot to the next."""
        pages = -(-self.payload_capacity_bytes // PAGE_BYTES)
        return PAYLOAD_OFFSET + pages * PAGE_BYTES

    @property
    def total_bytes(self) -> int:
        """Size of the whole segment."""
        return SLOTS_OFFSET + self.slots * self.stride_bytes

    def slot_offset(self, frame_number: int) -> int:
        """Offset of the slot in which this frame lives: that of its sequence counter."""
        return SLOTS_OFFSET + (frame_number % self.slots) * self.stride_bytes


@dataclass(frozen=True)
class Header:
    """The decoded header of a ring."""

    layout: RingLayout
    epoch: int
    segment_name: str
    descriptor: dict[str, Any]


@dataclass(frozen=True)
class Metadata:
    """The decoded metadata of one frame, in the units of the layout table."""

    frame_number: int
    captured_ns: int
    rows: int
    cols: int
    row_stride_bytes: int
    encoding: int
    payload_bytes: int
    gain: float
    exposure_s: float
    params_id: bytes


def pack_header(layout: RingLayout, epoch: int, segment_name: str, descriptor: Mapping[str, Any]) -> bytes:
    """Encode a header of `HEADER_BYTES`. Raises LayoutError if the descriptor does not fit."""
    text = json.dumps(descriptor, separators=(",", ":")).encode()
    if len(text) > DESCRIPTOR_CAPACITY_BYTES:
        raise LayoutError(f"a descriptor of {len(text)} bytes; there is room for {DESCRIPTOR_CAPACITY_BYTES}")
    fields = _HEADER.pack(
        MAGIC,
        VERSION,
        0,
        layout.slots,
        len(text),
        layout.stride_bytes,
        layout.payload_capacity_bytes,
        layout.total_bytes,
        epoch,
        segment_name.encode(),
    )
    page = (fields.ljust(DESCRIPTOR_OFFSET, b"\0") + text).ljust(HEADER_BYTES, b"\0")
    return page[:_CRC_OFFSET] + _CRC.pack(zlib.crc32(page)) + page[_CRC_OFFSET + _CRC.size :]


def unpack_header(page: bytes) -> Header:
    """Decode and check a header. Raises LayoutError for anything that `pack_header` did not make."""
    if len(page) < HEADER_BYTES:
        raise LayoutError(f"only {len(page)} bytes long")
    magic, version, crc, slots, text_bytes, stride, capacity, total, epoch, name = _HEADER.unpack_from(page)
    if magic != MAGIC:
        raise LayoutError("not a ring: wrong magic")
    if version != VERSION:
        raise LayoutError(f"layout version {version}; this program reads version {VERSION}")
    if crc != zlib.crc32(page[:_CRC_OFFSET] + bytes(_CRC.size) + page[_CRC_OFFSET + _CRC.size : HEADER_BYTES]):
        raise LayoutError("damaged header: wrong checksum")
    layout = RingLayout(slots, capacity)
    if (stride, total) != (layout.stride_bytes, layout.total_bytes):
        raise LayoutError("sizes that contradict each other")
    if text_bytes > DESCRIPTOR_CAPACITY_BYTES or epoch == 0:
        raise LayoutError("impossible descriptor length or epoch")
    return Header(layout, epoch, _text(name), _descriptor(page[DESCRIPTOR_OFFSET : DESCRIPTOR_OFFSET + text_bytes]))


def pack_metadata(metadata: Metadata) -> bytes:
    """Encode `METADATA_BYTES` of metadata, checksum included. Raises LayoutError for what does not fit its field."""
    if len(metadata.params_id) != PARAMS_ID_BYTES:  # struct would pad or cut it silently
        raise LayoutError(f"an id of parameters has {PARAMS_ID_BYTES} bytes, not {len(metadata.params_id)}")
    try:
        fields = _pack_fields(metadata)
    except struct.error as error:
        raise LayoutError(f"frame metadata that cannot be stored: {error}") from error
    return fields + _CRC.pack(zlib.crc32(fields))


def _pack_fields(metadata: Metadata) -> bytes:
    return _METADATA.pack(
        metadata.frame_number,
        metadata.captured_ns,
        metadata.rows,
        metadata.cols,
        metadata.row_stride_bytes,
        metadata.encoding,
        metadata.payload_bytes,
        metadata.gain,
        metadata.exposure_s,
        metadata.params_id,
    )


def unpack_metadata(data: bytes) -> Metadata | None:
    """Decode metadata; None if its checksum is wrong (torn, or damaged)."""
    fields = data[: _METADATA.size]
    if _CRC.pack(zlib.crc32(fields)) != data[_METADATA.size :]:
        return None
    return Metadata(*_METADATA.unpack(fields))


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("ascii", errors="replace")


def _descriptor(text: bytes) -> dict[str, Any]:
    try:
        descriptor = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LayoutError("a descriptor that is no JSON") from error
    if not isinstance(descriptor, dict):
        raise LayoutError("a descriptor that is no JSON object")
    return descriptor
