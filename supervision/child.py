"""One configured child: its promise, its end, its next start, and its record on the status board.

    waiting ──start──► starting ──ready──► running ──end──► waiting | finished | refused
                          └── promise broken ──► killing ──► (unkillable) ──end──► waiting
                          └── asked to stop ──► stopping ──end──► finished

Nothing here waits: every step is a deadline that the supervisor's loop comes back to.
"""

import dataclasses
import logging
import signal
import time
from collections.abc import Callable
from typing import Any

from shm.records import ChildRecord, Kind, State
from supervision import exit_codes
from supervision.backoff import Backoff
from supervision.frame_rate import FrameRate
from supervision.lifeline import ErrorCode
from supervision.logs import ChildLog
from supervision.process import ChildProcess, Death
from supervision.reports import Beat, Error, Ready, Report, ReportStream
from supervision.timing import Timing

_LOG_READS_PER_TURN = 4  # times 64 KiB: a child that floods its log does not hold up the others
_STACK_LINES_ON_BOARD = 12
_NEVER_NS = 1 << 63

_log = logging.getLogger(__name__)

Spawn = Callable[[str, str], ChildProcess]


class Child:
    """Starts `python -m module` with the line `configuration` on its stdin, and keeps `record` true.

    `configuration` may be replaced; the next start uses it.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        module: str,
        configuration: str,
        timing: Timing | None = None,
        spawn: Spawn = ChildProcess.spawn,
    ) -> None:
        self.configuration = configuration
        self.process: ChildProcess | None = None
        self.log = ChildLog(name)
        self.robot_clock_offset_ns: int | None = None
        now_ns = time.monotonic_ns()
        self._record = ChildRecord(name, kind, "waiting", now_ns, next_start_ns=now_ns)
        self._module = module
        self._timing = timing or Timing()
        self._spawn = spawn
        self._backoff = Backoff()
        self._rate = FrameRate()
        self._reports = ReportStream()
        self._starts = 0
        self._promised_ns = 0
        self._deadline_ns = _NEVER_NS
        self._sigkill_sent = False
        self._stop_wanted = False
        self._restart_wanted = False
        self._error_said = False  # by this process, as opposed to the ones before it
        self._ready_facts: dict[str, Any] = {}
        self._stack: dict[str, Any] = {}
        self._well_since_ns: int | None = None
        self._down_since_ns: int | None = None

    @property
    def name(self) -> str:
        """The child's name on the board and in the log."""
        return self._record.name

    @property
    def kind(self) -> Kind:
        """What the child is."""
        return self._record.kind

    @property
    def ended(self) -> bool:
        """There is no process, and there will be none."""
        return self._record.state in ("finished", "refused")

    @property
    def is_unkillable(self) -> bool:
        """The process was killed, and the kernel still holds it."""
        return self._record.state == "unkillable"

    def record(self, now_ns: int) -> ChildRecord:
        """Return what the board says about this child now."""
        return dataclasses.replace(self._record, rate_hz=round(self._rate.rate_hz(now_ns), 2))

    def due_ns(self) -> int:
        """When something has to be done even if nobody reports anything."""
        if self._record.state == "waiting":
            return self._record.next_start_ns or 0
        return self._deadline_ns

    def start_if_due(self, now_ns: int) -> None:
        """Start the process if it is waiting and its time has come."""
        if self._record.state != "waiting" or now_ns < (self._record.next_start_ns or 0):
            return
        self._restart_wanted = self._sigkill_sent = self._error_said = False
        self._reports = ReportStream()
        self._rate.reset()
        self.log.forget_tail()
        restarts, self._starts = self._starts, self._starts + 1
        try:
            self.process = self._spawn(self._module, self.configuration)
        except OSError as error:
            self._report_error("crashed", f"could not be started: {error}")
            self._wait_for_restart(now_ns, restarts=restarts)
            return
        self._promised_ns, self._deadline_ns = now_ns, now_ns + _ns(self._timing.startup_s)
        self._become("starting", now_ns, pid=self.process.pid, restarts=restarts, next_start_ns=None, frames=0)

    def read(self, now_ns: int) -> None:
        """Read everything that the child reported, and a bounded part of what it logged."""
        if not self.process:
            return
        while chunk := self.process.read(self.process.report_fd):
            for report in self._reports.feed(chunk):
                self._take(report, now_ns)
        for _ in range(_LOG_READS_PER_TURN):
            if not (chunk := self.process.read(self.process.log_fd)):
                break
            self.log.feed(chunk, now_ns)
        self.log.tick(now_ns)

    def excuse(self, pause_ns: int) -> None:
        """Extend the promise by a pause of the supervisor itself: what nobody could read was not broken."""
        self._deadline_ns += pause_ns

    def kill_if_promise_broken(self, now_ns: int) -> None:
        """Take the next step against a child whose deadline is over: ask for its stack, kill it, or give up."""
        if not self.process or now_ns < self._deadline_ns:
            return
        if self._record.state in ("starting", "running"):
            self._ask_for_stack(now_ns)
        elif not self._sigkill_sent:
            self.kill(now_ns)
        else:
            self._deadline_ns = _NEVER_NS
            _log.error("%s: still there after SIGKILL (state %s)", self.name, self.process.kernel_state())
            self._become("unkillable", now_ns)

    def add_facts(self, **facts: Any) -> None:
        """Put something onto the board that the process itself does not say."""
        self._ready_facts = {**self._ready_facts, **facts}
        self._record = dataclasses.replace(self._record, facts={**self._record.facts, **facts})

    def forbid_restart(self) -> None:
        """From now on an end is the end."""
        self._stop_wanted = True

    def stop(self, now_ns: int) -> None:
        """Ask the process to end; without a process the child is finished at once."""
        self.forbid_restart()
        self._ask_to_end(now_ns)

    def restart(self, now_ns: int) -> None:
        """End the process in an orderly way and start it again at once with the present configuration."""
        self._restart_wanted = True
        if self._record.state in ("finished", "refused", "waiting"):
            self._become("waiting", now_ns, next_start_ns=now_ns)
        else:
            self._ask_to_end(now_ns)

    def kill(self, now_ns: int) -> None:
        """SIGKILL the whole process group now."""
        if self.process:
            self.process.kill_group()
            self._sigkill_sent = True
            self._deadline_ns = now_ns + _ns(self._timing.unkillable_s)
            if self._record.state != "unkillable":
                self._become("killing", now_ns)

    def end(self, death: Death, now_ns: int) -> None:
        """Take note that the process has ended, and decide whether there will be another one.

        The process must not be reaped yet: its group is killed here, while its number is still its own.
        """
        if not self.process:
            return
        self.process.kill_group()
        self.read(now_ns)
        self._keep_stack()
        self.process.close(death.returncode)
        self.process = None
        self._deadline_ns = _NEVER_NS
        self._record = dataclasses.replace(self._record, last_exit=str(death), pid=None)
        self._decide_what_follows(death, now_ns)

    def _decide_what_follows(self, death: Death, now_ns: int) -> None:
        if self._stop_wanted:
            self._become("finished", now_ns)
        elif self._restart_wanted:
            self._become("waiting", now_ns, next_start_ns=now_ns)
        elif death.returncode == exit_codes.FINISHED:
            _log.info("%s: finished", self.name)
            self._become("finished", now_ns)
        elif death.returncode == exit_codes.BAD_CONFIGURATION:
            self._blame(death, "bad_configuration")
            _log.error("%s: refuses its configuration, and is not started again", self.name)
            self._become("refused", now_ns)
        else:
            self._blame(death, "crashed")
            self._wait_for_restart(now_ns)

    def _wait_for_restart(self, now_ns: int, **changes: Any) -> None:
        delay_s = self._backoff.next_delay_s()
        _log.warning(
            "%s: ended (%s, %s); starts again in %.1f s",
            self.name,
            self._record.last_exit,
            self._record.error_code,
            delay_s,
        )
        self._down_since_ns = self._down_since_ns or now_ns
        self._well_since_ns = None
        self._become("waiting", now_ns, next_start_ns=now_ns + _ns(delay_s), **changes)

    def _blame(self, death: Death, code: ErrorCode) -> None:
        if self._error_said:
            return
        said = next((line for line in reversed(self.log.tail) if line), None)
        # After a signal the log ends with a stack, whose last line is where Python began.
        cited = f"; the last line of its log: {said[:300]}" if said and death.returncode > 0 else ""
        self._report_error(code, f"ended with {death}{cited}")

    def _ask_for_stack(self, now_ns: int) -> None:
        if not self.process:
            return
        silent_s, promised_s = (now_ns - self._promised_ns) / 1e9, (self._deadline_ns - self._promised_ns) / 1e9
        self._report_error(
            "hung",
            f"silent for {silent_s:.1f} s while {self._record.state}, after a promise of {promised_s:.1f} s "
            f"(kernel state {self.process.kernel_state()})",
        )
        self.log.forget_tail()
        self.process.signal(signal.SIGUSR1)
        self._deadline_ns = now_ns + _ns(self._timing.stack_s)
        self._become("killing", now_ns)

    def _ask_to_end(self, now_ns: int) -> None:
        if not self.process:
            self._become("finished", now_ns, next_start_ns=None)
        elif self._record.state in ("starting", "running"):
            self.process.signal(signal.SIGTERM)
            self._deadline_ns = now_ns + _ns(self._timing.stop_grace_s[self.kind])
            self._become("stopping", now_ns)

    def _keep_stack(self) -> None:
        self.log.flush()
        if self._record.error_code == "hung" and self._record.state in ("killing", "unkillable"):
            stack = list(self.log.tail[:_STACK_LINES_ON_BOARD]) or ["none: the process did not run any more"]
            self._stack = {"last_stack": stack}
            self._record = dataclasses.replace(self._record, facts={**self._record.facts, **self._stack})

    def _take(self, report: Report, now_ns: int) -> None:
        if isinstance(report, Beat):
            self._take_beat(report, now_ns)
        elif isinstance(report, Ready):
            self._take_ready(report, now_ns)
        else:
            self._take_error(report)

    def _take_ready(self, report: Ready, now_ns: int) -> None:
        if self._record.state != "starting":
            return
        self._ready_facts = report.facts
        self._become("running", now_ns, facts={**report.facts, **self._stack})
        if self._down_since_ns is None:
            _log.info("%s: ready", self.name)
        else:
            down_s = (now_ns - self._down_since_ns) / 1e9
            _log.info("%s: back after %.1f s, %d restarts", self.name, down_s, self._record.restarts)
        self._down_since_ns = None

    def _take_beat(self, beat: Beat, now_ns: int) -> None:
        if self._record.state in ("starting", "running"):
            self._promised_ns, self._deadline_ns = now_ns, now_ns + beat.within_ms * 1_000_000
        works = self._record.state == "running" and (self.kind != "camera" or beat.frames > self._record.frames)
        changes = beat.model_dump(include={"frames", "frame_number", "captured_ns", "rows", "cols", "encoding"})
        if beat.frame_number is None:
            changes = {"frames": beat.frames}  # the last frame of the previous process is still the newest one
        if beat.offset_ns is not None:
            self.robot_clock_offset_ns = beat.offset_ns
        facts = {**self._ready_facts, **beat.facts, **self._stack}
        self._record = dataclasses.replace(self._record, **changes, facts=facts)
        self._rate.add(now_ns, beat.frames)
        if works:
            self._works(now_ns)

    def _works(self, now_ns: int) -> None:
        if self._well_since_ns is None:
            self._well_since_ns = now_ns
        well_ns = now_ns - self._well_since_ns
        if well_ns >= _ns(self._timing.forgiven_s):
            self._backoff.forgive()
        if well_ns >= _ns(self._timing.well_s) and self._record.error_code:
            _log.info("%s: well again (was: %s)", self.name, self._record.error_code)
            self._error_said = False
            self._record = dataclasses.replace(self._record, error_code=None, error_text=None)

    def _take_error(self, report: Error) -> None:
        self._well_since_ns = None
        self._report_error(report.code, report.text)

    def _report_error(self, code: ErrorCode, text: str) -> None:
        if code != self._record.error_code:
            _log.warning("%s: %s: %s", self.name, code, text)
        self._error_said = True
        self._record = dataclasses.replace(self._record, error_code=code, error_text=text)

    def _become(self, state: State, now_ns: int, **changes: Any) -> None:
        self._record = dataclasses.replace(self._record, state=state, since_ns=now_ns, **changes)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
