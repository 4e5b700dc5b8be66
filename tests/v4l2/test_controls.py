"""A real driver's controls as parameters: what is asked for is in the picture that says so, and in no other.

These come before the tests of the whole pipeline, which keeps both devices to itself from its start on.
"""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from capture_worker import v4l2_controls
from capture_worker.camera import ParametersRejectedError
from capture_worker.opencv_camera import OpenCVCamera
from shm import DEFAULT_PARAMS_ID, Frame, RingReader
from shm.parameters import complete, from_plain, parameters_id
from supervision.camera_settings import CameraSettings
from tests.capture_worker.asking import Client
from tests.capture_worker.harness import WorkerProcess, wait_for
from tests.v4l2 import vivid

pytestmark = pytest.mark.v4l2

NODE = vivid.NODES["video0"]
BRIGHT, DIM = 178, 78
LEVEL_ERROR = 4  # of 255: the driver computes in YCbCr
ROUNDS = 12
START_S = 90.0  # an emulated processor loads OpenCV for 10 s, with nothing else running


@pytest.fixture(autouse=True)
def bars() -> Iterator[None]:
    """Let the device show its bars, and leave it with the driver's own defaults, as it was."""
    vivid.show_bars(NODE, vivid.FULL_BARS)
    yield
    vivid.set_control(NODE, "gain_automatic=1,brightness=128,contrast=128,saturation=128,hue=0,horizontal_flip=0")


@pytest.fixture
def camera() -> Iterator[OpenCVCamera]:
    """Open the device as a worker does."""
    with OpenCVCamera(CameraSettings(device=str(NODE))) as camera:
        yield camera


def ask(camera: OpenCVCamera, **plain: Any) -> vivid.Picture:
    """Apply what a client asks for, and return the next picture."""
    spec = camera.describe().param_spec or {}
    camera.apply(complete(spec, from_plain(spec, plain)))
    while (frame := camera.capture()) is None:
        pass
    return frame.payload


def levels(pixels: Any) -> tuple[int, int]:
    """Return the level of the white and of the black bar."""
    return int(pixels[vivid.ROWS // 2, 40].max()), int(pixels[vivid.ROWS // 2, vivid.COLS - 40].max())


def levels_at(brightness: int) -> tuple[Any, Any]:
    """Return what these two are to be: brightness is added to every level, 128 is none."""
    shift = brightness - 128
    return (
        pytest.approx(255 + min(shift, 0), abs=LEVEL_ERROR),
        pytest.approx(max(shift, 0), abs=LEVEL_ERROR),
    )


def in_force(control_id: int) -> int:
    """Ask the driver, on a descriptor of our own."""
    fd = v4l2_controls.open_device(str(NODE))
    try:
        return v4l2_controls.get_value(fd, v4l2_controls.query_control(fd, control_id))
    finally:
        os.close(fd)


def test_the_drivers_controls_are_advertised(camera: OpenCVCamera) -> None:
    """Those that shape a picture, with the driver's ranges and defaults, and none of its many others."""
    spec = camera.describe().param_spec
    assert spec is not None
    specs = {key: child["spec"] for key, child in spec["specs"].items()}
    assert list(specs) == [
        *("brightness", "contrast", "saturation", "hue", "gain_automatic", "gain"),
        *("horizontal_flip", "vertical_flip", "alpha_component"),
    ]
    assert specs["brightness"] == {"int_spec": {"default_value": 128, "min_value": 0, "max_value": 255}}
    assert specs["contrast"] == specs["saturation"] == specs["brightness"]
    assert specs["hue"] == {"int_spec": {"default_value": 0, "min_value": -128, "max_value": 128}}
    assert specs["gain_automatic"] == {"bool_spec": {"default_value": True}}
    assert specs["gain"]["int_spec"].keys() == {"default_value", "min_value", "max_value"}
    assert specs["horizontal_flip"] == {"bool_spec": {"default_value": False}}


def test_each_control_shows_in_the_next_picture(camera: OpenCVCamera) -> None:
    """And in none after it, once the defaults are asked for."""
    plain = ask(camera)
    assert levels(plain) == levels_at(128)
    assert levels(ask(camera, brightness=BRIGHT)) == levels_at(BRIGHT)
    assert levels(ask(camera, brightness=DIM)) == levels_at(DIM)
    assert levels(ask(camera, contrast=64))[0] == pytest.approx(128 + 6, abs=2 * LEVEL_ERROR)
    grey = ask(camera, saturation=0)
    assert int((grey.max(axis=2) - grey.min(axis=2)).max()) <= LEVEL_ERROR
    mirrored = ask(camera, horizontal_flip=True)[:, ::-1]
    assert (mirrored[:, vivid.inside_bars()] == plain[:, vivid.inside_bars()]).all()
    assert (ask(camera) == plain).all()


def test_gain_is_set_only_without_its_automatic(camera: OpenCVCamera) -> None:
    """The real driver makes it inactive and volatile; switched off in the same request, it takes the value."""
    with pytest.raises(ParametersRejectedError, match="gain = 200: has no effect while gain_automatic is on"):
        ask(camera, gain=200)
    assert in_force(v4l2_controls.V4L2_CID_AUTOGAIN) == 1
    ask(camera, gain_automatic=False, gain=200)
    assert (in_force(v4l2_controls.V4L2_CID_AUTOGAIN), in_force(v4l2_controls.V4L2_CID_AUTOGAIN + 1)) == (0, 200)
    ask(camera)
    assert in_force(v4l2_controls.V4L2_CID_AUTOGAIN) == 1


def test_two_clients_parameters_in_turn_give_the_right_pictures() -> None:
    """Every frame that can be caught has the brightness that its id says, the ordinary ones between them too."""
    with WorkerProcess(CameraSettings(device=str(NODE))) as worker:
        wait_until_ready(worker)
        truth = {DEFAULT_PARAMS_ID: 128, params_id(worker, BRIGHT): BRIGHT, params_id(worker, DIM): DIM}
        caught: set[tuple[bytes, int]] = set()
        with Client(worker.instance) as client:
            for turn in range(ROUNDS):
                brightness = (BRIGHT, DIM)[turn % 2]
                client.ask_with({"brightness": {"int_value": {"value": brightness}}})
                while not client.has_answer():
                    caught |= check_frames(worker.reader, truth)
                answer = client.answer()
                assert answer.failure is None, answer.text
                assert answer.begun_ns is not None
                assert answer.captured_ns is not None
                assert answer.begun_ns < answer.captured_ns
                caught |= check_frames(worker.reader, truth)
    numbers = {wanted: sum(found == wanted for found, _ in caught) for wanted in truth}
    assert all(count >= ROUNDS // 3 for count in numbers.values()), numbers


def wait_until_ready(worker: WorkerProcess) -> None:
    """Wait for its first frame."""
    wait_for(lambda: any(report["report"] == "ready" for report in worker.read_reports()), START_S)


def params_id(worker: WorkerProcess, brightness: int) -> bytes:
    """Return the id of frames with this brightness."""
    descriptor = wait_for(worker.reader.descriptor)
    spec = descriptor["param_spec"]
    return parameters_id(spec, complete(spec, from_plain(spec, {"brightness": brightness})))


def check_frames(reader: RingReader, truth: dict[bytes, int]) -> set[tuple[bytes, int]]:
    """Look at the newest frame of each kind; return which they were."""
    found: set[tuple[bytes, int]] = set()
    for wanted, brightness in truth.items():
        frame = reader.latest(wanted)
        if frame is not None:
            assert levels(frame.pixels()) == levels_at(brightness), f"frame {frame.frame_number}"
            found.add((wanted, frame.frame_number))
    time.sleep(0.01)  # one processor of the two that are emulated belongs to the worker
    return found


def test_a_worker_killed_with_a_clients_parameters_leaves_no_trace() -> None:
    """Its successor's frames look as they did before, and the defaults are those that the operator had tuned."""
    vivid.set_control(NODE, "brightness=140")
    with WorkerProcess(CameraSettings(device=str(NODE), mode="on_request")) as worker:
        wait_until_ready(worker)
        assert levels(default_frame(worker).pixels()) == levels_at(140)
        with Client(worker.instance) as client:
            client.ask_with({"brightness": {"int_value": {"value": BRIGHT}}})
            assert client.answer().failure is None
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        assert in_force(v4l2_controls.V4L2_CID_BASE) == BRIGHT
        successor = WorkerProcess(CameraSettings(device=str(NODE)))
        successor.instance = worker.instance
        with successor:
            wait_until_ready(successor)
            assert levels(default_frame(successor).pixels()) == levels_at(140)
            descriptor = wait_for(successor.reader.descriptor)
            assert descriptor["param_spec"]["specs"]["brightness"]["spec"]["int_spec"]["default_value"] == 140
            assert in_force(v4l2_controls.V4L2_CID_BASE) == 140


def test_an_orderly_end_puts_back_what_clients_changed() -> None:
    """Whoever opens the device next finds it as this worker did."""
    vivid.set_control(NODE, "brightness=140")
    with WorkerProcess(CameraSettings(device=str(NODE), mode="on_request")) as worker:
        wait_until_ready(worker)
        with Client(worker.instance) as client:
            client.ask_with({"brightness": {"int_value": {"value": BRIGHT}}})
            assert client.answer().failure is None
        assert in_force(v4l2_controls.V4L2_CID_BASE) == BRIGHT
        worker.terminate()
        worker.wait_end()
        assert in_force(v4l2_controls.V4L2_CID_BASE) == 140


def default_frame(worker: WorkerProcess) -> Frame:
    """Return the newest frame with the defaults."""
    return wait_for(worker.reader.latest)
