"""What a child has said about itself, over all its processes: its frames, its error, and whether it is well again."""

import logging
import time
from collections import defaultdict
from typing import Any

from supervision import exit_codes
from supervision.backoff import Backoff
from supervision.frame_rate import FrameRate
from supervision.lifeline import ErrorCode
from supervision.process import Death
from supervision.reports import Beat, Error, Ready
from supervision.sparing import Sparing
from supervision.timing import Timing

LAST_STACK = "last_stack"

_STACK_LINES = 12
_STACK_COLUMNS = 160
_LAST_FRAME = {"frame_number", "captured_ns", "rows", "cols", "encoding"}

_log = logging.getLogger(__name__)


class Health:
    """The spoken half of a child's record.

    `needs_frames`: only beats with new frames prove that it works, or promises kept by one that nobody asks for frames.
    """

    def __init__(self, name: str, timing: Timing, *, needs_frames: bool) -> None:
        self.error_code: ErrorCode | None = None
        self.robot_clock_offset_ns: int | None = None
        self.turned_ns = 0  # when this process last began or ended to be idle
        self._name = name
        self._timing = timing
        self._needs_frames = needs_frames
        self._backoff = Backoff()
        self._rate = FrameRate()
        self._error_text: str | None = None
        self._error_said = False  # by this process, as opposed to the ones before it
        self._is_idle = False
        self._frames = 0
        self._last_frame: dict[str, Any] = {}
        self._lasting_facts: dict[str, Any] = {}  # of this process, beside those of its last beat
        self._beat_facts: dict[str, Any] = {}
        self._stack: dict[str, Any] = {}
        self._well_since_ns: int | None = None
        self._error_lines: defaultdict[ErrorCode, Sparing] = defaultdict(Sparing)
        self._well_lines = Sparing()

    def fields(self, now_ns: int) -> dict[str, Any]:
        """Return this part of the child's record."""
        return {
            "error_code": self.error_code,
            "error_text": self._error_text,
            "frames": self._frames,
            "rate_hz": round(self._rate.rate_hz(now_ns), 2),
            "facts": {**self._lasting_facts, **self._beat_facts, **self._stack},
            **self._last_frame,
        }

    def begin(self) -> None:
        """Begin with a new process. The last frame of the one before it is still the newest there is."""
        self._error_said = False
        self._frames = 0
        self._lasting_facts, self._beat_facts = {}, {}
        self._is_idle, self.turned_ns = False, 0

    def end(self) -> None:
        """The process is gone, and with it its frames."""
        self._rate.reset()
        self._well_since_ns = None

    def add_facts(self, **facts: Any) -> None:
        """Put something onto the board that the process itself does not say."""
        self._lasting_facts = {**self._lasting_facts, **facts}

    def take_ready(self, ready: Ready) -> None:
        """Keep the facts that the process said once and for all; those of a frame every beat says anew."""
        self.add_facts(**{key: fact for key, fact in ready.facts.items() if key not in Beat.model_fields})

    def take_beat(self, beat: Beat, now_ns: int) -> None:
        """Take the frames of a beat, and forgive what is over."""
        works = beat.frames > self._frames or beat.idle or not self._needs_frames
        self._frames = beat.frames
        self._beat_facts = beat.facts
        if beat.idle is not self._is_idle:
            self._is_idle, self.turned_ns = beat.idle, now_ns
        self._rate.add(now_ns, beat.frames)
        if beat.frame_number is not None:
            self._last_frame = beat.model_dump(include=_LAST_FRAME)
        if beat.offset_ns is not None:
            self.robot_clock_offset_ns = beat.offset_ns
        if works:
            self._works(now_ns)

    def take_error(self, error: Error) -> None:
        """Keep what the process itself says is wrong, until it has worked again for a while without saying so."""
        self.report(error.code, error.text)

    def report(self, code: ErrorCode, text: str) -> None:
        """Note an error; only a change of it is worth a line in the log, and one that comes and goes not each time."""
        lines = self._error_lines[code]
        if code != self.error_code and lines.allows(time.monotonic_ns()):
            _log.warning("%s: %s: %s%s", self._name, code, text, lines.take_left_out())
        self._error_said = True
        self._well_since_ns = None
        self.error_code, self._error_text = code, text

    def blame(self, code: ErrorCode, death: Death, log_tail: tuple[str, ...]) -> None:
        """Note how the process ended, unless it said itself what was wrong."""
        if self._error_said:
            return
        said = next((line for line in reversed(log_tail) if line), None)
        # After a signal the last line is what it wrote before, of which it did not die.
        was_killed = death.returncode < 0 or death.returncode == exit_codes.TERMINATED
        cited = f"; the last line of its log: {said[:300]}" if said and not was_killed else ""
        self.report(code, f"ended with {death}{cited}")

    def keep_stack(self, lines: tuple[str, ...]) -> None:
        """Show what a hung process was doing when it was killed."""
        stack = [line[:_STACK_COLUMNS] for line in lines[:_STACK_LINES]]
        self._stack = {LAST_STACK: stack or ["none: the process did not run any more"]}

    def next_delay_s(self) -> float:
        """Count a failure, and say how long to wait before the next start."""
        return self._backoff.next_delay_s()

    def _works(self, now_ns: int) -> None:
        if self._well_since_ns is None:
            self._well_since_ns = now_ns
        well_s = (now_ns - self._well_since_ns) / 1e9
        if well_s >= self._timing.forgiven_s:
            self._backoff.forgive()
        if well_s >= self._timing.well_s and self.error_code:
            if self._well_lines.allows(now_ns):
                more = self._well_lines.take_left_out()
                _log.info("%s: well again (was: %s)%s", self._name, self.error_code, more)
            self._error_said = False
            self.error_code = self._error_text = None
