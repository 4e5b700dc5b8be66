"""The rate of a camera, from the frame counts in its beats."""

from collections import deque

WINDOW_NS = 3_000_000_000


class FrameRate:
    """Frames per second over the last three seconds of beats, or over the last two beats of a slower camera."""

    def __init__(self) -> None:
        self._beats: deque[tuple[int, int]] = deque()  # (when, frames since the process started)

    def reset(self) -> None:
        """A new process counts from zero."""
        self._beats.clear()

    def add(self, now_ns: int, frames: int) -> None:
        """Take the count of a beat. Beats without a new frame say nothing about the rate."""
        if frames == (self._beats[-1][1] if self._beats else 0):
            return
        if self._beats and now_ns <= self._beats[-1][0]:
            self._beats.pop()  # of beats that came together only the last one has the time it was made at
        self._beats.append((now_ns, frames))
        while len(self._beats) > 2 and self._beats[1][0] <= now_ns - WINDOW_NS:  # noqa: PLR2004 - two make a rate
            self._beats.popleft()

    def rate_hz(self, now_ns: int) -> float:
        """Return the rate; it sinks once no frame came for two of the usual intervals between beats."""
        if len(self._beats) < 2:  # noqa: PLR2004 - two make a rate
            return 0.0
        (first_ns, first), (last_ns, last) = self._beats[0], self._beats[-1]
        usual_ns = (last_ns - first_ns) / (len(self._beats) - 1)
        end_ns = last_ns if now_ns - last_ns <= max(2 * usual_ns, 1) else now_ns
        return (last - first) * 1e9 / max(end_ns - first_ns, 1)
