"""The supervisor as PID 1 of a container: nobody else reaps, and signals without a handler do nothing."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.supervision.running import RunningSupervisor, wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a PID namespace"),
    pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare"),
]
AS_FIRST = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def outside(supervisor: RunningSupervisor, pid_inside: int) -> int:
    """Return the pid that a process of the container has for us."""

    def look() -> int | None:
        for process in supervisor.processes():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                pids = next(line.split()[1:] for line in lines if line.startswith("NSpid:"))
                if len(pids) > 1 and int(pids[-1]) == pid_inside:
                    return process.pid
        return None

    return wait_for(look, f"process {pid_inside} of the container")


def test_reaps_restarts_and_ends_in_order(tmp_path: Path) -> None:
    """A killed child is restarted, an orphaned grandchild is reaped, SIGTERM is an orderly end with exit code 0."""
    cameras = {"front": "daemon", "rear": "say_goodbye"}
    with RunningSupervisor(tmp_path / "log", cameras, prefix=AS_FIRST, pid_on_board=1) as supervisor:
        rear = supervisor.wait_until_working("rear")
        os.kill(outside(supervisor, rear), signal.SIGKILL)
        supervisor.wait_until("rear", lambda child: child.restarts == 1 and child.state == "running")

        supervisor.wait_until("front", lambda child: child.last_exit is not None)
        daemon = outside(supervisor, int(supervisor.log.split("[front] daemon ")[1].split()[0]))
        os.kill(daemon, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(daemon), "the orphan is reaped, not a zombie")

        os.kill(outside(supervisor, 1), signal.SIGTERM)
        assert supervisor.popen.wait(10) == 0
        assert "[rear] goodbye, servicer is gone" in supervisor.log
        assert supervisor.processes() == []
