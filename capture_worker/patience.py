"""How much failing is tolerated before a camera is given up."""

import time

from capture_worker.camera import CameraError

MAX_FAILURES_IN_A_ROW = 5


class Patience:
    """With captures that fail in a row: a few are tolerated, if they do not take too long together."""

    def __init__(self, limit_s: float) -> None:
        self.failures = 0
        self._limit_s = limit_s
        self._since_s = time.monotonic()

    def renew(self) -> None:
        """Begin again: there was a frame, or nobody wanted one."""
        self.failures, self._since_s = 0, time.monotonic()

    def excuse(self, took_s: float) -> None:
        """Leave out the time that something else took of the camera."""
        self._since_s = time.monotonic() if self.failures == 0 else self._since_s + took_s

    def bear(self, error: CameraError) -> None:
        """Go on after a failed capture, unless it was one too many."""
        self.failures += 1
        silent_s = time.monotonic() - self._since_s
        if self.failures > MAX_FAILURES_IN_A_ROW or silent_s > self._limit_s:
            raise type(error)(f"no frame for {silent_s:.1f} s, failed reads in a row: {self.failures}; {error}")
