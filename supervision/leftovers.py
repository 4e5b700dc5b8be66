"""Processes of an earlier run of an instance that are still there: ended before anything of theirs is removed.

A child dies with its supervisor, but not one that was stopped before it could ask the kernel for that. Its device would
be taken, and its ring would have two writers. It is known by its environment, which it has from its first moment on.

One that a driver holds does not end even so. Then this child waits for it, and the others are started. It is known by
its name alone: if no child has that any more, every camera waits, for nobody knows whose device it holds.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shm import names
from supervision.camera_settings import OTHER_CHILDREN
from supervision.process import stat_of

INSTANCE = "SPOT_CAMERAS_INSTANCE"
POST_MORTEM = ".post-mortem"  # in a child's place, and no child's name: what writes files; no camera waits for it
_SHM = "SPOT_CAMERAS_SHM"
_CHILD = "SPOT_CAMERAS_CHILD"
_PATIENCE_S = 2.0
_STATE, _PARENT, _STARTED = 0, 1, 19  # in what follows the name in /proc/pid/stat


@dataclass(frozen=True)
class Leftover:
    """A process of an earlier run. `child` is the name of the child that it was, or that started it."""

    pid: int
    child: str
    started: str  # in the kernel's ticks: another process may get the number

    def is_gone(self) -> bool:
        """Whether it holds nothing any more, like a dead one that nobody has reaped."""
        fields = stat_of(self.pid)
        return not fields or fields[_STATE] in ("Z", "X") or fields[_STARTED] != self.started

    def require_gone(self) -> None:
        """Raise OSError, with a sentence for the operator, while it is still there."""
        if not self.is_gone():
            unplug = "" if self.child in OTHER_CHILDREN else "unplug the camera whose driver holds it, or "
            raise OSError(
                errno.EBUSY,
                f"process {self.pid} of an earlier run ({self.child or 'of a child without a name'}) does not end, and "
                f"what it holds is not opened again: {unplug}restart the computer",
            )

    def is_in_the_way_of(self, child: str, cameras: Collection[str]) -> bool:
        """Whether this child may want what it holds, among these cameras."""
        if self.child in (POST_MORTEM, *OTHER_CHILDREN, *cameras):
            return self.child == child
        return child in cameras


def tags_of(instance: str, child: str) -> dict[str, str]:
    """Return what a child of this instance has in its environment."""
    return {**_tags_of_all(instance), _CHILD: child}


def _tags_of_all(instance: str) -> dict[str, str]:
    """The second one is this /dev/shm: in another container an instance of the same name is another one."""
    return {INSTANCE: instance, _SHM: str(os.stat(names.SHM_DIR).st_dev)}


def kill_leftovers(instance: str, patience_s: float = _PATIENCE_S) -> tuple[int, list[Leftover]]:
    """SIGKILL what is left of this instance, and wait until it is gone.

    Returns how many processes it was, and those that are still there. Only whoever holds the instance's lock may do
    this, and before starting anything.
    """
    left = list(_left_of(instance))
    for one in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(one.pid, signal.SIGKILL)
    give_up_s = time.monotonic() + patience_s
    while (held := [one for one in left if not one.is_gone()]) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return len(left), held


def _left_of(instance: str) -> Iterator[Leftover]:
    tags = _tags_of_all(instance).items()
    spared = {os.getpid(), *_ancestors(os.getpid())}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        environment = {} if pid in spared else _environment(pid)
        if tags <= environment.items() and (fields := stat_of(pid)):
            yield Leftover(pid, environment.get(_CHILD, ""), fields[_STARTED])


def _environment(pid: int) -> dict[str, str]:
    """The environment that a process of this user was started with; nothing of other users' processes."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return {}
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in entries)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        fields = stat_of(pid)
        pid = int(fields[_PARENT]) if fields else 0
        yield pid
