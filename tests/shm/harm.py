"""What can be done to a segment, at random: its bytes, its length, its name and its owner."""

import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from shm import layout

CAPACITY_BYTES = 4096
RING = layout.RingLayout(4, CAPACITY_BYTES)
FOREIGN_UID = 65534

_FIELDS = {8: 4, 12: 4, 16: 4, 20: 4, 24: 8, 32: 8, 40: 8, 48: 8, 56: 8}  # offset and size, see shm/layout.py
_METADATA_FIELDS = {0: 8, 8: 8, 16: 4, 20: 4, 24: 4, 28: 4, 32: 8, 40: 8, 48: 8, 56: 8, 64: 8}
_EXTREMES = (0, 1, 3, 4, 63, 64, 65, 4096, 1 << 31, (1 << 31) + 1, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1)


def with_right_checksum(header: bytes) -> bytes:
    """The header with the checksum that belongs to its bytes."""
    blank = header[:12] + bytes(4) + header[16:]
    return blank[:12] + struct.pack("<I", zlib.crc32(blank)) + blank[16:]


def harmed_header(header: bytes, rng: random.Random) -> bytes:
    """A header with an extreme field, another version or byte order, or other bytes; half with a right checksum."""
    page = bytearray(header)
    kind = rng.choice(["field", "version", "endianness", "bytes", "descriptor"])
    if kind == "field":
        at, size = rng.choice(list(_FIELDS.items()))
        page[at : at + size] = _extreme(rng, size)
    elif kind == "version":
        page[8:12] = struct.pack("<I", rng.choice([0, 2, rng.getrandbits(32)]))
    elif kind == "endianness":
        for at, size in _FIELDS.items():
            page[at : at + size] = page[at : at + size][::-1]
    elif kind == "descriptor":
        text = rng.choice([b"[]", b"{", b"[" * 5000, b"\xff" * 9, b"null", b'{"a":1e999}', b"9" * 9999])
        page[20:24] = struct.pack("<I", len(text))
        page[128 : 128 + len(text)] = text
    else:
        for _ in range(rng.randint(1, 8)):
            page[rng.randrange(rng.choice([128, len(page)]))] = rng.getrandbits(8)
    return with_right_checksum(bytes(page)) if rng.random() < 0.5 else bytes(page)


def _extreme(rng: random.Random, size: int) -> bytes:
    value = rng.choice([*_EXTREMES, rng.getrandbits(64)])
    return (value % (1 << 8 * size)).to_bytes(size, "little")


def _header(path: Path, rng: random.Random) -> None:
    with path.open("r+b") as file:
        harmed = harmed_header(file.read(layout.HEADER_BYTES), rng)
        file.seek(0)
        file.write(harmed)


def _counters(path: Path, rng: random.Random) -> None:
    slots = [RING.slot_offset(slot) for slot in range(RING.slots)]
    _write(path, rng.choice([layout.PUBLISH_OFFSET, layout.DROPS_OFFSET, *slots]), _extreme(rng, 8))


def _metadata(path: Path, rng: random.Random) -> None:
    """Let every slot's metadata lie in a few fields, with a right checksum in half of the cases."""
    for slot in range(RING.slots):
        at = RING.slot_offset(slot) + layout.METADATA_OFFSET
        with path.open("rb") as file:
            file.seek(at)
            fields = bytearray(file.read(layout.METADATA_BYTES - 4))
        for _ in range(rng.randint(1, 3)):
            field, size = rng.choice(list(_METADATA_FIELDS.items()))
            fields[field : field + size] = _extreme(rng, size)
        checksum = zlib.crc32(fields) if rng.random() < 0.5 else rng.getrandbits(32)
        _write(path, at, bytes(fields) + struct.pack("<I", checksum))


def _anywhere(path: Path, rng: random.Random) -> None:
    at = rng.randrange(RING.total_bytes)
    _write(path, at, rng.randbytes(min(rng.choice([1, 8, 100, 5000]), RING.total_bytes - at)))


def _cut(path: Path, rng: random.Random) -> None:
    """Cut it at a page, or one byte beside it; sometimes make it long again, with zeros."""
    at = rng.randrange(RING.total_bytes // 4096 + 1) * 4096 + rng.choice([-1, 0, 0, 0, 1])
    os.truncate(path, min(max(0, at), RING.total_bytes - 1))
    if rng.random() < 0.2:
        os.truncate(path, rng.choice([RING.total_bytes, 1 << 20]))


def _write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    aside = path.with_suffix(".harm")
    make(aside)
    path.unlink()
    aside.rename(path)


def _garbage(path: Path, rng: random.Random) -> None:
    size = rng.choice([0, 1, 4095, layout.HEADER_BYTES, RING.total_bytes, rng.randrange(RING.total_bytes)])
    _replace(path, lambda aside: aside.write_bytes(rng.randbytes(size)))


def _no_segment(path: Path, rng: random.Random) -> None:
    makers: list[Callable[[Path], object]] = [
        os.mkfifo,
        lambda aside: aside.mkdir(),
        lambda aside: aside.symlink_to("nowhere"),
        lambda aside: aside.symlink_to(path.name),
        lambda aside: aside.symlink_to("/dev/zero"),
    ]
    _replace(path, rng.choice(makers))


def _foreign(path: Path, rng: random.Random) -> None:
    os.chown(path, FOREIGN_UID if rng.random() < 0.5 else -1, -1)
    content = path.read_bytes()
    _replace(path, lambda aside: aside.write_bytes(content))
    os.chown(path, FOREIGN_UID, -1)


def _removed(path: Path, _: random.Random) -> None:
    path.unlink()


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "header": _header,
    "counters": _counters,
    "metadata": _metadata,
    "anywhere": _anywhere,
    "cut": _cut,
    "garbage": _garbage,
    "no segment": _no_segment,
    "removed": _removed,
    **({"foreign": _foreign} if os.geteuid() == 0 else {}),
}


def heal(path: Path) -> None:
    """Take away what the next writer would refuse to replace."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
