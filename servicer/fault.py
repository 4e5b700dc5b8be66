"""What the robot is to show its operator: faults with constant names, a severity and a text that says what to do.

A text is for somebody with a tablet: what is wrong, with which camera, what to do, and where the details are. Without
the path of a post-mortem file it has at most 200 characters. docs/faults.md shows one of each.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shm import ChildRecord
from supervision import exit_codes

Severity = Literal["info", "warn", "critical"]

CAPTURE_FAULT = "Image Capture Failure for {}"  # the SDK's names, which operators know
DECODE_FAULT = "Decoding Image {} Failure"
WARNING_FAULT = "Image Source Warning for {}"
RESTART_FAULT = "Image Service Restarted"
TIME_SYNC_FAULT = "Robot Time Sync Lost"
PEERS_FAULT = "Image Clients Refused"

_OF_CAMERAS = (CAPTURE_FAULT, DECODE_FAULT, WARNING_FAULT)
_OF_THE_SERVICE = (RESTART_FAULT, TIME_SYNC_FAULT, PEERS_FAULT)
_OURS = re.compile("|".join([*(name.format(".+") for name in _OF_CAMERAS), *_OF_THE_SERVICE]), re.DOTALL)

_MOST_CHARACTERS = 200  # of a text without its path
_LEAST_CHARACTERS = 120  # that are left of what a worker says, however long the rest is
_NAMED_PEERS = 3

_RELOAD = ", then send SIGHUP to the supervisor."
_ADVICE = {  # by error code; the sentences of the others say what to do
    "absent": "Check its plug, cable and power.",
    "open_failed": "Check its settings, and that no other program uses it.",
    "read_failed": "Check its cable and power.",
    "hung": "Check its cable and power, then its driver; if a frame may take longer, raise its capture_timeout_s.",
    "crashed": "Its driver or its camera class is at fault: tell its developer.",
    "frozen": "Unplug it and plug it in again; if its scene is as still and dark as that, set its frozen_after_s = 0.",
    "corrupt": "Check its cable; try another size or format.",
    "memory": "Its driver or its camera class keeps too much: tell its developer.",
    "parameters": "Correct them in the configuration" + _RELOAD,
    "bad_configuration": "Correct its configuration" + _RELOAD,
}
_AGAIN = "It is tried again by itself."
_FINAL_STATES = ("unkillable", "refused")  # that somebody has to end …
_FINAL_ERRORS = ("shm_full", "shm_foreign")  # … and errors
_FROM_OUTSIDE = ("signal SIGKILL", f"exit code {exit_codes.TERMINATED}", "signal SIGTERM")
_WHO_KILLS = "Killed from outside: by a person, or by the kernel if memory ran out (dmesg says so)."
_DETAILS = " details: "


@dataclass(frozen=True)
class Fault:
    """One fault under its name. The text is for the operator, who reads it on the tablet.

    `is_final`: it is not over by itself, and whoever reads about it must not wait for it.
    """

    text: str
    severity: Severity = "warn"
    is_final: bool = False

    def adds_details_to(self, other: "Fault") -> bool:
        """Whether it says the same, and names a post-mortem file as well."""
        return self.text.startswith(other.text + _DETAILS)


def is_ours(fault_name: str) -> bool:
    """Whether a fault of our service was raised by this program, and may therefore be cleared by it."""
    return _OURS.fullmatch(fault_name) is not None


def capture_failure(source_name: str, record: ChildRecord, details: str | None) -> Fault:
    """For a camera whose process ended, or cannot be ended; `details` is the path of a post-mortem file."""
    if record.state == "unkillable":
        what = "it hung, and its driver keeps it from being killed"
        advice = "Unplug the camera; if it stays so, restart this computer."
        return _fault(source_name, what, advice, details=details, is_final=True)
    advice = _WHO_KILLS if _was_killed(record) else _ADVICE.get(record.error_code or "crashed", "")
    is_final = record.state in _FINAL_STATES or record.error_code in _FINAL_ERRORS
    again = _AGAIN if advice and not is_final else ""
    return _fault(source_name, _how_it_ended(record), advice, again, details=details, is_final=is_final)


def silence(source_name: str, limit_s: float, problem: str | None) -> Fault:
    """For a camera whose process runs, and whose newest frame is too old; `problem` is why its ring is not read."""
    what = problem or f"no new frames, the last one is older than {limit_s:.1f} s"
    return _fault(source_name, what, "" if problem else "Check its cable and power.")


def source_warning(source_name: str, record: ChildRecord) -> Fault:
    """For a camera that delivers although something is wrong."""
    what = record.error_text or "something is wrong"
    if record.error_code == "frozen":
        what = "frames come, and the picture does not change any more"
    elif record.error_code == "parameters":
        what = f"its parameters are not in force: {what}"
    is_final = record.error_code in _FINAL_ERRORS
    return _fault(source_name, what, _ADVICE.get(record.error_code or "", ""), is_final=is_final)


def decode_failure(source_name: str, reason: str) -> Fault:
    """For a camera of whose frames no pictures can be made."""
    return _fault(source_name, reason, "Clients get no image of it.", _ADVICE["corrupt"])


def service_restarted(record: ChildRecord, details: str | None) -> Fault:
    """For the image service's own record, of whose last process nobody wanted the end."""
    whom = _WHO_KILLS if _was_killed(record) else "If it happens often, tell its developer."
    advice = f"Images were away for a moment. {whom}"
    return _fault("The image service was restarted", _how_it_ended(record), advice, details=details, severity="info")


def time_sync_lost(has_offset: bool) -> Fault:
    """While the robot answers, and does not say its time; `has_offset` is whether it ever did."""
    effect = "Images are served, with times that may drift" if has_offset else "No images are served until it does"
    return Fault(f"The robot answers, but its time sync does not. {effect}. If it stays so, restart the robot.")


def clients_refused(addresses: Sequence[str]) -> Fault:
    """For callers outside the allow-list, of whom the first few are named."""
    named = ", ".join(addresses[:_NAMED_PEERS]) + (" and others" if len(addresses) > _NAMED_PEERS else "")
    return Fault(
        f"Image requests from {named} were refused: name the address in service.allowed_peers if it may see images."
    )


def _was_killed(record: ChildRecord) -> bool:
    """Whether it died of a signal that neither it nor the supervisor has sent."""
    return record.error_code == "crashed" and record.last_exit in _FROM_OUTSIDE


def _how_it_ended(record: ChildRecord) -> str:
    if record.error_code == "hung":
        return "its process hung and was killed"
    if not record.error_text:
        return f"its process ended unexpectedly ({record.last_exit})"
    subject = {"crashed": "its process ", "parameters": "parameters "}.get(record.error_code or "", "")
    return f"{subject}{record.error_text}"


def _fault(
    subject: str,
    what: str,
    *advice: str,
    details: str | None = None,
    severity: Severity = "warn",
    is_final: bool = False,
) -> Fault:
    """Put the sentences together. What somebody else says is cut to what the others leave of the room."""
    others = " ".join(filter(None, advice))
    room = max(_LEAST_CHARACTERS, _MOST_CHARACTERS - len(f"{subject}: . {others}"))
    what = what.rstrip(".")
    said = what if len(what) <= room else what[: room - 1].rstrip() + "…"
    path = f"{_DETAILS}{details}" if details else ""
    return Fault(" ".join(filter(None, [f"{subject}: {said}.", others])) + path, severity, is_final)
