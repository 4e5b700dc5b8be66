"""The names of an instance in /dev/shm, and who may remove them: the supervisor, under the instance lock.

/<instance>.cam.<camera>            a camera's ring
/<instance>.cam.<camera>.new.<pid>  one that has no frame yet
/<instance>.board                   the status board (and .new.<pid>)
/<instance>.lock                    the supervisor's lock: no segment, see supervision.instance
sem.<instance>.fence.<pid>…         a fence's semaphore, unlinked at once after its creation
"""

import os
import re
from pathlib import Path

SHM_DIR = Path("/dev/shm")  # noqa: S108  where glibc puts POSIX shared memory
BOARD = ".board"  # in the place of a camera's name: no camera can be called this

_NAME = re.compile(r"[a-z0-9_-]{1,32}")


def segment_name(instance: str, camera: str) -> str:
    """Name of a camera's ring, or of the status board for `BOARD`. Raises ValueError for a bad name."""
    if not _NAME.fullmatch(instance):
        raise ValueError(f"instance name {instance!r}: 1 to 32 of a-z, 0-9, _ and - are allowed")
    if camera == BOARD:
        return f"/{instance}.board"
    if not _NAME.fullmatch(camera):
        raise ValueError(f"camera name {camera!r}: 1 to 32 of a-z, 0-9, _ and - are allowed")
    return f"/{instance}.cam.{camera}"


def aside_name(name: str, pid: int) -> str:
    """Name under which process `pid` builds the segment that will become `name`."""
    return f"{name}.new.{pid}"


def fence_name(instance: str, pid: int) -> str:
    """Name of a fence's semaphore in the short time until it is unlinked."""
    return f"/{instance}.fence.{pid}.{os.urandom(4).hex()}"


def path_of(name: str) -> Path:
    """The file behind a segment's name."""
    return SHM_DIR / name[1:]


def names_of(instance: str) -> list[str]:
    """Every name of this instance in /dev/shm; other instances' names are never among them."""
    # Whole names: an instance may be called "sem" or a camera "fence", and a prefix would take one for the other.
    segments = rf"{re.escape(instance)}\.(cam\.{_NAME.pattern}|board)(\.new\.[0-9]+)?"
    fences = rf"sem\.{re.escape(instance)}\.fence\.[0-9]+\.[0-9a-f]+"
    ours = re.compile(f"{segments}|{fences}")
    return [f"/{entry}" for entry in sorted(os.listdir(SHM_DIR)) if ours.fullmatch(entry)]


def cameras_of(instance: str) -> list[str]:
    """The cameras of this instance that have a ring now."""
    return sorted(camera for one, camera in _rings() if one == instance)


def instances() -> list[str]:
    """The instances that have a ring now, of whatever user."""
    return sorted({instance for instance, _ in _rings()})


def _rings() -> list[tuple[str, str]]:
    ring = re.compile(rf"({_NAME.pattern})\.cam\.({_NAME.pattern})")
    return [(found[1], found[2]) for entry in os.listdir(SHM_DIR) if (found := ring.fullmatch(entry))]


def remove(name: str) -> bool:
    """Remove one name; False if it was not there. Processes that hold the segment keep it."""
    try:
        path_of(name).unlink()
    except FileNotFoundError:
        return False
    return True


def free_bytes() -> int:
    """Room left in /dev/shm."""
    room = os.statvfs(SHM_DIR)
    return room.f_bavail * room.f_frsize
