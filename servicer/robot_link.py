"""Keeps the robot informed, in a thread of its own: authenticate → time sync → register → faults → image log.

Nothing else waits for it. While the robot is away, images are served with the last known robot time; when it is
back (perhaps rebooted, with everything about us forgotten), each step is simply done again. No step keeps the others
from being done: only a token that is not accepted, and a robot that cannot be reached, end the session.
"""

import functools
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping

from bosdyn.api.data_buffer_pb2 import DataBlob
from bosdyn.client import Error
from bosdyn.client.auth import InvalidLoginError, TemporarilyLockedOutError
from bosdyn.client.exceptions import RpcError, UnauthenticatedError

from servicer.fault import Fault, is_ours
from servicer.image_log import ImageLog, LoggedMessage
from servicer.robot_clock import RobotClock, wall_clock_stepped_since, wall_minus_monotonic_ns
from servicer.robot_connection import RobotConnection, explain
from supervision.settings import RobotSettings, ServiceSettings

_log = logging.getLogger(__name__)

REGISTERED = "registered"

_RECONCILE_EVERY_S = 2.0
_REGISTER_EVERY_S = 10.0
_TIME_SYNC_EVERY_S = 60.0
_TOKEN_EVERY_S = 3600.0
_LOG_EVERY_S = 2.0
_LOG_FOR_S = 1.0  # at a time: faults come first
_LOG_AGAIN_S = 10.0  # after a failure, for the same reason
_LOST_REPORT_EVERY_S = 600.0
_FIRST_RETRY_S = 0.5
_LONGEST_RETRY_S = 15.0  # registered again within 35 s of the robot's return, its own start-up included
_WRONG_PASSWORD_RETRY_S = 60.0  # a robot locks users out who guess; somebody else may be using the same name


class RobotLink:
    """Start it once; `state` is a sentence fragment for the status board.

    `desired_faults` is asked for the faults to show, by name; `shown` are the names of those that the robot was last
    known to show. `image_log` is sent to the robot, if there is one. `on_state` is called after each change of `state`,
    in the link's thread.
    """

    def __init__(
        self,
        robot: RobotSettings,
        service: ServiceSettings,
        clock: RobotClock,
        desired_faults: Callable[[], Mapping[str, Fault]],
        image_log: ImageLog | None = None,
        on_state: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.state = "connecting"
        self.shown: Collection[str] = ()
        self._robot = robot
        self._service = service
        self._clock = clock
        self._desired_faults = desired_faults
        self._image_log = image_log or ImageLog()
        self._on_state = on_state
        self._lost_told, self._lost_report = 0, _Duty(_LOST_REPORT_EVERY_S)
        self._wake = threading.Event()
        self._stopping = False
        self._failures = 0
        self._told: dict[str, str] = {}  # the faults that we have triggered, in our own words
        self._trouble: dict[str, Error] = {}  # what of the robot does not work now, and how
        self._thread = threading.Thread(target=self._run, name="robot-link", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def wake(self) -> None:
        """Reconcile now instead of at the next turn: the desired faults have changed."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Leave the robot's directory, if that can be done in time."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            try:
                with RobotConnection(self._robot, self._service) as connection:
                    self._tend(connection)
            except Exception as error:  # whatever the SDK raises: the link outlives it, and starts a new session
                self._lost(error)

    def _tend(self, connection: RobotConnection) -> None:
        """Do each duty when it is due, until told to stop or until the robot is lost."""
        token, sync = _Duty(_TOKEN_EVERY_S), _Duty(_TIME_SYNC_EVERY_S)
        registration, log = _Duty(_REGISTER_EVERY_S), _Duty(_LOG_EVERY_S)
        while not self._stopping:
            if token.is_due():
                connection.authenticate()
            if (sync.is_due() or self._clock.wall_clock_jumped()) and not self._attempt(
                "time sync", lambda: self._sync_time(connection)
            ):
                self._clock.note_failed_sync()
                sync.make_due()  # meanwhile the last offset is good: to be found in the directory matters more
            if registration.is_due():
                self._attempt("registration", connection.register)
            if self._attempt("faults", lambda: self._reconcile(connection)):
                self._failures = 0
            else:
                registration.make_due()  # find out whether it is only the fault service that is away
            self._say_whether_registered()
            if log.is_due():
                if not self._send_log(connection):
                    log.make_due(_LOG_AGAIN_S)
                self._tell_lost()
            self._wake.wait(_RECONCILE_EVERY_S)
            self._wake.clear()
        connection.unregister()
        _log.info("left the robot's directory")

    def _say_whether_registered(self) -> None:
        """Raise why not, if neither that nor the faults got through to the robot: then a new session may help."""
        registration, faults = self._trouble.get("registration"), self._trouble.get("faults")
        if registration is None:
            self._found()
        elif isinstance(registration, RpcError) and isinstance(faults, RpcError):
            raise registration
        else:
            self._become(f"not registered: {explain(registration)}")

    def _attempt(self, what: str, duty: Callable[[], None], *, may_refuse: bool = False) -> bool:
        """Do what the session can live without; False if the robot did not do its part.

        It `may_refuse` our token for this alone: then a new session would not help.
        """
        try:
            duty()
        except Error as error:
            if isinstance(error, UnauthenticatedError) and not may_refuse:
                raise  # only a new session can help
            known, self._trouble[what] = self._trouble.get(what), error
            if known is None or explain(known) != explain(error):
                _log.warning("robot %s: %s: %s", self._robot.hostname, what, explain(error))
            return False
        if self._trouble.pop(what, None):
            _log.info("robot %s: %s: well again", self._robot.hostname, what)
        return True

    def _send_log(self, connection: RobotConnection) -> bool:
        """Send what was noted, as far as there is time; False if the robot did not take some of it.

        That is lost then, since it may have arrived all the same.
        """
        until_s = time.monotonic() + _LOG_FOR_S
        for batch in self._image_log.batches():
            blobs = [self._blob(message) for message in batch]
            if not self._attempt("image log", functools.partial(connection.record, blobs), may_refuse=True):
                self._image_log.lose(batch)
                return False
            if time.monotonic() > until_s:
                break
        return True

    def _tell_lost(self) -> None:
        lost = self._image_log.lost
        if lost > self._lost_told and self._lost_report.is_due():
            _log.warning("robot %s: image log: %d messages are lost so far", self._robot.hostname, lost)
            self._lost_told = lost

    def _blob(self, message: LoggedMessage) -> DataBlob:
        channel = f"{self._service.name}/{message.type_id}"
        blob = DataBlob(channel=channel, type_id=message.type_id, data=message.data)
        if self._clock.offset_ns is not None:  # else the robot puts its own time of arrival
            blob.timestamp.FromNanoseconds(message.noted_ns + self._clock.offset_ns)
        return blob

    def _sync_time(self, connection: RobotConnection) -> None:
        synced_wall_ns = wall_minus_monotonic_ns()
        skew_ns = connection.clock_skew_ns()
        if not wall_clock_stepped_since(synced_wall_ns):  # else the last offset is still right, and the next turn syncs
            self._clock.set_skew(skew_ns, synced_wall_ns)

    def _reconcile(self, connection: RobotConnection) -> None:
        """Make the robot show what is really broken.

        What we triggered counts as shown in our words: were they compared with a robot that shortens texts, the
        fault would be cleared and raised again for ever.
        """
        active = connection.active_faults()
        shown = {name: self._told.get(name, text) for name, text in active.items() if is_ours(name)}
        desired = self._desired_faults()
        for name, text in shown.items():
            if name not in desired or desired[name].text != text:
                connection.clear_fault(name)
        for name, fault in desired.items():
            if shown.get(name) != fault.text:
                connection.trigger_fault(name, fault)
                self._told[name] = fault.text
        self.shown = tuple(desired)

    def _become(self, state: str) -> bool:
        """Change the state; whether it was another one."""
        if state == self.state:
            return False
        self.state = state
        self._on_state(state)
        return True

    def _found(self) -> None:
        if self._become(REGISTERED):
            _log.info(
                "registered with the robot at %s as %s (%s:%d)",
                self._robot.hostname,
                self._service.name,
                self._service.host_ip,
                self._service.port,
            )

    def _lost(self, error: Exception) -> None:
        state = f"not connected: {explain(error)}"
        if self._become(state):
            _log.warning("robot %s %s", self._robot.hostname, state)
        self._clock.forget_failed_syncs()
        self._failures += 1
        delay_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self._failures - 1, 16))
        if isinstance(error, InvalidLoginError | TemporarilyLockedOutError):
            delay_s = _WRONG_PASSWORD_RETRY_S
        self._pause(delay_s * random.uniform(0.8, 1.0))  # noqa: S311  jitter, not secrecy

    def _pause(self, delay_s: float) -> None:
        until_s = time.monotonic() + delay_s
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            self._wake.wait(left_s)
            self._wake.clear()


class _Duty:
    """Something to be done at once and then every so often."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._due_s = 0.0

    def is_due(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + self._every_s
        return True

    def make_due(self, in_s: float = 0.0) -> None:
        self._due_s = time.monotonic() + in_s
