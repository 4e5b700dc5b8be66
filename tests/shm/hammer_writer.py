"""Writers of one name which are killed, again and again.

    python -m tests.shm.hammer_writer INSTANCE SEED KILLS SECONDS

Each writer is a process of its own. Half of them are killed from outside at a random moment, the others kill
themselves before, in the middle of, or after one access that making or filling a ring consists of. Prints one JSON
line: the kills, and at which steps.
"""

import collections
import itertools
import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import posix_ipc

from shm import Encoding, RingWriter, segment
from shm.fence import fence_of_this_process
from tests.shm.stamped import publish

STEPS: tuple[tuple[Any, str], ...] = (
    (posix_ipc, "Semaphore"),
    (posix_ipc, "SharedMemory"),
    (os, "posix_fallocate"),
    (mmap, "mmap"),
    (segment.Mapping, "write"),
    (segment.Mapping, "store"),
    (os, "rename"),
)
CALLS_TO_DIE_IN = 32  # from the fence, through the first ring's name, to its third frame and the second ring
MOMENTS = ("before", "within", "after")
ROWS = 16
LIFETIME_S = 0.5


class Death:
    """Lets every step happen until the chosen one."""

    def __init__(self, call: int, moment: str, report: int) -> None:
        self._left, self._moment, self._report = call, moment, report

    def arm(self) -> None:
        """Put the counting in front of every step of this process."""
        for owner, name in STEPS:
            setattr(owner, name, self._counted(name, getattr(owner, name)))

    def _counted(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            self._left -= 1
            if self._left >= 0:
                return step(*arguments, **keywords)
            os.write(self._report, f"{self._moment} {name}\n".encode())
            if self._moment == "after":
                step(*arguments, **keywords)
            if self._moment == "within" and name == "write":
                mapping, offset, data = arguments
                step(mapping, offset, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return counted


def write_frames(instance: str, round_number: int, rng: random.Random) -> NoReturn:
    """Publish stamped frames of random sizes as fast as possible, into one ring after another, for a while."""
    stamp, until_s = round_number << 24, time.monotonic() + LIFETIME_S
    while time.monotonic() < until_s:
        capacity_bytes = 8 * ROWS * rng.randint(1, 2000)
        frames = rng.choice([1, 2, 50])
        with RingWriter(instance, "hammer", payload_capacity_bytes=capacity_bytes, descriptor={}, slots=4) as ring:
            for _ in range(frames):
                stamp += 1
                size_bytes = 8 * ROWS * rng.randint(1, capacity_bytes // (8 * ROWS))
                encoding = rng.choice([Encoding.MONO8, Encoding.MONO16, Encoding.JPEG])
                publish(ring, stamp, size_bytes, rows=ROWS, encoding=encoding)
    os._exit(0)


def start_writer(instance: str, round_number: int, rng: random.Random, death: Death | None) -> int:
    """Fork one writer and return its pid. This process has no threads, and its children never return.

    A writer that is to be killed from outside inherits its fence: a kill inside sem_open would leave a file that
    cannot be told from other programs' semaphores.
    """
    fence_of_this_process(instance)
    pid = os.fork()
    if pid:
        return pid
    try:
        if death:
            fence_of_this_process.cache_clear()
            death.arm()
        write_frames(instance, round_number, rng)
    finally:
        traceback.print_exc()
        os._exit(1)


def main(instance: str, seed: int, kills: int, seconds: float) -> int:
    """Start and kill writers until there were enough, or the time is over. Returns an exit code."""
    rng, until_s = random.Random(seed), time.monotonic() + seconds  # noqa: S311  reproducible, not secret
    report, report_in = os.pipe()
    ends: collections.Counter[str] = collections.Counter()
    deaths = itertools.cycle(itertools.product(range(CALLS_TO_DIE_IN), MOMENTS))
    for round_number in range(1, 10 * kills):
        alone = rng.random() < 0.5
        death = Death(*next(deaths), report_in) if alone else None
        pid = start_writer(instance, round_number, random.Random(rng.random()), death)  # noqa: S311  as above
        if not alone:
            time.sleep(rng.uniform(0, 0.05))  # not a wait: the random moment itself
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            ends[os.read(report, 100).decode().strip() if alone else "random moment"] += 1
        elif status:
            return 1
        if ends.total() >= kills or time.monotonic() > until_s:
            break
    sys.stdout.write(json.dumps({"kills": ends.total(), "at": dict(sorted(ends.items()))}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
