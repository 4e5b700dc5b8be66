"""A writer that wants a name for itself: `python -m tests.shm.rival_writer INSTANCE ID`, until stdin is closed.

It does what a capture worker does: a frame goes into its ring if that still has the name, and into a new one if not.
Its id is the upper half of every stamp. Prints how many rings it has made, and whether the last one has the name.
"""

import select
import sys
from contextlib import ExitStack

from shm import RingWriter
from tests.shm.stamped import publish


def main(instance: str, writer_id: int) -> None:
    """Publish until stdin is closed."""
    rings, stamp = 0, writer_id << 32
    with ExitStack() as holding:
        ring: RingWriter | None = None
        while not select.select([sys.stdin], [], [], 0.001)[0]:
            if ring is None or not ring.is_in_place():
                holding.close()
                ring = holding.enter_context(
                    RingWriter(instance, "front", payload_capacity_bytes=4096, descriptor={}, slots=4)
                )
                rings += 1
            stamp += 1
            publish(ring, stamp, 4096)
        sys.stdout.write(f"{rings} {ring is not None and ring.is_in_place()}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
