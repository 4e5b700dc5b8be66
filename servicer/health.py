"""Which faults the robot should show: decided from the status board and from how old the frames are.

Three faults per camera, with constant names: it delivers nothing; it delivers, and says that something is wrong all
the same; no picture can be made of what it delivers. Three of the service: its last process ended unplanned, the
robot does not tell its time, clients were refused.

An unplanned end of a worker raises the first at once, silence alone after four seconds or what a slow camera needs
(not that of a camera which captures only when it is asked). Two seconds of health clear it, 3.5 s if there was a
fault a minute before. While a fault stands it keeps its words for 15 s at least, for each change is an entry of the
robot's fault history; only the file with the details, and what is not over by itself, is told at once. What clients
ask for is not seen in here: while a camera captures for one of them, the others may lack a few frames, and that is no
silence.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from servicer import fault
from servicer.camera_health import PROOF_S, CameraHealth, DecodingHealth, SourceHealth, explain, was_death
from servicer.fault import (
    CAPTURE_FAULT,
    DECODE_FAULT,
    PEERS_FAULT,
    RESTART_FAULT,
    TIME_SYNC_FAULT,
    WARNING_FAULT,
    Fault,
)
from servicer.fault_log import FaultLog
from servicer.peers import AllowedPeers
from servicer.robot_clock import RobotClock
from servicer.served_camera import ServedCamera
from shm import ChildRecord, Status

_WORDS_EVERY_S = 15.0


class ServiceHealth:
    """Whether this process stands for one whose end nobody wanted. `fault` is what to show, or None.

    It is shown for two seconds: then it is among the robot's past faults, for whoever looks why images were away.
    """

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._record: ChildRecord | None = None
        self._shown_since_s: float | None = None

    def update(self, records: Iterable[ChildRecord], is_shown: bool, now_s: float) -> None:
        """Look at our own record, once it is about this process, and at whether the robot shows the fault."""
        if self._record is None:
            self._record = next((one for one in records if one.kind == "servicer" and one.pid == os.getpid()), None)
            if self._record is not None and _was_unplanned(self._record):
                details = self._record.post_mortem if was_death(self._record) else None
                self.fault = fault.service_restarted(self._record, details)
        if is_shown and self._shown_since_s is None:
            self._shown_since_s = now_s
        if self._shown_since_s is not None and now_s - self._shown_since_s >= PROOF_S:
            self.fault = None


class Health:
    """The desired faults of the whole service; read by the robot link's thread, written by the main loop."""

    def __init__(
        self,
        cameras: Iterable[ServedCamera],
        clock: RobotClock,
        peers: AllowedPeers,
        on_change: Callable[[], None],
    ) -> None:
        self.desired_faults: Mapping[str, Fault] = {}
        self._log = FaultLog()
        self._worded_s: dict[str, float] = {}  # fault name → since when it has these words
        self._cameras = [
            (camera, CameraHealth(camera), SourceHealth(camera.source_name), DecodingHealth(camera))
            for camera in cameras
        ]
        self._service = ServiceHealth()
        self._clock = clock
        self._peers = peers
        self._on_change = on_change
        self._records: Mapping[str, ChildRecord] = {}

    def update(self, status: Status | None, shown: Collection[str] = ()) -> None:
        """Decide anew from a snapshot of the status board. `shown` are the faults that the robot is known to show."""
        now_s = time.monotonic()
        if status is not None:
            self._records = {child.name: child for child in status.children if child.kind == "camera"}
        self._service.update(status.children if status else (), RESTART_FAULT in shown, now_s)
        wanted: dict[str, Fault | None] = {RESTART_FAULT: self._service.fault}
        for camera, capture, source, decoding in self._cameras:
            record = self._records.get(camera.name)
            try:
                for health in (capture, source, decoding):
                    health.update(record, now_s)
            except Exception as error:  # what it shows stays, and the other cameras are looked at
                camera.unexpected.note(error)
            wanted[CAPTURE_FAULT.format(camera.source_name)] = capture.fault
            wanted[WARNING_FAULT.format(camera.source_name)] = source.fault
            wanted[DECODE_FAULT.format(camera.source_name)] = decoding.fault
        if self._clock.sync_is_lost:
            wanted[TIME_SYNC_FAULT] = fault.time_sync_lost(self._clock.offset_ns is not None)
        if refused := self._peers.recently_refused():
            wanted[PEERS_FAULT] = fault.clients_refused(refused)
        self._show(
            {name: self._reworded(name, told, now_s) for name, told in wanted.items() if told is not None}, now_s
        )

    def _reworded(self, name: str, told: Fault, now_s: float) -> Fault:
        """The fault in its new words, if it has had the old ones for long enough."""
        standing = self.desired_faults.get(name)
        if standing is not None and (told == standing or self._is_too_soon(name, told, standing, now_s)):
            return standing
        self._worded_s[name] = now_s
        return told

    def _is_too_soon(self, name: str, told: Fault, standing: Fault, now_s: float) -> bool:
        cannot_wait = (told.is_final and not standing.is_final) or told.adds_details_to(standing)
        return not cannot_wait and now_s - self._worded_s[name] < _WORDS_EVERY_S

    def _show(self, faults: Mapping[str, Fault], now_s: float) -> None:
        if faults != self.desired_faults:
            self.desired_faults = faults
            self._log.note(faults, now_s)
            self._on_change()

    def why_silent(self, name: str) -> str | None:
        """Say why a camera delivers nothing, as far as its process is the reason."""
        record = self._records.get(name)
        if record is None or (record.state == "running" and record.error_text is None):
            return None
        return explain(record)


def _was_unplanned(record: ChildRecord) -> bool:
    """Whether the process before this one ended by itself, or was killed because it hung or grew."""
    return record.restarts > 0 and (was_death(record) or record.error_text is not None)
