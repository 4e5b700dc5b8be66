"""A file makes a synthetic camera misbehave while it runs, for as long as it says so; no content of it does harm."""

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from capture_worker import pattern
from capture_worker.control_file import ControlFile
from shm import Frame
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from supervision.configuration import read_file
from tests.capture_worker.harness import WorkerProcess, wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the control file is, when there is one."""
    return tmp_path / "front.control"


def controlled(path: Path, encoding: str = "jpeg") -> CameraSettings:
    """Return the settings of a camera with a control file."""
    return CameraSettings.model_validate(
        {"driver": "synthetic", "synthetic": {"encoding": encoding, "control_file": str(path)}}
    )


def picture_of(frame: Frame) -> Any:
    """Decode a frame as the servicer does; None if that cannot be done."""
    return cv2.imdecode(np.frombuffer(frame.data, np.uint8), cv2.IMREAD_COLOR)


def number_in(frame: Frame) -> int:
    """Return the number in a frame's picture."""
    picture = picture_of(frame)
    assert picture is not None
    return pattern.check_lossy(picture, "front")


def until(worker: WorkerProcess, condition: Callable[[Frame], bool]) -> Frame:
    """Wait for a frame."""
    return next(frame for frame in worker.frames() if condition(frame))


def test_its_path_belongs_to_the_folder_of_the_configuration(tmp_path: Path) -> None:
    """Wherever the supervisor was started."""
    file = tmp_path / "pipeline.toml"
    file.write_text('[cameras.front]\ndriver = "synthetic"\nsynthetic.control_file = "front.control"\n')
    synthetic = read_file(file)["cameras"]["front"]["synthetic"]
    assert synthetic["control_file"] == str(tmp_path / "front.control")


def test_the_file_says_what_holds_now(path: Path) -> None:
    """Absent and empty are nothing; the same words again are the same order, others another one."""
    control = ControlFile(path, "jpeg")
    control.read()
    assert control.order is None
    path.write_text("slow 0.25\n")
    control.read()
    first = control.order
    assert first is not None
    assert (first.kind, first.figure(9.0)) == ("slow", 0.25)
    control.read()
    assert control.order is first
    path.write_text("slow 0.26\n")
    control.read()
    assert control.order not in (None, first)
    for nothing in ("", " \n", None):
        path.write_text("freeze")
        control.read()
        path.unlink() if nothing is None else path.write_text(nothing)
        control.read()
        assert control.order is None


@pytest.mark.parametrize(
    "content",
    [
        b"wron",
        b"wrong_size 320x",
        b"wrong_size 9x9",
        b"freeze\ncrash",
        b"1: freeze",
        b"\xff\xfe\x00",
        b"\0",
        b"[" * 2**20,
    ],
)
def test_nonsense_is_ignored_and_said_once(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is half written, or no text, or something else, is nothing; one line says so."""
    path.write_bytes(content)
    control = ControlFile(path, "jpeg")
    for _ in range(3):
        control.read()
        control.take_back()
    assert control.order is None
    assert path.exists()
    assert [message.partition(" is ignored: ")[0] for message in caplog.messages] == [str(path)]
    assert len(caplog.text) < 2000


@pytest.mark.parametrize("make", [os.mkdir, lambda path: os.symlink(path, path)])
def test_what_cannot_be_read_is_ignored(
    path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A folder, or a link that leads nowhere."""
    make(path)
    control = ControlFile(path, "jpeg")
    for _ in range(3):
        control.read()
    assert control.order is None
    assert len(caplog.messages) == 1


def test_a_named_pipe_does_not_make_it_wait(path: Path) -> None:
    """Nobody writes into it, and the camera goes on."""
    os.mkfifo(path)
    control = ControlFile(path, "jpeg")
    control.read()
    assert control.order is None


def test_what_ends_the_process_is_done_only_if_it_can_be_taken_back(caplog: pytest.LogCaptureFixture) -> None:
    """A process's name in /proc is a file that nobody can remove: the process would end again and again."""
    own_name = Path("/proc/self/comm")
    name = own_name.read_text()
    own_name.write_text("crash")
    try:
        control = ControlFile(own_name, "jpeg")
        for _ in range(3):
            control.read()
            control.take_back()
        assert control.order is None
    finally:
        own_name.write_text(name)
    assert len(caplog.messages) == 1
    assert "it cannot be removed" in caplog.text


def test_what_the_camera_survives_holds_and_ends_with_the_file(path: Path) -> None:
    """One process, through everything that it can do wrong without dying, and well again after each."""
    with WorkerProcess(controlled(path)) as worker:
        number_in(worker.take(1)[0])
        path.write_text("wrong_size 320x240")
        number_in(until(worker, lambda frame: (frame.rows, frame.cols) == (240, 320)))
        path.write_text("freeze")
        until(worker, lambda frame: frame.rows == 480)
        wait_for(lambda: len({number_in(frame) for frame in worker.take(5)}) == 1)
        path.write_text("slow 0.3")
        wait_for(lambda: len({number_in(frame) for frame in worker.take(2)}) == 2)
        frames = worker.take(4)
        assert all(late.captured_ns - early.captured_ns > 0.25e9 for early, late in itertools.pairwise(frames[1:]))
        path.write_text("garbage 3")
        worker.wait_beat(errors=3)
        path.unlink()
        until(worker, lambda frame: frame.frame_number > frames[-1].frame_number + 3)
        path.write_text("garbage 2")
        worker.wait_beat(errors=5)
        path.write_text("corrupt")
        broken = until(worker, lambda frame: picture_of(frame) is None)
        assert broken.encoding.name == "JPEG"
        path.unlink()
        number_in(until(worker, lambda frame: frame.age_s() < 0.2 and picture_of(frame) is not None))
        assert worker.process.poll() is None


def test_raw_pixels_cannot_be_corrupt(path: Path) -> None:
    """What nobody could tell from a picture is not done: it is ignored, which the log says once."""
    path.write_text("corrupt")
    with WorkerProcess(controlled(path, "mono8")) as worker:
        for frame in worker.take(5):
            pattern.check(frame.pixels(), "front")
        assert worker.log().count("only a camera with encoding jpeg can be corrupt, this one's is mono8") == 1


@pytest.mark.row("M22")
def test_an_unplugged_camera_is_absent_until_it_is_plugged_in(path: Path) -> None:
    """Its reads fail, then there is nothing to open, then it is back."""
    with WorkerProcess(controlled(path)) as worker:
        worker.take(1)
        path.write_text("unplug")
        assert worker.wait_end()[0] == exit_codes.CAMERA_FAILED
        assert worker.error()[0] == "read_failed"
    with WorkerProcess(controlled(path)) as worker:
        assert worker.wait_end()[0] == exit_codes.CAMERA_FAILED
        assert worker.error() == (
            "absent",
            "nothing is plugged in as synthetic camera front: its control file says so",
        )
    path.unlink()
    with WorkerProcess(controlled(path)) as worker:
        number_in(worker.take(1)[0])


@pytest.mark.parametrize(
    ("order", "code"),
    [("crash", exit_codes.INTERNAL_ERROR), ("exit 3", 3), ("segfault", -signal.SIGSEGV), ("hang", None)],
)
def test_what_ends_the_process_is_done_once(path: Path, order: str, code: int | None) -> None:
    """The file is gone when the process dies: the next one lives."""
    with WorkerProcess(controlled(path)) as worker:
        last = worker.take(1)[0]
        path.write_text(order)
        if code is None:
            wait_for(lambda: (frame := worker.reader.latest()) is not None and frame.age_s() > 0.5)
            assert worker.process.poll() is None
        else:
            assert worker.wait_end()[0] == code
        assert not path.exists()
        assert last.frame_number > 0


def test_the_file_can_reject_parameters(path: Path) -> None:
    """A camera that rejects even its defaults says so, and works all the same."""
    path.write_text("reject")
    with WorkerProcess(controlled(path)) as worker:
        number_in(worker.take(1)[0])
        assert worker.wait_report("error", code="parameters")["text"].startswith("the script says: reject")
