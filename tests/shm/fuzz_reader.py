"""A reader of a camera that somebody harms: `python -m tests.shm.fuzz_reader INSTANCE CAPACITY_BYTES`.

For each line on stdin it looks in every way, as one who was there before and as one who comes now, and answers with
one JSON line: what the old reader and the newcomer have as the newest frame, and the newcomer's problem.
"""

import json
import sys

from shm import RingReader
from tests.shm.looking import look_everywhere


def main(instance: str, capacity_bytes: int) -> None:
    """Look until stdin is closed."""
    attached = RingReader(instance, "front")
    for _ in sys.stdin:
        newcomer = RingReader(instance, "front")
        for reader in (attached, newcomer):
            look_everywhere(reader, capacity_bytes)
        numbers = [frame.frame_number if (frame := reader.latest()) else None for reader in (attached, newcomer)]
        sys.stdout.write(json.dumps([*numbers, newcomer.problem]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
