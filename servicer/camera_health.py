"""Whether one camera delivers, whether it says that something is wrong, and whether pictures can be made of its frames.

Each is a question over time: what is raised at once, what only when it lasts, and what clears it.
"""

import math
import re

from servicer import fault
from servicer.fault import Fault
from servicer.served_camera import ServedCamera, Undecodable
from shm import ChildRecord
from supervision import exit_codes

PROOF_S = 2.0
_PROOF_AFTER_RELAPSE_S = 3.5  # still cleared within 5 s
_RELAPSE_S = 60.0  # so long the supervisor remembers failures, too
_SILENCE_S = 4.0  # by then the worker or the supervisor has said what it is, unless a frame may take longer
_BEYOND_LIMIT_S = 1.0
_SILENCE_PERIODS = 6  # beyond what one client's captures may take of the camera, with the frame after them
_LEFT_OVER_S = 3.0  # the supervisor forgets an error after two seconds of frames
_FAILED_FRAMES = 3
_FAILING_S = 2.0

_DIGITS = re.compile(r"[0-9]+")
_KERNEL_STATE = re.compile(r" \(kernel state \w+\)")
_BROKEN = ("unkillable", "refused")
_BARE_SILENCE = "silent"
_COMPLAINTS = ("frozen", "parameters", "shm_foreign")  # what a worker says while it works on; all else ends it
_ENDED_AS_PLANNED = ("finished", "stopping")
_PLANNED_EXITS = (  # never started yet; asked to, for new settings
    None,
    f"exit code {exit_codes.TERMINATED}",
    exit_codes.HAD_TO_BE_KILLED,
)
_NEWER_DETAILS_S = 1200.0  # the file that a standing fault names is removed after half an hour of deaths


class _Proof:
    """That something is well: two seconds without trouble, and longer for what fell ill again within a minute.

    They end with the newest sign of health, a frame's capture, not with the moment in which somebody looks at it: the
    age that a frame may reach proves nothing. So a camera that fails every three seconds has one fault that stays,
    instead of one that comes and goes.
    """

    def __init__(self) -> None:
        self._needed_s = PROOF_S
        self._well_since_s: float | None = None
        self._is_demanded = False
        self._cleared_s = -math.inf

    def demand(self, now_s: float) -> None:
        """A fault is raised: decide what will clear it."""
        self._is_demanded = True
        self._needed_s = PROOF_S if now_s - self._cleared_s > _RELAPSE_S else _PROOF_AFTER_RELAPSE_S

    def spoil(self) -> None:
        """There is trouble: the time begins anew."""
        self._well_since_s = None

    def is_given(self, sign_s: float) -> bool:
        """There is no trouble, and the newest sign of health is of this moment: whether there were enough of them."""
        if self._well_since_s is None:
            self._well_since_s = sign_s
        if sign_s - self._well_since_s < self._needed_s:
            return False
        if self._is_demanded:
            self._is_demanded, self._cleared_s = False, sign_s
        return True


class CameraHealth:
    """Whether one camera delivers, over time."""

    def __init__(self, camera: ServedCamera) -> None:
        self.fault: Fault | None = None
        self._camera = camera
        self._kind = ""  # of the trouble that `fault` tells about
        self._details: str | None = None
        self._details_since_s = 0.0
        self._restarts: int | None = None
        self._proof = _Proof()

    def update(self, record: ChildRecord | None, now_s: float) -> None:
        """Look at the camera's record and its newest frame; `fault` is what to show, or None."""
        facts = self._camera.newest()
        age_s = facts.age_s() if facts else None
        trouble = self._trouble(record, age_s)
        if record is not None and record.state == "finished":
            self.fault = None
        elif trouble is not None:
            self._tell(*trouble, now_s)
        elif record is not None and record.state == "killing":
            self._proof.spoil()  # its end is a moment away, and will be told with its post-mortem
        elif self._camera.idles:
            self._is_well(now_s)
        elif age_s is None or age_s > self._camera.max_age_s:
            self._proof.spoil()
        else:
            self._is_well(now_s - age_s)

    def _is_well(self, sign_s: float) -> None:
        if self.fault is not None and self._proof.is_given(sign_s):
            self.fault = None

    def _tell(self, kind: str, told: Fault, details: str | None, now_s: float) -> None:
        """Show a trouble. New figures are no news, and neither is that a camera is silent after what it died of.

        Nor is the file about another end of this kind, until the one that was named is about to be removed.
        """
        self._proof.spoil()
        if self.fault is None:
            self._proof.demand(now_s)
        names_newer = details is not None and details != self._details
        is_late = self._details is None or now_s - self._details_since_s >= _NEWER_DETAILS_S
        if self.fault is None or kind not in (self._kind, _BARE_SILENCE) or (names_newer and is_late):
            self.fault, self._kind, self._details, self._details_since_s = told, kind, details, now_s

    def _trouble(self, record: ChildRecord | None, age_s: float | None) -> tuple[str, Fault, str | None] | None:
        """What is wrong with the camera: of which kind, for the operator, and which post-mortem file it names."""
        silent = not self._camera.idles and (age_s is None or age_s > self._silence_s())
        if record is None:  # there is no board: the supervisor writes a new one as soon as it can
            return self._silence() if silent else None
        restarted = self._restarts is not None and record.restarts > self._restarts
        self._restarts = record.restarts
        if record.state in _ENDED_AS_PLANNED:
            return None
        ended_badly = was_death(record)
        if (
            record.state in _BROKEN
            or (restarted and ended_badly)
            or (record.state in ("waiting", "starting") and (record.error_text or ended_badly))
        ):
            details = record.post_mortem if ended_badly or record.state == "unkillable" else None
            told = fault.capture_failure(self._camera.source_name, record, details)
            return f"{record.state in _BROKEN} {_kind(record)}", told, details
        return self._silence() if record.state == "running" and silent else None

    def _silence_s(self) -> float:
        """So old may the newest frame be before that alone is a fault: 4 s, or what a slow camera needs."""
        return max(_SILENCE_S, self._camera.max_age_s + _BEYOND_LIMIT_S, _SILENCE_PERIODS * self._camera.period_s)

    def _silence(self) -> tuple[str, Fault, None]:
        problem = self._camera.problem
        told = fault.silence(self._camera.source_name, self._camera.max_age_s, problem)
        return "unreadable" if problem else _BARE_SILENCE, told, None


class SourceHealth:
    """Whether a camera that delivers says that something is wrong all the same. `fault` is what to show, or None.

    Only what it says while it works on: the last words of a process are told with its end.
    """

    def __init__(self, source_name: str) -> None:
        self.fault: Fault | None = None
        self._source_name = source_name
        self._kind = ""
        self._left_over: str | None = None  # of the process before: it stands until this one has worked for a while
        self._left_over_until_s = 0.0

    def update(self, record: ChildRecord | None, now_s: float) -> None:
        """Look at the camera's record. The supervisor waits for two seconds before it takes an error back."""
        if record is None:
            return
        if record.state != "running":
            self._left_over, self._left_over_until_s = record.error_code, now_s + _LEFT_OVER_S
        elif record.error_code != self._left_over or now_s > self._left_over_until_s:
            self._left_over = None
        if record.state != "running" or record.error_code not in _COMPLAINTS or record.error_code == self._left_over:
            self.fault = None
        elif self.fault is None or _kind(record) != self._kind:
            self.fault, self._kind = fault.source_warning(self._source_name, record), _kind(record)


class DecodingHealth:
    """Whether pictures can be made of one camera's frames, over time. `fault` is what to show, or None.

    One broken frame among good ones is no fault: it takes three of them, or none that is whole for two seconds. Nor is
    the last one of a finished video: no other one will show that it is over.
    """

    def __init__(self, camera: ServedCamera) -> None:
        self.fault: Fault | None = None
        self._camera = camera
        self._failure: Undecodable | None = None
        self._failed_frames = 0
        self._failing_since_s: float | None = None
        self._proof = _Proof()

    def update(self, record: ChildRecord | None, now_s: float) -> None:
        """Look whether a picture could not be made; and from then on, whether one of the newest frame can."""
        failure = self._camera.undecodable
        if failure is None:
            return
        if record is not None and record.state == "finished":
            self._forget()
            return
        if failure is not self._failure or not self._camera.decodes_again():
            self._note(self._camera.undecodable or failure, now_s)
            return
        self._failing_since_s = None
        if self._proof.is_given(now_s):
            self._forget()

    def _forget(self) -> None:
        self.fault = self._failure = self._failing_since_s = self._camera.undecodable = None
        self._failed_frames = 0

    def _note(self, failure: Undecodable, now_s: float) -> None:
        if not failure.is_of_same_frame(self._failure):
            self._failed_frames += 1
        self._failure = failure
        self._proof.spoil()
        if not self._delivers():
            self._failing_since_s = None  # the last frame before a silence says nothing about the next one
        elif self._failing_since_s is None:
            self._failing_since_s = now_s
        lasts = self._failing_since_s is not None and now_s - self._failing_since_s >= _FAILING_S
        if self.fault is None and (lasts or self._failed_frames >= _FAILED_FRAMES):
            self._proof.demand(now_s)
            self.fault = fault.decode_failure(self._camera.source_name, failure.text)

    def _delivers(self) -> bool:
        facts = self._camera.newest()
        return facts is not None and facts.age_s() <= self._camera.max_age_s


def was_death(record: ChildRecord) -> bool:
    """Whether nobody of ours had asked its last process to end; then the post-mortem file, if any, is about that."""
    return record.last_exit not in _PLANNED_EXITS or record.error_code == "crashed"


def explain(record: ChildRecord) -> str:
    """One sentence for the operator and for clients, about a camera whose process is not well.

    What only a developer understands is left to the log and to `status`.
    """
    if record.error_text:
        return _KERNEL_STATE.sub("", record.error_text)
    if record.state in _ENDED_AS_PLANNED:
        return f"{record.name} has ended."
    if record.last_exit in _PLANNED_EXITS:
        return f"{record.name} is starting."
    return f"{record.name} ended unexpectedly ({record.last_exit}) and is started again."


def _kind(record: ChildRecord) -> str:
    """What is told of a record, without its figures."""
    return f"{record.error_code}: {_DIGITS.sub('', explain(record))}"
