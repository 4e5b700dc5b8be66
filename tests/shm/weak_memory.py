"""An exhaustive model of one writer and one reader on a CPU that reorders whatever fences do not keep apart.

The CPU performs each thread's accesses in any order that respects a fence between two of them, and the same location
(coherence). Addresses that depend on a loaded number would order loads too; nothing here relies on that, since an
interpreter lies between. All threads see one memory (as on ARMv8, which is multi-copy atomic). Every such order and
every interleaving is tried.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tests.shm.recording import Operation

Accepts = Callable[[list[int], int], bool]
Verdict = Literal["whole", "again", "torn"]


@dataclass(frozen=True)
class Access:
    """One load or store of one word, `after` the accesses of this bit mask."""

    location: int
    after: int
    value: int = 0


@dataclass(frozen=True)
class Race:
    """A writer that overwrites frame `old` with frame `new` in one slot, against one look of a reader."""

    writer: tuple[Operation, ...]
    reader: tuple[Operation, ...]
    publish: int
    sequence: int
    old: int
    new: int
    accepts: Accepts
    in_order: bool = False  # the CPU is x86 (TSO), or sequentially consistent

    def without_fence(self, thread: Literal["writer", "reader"], index: int) -> "Race":
        """The same code with one of its fences left out."""
        operations: tuple[Operation, ...] = getattr(self, thread)
        place = [place for place, operation in enumerate(operations) if operation.kind == "fence"][index]
        kept = operations[:place] + operations[place + 1 :]
        return replace(self, writer=kept) if thread == "writer" else replace(self, reader=kept)

    def without_fences(self) -> "Race":
        """The same code with no fence at all."""
        return replace(
            self,
            writer=tuple(operation for operation in self.writer if operation.kind != "fence"),
            reader=tuple(operation for operation in self.reader if operation.kind != "fence"),
        )

    def outcomes(self) -> set[tuple[int, Verdict]]:
        """Every (published number that the reader saw, what came of its look) that can happen."""
        stores = self._accesses(self.writer)
        loads = self._accesses(self.reader)
        return {self._judge(loads, values) for values in _explore(stores, loads, self._initial())}

    def _initial(self) -> Callable[[int], int]:
        first = {self.publish: self.old, self.sequence: 2 * self.old + 2}
        return lambda location: first.get(location, self.old)

    def _accesses(self, operations: tuple[Operation, ...]) -> list[Access]:
        accesses: list[Access] = []
        fenced = 0  # everything before the last fence
        sequences = iter((2 * self.new + 1, 2 * self.new + 2))
        for operation in operations:
            if operation.kind == "fence":
                fenced = (1 << len(accesses)) - 1
                continue
            for location in _words(operation):
                value = next(sequences, 0) if location == self.sequence and operation.kind == "store" else self.new
                accesses.append(Access(location, fenced | self._before(location, accesses), value))
        return accesses

    def _before(self, location: int, accesses: list[Access]) -> int:
        return sum(1 << i for i, past in enumerate(accesses) if self.in_order or past.location == location)

    def _judge(self, loads: list[Access], values: tuple[int, ...]) -> tuple[int, Verdict]:
        """What the code makes of the values: a word is believed as soon as a later check of the sequence passes."""
        published, sequences, words = 0, [], []
        for access, value in zip(loads, values, strict=True):
            if access.location == self.publish:
                published = value
            elif access.location != self.sequence:
                words.append(value)
            else:
                sequences.append(value)
                if not self.accepts(sequences, published):
                    return published, "again"
                if any(word != published for word in words):
                    return published, "torn"
        return published, "whole"


def _words(operation: Operation) -> tuple[int, ...]:
    """A counter is one word; what is copied is at least two, which may be performed in any order."""
    if operation.kind in ("load", "store"):
        return (operation.offset,)
    return (operation.offset, operation.offset + operation.length // 2)


def _explore(stores: list[Access], loads: list[Access], initial: Callable[[int], int]) -> Iterator[tuple[int, ...]]:
    """Values that the loads can get, in program order, over all orders and interleavings."""
    nothing = (0,) * len(loads)
    todo, seen = [(0, 0, nothing)], {(0, 0, nothing)}
    while todo:
        stored, loaded, values = todo.pop()
        if loaded == (1 << len(loads)) - 1:
            yield values
            continue
        following = [(stored | bit, loaded, values) for bit, _ in _ready(stores, stored)]
        for bit, access in _ready(loads, loaded):
            got, place = _visible(stores, stored, access.location, initial), bit.bit_length() - 1
            following.append((stored, loaded | bit, (*values[:place], got, *values[place + 1 :])))
        for state in following:
            if state not in seen:
                seen.add(state)
                todo.append(state)


def _ready(accesses: list[Access], done: int) -> list[tuple[int, Access]]:
    return [
        (1 << i, access)
        for i, access in enumerate(accesses)
        if not done >> i & 1 and access.after & done == access.after
    ]


def _visible(stores: list[Access], stored: int, location: int, initial: Callable[[int], int]) -> int:
    for i in reversed(range(len(stores))):  # stores to one location are performed in program order
        if stored >> i & 1 and stores[i].location == location:
            return stores[i].value
    return initial(location)
