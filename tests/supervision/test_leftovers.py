"""Processes that outlived their supervisor are ended by the next one of the same instance, and only those."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from supervision.crew import MODULES, Crew
from supervision.leftovers import INSTANCE, POST_MORTEM, Leftover, kill_leftovers, tags_of
from supervision.process import Death
from supervision.settings import Settings
from supervision.timing import Timing
from tests.matrix.recording import MeasuredRow
from tests.supervision.running import RunningSupervisor, new_instance, settings_document, wait_for

LATE = "tests.supervision.late_child"


def stopped_child(supervisor: RunningSupervisor) -> psutil.Process:
    """Return the child that was stopped before it could ask for the parent-death signal."""

    def look() -> psutil.Process | None:
        pid = (record := supervisor.child("front")) and record.pid
        process = psutil.Process(pid) if pid else None
        return process if process and process.status() == psutil.STATUS_STOPPED else None

    return wait_for(look, "the child has stopped")


@pytest.mark.row("M11")
def test_child_that_was_stopped_too_early_is_killed_by_the_next_start(tmp_path: Path) -> None:
    """It survives the supervisor's SIGKILL, and the next supervisor ends it before it starts anything."""
    with (
        RunningSupervisor(tmp_path / "log", {"front": "work"}, module=LATE) as supervisor,
        RunningSupervisor(tmp_path / "foreign", {"front": "work"}, module=LATE) as foreign,
    ):
        leftover, others = stopped_child(supervisor), stopped_child(foreign)
        for one in (supervisor, foreign):
            one.popen.kill()
            one.popen.wait()
        assert leftover.status() == psutil.STATUS_STOPPED, "nothing else ends it"
        with RunningSupervisor(tmp_path / "next", {"front": "work"}, instance=supervisor.instance) as successor:
            successor.wait_until_working("front")
            assert not leftover.is_running() or leftover.status() == psutil.STATUS_ZOMBIE
            assert "killed 1 processes that an earlier run had left" in successor.log
            assert others.status() == psutil.STATUS_STOPPED, "it belongs to another instance"
        others.kill()


@pytest.mark.row("M11")
def test_child_that_wakes_up_without_its_supervisor_ends(
    tmp_path: Path, runs: int, row: Callable[[str], MeasuredRow]
) -> None:
    """A child that comes to ask for the parent-death signal too late sees another parent, and ends."""
    for run in range(runs):
        with RunningSupervisor(tmp_path / f"log{run}", {"front": "work"}, module=LATE) as supervisor:
            child = stopped_child(supervisor)
            supervisor.popen.kill()
            supervisor.popen.wait()
            os.kill(child.pid, 18)
            woken_s = time.monotonic()
            wait_for(lambda child=child: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "it ends")  # type: ignore[misc]
            row("M11").measured(
                "end after it was woken up, Python's own start included", time.monotonic() - woken_s, 3.0
            )


@pytest.fixture
def tagged() -> Iterator[Callable[[dict[str, str]], "subprocess.Popen[bytes]"]]:
    """Start processes with these variables in their environment."""
    started: list[subprocess.Popen[bytes]] = []

    def start(tags: dict[str, str]) -> "subprocess.Popen[bytes]":
        program = "import signal; print('up', flush=True); signal.pause()"
        environment = {**os.environ, **tags}
        started.append(subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == b"up\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_only_this_instance_in_this_shared_memory(
    tagged: Callable[[dict[str, str]], "subprocess.Popen[bytes]"],
) -> None:
    """An instance with a longer name, and one of the same name in another container's /dev/shm, go on."""
    instance = new_instance()
    ours = tagged(tags_of(instance, "front"))
    longer = tagged(tags_of(instance + "-2", "front"))
    elsewhere = tagged({**tags_of(instance, "front"), "SPOT_CAMERAS_SHM": "0"})
    assert kill_leftovers(instance) == (1, [])
    assert ours.wait(5) == -9
    assert longer.poll() is None
    assert elsewhere.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_not_another_users() -> None:
    """An instance of another user is another one, also for root, who may end everything."""
    instance = new_instance()
    command = ["/bin/sleep", "60"]
    with subprocess.Popen(command, user=65534, env=tags_of(instance, "front")) as foreign:
        try:
            assert kill_leftovers(instance) == (0, [])
            assert foreign.poll() is None
        finally:
            foreign.kill()


@pytest.mark.row("M4")
def test_one_that_does_not_end(
    tagged: Callable[[dict[str, str]], "subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a driver holds may hold a device: that child waits until it is gone, the others are started."""
    instance = new_instance()
    process = tagged(tags_of(instance, "front"))
    with monkeypatch.context() as kernel:
        kernel.setattr(os, "kill", lambda _pid, _number: None)
        count, held = kill_leftovers(instance, patience_s=0)
    assert (count, [one.child for one in held]) == (1, ["front"])
    settings = Settings.model_validate(settings_document(instance, {"front": "work", "rear": "work"}))
    modules = dict.fromkeys(MODULES, "tests.supervision.scripted_child")
    crew = Crew(settings, Path(), modules, Timing(), held)
    front, rear = crew.cameras.values()
    try:
        for camera in (front, rear):
            camera.start_if_due(camera.due_ns())
        assert (front.state, rear.state) == ("waiting", "starting")
        sentence = f"process {process.pid} of an earlier run (front) does not end"
        assert sentence in (front.record(0).error_text or "")
        process.kill()
        process.wait()
        front.start_if_due(front.due_ns())
        assert front.state == "starting"
    finally:
        crew.kill()
        for camera in (front, rear):
            if camera.process:
                pid, _ = os.waitpid(camera.process.pid, 0)
                camera.end(Death(pid, -9), time.monotonic_ns())


@pytest.mark.parametrize(
    ("child", "waiting"),
    [
        ("front", {"front"}),
        ("old-name", {"front", "rear"}),
        ("", {"front", "rear"}),
        ("servicer", {"servicer"}),
        ("simulated_robot", set()),
    ],
)
def test_who_waits_for_one_that_does_not_end(child: str, waiting: set[str]) -> None:
    """A camera that was renamed opens no device a second time: every camera waits for a name that nobody has."""
    held = Leftover(1, child, "1")
    assert {name for name in ("front", "rear", "servicer") if held.is_in_the_way_of(name, {"front", "rear"})} == waiting


def test_camera_may_be_called_like_anything_else() -> None:
    """No camera waits for a process that writes files, whatever its name; and that one's is no camera's."""
    for name in ("post-mortem", POST_MORTEM):
        assert not Leftover(1, POST_MORTEM, "1").is_in_the_way_of("post-mortem", {"post-mortem", "front"}), name
    with pytest.raises(ValueError, match="should match pattern"):
        Settings.model_validate({"cameras": {POST_MORTEM: {"driver": "synthetic"}}})


def test_what_to_do_about_one_that_does_not_end() -> None:
    """No camera is to be unplugged for a servicer."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    with pytest.raises(OSError, match=r"\(front\) does not end.*: unplug the camera"):
        Leftover(os.getpid(), "front", started).require_gone()
    with pytest.raises(OSError, match=r"\(servicer\) does not end.*opened again: restart the computer"):
        Leftover(os.getpid(), "servicer", started).require_gone()


def test_a_number_that_another_process_got_is_not_waited_for() -> None:
    """Numbers of processes come again; the time of the start tells them apart."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert not Leftover(os.getpid(), "front", started).is_gone()
    assert Leftover(os.getpid(), "front", "1").is_gone()


def test_neither_itself_nor_who_started_it(tagged: Callable[[dict[str, str]], "subprocess.Popen[bytes]"]) -> None:
    """Who cleans up may himself be a descendant of a process of the instance; only the others are ended."""
    instance = new_instance()
    sister = tagged(tags_of(instance, "front"))
    cleaner = f"from supervision.leftovers import kill_leftovers; print(kill_leftovers({instance!r})[0])"
    parent = f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {cleaner!r}]).decode())"
    environment = {**os.environ, **tags_of(instance, "front")}
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, env=environment, check=True, timeout=30)
    assert done.stdout.strip() == b"1"
    assert sister.wait(5) == -9


def test_children_have_the_tag_from_their_first_moment(tmp_path: Path) -> None:
    """Every child of a supervisor, and what it starts itself, is known by its environment."""
    with RunningSupervisor(tmp_path / "log", {"front": "daemon", "rear": "work"}) as supervisor:
        supervisor.wait_until_working("rear")
        supervisor.wait_until("front", lambda child: child.last_exit is not None)
        daemon = int(supervisor.log.split("[front] daemon ")[1].split()[0])
        for pid in (supervisor.wait_until_working("rear"), supervisor.wait_until_working("servicer"), daemon):
            assert psutil.Process(pid).environ()[INSTANCE] == supervisor.instance
