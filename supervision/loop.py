"""The supervisor: start what is due, read reports, kill what broke its promise, reap.

One thread, one loop, and no call in it that waits for a child.
"""

import contextlib
import dataclasses
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from shm.board import BoardWriter
from shm.records import Kind, Status
from supervision import exit_codes
from supervision.certificate_folder import certificate_folder
from supervision.child import Child
from supervision.configuration import ConfigurationError
from supervision.crew import MODULES, Crew
from supervision.instance import InstanceLock
from supervision.leftovers import Leftover, kill_leftovers
from supervision.memory import MemoryWatch
from supervision.notify import ServiceManager
from supervision.process import adopt_orphans, kill_adopted, peek_dead_child, reap
from supervision.settings import Settings
from supervision.signals import SignalQueue
from supervision.sparing import Sparing
from supervision.timing import Timing

LONGEST_TURN_NS = 250_000_000  # the board is written, and the service manager told, at least this often
PUBLISH_INTERVAL_NS = 100_000_000  # … and the board at most this often
_OWN_PAUSE_NS = 1_000_000_000  # a turn that took longer: we were stopped, or the machine was

# What the lock, the board, every child or the files about dead ones were made for.
_FIXED = ("instance", "shm_group", "post_mortem_dir", "simulate")
_OVER = ("finished", "refused", "unkillable")

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs one instance until it is told to stop, its time is over, or there is nothing left to do.

    `on_start` is called once the instance is ours, `show` with every published status; `reload` makes new settings
    when SIGHUP asks for them, which with `has_terminal` means that the terminal has hung up, and ends the run.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        duration_s: float | None = None,
        on_start: Callable[[], None] = lambda: None,
        show: Callable[[Status], None] = lambda _: None,
        reload: Callable[[], Settings] | None = None,
        modules: Mapping[Kind, str] = MODULES,
        timing: Timing | None = None,
        has_terminal: bool = False,
    ) -> None:
        self._settings = settings
        self._duration_s = duration_s
        self._on_start = on_start
        self._show = show
        self._reload = reload
        self._modules = modules
        self._timing = timing or Timing()
        self._signals = SignalQueue()
        self._has_terminal = has_terminal
        self._exit_code = exit_codes.FINISHED
        self._stopping: list[list[Child]] | None = None
        self._stop_deadline_ns = 0
        self._published = Status("", 0, 0, ())
        self._is_board_behind = False  # something may have changed since the last status was written
        self._service_manager = ServiceManager()
        self._memory = MemoryWatch()
        self._board_lines = Sparing()

    def run(self) -> int:
        """Run until the end, and return the exit code.

        Raises AlreadyRunningError, and OSError when /dev/shm has no room for the lock or the board.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._signals)  # from here on what we are told waits for the loop
            lock = stack.enter_context(InstanceLock(self._settings.instance))
            self._on_start()
            killed, held = kill_leftovers(self._settings.instance)
            if killed:
                _log.warning("killed %d processes that an earlier run had left", killed)
            if removed := lock.remove_all_names():
                _log.info("removed %d names that an earlier run left in /dev/shm", removed)
            stack.callback(lock.remove_all_names)
            board = stack.enter_context(BoardWriter(self._settings.instance, shm_group=self._settings.shm_group))
            adopt_orphans()
            stack.callback(kill_adopted)
            self._loop(self._crew(stack, held), board, lock)
        return self._exit_code

    def _crew(self, stack: contextlib.ExitStack, held: list[Leftover]) -> Crew:
        ca_file = self._settings.robot.ca
        if self._settings.simulate and not ca_file:
            ca_file = stack.enter_context(certificate_folder(self._settings.instance)) / "ca.pem"
        crew = Crew(self._settings, ca_file or Path(), self._modules, self._timing, held)
        stack.callback(crew.post_mortems.finish)
        stack.callback(crew.kill)  # whatever ends the loop, an exception of ours too
        return crew

    def _loop(self, crew: Crew, board: BoardWriter, lock: InstanceLock) -> None:
        started_ns = last_turn_ns = time.monotonic_ns()
        end_ns = started_ns + round((self._duration_s or 0) * 1e9) if self._duration_s is not None else None
        while not self._is_over(crew):
            self._wait(crew, end_ns)
            now_ns = time.monotonic_ns()
            self._excuse_own_pause(crew, now_ns - last_turn_ns)
            last_turn_ns = now_ns

            self._start_what_is_due(crew, now_ns)
            self._read_reports(crew, now_ns)
            self._kill_what_broke_its_promise(crew, now_ns)
            self._reap(crew, now_ns)

            self._memory.look(crew, crew.settings.child_memory_limit_mb, now_ns)
            self._obey_signals(crew, now_ns)
            self._stop_if_done(crew, now_ns, end_ns)
            lock.keep(now_ns)
            self._publish_status(crew, board, now_ns)

    def _wait(self, crew: Crew, end_ns: int | None) -> None:
        poll = select.poll()
        poll.register(self._signals.fd, select.POLLIN)
        for child in crew:
            for fd in child.process.open_fds if child.process else ():
                poll.register(fd, select.POLLIN)
        now_ns = time.monotonic_ns()
        due_ns = min([now_ns + LONGEST_TURN_NS, end_ns or sys.maxsize, *(child.due_ns() for child in crew.startable())])
        if self._is_board_behind:
            due_ns = min(due_ns, self._published.updated_ns + PUBLISH_INTERVAL_NS)
        poll.poll(max(0, -(-(due_ns - now_ns) // 1_000_000)))

    def _excuse_own_pause(self, crew: Crew, turn_ns: int) -> None:
        if turn_ns > _OWN_PAUSE_NS:
            _log.warning("the supervisor itself did not run for %.1f s", turn_ns / 1e9)
            for child in crew:
                child.excuse(turn_ns)

    def _start_what_is_due(self, crew: Crew, now_ns: int) -> None:
        for child in crew.startable():
            child.start_if_due(now_ns)

    def _read_reports(self, crew: Crew, now_ns: int) -> None:
        for child in crew:
            child.read(now_ns)
        crew.follow_robot(now_ns)

    def _kill_what_broke_its_promise(self, crew: Crew, now_ns: int) -> None:
        for child in crew:
            child.kill_if_promise_broken(now_ns)

    def _reap(self, crew: Crew, now_ns: int) -> None:
        while death := peek_dead_child():
            child = crew.of_pid(death.pid)
            if child:
                child.end(death, now_ns)
            reap(death)
            if child:
                crew.clean_up_after(child, death.pid)
        crew.post_mortems.turn(now_ns)

    def _obey_signals(self, crew: Crew, now_ns: int) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP and not self._has_terminal:
                self._change_settings(crew, now_ns)
            elif self._stopping is None:
                self._stop(crew, now_ns, f"stopping ({signal.Signals(number).name})")
            else:
                _log.warning("asked again: killing everything")
                for child in crew:
                    child.kill(now_ns)

    def _change_settings(self, crew: Crew, now_ns: int) -> None:
        if not self._reload or self._stopping is not None:
            _log.info("SIGHUP: there is no configuration file to read again")
            return
        try:
            settings = self._reload()
        except ConfigurationError as error:
            _log.error("%s; nothing was changed", error)
            return
        except Exception as error:  # whatever a file can bring about: the cameras that run must not end for it
            _log.error("the configuration could not be read again: %s; nothing was changed", error, exc_info=error)
            return
        if fixed := [key for key in _FIXED if getattr(settings, key) != getattr(self._settings, key)]:
            _log.error("%s cannot change while it runs: restart it; nothing was changed", " and ".join(fixed))
            return
        if concerned := crew.change(settings, now_ns):
            _log.info("the configuration was read again; concerned: %s", ", ".join(concerned))
        else:
            _log.info("the configuration was read again: it says the same as before")

    def _stop_if_done(self, crew: Crew, now_ns: int, end_ns: int | None) -> None:
        if self._stopping is not None:
            self._stop_next(now_ns)
        elif end_ns is not None and now_ns >= end_ns:
            self._stop(crew, now_ns, "the time is over")
        elif refusing := crew.indispensable_and_refusing():
            self._exit_code = exit_codes.BAD_CONFIGURATION
            self._stop(crew, now_ns, f"nothing can be served without the {refusing.name}: stopping")
        elif crew.cameras and all(child.state == "finished" for child in crew.cameras.values()):
            self._stop(crew, now_ns, "every camera has finished: stopping")

    def _stop(self, crew: Crew, now_ns: int, why: str) -> None:
        _log.info("%s", why)
        self._service_manager.say_stopping()
        for child in crew:
            child.forbid_restart(now_ns)
        self._stopping = [[], *crew.stop_order()]
        self._stop_deadline_ns = now_ns + round(self._timing.stop_s * 1e9)
        self._stop_next(now_ns)

    def _stop_next(self, now_ns: int) -> None:
        # What cannot be killed may keep its group waiting, never the others.
        while self._stopping and all(child.state in _OVER for child in self._stopping[0]):
            self._stopping.pop(0)
            for child in self._stopping[0] if self._stopping else ():
                child.stop(now_ns)

    def _is_over(self, crew: Crew) -> bool:
        if self._stopping is None:
            return False
        if not self._stopping:
            return True
        if time.monotonic_ns() < self._stop_deadline_ns:
            return False
        left = [child.name for child in crew if child.process]
        _log.error("ending although these processes do not end: %s", ", ".join(left))
        return True

    def _publish_status(self, crew: Crew, board: BoardWriter, now_ns: int) -> None:
        self._is_board_behind = now_ns - self._published.updated_ns < PUBLISH_INTERVAL_NS
        if self._is_board_behind:
            return
        self._published = Status(
            instance=self._settings.instance,
            supervisor_pid=os.getpid(),
            updated_ns=now_ns,
            children=crew.records(now_ns),
            robot_clock_offset_ns=crew.servicer.health.robot_clock_offset_ns,
        )
        self._write_board(board, self._published)
        self._show(self._published)
        required = {name for name, camera in crew.settings.cameras.items() if camera.required}
        self._service_manager.update(self._published, required)

    def _write_board(self, board: BoardWriter, status: Status) -> None:
        try:
            _publish(board, status)
        except OSError as error:  # a new board, because somebody removed the old one, finds no room: the rest goes on
            if self._board_lines.allows(status.updated_ns):
                _log.error("no status board: %s%s", error.strerror, self._board_lines.take_left_out())


def _publish(board: BoardWriter, status: Status) -> None:
    try:
        board.publish(status)
    except ValueError:  # larger than the board: facts and texts are what many children can have much of
        children = tuple(
            dataclasses.replace(child, facts={}, error_text=None, post_mortem=None) for child in status.children
        )
        board.publish(dataclasses.replace(status, children=children))
