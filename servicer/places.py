"""How many calls are worked on at a time."""

import threading
import time
from collections import deque


class Places:
    """A number of places. Who waits for one gets it in the order of coming, and who has given up is passed over."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._turns: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def take(self, until_s: float) -> bool:
        """Wait for a place until then (`time.monotonic`); False if there was none."""
        with self._lock:
            if self._free:  # nobody waits then: a place that is given back goes to who waits, if anybody does
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
        return turn.acquire(timeout=max(0.0, until_s - time.monotonic())) or not self._leave(turn)

    def give_back(self) -> None:
        """Let the next one have the place."""
        with self._lock:
            if self._turns:
                self._turns.popleft().release()
            else:
                self._free += 1

    def _leave(self, turn: threading.Lock) -> bool:
        """Wait no longer; False if the place came at the last moment."""
        with self._lock:
            if turn not in self._turns:
                return False
            self._turns.remove(turn)
            return True
