"""What is said of a process that died: in the log, and in a file for the person who wants to know why, hours later.

No pictures, and no secrets: of the configuration those are left out, and the child's own words are masked before.
"""

import datetime
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from shm.records import ChildRecord
from supervision import exit_codes
from supervision.health import LAST_STACK
from supervision.masking import redacted
from supervision.process import Death
from supervision.sparing import Sparing

_SECTION_BYTES = {"facts": 4 << 10, "configuration": 8 << 10, "stack": 24 << 10, "log": 22 << 10}
_CUT = "… (cut)"
_STATES = {"killing": "its supervisor was killing it", "unkillable": "its supervisor had killed it long before"}

_log = logging.getLogger(__name__)


class Outages:
    """Says in the log that a child ends and is back, with the time between, and how often if it goes on and on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since_ns: int | None = None
        self._end_lines, self._back_lines = Sparing(), Sparing()

    def begin(self, why: str, delay_s: float, see: str, now_ns: int) -> None:
        """Say that it ended, or could not be started, when it starts again, and where to `see` more."""
        self._since_ns = self._since_ns or now_ns
        if self._end_lines.allows(now_ns):
            when = f"in {delay_s:.1f} s" if delay_s else "at once"
            more = self._end_lines.take_left_out()
            _log.warning("%s: ended (%s); starts again %s%s%s", self._name, why, when, see, more)

    def end(self, restarts: int, now_ns: int) -> None:
        """Say that it does its work, for the first time or again."""
        if self._since_ns is None:
            _log.info("%s: ready", self._name)
        elif self._back_lines.allows(now_ns):
            more = self._back_lines.take_left_out()
            away_s = (now_ns - self._since_ns) / 1e9
            _log.info("%s: back after %.1f s, %s%s", self._name, away_s, _restarts(restarts), more)
        self._since_ns = None


@dataclass(frozen=True)
class End:
    """All that the supervisor knows about a process that has ended, or does not even end when it is killed.

    `record` is the board's, as it was when the process ended, with the error; `death` is None for one that is still
    there. `kernel_state` is the letter that a hung process had in /proc. `stack` is what faulthandler wrote.
    """

    record: ChildRecord
    pid: int
    death: Death | None
    now_ns: int
    ran_ns: int
    kernel_state: str | None
    configuration: str
    stack: tuple[str, ...]
    log_tail: tuple[str, ...]


def report_of(end: End) -> str:
    """Return the file's text; its parts have their bounds, together below 64 KiB."""
    facts = {key: fact for key, fact in end.record.facts.items() if key != LAST_STACK}  # it has its own place below
    said = json.dumps(facts, indent=1, ensure_ascii=False, default=str).splitlines()
    configuration = json.dumps(redacted(end.configuration), indent=1, ensure_ascii=False).splitlines()
    tail = [*reversed(_bounded(reversed(end.log_tail), _SECTION_BYTES["log"]))]
    sections = {
        "What happened": _what_happened(end),
        "Last frame": _last_frame(end),
        "What it said of itself": _bounded(said, _SECTION_BYTES["facts"]),
        "Where it was": _bounded(end.stack, _SECTION_BYTES["stack"]) or [_why_no_stack(end)],
        "Last lines of its log": tail or ["none"],
        "Configuration, without what is secret": _bounded(configuration, _SECTION_BYTES["configuration"]),
    }
    return "\n".join(_shown(title, lines) for title, lines in sections.items())


def _shown(title: str, lines: Iterable[str]) -> str:
    return f"{title}\n" + "".join(f"  {line}\n" for line in lines)


def _what_happened(end: End) -> list[str]:
    record = end.record
    when = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    state = _STATES.get(record.state, f"it was {record.state}")
    how = f"ended with {end.death}" if end.death else "is still there after SIGKILL: the kernel holds it"
    lines = [
        f"{record.name} ({record.kind}), process {end.pid}, {how}",
        f"at {when}, {uptime_s:.1f} s after the computer was started",
        f"after {end.ran_ns / 1e9:.1f} s, {_restarts(record.restarts)} before; {state}",
        f"{record.error_code}: {_printable(record.error_text or '')}",
    ]
    if end.kernel_state:
        lines.append(f"kernel state when it was asked where it is: {end.kernel_state}")
    return lines


def _last_frame(end: End) -> list[str]:
    record = end.record
    if record.captured_ns is None:
        return ["none was reported"]
    return [
        f"number {record.frame_number}, {record.cols} x {record.rows} {record.encoding}, "
        f"captured {(end.now_ns - record.captured_ns) / 1e9:.3f} s before",
        f"{record.frames} frames of this process, {record.rate_hz:.1f} per second",
    ]


def _restarts(number: int) -> str:
    return "1 restart" if number == 1 else f"{number} restarts"


def _why_no_stack(end: End) -> str:
    if end.kernel_state:
        return (
            f"unknown: it did not run any more, not even to write its stack (kernel state {end.kernel_state}; T is "
            "stopped, D is held by a driver)"
        )
    if end.death and end.death.returncode in exit_codes.EXPLAINED:
        return "where it ended itself, for the reason above"
    below = "an exception's is in the log below" if end.log_tail else "and it has written nothing"
    return f"unknown: only a hang and a fatal signal leave a stack; {below}"


def _bounded(lines: Iterable[str], limit_bytes: int) -> list[str]:
    """Return the first lines, as far as there is room."""
    taken: list[str] = []
    for line in map(_printable, lines):
        limit_bytes -= len(line.encode()) + len("  \n")
        if limit_bytes < 0:
            return [*taken, _CUT]
        taken.append(line)
    return taken


def _printable(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)
