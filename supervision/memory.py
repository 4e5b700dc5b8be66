"""A child whose memory grows and grows is started again before it takes the whole computer's."""

import logging
from collections.abc import Iterable

from supervision.child import Child

INTERVAL_NS = 3_000_000_000
_LONGEST_RESTART_NS = 60_000_000_000

_log = logging.getLogger(__name__)


class MemoryWatch:
    """Looks at the memory of the children every few seconds, and ends one at a time of those that use too much.

    The next one has to wait until the last one works again, at most a minute: no two are away for it together.
    """

    def __init__(self) -> None:
        self._next_look_ns = 0
        self._last: Child | None = None
        self._last_ns = 0

    def look(self, children: Iterable[Child], limit_mb: int, now_ns: int) -> None:
        """Let the child that is furthest beyond the limit start again; a limit of 0 is none."""
        if not limit_mb or now_ns < self._next_look_ns or self._is_one_away(now_ns):
            return
        self._next_look_ns = now_ns + INTERVAL_NS
        uses = {
            child: child.process.own_memory_bytes() for child in children if child.process and child.state == "running"
        }
        if not uses:
            return
        child = max(uses, key=lambda child: uses[child])
        if uses[child] > limit_mb * 1_000_000:
            self._last, self._last_ns = child, now_ns
            child.restart_because(
                "memory",
                f"used {uses[child] / 1e6:.0f} MB of memory of its own, and may use {limit_mb} MB "
                "(child_memory_limit_mb): started again",
                now_ns,
            )

    def _is_one_away(self, now_ns: int) -> bool:
        is_away = self._last is not None and self._last.state not in ("running", "finished", "refused")
        return is_away and now_ns - self._last_ns < _LONGEST_RESTART_NS
