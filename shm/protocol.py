"""The order in which a frame is written and read: the only place in the project where order matters.

Frame n lives in slot i = n mod N::

    writer   seq[i] = 2n+1 ; FENCE 1 ; metadata, payload ; FENCE 2 ; seq[i] = 2n+2 ; publish = n
    reader   p = publish ; seq[p mod N] == 2p+2 ? ; FENCE 3 ; read metadata, payload ; FENCE 4 ; seq still 2p+2 ?

Every fence is needed on a CPU that reorders (aarch64), and x86 hides when one is missing: no test that runs the
code can see it. tests/shm/test_memory_model.py therefore records the operations of the functions below and tries
every reordering that their fences allow.
"""

from typing import TYPE_CHECKING

from shm.layout import METADATA_BYTES, METADATA_OFFSET, PAYLOAD_OFFSET, PUBLISH_OFFSET, RingLayout
from shm.segment import Memory

if TYPE_CHECKING:
    from typing_extensions import Buffer


def write_frame(memory: Memory, layout: RingLayout, number: int, metadata: bytes, payload: "Buffer") -> None:
    """Write frame `number` into its slot and make it the newest.

    A writer that dies anywhere in here leaves an odd sequence in a slot which `publish` does not name: readers
    never look there, and nobody ever makes it even again.
    """
    slot = layout.slot_offset(number)
    memory.store(slot, 2 * number + 1)
    # Fence 1: no byte of the new frame may be seen while the slot still claims to hold the complete old one.
    memory.fence()
    memory.write(slot + METADATA_OFFSET, metadata)
    memory.write(slot + PAYLOAD_OFFSET, payload)
    # Fence 2: the slot may not claim to be complete before every byte is there.
    memory.fence()
    memory.store(slot, 2 * number + 2)
    # No fence: a reader that sees `publish` before the sequence finds the slot incomplete and looks again.
    memory.store(PUBLISH_OFFSET, number)


def newest_number(memory: Memory) -> int:
    """Number of the newest complete frame, 0 before the first."""
    return memory.load(PUBLISH_OFFSET)


def begin_read(memory: Memory, layout: RingLayout, number: int) -> memoryview | None:
    """View the metadata of frame `number`, or None if its slot does not hold exactly this frame.

    "Exactly" and not "even and unchanged": 0, garbage, and a frame N later are all refused.
    """
    slot = layout.slot_offset(number)
    if memory.load(slot) != 2 * number + 2:
        return None
    # Fence 3: nothing of the frame may be read before the sequence said that it is complete.
    memory.fence()
    return memory.read(slot + METADATA_OFFSET, METADATA_BYTES)


def payload_view(memory: Memory, layout: RingLayout, number: int, length: int) -> memoryview:
    """View the payload of frame `number`; what is read from it counts only if `still_whole` afterwards."""
    return memory.read(layout.slot_offset(number) + PAYLOAD_OFFSET, length)


def still_whole(memory: Memory, layout: RingLayout, number: int) -> bool:
    """Whether everything that was read since `begin_read` belongs to frame `number`."""
    # Fence 4: every read of the frame is done before the sequence is looked at again.
    memory.fence()
    return memory.load(layout.slot_offset(number)) == 2 * number + 2
