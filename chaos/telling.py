"""The line to the observer: facts, one per line, on a Unix socket; and how late this process's own threads run."""

import collections
import socket
import threading
import time
from pathlib import Path

from chaos.facts import Fact, to_line

_SLEEP_S = 0.05
_NOTICEABLE_S = 0.02


class Teller:
    """Tells the observer facts, from any thread."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(path))
        self._lock = threading.Lock()

    def tell(self, fact: Fact) -> None:
        """Send one fact. Raises OSError when the observer is gone."""
        with self._lock:
            self._socket.sendall(to_line(fact))


class Lateness:
    """Measures how much later than it wanted a sleeping thread of this process runs. `start` it once."""

    def __init__(self) -> None:
        self._late: collections.deque[tuple[float, float]] = collections.deque(maxlen=400)
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def worst(self, since: float) -> float:
        """The largest delay since then, seconds."""
        now = time.monotonic()
        late = [delay for t, delay in list(self._late) if t >= since]
        waiting = now - self._late[-1][0] - _SLEEP_S if self._late else 0.0
        return max([*late, waiting, 0.0])

    def _measure(self) -> None:
        while True:
            wanted = time.monotonic() + _SLEEP_S
            time.sleep(_SLEEP_S)
            now = time.monotonic()
            self._late.append((now, now - wanted if now - wanted > _NOTICEABLE_S else 0.0))
