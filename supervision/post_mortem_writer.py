"""Writes one file about a process that died, in a process of its own: a disk that hangs holds nobody else.

`python -m supervision.post_mortem_writer INSTANCE CHILD [FOLDER]` takes the text on stdin, and answers on stdout with
JSON: {"path": …}, or {"why": …} if nothing could be written.
"""

import contextlib
import errno
import json
import os
import re
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

KEPT = 5
PATIENCE_S = 10

_OURS = "spot-cameras"
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def main() -> int:
    """Write the file, or give up after some seconds; what the kernel holds ends as soon as that lets it go."""
    signal.alarm(PATIENCE_S)
    instance, child, *chosen = sys.argv[1:]
    answer = write(instance, child, sys.stdin.buffer.read(), Path(chosen[0]) if chosen else None, os.environ)
    sys.stdout.write(json.dumps(answer))
    return 0


def write(
    instance: str, child: str, content: bytes, chosen: Path | None, environment: Mapping[str, str]
) -> dict[str, str]:
    """Write down how a process of `child` died, into the folder `chosen` or one that suits this user: the answer."""
    why = "there is no folder for it"
    for base, below in _places(instance, chosen, environment):
        try:
            with _private_folder(base, below) as folder:
                return {"path": str(base.joinpath(*below, _put(folder, child, content)))}
        except OSError as error:
            why = f"{base}: {error.strerror}"
    return {"why": why}


def _places(
    instance: str, chosen: Path | None, environment: Mapping[str, str]
) -> Iterator[tuple[Path, tuple[str, ...]]]:
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


def _put(folder: int, child: str, content: bytes) -> str:
    """Write the next file of a child, whole or not at all, and remove what is too many. Returns its name."""
    numbers = sorted(_numbers(folder, child))
    # Numbers, not times: a computer without a battery begins each day in 1970, and the newest would be removed.
    name, aside = f"{child}.{numbers[-1] + 1 if numbers else 1}.txt", f"{child}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside, dir_fd=folder)
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with open(descriptor, "wb") as file:
            file.write(content)
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside, dir_fd=folder)
        raise
    for number in numbers[: max(0, len(numbers) + 1 - KEPT)]:
        with contextlib.suppress(OSError):
            os.unlink(f"{child}.{number}.txt", dir_fd=folder)
    return name


def _numbers(folder: int, child: str) -> Iterator[int]:
    of_child = re.compile(rf"{re.escape(child)}\.([1-9][0-9]*)\.txt")  # of any length: the next one must count, too
    return (int(found[1]) for entry in os.listdir(folder) if (found := of_child.fullmatch(entry)))


if __name__ == "__main__":
    sys.exit(main())
