"""How a child's process died: one bounded text file for people, which the board, the log and the robot's fault name.

The newest five of each child are kept, in a folder that is ours alone. A disk that is full or read-only costs one line
in the log. Nothing is flushed to the disk: a slow one must not hold up the supervisor's loop.
"""

import contextlib
import errno
import logging
import os
import re
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from supervision.sparing import Sparing

KEPT = 5
LARGEST_BYTES = 64 << 10
_OURS = "spot-cameras"

_log = logging.getLogger(__name__)


class PostMortems:
    """The files of one instance. `chosen` is the folder of the configuration; None is one that suits this user.

    A child that dies again and again does not wear out a disk: of each child and kind of error, three files are
    written, then one every ten minutes.
    """

    def __init__(self, instance: str, chosen: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.chosen = chosen
        self._instance = instance
        self._environment = os.environ if environment is None else environment
        self._turns: defaultdict[tuple[str, str | None], Sparing] = defaultdict(Sparing)
        self._newest: dict[tuple[str, str | None], str] = {}
        self._failures = Sparing()

    def keep(self, child: str, kind: str | None, text: str, now_ns: int) -> str | None:
        """Write down how a process of `child` died, and return the path of the file.

        If it is not this one's turn, that is the newest file of the same child and kind of error. None if there is no
        file, for whatever reason.
        """
        if not self._turns[child, kind].allows(now_ns):
            return self._newest.get((child, kind))
        path = self._write(child, text.encode("utf-8", "replace")[:LARGEST_BYTES], now_ns)
        if path is None:
            self._newest.pop((child, kind), None)
            return None
        self._newest = {key: kept for key, kept in self._newest.items() if os.path.exists(kept)}
        self._newest[child, kind] = path
        return path

    def _write(self, child: str, content: bytes, now_ns: int) -> str | None:
        why = "there is no folder for it"
        for base, below in self._places():
            try:
                with _private_folder(base, below) as folder:
                    return str(base.joinpath(*below, _put(folder, child, content)))
            except OSError as error:
                why = f"{base}: {error.strerror}"
        if self._failures.allows(now_ns):
            more = self._failures.take_left_out()
            _log.warning("%s: no file about its end could be written (%s)%s", child, why, more)
        return None

    def _places(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield folders that exist or may be made, each with the folders below it that must be ours alone."""
        if self.chosen is not None:
            yield self.chosen, (self._instance,)
            return
        if state := self._environment.get("STATE_DIRECTORY"):  # systemd's, for this service alone
            yield Path(state.split(":")[0]), (self._instance,)
        home, state = self._environment.get("HOME", ""), self._environment.get("XDG_STATE_HOME", "")
        if os.path.isabs(state) or os.path.isabs(home):
            yield Path(state) if os.path.isabs(state) else Path(home, ".local", "state"), (_OURS, self._instance)
        with contextlib.suppress(OSError):
            yield Path(tempfile.gettempdir()), (f"{_OURS}-{os.geteuid()}", self._instance)


@contextlib.contextmanager
def _private_folder(base: Path, below: tuple[str, ...]) -> Iterator[int]:
    """Open `base`/`below`, made if need be, for use inside `with`. Raises OSError.

    From the first folder of `below` on, each must be a real folder of this user, closed to others: in /tmp anybody
    could have put something else in its place.
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
            _close_to_others(folder, name)
        yield folder
    finally:
        os.close(folder)


def _close_to_others(folder: int, name: str) -> None:
    facts = os.fstat(folder)
    if facts.st_uid != os.geteuid():
        raise OSError(errno.EACCES, f"{name} in it belongs to another user")
    if stat.S_IMODE(facts.st_mode) != 0o700:  # noqa: PLR2004
        os.fchmod(folder, 0o700)


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
    of_child = re.compile(rf"{re.escape(child)}\.([0-9]{{1,9}})\.txt")
    return (int(found[1]) for entry in os.listdir(folder) if (found := of_child.fullmatch(entry)))
