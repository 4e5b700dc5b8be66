"""A live device is not believed: settings are read back, frames are asked for, and junk is not passed on.

The fake stands where OpenCV ends: in the place of cv2.VideoCapture, with the habits that V4L2 devices have.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from capture_worker import pattern
from capture_worker.camera import CameraAbsentError, CorruptFrameError, OpenFailedError, ReadFailedError
from capture_worker.opencv_camera import OpenCVCamera
from shm import Encoding
from supervision.camera_settings import CameraSettings

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
        with OpenCVCamera(CameraSettings(device="/dev/null", **settings)) as camera:
            yield camera
        assert device.released

    return open_camera


def test_raw_frames_carry_the_drivers_time(opened: Opener) -> None:
    """Pixels are decoded by OpenCV, times are the driver's."""
    with opened() as camera:
        before_ns = time.monotonic_ns()
        frame = camera.capture()
        assert camera.describe().fps == 200
    assert frame.encoding is Encoding.BGR8
    assert np.array_equal(frame.payload, PICTURE)
    assert before_ns - 1_100_000 < frame.captured_ns < time.monotonic_ns()


def test_mjpg_is_passed_on_as_the_camera_compressed_it(opened: Opener) -> None:
    """The bytes of the camera's JPEG are the frame."""
    with opened(codec="MJPG") as camera:
        frame = camera.capture()
    assert frame.encoding is Encoding.JPEG
    assert (frame.rows, frame.cols) == (48, 64)
    assert frame.payload.tobytes() == JPEG.tobytes()


def test_junk_at_the_start_of_a_stream_is_no_reason_to_decode(device: FakeDevice, opened: Opener) -> None:
    """The first buffers may be broken."""
    device.raw = [JUNK, JUNK, JPEG]
    with opened(codec="MJPG") as camera:
        assert camera.capture().encoding is Encoding.JPEG


def test_a_camera_that_compresses_wrongly_is_decoded(
    device: FakeDevice, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    """If no frame is a whole JPEG, OpenCV decodes what it can."""
    device.raw = [JUNK]
    with opened(codec="MJPG") as camera:
        assert camera.capture().encoding is Encoding.BGR8
    assert "decoding every frame" in caplog.text


def test_a_broken_jpeg_in_the_stream_is_an_error(device: FakeDevice, opened: Opener) -> None:
    """Later junk is counted, not published."""
    with opened(codec="MJPG") as camera:
        device.raw = [JUNK]
        with pytest.raises(CorruptFrameError, match="broken JPEG"):
            camera.capture()


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
        assert camera.capture().encoding is Encoding.BGR8
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
            camera.capture()
        device.streams = True
        assert camera.capture().rows == 48


def test_a_stream_that_timed_out_is_never_believed_again(device: FakeDevice) -> None:
    """Afterwards a decoder hands out old frames as if they were new."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/live"
        with OpenCVCamera(CameraSettings(device=url)) as camera:
            assert camera.capture().rows == 48
            device.slowness = 2.1 / PERIOD_S
            with pytest.raises(ReadFailedError, match="delivers no frame"):
                camera.capture()
            device.slowness = 1.0
            with pytest.raises(ReadFailedError, match="does not recover"):
                camera.capture()
    assert device.parameters is not None
    limits = dict(zip(device.parameters[::2], device.parameters[1::2], strict=True))
    assert limits[cv2.CAP_PROP_READ_TIMEOUT_MSEC] == 2000


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
