"""Calls that were opened and whose request has not come: each holds a thread, and who opens them costs others theirs.

A request comes right behind its call, in the same packet as a rule. A call without one is cancelled after 2 s, or after
0.25 s while hundreds are silent, as soon as any other call comes: until then it harms nobody.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

_PATIENCE_S = 2.0
_LITTLE_PATIENCE_S = 0.25
_LOOK_EVERY_S = 0.05
_MANY = 256  # half of the threads


class SilentCalls:
    """Those that wait for their request now."""

    def __init__(self) -> None:
        self._opened: dict[object, tuple[float, grpc.ServicerContext]] = {}  # the oldest first
        self._next_look_s = 0.0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def awaiting(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Be one of them inside."""
        key = object()
        with self._lock:
            self._opened[key] = time.monotonic(), context
        try:
            yield
        finally:
            with self._lock:
                self._opened.pop(key, None)

    def end_overdue(self) -> None:
        """Cancel those that have been silent for too long; calls that come together look once."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + _LOOK_EVERY_S
        for context in self._take_overdue():
            context.cancel()

    def _take_overdue(self) -> list[grpc.ServicerContext]:
        with self._lock:
            patience_s = _PATIENCE_S if len(self._opened) < _MANY else _LITTLE_PATIENCE_S
            since_s = time.monotonic() - patience_s
            overdue = []
            for key, (opened_s, context) in list(self._opened.items()):
                if opened_s > since_s:
                    break
                del self._opened[key]
                overdue.append(context)
            return overdue
