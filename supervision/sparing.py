"""Lines about something that repeats: the first ones, then one from time to time, with the count of the others."""

FIRST_LINES = 3
INTERVAL_NS = 600_000_000_000


class Sparing:
    """Lets three lines through, or another number of first ones, then one every ten minutes.

    What was not used comes back: after a quiet half hour there are three again.
    """

    def __init__(self, first: int = FIRST_LINES) -> None:
        self._left_out = 0
        self._most_ns = self._credit_ns = first * INTERVAL_NS
        self._last_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Whether a line may be written now; if not, it is counted."""
        self._credit_ns = min(self._most_ns, self._credit_ns + max(0, now_ns - self._last_ns))
        self._last_ns = now_ns
        if self._credit_ns < INTERVAL_NS:
            self._left_out += 1
            return False
        self._credit_ns -= INTERVAL_NS
        return True

    def take_left_out(self) -> str:
        """Return how many lines were left out since the last one, as words to end this one with."""
        left_out, self._left_out = self._left_out, 0
        times = "once more" if left_out == 1 else f"{left_out} times more"
        return f" (and {times} since this was last said)" if left_out else ""
