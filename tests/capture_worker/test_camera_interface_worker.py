"""Whole worker processes with camera classes of users: the tutorial's, one with a parameter, and bad ones."""

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bosdyn.api import image_pb2

from shm import Frame
from shm.parameters import parameters_id
from supervision import exit_codes
from supervision.camera_settings import CameraSettings
from tests.capture_worker.asking import Client, double
from tests.capture_worker.harness import PROJECT, WorkerProcess, wait_for
from tests.capture_worker.own_cameras import own_camera
from tests.capture_worker.test_video_worker import BIKES, BUNNY, decode, position_of

JPEG, RAW = image_pb2.Image.FORMAT_JPEG, image_pb2.Image.FORMAT_RAW
GREY, RGB = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U8, image_pb2.Image.PIXEL_FORMAT_RGB_U8


def tutorial() -> str | None:
    """Put the SDK tutorial's image service together from its pages, as its reader does; None without the pages."""
    for page in sorted((PROJECT.parent / "shared" / "seeds").glob("*.txt")):
        text = page.read_text()
        if "class WebCam(CameraInterface)" in text and "```python" in text:
            blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
            return "".join(code for language, code in blocks if language in ("", "python"))
    return None


def test_the_tutorials_class_runs_as_it_is(tmp_path: Path) -> None:
    """From its first capture to the end of the film."""
    program = tutorial()
    if program is None:
        pytest.skip("the SDK's tutorial is not at hand")
    (tmp_path / "web_cam_image_service.py").write_text(program)
    settings = own_camera("web_cam_image_service:WebCam", BIKES, python_path=tmp_path, image_decode="own", fps=50)
    check_a_life(settings, "WebCam", "raised Exception: Unsuccessful call")


def test_a_class_in_the_tutorials_style_runs_as_it_is() -> None:
    """The same of our own one, wherever the tutorial is."""
    settings = own_camera("plain_cam:PlainCam", BIKES, image_decode="own", fps=50)
    check_a_life(settings, "PlainCam", "raised RuntimeError: no more frames")


def check_a_life(settings: CameraSettings, name: str, end: str) -> None:
    """It captures what OpenCV decodes; in "own" mode it makes JPEG and RAW, and is warned of its swapped channels."""
    truth = decode(BIKES)
    with WorkerProcess(settings) as worker:
        caught = worker.take(10)
        pairs = (worker.reader.descriptor() or {})["own_decode"]
        with Client(worker.instance) as client:
            client.ask("decode", image_request={"image_format": "FORMAT_RAW", "resize_ratio": 0.5})
            answer, data = client.answer_with_picture()
        code, log = worker.wait_end()
        error = worker.error()
    positions = [position_of(frame.pixels(), truth) for frame in caught]
    assert positions == sorted(positions)
    assert sorted(map(tuple, pairs)) == [(JPEG, GREY), (JPEG, RGB), (RAW, GREY), (RAW, RGB)]
    assert answer.failure is None
    picture = image_pb2.Image.FromString(data)
    assert (picture.rows, picture.cols, len(picture.data)) == (136, 320, 136 * 320 * 3)
    assert f"{name}.image_decode sends the pixels as they were captured and calls them RGB" in log
    assert (code, error[0]) == (exit_codes.CAMERA_FAILED, "read_failed")
    assert f"{name}.blocking_capture {end}" in error[1]


def test_the_tutorials_class_without_a_camera_is_tried_again(tmp_path: Path) -> None:
    """Its own sentence reaches the operator."""
    program = tutorial()
    if program is None:
        pytest.skip("the SDK's tutorial is not at hand")
    (tmp_path / "web_cam_image_service.py").write_text(program)
    with WorkerProcess(own_camera("web_cam_image_service:WebCam", "/no/video", python_path=tmp_path)) as worker:
        assert worker.wait_end()[0] == exit_codes.CAMERA_FAILED
        assert worker.error()[0] == "open_failed"
        assert "raised Exception: Unable to open a cv2.VideoCapture connection to /no/video" in worker.error()[1]


@pytest.mark.parametrize(
    ("factory", "argument", "source"),
    [("web_cam:FileCam", BUNNY, None), ("web_cam:make_sources", [BIKES, BUNNY], "bigbuckbunny.mp4")],
)
def test_a_class_over_opencv_delivers_what_opencv_decodes(factory: str, argument: Any, source: str | None) -> None:
    """As a class, or as one of a factory's image sources; at the rate that is configured."""
    truth = decode(BUNNY)
    with WorkerProcess(own_camera(factory, argument, source=source, fps=30)) as worker:
        caught = worker.take(8)
        descriptor = worker.reader.descriptor()
    positions = [position_of(frame.pixels(), truth) for frame in caught]
    assert positions == sorted(positions)
    assert [frame.frame_number for frame in caught] == sorted({frame.frame_number for frame in caught})
    assert all(0 <= frame.age_s() < 20 for frame in caught)
    assert descriptor is not None
    assert (descriptor["driver"], descriptor["rows"], descriptor["fps"]) == ("camera_interface", 720, 30.0)
    assert descriptor["own_decode"] is None


def contrast_in(frame: Frame) -> int:
    """Return the contrast that a picture shows."""
    return int(frame.pixels().max())


def test_parameters_reach_a_users_class_and_pictures_show_them() -> None:
    """Frames show the configured contrast, an asked one shows its own, and the next ordinary one the first again."""
    settings = own_camera("contrast_camera:make_source", parameters={"Contrast": 70}, fps=20, slots=64)
    with WorkerProcess(settings) as worker, Client(worker.instance) as client:
        assert contrast_in(worker.take(1)[0]) == 70
        spec = (worker.reader.descriptor() or {})["param_spec"]["specs"]["Contrast"]["spec"]["double_spec"]
        assert (spec["default_value"], spec["max_value"]) == (70.0, 255.0)
        for value in (200.0, 0.0, 123.0):
            number = client.ask_with({"Contrast": double(value)})
            answer = client.answer()
            assert (answer.number, answer.failure) == (number, None)
            asked = worker.reader.latest(parameters_id({}, {"Contrast": double(value)}))
            assert asked is not None
            assert (asked.frame_number, contrast_in(asked)) == (answer.frame_number, value)
            assert [contrast_in(frame) for frame in worker.take(2)] == [70, 70]
        ordinary = worker.reader.latest()
        assert ordinary is not None
        assert (contrast_in(ordinary), ordinary.gain, ordinary.exposure_s) == (70, 1.7, 0.01)


def test_a_class_that_captures_on_request_is_left_alone_otherwise() -> None:
    """One frame when it opens; then one per request, each with what was asked for."""
    settings = own_camera("contrast_camera:make_source", mode="on_request")
    with WorkerProcess(settings) as worker, Client(worker.instance) as client:
        worker.wait_report("ready")
        for value in (10.0, 20.0):
            client.ask_with({"Contrast": double(value)})
            answer = client.answer()
            newest = worker.reader.latest(parameters_id({}, {"Contrast": double(value)}))
            assert newest is not None
            assert newest.frame_number == answer.frame_number
            assert contrast_in(newest) == value
        assert worker.wait_beat(frames=3)["frames"] == 3


@pytest.mark.parametrize(
    ("factory", "arguments", "exit_code", "code", "text"),
    [
        ("no_such:Camera", [], exit_codes.BAD_CONFIGURATION, "bad_configuration", "No module named 'no_such'"),
        ("troubled:raises", [], exit_codes.CAMERA_FAILED, "open_failed", "RuntimeError: the sensor says no"),
        ("troubled:Camera", ["raise_type_error"], exit_codes.CAMERA_FAILED, "read_failed", "raised TypeError: "),
        ("troubled:Wrong", ["three"], exit_codes.CAMERA_FAILED, "corrupt", "instead of (image data, time)"),
        ("troubled:Threaded", [], exit_codes.CAMERA_FAILED, "read_failed", "raised TypeError: "),
        ("troubled:Camera", ["exit"], exit_codes.CAMERA_FAILED, "read_failed", "raised SystemExit: 0"),
        ("quits:Camera", [], exit_codes.CAMERA_FAILED, "open_failed", "cannot be imported: SystemExit: 0"),
        ("troubled:Camera", ["segfault", 3], -signal.SIGSEGV, None, ""),
    ],
)
def test_a_class_that_fails_ends_its_worker_with_a_sentence(
    factory: str, arguments: list[Any], exit_code: int, code: str | None, text: str
) -> None:
    """Nothing is retried here; a crash, or a thread without an end, does not keep the process from ending."""
    with WorkerProcess(own_camera(factory, *arguments)) as worker:
        assert worker.wait_end()[0] == exit_code
        if code is not None:
            assert worker.error()[0] == code
            assert text in worker.error()[1]


def test_a_class_that_hangs_breaks_its_promise_and_shows_where() -> None:
    """The promise is `capture_timeout_s` and half a second; the stack names the user's line."""
    with WorkerProcess(own_camera("troubled:Camera", "hang", 30, capture_timeout_s=0.7)) as worker:
        assert worker.wait_beat(frames=3)["within_ms"] == 1200

        def shows_the_line() -> bool:
            worker.process.send_signal(signal.SIGUSR1)
            return "in hang" in worker.log()

        wait_for(shows_the_line)
        assert worker.reader.latest() is not None


def test_a_class_that_prints_disturbs_nobody() -> None:
    """Its words go into the log, even those that look like a report."""
    with WorkerProcess(own_camera("troubled:Camera", "chat")) as worker:
        worker.wait_beat(frames=20)
        assert not [report for report in worker.read_reports() if report["report"] == "error"]
        assert "forged" in worker.log()


def test_relative_paths_belong_to_the_folder_of_the_module() -> None:
    """Wherever the supervisor was started."""
    with WorkerProcess(own_camera("troubled:beside", "troubled.py")) as worker:
        worker.wait_report("ready")


def test_opencvs_limits_are_set_before_a_users_module_is_imported() -> None:
    """OpenCV reads them when it is loaded."""
    with WorkerProcess(own_camera("troubled:limited", capture_timeout_s=2.5)) as worker:
        worker.wait_report("ready")


def test_a_class_makes_its_own_pictures_between_two_captures() -> None:
    """Formats that it makes come as files; others are refused; the frames go on."""
    truth = decode(BUNNY)
    settings = own_camera("web_cam:FileCam", BUNNY, image_decode="own", fps=15)
    with WorkerProcess(settings) as worker, Client(worker.instance) as client:
        for image_format in ("FORMAT_JPEG", "FORMAT_RAW", "FORMAT_UNKNOWN"):
            client.ask("decode", image_request={"image_format": image_format, "quality_percent": 60.0})
            answer, data = client.answer_with_picture()
            assert answer.failure is None
            picture = image_pb2.Image.FromString(data)
            assert (picture.rows, picture.cols, picture.pixel_format) == (720, 1280, RGB)
            if image_format == "FORMAT_RAW":
                found = np.frombuffer(picture.data, np.uint8).reshape(720, 1280, 3)[:, :, ::-1]
                assert position_of(found, truth) >= 0
        client.ask("decode", image_request={"image_format": "FORMAT_RLE"})
        refused = client.answer()
        assert (refused.failure, refused.text) == ("unsupported", "FileCam.image_decode makes no RLE of UNKNOWN")
        frames = worker.wait_report("ready")["frames"]
        assert worker.wait_beat(frames=frames + 20)["errors"] == 0
