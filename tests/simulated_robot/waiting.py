"""Waiting for a condition instead of for some time."""

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Return as soon as `condition` holds; AssertionError if it does not within the time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        threading.Event().wait(0.01)
