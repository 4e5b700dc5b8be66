"""Whole worker processes with the synthetic camera: frames, numbers, times, reports, and every misbehaviour."""

import itertools
import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import psutil
import pytest

from capture_worker import pattern
from shm import Encoding, Frame, RingReader, names
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import WorkerProcess, wait_for


def synthetic(*script: str, encoding: str = "bgr8", **settings: Any) -> CameraSettings:
    """Return the settings of a synthetic camera."""
    return CameraSettings.model_validate(
        {"driver": "synthetic", "synthetic": {"encoding": encoding, "script": script}, **settings}
    )


def number_in(frame: Frame, camera: str = "front") -> int:
    """Return the number in a frame's picture, after a check of every pixel."""
    if frame.encoding is not Encoding.JPEG:
        return pattern.check(frame.pixels(), camera)
    decoded = cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR)
    return pattern.check_lossy(np.asarray(decoded), camera)


@pytest.mark.parametrize("encoding", ["bgr8", "bgra8", "mono8", "mono16", "depth16", "jpeg"])
def test_frames_arrive_whole_in_every_encoding(encoding: str) -> None:
    """Numbers and times rise together, and the descriptor is true."""
    with WorkerProcess(synthetic(encoding=encoding, width=320, height=200, fps=50)) as worker:
        frames = worker.take(20)
        descriptor = worker.reader.descriptor() or {}
    known = {"rows": 200, "cols": 320, "encoding": encoding, "fps": 50.0, "driver": "synthetic"}
    assert {key: descriptor[key] for key in known} == known
    assert set(descriptor["param_spec"]["specs"]) == {"gain", "exposure"}
    for earlier, later in itertools.pairwise(frames):
        periods = number_in(later) - number_in(earlier)
        assert periods >= 1
        assert later.captured_ns - earlier.captured_ns == periods * 20_000_000
        assert later.frame_number > earlier.frame_number
        assert 0 <= later.age_s() < 20


def test_thirty_frames_a_second_are_held() -> None:
    """Over two seconds the default camera delivers its rate; a busy machine gets three tries."""
    with WorkerProcess(synthetic()) as worker:
        rates = []
        for _ in range(3):
            caught = worker.take(60)
            rates.append(59e9 / (caught[-1].captured_ns - caught[0].captured_ns))
            ages_s = [frame.age_s() for frame in worker.take(1)]
            if rates[-1] > 28.5 and min(ages_s) < 0.1:
                return
    raise AssertionError(f"{rates} frames/s")


def test_a_low_rate_keeps_the_loop_turning() -> None:
    """Between two frames of a slow camera the worker goes on promising."""
    with WorkerProcess(synthetic(fps=0.7)) as worker:
        worker.wait_report("ready")
        times_s: list[float] = []
        for count in range(len(worker.read_reports()) + 1, len(worker.reports) + 5):
            worker.wait_count(count)
            times_s.append(time.monotonic())
    assert max(later - earlier for earlier, later in itertools.pairwise(times_s)) < 1.2


def test_the_opening_is_promised_first_and_ready_follows_the_first_frame() -> None:
    """The supervisor knows how long opening may take, then hears of every frame."""
    with WorkerProcess(synthetic(open_timeout_s=7.0)) as worker:
        beat = worker.wait_report("beat", rows=480)
        ready = worker.wait_report("ready")
    assert worker.reports[0] == {"report": "beat", "within_ms": 30_000}  # before anything slow is imported
    assert worker.reports[1] == {"report": "beat", "within_ms": 7000}
    assert ready.items() >= {"frames": 1, "cols": 640, "encoding": "bgr8", "drops": 0, "errors": 0}.items()
    assert beat["within_ms"] == 1500
    assert beat["frame_number"] >= ready["frame_number"]
    assert worker.reports.index(ready) < worker.reports.index(beat)


def test_at_most_eleven_beats_a_second() -> None:
    """A fast camera does not flood its supervisor."""
    with WorkerProcess(synthetic(fps=200, width=64, height=64)) as worker:
        first = worker.wait_report("ready")["captured_ns"]
        worker.take(200)
        beats = [report for report in worker.read_reports() if report.get("captured_ns", 0) > first]
        span_s = (beats[-1]["captured_ns"] - first) / 1e9
    assert len(beats) <= 11 * span_s + 2


def test_sigterm_ends_it_and_leaves_the_last_frame() -> None:
    """An orderly end has an exit code of its own; readers keep what they have."""
    with WorkerProcess(synthetic()) as worker:
        worker.take(3)
        worker.terminate()
        code, _ = worker.wait_end()
        assert code == exit_codes.TERMINATED
        assert worker.reader.latest() is not None


def test_a_restart_continues_the_pictures_numbers() -> None:
    """The pattern's number comes from the clock: a new process goes on where the time is."""
    with WorkerProcess(synthetic()) as worker:
        before = number_in(worker.take(2)[-1])
    with WorkerProcess(synthetic()) as worker:
        assert number_in(worker.take(1)[0]) > before


def test_after_a_stop_frames_are_skipped_and_not_late() -> None:
    """A process that was stopped goes on at the right time and counts what it missed."""
    with WorkerProcess(synthetic()) as worker:
        before = worker.take(3)[-1]
        worker.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: before.age_s() > 0.7)
        worker.process.send_signal(signal.SIGCONT)
        later = next(frame for frame in worker.frames() if frame.frame_number > before.frame_number + 1)
        beat = worker.wait_beat(drops=15)
    assert later.age_s() < 10
    assert beat["drops"] < 600
    assert number_in(later) > number_in(before)


@pytest.mark.row("M22")
def test_a_change_of_size_is_a_new_ring() -> None:
    """Frames of another size come under the same name with rising numbers; the old memory is let go."""
    with WorkerProcess(synthetic("0.5: wrong_size 200x100", "1: wrong_size 640x480", fps=60)) as worker:
        seen: list[Frame] = []
        for frame in worker.frames():
            if not seen or frame.epoch != seen[-1].epoch:
                seen.append(frame)
                number_in(frame)
            if len(seen) == 3:
                break
        maps = psutil.Process(worker.process.pid).memory_maps(grouped=False)
        mapped = [mapping.path for mapping in maps if worker.instance in mapping.path]
        descriptor = worker.reader.descriptor()
    assert [(frame.rows, frame.cols) for frame in seen] == [(480, 640), (100, 200), (480, 640)]
    assert [frame.frame_number for frame in seen] == sorted({frame.frame_number for frame in seen})
    assert descriptor is not None
    assert descriptor["rows"] == 480
    assert len(mapped) == 1


@pytest.mark.parametrize(
    ("script", "code", "error"),
    [
        ("0.2: unplug", exit_codes.CAMERA_FAILED, "read_failed"),
        ("0.2: garbage", exit_codes.CAMERA_FAILED, "corrupt"),
        ("0.2: crash", exit_codes.INTERNAL_ERROR, None),
        ("0.2: exit 3", 3, None),
        ("0.2: segfault", -signal.SIGSEGV, None),
        ("0.2: corrupt", exit_codes.BAD_CONFIGURATION, "bad_configuration"),
    ],
)
def test_failures_end_the_process_with_their_code_and_reason(script: str, code: int, error: str | None) -> None:
    """Crash-only: every failure is an exit code, and an error line where the worker still could."""
    with WorkerProcess(synthetic(script)) as worker:
        assert worker.wait_end()[0] == code
        errors = [report["code"] for report in worker.read_reports() if report["report"] == "error"]
    assert errors == ([error] if error else [])


def test_a_crash_is_explained_in_the_log() -> None:
    """The traceback of an unexpected exception, or the stack of a segfault, reaches the log."""
    for script, trace in (("0: crash", "RuntimeError: the script says: crash"), ("0: segfault", "Segmentation fault")):
        with WorkerProcess(synthetic(script)) as worker:
            assert trace in worker.wait_end()[1]


@pytest.mark.row("M22")
def test_a_little_garbage_is_counted_and_tolerated() -> None:
    """None, floats, nothing and a broken JPEG in a row are errors that nobody sees as frames."""
    with WorkerProcess(synthetic("0.2: garbage 5")) as worker:
        beat = worker.wait_beat(errors=5)
        later = next(f for f in worker.frames() if f.frame_number > beat["frame_number"])
        assert number_in(later) > 0


def test_a_hang_ignores_sigterm_after_a_short_promise() -> None:
    """The last promise says one second and a bit: the supervisor knows soon, and only SIGKILL helps."""
    with WorkerProcess(synthetic("0.3: hang")) as worker:
        silent = wait_for(lambda: (f := worker.reader.latest()) is not None and f.age_s() > 0.3)
        worker.terminate()
        wait_for(lambda: (f := worker.reader.latest()) is not None and f.age_s() > 0.6)
        assert silent
        assert worker.process.poll() is None
        assert worker.read_reports()[-1]["within_ms"] == 1500


def test_a_freeze_repeats_the_picture_while_time_goes_on() -> None:
    """The pixels stay, the capture times do not."""
    with WorkerProcess(synthetic("0: freeze")) as worker:
        frames = worker.take(10)
    assert len({number_in(frame) for frame in frames}) == 1
    assert len({frame.captured_ns for frame in frames}) == 10


def test_a_slow_camera_stays_true() -> None:
    """Ten frames a second at most, each of the moment at which it was delivered."""
    with WorkerProcess(synthetic("0: slow 0.1")) as worker:
        frames = worker.take(5)
    gaps_s = [(later.captured_ns - earlier.captured_ns) / 1e9 for earlier, later in itertools.pairwise(frames)]
    assert statistics.median(gaps_s) > 0.09


def test_a_bad_configuration_is_refused_with_a_sentence() -> None:
    """What cannot be understood is not tried again."""
    with WorkerProcess(synthetic(), name="front", instance="Bad Name") as worker:
        assert worker.wait_end()[0] == exit_codes.BAD_CONFIGURATION
        code, text = worker.error()
    assert code == "bad_configuration"
    assert "instance: " in text


def test_without_a_supervisor_it_ends() -> None:
    """A closed stdin is the supervisor's death."""
    with WorkerProcess(synthetic()) as worker:
        worker.take(1)
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.process.wait(10) == exit_codes.ORPHANED


def test_a_full_dev_shm_is_a_sentence() -> None:
    """A ring that cannot be allocated ends the worker with the advice that helps."""
    with WorkerProcess(synthetic(), file_limit_bytes=2**20) as worker:
        assert worker.wait_end()[0] == exit_codes.SHM_FAILED
        code, text = worker.error()
    assert code == "shm_full"
    assert "shm_size" in text


@pytest.mark.parametrize("harm", [names.remove, lambda name: os.truncate(names.path_of(name), 4096)])
def test_a_ring_that_somebody_harmed_is_made_anew(harm: Callable[[str], object]) -> None:
    """Removed or cut under the worker's hands: new readers find a whole ring again, and the process lives."""
    with WorkerProcess(synthetic()) as worker:
        before = worker.take(1)[0]
        harm(names.segment_name(worker.instance, worker.name))
        newcomer = RingReader(worker.instance, worker.name)
        wait_for(lambda: (frame := newcomer.latest()) is not None and frame.frame_number > before.frame_number + 3)
        assert worker.process.poll() is None
