"""How many lines the log may have: at most 60 in any minute, whatever happens to how many cameras at once."""

import threading
from collections import defaultdict

AT_ONCE = 48
REFILL_NS = 5_000_000_000  # … and one more each time: together with those at once 60 in any minute
RESERVE = 12  # of them for the supervisor's own words


class LineBudget:
    """What is left of the lines.

    What children write leaves a reserve: what becomes of them must be said, too. And a child may not have used more
    than what it leaves for the others: one that floods the log takes half of it, and the next one is still heard.
    """

    def __init__(self) -> None:
        self._left = float(AT_ONCE)
        self._used: defaultdict[str, float] = defaultdict(float)  # by each child, of what has not come back yet
        self._last_ns = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def allows(self, lines: int, now_ns: int, *, child: str | None = None) -> bool:
        """Whether so many lines, written by a child or by ourselves, may be shown now; if not, they are counted."""
        with self._lock:
            self._refill(now_ns)
            if self._left < lines + (RESERVE + self._used[child] if child else 0):
                self._left_out += lines
                return False
            self._left -= lines
            if child:
                self._used[child] += lines
            return True

    def _refill(self, now_ns: int) -> None:
        back = min(AT_ONCE - self._left, max(0, now_ns - self._last_ns) / REFILL_NS)
        self._left += back
        self._last_ns = now_ns
        used = sum(self._used.values())
        for child in self._used:
            self._used[child] *= max(0.0, 1 - back / used) if used else 0.0

    def take_left_out(self) -> str:
        """Return how many lines were left out since the last one, as words to end this one with."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        return f" (and {left_out} lines before it that are not shown; -v shows all)" if left_out else ""
