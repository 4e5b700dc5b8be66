"""One supervisor per instance: the lock that says so, and the names that only its holder may remove."""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import time
from pathlib import Path
from types import TracebackType

from shm import ForeignSegmentError, ShmFullError, names
from supervision import exit_codes, remove_ipc
from supervision.sparing import Sparing

_LOOK_AGAIN_S = 0.3  # a `status` may hold the lock for a moment, to see whether it is free
_CAREFULLY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # whatever somebody else put there
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)  # a link, a folder, a socket

_log = logging.getLogger(__name__)


class AlreadyRunningError(Exception):
    """Another supervisor holds this instance. The message names it."""

    exit_code = exit_codes.ALREADY_RUNNING


class InstanceLock:
    """The right to run an instance, held inside `with`.

    The lock file goes with the lock, so that another user can have the instance next. Whoever opened it just before
    finds that it is no longer the file of that name, and opens the new one.
    Raises AlreadyRunningError, ForeignSegmentError when the lock file is another user's, or OSError.
    """

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._fd = -1
        self._lines = Sparing()

    def __enter__(self) -> "InstanceLock":
        """Take the lock and write our pid into it."""
        try:
            self._take()
        except OSError:  # no room for the pid: a lock file without a holder would be in another user's way
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        if self._has_its_name():
            lock_path(self._instance).unlink()
        self._close()

    def keep(self, now_ns: int) -> None:
        """Take the lock again if somebody removed its file, as a session manager does after a login (RemoveIPC).

        If it cannot be had, that is said, and the next call tries again: what runs goes on without it.
        Raises AlreadyRunningError if another supervisor was faster: then nothing of this instance is ours any more.
        """
        try:
            if self._has_its_name():
                return
            self._close()
            self._take()
            _log.warning(
                "somebody removed %s; it was taken again. If that was the clean-up after a logout (RemoveIPC): %s",
                lock_path(self._instance),
                remove_ipc.REMEDY,
            )
        except OSError as error:
            if self._lines.allows(now_ns):
                more = self._lines.take_left_out()
                _log.error("somebody removed the lock of this instance: %s%s", error.strerror, more)

    def _take(self) -> None:
        path = lock_path(self._instance)
        try:
            while not self._is_locked(path):
                self._close()
            os.truncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ShmFullError(
                    error.errno,
                    f"{names.SHM_DIR} is full, without room even for a lock: give the container a larger shm_size, or "
                    "remove what fills it",
                ) from error
            raise

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _has_its_name(self) -> bool:
        try:
            return self._fd >= 0 and lock_path(self._instance).stat().st_ino == os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False

    def _is_locked(self, path: Path) -> bool:
        """Open and lock the file; False if it was removed by its last holder meanwhile."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | _CAREFULLY, 0o600)
        except PermissionError as error:
            text = f"{path} belongs to another user, who runs this instance or was killed: choose another --instance"
            raise ForeignSegmentError(error.errno, text) from error
        except OSError as error:
            if error.errno in _NO_FILE:
                raise _no_lock_file(path) from error
            raise
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self._close()
            raise _no_lock_file(path)
        if not _try_lock(self._fd, fcntl.LOCK_EX, _LOOK_AGAIN_S):
            pid = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            self._close()
            raise AlreadyRunningError(f"instance {self._instance} is run by the supervisor with pid {pid or 'unknown'}")
        return self._has_its_name()

    def remove_all_names(self) -> int:
        """Remove every segment of this instance, and say how many there were; none without the lock."""
        if self._fd < 0:
            return 0
        removed = [name for name in names.names_of(self._instance) if remove_name(name)]
        return len(removed)


def _no_lock_file(path: Path) -> ForeignSegmentError:
    return ForeignSegmentError(errno.EEXIST, f"{path} is no lock file: remove it, or choose another --instance")


def is_held(instance: str) -> bool:
    """Whether a supervisor runs this instance now. Raises PermissionError if only another user can know."""
    try:
        fd = os.open(lock_path(instance), os.O_RDONLY | _CAREFULLY)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(fd, fcntl.LOCK_SH, 0)
    finally:
        os.close(fd)


def running_instances() -> list[str]:
    """The instances that supervisors of this user run now, as far as that can be known."""
    found = []
    for path in names.SHM_DIR.glob("*.lock"):
        with contextlib.suppress(OSError, ValueError):  # gone by now, or no name of ours
            board = names.path_of(names.segment_name(path.stem, names.BOARD))
            if path.lstat().st_uid == os.geteuid() and board.exists() and is_held(path.stem):
                found.append(path.stem)
    return sorted(found)


def lock_path(instance: str) -> Path:
    """Return the lock file of an instance."""
    return names.SHM_DIR / f"{instance}.lock"


def remove_name(name: str) -> bool:
    """Remove a segment's name; a name that belongs to somebody else stays, with a line in the log."""
    try:
        return names.remove(name)
    except OSError as error:
        _log.warning("%s stays in /dev/shm: %s", name, error.strerror)
        return False


def _try_lock(fd: int, operation: int, patience_s: float) -> bool:
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                return False
            time.sleep(0.02)
        else:
            return True
