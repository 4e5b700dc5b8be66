"""What follows the end of a child: a restart, a longer and longer wait, or nothing."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from shm import names
from supervision import exit_codes
from tests.supervision.running import RunningSupervisor, wait_for


def test_killed_worker_is_back_and_the_other_goes_on(tmp_path: Path) -> None:
    """A worker that dies of SIGKILL is running again within 2 s, the other one keeps its process."""
    with RunningSupervisor(tmp_path / "log", {"front": "work", "rear": "work"}, timing={"well_s": 0.5}) as supervisor:
        pid, other = supervisor.wait_until_working("front"), supervisor.wait_until_working("rear")
        os.kill(pid, signal.SIGKILL)
        front = supervisor.wait_until("front", lambda child: child.state == "running" and child.pid != pid, 2.0)
        assert (front.restarts, front.last_exit, front.error_code) == (1, "signal SIGKILL", "crashed")
        assert supervisor.wait_until_working("rear") == other
        supervisor.wait_until("front", lambda child: child.error_code is None, 5.0)
        front = supervisor.wait_until("front", lambda child: child.state == "running")
        assert front.last_exit == "signal SIGKILL"


def test_crash_loop_waits_longer_and_longer(tmp_path: Path) -> None:
    """A worker that always crashes is restarted at once, then after about 0.5 s and 1 s, and never given up."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash", "rear": "work"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.restarts == 3)
        assert front.error_code == "crashed"
        assert "no luck today" in (front.error_text or "")
        assert front.last_exit == "exit code 1"
        front = supervisor.wait_until("front", lambda child: child.state == "waiting" and child.restarts == 3)
        assert front.next_start_ns is not None
        assert 1.5 <= (front.next_start_ns - front.since_ns) / 1e9 <= 2.0
        supervisor.wait_until_working("rear")


@pytest.mark.soak
def test_three_crash_loops_are_less_than_a_line_a_second(tmp_path: Path) -> None:
    """Three minutes of cameras that all crash: at most 60 lines a minute, what is said of each, and few files."""
    cameras = {"front": "crash", "left": "crash_later", "rear": "absent"}
    with RunningSupervisor(tmp_path / "log", cameras, verbose=False) as supervisor:
        started_s = time.monotonic()
        wait_for(lambda: time.monotonic() - started_s > 180, "three minutes", 190)
        for name in cameras:
            supervisor.wait_until(name, lambda child: child.restarts >= 5)
        assert "no luck today" in supervisor.log
        lines = supervisor.log.splitlines()
        print(f"{len(lines)} lines")
        assert len(lines) <= 180
        for name in cameras:
            assert f"{name}: ended (" in supervisor.log
        assert "-v shows all" not in supervisor.log, "nothing of the supervisor's own was left out"
        assert len(list(supervisor.post_mortems.iterdir())) <= 7


def test_signal_of_a_crash_is_named(tmp_path: Path) -> None:
    """A segmentation fault is reported as one, and its stack reaches the log."""
    with RunningSupervisor(tmp_path / "log", {"front": "crash_later"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.last_exit is not None)
        assert (front.last_exit, front.error_text) == ("signal SIGSEGV", "ended with signal SIGSEGV")
        assert "[front] Fatal Python error: Segmentation fault" in supervisor.log


def test_own_words_of_a_worker_stand(tmp_path: Path) -> None:
    """What a worker itself said about its end is not replaced by `crashed`."""
    with RunningSupervisor(tmp_path / "log", {"front": "absent"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.restarts == 2)
        assert (front.error_code, front.error_text) == ("absent", "there is no /dev/video7")


def test_bad_configuration_is_not_tried_again(tmp_path: Path) -> None:
    """A worker that ends with 78 stays down; the others are served on."""
    with RunningSupervisor(tmp_path / "log", {"front": "refuse", "rear": "work"}) as supervisor:
        front = supervisor.wait_until("front", lambda child: child.state == "refused")
        assert (front.restarts, front.error_code, front.error_text) == (0, "bad_configuration", "no such mode")
        supervisor.wait_until_working("rear")


def test_servicer_that_refuses_is_the_end(tmp_path: Path) -> None:
    """Without a service there is nothing to run for: the supervisor ends with the servicer's 78."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}, service={"authority": "x/refuse"}) as supervisor:
        assert supervisor.popen.wait(10) == exit_codes.BAD_CONFIGURATION
        assert "servicer: bad_configuration: no such mode" in supervisor.log
        assert supervisor.processes() == []


def test_all_cameras_finished_is_the_end(tmp_path: Path) -> None:
    """When every video has been played, the supervisor ends by itself with exit code 0."""
    with RunningSupervisor(tmp_path / "log", {"front": "finish", "rear": "finish"}) as supervisor:
        assert supervisor.popen.wait(10) == 0
        assert "every camera has finished" in supervisor.log


def test_one_finished_camera_leaves_the_others_running(tmp_path: Path) -> None:
    """A finished camera is not started again, and does not end the others."""
    with RunningSupervisor(tmp_path / "log", {"front": "finish", "rear": "work"}) as supervisor:
        supervisor.wait_until("front", lambda child: child.state == "finished")
        before = supervisor.wait_until_working("rear")
        assert supervisor.wait_until_working("rear") == before


def test_grandchildren_die_with_their_worker(tmp_path: Path) -> None:
    """What a worker started does not outlive it, and is reaped by the supervisor."""
    with RunningSupervisor(tmp_path / "log", {"front": "grandchild"}) as supervisor:
        supervisor.wait_until("front", lambda child: child.last_exit is not None)
        pid = int(supervisor.log.split("[front] grandchild ")[1].split()[0])
        wait_for(lambda: not psutil.pid_exists(pid), "the grandchild is gone", 2.0)


def test_daemons_are_adopted_and_do_not_outlive_the_supervisor(tmp_path: Path) -> None:
    """What a worker hid in a session of its own becomes the supervisor's child, and ends with it."""
    with RunningSupervisor(tmp_path / "log", {"front": "daemon"}) as supervisor:
        supervisor.wait_until("front", lambda child: child.last_exit is not None)
        daemon = psutil.Process(int(supervisor.log.split("[front] daemon ")[1].split()[0]))
        assert daemon.ppid() == supervisor.popen.pid
        supervisor.stop()
        wait_for(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE, "the daemon is gone", 2.0)


def test_leftovers_of_a_dead_worker_are_removed(tmp_path: Path) -> None:
    """A ring that a killed worker had begun to build is removed when the worker is reaped."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("front")
        ring = names.segment_name(supervisor.instance, "front")
        leftover = names.path_of(names.aside_name(ring, pid))
        for path in (leftover, names.path_of(ring)):
            path.touch()
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_until("front", lambda child: child.restarts == 1)
        assert not leftover.exists()
        assert names.path_of(ring).exists()


def test_ring_of_a_worker_without_room_goes_first(tmp_path: Path) -> None:
    """When /dev/shm is full for a new ring, the camera's old one is removed."""
    with RunningSupervisor(tmp_path / "log", {"front": "no_room"}) as supervisor:
        supervisor.wait_until("front", lambda child: child.error_code == "shm_full" and child.restarts > 0)
        ring = names.path_of(names.segment_name(supervisor.instance, "front"))
        ring.touch()
        wait_for(lambda: not ring.exists(), "the old ring is gone", 5.0)


def test_mad_reports_harm_nobody(tmp_path: Path) -> None:
    """Lines that are no reports are dropped, and the first of them is logged."""
    with RunningSupervisor(tmp_path / "log", {"front": "mad"}) as supervisor:
        supervisor.wait_until_working("front")
        assert supervisor.log.count("sends lines that are no reports") == 1


def test_robot_clock_outlives_the_servicer(tmp_path: Path) -> None:
    """A restarted servicer finds the robot's clock offset on the board."""
    with RunningSupervisor(tmp_path / "log", {"front": "work"}) as supervisor:
        pid = supervisor.wait_until_working("servicer")
        os.kill(pid, signal.SIGKILL)
        supervisor.wait_until("servicer", lambda child: child.restarts == 1)
        status = supervisor.status()
        assert status is not None
        assert status.robot_clock_offset_ns == 123
