"""Writes one file about a process that died, in a process of its own: a disk that hangs holds nobody else.

`python -m supervision.post_mortem_writer SUPERVISOR INSTANCE CHOSEN FOLDER CHILD LABEL` takes the text on stdin, and
answers on stdout with JSON: {"folder": …}, or {"why": …} if nothing could be written. SUPERVISOR is its pid, CHOSEN the
configuration's folder, FOLDER the one that was decided on; without CHILD it only looks which one can be written to. The
last four may be empty.
"""

import contextlib
import errno
import json
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from supervision import exit_codes
from supervision.lifeline import die_with_parent

KEPT = 5

_OURS = "spot-cameras"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_COARSEST_NS = 2_000_000_000  # of the file systems' times: FAT's


def main() -> int:
    """Write the file, unless the supervisor is gone; what the kernel holds ends as soon as that lets it go."""
    supervisor_pid, instance, chosen, folder, child, label = sys.argv[1:]
    die_with_parent()
    if os.getppid() != int(supervisor_pid):
        return exit_codes.ORPHANED
    places = [*places_of(instance, Path(chosen) if chosen else None, os.environ)]
    answer = write(child, label, sys.stdin.buffer.read(), places, folder) if child else probe(places)
    sys.stdout.write(json.dumps(answer))
    return 0


Place = tuple[Path, tuple[str, ...]]


def probe(places: Iterable[Place]) -> dict[str, str]:
    """Look which is the first folder that can be written to: the answer. A folder of the instance is not made."""
    why = "there is no folder for it"
    for base, below in places:
        folder = base.joinpath(*below)
        try:
            with _private_folder(base, below if os.path.lexists(folder) else below[:-1]) as parent:
                _probe(parent)
                return {"folder": str(folder)}
        except OSError as error:
            why = f"{base}: {error.strerror}"
    return {"why": why}


def write(child: str, label: str, content: bytes, places: Iterable[Place], only: str = "") -> dict[str, str]:
    """Write `<child>.<label>.txt` into the folder `only`, or the first one that can be written to: the answer."""
    why = "there is no folder for it"
    for base, below in places:
        path = base.joinpath(*below)
        if only not in ("", str(path)):
            continue
        try:
            with _private_folder(base, below) as folder:
                _put(folder, child, label, content)
                return {"folder": str(path)}
        except OSError as error:
            why = f"{base}: {error.strerror}"
    return {"why": why}


def places_of(instance: str, chosen: Path | None, environment: Mapping[str, str]) -> Iterator[Place]:
    """Yield folders that exist or may be made, each with the folders below it that must be ours alone."""
    if chosen is not None:
        yield chosen, (instance,)
        return
    if state := environment.get("STATE_DIRECTORY"):  # systemd's, for this service alone
        yield Path(state.split(":")[0]), (instance,)
    home, state = environment.get("HOME", ""), environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state) or os.path.isabs(home):
        yield Path(state) if os.path.isabs(state) else Path(home, ".local", "state"), (_OURS, instance)
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()), (f"{_OURS}-{os.geteuid()}", instance)


@contextlib.contextmanager
def _private_folder(base: Path, below: tuple[str, ...]) -> Iterator[int]:
    """Open `base`/`below`, made if need be, for use inside `with`. Raises OSError.

    From the first folder of `below` on, each must be a real folder of this user that nobody else may write to: in /tmp
    anybody could have put something else in its place. What is made here is closed to others; what somebody has
    prepared stays as it is.
    """
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in below:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
            _refuse_what_others_may_change(folder, name)
        yield folder
    finally:
        os.close(folder)


def _refuse_what_others_may_change(folder: int, name: str) -> None:
    facts = os.fstat(folder)
    if facts.st_uid != os.geteuid():
        raise OSError(errno.EACCES, f"{name} in it belongs to another user")
    if facts.st_mode & _WRITABLE_BY_OTHERS:
        raise OSError(errno.EACCES, f"others may write to {name} in it")


def _probe(folder: int) -> None:
    name = f".probe.{os.getpid()}"
    _remove_all(folder, r"\.probe\.[0-9]+")
    try:
        _put_aside(folder, name, b"x")
    finally:
        _remove(folder, name)


def _put(folder: int, child: str, label: str, content: bytes) -> None:
    """Write a file of a child, whole or not at all, and remove what is too many. Raises OSError."""
    aside = f"{child}.new.{os.getpid()}"
    _remove_all(folder, rf"{re.escape(child)}\.new\.[0-9]+")
    kept = _numbered(folder, child)
    try:
        _put_aside(folder, aside, content, later_than_ns=max((time_ns for time_ns, _ in kept), default=0))
        os.rename(aside, f"{child}.{label}.txt", src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _remove(folder, aside)
        raise
    for _, name in _numbered(folder, child)[:-KEPT]:
        _remove(folder, name)


def _put_aside(folder: int, name: str, content: bytes, later_than_ns: int = 0) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        # A computer without a battery begins each day in 1970: the newest file would be taken for the oldest.
        time_ns = max(os.fstat(descriptor).st_mtime_ns, later_than_ns + _COARSEST_NS)
        with contextlib.suppress(OSError, OverflowError):
            os.utime(descriptor, ns=(time_ns, time_ns))


def _numbered(folder: int, child: str) -> list[tuple[int, str]]:
    """Return time and name of each file about one process of a child, the oldest first."""
    of_child = re.compile(rf"{re.escape(child)}\.[0-9]+\.txt")
    files = []
    for entry in filter(of_child.fullmatch, os.listdir(folder)):
        with contextlib.suppress(OSError):
            files.append((os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mtime_ns, entry))
    return sorted(files)


def _remove_all(folder: int, pattern: str) -> None:
    """Remove what writers left that were killed."""
    for entry in os.listdir(folder):
        if re.fullmatch(pattern, entry):
            _remove(folder, entry)


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


if __name__ == "__main__":
    sys.exit(main())
