"""What a writer makes in /dev/shm, and what it refuses to publish."""

import os
from typing import Any

import numpy as np
import pytest

from shm import Encoding, RingReader, RingWriter, names, protocol
from tests.shm.stamped import publish


@pytest.fixture
def ring(instance: str) -> RingWriter:
    """A ring of 4 slots that has not been entered."""
    return RingWriter(instance, "front", payload_capacity_bytes=65536, descriptor={"rows": 4}, slots=4)


@pytest.fixture
def reader(instance: str) -> RingReader:
    """A reader of the same camera."""
    return RingReader(instance, "front")


def test_the_longest_names(instance: str) -> None:
    """Names of 32 characters each are read like any other."""
    longest = instance.ljust(32, "-")
    with RingWriter(longest, "c" * 32, payload_capacity_bytes=8, descriptor={}) as ring:
        publish(ring, 1, 8)
    try:
        assert RingReader(longest, "c" * 32).latest() is not None
    finally:
        for name in names.names_of(longest):
            names.remove(name)


def test_a_damaged_header_is_a_ring_out_of_place(ring: RingWriter, reader: RingReader, instance: str) -> None:
    """Who reads already goes on, who comes new finds no ring: the writer is told to make another one."""
    with ring:
        publish(ring, 1, 64)
        assert reader.latest() is not None
        assert ring.is_in_place()
        with names.path_of(names.segment_name(instance, "front")).open("r+b") as file:
            file.write(b"FOREIGN!")
        assert not ring.is_in_place()
        ring.__enter__()
        publish(ring, 2, 64)
        assert RingReader(instance, "front").latest() is not None


@pytest.mark.parametrize(
    ("payload", "changes"),
    [
        (b"", {}),
        (bytes(63), {}),
        (bytes(65), {}),
        (bytes(65537), {"rows": 1, "cols": 65537, "row_stride_bytes": 65537}),
        (bytes(64), {"rows": 0}),
        (bytes(64), {"cols": -1}),
        (bytes(64), {"row_stride_bytes": 15}),
        (bytes(64), {"captured_ns": -1}),
        (bytes(64), {"params_id": b"short"}),
        (bytes(60), {"encoding": Encoding.BGRA8}),
        (bytes(68), {"encoding": Encoding.MONO16, "row_stride_bytes": 17, "cols": 8}),
        (bytes(64), {"encoding": Encoding.JPEG, "row_stride_bytes": 1 << 32}),
        (np.zeros((4, 32), np.uint8)[:, ::2], {}),
        (np.zeros((0, 16), np.uint8), {}),
    ],
    ids=range(14),
)
def test_what_is_no_frame_is_not_published(
    ring: RingWriter, reader: RingReader, payload: bytes, changes: dict[str, Any]
) -> None:
    """A payload that does not fit or contradicts its description is a ValueError; the last frame stays."""
    arguments: dict[str, Any] = {
        "captured_ns": 1,
        "rows": 4,
        "cols": 16,
        "row_stride_bytes": 16,
        "encoding": Encoding.MONO8,
    }
    with ring:
        number = publish(ring, 3, 64)
        with pytest.raises(ValueError, match=r".+"):
            ring.publish(payload, **{**arguments, **changes})
        frame = reader.latest()
        assert frame is not None
        assert (frame.frame_number, publish(ring, 4, 64)) == (number, number + 1)


def test_only_the_owner_may_read(ring: RingWriter, instance: str) -> None:
    """Segments have mode 0600, before and after they take their names, whatever the umask."""
    with ring:
        (aside,) = names.names_of(instance)
        assert aside == f"/{instance}.cam.front.new.{os.getpid()}"
        assert names.path_of(aside).stat().st_mode & 0o777 == 0o600
        publish(ring, 1, 64)
    assert names.names_of(instance) == [f"/{instance}.cam.front"]
    assert names.path_of(f"/{instance}.cam.front").stat().st_mode & 0o777 == 0o600


def test_all_memory_is_allocated_before_the_first_frame(ring: RingWriter, instance: str) -> None:
    """Every page of a ring exists before it is used: a full /dev/shm is an error at the start, not SIGBUS later."""
    with ring:
        facts = names.path_of(names.names_of(instance)[0]).stat()
        assert facts.st_size == ring._layout.total_bytes
        assert facts.st_blocks * 512 >= facts.st_size
        assert protocol.newest_number(ring._memory) == 0
