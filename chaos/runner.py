"""One chaos run: start everything, follow the plan, let everything recover, report."""

import contextlib
import heapq
import itertools
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import isolation
from chaos.crowd import Crowd
from chaos.facts import SERVICER, SUPERVISOR, Injected, LeftBehind, ReaderEnded, RobotSeen, SupervisorEnded
from chaos.faults import Faults, Steps, Unable
from chaos.judge_words import DETAILS
from chaos.pipeline import SERVICE_NAME, Pipeline
from chaos.schedule import CAMERAS, Injection, plan
from chaos.tally import since_start
from chaos.telling import Teller
from simulated_robot.robot import SimulatedRobot

CLIENTS = 8
_START_S = 60.0
_TURN_S = 0.05
_ROBOT_EVERY_S = 0.2
_PROGRESS_EVERY_S = 5.0
_SETTLE_S = 45.0  # the longest delay of a restart, and what follows it
_LONGEST_REST_S = 300.0  # start, recovery and end of a run together
_AFTERWARDS_S = 8.0  # quiet, in which the robot's list has to become empty


@dataclass
class Run:
    """What a run was, for the report."""

    seed: int
    duration_s: float
    left_out: tuple[str, ...]
    planned: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    unable: Counter[str] = field(default_factory=Counter)
    observed: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    started: float = 0.0


class Runner:
    """Follows the plan; one thread, whose turns are short."""

    def __init__(self, run: Run, injections: Sequence[Injection], folder: Path) -> None:
        self._run = run
        self._injections = injections
        self._folder = folder
        self._started = 0.0
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Steps]] = []
        self._told_robot = self._said = 0.0
        self._shown: set[str] = set()
        self._files: set[str] = set()  # about processes that died, which were ever there

    def run(self) -> None:
        """Do everything; the run's fields say what came of it."""
        isolated = isolation.is_isolated()
        with contextlib.ExitStack() as stack:
            self._robot = stack.enter_context(SimulatedRobot())
            host_ip, port = (isolation.SERVICE_IP, 21100) if isolated else ("127.0.0.1", _free_port())
            self._pipeline = Pipeline(self._folder, self._robot, host_ip, port, self._run.duration_s + _LONGEST_REST_S)
            stack.callback(self._pipeline.kill_all)
            self._crowd = Crowd(self._pipeline, self._run.seed)
            stack.callback(self._crowd.end)
            self._pipeline.start()
            self._crowd.start_observer(_START_S)
            self._teller = Teller(self._crowd.socket)
            self._faults = Faults(self._pipeline, self._robot, self._crowd, self._teller.tell)
            self._wait_until_serving()
            self._crowd.start_clients(CLIENTS, self._robot.port, self._robot.ca_file, stranger=isolated)
            self._wait_for_images()
            self._follow_plan()
            self._settle()
            self._end()

    def _wait_until_serving(self) -> None:
        until = time.monotonic() + _START_S
        while SERVICE_NAME not in self._robot.services:
            if time.monotonic() > until or (self._pipeline.process and self._pipeline.process.poll() is not None):
                raise TimeoutError(f"the pipeline does not start:\n{self._pipeline.log_file.read_text()[-3000:]}")
            time.sleep(_TURN_S)

    def _wait_for_images(self) -> None:
        until = time.monotonic() + _START_S
        while not self._crowd.status.get("images", 0) > 2 * CLIENTS:
            if time.monotonic() > until:
                raise TimeoutError(f"no images:\n{self._pipeline.log_file.read_text()[-3000:]}")
            self._turn()

    def _follow_plan(self) -> None:
        self._started = self._run.started = time.monotonic()
        for injection in self._injections:
            while self._elapsed() < injection.at_s:
                self._turn()
            self._inject(injection)
        while self._elapsed() < self._run.duration_s:
            self._turn()

    def _inject(self, injection: Injection) -> None:
        steps = self._faults.steps(injection)
        try:
            delay_s = next(steps)
        except Unable as why:
            self._run.unable[injection.kind] += 1
            _say(f"{injection}   not now: {why}")
            return
        except StopIteration:
            delay_s = None
        self._run.injected[injection.kind] += 1
        _say(str(injection))
        if delay_s is not None:
            self._wait(steps, delay_s)

    def _wait(self, steps: Steps, delay_s: float) -> None:
        heapq.heappush(self._waiting, (time.monotonic() + delay_s, next(self._order), steps))

    def _turn(self) -> None:
        time.sleep(_TURN_S)
        self._go_on()
        now = time.monotonic()
        if now - self._told_robot > _ROBOT_EVERY_S:
            self._told_robot = now
            self._tell_robot(now)
        if now - self._said > _PROGRESS_EVERY_S and self._started:
            self._said = now
            self._progress()
        self._look_after_the_others(now)

    def _go_on(self) -> None:
        """Do the next steps of the faults whose time has come."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, steps = heapq.heappop(self._waiting)
            try:
                self._wait(steps, next(steps))
            except StopIteration:
                continue

    def _tell_robot(self, now: float) -> None:
        faults = {
            name: fault.error_message
            for (service, name), fault in self._robot.faults.items()
            if service == SERVICE_NAME
        }
        self._files |= self._pipeline.post_mortems()
        named = {file for text in faults.values() if (file := text.partition(DETAILS)[2])}
        self._teller.tell(
            RobotSeen(
                now,
                self._faults.robot_answers,
                SERVICE_NAME in self._robot.services,
                faults,
                self._robot.calls["RobotStateService/GetRobotState"],
                tuple(sorted(named - self._files)),
            )
        )

    def _look_after_the_others(self, now: float) -> None:
        if not self._crowd.observer_lives:
            raise RuntimeError("the observer has ended: nobody sees anything any more")
        reader = self._crowd.reader
        if reader is not None and reader.poll() is not None:
            self._teller.tell(ReaderEnded(now, "the local program", _how(reader.returncode)))
            self._crowd.start_reader()
        process = self._pipeline.process
        if process is not None and process.returncode is None and (code := process.poll()) is not None:
            self._teller.tell(SupervisorEnded(now, None, _how(code), expected=False))
            self._pipeline.start()

    def _settle(self) -> None:
        """Let everything end that was begun, and recover."""
        _say(f"---- the plan is over: waiting for what is broken to recover, {_SETTLE_S:g} s at most")
        until = time.monotonic() + _SETTLE_S
        while (self._waiting or self._crowd.status.get("pending")) and time.monotonic() < until:
            self._turn()
        _say(f"---- {_AFTERWARDS_S:g} s of quiet, in which the robot's list of faults has to become empty")
        until = time.monotonic() + _AFTERWARDS_S
        while time.monotonic() < until:
            self._turn()

    def _end(self) -> None:
        """End in an orderly way, and look what is left."""
        everybody = (SUPERVISOR, SERVICER, *CAMERAS)
        self._teller.tell(Injected(time.monotonic(), -1, "orderly_stop", SUPERVISOR, everybody, ends_process=True))
        self._run.observed = self._crowd.status
        code, took_s = self._pipeline.stop()
        left = [f"exit code {code} after {took_s:.1f} s"] if code != 0 else []
        left += [f"process {pid}" for pid in self._pipeline.processes()]
        left += list(self._pipeline.inodes().values())
        self._teller.tell(LeftBehind(time.monotonic(), "after SIGTERM, things", tuple(left)))
        time.sleep(_ROBOT_EVERY_S)
        self._run.observed = self._crowd.finish(_START_S)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _progress(self) -> None:
        status = self._crowd.status
        pending = ", ".join(status.get("pending", [])) or "nothing"
        _say(
            f"---- {self._elapsed():6.0f} s  {sum(self._run.injected.values())} faults, "
            f"{status.get('images', 0)} images, {status.get('violations', 0)} violations, broken now: {pending}"
        )
        for invariant, examples in status.get("examples", {}).items():
            for example in examples:
                if f"{invariant}{example}" not in self._shown:
                    self._shown.add(f"{invariant}{example}")
                    _say(f"!!!! {invariant} {since_start(example, self._started)}")


def chaos(seed: int, duration_s: float, only: Sequence[str], keep: Path | None) -> Run:
    """Run the plan of this seed for so long."""
    without = _what_cannot_be()
    injections = plan(seed, duration_s, only=only, without=without)
    run = Run(seed, duration_s, without, planned=len(injections))
    with _folder(keep) as folder:
        try:
            Runner(run, injections, folder).run()
        except (TimeoutError, RuntimeError, OSError) as error:
            run.trouble = str(error)
        except KeyboardInterrupt:
            run.trouble = "interrupted"
    return run


def _what_cannot_be() -> tuple[str, ...]:
    lacking = [] if isolation.is_isolated() else ["namespaces"]
    return (*lacking, *(() if isolation.is_root() and isolation.is_isolated() else ("root",)))


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix=f"chaos-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    return f"signal {signal.Signals(-returncode).name}"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
