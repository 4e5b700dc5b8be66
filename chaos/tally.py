"""How often each invariant was checked, how often it did not hold, and what was seen the first few times."""

import re
from dataclasses import dataclass, field
from typing import Any

INVARIANTS = {
    "I1": "no torn frame is ever returned",
    "I2": "no frame older than max_age is returned OK",
    "I3": "per client and source, frames and times never go back",
    "I4": "camera A's image never under B's name",
    "I5": "others keep >= 95 % of their rate, and are not restarted",
    "I6": "GetImage ends by min(deadline, 2 s)",
    "I7": "back within 2 s of a crash, 7 s of a hang, until backoff",
    "I8": "after a kill: no process in 3 s, no segment after the next start",
    "I9": "one writer per ring, ever",
    "I10": "no reader dies of a segment's content",
    "I11": "the robot's faults are what is really broken within 5 s",
    "I12": "descriptors, threads, memory, /dev/shm are bounded",
    "I13": "no image byte to a peer outside the allow-list",
    "I14": "the log is bounded: transitions, not repetitions",
}
_EXAMPLES = 5
_TIME = re.compile(r"^t=([0-9.]+)")  # CLOCK_MONOTONIC


@dataclass
class Count:
    """Of one invariant. `excused` are checks whose failure the injected faults, or the machine, explain."""

    checks: int = 0
    violations: int = 0
    excused: int = 0
    examples: list[str] = field(default_factory=list)


class Tally:
    """The counts of all invariants; `notes` count what is no invariant but worth a line."""

    def __init__(self) -> None:
        self.counts = {name: Count() for name in INVARIANTS}
        self.notes: dict[str, Count] = {}

    @property
    def violations(self) -> int:
        """All of them."""
        return sum(count.violations for count in self.counts.values())

    def check(self, name: str, t: float, what: str | None) -> None:
        """Count a check; `what` says what was wrong, None if it held."""
        _add(self.counts[name], t, what)

    def excuse(self, name: str) -> None:
        """Count a check that could not be judged."""
        self.counts[name].excused += 1

    def note(self, name: str, t: float, what: str | None) -> None:
        """Count something that no invariant forbids."""
        _add(self.notes.setdefault(name, Count()), t, what)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "invariants": {name: vars(count) for name, count in self.counts.items()},
            "notes": {name: vars(count) for name, count in self.notes.items()},
        }


def since_start(example: str, started: float) -> str:
    """An example with its time as the plan counts, whose 0 is at `started`."""
    return _TIME.sub(lambda found: f"{float(found[1]) - started:.2f} s", example)


def _add(count: Count, t: float, what: str | None) -> None:
    count.checks += 1
    if what is not None:
        count.violations += 1
        if len(count.examples) < _EXAMPLES:
            count.examples.append(f"t={t:.2f}: {what}")
