"""Lines for a person or a log collector, written so that they can neither end nor stop the supervisor.

A closed pipe, a full disk or a reader that has stalled costs lines, never a turn of the loop.
"""

import logging
import os
import select
import time

from supervision.line_budget import LineBudget

LINE_BYTES = 4000  # below a pipe's page: a pipe that polls writable takes this much without blocking


class Output:
    """One file descriptor that is written line by line, or not at all."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        """Write every line of `text` that can be written at once, and drop the others."""
        for line in text.splitlines() or [""]:
            self._write_line(line.encode("utf-8", "backslashreplace")[:LINE_BYTES] + b"\n")

    def _write_line(self, line: bytes) -> None:
        # Not O_NONBLOCK: that flag would belong to everybody who shares the terminal or the pipe.
        try:
            if self._takes_a_line():
                os.write(self._fd, line)
        except OSError:
            pass

    def _takes_a_line(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return any(events & select.POLLOUT for _, events in poll.poll(0))


class OutputHandler(logging.Handler):
    """A logging handler over `Output`; with a `budget`, as far as that allows and leaves its `reserve` of lines."""

    def __init__(self, output: Output, budget: LineBudget | None = None, *, reserve: int = 0) -> None:
        super().__init__()
        self._output = output
        self._budget = budget
        self._reserve = reserve

    def emit(self, record: logging.LogRecord) -> None:
        """Write the formatted record."""
        text = self.format(record)
        if self._budget:
            if not self._budget.allows(len(text.splitlines()), time.monotonic_ns(), reserve=self._reserve):
                return
            text += self._budget.take_left_out()
        self._output.write(text)
