"""Processes of an earlier run of an instance that are still there: ended before anything of theirs is removed.

A child dies with its supervisor, but not one that was stopped before it could ask the kernel for that. Its device would
be taken, and its ring would have two writers. It is known by its environment, which it has from its first moment on.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

from shm import names
from supervision import exit_codes

INSTANCE = "SPOT_CAMERAS_INSTANCE"
_SHM = "SPOT_CAMERAS_SHM"
_PATIENCE_S = 2.0


class UndyingLeftoverError(Exception):
    """A process of an earlier run does not end: a driver holds it, and perhaps a device. The message names it."""

    exit_code = exit_codes.LEFTOVERS


def tags_of(instance: str) -> dict[str, str]:
    """Return what children of this instance have in their environment.

    The second tag is this /dev/shm: in another container an instance of the same name is another one.
    """
    return {INSTANCE: instance, _SHM: str(os.stat(names.SHM_DIR).st_dev)}


def kill_leftovers(instance: str, patience_s: float = _PATIENCE_S) -> int:
    """SIGKILL what is left of this instance, wait until it is gone, and say how many processes it was.

    Only whoever holds the instance's lock may do this, and before starting anything. Raises UndyingLeftoverError.
    """
    left = list(_left_of(instance))
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    give_up_s = time.monotonic() + patience_s
    while held := [pid for pid in left if not _is_gone(pid)]:
        if time.monotonic() > give_up_s:
            raise UndyingLeftoverError(
                f"processes of an earlier run do not end, pid {', '.join(map(str, held))}, and what they hold is not "
                "opened again: unplug the camera whose driver holds them, or restart the computer"
            )
        time.sleep(0.01)
    return len(left)


def _left_of(instance: str) -> Iterator[int]:
    tags = {f"{key}={value}".encode() for key, value in tags_of(instance).items()}
    spared = {os.getpid(), *_ancestors(os.getpid())}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        if pid not in spared and tags <= _environment(pid):
            yield pid


def _environment(pid: int) -> set[bytes]:
    """The environment that a process of this user was started with; nothing of other users' processes."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return set()
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0"))
    except OSError:
        return set()


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
        yield pid


def _is_gone(pid: int) -> bool:
    fields = _stat(pid)
    return not fields or fields[0] in ("Z", "X")  # a dead one that nobody has reaped holds nothing any more


def _stat(pid: int) -> list[str]:
    """What follows the name in /proc/pid/stat: state, parent, …; nothing if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
