"""How a child's process died: one bounded text file for people, which the board, the log and the robot's fault name.

The files are written by a process of their own, one at a time (`supervision.post_mortem_writer`). Nothing here touches
their disk: one that is full, read-only or hangs costs a line in the log, and the loop nothing. A file's name is known
at once: the writer says at the start which folder it will be. What then cannot be written is no longer named.
"""

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import NamedTuple

from supervision import exit_codes
from supervision.leftovers import POST_MORTEM, tags_of
from supervision.post_mortem_writer import KEPT
from supervision.process import PROJECT_FOLDER
from supervision.sparing import FIRST_LINES, Sparing

LARGEST_BYTES = 64 << 10
MOST_WAITING = 16
PATIENCE_S = 10
WRITER = "supervision.post_mortem_writer"
NO_ANSWER = "the disk does not answer"

_LAST_WRITER_S = 0.5  # what it has at the end of the supervisor

_log = logging.getLogger(__name__)


class _File(NamedTuple):
    """A file to be, `<child>.<label>.txt`, and its content."""

    child: str
    label: str
    content: bytes


_NO_FILE = _File("", "", b"")  # only a look at the folders


class PostMortems:
    """The files of one instance. `chosen` is the folder of the configuration; None is one that suits this user.

    A process that said itself what was wrong and ended with the exit code for it leaves `<child>.<error>.txt`, once in
    ten minutes: a camera that is absent for a day pushes out nothing. Any other end leaves `<child>.<pid>.txt`: of
    hangs, and of each signal and exit code, three and then one every ten minutes. A loop of them does not wear out a
    disk.
    """

    def __init__(self, instance: str, chosen: Path | None = None) -> None:
        self._instance = instance
        self._chosen = chosen
        self._folder: str | None = None
        self._turns: dict[tuple[str, str], Sparing] = {}
        self._newest: dict[tuple[str, str], str] = {}  # labels by child and way of ending
        self._numbered: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KEPT))  # the writer's newest
        self._named: dict[str, str | None] = {}
        self._waiting: deque[_File] = deque([_NO_FILE])
        self._writer: _Writer | None = None
        self._failures = Sparing()

    def about(self, child: str) -> str | None:
        """Return the file that tells how the last process of this child died.

        Of a death that had no turn, that is the newest file about the same way of ending. None if there is none (any
        more), for whatever reason, and in the first moments, while nobody knows the folder.
        """
        label = self._named.get(child)
        return f"{self._folder}/{child}.{label}.txt" if self._folder and label else None

    def keep(self, child: str, kind: str, pid: int, returncode: int | None, text: str, now_ns: int) -> None:
        """Have it written down how process `pid` of `child` died of an error of this kind, if that is its turn."""
        is_explained = returncode in exit_codes.EXPLAINED
        way = kind if is_explained else "a hang" if kind == "hung" else f"exit {returncode}"
        turn = self._turns.setdefault((child, way), Sparing(first=1 if is_explained else FIRST_LINES))
        if turn.allows(now_ns):
            label = self._newest[child, way] = kind if is_explained else str(pid)
            self._numbered[child].extend(() if is_explained else (label,))
            self._add(_File(child, label, text.encode("utf-8", "replace")[:LARGEST_BYTES]), now_ns)
        newest = self._newest.get((child, way))
        self._named[child] = newest if is_explained or newest in self._numbered[child] else None

    def turn(self, now_ns: int) -> None:
        """Take the answer of a writer that has ended, and start the next one. Waits for nothing."""
        if self._writer:
            if not self._writer.has_ended():
                self._kill_if_late(self._writer, now_ns)
                return
            self._take(self._writer, now_ns)
            self._writer = None
        if self._waiting:
            file = self._waiting.popleft()
            try:
                self._writer = _Writer(self._instance, self._chosen, self._folder, file, now_ns)
            except (OSError, ValueError) as error:  # or a folder that this system's encoding has no bytes for
                why = error.strerror if isinstance(error, OSError) else error
                self._fail(file, f"no process for it: {why}", now_ns)

    def finish(self) -> None:
        """Give what is still to be written a moment: nobody will ask afterwards."""
        end_s = time.monotonic() + _LAST_WRITER_S
        while self._writer and (left_s := end_s - time.monotonic()) > 0:
            self._writer.wait(left_s)
            self.turn(time.monotonic_ns())

    def _add(self, file: _File, now_ns: int) -> None:
        if self._writer and self._writer.is_late:
            self._fail(file, NO_ANSWER, now_ns)
        elif len(self._waiting) == MOST_WAITING:
            self._fail(file, "too many are waiting for the disk", now_ns)
        else:
            self._waiting.append(file)
            self.turn(now_ns)

    def _take(self, writer: "_Writer", now_ns: int) -> None:
        if writer.is_late:
            return  # that was said when it was killed
        folder, why = writer.answer()
        if folder is None:
            self._fail(writer.file, why, now_ns)
        self._folder = self._folder or folder

    def _kill_if_late(self, writer: "_Writer", now_ns: int) -> None:
        if not writer.is_late and now_ns - writer.started_ns > PATIENCE_S * 1e9:
            writer.kill()
            # The kernel may hold it for ever, and no other one begins before it has ended.
            for file in (writer.file, *self._waiting):
                self._fail(file, NO_ANSWER, now_ns)
            self._waiting.clear()

    def _fail(self, file: _File, why: str, now_ns: int) -> None:
        for way in [way for way, label in self._newest.items() if (way[0], label) == (file.child, file.label)]:
            del self._newest[way]
        if self._named.get(file.child) == file.label:
            self._named[file.child] = None
        if self._failures.allows(now_ns):
            which = f"{file.child}: no file about its end" if file.child else "no file about the end of a process"
            _log.warning("%s could be written (%s)%s", which, why, self._failures.take_left_out())


class _Writer:
    """The process that writes one file. The supervisor's loop reaps it, as it does whatever else has ended."""

    def __init__(self, instance: str, chosen: Path | None, folder: str | None, file: _File, now_ns: int) -> None:
        """Start it. Raises OSError."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are started from the main thread only")
        self.file = file
        self.started_ns = now_ns
        self.is_late = False
        self._said = b""
        arguments = [str(os.getpid()), instance, str(chosen or ""), folder or "", file.child, file.label]
        environment = {**os.environ, **tags_of(instance, POST_MORTEM), "PYTHONPATH": str(PROJECT_FOLDER)}
        self._fd, answer_fd = os.pipe()
        try:
            self._pid = self._start(arguments, environment, answer_fd)
            os.set_blocking(self._fd, False)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            os.close(answer_fd)

    def _start(self, arguments: list[str], environment: dict[str, str], answer_fd: int) -> int:
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
                env=environment,
                start_new_session=True,
            )
        popen.returncode = 0  # nothing that Popen would have to wait for
        return popen.pid

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

    def kill(self) -> None:
        """End it; one that has just been found not to have ended: its number is still its own."""
        self.is_late = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def answer(self) -> tuple[str | None, str]:
        """Return the folder, or None and why there is none."""
        try:
            answer = json.loads(self._said)
        except ValueError:
            return None, "its writer ended without an answer"
        return answer.get("folder"), answer.get("why", "")
