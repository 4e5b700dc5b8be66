"""A child at the boundary to the operating system: what cannot be killed, what cannot be started, and who may start."""

import os
import re
import threading
from typing import Any

import pytest

from supervision.child import Child
from supervision.health import Health
from supervision.process import ChildProcess, Death
from supervision.reports import Beat
from supervision.timing import Timing

SECOND_NS = 1_000_000_000


class HeldByTheKernel(ChildProcess):
    """A process in state D: signals do nothing."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.report_fd, self.log_fd = -1, -1
        self.open_fds = []

    def signal(self, number: int) -> None:
        """Do nothing."""

    def kill_group(self) -> None:
        """Do nothing."""

    def close(self, returncode: int) -> None:
        """Do nothing."""


def child(spawn: Any) -> Child:
    """Return a camera that is started by `spawn`."""
    return Child("front", "camera", "capture_worker", "{}", Timing(), spawn=spawn)


def test_error_of_the_supervisor_is_not_over_with_the_next_frame() -> None:
    """A worker that leaked for an hour, and is asked to end for that, may deliver some frames until it does."""
    health = Health("front", Timing(well_s=2.0), needs_frames=True)
    for second in range(3600):
        health.take_beat(beat(second + 1), second * SECOND_NS)
    health.report("memory", "used too much")
    health.take_beat(beat(3601), 3600 * SECOND_NS)
    assert health.error_code == "memory"
    health.take_beat(beat(3602), 3602 * SECOND_NS)
    assert health.error_code is None


def beat(frames: int) -> Beat:
    """Return what a camera says that delivers."""
    return Beat(report="beat", within_ms=1000, frames=frames)


@pytest.mark.row("M4")
def test_unkillable_child_is_not_started_twice(caplog: pytest.LogCaptureFixture) -> None:
    """2 s after SIGKILL it is called unkillable, and its device is not opened again before it is gone."""
    starts: list[str] = []

    def spawn(module: str, _configuration: str) -> ChildProcess:
        starts.append(module)
        return HeldByTheKernel()

    front = child(spawn)
    now_ns = front.due_ns()
    states = []
    for second in range(100):
        now_ns = front.record(now_ns).since_ns if second == 0 else now_ns + SECOND_NS
        front.start_if_due(now_ns)
        front.kill_if_promise_broken(now_ns)
        states.append(front.state)
    assert states.index("killing") == 61  # 60 s for the start, and the slack
    assert states.index("unkillable") == 64
    assert states[-1] == "unkillable"
    assert len(starts) == 1
    assert sum("still there after SIGKILL" in message for message in caplog.messages) == 1
    front.end(Death(os.getpid(), -9), now_ns)
    front.start_if_due(now_ns)
    assert len(starts) == 2


def test_spawn_failure_is_an_error_like_any_other() -> None:
    """When the system has no room for another process, the child waits and tries again."""

    def spawn(_module: str, _configuration: str) -> ChildProcess:
        raise OSError("Resource temporarily unavailable")

    front = child(spawn)
    now_ns = front.due_ns()
    front.start_if_due(now_ns)
    front.start_if_due(now_ns)
    record = front.record(now_ns)
    assert (record.state, record.error_code, record.restarts) == ("waiting", "crashed", 1)
    assert "Resource temporarily unavailable" in (record.error_text or "")
    assert record.next_start_ns is not None
    assert record.next_start_ns > now_ns


@pytest.mark.row("M6")
def test_a_day_of_failures_is_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A child that ends twice a minute for a day is three lines, then one in ten minutes with what it leaves out."""

    def spawn(_module: str, _configuration: str) -> ChildProcess:
        raise OSError("Resource temporarily unavailable")

    front = child(spawn)
    start_ns = front.due_ns()
    while front.due_ns() < start_ns + 86_400 * SECOND_NS:
        front.start_if_due(front.due_ns())
    ends = [message for message in caplog.messages if "front: ended" in message]
    assert 144 <= len(ends) <= 150
    assert "times more" not in "".join(ends[:3])
    assert all(re.search(r"\(and (1\d|2\d) times more since this was last said\)", end) for end in ends[4:])
    assert len(caplog.messages) == len(ends) + 1


def test_stop_starts_nobody() -> None:
    """A child that waits for its next start when the stop begins is finished."""
    starts: list[str] = []

    def spawn(module: str, _configuration: str) -> ChildProcess:
        starts.append(module)
        raise OSError("Resource temporarily unavailable")

    front = child(spawn)
    front.start_if_due(front.due_ns())
    due_ns = front.due_ns()
    front.forbid_restart(due_ns)
    front.start_if_due(due_ns + 60 * SECOND_NS)
    assert len(starts) == 1
    assert front.state == "finished"
    assert front.due_ns() > due_ns + 3600 * SECOND_NS


@pytest.mark.row("M12")
def test_only_the_main_thread_starts_children() -> None:
    """The parent-death signal follows the thread: another one than the main thread is refused."""
    errors: list[RuntimeError] = []

    def start() -> None:
        with pytest.raises(RuntimeError, match="main thread") as error:
            ChildProcess.spawn("capture_worker", "{}")
        errors.append(error.value)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(errors) == 1


@pytest.mark.parametrize(("returncode", "text"), [(-11, "signal SIGSEGV"), (69, "exit code 69"), (-99, "signal 99")])
def test_deaths_are_named(returncode: int, text: str) -> None:
    """A signal is shown by its name, an exit code by its number."""
    assert str(Death(1, returncode)) == text


def test_how_long_a_camera_has_been_idle() -> None:
    """A running camera that turned idle is that since then, and not since it runs."""
    child = Child("front", "camera", "no.module", "{}")
    child._become("running", 5)
    assert child.record(100).since_ns == 5
    child.health.take_beat(Beat.model_validate({"report": "beat", "within_ms": 1000, "idle": True}), 50)
    assert child.record(100).since_ns == 50
    child._become("killing", 70)
    assert child.record(100).since_ns == 70
