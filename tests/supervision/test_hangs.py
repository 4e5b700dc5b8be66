"""Children that break their promise are killed, whatever they do, and their stack is kept."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.matrix.recording import MeasuredRow
from tests.supervision.running import RunningSupervisor, wait_for


def test_hang_in_c_is_killed_with_its_stack(tmp_path: Path) -> None:
    """A worker that hangs in a mutex, deaf to SIGTERM, is killed; the log and the board say where it was."""
    with RunningSupervisor(tmp_path / "log", {"front": "hang", "rear": "work"}) as supervisor:
        other = supervisor.wait_until_working("rear")
        front = supervisor.wait_until("front", lambda child: child.restarts == 1, 7.0)
        assert (front.error_code, front.last_exit) == ("hung", "signal SIGKILL")
        assert "after a promise of 0.3 s" in (front.error_text or "")
        assert any("in do_hang" in line for line in front.facts["last_stack"])
        assert "in do_hang" in supervisor.log
        assert supervisor.wait_until_working("rear") == other


def test_stopped_worker_is_killed(tmp_path: Path) -> None:
    """A worker that was stopped by SIGSTOP is killed and works again within 7 s."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("front")
        os.kill(pid, signal.SIGSTOP)
        front = supervisor.wait_until("front", lambda child: child.pid not in (pid, None), 7.0)
        assert front.error_code == "hung"
        assert "kernel state T" in (front.error_text or "")
        assert front.facts["last_stack"] == ["none: the process did not run any more"]


def test_start_up_is_the_first_promise(tmp_path: Path) -> None:
    """A child that never says anything is killed when the time for its start is over."""
    with RunningSupervisor(tmp_path / "log", {"front": "never_ready"}, timing={"startup_s": 1.0}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.error_code is not None)
        assert front.error_code == "hung"
        assert "while starting" in (front.error_text or "")


def test_pause_of_the_supervisor_is_not_the_childrens_fault(tmp_path: Path) -> None:
    """After the supervisor itself was stopped for longer than any promise, nobody is restarted."""
    with RunningSupervisor(tmp_path / "log", {"front": "work", "rear": "work"}) as supervisor:
        pids = supervisor.wait_until_working("front"), supervisor.wait_until_working("rear")
        supervisor.popen.send_signal(signal.SIGSTOP)
        frozen = supervisor.status()
        assert frozen is not None
        os.waitid(os.P_PID, supervisor.popen.pid, os.WSTOPPED)
        # The children go on meanwhile, but nobody reads their promises of 0.5 s.
        wait_for(lambda: time.monotonic_ns() - frozen.updated_ns > 1_500_000_000, "the pause is long enough")
        supervisor.popen.send_signal(signal.SIGCONT)
        wait_for(lambda: "the supervisor itself did not run" in supervisor.log, "the pause is noticed")
        assert (supervisor.wait_until_working("front"), supervisor.wait_until_working("rear")) == pids


def test_pause_of_everybody_is_nobodys_fault(tmp_path: Path) -> None:
    """After a pause of the whole computer the children get their time to speak again."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pids = supervisor.wait_until_working("front"), supervisor.wait_until_working("servicer")
        stopped = (supervisor.popen.pid, *pids)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        paused_ns = time.monotonic_ns()
        wait_for(lambda: time.monotonic_ns() - paused_ns > 1_500_000_000, "the pause is long enough")
        os.kill(supervisor.popen.pid, signal.SIGCONT)
        wait_for(lambda: "the supervisor itself did not run" in supervisor.log, "the pause is noticed")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        now_ns = time.monotonic_ns()
        supervisor.wait_until("front", lambda child: (child.captured_ns or 0) > now_ns)
        assert (supervisor.wait_until_working("front"), supervisor.wait_until_working("servicer")) == pids


@pytest.mark.row("M32")
def test_flood_of_log_lines_is_bounded(tmp_path: Path, row: Callable[[str], MeasuredRow]) -> None:
    """100 MB on stderr neither block the child nor fill the log, and what is left out is counted."""
    with RunningSupervisor(tmp_path / "log", {"front": "flood", "rear": "work"}) as supervisor:
        other = supervisor.wait_until_working("rear")
        supervisor.wait_until_working("front")
        wait_for(lambda: "more lines that are not shown" in supervisor.log, "the count of suppressed lines")
        row("M32").at_most("log", len(supervisor.log) / 1e6, 1.0, "MB")
        assert supervisor.wait_until_working("rear") == other
