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
from collections.abc import Callable, Mapping
from typing import Any

from shm.records import ChildRecord, Kind, State
from supervision import exit_codes
from supervision.end_report import End, Outages, report_of
from supervision.health import Health
from supervision.lifeline import ErrorCode
from supervision.logs import ChildLog
from supervision.masking import Mask
from supervision.post_mortem import PostMortems
from supervision.process import ChildProcess, Death
from supervision.reports import Beat, Error, Ready, Report, ReportStream
from supervision.timing import Timing

_LOG_READS_PER_TURN = 4  # times 64 KiB: a child that floods its log does not hold up the others
_NEVER_NS = 1 << 63
_ADVICE: Mapping[Kind, str] = {"camera": "; if a frame may take longer, give the camera a longer capture_timeout_s"}

_log = logging.getLogger(__name__)

Spawn = Callable[[str, str], ChildProcess]


class Child:
    """Starts `python -m module` with the line `configuration` on its stdin, and keeps `record` true.

    `configuration` may be replaced; the next start uses it. `secrets` are others than those in it that the child may
    come to know. `health` is what the child says about itself. `post_mortems` keeps how its processes died that nobody
    had asked to end; None keeps nothing.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        module: str,
        configuration: str,
        timing: Timing | None = None,
        spawn: Spawn = ChildProcess.spawn,
        post_mortems: PostMortems | None = None,
    ) -> None:
        self.configuration = configuration
        self.secrets: tuple[str, ...] = ()
        self.process: ChildProcess | None = None
        self._timing = timing or Timing()
        self.health = Health(name, self._timing, needs_frames=kind == "camera")
        now_ns = time.monotonic_ns()
        self._record = ChildRecord(name, kind, "waiting", now_ns, next_start_ns=now_ns)
        self._module = module
        self._spawn = spawn
        self._post_mortems = post_mortems
        self._log = ChildLog(name)
        self._reports = ReportStream(name)
        self._starts = 0
        self._started_ns = 0
        self._asked_state: str | None = None  # the kernel's letter when it was asked for its stack
        self._promised_ns, self._promised_s = 0, 0.0
        self._deadline_ns = _NEVER_NS
        self._sigkill_sent = False
        self._was_asked_to_end = self._stop_wanted = self._restart_wanted = False
        self._outages = Outages(name)

    @property
    def name(self) -> str:
        """The child's name on the board and in the log."""
        return self._record.name

    @property
    def kind(self) -> Kind:
        """What the child is."""
        return self._record.kind

    @property
    def state(self) -> State:
        """Where in its life the child is."""
        return self._record.state

    def record(self, now_ns: int) -> ChildRecord:
        """Return what the board says about this child now."""
        since_ns = self._record.since_ns
        if self.state == "running":
            since_ns = max(since_ns, self.health.turned_ns)
        post_mortem = self._post_mortems.about(self.name) if self._post_mortems else None
        fields = self.health.fields(now_ns)
        return dataclasses.replace(self._record, since_ns=since_ns, post_mortem=post_mortem, **fields)

    def due_ns(self) -> int:
        """When something has to be done even if nobody reports anything."""
        if self.state == "waiting":
            return self._record.next_start_ns or 0
        return self._deadline_ns

    def start_if_due(self, now_ns: int) -> None:
        """Start the process if it is waiting and its time has come."""
        if self.state != "waiting" or now_ns < self.due_ns():
            return
        self._restart_wanted = self._sigkill_sent = self._was_asked_to_end = False
        self._asked_state = None
        self._started_ns = now_ns
        self._log.mask = mask = Mask(self.configuration, self.secrets)
        self._reports = ReportStream(self.name, mask)
        self._log.begin(now_ns)
        self.health.begin()
        restarts, self._starts = self._starts, self._starts + 1
        try:
            self.process = self._spawn(self._module, self.configuration)
        except OSError as error:
            self.health.report("crashed", f"could not be started: {error}")
            self._wait_for_restart(now_ns, restarts=restarts)
            return
        self._promise(now_ns, self._timing.startup_s)
        self._become("starting", now_ns, pid=self.process.pid, restarts=restarts, next_start_ns=None)

    def read(self, now_ns: int) -> None:
        """Read everything that the child has reported, and a bounded part of what it logged."""
        if not self.process:
            return
        # One read empties the pipe: what was said before is known before anybody is judged, and a child that
        # never stops talking does not keep the loop.
        for report in self._reports.feed(self.process.read(self.process.report_fd)):
            self._take(report, now_ns)
        for _ in range(_LOG_READS_PER_TURN):
            if not (chunk := self.process.read(self.process.log_fd)):
                break
            self._log.feed(chunk, now_ns)
        self._log.tick(now_ns)

    def excuse(self, pause_ns: int) -> None:
        """Extend the promise by a pause of the supervisor itself: what nobody could read was not broken."""
        self._deadline_ns += pause_ns

    def kill_if_promise_broken(self, now_ns: int) -> None:
        """Take the next step against a child whose deadline is over: ask for its stack, kill it, or give up."""
        if not self.process or now_ns < self._deadline_ns:
            return
        if self.state in ("starting", "running"):
            self._ask_for_stack(self.process, now_ns)
        elif not self._sigkill_sent:
            self.kill(now_ns)
        else:
            self._deadline_ns = _NEVER_NS
            self._asked_state = self._asked_state or self.process.kernel_state()
            see = self._keep_post_mortem(self.record(now_ns), self.process.pid, None, now_ns)
            state = self.process.kernel_state()
            _log.error("%s: still there after SIGKILL (kernel state %s)%s", self.name, state, see)
            self._become("unkillable", now_ns)

    def forbid_restart(self, now_ns: int) -> None:
        """From now on an end is the end, and what waits for its start is finished."""
        self._stop_wanted = True
        if self.state == "waiting":
            self._become("finished", now_ns, next_start_ns=None)

    def stop(self, now_ns: int) -> None:
        """Ask the process to end; without a process the child is finished at once."""
        self.forbid_restart(now_ns)
        self._ask_to_end(now_ns)

    def reconfigure(self, configuration: str, now_ns: int) -> None:
        """Start again with another configuration. Whoever changed it wants to hear what comes of it."""
        self.configuration = configuration
        self._log.listen()
        self.restart(now_ns)

    def restart(self, now_ns: int) -> None:
        """End the process in an orderly way, and start it again at once with the present configuration."""
        if self.process:
            self._restart_wanted = True
            self._ask_to_end(now_ns)
        elif not self._stop_wanted:
            self._become("waiting", now_ns, next_start_ns=now_ns)

    def restart_because(self, code: ErrorCode, why: str, now_ns: int) -> None:
        """End the process in an orderly way for something that is wrong with it, and start it again with a backoff."""
        self.health.report(code, why)
        self._ask_to_end(now_ns)

    def kill(self, now_ns: int) -> None:
        """SIGKILL the whole process group now."""
        if self.process:
            self.process.kill_group()
            self._sigkill_sent = True
            self._deadline_ns = now_ns + _ns(self._timing.unkillable_s)
            self._become("killing", now_ns)

    def end(self, death: Death, now_ns: int) -> None:
        """Take note that the process has ended, and decide whether there will be another one.

        The process must not be reaped yet: its group is killed here, while its number is still its own.
        """
        if not self.process:
            return
        self.process.kill_group()
        self.read(now_ns)
        self._log.end()
        if self.health.error_code == "hung" and self.state in ("killing", "unkillable"):
            self.health.keep_stack(self._log.stack)
        was = self.record(now_ns)
        self.process.close(death.returncode)
        self.process = None
        self.health.end()
        self._deadline_ns = _NEVER_NS
        had_to_be_killed = self._was_asked_to_end and self._sigkill_sent
        last_exit = exit_codes.HAD_TO_BE_KILLED if had_to_be_killed else str(death)
        self._record = dataclasses.replace(self._record, last_exit=last_exit, pid=None)
        self._decide_what_follows(death, was, now_ns)

    def _decide_what_follows(self, death: Death, was: ChildRecord, now_ns: int) -> None:
        if self._stop_wanted:
            self._become("finished", now_ns)
        elif self._restart_wanted:
            self._become("waiting", now_ns, next_start_ns=now_ns)
        elif death.returncode == exit_codes.FINISHED and self.state in ("starting", "running"):
            _log.info("%s: finished", self.name)
            self._become("finished", now_ns)
        elif death.returncode == exit_codes.BAD_CONFIGURATION:
            self.health.blame("bad_configuration", death, self._log.tail)
            see = self._keep_post_mortem(was, death.pid, death, now_ns)
            _log.error("%s: refuses its configuration, and is not started again%s", self.name, see)
            self._become("refused", now_ns)
        else:
            self.health.blame("crashed", death, self._log.tail)
            see = "" if self._was_asked_to_end else self._keep_post_mortem(was, death.pid, death, now_ns)
            self._wait_for_restart(now_ns, see)

    def _keep_post_mortem(self, was: ChildRecord, pid: int, death: Death | None, now_ns: int) -> str:
        """Have it written down how the process ended that was as this record says. Returns where, for a line's end."""
        if self._post_mortems is None:
            return ""
        said = self.health.fields(now_ns)
        was = dataclasses.replace(was, error_code=said["error_code"], error_text=said["error_text"])
        ran_ns = now_ns - self._started_ns
        words = self.configuration, self._log.stack, self._log.tail
        end = End(was, pid, death, now_ns, ran_ns, self._asked_state, *words)
        returncode = death.returncode if death else None
        self._post_mortems.keep(self.name, was.error_code or "crashed", pid, returncode, report_of(end), now_ns)
        path = self._post_mortems.about(self.name)
        return f"; see {path}" if path else ""

    def _wait_for_restart(self, now_ns: int, see: str = "", **changes: Any) -> None:
        delay_s = self.health.next_delay_s()
        self._outages.begin(f"{self._record.last_exit}, {self.health.error_code}", delay_s, see, now_ns)
        self._become("waiting", now_ns, next_start_ns=now_ns + _ns(delay_s), **changes)

    def _ask_for_stack(self, process: ChildProcess, now_ns: int) -> None:
        silent_s = (now_ns - self._promised_ns) / 1e9
        self._asked_state = process.kernel_state()
        self.health.report(
            "hung",
            f"silent for {silent_s:.1f} s while {self.state}, after a promise of {self._promised_s:.1f} s "
            f"(kernel state {self._asked_state}){_ADVICE.get(self.kind, '')}",
        )
        self._log.expect_stack()
        process.signal(signal.SIGUSR1)
        self._deadline_ns = now_ns + _ns(self._timing.stack_s)
        self._become("killing", now_ns)

    def _ask_to_end(self, now_ns: int) -> None:
        if not self.process:
            self._become("finished", now_ns, next_start_ns=None)
        elif self.state in ("starting", "running"):
            self._was_asked_to_end = True
            self.process.signal(signal.SIGTERM)
            self._deadline_ns = now_ns + _ns(self._timing.stop_grace_s[self.kind])
            self._become("stopping", now_ns)

    def _take(self, report: Report, now_ns: int) -> None:
        match report:
            case Beat():
                if self.state in ("starting", "running"):
                    self._promise(now_ns, report.within_ms / 1000)
                self.health.take_beat(report, now_ns)
            case Ready():
                self.health.take_ready(report)
                self._become_ready(now_ns)
            case Error():
                self.health.take_error(report)

    def _become_ready(self, now_ns: int) -> None:
        if self.state == "starting":
            self._outages.end(self._record.restarts, now_ns)
            self._become("running", now_ns)

    def _promise(self, now_ns: int, within_s: float) -> None:
        self._promised_ns, self._promised_s = now_ns, within_s
        self._deadline_ns = now_ns + _ns(within_s + self._timing.slack_s)

    def _become(self, state: State, now_ns: int, **changes: Any) -> None:
        self._record = dataclasses.replace(self._record, state=state, since_ns=now_ns, **changes)


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
