"""The log's lines about faults: when one is raised, and when it is over; not each time if it comes and goes."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping

from servicer.fault import Fault
from supervision.lifeline import fitting
from supervision.sparing import Sparing

_log = logging.getLogger(__name__)


class FaultLog:
    """Compares the faults with those of the last time."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}
        self._told: set[str] = set()
        self._lines: defaultdict[str, Sparing] = defaultdict(Sparing)

    def note(self, faults: Mapping[str, Fault], now_s: float) -> None:
        """Log which are new, with their text, and which are over. Whose beginning was left out, its end is as well."""
        for name in [name for name in faults if name not in self._since_s]:
            self._since_s[name] = now_s
            lines = self._lines[name]
            if lines.allows(round(now_s * 1e9)):
                self._told.add(name)
                _log.warning("fault: %s: %s%s", name, " ".join(faults[name].text.split()), lines.take_left_out())
        for name in [name for name in self._since_s if name not in faults]:
            stood_s = now_s - self._since_s.pop(name)
            if name in self._told:
                self._told.remove(name)
                _log.info("fault over: %s after %.0f s", name, stood_s)


def short(names: Collection[str]) -> list[str]:
    """As many of these as a report has room for, and then how many more there are."""
    kept = fitting(names)
    return kept if len(kept) == len(names) else [*kept, f"and {len(names) - len(kept)} more"]
