"""Any sequence of starts, frames, deaths, removals and looks: readers see the model's newest frame."""

import itertools
import os
from dataclasses import dataclass
from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shm import DEFAULT_PARAMS_ID, Encoding, Frame, RingReader, RingWriter, names, segment
from tests.shm.recording import DyingMemory, WriterDiedError
from tests.shm.stamped import publish, stamp_of

PARAMS = (DEFAULT_PARAMS_ID, b"a" * 16, b"b" * 16)
ACCESSES_OF_A_FRAME = 7  # odd, two halves of metadata, two of payload, even, publish
_instances = itertools.count()


@dataclass(frozen=True)
class Published:
    """A frame that the model knows to be complete."""

    number: int
    stamp: int
    size_bytes: int
    params_id: bytes


class OneName(RuleBasedStateMachine):
    """One camera's name, its successive writers, a reader that looks all the time and readers that come anew."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = f"test-{os.getpid()}-{next(_instances)}"
        self.reader = RingReader(self.instance, "front")
        self.ring: RingWriter | None = None
        self.building: list[Published] = []  # of the newest ring, which need not have taken the name
        self.history: list[Published] = []  # of the ring that has the name, or had it last
        self.slots = 4
        self.named = False
        self.stamps = itertools.count(1)
        self.last_number = 0

    @rule(capacity=st.integers(1, 3000), slots=st.sampled_from([4, 5, 8]))
    def start(self, capacity: int, slots: int) -> None:
        """A new writer, with a ring of any size; the old one, if there is one, was killed."""
        self.ring = RingWriter(
            self.instance, "front", payload_capacity_bytes=8 * capacity, descriptor={"slots": slots}, slots=slots
        )
        self.ring.__enter__()
        self.building = []

    @precondition(lambda self: self.ring)
    @rule(
        sizes=st.lists(st.floats(0, 1), min_size=1, max_size=10),
        params=st.sampled_from(PARAMS),
        encoding=st.sampled_from([Encoding.MONO8, Encoding.JPEG]),
    )
    def frames(self, sizes: list[float], params: bytes, encoding: Encoding) -> None:
        """Some more frames, of any sizes that fit; the first of a ring takes the name."""
        assert self.ring is not None
        self.named = self.named or not self.building
        for size in sizes:
            size_bytes = 8 * max(1, int(size * self.ring.payload_capacity_bytes / 8))
            stamp = next(self.stamps)
            number = publish(self.ring, stamp, size_bytes, encoding=encoding, params_id=params)
            assert number > self.last_number
            self.last_number = number if self.named else 0
            self.building.append(Published(number, stamp, size_bytes, params))
        self.history, self.slots = self.building, self.ring._layout.slots

    @precondition(lambda self: self.ring)
    @rule(accesses=st.integers(0, ACCESSES_OF_A_FRAME - 1))
    def die(self, accesses: int) -> None:
        """The writer is killed somewhere in its next frame."""
        assert self.ring is not None
        self.ring._memory = cast(segment.Mapping, DyingMemory(self.ring._memory, accesses))
        try:
            publish(self.ring, next(self.stamps), 8)
        except WriterDiedError:
            self.ring = None
        else:
            raise AssertionError("it should have died")

    @rule()
    def remove(self) -> None:
        """The name is removed, as for a camera that left the configuration."""
        removed = names.remove(names.segment_name(self.instance, "front"))
        assert removed == self.named
        self.forget()

    @rule()
    def sweep(self) -> None:
        """A supervisor starts anew: every name is gone, and every writer before it is dead."""
        for name in names.names_of(self.instance):
            names.remove(name)
        self.ring = None
        self.forget()

    def forget(self) -> None:
        """With the name goes its last number: then only the clock keeps numbers up, at 1,000 frames/s and not here."""
        self.named, self.last_number = False, 0

    @invariant()
    def the_reader_sees_the_newest(self) -> None:
        """The attached reader has the newest frame for every id of parameters; removal does not take it away."""
        for params_id in PARAMS:
            self.check(self.reader, params_id, self.newest(params_id))

    @rule(params_id=st.sampled_from(PARAMS))
    def a_new_reader_sees_what_has_a_name(self, params_id: bytes) -> None:
        """A reader that comes now sees the same, if the name is taken."""
        self.check(RingReader(self.instance, "front"), params_id, self.newest(params_id) if self.named else None)

    def newest(self, params_id: bytes) -> Published | None:
        """The newest of the last N−1 frames with these parameters."""
        searched = reversed(self.history[-(self.slots - 1) :])
        return next((frame for frame in searched if frame.params_id == params_id), None)

    def check(self, reader: RingReader, params_id: bytes, expected: Published | None) -> None:
        """Whether a reader sees this frame, whole, by copy and in place."""
        frame = reader.latest(params_id)
        used = reader.use(stamp_of, params_id)
        if expected is None:
            assert frame is None
            return
        assert isinstance(frame, Frame)
        assert frame.frame_number == expected.number
        assert frame.params_id == params_id
        assert used == stamp_of(frame)
        assert (stamp_of(frame).stamp, stamp_of(frame).size_bytes) == (expected.stamp, expected.size_bytes)

    def teardown(self) -> None:
        """Leave nothing."""
        for name in names.names_of(self.instance):
            names.remove(name)


OneName.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestOneName = OneName.TestCase
