"""How a child's process died: one bounded text file for people, which the board, the log and the robot's fault name.

The files are written by a process of their own, one at a time (`supervision.post_mortem_writer`). Nothing here touches
their disk: one that is full, read-only or hangs costs a line in the log, and the loop nothing.
"""

import contextlib
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import NamedTuple

from supervision.post_mortem_writer import KEPT, PATIENCE_S
from supervision.process import PROJECT_FOLDER
from supervision.sparing import Sparing

LARGEST_BYTES = 64 << 10
MOST_WAITING = 16
WRITER = "supervision.post_mortem_writer"

_LAST_WRITER_S = 0.5  # what it has at the end of the supervisor

_log = logging.getLogger(__name__)


class _File(NamedTuple):
    """A file to be: about whom, of which kind of error, and its content."""

    child: str
    kind: str | None
    content: bytes


class PostMortems:
    """The files of one instance. `chosen` is the folder of the configuration; None is one that suits this user.

    A child that dies again and again does not wear out a disk: of each child and kind of error, three files are
    written, then one every ten minutes.
    """

    def __init__(self, instance: str, chosen: Path | None = None) -> None:
        self.chosen = chosen
        self._instance = instance
        self._turns: defaultdict[tuple[str, str | None], Sparing] = defaultdict(Sparing)
        self._kept: defaultdict[str, deque[tuple[str | None, str]]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._named: dict[str, str | None] = {}
        self._waiting: deque[_File] = deque()
        self._writer: _Writer | None = None
        self._failures = Sparing()

    def about(self, child: str) -> str | None:
        """Return the file that tells how the last process of this child died, once it is written.

        Of a death that had no turn, that is the newest file of the same child and kind of error. None if there is none,
        for whatever reason.
        """
        return self._named.get(child)

    def keep(self, child: str, kind: str | None, text: str, now_ns: int) -> None:
        """Have it written down how a process of `child` died, if that is its turn."""
        if not self._turns[child, kind].allows(now_ns):
            self._named[child] = next((path for one, path in reversed(self._kept[child]) if one == kind), None)
            return
        self._named[child] = None
        if len(self._waiting) == MOST_WAITING:
            self._fail(child, "too many are waiting for the disk", now_ns)
            return
        self._waiting.append(_File(child, kind, text.encode("utf-8", "replace")[:LARGEST_BYTES]))
        self.turn(now_ns)

    def turn(self, now_ns: int) -> None:
        """Take the answer of a writer that has ended, and start the next one. Waits for nothing."""
        if self._writer:
            if not self._writer.has_ended():
                self._complain_once(self._writer, now_ns)
                return
            self._take(self._writer, now_ns)
            self._writer = None
        if self._waiting:
            file = self._waiting.popleft()
            try:
                self._writer = _Writer(self._instance, self.chosen, file, now_ns)
            except OSError as error:
                self._fail(file.child, f"no process for it: {error.strerror}", now_ns)

    def finish(self) -> None:
        """Give what is still to be written a moment: nobody will ask afterwards."""
        end_s = time.monotonic() + _LAST_WRITER_S
        while self._writer and (left_s := end_s - time.monotonic()) > 0:
            self._writer.wait(left_s)
            self.turn(time.monotonic_ns())

    def _take(self, writer: "_Writer", now_ns: int) -> None:
        child, kind, _ = writer.file
        path, why = writer.answer()
        if path is None:
            self._fail(child, why, now_ns)
            return
        _log.info("%s: how it ended is in %s", child, path)
        self._kept[child].append((kind, path))
        self._named[child] = path

    def _complain_once(self, writer: "_Writer", now_ns: int) -> None:
        if not writer.is_late and now_ns - writer.started_ns > PATIENCE_S * 1e9:
            writer.is_late = True
            self._fail(writer.file.child, "the disk does not answer", now_ns)

    def _fail(self, child: str, why: str, now_ns: int) -> None:
        if self._failures.allows(now_ns):
            more = self._failures.take_left_out()
            _log.warning("%s: no file about its end could be written (%s)%s", child, why, more)


class _Writer:
    """The process that writes one file. The supervisor's loop reaps it, as it does whatever else has ended."""

    def __init__(self, instance: str, chosen: Path | None, file: _File, now_ns: int) -> None:
        """Start it. Raises OSError."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are started from the main thread only")
        self.file = file
        self.started_ns = now_ns
        self.is_late = False
        self._said = b""
        arguments = [instance, file.child, *([str(chosen)] if chosen else [])]
        self._fd, answer_fd = os.pipe()
        try:
            self._start(arguments, answer_fd)
            os.set_blocking(self._fd, False)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(answer_fd)

    def _start(self, arguments: list[str], answer_fd: int) -> None:
        # Not a pipe: that may hold less than the text, and then somebody would have to wait.
        with open(os.memfd_create("post-mortem"), "w+b", buffering=0) as text:
            text.write(self.file.content)
            text.seek(0)
            popen = subprocess.Popen(  # noqa: S603 - our own module, and no shell
                [sys.executable, "-m", WRITER, *arguments],
                stdin=text,
                stdout=answer_fd,
                stderr=subprocess.DEVNULL,
                cwd=PROJECT_FOLDER,
                env={**os.environ, "PYTHONPATH": str(PROJECT_FOLDER)},
                start_new_session=True,
            )
        popen.returncode = 0  # nothing that Popen would have to wait for

    def has_ended(self) -> bool:
        """Read what it says now; whether that was all. Afterwards it must not be asked again."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._fd, 65536):
                self._said += chunk
            os.close(self._fd)
            return True
        return False

    def wait(self, seconds: float) -> None:
        """Wait until it says something or has ended, at most so long."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.poll(seconds * 1000)

    def answer(self) -> tuple[str | None, str]:
        """Return the path, or None and why there is none."""
        try:
            answer = json.loads(self._said)
        except ValueError:
            return None, "its writer ended without an answer"
        return answer.get("path"), answer.get("why", "")
