"""A full memory fence without a C extension.

`release()` then `acquire(0)` on one semaphore is a store-release followed by a load-acquire of the same word,
which no CPU lets earlier accesses sink below or later ones rise above (glibc: CAS-release, then CAS-acquire).
In this order only: `acquire` then `release` would let accesses move in from both sides.

Threads, and even processes, may share one fence: whoever acquires has released before, so a token is always there.
A process makes only one: a SIGKILL inside glibc's sem_open leaves a nameless `sem.XXXXXX` that nobody dares to sweep.

A semaphore needs a page of /dev/shm. Where that is full, or may not be written, the same two steps on a lock of each
thread take its place: CPython makes its locks of a semaphore outside /dev/shm (up to 3.12), or of an atomic word.
"""

import contextlib
import functools
import os
import threading

import posix_ipc

from shm import names


class Fence:
    """A semaphore of this process alone; its name is gone at once. Without a semaphore, a lock of each thread."""

    def __init__(self, instance: str) -> None:
        self._semaphore = _semaphore(names.fence_name(instance, os.getpid()))
        self._locks = _TakenLocks()

    def __call__(self) -> None:
        """Order every access before this call before every access after it."""
        if self._semaphore is not None:
            self._semaphore.release()
            self._semaphore.acquire(0)
        else:
            lock = self._locks.mine
            lock.acquire(blocking=False)  # it is taken, unless an exception (Ctrl-C) came between the next two
            lock.release()
            lock.acquire(blocking=False)


class _TakenLocks(threading.local):
    """A lock per thread, which has it: another thread's would not let itself be released twice."""

    def __init__(self) -> None:
        self.mine = threading.Lock()
        self.mine.acquire()


def _semaphore(name: str) -> "posix_ipc.Semaphore | None":
    """Make a semaphore without a name; None if there is none to be had: /dev/shm is full, or may not be written."""
    try:
        semaphore = posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600)
    except (OSError, posix_ipc.Error):
        return None
    with contextlib.suppress(posix_ipc.ExistentialError):  # a starting supervisor swept it in this very moment
        semaphore.unlink()
    return semaphore


@functools.cache
def fence_of_this_process(instance: str) -> Fence:
    """The fence that all rings of an instance share in this process."""
    return Fence(instance)
