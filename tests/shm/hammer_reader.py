"""A reader of the hammered name: `python -m tests.shm.hammer_reader INSTANCE latest|use`, until stdin is closed.

Prints "looking" when it has its first frame, and in the end one JSON line with what it saw.
"""

import collections
import json
import select
import sys
from collections.abc import Callable

from shm import DEFAULT_PARAMS_ID, Frame, Loss, RingReader
from shm.reader import _copied
from tests.shm.stamped import Stamp, TornError, stamp_of

Seen = tuple[int, Stamp]


def judged(frame: Frame) -> Seen | TornError:
    """Number and stamp of a frame, or how it is torn: as a result, because `use` hides what is raised on a mixture."""
    try:
        return frame.frame_number, stamp_of(frame)
    except TornError as error:
        return error


def look_of(reader: RingReader, how: str) -> Callable[[], Seen | TornError | Loss]:
    """One look, by copy or in place, which says why if there is no frame."""
    if how == "use":
        return lambda: reader.use(judged)

    def copied() -> Seen | TornError | Loss:
        # What latest() calls.
        found = reader._look_often(DEFAULT_PARAMS_ID, lambda attached, metadata, _: _copied(attached, metadata))
        return found if isinstance(found, Loss) else judged(found)

    return copied


class Observer:
    """Counts what must not happen, and what must."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.last: Seen = (0, Stamp(0, 0))

    def see(self, found: Seen | TornError | Loss) -> None:
        """Count one look."""
        self.counts["looks"] += 1
        if isinstance(found, TornError):
            self.counts["torn"] += 1
            return
        if isinstance(found, Loss):
            self.counts[found.name.lower()] += 1
            return
        number, stamp = found
        last_number, last_stamp = self.last
        if number < last_number or stamp.stamp < last_stamp.stamp:
            self.counts["backward"] += 1
        if number == last_number and stamp != last_stamp:
            self.counts["changed"] += 1
        self.counts["frames"] += number != last_number
        self.last = found


def main(instance: str, how: str) -> None:
    """Look until stdin is closed."""
    reader = RingReader(instance, "hammer")
    look, observer = look_of(reader, how), Observer()
    while isinstance(look(), Loss) and not _stdin_closed():
        pass
    sys.stdout.write("looking\n")
    sys.stdout.flush()
    while not _stdin_closed():
        for _ in range(100):
            observer.see(look())
    sys.stdout.write(json.dumps({**observer.counts, "overtaken": reader.lapped}) + "\n")


def _stdin_closed() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
