"""Running pipelines whose cameras, servicer and supervisor no test has harmed yet: what was harmed waits longer."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from shm import ChildRecord, Frame, RingReader
from tests.end_to_end.running import Pipeline, running_pipeline

SPARES = 10
FPS = 10.0
WATCHED = "watch"  # the camera that no test harms
WATCHED_FPS = 15.0
ABSENT = "gone"  # a camera with a lasting fault
ABSENT_FAULT = f"Image Capture Failure for {ABSENT}"
READY_S = 30.0


class Fleet:
    """Hands out cameras and servicers of pipelines, inside `with`, and starts another pipeline when none is left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = contextlib.ExitStack()
        self._pipeline: Pipeline | None = None
        self._spares: list[str] = []
        self._servicer_is_unharmed = False

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def camera(self) -> tuple[Pipeline, str]:
        """A camera that runs, and has never failed."""
        pipeline = self._current() if self._spares else self._start()
        return pipeline, self._spares.pop()

    def servicer(self) -> Pipeline:
        """A pipeline whose servicer has never failed."""
        pipeline = self._current() if self._servicer_is_unharmed else self._start()
        self._servicer_is_unharmed = False
        return pipeline

    def any(self) -> Pipeline:
        """A pipeline for tests that leave it as they found it."""
        return self._current()

    def control_file(self, camera: str) -> Path:
        """The file that says what this camera does wrong."""
        return self._folder / f"{camera}.control"

    def _current(self) -> Pipeline:
        return self._pipeline or self._start()

    def _start(self) -> Pipeline:
        self._running.close()
        spares = [f"spare{number}" for number in range(SPARES)]
        for name in (*spares, WATCHED):
            self.control_file(name).unlink(missing_ok=True)
        cameras = {name: self._synthetic(name, FPS) for name in spares}
        cameras[WATCHED] = self._synthetic(WATCHED, WATCHED_FPS)
        cameras[ABSENT] = {"device": "/dev/video99"}
        pipeline = self._pipeline = self._running.enter_context(running_pipeline(self._folder, cameras))
        await_answers(pipeline, (*spares, WATCHED))
        pipeline.wait(lambda: ABSENT_FAULT in pipeline.faults(), "the lasting fault", READY_S)
        self._spares, self._servicer_is_unharmed = spares, True
        return pipeline

    def _synthetic(self, name: str, fps: float) -> dict[str, Any]:
        synthetic = {"control_file": str(self.control_file(name))}
        return {"driver": "synthetic", "width": 320, "height": 240, "fps": fps, "synthetic": synthetic}


def await_answers(pipeline: Pipeline, cameras: Iterable[str]) -> None:
    """Wait until each of these cameras has an image for who asks."""
    pipeline.wait_for_images(cameras, READY_S)


def kept_rate(pipeline: Pipeline, before: ChildRecord, window_s: float = 5.0, fps: float = WATCHED_FPS) -> float:
    """The part of its rate that a camera has kept since `before`, by its own frames' capture times."""

    def measured_s() -> float:
        return ((pipeline.child(before.name).captured_ns or 0) - (before.captured_ns or 0)) / 1e9

    pipeline.wait(lambda: measured_s() > window_s, f"{window_s} s of {before.name}", 3 * window_s)
    after = pipeline.child(before.name)
    assert after.pid == before.pid
    return (after.frames - before.frames) / (((after.captured_ns or 0) - (before.captured_ns or 0)) / 1e9) / fps


def successors_first_frame(pipeline: Pipeline, camera: str, last: Frame, within_s: float) -> Frame:
    """The first frame of another process than the one that captured `last`."""
    reader = RingReader(pipeline.instance, camera)
    found: list[Frame] = []

    def is_there() -> bool:
        frame = reader.latest()
        if frame is not None and frame.epoch != last.epoch:
            found.append(frame)
        return bool(found)

    pipeline.wait(is_there, f"a new frame of {camera}", within_s)
    return found[0]
