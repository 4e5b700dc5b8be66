"""Stand-ins for a mapped segment: one records what the protocol really does, one dies in the middle of it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from shm.layout import Header
from shm.segment import Memory

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True)
class Operation:
    """One access, in program order. `length` is 0 for a fence."""

    kind: Literal["load", "store", "fence", "read", "write"]
    offset: int = 0
    length: int = 0


class RecordedView:
    """A view whose bytes are read, and recorded, when they are converted: not when the view is made."""

    def __init__(self, memory: "RecordingMemory", offset: int, length: int) -> None:
        self._memory, self._offset, self._length = memory, offset, length

    def __len__(self) -> int:
        """Bytes that the view shows."""
        return self._length

    def __bytes__(self) -> bytes:
        """Read them now."""
        self._memory.operations.append(Operation("read", self._offset, self._length))
        return bytes(self._memory.data[self._offset : self._offset + self._length])


@dataclass
class RecordingMemory:
    """A Memory of plain bytes which writes down every access."""

    data: bytearray
    operations: list[Operation] = field(default_factory=list)

    def load(self, offset: int) -> int:
        """Read a counter."""
        self.operations.append(Operation("load", offset, 8))
        return int.from_bytes(self.data[offset : offset + 8], "little")

    def store(self, offset: int, value: int) -> None:
        """Write a counter."""
        self.operations.append(Operation("store", offset, 8))
        self.data[offset : offset + 8] = value.to_bytes(8, "little")

    def fence(self) -> None:
        """Write down that there is one."""
        self.operations.append(Operation("fence"))

    def read(self, offset: int, length: int) -> memoryview:
        """A view that records the reading; it stands for a memoryview wherever only bytes() is asked of it."""
        return cast(memoryview, RecordedView(self, offset, length))

    def write(self, offset: int, data: "Buffer") -> None:
        """Copy bytes into place."""
        source = bytes(data)
        self.operations.append(Operation("write", offset, len(source)))
        self.data[offset : offset + len(source)] = source


@dataclass(frozen=True)
class RecordedSegment:
    """What a reader needs of an attached segment, around a recording memory."""

    header: Header
    mapping: RecordingMemory

    def is_current(self) -> bool:
        """It is never replaced."""
        return True


class WriterDiedError(Exception):
    """Stands for SIGKILL."""


class DyingMemory:
    """Passes a number of accesses on to the real memory, then the writer is dead."""

    def __init__(self, memory: Memory, accesses: int) -> None:
        self._memory = memory
        self._left = accesses

    def load(self, offset: int) -> int:
        """Read a counter, alive or dead: only the writing is counted."""
        return self._memory.load(offset)

    def store(self, offset: int, value: int) -> None:
        """Write a counter."""
        self._live()
        self._memory.store(offset, value)

    def fence(self) -> None:
        """Order accesses."""
        self._memory.fence()

    def read(self, offset: int, length: int) -> memoryview:
        """View bytes."""
        return self._memory.read(offset, length)

    def write(self, offset: int, data: "Buffer") -> None:
        """Copy half of the bytes, then, if there is life left, the rest."""
        source = memoryview(data).cast("B")
        half = len(source) // 2
        self._live()
        self._memory.write(offset, source[:half])
        self._live()
        self._memory.write(offset + half, source[half:])

    def _live(self) -> None:
        if self._left == 0:
            raise WriterDiedError
        self._left -= 1
