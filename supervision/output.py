"""Lines for a person or a log collector, written so that they can neither end nor stop the supervisor.

A closed pipe, a full disk or a reader that has stalled costs lines, never a turn of the loop.
"""

import logging
import os
import select
import time

from supervision.line_budget import LineBudget

_FIRST_LINES, _LAST_LINES = 3, 8  # of a record with more of them: what it says, and what a traceback ends with
IS_LEFT_OUT, IS_LAST = "is_left_out", "is_last"  # what a record is told, and what it may say of itself
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
    """A logging handler over `Output`; with a `budget`, as far as that allows.

    With `of_children`, each logger has the share of a child in it; a record that `is_last` of a process has its place
    among our own. One that finds no room is marked `is_left_out`. A long one would take the room of many others: it is
    shown without its middle.
    """

    def __init__(self, output: Output, budget: LineBudget | None = None, *, of_children: bool = False) -> None:
        super().__init__()
        self._output = output
        self._budget = budget
        self._of_children = of_children

    def emit(self, record: logging.LogRecord) -> None:
        """Write the formatted record."""
        text = self.format(record)
        if self._budget:
            lines = _shortened(text.splitlines())
            child = record.name if self._of_children and not hasattr(record, IS_LAST) else None
            if not self._budget.allows(len(lines), time.monotonic_ns(), child=child):
                setattr(record, IS_LEFT_OUT, True)
                return
            text = "\n".join(lines) + self._budget.take_left_out()
        self._output.write(text)


def _shortened(lines: list[str]) -> list[str]:
    hidden = len(lines) - _FIRST_LINES - _LAST_LINES
    if hidden <= 1:
        return lines
    return [*lines[:_FIRST_LINES], f"… {hidden} lines that -v shows …", *lines[-_LAST_LINES:]]
