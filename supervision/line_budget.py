"""How many lines the log may have: 120 at once and one a second, whatever happens to how many cameras at once.

That is never more than 180 in a minute, and 60 a minute in the long run.
"""

import threading
from collections import defaultdict

OWN_AT_ONCE, CHILDREN_AT_ONCE = 45, 75
REFILL_NS = 2_000_000_000  # for each of the two one more line each time
_SHARE = 3  # of the lines that are left to them, children may have used so many times as much


class _Lines:
    """Lines that are left of so many at once."""

    def __init__(self, at_once: int) -> None:
        self.left = float(at_once)
        self._at_once = at_once

    def refill(self, passed_ns: int) -> float:
        """Return how many lines have come back."""
        back = min(self._at_once - self.left, max(0, passed_ns) / REFILL_NS)
        self.left += back
        return back


class LineBudget:
    """What is left of the lines.

    What children write takes nothing from the supervisor's own lines: what becomes of them must be said, too. And each
    child leaves a third of what it has used for the others: one that floods the log is shown with 56 lines at once, and
    the next one is still heard.
    """

    def __init__(self) -> None:
        self._own, self._childrens = _Lines(OWN_AT_ONCE), _Lines(CHILDREN_AT_ONCE)
        self._used: defaultdict[str, float] = defaultdict(float)  # by each child, of what has not come back yet
        self._last_ns = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def allows(self, lines: int, now_ns: int, *, child: str | None = None) -> bool:
        """Whether so many lines, written by a child or by ourselves, may be shown now; our own are counted if not."""
        with self._lock:
            self._refill(now_ns)
            return self._takes_of_childrens(lines, child) if child else self._takes_of_own(lines)

    def _takes_of_own(self, lines: int) -> bool:
        if self._own.left < lines:
            self._left_out += lines
            return False
        self._own.left -= lines
        return True

    def _takes_of_childrens(self, lines: int, child: str) -> bool:
        used = self._used[child] + lines
        if self._childrens.left - lines < used / _SHARE:
            return False
        self._childrens.left -= lines
        self._used[child] = used
        return True

    def _refill(self, now_ns: int) -> None:
        self._own.refill(now_ns - self._last_ns)
        back = self._childrens.refill(now_ns - self._last_ns)
        self._last_ns = now_ns
        used = sum(self._used.values())
        for child in self._used:
            self._used[child] *= max(0.0, 1 - back / used) if used else 0.0

    def take_left_out(self) -> str:
        """Return how many own lines were left out since the last one, as words to end this one with."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        lines = "1 line before it that is" if left_out == 1 else f"{left_out} lines before it that are"
        return f" (and {lines} not shown; -v shows all)" if left_out else ""
