"""Signals as data: handlers only take a note, and wake up the loop."""

import os
import signal
import sys
from types import FrameType, TracebackType

from supervision import exit_codes

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def end_the_start_when_asked() -> bool:
    """Until a SignalQueue takes over: end without a word when asked to, also as process 1 of a container.

    That one gets no signal that it has no handler for. Ctrl-C is exit code 130, the others are 0. SIGHUP from where
    there is no terminal asks for settings to be read that are about to be read anyway. Returns whether there is a
    terminal: later nobody can tell, for one that has hung up is none any more.
    """
    has_terminal = os.isatty(0)  # before the handlers: until then a terminal that hangs up ends us by itself
    hang_up = _end_the_start if has_terminal else _take_no_notice
    ends = dict.fromkeys((signal.SIGTERM, signal.SIGQUIT, signal.SIGINT), _end_the_start)
    for number, handler in {**ends, signal.SIGHUP: hang_up}.items():
        if signal.getsignal(number) is not signal.SIG_IGN:  # what our starter ignores (nohup) stays ignored
            signal.signal(number, handler)
    return has_terminal


def _end_the_start(number: int, _frame: FrameType | None) -> None:
    sys.exit(exit_codes.INTERRUPTED if number == signal.SIGINT else exit_codes.FINISHED)


def _take_no_notice(_number: int, _frame: FrameType | None) -> None:
    """Unlike SIG_IGN, this is not taken for our starter's wish, and children do not inherit it."""


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
