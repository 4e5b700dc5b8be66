"""The child's end of the line to its supervisor: configuration down, promises and errors up.

What it guarantees to the process that attaches it:

* no orphan: the process dies with its supervisor, however that died (parent-death signal, pid check, closed pipe);
* a promise never blocks: a report that does not fit into the pipe is dropped;
* SIGUSR1 writes the stack of every thread to stderr, even while the process is stuck inside C;
* SIGTERM only sets `stopping`: everything else happens in the process's own loop.

A report is one JSON object on one line, of at most `REPORT_LINE_BYTES` (atomic in a pipe)::

    {"report": "ready", …facts}                     the child works; a servicer adds "port"
    {"report": "beat", "within_ms": 1000, …facts}   "my next beat comes within one second"
    {"report": "error", "code": "absent", "text": "…"}

Only a process's own main loop may promise: a thread that still runs proves nothing about the loop.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, Literal, NoReturn

from supervision import exit_codes

REPORT_LINE_BYTES = 4096
MIN_BEAT_INTERVAL_S = 0.1  # at most ten beats a second, however fast the camera

NAMES_BYTES = 1500  # of a list of names, of which a report may have two

_PR_SET_PDEATHSIG = 1
ERROR_CHARACTERS = 600  # at most six bytes each: fits into a report whatever they are

ErrorCode = Literal[
    "absent",  # there is no such device, file or host
    "open_failed",  # it is there, but does not open or stream
    "read_failed",  # it opened, and then stopped delivering frames
    "hung",  # it broke its promise and was killed (said by the supervisor)
    "crashed",  # it ended without being asked to (said by the supervisor)
    "frozen",  # the same picture for too long
    "corrupt",  # frames that cannot be what they claim to be
    "memory",  # it used more memory than it may, and is started again (said by the supervisor)
    "parameters",  # the camera rejects its capture parameters
    "shm_full",  # no room in /dev/shm
    "shm_foreign",  # a segment's name belongs to another user
    "bad_configuration",  # cannot work with what it was told
    "port_in_use",  # the servicer's port is taken
]


def fitting(names: Iterable[str]) -> list[str]:
    """Return the first of `names`: as many as take NAMES_BYTES in a report at most."""
    kept: list[str] = []
    left_bytes = NAMES_BYTES - len("[]")
    for name in names:
        left_bytes -= len(json.dumps(name)) + len(",")
        if left_bytes < 0:
            break
        kept.append(name)
    return kept


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent dies. One that is dead already is missed: ask for its pid."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Lifeline:
    """The one connection of a child process to the supervisor that started it.

    `configuration` is what the supervisor told it (a decoded JSON object), `stopping` is True once SIGTERM arrived.
    Attach before anything slow is imported: until then the process can neither promise nor show where it hangs.
    """

    def __init__(self, report_fd: int) -> None:
        self.configuration: dict[str, Any] = {}
        self.stopping = False
        self._report_fd = report_fd
        self._last_beat_s = float("-inf")
        self._last_within_s = 0.0

    def attach(self) -> None:
        """Take over the process's signals, wait for the configuration line, and make sure that the parent lives.

        Ends the process with `exit_codes.ORPHANED` when the supervisor is already gone.
        """
        die_with_parent()
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the supervisor's business
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # EPIPE tells it, at a place where we can act
        self.configuration = json.loads(self._await_line())
        # The signal is missed if the supervisor died before prctl: then somebody else is the parent by now.
        if os.getppid() != self.configuration.get("supervisor_pid"):
            self._end_as_orphan()
        os.set_blocking(0, False)
        os.set_blocking(self._report_fd, False)

    def end_if_orphaned(self) -> None:
        """End the process if the supervisor's end of stdin is gone. What else comes through it has no meaning."""
        with contextlib.suppress(BlockingIOError):
            while os.read(0, 65536):
                pass
            self._end_as_orphan()

    def promise(self, within_s: float, **facts: Any) -> None:
        """Say that the next promise comes within `within_s` seconds, with `facts` for the status board.

        The same promise is sent at most every `MIN_BEAT_INTERVAL_S`; another one at once, because it must be known
        before the process blocks. The supervisor adds more than that interval to every promise.
        """
        now_s = time.monotonic()
        if within_s == self._last_within_s and now_s - self._last_beat_s < MIN_BEAT_INTERVAL_S:
            return
        self._last_beat_s, self._last_within_s = now_s, within_s
        self._send({"report": "beat", "within_ms": round(within_s * 1000), **facts})

    def ready(self, **facts: Any) -> None:
        """Say that the process does its work now."""
        self._send({"report": "ready", **facts})

    def error(self, code: ErrorCode, text: str) -> None:
        """Report what is wrong, in one sentence for the person who can act.

        It stands until the process has delivered frames for two seconds without saying it again: a process that
        works on in spite of it repeats it, once a second is enough. Only a change is logged.
        """
        # Bytes that are no text (from a file's name) must not keep the sentence from being read.
        text = text[:ERROR_CHARACTERS].encode("utf-8", "replace").decode()
        self._send({"report": "error", "code": code, "text": text})

    def _send(self, report: dict[str, Any]) -> None:
        line = json.dumps(report, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        if len(line) > REPORT_LINE_BYTES:
            raise ValueError(f"a report of {len(line)} bytes is longer than {REPORT_LINE_BYTES}")
        try:
            os.write(self._report_fd, line)
        except BlockingIOError:
            pass  # a supervisor that does not read loses reports, it does not stop a camera
        except BrokenPipeError:
            self._end_as_orphan()

    def _await_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            chunk = os.read(0, 65536)
            if not chunk:
                self._end_as_orphan()
            line += chunk
        return line

    def _on_sigterm(self, _signal: int, _frame: object) -> None:
        self.stopping = True

    def _end_as_orphan(self) -> NoReturn:
        # Not sys.exit: nothing that is still running in this process may delay its end.
        with contextlib.suppress(OSError):  # its end of the log pipe is gone too
            sys.stderr.write("the supervisor is gone: ending\n")
        os._exit(exit_codes.ORPHANED)
