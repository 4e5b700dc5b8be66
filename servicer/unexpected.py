"""What should not happen and did: told once with its traceback, and kept from spreading."""

import logging
import threading
import time

_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class UnexpectedErrors:
    """The unexpected errors about one camera, of which the log gets one a minute."""

    def __init__(self, source_name: str) -> None:
        self._source_name = source_name
        self._untold = 0
        self._next_s = 0.0
        self._lock = threading.Lock()

    def note(self, error: Exception) -> None:
        """Log the traceback, with how many came since the last one; or count."""
        with self._lock:
            self._untold += 1
            if time.monotonic() < self._next_s:
                return
            count, self._untold, self._next_s = self._untold, 0, time.monotonic() + _EVERY_S
        _log.error("%s: unexpected errors since the last report: %d", self._source_name, count, exc_info=error)
