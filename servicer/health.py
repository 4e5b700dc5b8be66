"""Which faults the robot should show: decided from the status board and from how old the frames are.

Two faults per camera, with constant names: it delivers nothing, or no picture can be made of what it delivers. An
unplanned end of a worker raises the first at once, silence after the freshness limit and a second more (not that of a
camera which captures only when it is asked); two seconds of health clear it. What clients ask for is not seen in here:
while a camera captures for one of them, the others may lack a few frames, and that is no silence.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping

from servicer.peers import AllowedPeers
from servicer.served_camera import ServedCamera, Undecodable
from shm import ChildRecord, Status
from supervision import exit_codes

CAPTURE_FAULT = "Image Capture Failure for {}"  # the SDK's names, which operators know
DECODE_FAULT = "Decoding Image {} Failure"
PEERS_FAULT = "Image Clients Refused"

_SILENCE_S = 1.0
_SILENCE_PERIODS = 6  # beyond what one client's captures may take of the camera, with the frame after them
_PROOF_OF_HEALTH_S = 2.0

_DIGITS = re.compile(r"[0-9]+")
_BROKEN = ("killing", "unkillable", "refused")
_ENDED_AS_PLANNED = ("finished", "stopping")
_PLANNED_EXITS = (None, f"exit code {exit_codes.TERMINATED}")  # never started yet; asked to, for new settings


def is_ours(fault_name: str) -> bool:
    """Whether a fault of our service was raised by this program, and may therefore be cleared by it."""
    patterns = (CAPTURE_FAULT, DECODE_FAULT)
    of_cameras = [fault_name.startswith(start) and fault_name.endswith(end) for start, end in map(_around, patterns)]
    return fault_name == PEERS_FAULT or any(of_cameras)


def _around(pattern: str) -> list[str]:
    return pattern.split("{}")


class CameraHealth:
    """Whether one camera delivers, over time."""

    def __init__(self, camera: ServedCamera) -> None:
        self.fault: str | None = None
        self._camera = camera
        self._kind: str | None = None  # of the trouble that `fault` tells about
        self._restarts: int | None = None
        self._healthy_since_s: float | None = None

    def update(self, record: ChildRecord | None, now_s: float) -> None:
        """Look at the camera's record and its newest frame; `fault` is the text to show, or None."""
        facts = self._camera.newest()
        age_s = facts.age_s() if facts else None
        trouble = self._trouble(record, age_s)
        if record is not None and record.state == "finished":
            self.fault = None
        elif trouble is not None:
            self._tell(*trouble)
            self._healthy_since_s = None
        elif not self._camera.idles and (age_s is None or age_s > self._camera.max_age_s):
            self._healthy_since_s = None
        elif self._healthy_since_s is None:
            self._healthy_since_s = now_s
        elif now_s - self._healthy_since_s >= _PROOF_OF_HEALTH_S:
            self.fault = None

    def _tell(self, kind: str, text: str) -> None:
        """Show a trouble. While it is of the same kind the words stay: new figures are not a new fault."""
        if self.fault is None or kind != self._kind:
            self.fault, self._kind = text, kind

    def _trouble(self, record: ChildRecord | None, age_s: float | None) -> tuple[str, str] | None:
        """What is wrong with the camera: of which kind, and in a sentence."""
        limit_s = max(self._camera.max_age_s + _SILENCE_S, _SILENCE_PERIODS * self._camera.period_s)
        silent = not self._camera.idles and (age_s is None or age_s > limit_s)
        if record is None:  # there is no board: the supervisor writes a new one as soon as it can
            return self._silence() if silent else None
        restarted = self._restarts is not None and record.restarts > self._restarts
        self._restarts = record.restarts
        if record.state in _ENDED_AS_PLANNED:
            return None
        ended_badly = record.last_exit not in _PLANNED_EXITS
        if (
            record.state in _BROKEN
            or (restarted and ended_badly)
            or (record.state in ("waiting", "starting") and (record.error_text or ended_badly))
        ):
            return f"{record.error_code}: {_DIGITS.sub('', explain(record))}", explain(record)
        return self._silence() if record.state == "running" and silent else None

    def _silence(self) -> tuple[str, str]:
        limit_s = self._camera.max_age_s
        return "silent", f"{self._camera.source_name} delivers no new frames; its last is older than {limit_s:.1f} s."


class DecodingHealth:
    """Whether pictures can be made of one camera's frames, over time. `fault` is the text to show, or None."""

    def __init__(self, camera: ServedCamera) -> None:
        self.fault: str | None = None
        self._camera = camera
        self._failure: Undecodable | None = None
        self._healthy_since_s: float | None = None

    def update(self, now_s: float) -> None:
        """Look whether a picture could not be made; and from then on, whether one of the newest frame can."""
        failure = self._camera.undecodable
        if failure is None:
            return
        if failure is not self._failure:
            self._failure, self._healthy_since_s = failure, None
            self.fault = self.fault or f"{self._camera.source_name}: {failure.text}."
        elif not self._camera.decodes_again():
            self._failure, self._healthy_since_s = self._camera.undecodable, None
        elif self._healthy_since_s is None:
            self._healthy_since_s = now_s
        elif now_s - self._healthy_since_s >= _PROOF_OF_HEALTH_S:
            self.fault = self._failure = self._camera.undecodable = None


class Health:
    """The desired faults of the whole service; read by the robot link's thread, written by the main loop."""

    def __init__(self, cameras: Iterable[ServedCamera], peers: AllowedPeers, on_change: Callable[[], None]) -> None:
        self.desired_faults: Mapping[str, str] = {}
        self._cameras = [(camera, CameraHealth(camera), DecodingHealth(camera)) for camera in cameras]
        self._peers = peers
        self._on_change = on_change
        self._records: Mapping[str, ChildRecord] = {}

    def update(self, status: Status | None) -> None:
        """Decide anew from a snapshot of the status board."""
        if status is not None:
            self._records = {child.name: child for child in status.children if child.kind == "camera"}
        faults = {}
        for camera, health, decoding in self._cameras:
            health.update(self._records.get(camera.name), time.monotonic())
            decoding.update(time.monotonic())
            if health.fault is not None:
                faults[CAPTURE_FAULT.format(camera.source_name)] = health.fault
            if decoding.fault is not None:
                faults[DECODE_FAULT.format(camera.source_name)] = decoding.fault
        if refused := self._peers.recently_refused():
            faults[PEERS_FAULT] = (
                f"Image requests from {', '.join(refused)} were refused: "
                "name the address in service.allowed_peers if it may see images."
            )
        if faults != self.desired_faults:
            self.desired_faults = faults
            self._on_change()

    def why_silent(self, name: str) -> str | None:
        """Say why a camera delivers nothing, as far as its process is the reason."""
        record = self._records.get(name)
        if record is None or (record.state == "running" and record.error_text is None):
            return None
        return explain(record)


def explain(record: ChildRecord) -> str:
    """One sentence for the operator about a camera whose process is not well."""
    if record.error_text:
        return record.error_text
    if record.state in _ENDED_AS_PLANNED:
        return f"{record.name} has ended."
    if record.last_exit in _PLANNED_EXITS:
        return f"{record.name} is starting."
    return f"{record.name} ended unexpectedly ({record.last_exit}) and is started again."
