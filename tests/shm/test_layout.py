"""Where every byte lies, pinned by literal numbers; and no header page that crashes a reader."""

import json
import math
import random
import re
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm import layout
from shm.layout import Header, LayoutError, Metadata, RingLayout

PAGE = layout.pack_header(RingLayout(6, 921600), 0x1122334455667788, "spot.cam.front", {"rows": 480})
METADATA = Metadata(7, 123456789, 480, 640, 1920, 1, 921600, 2.5, 0.01, bytes(range(16)))

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy


def resealed(page: bytes) -> bytes:
    """The same page with a right checksum, so that the checks behind it are reached."""
    page = page[:12] + bytes(4) + page[16:]
    return page[:12] + struct.pack("<I", zlib.crc32(page)) + page[16:]


def header_or_none(page: bytes) -> Header | None:
    """The header, or None for a LayoutError; any other exception fails the test."""
    try:
        return layout.unpack_header(page)
    except LayoutError:
        return None


def documented(section: str) -> list[tuple[int, int | None, str, str]]:
    """The rows (offset, size, type, field) of one table in the module's docstring."""
    text = (layout.__doc__ or "").split(section, 1)[1].split("\n\n", 2)[1]
    rows = re.findall(r"^ +(\d+) +(\d+|…) +(\S+) +([\w ]+)", text, re.MULTILINE)
    return [(int(offset), int(size) if size.isdigit() else None, kind, field) for offset, size, kind, field in rows]


def test_golden_offsets() -> None:
    """A ring of 6 slots of 921,600 bytes lies exactly here, in this version for ever."""
    ring = RingLayout(6, 921600)
    assert (layout.VERSION, layout.HEADER_BYTES, layout.LIVE_OFFSET, layout.SLOTS_OFFSET) == (1, 16384, 16384, 20480)
    assert (layout.PUBLISH_OFFSET, layout.DROPS_OFFSET, layout.ERRORS_OFFSET) == (16384, 16448, 16512)
    assert (layout.METADATA_OFFSET, layout.METADATA_BYTES, layout.PAYLOAD_OFFSET) == (64, 76, 4096)
    assert (ring.stride_bytes, ring.total_bytes) == (925696, 20480 + 6 * 925696)
    assert [ring.slot_offset(number) for number in (1, 5, 6, 7)] == [946176, 4648960, 20480, 946176]


def test_golden_header() -> None:
    """A header that was put together by hand is what `pack_header` makes."""
    page = bytearray(16384)
    page[0:8] = b"SPOTRING"
    page[8:12] = (1).to_bytes(4, "little")
    page[16:20] = (6).to_bytes(4, "little")
    page[20:24] = (12).to_bytes(4, "little")
    page[24:32] = (925696).to_bytes(8, "little")
    page[32:40] = (921600).to_bytes(8, "little")
    page[40:48] = (20480 + 6 * 925696).to_bytes(8, "little")
    page[48:56] = (0x1122334455667788).to_bytes(8, "little")
    page[56:70] = b"spot.cam.front"
    page[128:140] = b'{"rows":480}'
    page[12:16] = zlib.crc32(page).to_bytes(4, "little")
    assert bytes(page) == PAGE


def test_golden_metadata() -> None:
    """Metadata that was put together by hand is what `pack_metadata` makes."""
    data = bytearray(72)
    data[0:8] = (7).to_bytes(8, "little")
    data[8:16] = (123456789).to_bytes(8, "little")
    data[16:20] = (480).to_bytes(4, "little")
    data[20:24] = (640).to_bytes(4, "little")
    data[24:28] = (1920).to_bytes(4, "little")
    data[28:32] = (1).to_bytes(4, "little")
    data[32:40] = (921600).to_bytes(8, "little")
    data[40:48] = b"\x00\x00\x00\x00\x00\x00\x04\x40"  # 2.5
    data[48:56] = b"\x7b\x14\xae\x47\xe1\x7a\x84\x3f"  # 0.01
    data[56:72] = bytes(range(16))
    assert layout.pack_metadata(METADATA) == bytes(data) + zlib.crc32(data).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("section", "declared", "crc_at"),
    [("Header, ", layout._HEADER, None), ("Metadata:", layout._METADATA, 72)],
)
def test_the_table_is_the_declaration(section: str, declared: struct.Struct, crc_at: int | None) -> None:
    """The offsets, sizes and types of the docstring follow from the declaration, without a gap."""
    rows = [row for row in documented(section) if not row[3].startswith("descriptor  ")]
    codes = {"bytes": "s", "u32": "I", "u64": "Q", "f64": "d"}
    fields = re.findall(r"(\d*)([sIQd])", declared.format)
    expected, offset = [], 0
    for count, code in fields:
        for size, times in [(int(count), 1)] if code == "s" else [(struct.calcsize(f"<{code}"), int(count or 1))]:
            for _ in range(times):
                expected.append((offset, size, code))
                offset += size
    assert [(at, size, codes[kind]) for at, size, kind, _ in rows][: len(expected)] == expected
    rest = rows[len(expected) :]
    assert [row[0] for row in rest] == ([crc_at] if crc_at else [layout.DESCRIPTOR_OFFSET])
    assert declared.size == (crc_at or layout.DESCRIPTOR_OFFSET)


def test_the_live_and_slot_tables_are_the_declaration() -> None:
    """The docstring's offsets of the live cells and inside a slot are the constants."""
    live = [row[0] + layout.LIVE_OFFSET for row in documented("Live page, ")]
    assert live == [layout.PUBLISH_OFFSET, layout.DROPS_OFFSET, layout.ERRORS_OFFSET]
    slot = re.findall(r"^ +(\d+) +(\d+|…) ", (layout.__doc__ or "").split("Slot i,")[1].split("Metadata:\n")[0], re.M)
    assert slot == [
        ("0", "8"),
        (str(layout.METADATA_OFFSET), str(layout.METADATA_BYTES)),
        (str(layout.PAYLOAD_OFFSET), "…"),
    ]


@unhurried
@given(
    slots=st.integers(4, 64),
    capacity=st.integers(1, 1 << 31),
    epoch=st.integers(1, (1 << 64) - 1),
    name=st.from_regex(r"[a-z0-9_-]{1,32}\.cam\.[a-z0-9_-]{1,32}", fullmatch=True),
    descriptor=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=20),
)
def test_headers_round_trip(slots: int, capacity: int, epoch: int, name: str, descriptor: dict[str, object]) -> None:
    """Every header comes back as it was, names of the greatest length included."""
    ring = RingLayout(slots, capacity)
    page = layout.pack_header(ring, epoch, name, descriptor)
    assert len(page) == layout.HEADER_BYTES
    assert layout.unpack_header(page) == Header(ring, epoch, name, json.loads(json.dumps(descriptor)))


@unhurried
@given(st.binary(max_size=200), st.integers(0, 16383))
def test_any_bytes_are_a_header_or_a_layout_error(garbage: bytes, at: int) -> None:
    """Whatever is written into a header page, sealed again, it is read as a header or a LayoutError."""
    header_or_none(garbage)
    header_or_none(resealed((PAGE[:at] + garbage + PAGE[at:])[: layout.HEADER_BYTES]))


@pytest.mark.parametrize("sealed", [False, True])
def test_mutated_headers(sealed: bool) -> None:
    """Of 10,000 mutated headers, those with a wrong checksum are all refused, the others never raise anything else."""
    rng = random.Random(7)  # noqa: S311  reproducible, not secret
    right = layout.unpack_header(PAGE)
    for _ in range(10_000):
        page = bytearray(PAGE)
        for _ in range(rng.randint(1, 8)):
            page[rng.randrange(160)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        found = header_or_none(resealed(bytes(page)) if sealed else bytes(page))
        assert sealed or found in (None, right)
        if found:
            assert 4 <= found.layout.slots <= 64
            assert found.layout.total_bytes == int.from_bytes(page[40:48], "little")


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16383])
def test_a_short_page_is_refused(length: int) -> None:
    """A header that was cut off is no header."""
    with pytest.raises(LayoutError, match="bytes long"):
        layout.unpack_header(PAGE[:length])


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"spotring", "magic"),
        (8, b"\2\0\0\0", "layout version 2"),
        (8, b"\0\0\0\1", "layout version 16777216"),
        (16, b"\3\0\0\0", "3 slots"),
        (16, b"\x41\0\0\0", "65 slots"),
        (20, b"\xff\xff\xff\xff", "descriptor length"),
        (20, b"\5\0\0\0", "no JSON"),
        (24, bytes(8), "contradict"),
        (32, bytes(8), "capacity"),
        (32, b"\xff" * 8, "capacity"),
        (40, b"\0\0\0\0\1\0\0\0", "contradict"),
        (48, bytes(8), "epoch"),
        (128, b'["rows",480]', "no JSON object"),
        (128, b'{"\xff":1234}  ', "no JSON"),
    ],
)
def test_each_lie_is_named(at: int, value: bytes, reason: str) -> None:
    """A sealed header with one impossible field is refused for that field."""
    with pytest.raises(LayoutError, match=reason):
        layout.unpack_header(resealed(PAGE[:at] + value + PAGE[at + len(value) :]))


@pytest.mark.parametrize(("slots", "capacity"), [(3, 1), (65, 1), (4, 0), (4, -1), (4, (1 << 31) + 1)])
def test_impossible_rings(slots: int, capacity: int) -> None:
    """A ring has 4 to 64 slots of 1 byte to 2 GiB."""
    with pytest.raises(LayoutError):
        RingLayout(slots, capacity)


def test_a_descriptor_that_does_not_fit() -> None:
    """A descriptor of exactly the capacity fits, one byte more does not."""
    ring, room = RingLayout(4, 1), layout.DESCRIPTOR_CAPACITY_BYTES - len('{"a":""}')
    layout.unpack_header(layout.pack_header(ring, 1, "a.cam.b", {"a": "x" * room}))
    with pytest.raises(LayoutError, match="there is room for"):
        layout.pack_header(ring, 1, "a.cam.b", {"a": "x" * (room + 1)})


def test_metadata_round_trip_and_every_flipped_bit() -> None:
    """Metadata comes back as it was; any single flipped bit, or a missing byte, makes it None."""
    data = layout.pack_metadata(METADATA)
    assert layout.unpack_metadata(data) == METADATA
    assert layout.unpack_metadata(data[:-1]) is None
    for bit in range(len(data) * 8):
        flipped = (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")
        assert layout.unpack_metadata(flipped) is None


@pytest.mark.parametrize(
    "values",
    [
        {"captured_ns": -1},
        {"captured_ns": 1 << 64},
        {"row_stride_bytes": 1 << 32},
        {"params_id": bytes(15)},
        {"params_id": bytes(17)},
    ],
)
def test_metadata_that_does_not_fit_its_fields(values: dict[str, int | bytes]) -> None:
    """A value without room in its field is a LayoutError, never cut or padded."""
    fields = {**METADATA.__dict__, **values}
    with pytest.raises(LayoutError):
        layout.pack_metadata(Metadata(**fields))


def test_unknown_gain_is_nan() -> None:
    """NaN survives the round trip: it means unknown."""
    found = layout.unpack_metadata(layout.pack_metadata(Metadata(**{**METADATA.__dict__, "gain": math.nan})))
    assert found is not None
    assert math.isnan(found.gain)
