"""Taking, losing and inheriting a name: restarts, crashes and changes of size are one mechanism."""

import os
import threading
import time
from typing import cast

import pytest

from shm import Encoding, Frame, FrameFacts, RingReader, RingWriter, layout, names, segment
from tests.shm.recording import DyingMemory, WriterDiedError
from tests.shm.stamped import publish, stamp_of, wait_until

ACCESSES_OF_A_FRAME = 7  # odd, two halves of metadata, two of payload, even, publish


def writer(instance: str, capacity_bytes: int = 4096, slots: int = 4) -> RingWriter:
    """A writer of the camera "front"."""
    return RingWriter(instance, "front", payload_capacity_bytes=capacity_bytes, descriptor={}, slots=slots)


def newest(reader: RingReader) -> Frame:
    """The newest frame, which has to be there."""
    frame = reader.latest()
    assert frame is not None
    return frame


def open_descriptors() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_seen_before_the_first_frame(instance: str) -> None:
    """A ring without a frame has no name, and one that never gets a frame leaves none."""
    reader = RingReader(instance, "front")
    assert reader.latest() is None
    with writer(instance):
        assert reader.latest() is None
        assert "there is no ring" in str(reader.problem)
    assert names.names_of(instance) == []


def test_a_new_ring_of_another_size_is_found(instance: str) -> None:
    """A reader that holds the old ring goes over to the new one, of whatever size, and numbers go on."""
    reader = RingReader(instance, "front")
    last = None
    for stamp, (capacity_bytes, slots) in enumerate([(64, 4), (65528, 4), (8, 64), (4096, 6)]):
        with writer(instance, capacity_bytes, slots) as ring:
            assert last is None or newest(reader).frame_number == last.frame_number
            publish(ring, stamp, capacity_bytes)
        frame = newest(reader)
        assert (stamp_of(frame).stamp, len(frame.data)) == (stamp, capacity_bytes)
        assert last is None or (frame.frame_number > last.frame_number and frame.epoch != last.epoch)
        last = frame
    assert names.names_of(instance) == [f"/{instance}.cam.front"]


@pytest.mark.row("M1")
@pytest.mark.parametrize("accesses", range(ACCESSES_OF_A_FRAME + 1))
def test_a_writer_that_dies_in_a_frame(instance: str, accesses: int) -> None:
    """Wherever a writer dies, readers keep its last complete frame, and the next writer goes on from there."""
    reader = RingReader(instance, "front")
    with writer(instance) as ring:
        for stamp in range(1, 7):
            number = publish(ring, stamp, 4096)
        ring._memory = cast(segment.Mapping, DyingMemory(ring._memory, accesses))
        if accesses < ACCESSES_OF_A_FRAME:
            with pytest.raises(WriterDiedError):
                publish(ring, 7, 4096)
        else:
            publish(ring, 7, 4096)
    complete = int(accesses == ACCESSES_OF_A_FRAME)
    for each in (reader, RingReader(instance, "front")):
        assert newest(each).frame_number == number + complete
        assert stamp_of(newest(each)).stamp == 6 + complete
    with writer(instance) as ring:
        assert publish(ring, 8, 64) > number + complete
    assert stamp_of(newest(reader)).stamp == 8


@pytest.mark.row("M17")
@pytest.mark.parametrize("accesses", range(ACCESSES_OF_A_FRAME))
def test_a_writer_that_dies_in_its_first_frame(instance: str, accesses: int) -> None:
    """A ring that did not live to its first frame is never seen; it leaves a name that sweeping finds."""
    with writer(instance) as ring:
        ring._memory = cast(segment.Mapping, DyingMemory(ring._memory, accesses))
        with pytest.raises(WriterDiedError):
            publish(ring, 1, 64)
        assert names.names_of(instance) == [f"/{instance}.cam.front.new.{os.getpid()}"]
        assert RingReader(instance, "front").latest() is None


def test_a_dead_process_with_our_pid_is_no_obstacle(instance: str) -> None:
    """What a process with the same pid left half made is thrown away."""
    left = names.path_of(names.aside_name(names.segment_name(instance, "front"), os.getpid()))
    left.write_bytes(b"half made")
    with writer(instance) as ring:
        publish(ring, 1, 64)
    assert not left.exists()
    assert stamp_of(newest(RingReader(instance, "front"))).stamp == 1


def number_of(facts: FrameFacts | None) -> int:
    """The number of a frame that there is."""
    assert facts is not None
    return facts.frame_number


def test_a_removed_ring_is_kept_while_it_is_fresh(instance: str) -> None:
    """A reader keeps a ring without a name, and goes over when the name is taken again."""
    reader = RingReader(instance, "front")
    with writer(instance) as ring:
        publish(ring, 1, 64)
        newest(reader)
        names.remove(f"/{instance}.cam.front")
        assert stamp_of(newest(reader)).stamp == 1
        publish(ring, 2, 64)
        assert stamp_of(newest(reader)).stamp == 2
        assert RingReader(instance, "front").latest() is None
    with writer(instance) as ring:
        publish(ring, 3, 64)
        assert stamp_of(newest(reader)).stamp == 3


def test_a_removed_ring_is_let_go_when_it_is_old(instance: str) -> None:
    """A ring without a name whose last frame is old is unmapped: its memory belongs to others."""
    reader, before = RingReader(instance, "front"), open_descriptors()
    with writer(instance) as ring:
        old_ns = time.monotonic_ns() - 6_000_000_000
        ring.publish(b"x", captured_ns=old_ns, rows=1, cols=1, row_stride_bytes=1, encoding=Encoding.MONO8)
    del ring
    assert newest(reader).age_s() > 5
    assert reader.facts() is not None
    names.remove(f"/{instance}.cam.front")
    assert reader.latest() is None
    assert reader.facts() is None
    assert open_descriptors() == before


def test_facts_are_those_of_the_newest_frame(instance: str) -> None:
    """Whatever the reader has found out before: of the next frame, of another ring, and with each set of parameters."""
    reader, other = RingReader(instance, "front"), bytes(range(16))
    with writer(instance) as ring:
        first = publish(ring, 1, 64)
        for _ in range(2):
            assert number_of(reader.facts()) == first
        second = publish(ring, 2, 64)
        third = ring.publish(
            b"x",
            captured_ns=time.monotonic_ns(),
            rows=1,
            cols=1,
            row_stride_bytes=1,
            encoding=Encoding.MONO8,
            params_id=other,
        )
        for _ in range(2):
            assert number_of(reader.facts()) == second
            assert number_of(reader.facts(None)) == number_of(reader.facts(other)) == third
        epoch = newest(reader).epoch
    with writer(instance) as ring:
        fourth = publish(ring, 4, 64)
        assert number_of(reader.facts()) == fourth
        facts = reader.facts(None)
        assert facts is not None
        assert facts.epoch != epoch
        assert facts.frame_number == fourth
        assert reader.facts(other) is None


def test_numbers_are_milliseconds_of_the_clock(instance: str) -> None:
    """The first number under a fresh name is CLOCK_MONOTONIC in ms, so that it exceeds those of a lost ring."""
    before = time.monotonic_ns() // 1_000_000
    with writer(instance) as ring:
        first = publish(ring, 1, 64)
        assert before <= first <= time.monotonic_ns() // 1_000_000
        assert publish(ring, 1, 64) == first + 1


@pytest.mark.parametrize("ahead", [1, 1_000_000_000])
def test_numbers_go_on_from_a_ring_that_is_ahead(instance: str, ahead: int) -> None:
    """However far a fast writer was ahead of the clock, its successor's numbers are higher still."""
    with writer(instance) as ring:
        number = publish(ring, 1, 64)
        ring._next_number = number + ahead
        last = publish(ring, 2, 64)
    with writer(instance) as ring:
        assert publish(ring, 3, 64) == last + 1


@pytest.mark.parametrize("number", [0, 5, 1 << 40, (1 << 63) - 2, (1 << 64) - 1])
def test_a_garbage_number_is_not_gone_on_from(instance: str, number: int) -> None:
    """A published number that no frame confirms does not count, nor can it stop the next writer."""
    with writer(instance) as ring:
        publish(ring, 1, 64)
        ring._memory.store(layout.PUBLISH_OFFSET, number)
    before = time.monotonic_ns() // 1_000_000
    with writer(instance) as ring:
        assert before <= publish(ring, 2, 64) <= time.monotonic_ns() // 1_000_000


def test_an_absurd_number_is_not_gone_on_from(instance: str) -> None:
    """A number near the end of the counters does not count even if a frame confirms it."""
    with writer(instance) as ring:
        ring._next_number = (1 << 63) - 8
        publish(ring, 1, 64)
    with writer(instance) as ring:
        assert publish(ring, 2, 64) < 1 << 53


def test_the_number_is_chosen_when_the_name_is_taken(instance: str) -> None:
    """A writer that waits for its first frame does not fall behind one that still counts on meanwhile."""
    with writer(instance) as old:
        old._next_number = time.monotonic_ns() // 1_000_000 + 1_000_000
        publish(old, 1, 64)
        path = names.path_of(f"/{instance}.cam.front.new.{os.getpid()}")
        with writer(instance) as new:
            assert path.exists()
            last = publish(old, 2, 64)
            assert publish(new, 3, 64) > last


class Gate:
    """A lock that lets in whoever came when it is opened."""

    def __init__(self) -> None:
        self.arrived, self.opened = threading.Event(), threading.Event()

    def __enter__(self) -> None:
        """Wait for the gate."""
        self.arrived.set()
        assert self.opened.wait(10)

    def __exit__(self, *_: object) -> None:
        """Leave."""


def test_a_thread_that_comes_late_takes_what_another_attached(instance: str) -> None:
    """Of threads that find a replacement together, one attaches; none goes back to what it knew before."""
    reader, gate = RingReader(instance, "front"), Gate()
    reader._attaching = gate  # type: ignore[assignment] # stands for the lock
    late = threading.Thread(target=reader.latest)
    late.start()
    assert gate.arrived.wait(10)
    with writer(instance) as ring:
        publish(ring, 1, 64)
    attached = segment.attach(f"/{instance}.cam.front", reader._fence)
    reader._attached = attached
    gate.opened.set()
    late.join()
    assert reader._attached is attached


def test_many_threads_follow_replacements(instance: str) -> None:
    """Eight threads of one reader during 200 replacements: whole frames, no number goes back, no descriptor is left."""
    reader, before, done = RingReader(instance, "front"), open_descriptors(), threading.Event()
    with writer(instance) as ring:
        publish(ring, 0, 64)
    wrong: list[BaseException] = []
    looks = [0] * 8

    def follow(thread: int) -> None:
        last = 0
        try:
            while not done.is_set():
                frame = reader.latest()
                if frame is not None:
                    stamp_of(frame)
                    assert frame.frame_number >= last
                    last, looks[thread] = frame.frame_number, looks[thread] + 1
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=follow, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for stamp in range(1, 201):
        with writer(instance, 64 * (1 + stamp % 50)) as ring:
            publish(ring, stamp, 64 * (1 + stamp % 50))
    wait_until(lambda: bool(wrong) or min(looks) > 10, "ten frames for every thread")
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert stamp_of(newest(reader)).stamp == 200
    del ring
    assert open_descriptors() <= before + 2  # of the ring that is attached now
