"""The order of a frame's accesses, against every reordering and interleaving that a weakly ordered CPU may do.

The operations are recorded from the real code: whoever removes a fence there, or reads a byte after the last check,
makes these tests fail. No test that runs on x86 could.
"""

import functools
import time
from dataclasses import replace
from typing import Literal, cast

import pytest

from shm import Encoding, Frame, RingReader, layout, protocol, segment
from tests.shm.recording import Operation, RecordedSegment, RecordingMemory
from tests.shm.weak_memory import Race

RING = layout.RingLayout(slots=4, payload_capacity_bytes=16)
OLD, NEW = 1001, 1005  # in the same slot
PAYLOAD = bytes(range(16))
Look = Literal["protocol", "latest", "use"]
LOOKS: tuple[Look, ...] = ("protocol", "latest", "use")


def metadata_of(number: int) -> bytes:
    """Metadata of a frame as a writer would store it."""
    captured_ns = time.monotonic_ns()
    return layout.pack_metadata(
        layout.Metadata(number, captured_ns, 1, 16, 16, Encoding.MONO8, len(PAYLOAD), 0.0, 0.0, bytes(16))
    )


def memory_with(number: int) -> RecordingMemory:
    """A ring which holds one frame, with nothing recorded yet."""
    memory = RecordingMemory(bytearray(RING.total_bytes))
    protocol.write_frame(memory, RING, number, metadata_of(number), PAYLOAD)
    memory.operations.clear()
    return memory


def look(memory: RecordingMemory, how: Look) -> None:
    """One successful look, by the bare protocol or by the real reader."""
    if how == "protocol":
        number = protocol.newest_number(memory)
        view = protocol.begin_read(memory, RING, number)
        assert view is not None
        bytes(view)
        bytes(protocol.payload_view(memory, RING, number, len(PAYLOAD)))
        assert protocol.still_whole(memory, RING, number)
        return
    reader = RingReader("model", "camera")
    header = layout.Header(RING, 1, "model.cam.camera", {})
    reader._attached = cast(segment.Attached, RecordedSegment(header, memory))
    if how == "latest":
        frame = reader.latest()
        assert isinstance(frame, Frame)
        assert frame.data == PAYLOAD
    else:
        assert reader.use(lambda frame: bytes(frame.data)) == PAYLOAD


def accepts(sequences: list[int], number: int) -> bool:
    """Whether the real code goes on, having seen these sequences: the first check opens, the others validate."""
    memory = RecordingMemory(bytearray(RING.total_bytes))
    memory.store(RING.slot_offset(number), sequences[-1])
    if len(sequences) == 1:
        return protocol.begin_read(memory, RING, number) is not None
    return protocol.still_whole(memory, RING, number)


@functools.cache
def accepts_cached(sequences: tuple[int, ...], number: int) -> bool:
    """`accepts`, asked once for each of the few combinations that the model meets."""
    return accepts(list(sequences), number)


@functools.cache
def race(how: Look) -> Race:
    """The real writer's operations against those of one real look."""
    memory = memory_with(OLD)
    protocol.write_frame(memory, RING, NEW, metadata_of(NEW), PAYLOAD)
    writer = tuple(memory.operations)
    memory.operations.clear()
    look(memory, how)
    return Race(
        writer=writer,
        reader=tuple(memory.operations),
        publish=layout.PUBLISH_OFFSET,
        sequence=RING.slot_offset(NEW),
        old=OLD,
        new=NEW,
        accepts=lambda sequences, number: accepts_cached(tuple(sequences), number),
    )


def verdicts(a_race: Race) -> set[str]:
    """What can come of a look, whichever number was published."""
    return {verdict for _, verdict in a_race.outcomes()}


def fences(operations: tuple[Operation, ...]) -> int:
    """How many fences were recorded."""
    return sum(operation.kind == "fence" for operation in operations)


@pytest.mark.parametrize("how", LOOKS)
def test_no_order_tears_a_frame(how: Look) -> None:
    """As the code is, a look gives the old frame, the new frame, or another look; all three happen."""
    assert race(how).outcomes() == {(OLD, "whole"), (OLD, "again"), (NEW, "whole"), (NEW, "again")}


@pytest.mark.parametrize("how", LOOKS)
@pytest.mark.parametrize("index", [0, 1])
def test_each_fence_of_the_writer_is_needed(how: Look, index: int) -> None:
    """Without either of the writer's two fences, some order tears a frame."""
    assert fences(race(how).writer) == 2
    assert "torn" in verdicts(race(how).without_fence("writer", index))


@pytest.mark.parametrize(
    ("how", "index"), [("protocol", 0), ("protocol", 1), *((how, i) for how in ("latest", "use") for i in range(3))]
)
def test_each_fence_of_the_reader_is_needed(how: Look, index: int) -> None:
    """Without any one of the reader's fences, it believes metadata or a payload of two frames.

    The real look has three, because it checks the metadata before it believes the length in it.
    """
    assert fences(race(how).reader) == (2 if how == "protocol" else 3)
    assert "torn" in verdicts(race(how).without_fence("reader", index))


@pytest.mark.parametrize("how", LOOKS)
def test_in_order_cpus_need_no_fence(how: Look) -> None:
    """Under TSO or sequential consistency nothing tears even without fences: the model is not just pessimistic."""
    ordered = replace(race(how), in_order=True)
    assert "torn" not in verdicts(ordered)
    assert "torn" not in verdicts(ordered.without_fences())
    assert "torn" in verdicts(race(how).without_fences())


@pytest.mark.row("M1")
@pytest.mark.parametrize("how", LOOKS)
def test_a_writer_that_dies_leaves_no_torn_frame(how: Look) -> None:
    """Whichever operation was the writer's last, no look tears, and the frame is never new before it was published."""
    for last in range(len(race(how).writer) + 1):
        outcomes = replace(race(how), writer=race(how).writer[:last]).outcomes()
        assert "torn" not in {verdict for _, verdict in outcomes}
        assert (NEW, "whole") not in outcomes or last == len(race(how).writer)


def test_publish_before_the_sequence_is_only_another_look() -> None:
    """A reader may see the new number while its slot is not complete; it looks again."""
    outcomes = race("latest").outcomes()
    assert (NEW, "again") in outcomes
    assert (NEW, "torn") not in outcomes


def test_even_and_unchanged_would_not_be_enough() -> None:
    """A slot that was overwritten completely is even and does not change: only the exact number tells (ABA)."""

    def even_and_unchanged(sequences: list[int], _: int) -> bool:
        return sequences[-1] % 2 == 0 and sequences[-1] == sequences[0]

    assert "torn" in verdicts(replace(race("latest"), accepts=even_and_unchanged, in_order=True))


@pytest.mark.parametrize("checks", [1, 2])
def test_only_the_exact_sequence_is_accepted(checks: int) -> None:
    """Both checks refuse 0, half-written frames, the frames N earlier and later, and garbage."""
    right = 2 * OLD + 2
    for wrong in (0, 1, 2, right - 1, right + 1, right - 8, right + 8, right ^ 1 << 63, (1 << 64) - 2):
        assert not accepts([right] * (checks - 1) + [wrong], OLD)
    assert accepts([right] * checks, OLD)
