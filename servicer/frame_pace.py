"""How fast a camera's frames come, as the one who reads its ring sees it."""

import statistics
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from shm import DEFAULT_PARAMS_ID, FrameFacts

_SAMPLES = 6  # an even number: of frames that come in pairs, half of the distances are short


class FramePace:
    """Measures the frame period between looks at the same ring; any number of threads may note what they saw.

    `last` is the newest frame that was seen. `period_s` is the median of the last periods, but not below what the
    driver says; 0 while there is neither. A camera that `idles` is not measured: pauses are no periods.
    """

    def __init__(self, *, idles: bool) -> None:
        self.last: FrameFacts | None = None
        self.period_s = 0.0
        self._idles = idles
        self._periods_s: deque[float] = deque(maxlen=_SAMPLES)
        self._others_until_ns = 0  # so long it may capture for somebody between its ordinary frames
        self._noting = threading.Lock()

    def expect_others(self, until_ns: int) -> None:
        """Until then (CLOCK_MONOTONIC) frames may come that somebody asked for, beside its own."""
        self._others_until_ns = max(self._others_until_ns, until_ns)

    def note(self, facts: FrameFacts, descriptor: Callable[[], Mapping[str, Any] | None]) -> None:
        """Take note of the newest frame; of a newer one than the last, `descriptor` is what its worker says."""
        with self._noting:
            last = self.last
            if last is not None and last.epoch == facts.epoch and facts.frame_number <= last.frame_number:
                return
            self.last = facts
            if last is not None and last.epoch == facts.epoch and not self._idles:
                self._take(last, facts)
            fps = (descriptor() or {}).get("fps")
            declared_s = 1 / fps if isinstance(fps, int | float) and fps > 0 else 0.0
            self.period_s = max(declared_s, self._measured_s())

    def _take(self, last: FrameFacts, facts: FrameFacts) -> None:
        period_s = (facts.captured_ns - last.captured_ns) / 1e9 / (facts.frame_number - last.frame_number)
        if self._is_own_pace(last, facts) or 0 < period_s < self._measured_s():
            self._periods_s.append(period_s)

    def _is_own_pace(self, last: FrameFacts, facts: FrameFacts) -> bool:
        """Whether nobody's own capture can lie between these two frames."""
        if last.captured_ns > self._others_until_ns:
            return True
        neighbours = facts.frame_number == last.frame_number + 1
        return neighbours and last.params_id == facts.params_id == DEFAULT_PARAMS_ID

    def _measured_s(self) -> float:
        """The median: neither a stall nor the short way between two frames of a pair is the camera's pace."""
        periods_s = list(self._periods_s)
        even = periods_s[len(periods_s) % 2 :] or periods_s
        return statistics.median(even) if even else 0.0
