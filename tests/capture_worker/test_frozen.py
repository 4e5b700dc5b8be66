"""The same picture for too long is noticed, and one in which anything changes is not taken for it."""

import dataclasses
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capture_worker.camera import CapturedFrame, jpeg_frame, raw_frame
from capture_worker.frozen import FrozenLimit, FrozenPicture, frozen_limit
from supervision.camera_settings import CameraSettings
from tests.capture_worker.harness import WorkerProcess, wait_for
from tests.capture_worker.scripted_camera import ScriptedCamera, Stage
from tests.capture_worker.test_jpeg import WHOLE
from tests.matrix.recording import MeasuredRow

DEFAULT = FrozenLimit(5.0, 150)
STILL = np.full((480, 640, 3), 7, np.uint8)


def film(
    pictures: Iterable[NDArray[Any]], fps: float = 30.0, *, make: Callable[..., CapturedFrame] = raw_frame
) -> Iterator[CapturedFrame]:
    """Return the frames of a camera at this rate."""
    for number, picture in enumerate(pictures):
        yield make(picture, round(number * 1e9 / fps))


def frozen_at_s(frames: Iterable[CapturedFrame], limit: FrozenLimit | None = DEFAULT) -> float | None:
    """Return when the picture is found to be frozen; None if it is not to the end."""
    picture = FrozenPicture(limit)
    for frame in frames:
        picture.see(frame)
        if picture.complaint:
            return frame.captured_ns / 1e9
    return None


def test_the_same_picture_for_five_seconds_is_frozen(caplog: pytest.LogCaptureFixture) -> None:
    """The sentence says since when and what to do; only the two changes are logged."""
    picture = FrozenPicture(DEFAULT)
    frames = film(itertools.chain(itertools.repeat(STILL, 900), [STILL + 1]))
    complaints: dict[float, str | None] = {}
    with caplog.at_level("INFO"):
        for frame in frames:
            picture.see(frame)
            complaints[frame.captured_ns / 1e9] = picture.complaint
    found_s = min(time_s for time_s, complaint in complaints.items() if complaint)
    assert 5.0 <= found_s <= 6.5
    assert len(set(complaints.values())) == 2
    assert re.match(r"the picture has not changed since \d\d:\d\d:\d\d UTC, ", complaints[found_s] or "")
    assert "frozen_after_s = 0" in (complaints[found_s] or "")
    assert picture.complaint is None
    before, after = caplog.messages
    assert re.fullmatch(r"the picture has not changed for [56] s, 1\d\d frames", before)
    assert after == "the picture changes again, after 30 s"


def test_a_jpeg_can_be_frozen_too() -> None:
    """What a camera compressed is compared as it is."""
    data = np.frombuffer(WHOLE, np.uint8)
    assert frozen_at_s(film([data] * 300, make=jpeg_frame)) is not None
    other = data.copy()
    other[300] ^= 1
    assert frozen_at_s(film([data, other] * 150, make=jpeg_frame)) is None


@pytest.mark.parametrize("lit", [1, 5, 15, 29])
@pytest.mark.parametrize("at", [(0, 1, 0), (241, 333, 2), (479, 639, 1)])
def test_one_pixel_that_blinks_is_enough(lit: int, at: tuple[int, int, int]) -> None:
    """However little it changes, wherever it is, and however short it is lit in every second of a minute."""
    other = STILL.copy()
    other[at] += 1
    assert frozen_at_s(film((STILL, other)[number % 30 < lit] for number in range(1800))) is None


def test_a_picture_that_changes_seldom_is_not_frozen() -> None:
    """A change every four seconds will do, wherever it is."""
    pictures = [STILL.copy() for _ in range(15)]
    for number, picture in enumerate(pictures):
        picture[number, number, 0] += 1
    assert frozen_at_s(film(itertools.chain(*(itertools.repeat(picture, 120) for picture in pictures)))) is None


def test_a_camera_that_is_rarely_asked_has_time() -> None:
    """A picture a minute of the same dark scene: 150 of them are needed, however long they take."""
    assert frozen_at_s(film([STILL] * 149, fps=1 / 60)) is None
    assert frozen_at_s(film([STILL] * 152, fps=1 / 60)) is not None


def test_pauses_do_not_make_two_pictures_many() -> None:
    """Even where a person has set the time, a few pictures prove nothing."""
    twice_a_day = film([STILL] * 4, fps=1 / 43200)
    assert frozen_at_s(twice_a_day, FrozenLimit(60.0, 5)) is None


def test_another_size_is_another_picture() -> None:
    """Frames of two sizes in turn are no frozen picture, even if both are black."""
    assert frozen_at_s(film([STILL, STILL[:240]] * 150)) is None


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"driver": "synthetic"}, DEFAULT),
        ({"device": 0}, DEFAULT),
        ({"device": "rtsp://127.0.0.1/a"}, DEFAULT),
        ({"device": "clip.mp4"}, None),
        ({"device": "clip.mp4", "frozen_after_s": 8.0}, FrozenLimit(8.0, 5)),
        ({"device": 0, "frozen_after_s": 60.0}, FrozenLimit(60.0, 5)),
        ({"device": 0, "frozen_after_s": 0.0}, None),
    ],
)
def test_who_may_stand_still(settings: dict[str, Any], limit: FrozenLimit | None) -> None:
    """A recorded video may, unless somebody asked for the check; a live camera may if that was configured."""
    assert frozen_limit(CameraSettings.model_validate(settings)) == limit


def test_without_a_limit_nothing_is_looked_at() -> None:
    """`frozen_after_s = 0` costs nothing and says nothing."""
    assert frozen_at_s(film([STILL] * 300), None) is None


def test_a_frozen_camera_complains_once_a_second_and_goes_on() -> None:
    """Frames are published all the time; the complaint ends with the first picture that is another one."""
    with Stage(ScriptedCamera(), frozen_after_s=0.05) as stage:
        errors: list[dict[str, Any]] = []

        def has_complained(times: int) -> bool:
            errors.extend(report for report in stage.reports() if report["report"] == "error")
            return len(errors) >= times

        stage.turn_until(lambda: has_complained(1))
        before, first_ns = stage.reader.latest(), stage.newest_ns()
        stage.turn_until(lambda: has_complained(2))
        assert stage.newest_ns() - first_ns > 0.9e9
        assert {error["code"] for error in errors} == {"frozen"}
        after = stage.reader.latest()
        assert before is not None
        assert after is not None
        assert after.frame_number > before.frame_number
        stage.camera.restless = True
        stage.turn()
        stage.reports()
        errors.clear()
        changed_ns = stage.newest_ns()
        stage.turn_until(lambda: stage.newest_ns() - changed_ns > 1.2e9)
        assert not has_complained(1)


@pytest.mark.row("M24")
def test_a_sensor_that_freezes_is_reported_until_it_moves_again(
    tmp_path: Path, row: Callable[[str], MeasuredRow]
) -> None:
    """By default after 5 s and 150 frames, without a restart; frames keep coming with new times."""
    control = tmp_path / "front.control"
    settings = {"driver": "synthetic", "synthetic": {"control_file": str(control)}}
    with WorkerProcess(CameraSettings.model_validate(settings)) as worker:
        worker.take(1)
        control.write_text("freeze")
        frozen_s = time.monotonic()
        error = worker.wait_report("error", code="frozen")
        row("M24").measured("the worker says so", time.monotonic() - frozen_s, 8.0)
        assert "the picture has not changed since" in error["text"]
        assert worker.take(2)[-1].age_s() < 5
        control.write_text("")
        wait_for(lambda: "the picture changes again, after" in worker.log())
        assert worker.process.poll() is None
        assert [report["code"] for report in worker.read_reports() if report["report"] == "error"].count("frozen") < 30
        assert worker.log().count("the picture has not changed") == 1


def test_frames_are_left_as_they_are() -> None:
    """Looking at a frame changes nothing of it."""
    frame = next(film([STILL]))
    before = dataclasses.replace(frame, payload=frame.payload.copy())
    FrozenPicture(DEFAULT).see(frame)
    assert np.array_equal(frame.payload, before.payload)
