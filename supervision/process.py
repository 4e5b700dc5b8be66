"""One running child as the operating system sees it: a process group, and three pipes that never block us.

Nothing here waits: a child is reaped by `reap`, never by `Popen.poll` or `Popen.wait`, which take the exit status
away from it and report a segmentation fault as 0 when another part of the process has reaped first.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROJECT_FOLDER = Path(__file__).resolve().parent.parent

_READ_BYTES = 65536  # a pipe's capacity: one read empties it
_PR_SET_CHILD_SUBREAPER = 36
_KILLED_STATUSES = (os.CLD_KILLED, os.CLD_DUMPED)


class ChildProcess:
    """The pipes and the process group of one started child.

    `report_fd` and `log_fd` are non-blocking read ends; they belong to this object until `close`.
    `open_fds` are those of them at whose other end somebody still is.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", report_fd: int, log_fd: int) -> None:
        self.pid = popen.pid
        self.report_fd = report_fd
        self.log_fd = log_fd
        self.open_fds = [report_fd, log_fd]
        self._popen = popen

    @classmethod
    def spawn(cls, module: str, configuration: str, environment: Mapping[str, str] | None = None) -> "ChildProcess":
        """Start `python -m module` in a session of its own and give it its configuration line. Raises OSError.

        `environment` is added to our own.
        """
        # The parent-death signal fires when the spawning *thread* ends: only the main thread lives long enough.
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are started from the main thread only")
        with contextlib.ExitStack() as unless_started:
            report_read, report_write = _pipe(unless_started)
            log_read, log_write = _pipe(unless_started)
            process = cls(_popen(module, report_write, log_write, environment or {}), report_read, log_read)
            unless_started.pop_all()
        os.close(report_write)
        os.close(log_write)
        os.set_blocking(report_read, False)
        os.set_blocking(log_read, False)
        process._tell(configuration)
        return process

    def read(self, fd: int) -> bytes:
        """Read what is in one of the pipes now, at most its capacity; b"" when that is nothing."""
        if fd not in self.open_fds:
            return b""
        try:
            chunk = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        if not chunk:
            self.open_fds.remove(fd)
        return chunk

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def kernel_state(self) -> str:
        """Return the state letter of /proc/pid/stat: T is stopped, D is held by a driver; ? when it cannot be read."""
        fields = stat_of(self.pid)
        return fields[0] if fields else "?"

    def own_memory_bytes(self) -> int:
        """Return the memory that is the process's alone, swapped out or not; what lies in /dev/shm is not counted.

        0 when it cannot be known: the process is gone, or the kernel is older than 4.5.
        """
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        figures = dict(line.split(":", 1) for line in status.splitlines() if line.startswith(("RssAnon:", "VmSwap:")))
        return sum(int(figure.split()[0]) << 10 for figure in figures.values()) if "RssAnon" in figures else 0

    def close(self, returncode: int) -> None:
        """Close the pipes of a reaped process, and let Popen know that there is nothing left to wait for."""
        self._popen.returncode = returncode
        if self._popen.stdin:
            self._popen.stdin.close()
        os.close(self.report_fd)
        os.close(self.log_fd)

    def _tell(self, configuration: str) -> None:
        if not self._popen.stdin:
            return
        os.set_blocking(self._popen.stdin.fileno(), False)
        # A child that has died already, or a line beyond the pipe's capacity, shows as a broken start-up promise.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            self._popen.stdin.write(configuration.encode() + b"\n")


class Death(NamedTuple):
    """How a process ended. `returncode` is negative for a signal, as in `subprocess`."""

    pid: int
    returncode: int

    def __str__(self) -> str:
        if self.returncode >= 0:
            return f"exit code {self.returncode}"
        try:
            return f"signal {signal.Signals(-self.returncode).name}"
        except ValueError:
            return f"signal {-self.returncode}"


def stat_of(pid: int) -> list[str]:
    """Return what follows the name in /proc/pid/stat: state, parent, …; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def peek_dead_child() -> Death | None:
    """Return a child that has ended and is not reaped yet: its pid, and so its process group, is still its own."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return None
    if ended is None:
        return None
    return Death(ended.si_pid, -ended.si_status if ended.si_code in _KILLED_STATUSES else ended.si_status)


def reap(death: Death) -> None:
    """Take the ended process out of the process table."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, death.pid, os.WEXITED | os.WNOHANG)


def adopt_orphans() -> None:
    """Make this process the parent of grandchildren whose own parent died, so that they can be reaped."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def forbid_core_dumps() -> None:
    """Let neither this process nor any that it starts leave its memory on a disk: there are pictures in it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core_pattern that is a program gets the dump in spite of the limit: then let nothing be in it.
    with contextlib.suppress(OSError):  # a kernel without core dumps
        Path("/proc/self/coredump_filter").write_text("0\n")


def kill_adopted() -> None:
    """SIGKILL every child that this process has, also those that it never started."""
    try:
        children = Path("/proc/thread-self/children").read_text().split()
    except OSError:
        return  # a kernel without CONFIG_PROC_CHILDREN: the container or the service manager is the last net
    for pid in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(pid), signal.SIGKILL)


def _pipe(stack: contextlib.ExitStack) -> tuple[int, int]:
    read_fd, write_fd = os.pipe()
    stack.callback(os.close, read_fd)
    stack.callback(os.close, write_fd)
    return read_fd, write_fd


def _popen(module: str, report_fd: int, log_fd: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    inherited = os.environ.get("PYTHONPATH")
    python_path = os.pathsep.join([str(PROJECT_FOLDER), *([inherited] if inherited else [])])
    return subprocess.Popen(  # noqa: S603 - our own module, and no shell
        [sys.executable, "-m", module, "--report-fd", str(report_fd)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=log_fd,
        stderr=log_fd,
        pass_fds=(report_fd,),
        cwd=PROJECT_FOLDER,
        env={**os.environ, **environment, "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
