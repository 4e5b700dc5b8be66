"""Signals as data: handlers only take a note, and wake up the loop."""

import os
import signal
import sys
from types import FrameType, TracebackType

from supervision import exit_codes

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def end_the_start_when_asked() -> None:
    """Until a SignalQueue takes over: end with exit code 0 when asked to, also as process 1 of a container.

    That one gets no signal that it has no handler for. SIGHUP from where there is no terminal asks for settings to be
    read that are about to be read anyway. SIGINT is Python's KeyboardInterrupt.
    """
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # what our starter ignores (nohup) stays ignored
            signal.signal(number, _end_the_start)


def _end_the_start(number: int, _frame: FrameType | None) -> None:
    if number != signal.SIGHUP or os.isatty(0):
        sys.exit(exit_codes.FINISHED)


class SignalQueue:
    """Collects signals inside `with`. `fd` becomes readable when there is one."""

    def __init__(self) -> None:
        self.fd = -1
        self._write_fd = -1
        self._arrived: list[int] = []

    def __enter__(self) -> "SignalQueue":
        """Install the handlers. A SIGHUP that our starter ignores (nohup) stays ignored."""
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in _SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening; from here on a further signal ends nothing that is not over anyway."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write_fd)

    def take(self) -> list[int]:
        """Return the signals that came since the last call, in order, without SIGCHLD."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
        arrived, self._arrived = self._arrived, []
        return [number for number in arrived if number != signal.SIGCHLD]

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(number)
