"""A live device is not believed: settings are read back, frames are asked for, and junk is not passed on.

The fake stands where OpenCV ends: in the place of cv2.VideoCapture, with the habits that V4L2 devices have.
"""

import contextlib
import fcntl
import math
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from capture_worker import pattern
from capture_worker.camera import (
    CameraAbsentError,
    CapturedFrame,
    CorruptFrameError,
    OpenFailedError,
    ParametersRejectedError,
    ReadFailedError,
)
from capture_worker.opencv_camera import OpenCVCamera
from shm import Encoding
from shm.parameters import complete, from_plain
from supervision.camera_settings import CameraSettings
from tests.capture_worker.fake_webcam import NODE, FakeWebcam

PERIOD_S = 0.005
PICTURE = pattern.paint("front", 5, 48, 64)
JPEG = cv2.imencode(".jpg", PICTURE)[1].reshape(1, -1)
JUNK = np.concatenate([JPEG[:, :100], np.zeros((1, 5000), np.uint8)], axis=1)


class FakeDevice:
    """A device of 64 x 48 pixels at 200 frames/s. What is in `refused` keeps its value, though `set` says True."""

    def __init__(self) -> None:
        self.opens = True
        self.streams = True
        self.refused: set[int] = {cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS}
        self.values: dict[int, float] = {
            cv2.CAP_PROP_FRAME_WIDTH: 64,
            cv2.CAP_PROP_FRAME_HEIGHT: 48,
            cv2.CAP_PROP_FPS: 200,
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"),
            cv2.CAP_PROP_CONVERT_RGB: 1,
        }
        self.raw: list[Any] = [JPEG]
        self.frames = 0
        self.slowness = 1.0
        self.released = False
        self.parameters: list[int] | None = None
        self._due_s = time.monotonic()

    def open(self, _device: str, _backend: int, parameters: list[int] | None = None) -> bool:
        """Open it."""
        self.parameters = parameters
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        """Answer True, as OpenCV does."""
        if prop not in self.refused:
            self.values[prop] = value
        return True

    def get(self, prop: int) -> float:
        """Return a setting, or the time of the grabbed frame."""
        return time.monotonic() * 1000 - 1 if prop == cv2.CAP_PROP_POS_MSEC else self.values[prop]

    def grab(self) -> bool:
        """Wait for the next frame."""
        self._due_s = max(self._due_s + PERIOD_S * self.slowness, time.monotonic())
        time.sleep(max(self._due_s - time.monotonic(), 0))
        self.frames += 1
        return self.streams

    def retrieve(self) -> tuple[bool, Any]:
        """Return the frame, converted or as the device compressed it."""
        if self.values[cv2.CAP_PROP_CONVERT_RGB]:
            return True, PICTURE
        return True, self.raw[min(self.frames, len(self.raw)) - 1]

    def release(self) -> None:
        """Close it."""
        self.released = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """Put the fake in the place of OpenCV's capture."""
    fake = FakeDevice()
    monkeypatch.setattr(cv2, "VideoCapture", lambda: fake)
    return fake


Opener = Callable[..., contextlib.AbstractContextManager[OpenCVCamera]]


@pytest.fixture
def opened(device: FakeDevice) -> Opener:
    """Return a function that opens the camera; /dev/null exists, is a device and may be opened."""

    @contextlib.contextmanager
    def open_camera(**settings: Any) -> Iterator[OpenCVCamera]:
        with OpenCVCamera(CameraSettings(device=NODE, **settings)) as camera:
            yield camera
        assert device.released

    return open_camera


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> FakeWebcam:
    """Give the device controls."""
    webcam = FakeWebcam()
    monkeypatch.setattr(fcntl, "ioctl", webcam.ioctl)
    return webcam


def capture(camera: OpenCVCamera) -> CapturedFrame:
    """Capture a frame, however often the camera lets the loop turn meanwhile."""
    while (frame := camera.capture()) is None:
        pass
    return frame


def ask(camera: OpenCVCamera, **plain: Any) -> None:
    """Apply what a client asks for."""
    spec = camera.describe().param_spec or {}
    camera.apply(complete(spec, from_plain(spec, plain)))


def test_raw_frames_carry_the_drivers_time(opened: Opener) -> None:
    """Pixels are decoded by OpenCV, times are the driver's."""
    with opened() as camera:
        before_ns = time.monotonic_ns()
        frame = capture(camera)
        assert camera.describe().fps == 200
    assert frame.encoding is Encoding.BGR8
    assert np.array_equal(frame.payload, PICTURE)
    assert before_ns - 1_100_000 < frame.captured_ns < time.monotonic_ns()


def test_mjpg_is_passed_on_as_the_camera_compressed_it(opened: Opener) -> None:
    """The bytes of the camera's JPEG are the frame."""
    with opened(codec="MJPG") as camera:
        frame = capture(camera)
    assert frame.encoding is Encoding.JPEG
    assert (frame.rows, frame.cols) == (48, 64)
    assert frame.payload.tobytes() == JPEG.tobytes()


def test_junk_at_the_start_of_a_stream_is_no_reason_to_decode(device: FakeDevice, opened: Opener) -> None:
    """The first buffers may be broken."""
    device.raw = [JUNK, JUNK, JPEG]
    with opened(codec="MJPG") as camera:
        assert capture(camera).encoding is Encoding.JPEG


def test_a_camera_that_compresses_wrongly_is_decoded(
    device: FakeDevice, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """If no frame is a whole JPEG, OpenCV decodes what it can."""
    device.raw = [JUNK]
    with opened(codec="MJPG") as camera:
        assert capture(camera).encoding is Encoding.BGR8
    assert "decoding every frame" in caplog.text


def test_a_broken_jpeg_in_the_stream_is_an_error(device: FakeDevice, opened: Opener) -> None:
    """Later junk is counted, not published."""
    with opened(codec="MJPG") as camera:
        device.raw = [JUNK]
        with pytest.raises(CorruptFrameError, match="broken JPEG"):
            capture(camera)


def test_what_opencv_refuses_to_decode_is_an_error(
    device: FakeDevice, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame is broken if OpenCV raises for it, too; the next one is as good as ever."""

    def refuse() -> tuple[bool, Any]:
        raise cv2.error("pixels <= CV_IO_MAX_IMAGE_PIXELS")

    with opened() as camera:
        with monkeypatch.context() as patch:
            patch.setattr(device, "retrieve", refuse)
            with pytest.raises(CorruptFrameError, match="cannot be decoded"):
                capture(camera)
        assert capture(camera).encoding is Encoding.BGR8


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"width": 640, "height": 480}, "asked for width 640, the device uses 64"),
        ({"fps": 30}, "asked for fps 30, the device uses 200"),
        ({"codec": "MJPG"}, "asked for codec MJPG, the device uses YUYV"),
    ],
)
def test_refused_settings_are_warnings(
    device: FakeDevice, opened: Opener, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], warning: str
) -> None:
    """The camera works as the device has it, and the log says so."""
    device.refused.add(cv2.CAP_PROP_FOURCC)
    with opened(**settings) as camera:
        assert capture(camera).encoding is Encoding.BGR8
    assert warning in caplog.text


def test_accepted_settings_are_silent(device: FakeDevice, opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """No warning for what was done."""
    device.refused.clear()
    with opened(width=64, height=48, codec="MJPG", fps=200):
        pass
    assert caplog.text == ""


def test_a_declared_rate_is_measured(device: FakeDevice, opened: Opener) -> None:
    """A device that says 200 and delivers 50 has 50."""
    device.slowness = 4.0
    with opened() as camera:
        fps = camera.describe().fps
    assert fps is not None
    assert 25 < fps < 60


def test_a_device_that_does_not_open_is_busy(device: FakeDevice, opened: Opener) -> None:
    """It exists and may be opened: somebody else has it."""
    device.opens = False
    with pytest.raises(OpenFailedError, match="another program"), opened():
        pass


def test_an_open_device_without_frames_is_not_open(device: FakeDevice, opened: Opener) -> None:
    """`isOpened` is no proof."""
    device.streams = False
    with pytest.raises(OpenFailedError, match="does not stream"), opened():
        pass


def test_an_unplugged_device_fails_its_reads(device: FakeDevice, opened: Opener) -> None:
    """Each read without a frame is an error of its own."""
    with opened() as camera:
        device.streams = False
        with pytest.raises(ReadFailedError, match="delivers no frame"):
            capture(camera)
        device.streams = True
        assert capture(camera).rows == 48


def test_a_stream_that_timed_out_is_never_believed_again(device: FakeDevice) -> None:
    """Afterwards a decoder hands out old frames as if they were new."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        with OpenCVCamera(CameraSettings(device=url)) as camera:
            assert camera.describe().param_spec is None
            camera.apply({})
            assert capture(camera).rows == 48
            device.slowness = 2.1 / PERIOD_S
            with pytest.raises(ReadFailedError, match="delivers no frame"):
                capture(camera)
            device.slowness = 1.0
            with pytest.raises(ReadFailedError, match="does not recover"):
                capture(camera)
    assert device.parameters is not None
    limits = dict(zip(device.parameters[::2], device.parameters[1::2], strict=True))
    assert limits[cv2.CAP_PROP_READ_TIMEOUT_MSEC] == 2000


@pytest.mark.usefixtures("webcam")
def test_a_frame_after_apply_was_begun_after_it(device: FakeDevice, opened: Opener) -> None:
    """The one that was being exposed is dropped; after a change one more, which may have some of the old values."""
    with opened() as camera:
        capture(camera)
        for plain, dropped in (({"brightness": 9}, 2), ({"brightness": 9}, 1), ({}, 2)):
            applied_ns = time.monotonic_ns()
            ask(camera, **plain)
            frames = device.frames
            frame = capture(camera)
            assert device.frames - frames > dropped
            assert frame.captured_ns - applied_ns > dropped * PERIOD_S * 0.9e9
            assert frame.lost == 0


def test_what_a_rejected_change_left_behind_is_in_no_frame(
    device: FakeDevice, webcam: FakeWebcam, opened: Opener
) -> None:
    """It was written and put back: frames of between are dropped as well."""
    webcam["Gain"].makes = 17
    with opened() as camera:
        with pytest.raises(ParametersRejectedError, match="gain = 99"):
            ask(camera, brightness=9, gain=99)
        frames = device.frames
        capture(camera)
        assert device.frames - frames > 2


@pytest.mark.usefixtures("webcam")
def test_a_frame_tells_its_exposure_time_and_no_gain(opened: Opener) -> None:
    """In seconds, of the frame that it was used for; V4L2's gain has no unit."""
    with opened() as camera:
        assert math.isnan(capture(camera).exposure_s)
        ask(camera, auto_exposure="Manual Mode", exposure_time_absolute=50)
        frame = capture(camera)
        assert frame.exposure_s == pytest.approx(0.005)
        assert math.isnan(frame.gain)


def test_controls_are_put_back_when_the_camera_is_closed(webcam: FakeWebcam, opened: Opener) -> None:
    """Whoever opens the device next finds it as this camera did."""
    with opened() as camera:
        assert camera.describe().found == {
            "device": "uvcvideo, Cam, usb-1.2",
            "values": {
                "brightness": 0,
                "contrast": 32,
                "white_balance_automatic": 1,
                "gain": 16,
                "power_line_frequency": 1,
                "white_balance_temperature": 6500,
                "auto_exposure": 3,
                "exposure_time_absolute": 157,
                "link_frequency": 1,
            },
        }
        ask(camera, brightness=9)
        assert webcam["Brightness"].value == 9
    assert webcam["Brightness"].value == 0


@pytest.mark.usefixtures("device")
def test_the_first_frame_after_a_kill_has_the_defaults(webcam: FakeWebcam) -> None:
    """The predecessor's ring says how the device was found; what a client had set is undone."""
    webcam["Brightness"].value = 60
    found = {"device": "uvcvideo, Cam, usb-1.2", "values": {"brightness": 10}}
    with OpenCVCamera(CameraSettings(device=NODE), {"found": found}) as camera:
        spec = camera.describe().param_spec or {}
        assert spec["specs"]["brightness"]["spec"]["int_spec"]["default_value"] == 10
        assert webcam["Brightness"].value == 10


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("/dev/video250", CameraAbsentError, "there is no /dev/video250; .*--list` shows: "),
        (250, CameraAbsentError, "there is no /dev/video250"),
        ("250", CameraAbsentError, "there is no /dev/video250"),
        ("/dev/fd", OpenFailedError, "/dev/fd is not a device"),
        ("rtsp://user:secret@127.0.0.1:1/live", CameraAbsentError, "127.0.0.1 does not answer on port 1: "),
        ("rtsp://127.0.0.1:99999/live", OpenFailedError, "no usable port"),
        ("rtsp://admin:secret?2@cam/x", OpenFailedError, "rtsp://…: this URL has no usable port"),
    ],
)
def test_what_is_not_there_is_said_before_opencv_is_asked(device: str, error: type[Exception], text: str) -> None:
    """The sentence names what is missing, and never a password."""
    with pytest.raises(error, match=text) as failed, OpenCVCamera(CameraSettings(device=device)):
        pass
    assert "secret" not in str(failed.value)
