"""No content, size or owner of a segment ends a reader, and every refusal is a sentence."""

import gc
import os
import resource
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm import Encoding, Loss, RingReader, RingWriter, layout, names
from tests.shm.looking import look_everywhere
from tests.shm.stamped import PROJECT, publish

RING = layout.RingLayout(4, 4096)

# A reader that is attached, and one that comes later, when the segment has been cut to each of the sizes.
_READ_TRUNCATED = """
import os, sys
from shm import Frame, RingReader, RingWriter, names
from tests.shm.looking import look_everywhere
from tests.shm.stamped import publish
instance = sys.argv[1]
path = names.path_of(names.segment_name(instance, "front"))
for size in map(int, sys.argv[2:]):
    with RingWriter(instance, "front", payload_capacity_bytes=4096, descriptor={}, slots=4) as ring:
        number = publish(ring, 1, 4096)
    attached = RingReader(instance, "front")
    assert attached.latest().frame_number == number
    os.truncate(path, size)
    for reader in (attached, RingReader(instance, "front")):
        assert reader.latest() is None, size
        assert not isinstance(reader.use(lambda frame: bytes(frame.data)), bytes), size
        assert reader.descriptor() is None, size
        assert "is no ring" in reader.problem, reader.problem
    os.truncate(path, 1 << 20)  # longer again, with zeros in the place of what was cut off
    for reader in (attached, RingReader(instance, "front")):
        reader.latest()
"""


def writer(instance: str, capacity_bytes: int = 4096) -> RingWriter:
    """A writer of the camera "front" with 4 slots."""
    return RingWriter(instance, "front", payload_capacity_bytes=capacity_bytes, descriptor={}, slots=4)


@pytest.mark.row("M14")
def test_truncated_segments(instance: str) -> None:
    """A segment that was cut at any interesting place is refused with a sentence; no signal ends the reader."""
    edges = (0, 128, 4096, layout.HEADER_BYTES, layout.PUBLISH_OFFSET + 8, layout.SLOTS_OFFSET, RING.total_bytes - 4096)
    sizes = sorted({max(0, edge + around) for edge in edges for around in (-1, 0, 1)} | {RING.total_bytes - 1})
    argv = [sys.executable, "-c", _READ_TRUNCATED, instance, *map(str, sizes)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.row("M14")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    writes=st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from([0, 16, 56, 128, layout.PUBLISH_OFFSET]),
                st.integers(0, 3).flatmap(
                    lambda slot: st.sampled_from([0, 64, 72, 80, 96, 136, 4096]).map(
                        lambda at: RING.slot_offset(slot) + at
                    )
                ),
                st.integers(0, RING.total_bytes - 1),
            ),
            st.binary(min_size=1, max_size=200),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_garbage_anywhere(instance: str, writes: list[tuple[int, bytes]]) -> None:
    """Whatever is written wherever into a live segment, an attached and a new reader return consistent values."""
    with writer(instance) as ring:
        for stamp in range(6):
            publish(ring, stamp, 4096)
        attached = RingReader(instance, "front")
        assert attached.latest() is not None
        ring_bytes = ring._memory._bytes
        for at, garbage in writes:
            end = min(at + len(garbage), RING.total_bytes)
            ring_bytes[at:end] = garbage[: end - at]
        look_everywhere(attached, RING.payload_capacity_bytes)
        look_everywhere(RingReader(instance, "front"), RING.payload_capacity_bytes)


@pytest.mark.row("M14")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    number=st.integers(-1, 1) | st.just(1 << 40),
    captured_ns=st.integers(0, (1 << 64) - 1),
    rows=st.sampled_from([0, 1, 2, 64, 65535, 65536, (1 << 32) - 1]),
    cols=st.sampled_from([0, 1, 2, 64, 65535, 65536, (1 << 32) - 1]),
    stride=st.sampled_from([0, 1, 2, 3, 64, 4096, (1 << 32) - 1]),
    encoding=st.sampled_from([0, *Encoding, 7, (1 << 32) - 1]),
    length=st.sampled_from([0, 1, 64, 4096, 4097, 1 << 31, (1 << 64) - 1]),
)
def test_lying_metadata(
    instance: str, number: int, captured_ns: int, rows: int, cols: int, stride: int, encoding: int, length: int
) -> None:
    """Metadata with a right checksum may lie in any field: what a reader believes is consistent."""
    with writer(instance) as ring:
        right = publish(ring, 3, 64)
        lie = layout.Metadata(
            right + number, captured_ns, rows, cols, stride, encoding, length, float("nan"), float("inf"), bytes(16)
        )
        ring._memory.write(ring._layout.slot_offset(right) + layout.METADATA_OFFSET, layout.pack_metadata(lie))
        reader = RingReader(instance, "front")
        look_everywhere(reader, RING.payload_capacity_bytes)
        assert number == 0 or reader.use(lambda frame: frame) is Loss.CORRUPT


@pytest.mark.row("M14")
def test_another_camera_under_this_name(instance: str) -> None:
    """A ring that was moved to another camera's name is refused: no image under a wrong name."""
    with writer(instance) as ring:
        publish(ring, 1, 64)
    os.rename(names.path_of(f"/{instance}.cam.front"), names.path_of(f"/{instance}.cam.rear"))
    reader = RingReader(instance, "rear")
    assert reader.latest() is None
    assert reader.use(lambda frame: frame) is Loss.CORRUPT
    assert f"says that it is '{instance}.cam.front'" in str(reader.problem)


def test_refusals_leave_no_descriptor(instance: str) -> None:
    """A segment that is refused again and again costs nothing."""
    names.path_of(f"/{instance}.cam.front").write_bytes(b"garbage" * 10_000)
    reader, before = RingReader(instance, "front"), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        assert reader.latest() is None
    assert "magic" in str(reader.problem)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_descriptor_left(instance: str) -> None:
    """A process that may open nothing more gets no frame and a sentence, and reads again when it may."""
    with writer(instance) as ring:
        publish(ring, 1, 64)
    reader = RingReader(instance, "front")
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert reader.latest() is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "open" in str(reader.problem)
    assert reader.latest() is not None
    assert reader.problem is None
