"""Two writers of one camera, which no supervisor would start: each ring has one writer all the same."""

import collections
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shm import RingReader
from tests.shm.stamped import PROJECT, stamp_of, wait_until


@contextlib.contextmanager
def rival(instance: str, writer_id: int) -> Iterator["subprocess.Popen[str]"]:
    """A writer process, until its stdin is closed."""
    argv = [sys.executable, "-m", "tests.shm.rival_writer", instance, str(writer_id)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: "subprocess.Popen[str]") -> tuple[int, bool]:
    """End it: how many rings it has made, and whether its last one has the name."""
    rings, has_name = process.communicate(timeout=20)[0].split()
    assert process.returncode == 0
    return int(rings), has_name == "True"


class Witness:
    """Looks at the camera, and remembers who wrote in which ring."""

    def __init__(self, instance: str) -> None:
        self.writers_of: dict[int, set[int]] = collections.defaultdict(set)
        self.frames = 0
        self._reader = RingReader(instance, "front")
        self._last = (0, 0)

    def look(self) -> int | None:
        """Check the newest frame, and return its writer; None while there is none."""
        frame = self._reader.latest()
        if frame is None:
            return None
        writer_id = stamp_of(frame).stamp >> 32  # a torn frame is an error here
        epoch, number = self._last
        # From ring to ring it is promised of writers that come one after the other only.
        assert frame.epoch != epoch or frame.frame_number >= number, "back to an older frame"
        self.frames += (frame.epoch, frame.frame_number) != self._last
        self._last = frame.epoch, frame.frame_number
        self.writers_of[frame.epoch].add(writer_id)
        return writer_id

    def rings_of(self, writer_id: int) -> int:
        """In how many rings a writer was seen."""
        return sum(writer_id in writers for writers in self.writers_of.values())


@pytest.mark.row("M15")
def test_two_writers_of_one_camera(instance: str) -> None:
    """They take the name from each other; every ring has one writer, no frame is torn, no number goes back in it."""
    witness = Witness(instance)
    with rival(instance, 1) as first, rival(instance, 2) as second:

        def has_seen_much() -> bool:
            witness.look()
            return min(witness.rings_of(1), witness.rings_of(2)) >= 20

        wait_until(has_seen_much, "20 rings of each", 30)
        rings, _ = end(second)
        assert rings >= 20
        wait_until(lambda: witness.look() == 1, "the first one has the name again")
        before = witness.frames
        wait_until(lambda: witness.look() == 1 and witness.frames > before + 20, "and keeps it")
        assert end(first)[1]
    assert all(len(writers) == 1 for writers in witness.writers_of.values())
