"""How many frames a camera has captured, in one word of a file that the bench reads while another process counts."""

import mmap
from pathlib import Path

import numpy as np

_TICK_BITS = 32


class Counter:
    """Counts into a file of eight bytes: captures, and the number of the last frame."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._word = memoryview(mmap.mmap(file.fileno(), 8)).cast("B").cast("Q")
        self._captures = 0

    def count(self, tick: int) -> None:
        """Count a capture of frame `tick`."""
        self._captures += 1
        self._word[0] = self._captures << _TICK_BITS | tick % (1 << _TICK_BITS)  # one store: never half of it


def captures_and_tick(path: Path) -> tuple[int, int]:
    """Read what a `Counter` counted."""
    word = int(np.fromfile(path, np.uint64, 1)[0])
    return word >> _TICK_BITS, word % (1 << _TICK_BITS)
