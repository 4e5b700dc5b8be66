"""What is wrong although frames come: said to the supervisor and to the log, and not at every frame."""

import logging
import time

from supervision.lifeline import ErrorCode, Lifeline

_REPORT_INTERVAL_S = 1.0
_LOG_INTERVAL_S = 10.0

_log = logging.getLogger(__name__)


class Complaints:
    """Says each thing as often as it has to be heard."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline = lifeline
        self._reported_s = float("-inf")
        self._quiet_until_s: dict[str, float] = {}

    def repeat(self, *problems: tuple[ErrorCode, str | None]) -> None:
        """Report the first of these that there is, once a second: an error that is not repeated is over."""
        for code, text in problems:
            if text is not None:
                if time.monotonic() - self._reported_s >= _REPORT_INTERVAL_S:
                    self._reported_s = time.monotonic()
                    self._lifeline.error(code, text)
                return

    def warn(self, message: str, *facts: object) -> None:
        """Log a warning, unless there was one of its kind just before."""
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s.get(message, 0.0):
            self._quiet_until_s[message] = now_s + _LOG_INTERVAL_S
            _log.warning(message, *facts)
