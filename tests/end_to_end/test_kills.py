"""Processes that die or hang: the others go on, and what is lost comes back in time."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import ChildRecord
from shm.names import names_of
from tests.end_to_end.conftest import CAMERAS
from tests.end_to_end.running import (
    OK,
    SERVICE_NAME,
    Pipeline,
    free_port,
    processes_of,
    run_supervisor,
    running_pipeline,
    wait,
)

MAX_AGE_S = 0.5
FRONT_FAULT = "Image Capture Failure for front"


@pytest.fixture
def own_pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline for one test alone: backoff and restarts of one would be seen by the next."""
    with running_pipeline(tmp_path, CAMERAS) as pipeline:
        for name in CAMERAS:
            pipeline.wait(lambda name=name: pipeline.answers(name), f"{name} answers", 20)  # type: ignore[misc]
        yield pipeline


class Observer:
    """Asks for a source all the time and remembers every stale answer; as a context, in a thread."""

    def __init__(self, pipeline: Pipeline, source: str) -> None:
        self.answers = 0
        self.stale: list[float] = []
        self._pipeline = pipeline
        self._source = source
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Observer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.02):
            # Before the answer: the time on the way to us is not the pipeline's.
            asked_ns = self._pipeline.robot.now_ns()
            answer = self._pipeline.ask(self._source)
            self.answers += 1
            age_s = (asked_ns - answer.shot.acquisition_time.ToNanoseconds()) / 1e9
            if answer.status == OK and age_s > MAX_AGE_S:
                self.stale.append(age_s)


def kept_rate_hz(pipeline: Pipeline, before: ChildRecord, window_s: float = 3.0) -> float:
    """A camera's rate since `before`, by its own frames' capture times, over a window that is at least this long."""

    def measured_ns() -> int:
        return (pipeline.child(before.name).captured_ns or 0) - (before.captured_ns or 0)

    pipeline.wait(lambda: measured_ns() > window_s * 1e9, f"{window_s} s of {before.name}", 3 * window_s)
    after = pipeline.child(before.name)
    return (after.frames - before.frames) / (((after.captured_ns or 0) - (before.captured_ns or 0)) / 1e9)


def test_killed_worker(own_pipeline: Pipeline) -> None:
    """SIGKILL of a worker: back within 2 s, the other camera unaffected, its fault shown and cleared."""
    pipeline = own_pipeline
    rear = pipeline.child("rear")
    old = pipeline.kill("front", signal.SIGKILL)

    def is_back() -> bool:
        record = pipeline.child("front")
        return record.pid not in (None, old) and record.state == "running" and pipeline.answers("front")

    took_s = pipeline.wait(is_back, "front is back", 2.0)
    print(f"\nkilled worker: back after {took_s:.2f} s")
    pipeline.wait(lambda: pipeline.faults() or pipeline.robot.past_faults, "the fault is shown", 3.0)
    pipeline.wait(lambda: not pipeline.faults(), "the fault is cleared", 10.0)
    assert [fault.fault_id.fault_name for fault in pipeline.robot.past_faults] == [FRONT_FAULT]
    assert kept_rate_hz(pipeline, rear) >= 0.95 * 15
    assert pipeline.child("rear").restarts == 0


def test_worker_that_somebody_else_ends(own_pipeline: Pipeline) -> None:
    """SIGTERM that does not come from the supervisor is an end like any other: the worker is started again."""
    pipeline = own_pipeline
    old = pipeline.kill("front", signal.SIGTERM)
    pipeline.wait(
        lambda: pipeline.child("front").pid not in (None, old) and pipeline.answers("front"), "front is back", 3.0
    )


def test_stopped_worker(own_pipeline: Pipeline) -> None:
    """SIGSTOP of a worker: no stale answer is ever OK, and it is running again within 7 s, its stack in the log."""
    pipeline = own_pipeline
    with Observer(pipeline, "front") as observer:
        old = pipeline.kill("front", signal.SIGSTOP)
        pipeline.wait(lambda: not pipeline.answers("front"), "front stops answering", 3.0)
        took_s = pipeline.wait(
            lambda: pipeline.child("front").pid not in (None, old) and pipeline.answers("front"), "front is back", 7.0
        )
    print(f"\nstopped worker: back after {took_s:.2f} s")
    assert observer.answers > 10
    assert observer.stale == []
    pipeline.wait(lambda: not pipeline.faults(), "the fault is cleared", 10.0)


def test_killed_servicer(own_pipeline: Pipeline) -> None:
    """SIGKILL of the servicer: frames go on, and it is back and registered within 3 s."""
    pipeline = own_pipeline
    front = pipeline.child("front")
    registrations = pipeline.robot.calls["DirectoryRegistrationService/UpdateService"]
    old = pipeline.kill("servicer", signal.SIGKILL)

    def is_back() -> bool:
        servicer = pipeline.child("servicer")
        registered = pipeline.robot.calls["DirectoryRegistrationService/UpdateService"] > registrations
        return servicer.pid not in (None, old) and registered and pipeline.answers("front")

    took_s = pipeline.wait(is_back, "the service is back and registered", 3.0)
    print(f"\nkilled servicer: back and registered after {took_s:.2f} s")
    assert SERVICE_NAME in pipeline.robot.services
    assert kept_rate_hz(pipeline, front) >= 0.95 * 30
    assert pipeline.child("front").restarts == 0


def test_killed_supervisor(tmp_path: Path) -> None:
    """SIGKILL of the supervisor: no process is left after 3 s, and nothing of the past after the next start."""
    with running_pipeline(tmp_path, CAMERAS) as pipeline:
        instance = pipeline.instance
        assert len(processes_of(instance)) == 4
        pipeline.process.kill()
        pipeline.process.wait()
        took_s = wait(lambda: not processes_of(instance), "no process is left", 3.0, pipeline.log)
        print(f"\nkilled supervisor: no process left after {took_s:.2f} s")
        assert names_of(instance), "the segments are still there for the next start to sweep"
        again = run_supervisor(
            tmp_path, "--simulate", "--instance", instance, "--port", str(free_port()), "--duration", "2"
        )
        assert again.returncode == 0, again.stderr
