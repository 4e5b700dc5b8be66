"""One writer, its readers, and one ring."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shm import DEFAULT_PARAMS_ID, Encoding, Frame, Loss, RingReader, RingWriter, layout, names, segment
from tests.shm.stamped import publish, stamp_of

CUSTOM = bytes(range(16))


@pytest.fixture
def ring(instance: str) -> RingWriter:
    """A ring of 4 slots that has not been entered."""
    return RingWriter(instance, "front", payload_capacity_bytes=65536, descriptor={"rows": 4}, slots=4)


@pytest.fixture
def reader(instance: str) -> RingReader:
    """A reader of the same camera."""
    return RingReader(instance, "front")


@pytest.mark.parametrize("padding", [0, 4, 64])
@pytest.mark.parametrize("encoding", [encoding for encoding in Encoding if not encoding.compressed])
def test_raw_frames_come_back_as_they_were(
    ring: RingWriter, reader: RingReader, encoding: Encoding, padding: int
) -> None:
    """Pixels of every raw encoding, with or without padding at the end of the rows, are what was published."""
    rows, cols = 6, 10
    stride = cols * encoding.bytes_per_pixel + padding
    stored = np.random.default_rng(1).integers(0, 256, (rows, stride), dtype=np.uint8)
    captured_ns = time.monotonic_ns()
    with ring:
        number = ring.publish(
            stored,
            captured_ns=captured_ns,
            rows=rows,
            cols=cols,
            row_stride_bytes=stride,
            encoding=encoding,
            gain=1.5,
            exposure_s=0.02,
        )
        frame = reader.latest()
    assert frame is not None
    assert (frame.frame_number, frame.captured_ns, frame.rows, frame.cols) == (number, captured_ns, rows, cols)
    assert (frame.encoding, frame.gain, frame.exposure_s) == (encoding, 1.5, 0.02)
    pixels = frame.pixels()
    assert pixels.dtype == (np.uint16 if encoding in (Encoding.MONO16, Encoding.DEPTH16) else np.uint8)
    assert pixels.shape == {Encoding.BGR8: (6, 10, 3), Encoding.BGRA8: (6, 10, 4)}.get(encoding, (6, 10))
    assert pixels.tobytes() == stored[:, : cols * encoding.bytes_per_pixel].tobytes()
    assert not pixels.flags.writeable


def test_compressed_frames_are_bytes(ring: RingWriter, reader: RingReader) -> None:
    """A compressed frame is exactly the bytes that were published, and has no pixels."""
    with ring:
        ring.publish(
            b"\xff\xd8 x \xff\xd9",
            captured_ns=time.monotonic_ns(),
            rows=480,
            cols=640,
            row_stride_bytes=0,
            encoding=Encoding.JPEG,
        )
        frame = reader.latest()
        assert frame is not None
        assert frame.data == b"\xff\xd8 x \xff\xd9"
        assert isinstance(reader.use(lambda frame: frame.data), bytes)
        with pytest.raises(ValueError, match="JPEG"):
            frame.pixels()


def test_the_newest_frame_is_read_and_kept(ring: RingWriter, reader: RingReader) -> None:
    """Each look gives the newest; what was copied does not change when its slot is used again."""
    with ring:
        frames = []
        for stamp in range(12):
            number = publish(ring, stamp, 64)
            frame = reader.latest()
            assert frame is not None
            assert frame.frame_number == number
            frames.append(frame)
    assert [stamp_of(frame).stamp for frame in frames] == list(range(12))
    assert [b.frame_number - a.frame_number for a, b in itertools.pairwise(frames)] == [1] * 11
    assert 0 <= frames[-1].age_s() < 5


@pytest.mark.parametrize(("newer", "found"), [(0, True), (1, True), (2, True), (3, False)])
def test_parameters_are_searched_in_the_last_frames(
    ring: RingWriter, reader: RingReader, newer: int, found: bool
) -> None:
    """A ring of N slots is searched for parameters from the newest frame to N−2 before it."""
    with ring:
        for stamp in range(5):
            publish(ring, stamp, 64)
        number = publish(ring, 77, 64, params_id=CUSTOM)
        for stamp in range(newer):
            publish(ring, stamp, 64)
        frame = reader.latest(CUSTOM)
        assert (frame.frame_number if frame else None) == (number if found else None)
        default = reader.latest()
        assert default is not None
        assert default.params_id == DEFAULT_PARAMS_ID
        assert reader.use(lambda frame: frame.frame_number, bytes(15) + b"x") is Loss.NO_FRAME


def test_a_search_that_is_overtaken_is_repeated(ring: RingWriter, reader: RingReader) -> None:
    """If the frame that a search would have found is overwritten during it, its successor is found instead."""
    with ring:
        publish(ring, 1, 64, params_id=CUSTOM)
        publish(ring, 2, 64)
        newest = publish(ring, 3, 64)
        attached = reader._current()
        assert attached is not None

        class Overtaken(segment.Mapping):
            """The writer is quick when the reader comes to the second frame."""

            def load(self, offset: int) -> int:
                if offset == ring._layout.slot_offset(newest - 1) and reader.lapped == 0:
                    for stamp in range(4, 8):
                        publish(ring, stamp, 64, params_id=CUSTOM if stamp == 7 else DEFAULT_PARAMS_ID)
                    reader.lapped += 1
                return super().load(offset)

        attached.mapping.__class__ = Overtaken
        frame = reader.latest(CUSTOM)
        assert frame is not None
        assert stamp_of(frame).stamp == 7


def test_use_runs_in_place_and_returns(ring: RingWriter, reader: RingReader) -> None:
    """`use` gives the ring's own memory, read-only, and the function's result."""
    with ring:
        publish(ring, 5, 64)

        def look(frame: Frame) -> str:
            assert isinstance(frame.data, memoryview)
            assert frame.data.readonly
            return f"stamp {stamp_of(frame).stamp}"

        assert reader.use(look) == "stamp 5"
        assert reader.lapped == 0


def overtaking(ring: RingWriter, seen: list[Frame], fail: bool) -> Callable[[Frame], int]:
    """A function during which the writer overwrites what it looks at, each time that it is called."""

    def fn(frame: Frame) -> int:
        seen.append(frame)
        for stamp in range(4):
            publish(ring, stamp, 64)
        if fail and isinstance(frame.data, memoryview):
            raise RuntimeError("of a mixture")
        return stamp_of(frame).stamp

    return fn


@pytest.mark.parametrize("fail", [False, True])
def test_use_repeats_with_a_copy_when_overtaken(ring: RingWriter, reader: RingReader, fail: bool) -> None:
    """Neither result nor exception of an overtaken try is seen: the second try has a copy, which is whole."""
    seen: list[Frame] = []
    with ring:
        publish(ring, 9, 64)
        assert reader.use(overtaking(ring, seen, fail)) == 3
    assert [type(frame.data) for frame in seen] == [memoryview, bytes]
    assert reader.lapped == 1


@pytest.mark.parametrize("encoding", [Encoding.MONO8, Encoding.JPEG])
def test_an_exception_about_a_whole_frame_is_raised(ring: RingWriter, reader: RingReader, encoding: Encoding) -> None:
    """What the function raises about a whole frame is the caller's, at once."""
    with ring:
        publish(ring, 9, 64, encoding=encoding)
        with pytest.raises(ZeroDivisionError):
            reader.use(lambda frame: 1 // (frame.rows - 1))
    assert reader.lapped == 0


def test_a_dead_writer_is_not_waited_for(ring: RingWriter, reader: RingReader) -> None:
    """If the newest slot never becomes complete, a reader ends soon with LAPPED and counts its looks."""
    with ring:
        number = publish(ring, 9, 64)
        ring._memory.store(ring._layout.slot_offset(number), 2 * number + 1)
        started_s = time.monotonic()
        assert reader.use(lambda frame: frame.frame_number) is Loss.LAPPED
        assert reader.latest() is None
        assert time.monotonic() - started_s < 1
    assert 2 <= reader.lapped <= 16


def test_drops_and_errors_are_counted(ring: RingWriter, reader: RingReader) -> None:
    """The worker's counters stand in the live page, and touch neither each other nor the frames."""
    with ring:
        publish(ring, 1, 64)
        for _ in range(3):
            ring.count_drop()
        for _ in range(5):
            ring.count_error()
        attached = reader._current()
        assert attached is not None
        assert attached.mapping.load(layout.DROPS_OFFSET) == 3
        assert attached.mapping.load(layout.ERRORS_OFFSET) == 5
        assert reader.latest() is not None


def test_descriptor_and_epoch(ring: RingWriter, reader: RingReader) -> None:
    """A reader sees what the worker found out, and an epoch that is not zero."""
    assert reader.descriptor() is None
    with ring:
        publish(ring, 1, 64)
        frame = reader.latest()
    assert reader.descriptor() == {"rows": 4}
    assert frame is not None
    assert frame.epoch != 0


def test_a_frame_from_the_future_is_corrupt(ring: RingWriter, reader: RingReader) -> None:
    """A capture time more than a second ahead is no capture time; one slightly ahead is."""
    for ahead_ns, expected in ((500_000_000, 1), (3_000_000_000, Loss.CORRUPT)):
        with ring:
            ring.publish(
                b"x",
                captured_ns=time.monotonic_ns() + ahead_ns,
                rows=1,
                cols=1,
                row_stride_bytes=1,
                encoding=Encoding.MONO8,
            )
            assert reader.use(lambda frame: frame.rows) == expected


def test_where_there_is_no_shared_memory_there_is_no_ring(
    reader: RingReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer without /dev/shm is no exception."""
    monkeypatch.setattr(names, "SHM_DIR", tmp_path / "shm")
    assert reader.problem == f"there is no ring {names.path_of(reader._name)}"


def test_a_name_that_nobody_has_says_which_there_are(ring: RingWriter, reader: RingReader, instance: str) -> None:
    """Whoever mistypes a camera or an instance is told what there is; a camera that is there is no problem."""
    with ring:
        publish(ring, 1, 64)
        assert reader.latest() is not None
        assert reader.problem is None
        wrong = RingReader(instance, "fornt")
        assert wrong.latest() is None
        assert wrong.problem is not None
        assert wrong.problem.endswith(f"/{instance}.cam.fornt; present in this instance: front")
        assert wrong.use(lambda frame: frame) is Loss.NO_FRAME
        elsewhere = RingReader(instance + "x", "front")
        assert elsewhere.latest() is None
        present = str(elsewhere.problem).partition("nor any other of this instance; present: ")[2]
        assert instance in present.split(", ")
