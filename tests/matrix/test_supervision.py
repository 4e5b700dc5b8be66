"""What the supervisor must bear: a child that cannot be killed, one that never lives, and a full disk."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from shm import BoardReader
from tests.end_to_end.running import PROJECT_FOLDER, processes_of, running_pipeline
from tests.matrix.bare import FPS, SMALL, TWO_CAMERAS, Bare, running
from tests.matrix.fleet import await_answers
from tests.matrix.recording import MeasuredRow
from tests.matrix.undying import HELD

PATIENCE_S = 20.0
LOOP_S = 1.0
AND_ON_S = 8.0  # it is given up after about 4 s
MINUTE_S = 60.0

Rows = Callable[[str], MeasuredRow]


class Turns:
    """Watches the board inside `with`, and knows the longest time between two of its updates."""

    def __init__(self, instance: str) -> None:
        self.longest_s = 0.0
        self._board = BoardReader(instance)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Turns":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        last_ns = None
        while not self._done.wait(0.02):
            if status := self._board.latest():
                self.longest_s = max(self.longest_s, (status.updated_ns - (last_ns or status.updated_ns)) / 1e9)
                last_ns = status.updated_ns


def is_unkillable(bare: Bare) -> bool:
    """Whether the supervisor has given up waiting for the held camera's end."""
    child = bare.child(HELD)
    return child is not None and child.state == "unkillable"


@pytest.mark.row("M4")
def test_worker_that_cannot_be_killed(tmp_path: Path, row: Rows) -> None:
    """As if in state D: the loop turns on, the other camera keeps its rate, and nobody else opens the device."""
    command = (sys.executable, "-m", "tests.matrix.undying")
    cameras = {HELD: SMALL, "a": SMALL}
    env = {"PYTHONPATH": str(PROJECT_FOLDER)}
    with running(tmp_path, cameras, command=command, env=env) as bare:
        bare.await_all(HELD, "a", "servicer")
        pid, before = bare.pid(HELD), bare.child("a")
        assert before is not None
        with Turns(bare.instance) as turns:
            os.kill(pid, signal.SIGSTOP)
            bare.wait(lambda: is_unkillable(bare), "it is called unkillable", PATIENCE_S)
            row("M4").at_least("rate kept by another camera", bare.kept_rate(before, AND_ON_S), 0.95)
        row("M4").measured("a turn of the loop", turns.longest_s, LOOP_S)
        assert bare.pid(HELD) == pid
        assert len(processes_of(bare.instance)) == 4
        os.kill(pid, signal.SIGKILL)  # the driver lets it go at last
        bare.wait(lambda: bare.works(HELD) and bare.pid(HELD) != pid, "it is started again", PATIENCE_S)


CRASHING = {"driver": "synthetic", "synthetic": {"script": ["0: exit"]}}


@pytest.mark.row("M6")
@pytest.mark.soak
def test_worker_that_never_lives(tmp_path: Path, row: Rows) -> None:
    """A minute of ends: few starts, few lines, one fault, and a supervisor that hardly notices."""
    with running_pipeline(tmp_path, {"crashing": CRASHING, "watch": SMALL}) as pipeline:
        await_answers(pipeline, ["watch"])
        shown: set[str] = set()

        def is_over() -> bool:
            shown.update(pipeline.faults())
            return pipeline.child("watch").frames / FPS >= MINUTE_S

        pipeline.wait(is_over, "a minute", 2 * MINUTE_S)
        starts = pipeline.child("crashing").restarts + 1
        times = psutil.Process(pipeline.process.pid).cpu_times()
        lines = [line for line in pipeline.log_file.read_text().splitlines() if "crashing" in line]
        row("M6").at_most("starts in 60 s", starts, 10)
        row("M6").at_most("CPU of the supervisor", (times.user + times.system) / MINUTE_S * 100, 5, "%")
        row("M6").at_most("lines in a minute", len(lines), 20)
        assert starts >= 3
        assert shown == set(pipeline.faults()) == {"Image Capture Failure for crashing"}
        assert pipeline.robot.past_faults == []
        assert pipeline.child("crashing").state in ("waiting", "starting")


def fill(folder: Path) -> None:
    """Write a file until its disk is full."""
    fd = os.open(folder / "rest", os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, bytes(1024)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017  it ends in no other way
    finally:
        os.close(fd)


@pytest.mark.row("M33")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of 64 kB")
def test_full_disk(tmp_path: Path, row: Rows) -> None:
    """With no byte left for the log and for post-mortems, cameras are served on, and a dead one is started again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size=64k tmpfs "{disk}" && exec "$@" > "{disk}/log" 2>&1'
    command = ("unshare", "--mount", "sh", "-c", script, "sh", sys.executable, str(PROJECT_FOLDER / "supervisor.py"))
    with running(tmp_path, TWO_CAMERAS, command=command, head=f'post_mortem_dir = "{disk}"\n') as bare:
        bare.await_all("a", "b", "servicer")
        inside = Path(f"/proc/{bare.process.pid}/root{disk}")
        fill(inside)
        before = bare.child("b")
        assert before is not None
        for restarts in (1, 2):
            pid = bare.pid("a")
            os.kill(pid, signal.SIGSEGV)
            bare.wait(lambda: bare.works("a") and bare.pid("a") != pid, "it is back", PATIENCE_S)  # noqa: B023
            child = bare.child("a")
            assert child is not None
            assert child.restarts == restarts
        row("M33").at_least("rate kept by another camera", bare.kept_rate(before), 0.95)
        assert os.statvfs(inside).f_bavail == 0
