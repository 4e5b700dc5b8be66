"""Writers that die at one named step of making a ring: `python -m tests.shm.staged_writer`, until stdin is closed.

Each line on stdin is `INSTANCE STEP MOMENT`; the answer is the pid of a writer of its own process that killed itself
there, or -1 if it came to its end.
"""

import mmap
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import posix_ipc

from shm import RingWriter, segment
from tests.shm.stamped import publish

STEPS: dict[str, tuple[Any, str, int]] = {  # whose step it is, and which call of it in a writer's life
    "fence": (posix_ipc, "Semaphore", 1),
    "create": (posix_ipc, "SharedMemory", 1),
    "group": (os, "fchown", 1),
    "mode": (os, "fchmod", 1),
    "allocate": (os, "posix_fallocate", 1),
    "map": (mmap, "mmap", 1),
    "header": (segment.Mapping, "write", 1),
    "odd sequence": (segment.Mapping, "store", 1),
    "metadata": (segment.Mapping, "write", 2),
    "payload": (segment.Mapping, "write", 3),
    "even sequence": (segment.Mapping, "store", 2),
    "publish": (segment.Mapping, "store", 3),
    "rename": (os, "rename", 1),
}
MOMENTS = ("before", "within", "after")
STAMP = 7


def dying(step: Callable[..., Any], calls: int, moment: str) -> Callable[..., Any]:
    """A step whose n-th call is its process's last."""

    def counted(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls:
            return step(*arguments, **keywords)
        if moment == "within":
            mapping, offset, data = arguments
            step(mapping, offset, bytes(data)[: len(data) // 2])
        elif moment == "after":
            step(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    return counted


def write_and_die(instance: str, step: str, moment: str) -> None:
    """Publish one frame, or what of it can be done until the step."""
    owner, name, calls = STEPS[step]
    setattr(owner, name, dying(getattr(owner, name), calls, moment))
    group = str(os.getegid())
    with RingWriter(instance, "front", payload_capacity_bytes=8192, descriptor={}, shm_group=group) as ring:
        publish(ring, STAMP, 8192)


def main() -> None:
    """Fork a writer per line; this process has no threads."""
    for line in sys.stdin:
        instance, step, moment = line.rstrip("\n").split("\t")
        pid = os.fork()
        if not pid:
            try:
                write_and_die(instance, step, moment)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{pid if os.WIFSIGNALED(status) else -1}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
