"""What a child writes to its stdout and stderr: passed on within bounds, its last lines kept.

The child is never blocked by it: everything is read, and what is too much is only counted. That holds for a second,
and for a day: of a child that is started again and again, not every process is heard. Of one that is heard and ends,
the last lines are shown in any case: there an exception says what it is. A stack is kept apart, from its beginning, so
that neither it nor the lines before it push the other out.
"""

import logging
from collections import deque

from supervision.masking import Mask
from supervision.output import IS_LAST, IS_LEFT_OUT
from supervision.sparing import Sparing

LINES_PER_S = 50
BYTES_PER_S = 16_384
LINE_BYTES = 1000
TAIL_LINES = 40
LAST_LINES = 6  # that are shown of a process that ended, if the end of what it wrote was not
STACK_LINES = 400
NEWEST_LINES = STACK_LINES + TAIL_LINES  # of what is read at once: the others are shown or kept nowhere

_WINDOW_NS = 1_000_000_000
_FATAL = "Fatal Python error"  # faulthandler's first words


class ChildLog:
    """The log of one child, over all its restarts. Lines come out as `[name] text` on the logger `child.<name>`.

    `mask` takes out what must not be shown.
    """

    def __init__(self, name: str, mask: Mask | None = None) -> None:
        self.mask = mask or Mask()
        self._name = name
        self._log = logging.getLogger(f"child.{name}")
        self._unfinished = b""
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._stack: list[str] | None = None  # None until there is to be one
        self._window_start_ns = 0
        self._window_lines = 0
        self._window_bytes = 0
        self._suppressed = 0
        self._hidden_end: deque[str] = deque(maxlen=LAST_LINES)  # of what a process wrote that is heard
        self._processes = Sparing()
        self._is_listening = self._is_heard = True

    def begin(self, now_ns: int) -> None:
        """Begin with a new process: its lines are shown if those of earlier ones leave room for them."""
        self.flush()
        self._tail.clear()
        self._hidden_end.clear()
        self._stack = None
        if self._is_listening:
            self._processes, self._is_listening = Sparing(), False
        self._is_heard = self._processes.allows(now_ns)

    def listen(self) -> None:
        """Show the next processes, however many there were; the present one takes nothing from them."""
        self._is_listening = True

    def feed(self, chunk: bytes, now_ns: int) -> None:
        """Take what was read from the pipe."""
        self.tick(now_ns)
        finished, newline, self._unfinished = (self._unfinished + chunk).rpartition(b"\n")
        if newline:
            self._take_all(self.mask(finished).split(b"\n"))
        if len(self._unfinished) > LINE_BYTES + self.mask.longest_bytes:
            self._take_what_is_too_long()

    def flush(self) -> None:
        """Take an unfinished last line as it is: the pipe has ended."""
        if self._unfinished:
            self._take(self.mask(self._unfinished))
        self._unfinished = b""

    def end(self) -> None:
        """Take what is left of a process that has ended, and show its last lines if they were not."""
        self.flush()
        if not self._hidden_end:
            return
        lines = [f"[{self._name}] {line}" for line in self._hidden_end]
        if before := max(0, self._suppressed - len(lines)):  # `tick` may have counted some of these
            lines.insert(0, f"[{self._name}] {_more(before)} before these:")
        is_shown = self._show("\n".join(lines), **{IS_LAST: True})
        self._suppressed = 0 if is_shown else before
        self._hidden_end.clear()

    def tick(self, now_ns: int) -> None:
        """Open a new window of one second, and say how much the last one left out."""
        if now_ns - self._window_start_ns < _WINDOW_NS:
            return
        self._window_start_ns, self._window_lines, self._window_bytes = now_ns, 0, 0
        self._is_heard = self._is_heard or self._processes.allows(now_ns)
        if self._suppressed and self._is_shown() and self._show(f"[{self._name}] {_more(self._suppressed)}"):
            self._suppressed = 0

    def expect_stack(self) -> None:
        """From here on the lines are a stack that the process was asked for."""
        self.flush()
        self._stack = []

    @property
    def tail(self) -> tuple[str, ...]:
        """The newest lines, oldest first, shown or not, without the stack."""
        return tuple(self._tail)

    @property
    def stack(self) -> tuple[str, ...]:
        """The first lines of a stack that was asked for, or that a fatal signal left."""
        return tuple(self._stack or ())

    def _take_what_is_too_long(self) -> None:
        # What may be the beginning of a secret waits for its end.
        said = self.mask(self._unfinished)
        end = len(said) - self.mask.longest_bytes
        if end > 0:
            self._take(said[:end])
            said = said[end:]
        self._unfinished = said

    def _take_all(self, lines: list[bytes]) -> None:
        # A pipe full of empty lines would hold up the loop.
        left_out = lines[LINES_PER_S:-NEWEST_LINES]
        self._suppressed += len(left_out)
        for line in [*lines[:LINES_PER_S], *lines[LINES_PER_S:][-NEWEST_LINES:]]:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = line[:LINE_BYTES].decode("utf-8", "replace").rstrip()
        self._keep(text)
        self._window_lines += 1
        self._window_bytes += len(line)
        if not self._is_shown():
            self._suppressed += 1
        elif self._has_room() and self._show(f"[{self._name}] {text}"):
            self._hidden_end.clear()
        else:
            self._suppressed += 1
            self._hidden_end.append(text)

    def _has_room(self) -> bool:
        return self._window_lines <= LINES_PER_S and self._window_bytes <= BYTES_PER_S

    def _show(self, text: str, **marks: bool) -> bool:
        """Write to the log; whether there was a place for it."""
        if not self._log.isEnabledFor(logging.INFO):
            return False
        record = self._log.makeRecord(self._log.name, logging.INFO, "", 0, text, (), None, extra=marks)
        self._log.handle(record)
        return not getattr(record, IS_LEFT_OUT, False)

    def _is_shown(self) -> bool:
        return self._is_heard or self._log.isEnabledFor(logging.DEBUG)  # whoever asks for more hears every process

    def _keep(self, text: str) -> None:
        if self._stack is None and text.startswith(_FATAL):
            self._stack = []
        if self._stack is not None and len(self._stack) < STACK_LINES:
            self._stack.append(text)
        else:
            self._tail.append(text)


def _more(lines: int) -> str:
    return "… and 1 more line that is not shown" if lines == 1 else f"… and {lines} more lines that are not shown"
