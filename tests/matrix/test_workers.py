"""Workers that die, hang or are stopped: back in time, nothing torn, old or backward, and the others do not notice."""

import contextlib
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from shm import RingReader, names
from tests.end_to_end.running import Pipeline
from tests.matrix.client import no_wrong_answer
from tests.matrix.fleet import FPS, WATCHED, Fleet, kept_rate, successors_first_frame
from tests.matrix.recording import MeasuredRow

BACK_S = 2.0
BACK_FROM_HANG_S = 7.0
PATIENCE_S = 20.0  # longer than the bounds: a figure beyond its bound is to be known, too

Rows = Callable[[str], MeasuredRow]


@contextlib.contextmanager
def the_others_keep_their_rate(pipeline: Pipeline, row: MeasuredRow) -> Iterator[None]:
    """The camera that nobody harms delivers as always, over at least 5 s from here on."""
    before = pipeline.child(WATCHED)
    yield
    row.at_least("rate kept by another camera", kept_rate(pipeline, before), 0.95)


def fault_comes_and_goes(pipeline: Pipeline, camera: str) -> None:
    """The camera's fault is raised once, and cleared."""
    name = f"Image Capture Failure for {camera}"

    def past() -> list[str]:
        return [fault.fault_id.fault_name for fault in pipeline.robot.past_faults]

    pipeline.wait(lambda: name in pipeline.faults() or name in past(), "the fault is shown", 5.0)
    pipeline.wait(lambda: name not in pipeline.faults(), "the fault is cleared", 10.0)
    assert past().count(name) == 1


def harm(
    pipeline: Pipeline, camera: str, how: Callable[[Pipeline, str], object], measured: MeasuredRow, bound_s: float
) -> None:
    """Harm a camera at a random moment, and measure until there is a new frame. No client sees anything wrong."""
    with no_wrong_answer(pipeline, camera) as answers:
        pipeline.wait(lambda: answers.ok > 1, "the client is served", 5.0)
        threading.Event().wait(random.uniform(0, 1 / FPS))  # noqa: S311  no secret
        last = RingReader(pipeline.instance, camera).latest()
        assert last is not None
        harmed_ns = time.monotonic_ns()
        how(pipeline, camera)
        frame = successors_first_frame(pipeline, camera, last, PATIENCE_S)
        measured.measured("first new frame", (frame.captured_ns - harmed_ns) / 1e9, bound_s)
        assert frame.frame_number > last.frame_number
        ok = answers.ok
        pipeline.wait(lambda: answers.ok > ok and answers.last_number * 1e9 / FPS > harmed_ns, "the client has it", 5.0)


def kill(pipeline: Pipeline, camera: str) -> None:
    """SIGKILL."""
    pipeline.kill(camera, signal.SIGKILL)


@pytest.mark.row("M1")
def test_killed_worker(fleet: Fleet, row: Rows, runs: int) -> None:
    """SIGKILL: a new frame within 2 s, its fault shown once and cleared, the other camera's rate kept."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        with the_others_keep_their_rate(pipeline, row("M1")):
            harm(pipeline, camera, kill, row("M1"), BACK_S)
            fault_comes_and_goes(pipeline, camera)


@pytest.mark.row("M1")
@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_kills_at_random_moments(fleet: Fleet, row: Rows, runs: int, kills: int) -> None:
    """Whenever a worker is killed, no client sees a torn, old or backward frame, and a new one comes within 2 s."""
    for _ in range(max(kills, runs)):
        harm(*fleet.camera(), kill, row("M1"), BACK_S)


def stop(pipeline: Pipeline, camera: str) -> None:
    """SIGSTOP."""
    pipeline.kill(camera, signal.SIGSTOP)


@pytest.mark.row("M2")
def test_stopped_worker(fleet: Fleet, row: Rows, runs: int) -> None:
    """SIGSTOP: no stale answer is ever OK, the worker is killed, and a new frame comes within 7 s."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        with the_others_keep_their_rate(pipeline, row("M2")):
            harm(pipeline, camera, stop, row("M2"), BACK_FROM_HANG_S)
            record = pipeline.child(camera)
            assert (record.error_code, record.last_exit, record.restarts) == ("hung", "signal SIGKILL", 1)
            assert "kernel state T" in (record.error_text or "")


def hang(fleet: Fleet) -> Callable[[Pipeline, str], object]:
    """Block inside C, as a broken driver does."""
    return lambda _, camera: fleet.control_file(camera).write_text("hang\n")


@pytest.mark.row("M3")
def test_hanging_driver(fleet: Fleet, row: Rows, runs: int) -> None:
    """A driver that hangs in C, deaf to SIGTERM: killed with its stack kept, and a new frame within 7 s."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        with the_others_keep_their_rate(pipeline, row("M3")):
            harm(pipeline, camera, hang(fleet), row("M3"), BACK_FROM_HANG_S)
            record = pipeline.child(camera)
            assert (record.error_code, record.last_exit, record.restarts) == ("hung", "signal SIGKILL", 1)
            assert any("synthetic_camera" in line for line in record.facts["last_stack"])


def use_up_memory(pipeline: Pipeline, camera: str) -> None:
    """Let the worker have no more memory than it has, and make it need some: a new ring, because its own is gone."""
    limit = (1 << 20, 1 << 20)
    resource.prlimit(pipeline.pid(camera), resource.RLIMIT_AS, limit)
    names.remove(names.segment_name(pipeline.instance, camera))


ENDS: dict[str, tuple[Callable[[Pipeline, str], object], str]] = {
    "SIGSEGV": (lambda pipeline, camera: pipeline.kill(camera, signal.SIGSEGV), "signal SIGSEGV"),
    "SIGBUS": (lambda pipeline, camera: pipeline.kill(camera, signal.SIGBUS), "signal SIGBUS"),
    "no memory": (use_up_memory, "exit code 1"),
}


@pytest.mark.row("M5")
@pytest.mark.parametrize("way", ENDS)
def test_worker_that_dies_of_itself(fleet: Fleet, row: Rows, runs: int, way: str) -> None:
    """A new frame within 2 s, and how the worker ended is on the board."""
    how, expected = ENDS[way]
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        harm(pipeline, camera, how, row("M5"), BACK_S)
        record = pipeline.child(camera)
        assert (record.last_exit, record.restarts) == (expected, 1)
