"""How each kind of fault is done and undone.

A fault is a generator: it does its work, and yields the seconds to wait before its next step; when it is exhausted,
nothing of it is left but its consequences. `Unable` means that it cannot be done now (its victim is dead already).
"""

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos.crowd import Crowd
from chaos.facts import ROBOT, SERVICER, SUPERVISOR, Fact, Injected, LeftBehind, Over, SupervisorEnded
from chaos.pipeline import Pipeline
from chaos.schedule import BY_NAME, CAMERAS, Injection
from chaos.segments import damage
from shm import layout
from shm.names import SHM_DIR, path_of, segment_name
from simulated_robot.misbehaviour import Misbehaviour, Refusal
from simulated_robot.robot import DEFAULT_CLOCK_SKEW_S, REBOOT_CLOCK_STEP_S, SimulatedRobot

Steps = Iterator[float]

_CONTROLLED = {  # done by the synthetic camera itself: what its control file says
    "crash": "crash",
    "segfault": "segfault",
    "hang": "hang",
    "unplug": "unplug",
    "garbage": "garbage",
    "wrong_size": "wrong_size",
    "freeze": "freeze",
    "corrupt_jpeg": "corrupt",
}
_ONCE = ("crash", "segfault", "hang")
_MISBEHAVIOURS = {
    "robot_silent": Misbehaviour(silent=True),
    "robot_401": Misbehaviour(refusal=Refusal.UNAUTHENTICATED),
    "robot_busy": Misbehaviour(refusal=Refusal.TOO_MANY_REQUESTS),
    "fault_service_down": Misbehaviour(services_down=frozenset({"fault"})),
    "fault_service_silent": Misbehaviour(services_silent=frozenset({"fault"})),
}
_BEFORE_IT = (  # what is done to whom, a moment before the supervisor is killed
    None,
    ("front", signal.SIGKILL),
    (SERVICER, signal.SIGKILL),
    ("rear", signal.SIGSTOP),
    ("top", signal.SIGTERM),
)
_POLL_S = 0.05
_LONGEST_LOOP_S = 25.0
_GONE_WITHIN_S = 3.0
_LEAST_STEP_S = 2.0


class Unable(Exception):  # noqa: N818 - no error: the plan goes on
    """This fault cannot be done now, and nothing of it was done; the message says why."""


class Faults:
    """Does what the plan says to the pipeline, the robot and with the clients. `robot_answers` is False meanwhile."""

    def __init__(self, pipeline: Pipeline, robot: SimulatedRobot, crowd: Crowd, tell: Callable[[Fact], None]) -> None:
        self.robot_answers = True
        self._pipeline = pipeline
        self._robot = robot
        self._crowd = crowd
        self._tell = tell
        self._skew_s = DEFAULT_CLOCK_SKEW_S

    def steps(self, injection: Injection) -> Steps:
        """The steps of a planned fault, with the observer told of beginning and end. Raises Unable before the first."""
        kind = BY_NAME[injection.kind]
        concerns = {
            "camera": (injection.target,),
            "servicer": (SERVICER,),
            "robot": (ROBOT,),
            "supervisor": (SUPERVISOR, *CAMERAS, SERVICER),
        }.get(kind.about, ())
        if kind.about in ("camera", "servicer") and self._pipeline.running_pid(injection.target) is None:
            raise Unable(f"{injection.target} is not running")
        needs_supervisor = kind.about == "supervisor" or kind.name.startswith("reload_")
        if needs_supervisor and self._pipeline.running_pid(SERVICER) is None:
            raise Unable("the pipeline is still starting")
        figure = REBOOT_CLOCK_STEP_S if injection.kind == "robot_reboot" else self._step_s(injection)
        t = time.monotonic()
        action = self._action(injection)
        self._tell(Injected(t, injection.index, kind.name, injection.target, concerns, kind.ends_process, figure))
        yield from action
        self._tell(Over(time.monotonic(), injection.index))

    def _action(self, injection: Injection) -> Steps:
        if injection.kind in _CONTROLLED:
            return self._control(injection)
        if injection.kind in _MISBEHAVIOURS:
            return self._misbehave(_MISBEHAVIOURS[injection.kind], injection.hold_s)
        if BY_NAME[injection.kind].about == "nobody" and not injection.kind.startswith("reload"):
            return self._crowd.annoy(injection.kind, injection.figure, injection.hold_s)
        if injection.kind.startswith("segment_"):
            return self._damage(injection)
        action: Callable[[Injection], Steps] = getattr(self, f"_{injection.kind}")
        return action(injection)

    # Cameras.

    def _control(self, injection: Injection) -> Steps:
        self._order(injection.target, _CONTROLLED[injection.kind])
        if injection.kind not in _ONCE:
            yield injection.hold_s
            self._order(injection.target, "")

    def _slow(self, injection: Injection) -> Steps:
        self._order(injection.target, f"slow {injection.figure:.2f}")
        yield injection.hold_s
        self._order(injection.target, "")

    def _exit_loop(self, injection: Injection) -> Steps:
        until = time.monotonic() + _LONGEST_LOOP_S
        for _ in range(int(injection.figure)):
            while (pid := self._pipeline.running_pid(injection.target)) is None and time.monotonic() < until:
                yield _POLL_S
            self._order(injection.target, "exit 1")
            while self._pipeline.running_pid(injection.target) == pid and time.monotonic() < until:
                yield _POLL_S

    def _kill(self, injection: Injection) -> Steps:
        self._signal(injection.target, signal.SIGKILL)
        yield 0.0

    def _stop(self, injection: Injection) -> Steps:
        self._signal(injection.target, signal.SIGSTOP)
        yield 0.0

    def _damage(self, injection: Injection) -> Steps:
        """Do it at once: what cannot be done must not be told as done."""
        try:
            return damage(path_of(segment_name(self._pipeline.instance, injection.target)), injection)
        except FileNotFoundError:
            raise Unable(f"{injection.target} has no ring") from None
        except layout.LayoutError as error:
            raise Unable(f"the ring of {injection.target} is damaged already ({error})") from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Unable("there is no room for it in /dev/shm") from None

    def _shm_full(self, injection: Injection) -> Steps:
        filler = SHM_DIR / "chaos.filler"
        try:
            _fill(filler)
            self._signal(injection.target, signal.SIGKILL)
            yield injection.hold_s
        finally:
            filler.unlink(missing_ok=True)

    # The service and the supervisor.

    def _servicer_kill(self, injection: Injection) -> Steps:
        self._signal(injection.target, signal.SIGKILL)
        yield 0.0

    def _servicer_stop(self, injection: Injection) -> Steps:
        self._signal(injection.target, signal.SIGSTOP)
        yield 0.0

    def _supervisor_kill(self, injection: Injection) -> Steps:
        """Kill it, perhaps after one or two of its children; all of them have to go, and the next one has to sweep."""
        first = _BEFORE_IT[min(int(injection.figure), len(_BEFORE_IT) - 1)]
        if first is not None and (pid := self._pipeline.running_pid(first[0])):
            os.kill(pid, first[1])
        process = self._pipeline.process
        if process is None:
            return
        process.kill()
        process.wait()
        killed = time.monotonic()
        self._tell(SupervisorEnded(killed, injection.index, "signal SIGKILL", expected=True))
        while (left := self._pipeline.processes()) and time.monotonic() < killed + _GONE_WITHIN_S:
            yield _POLL_S
        self._tell(LeftBehind(time.monotonic(), "processes", tuple(str(pid) for pid in left)))
        old = self._pipeline.inodes()
        self._pipeline.start()
        while self._pipeline.child(SERVICER) is None:
            yield _POLL_S
        stale = [name for inode, name in self._pipeline.inodes().items() if old.get(inode) == name]
        self._tell(LeftBehind(time.monotonic(), "segments", tuple(stale)))

    def _reload_same(self, _injection: Injection) -> Steps:
        self._hang_up()
        yield 0.0

    def _reload_nonsense(self, _injection: Injection) -> Steps:
        self._pipeline.configuration_file.write_text('[cameras.front]\ndriver = "nonsense"\n\x00')
        self._hang_up()
        yield 1.0
        self._pipeline.write_configuration()

    # The robot.

    def _misbehave(self, misbehaviour: Misbehaviour, hold_s: float) -> Steps:
        self.robot_answers = False
        self._robot.misbehave(misbehaviour)
        yield hold_s
        self._robot.behave()
        self.robot_answers = True

    def _robot_slow(self, injection: Injection) -> Steps:
        return self._misbehave(Misbehaviour(delay_s=injection.figure), injection.hold_s)

    def _robot_reboot(self, injection: Injection) -> Steps:
        self.robot_answers = False
        self._robot.go_down()
        yield injection.hold_s
        self._skew_s += REBOOT_CLOCK_STEP_S
        self._robot.reboot(0.0, self._skew_s)
        self.robot_answers = True

    def _robot_tokens(self, _injection: Injection) -> Steps:
        self._robot.revoke_tokens()
        yield 0.0

    def _robot_clock(self, injection: Injection) -> Steps:
        self._skew_s += self._step_s(injection)
        self._robot.set_clock_skew(self._skew_s)
        yield 0.0

    def _robot_forgets_service(self, _injection: Injection) -> Steps:
        self._robot.lose_registrations()
        yield 0.0

    def _robot_forgets_faults(self, _injection: Injection) -> Steps:
        self._robot.lose_faults()
        yield 0.0

    # Means.

    @staticmethod
    def _step_s(injection: Injection) -> float:
        """A step of the clock that nobody takes for drift."""
        small = injection.kind == "robot_clock" and abs(injection.figure) < _LEAST_STEP_S
        return _LEAST_STEP_S if small else injection.figure

    def _order(self, camera: str, text: str) -> None:
        file = self._pipeline.control_file(camera)
        new = file.with_suffix(".new")
        new.write_text(text)
        new.replace(file)

    def _signal(self, name: str, number: int) -> None:
        pid = self._pipeline.running_pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _hang_up(self) -> None:
        process: subprocess.Popen[bytes] | None = self._pipeline.process
        if process is not None:
            process.send_signal(signal.SIGHUP)


def _fill(path: Path) -> None:
    """Take all the room that is left, down to the last page."""
    with path.open("wb") as file:
        room = os.statvfs(path.parent)
        size = room.f_bavail * room.f_frsize
        while size > 0:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size -= room.f_frsize
            else:
                return
