"""How many lines the log may have: at most 60 in any minute, whatever happens to how many cameras at once."""

import threading

AT_ONCE = 48
REFILL_NS = 5_000_000_000  # … and one more each time: together with those at once 60 in any minute
RESERVE = 12  # of them for the supervisor's own words


class LineBudget:
    """What is left of the lines. What children write leaves a reserve: what becomes of them must be said, too."""

    def __init__(self) -> None:
        self._credit_ns = AT_ONCE * REFILL_NS
        self._last_ns = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def allows(self, lines: int, now_ns: int, *, reserve: int = 0) -> bool:
        """Whether so many lines may be written now; if not, they are counted."""
        with self._lock:
            self._credit_ns = min(AT_ONCE * REFILL_NS, self._credit_ns + max(0, now_ns - self._last_ns))
            self._last_ns = now_ns
            if self._credit_ns < (lines + reserve) * REFILL_NS:
                self._left_out += lines
                return False
            self._credit_ns -= lines * REFILL_NS
            return True

    def take_left_out(self) -> str:
        """Return how many lines were left out since the last one, as words to end this one with."""
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        return f" (and {left_out} lines before it that are not shown; -v shows all)" if left_out else ""
