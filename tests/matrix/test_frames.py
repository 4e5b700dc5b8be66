"""Cameras that come and go, change their size, or deliver what is no frame: the reader sees good frames or none."""

import time
from collections.abc import Callable

import pytest

from tests.end_to_end.running import OK, Pipeline
from tests.matrix.client import RAW, no_wrong_answer
from tests.matrix.fleet import FPS, Fleet
from tests.matrix.recording import MeasuredRow

SEEN_S = 3.0
PATIENCE_S = 20.0

Rows = Callable[[str], MeasuredRow]


def size_of(pipeline: Pipeline, camera: str) -> tuple[int, int] | None:
    """Width and height of the picture that a client gets now; None if it gets none."""
    answer = pipeline.ask(camera, image_format=RAW)
    return (answer.shot.image.cols, answer.shot.image.rows) if answer.status == OK else None


def next_try_ns(pipeline: Pipeline, camera: str) -> int:
    """When an absent camera is tried again, by CLOCK_MONOTONIC; 0 while it is being tried, or not absent at all."""
    child = pipeline.child(camera)
    is_waiting = child.state == "waiting" and child.error_code == "absent"
    return (child.next_start_ns or 0) if is_waiting else 0


@pytest.mark.row("M22")
def test_unplugged_and_plugged_in_again(fleet: Fleet, row: Rows, runs: int) -> None:
    """No picture while it is unplugged; once it is back, one within 3 s of the next try."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        with no_wrong_answer(pipeline, camera) as answers:
            pipeline.wait(lambda: answers.ok > 1, "the client is served", PATIENCE_S)
            fleet.control_file(camera).write_text("unplug\n")
            pipeline.wait(lambda: answers.refused > 0, "there is no picture", PATIENCE_S)
            pipeline.wait(lambda: next_try_ns(pipeline, camera), "it is absent", PATIENCE_S)  # noqa: B023
            fleet.control_file(camera).unlink()
            ok, tried_ns = answers.ok, max(next_try_ns(pipeline, camera), time.monotonic_ns())
            pipeline.wait(lambda: answers.ok > ok, "the client is served", PATIENCE_S)  # noqa: B023
            row("M22").measured("plugged in again", (time.monotonic_ns() - tried_ns) / 1e9, SEEN_S)


@pytest.mark.row("M22")
def test_another_resolution(fleet: Fleet, row: Rows, runs: int) -> None:
    """Smaller, and larger than the ring: clients get the new size within 3 s, from the same process."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        pid = pipeline.pid(camera)
        for size in ((200, 100), (1920, 1080)):
            fleet.control_file(camera).write_text(f"wrong_size {size[0]}x{size[1]}\n")
            took_s = pipeline.wait(lambda: size_of(pipeline, camera) == size, f"{size}", PATIENCE_S)  # noqa: B023
            row("M22").measured("new size", took_s, SEEN_S)
        fleet.control_file(camera).unlink()
        pipeline.wait(lambda: size_of(pipeline, camera) == (320, 240), "the size as before", PATIENCE_S)  # noqa: B023
        assert pipeline.pid(camera) == pid


@pytest.mark.row("M22")
def test_what_is_no_frame(fleet: Fleet, row: Rows, runs: int) -> None:
    """None, float64, nothing and a broken JPEG, four of each: counted, served to nobody, and no exception escapes."""
    for _ in range(runs):
        pipeline, camera = fleet.camera()
        pid, errors = pipeline.pid(camera), pipeline.child(camera).facts["errors"]
        with no_wrong_answer(pipeline, camera) as answers:
            fleet.control_file(camera).write_text("garbage 4\n")
            pipeline.wait(lambda: pipeline.child(camera).facts["errors"] >= errors + 4, "errors", PATIENCE_S)  # noqa: B023
            harmed_ns = time.monotonic_ns()
            took_s = pipeline.wait(lambda: answers.last_number * 1e9 / FPS > harmed_ns, "a frame", PATIENCE_S)  # noqa: B023
            row("M22").measured("good frame after bad ones", took_s, SEEN_S)
        assert pipeline.pid(camera) == pid
