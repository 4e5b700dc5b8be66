"""A full memory fence without a C extension.

`release()` then `acquire(0)` on one semaphore is a store-release followed by a load-acquire of the same word,
which no CPU lets earlier accesses sink below or later ones rise above (glibc: CAS-release, then CAS-acquire).
In this order only: `acquire` then `release` would let accesses move in from both sides.

Threads, and even processes, may share one fence: whoever acquires has released before, so a token is always there.
A process makes only one: a SIGKILL inside glibc's sem_open leaves a nameless `sem.XXXXXX` that nobody dares to sweep.
"""

import contextlib
import errno
import functools
import os

import posix_ipc

from shm import names
from shm.errors import shm_full

_CLOSED = f"{names.SHM_DIR} may not be written: whoever reads makes a semaphore there too, for a moment"


class Fence:
    """A semaphore of this process alone; its name is gone at once.

    Raises ShmFullError if not even that has room, OSError if nothing may be made in /dev/shm.
    """

    def __init__(self, instance: str) -> None:
        name = names.fence_name(instance, os.getpid())
        try:
            self._semaphore = posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600)
        except posix_ipc.PermissionsError as error:
            raise OSError(errno.EACCES, _CLOSED) from error
        except OSError as error:
            if error.errno == errno.EROFS:
                raise OSError(errno.EROFS, _CLOSED) from error
            if error.errno != errno.ENOSPC:
                raise
            raise shm_full("a semaphore", 4096) from error
        with contextlib.suppress(posix_ipc.ExistentialError):  # a starting supervisor swept it in this very moment
            self._semaphore.unlink()

    def __call__(self) -> None:
        """Order every access before this call before every access after it."""
        self._semaphore.release()
        self._semaphore.acquire(0)


@functools.cache
def fence_of_this_process(instance: str) -> Fence:
    """The fence that all rings of an instance share in this process. Raises what Fence raises."""
    return Fence(instance)
