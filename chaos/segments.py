"""How a camera's ring is damaged from outside, in every way but its pixels: they carry no checksum."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

from chaos.schedule import Injection
from shm import layout

_FOREIGN_UID = 65534
_HALF = 0.5


def damage(path: Path, injection: Injection) -> Iterator[float]:
    """Do this kind of damage now, before anybody asks for the steps that are returned: those that undo it.

    Raises FileNotFoundError for a ring that is not there, LayoutError for one that is damaged already, and OSError.
    """
    noise = random.Random(injection.index)  # noqa: S311  no secrecy
    match injection.kind:
        case "segment_truncated":
            os.truncate(path, 0 if injection.figure < _HALF else path.stat().st_size // 2)
        case "segment_header":
            _overwrite(path, _damaged_header(path, int(injection.figure), noise))
        case "segment_counters":
            _overwrite(path, _damaged_counters(path, noise, all_slots=injection.figure > _HALF))
        case "segment_removed":
            path.unlink()
        case "segment_replaced":
            _replace(path, noise.randbytes(70_000))
        case "segment_foreign":
            _replace(path, noise.randbytes(5_000), _FOREIGN_UID)
            return _remove_foreign(path, injection.hold_s)
    return iter(())


def _remove_foreign(path: Path, hold_s: float) -> Iterator[float]:
    yield hold_s
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_uid == _FOREIGN_UID:
            path.unlink()


def _overwrite(path: Path, patches: list[tuple[int, bytes]]) -> None:
    with path.open("r+b", buffering=0) as file:
        for offset, data in patches:
            os.pwrite(file.fileno(), data, offset)


def _damaged_header(path: Path, how: int, noise: random.Random) -> list[tuple[int, bytes]]:
    length = min(layout.HEADER_BYTES, path.stat().st_size)
    return [
        [(0, bytes(length))],
        [(0, noise.randbytes(length))],
        [(8, (99).to_bytes(4, "little"))],
        [(16, noise.randbytes(32))],
    ][min(how, 3)]


def _damaged_counters(path: Path, noise: random.Random, *, all_slots: bool) -> list[tuple[int, bytes]]:
    """Damage the publish index, and the sequences and metadata of the slots."""
    with path.open("rb") as file:
        ring = layout.unpack_header(file.read(layout.HEADER_BYTES)).layout
    patches = [(layout.PUBLISH_OFFSET, noise.randbytes(8))]
    for slot in range(ring.slots if all_slots else 0):
        offset = ring.slot_offset(slot)
        metadata = noise.randbytes(layout.METADATA_BYTES)
        patches += [(offset, noise.randbytes(8)), (offset + layout.METADATA_OFFSET, metadata)]
    return patches


def _replace(path: Path, data: bytes, uid: int | None = None) -> None:
    aside = path.with_name(f"chaos.{path.name}")
    path.stat()  # only what is there can be replaced
    try:
        aside.write_bytes(data)
        aside.chmod(0o600)
        if uid is not None:
            os.chown(aside, uid, uid)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
