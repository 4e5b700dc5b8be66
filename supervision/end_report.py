"""What a file about a process that died says: for the person who wants to know why, hours later.

No pictures, and no secrets: of the configuration those are left out, and the child's own words are masked before.
"""

import datetime
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from shm.records import ChildRecord
from supervision.masking import redacted
from supervision.process import Death

_SECTION_BYTES = {"facts": 4 << 10, "configuration": 8 << 10, "stack": 24 << 10, "log": 22 << 10}
_CUT = "… (cut)"


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
    facts = json.dumps(end.record.facts, indent=1, ensure_ascii=False, default=str).splitlines()
    configuration = json.dumps(redacted(end.configuration), indent=1, ensure_ascii=False).splitlines()
    tail = [*reversed(_bounded(reversed(end.log_tail), _SECTION_BYTES["log"]))]
    sections = {
        "What happened": _what_happened(end),
        "Last frame": _last_frame(end),
        "What it said of itself": _bounded(facts, _SECTION_BYTES["facts"]),
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
    how = f"ended with {end.death}" if end.death else "is still there after SIGKILL: the kernel holds it"
    lines = [
        f"{record.name} ({record.kind}), process {end.pid}, {how}",
        f"at {when}, {uptime_s:.1f} s after the computer was started",
        f"after {end.ran_ns / 1e9:.1f} s, {record.restarts} restarts before; it was {record.state}",
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


def _why_no_stack(end: End) -> str:
    if end.kernel_state:
        return (
            f"unknown: it did not run any more, not even to write its stack (kernel state {end.kernel_state}; T is "
            "stopped, D is held by a driver)"
        )
    return "unknown: only a hang and a fatal signal leave a stack; an exception's is in the log below"


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
