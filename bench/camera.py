"""The camera of the bench: a class for the SDK's `image_service_helpers` as the tutorial's web camera is one.

Both servers run it: the SDK's servicer as it is, the pipeline through its adapter. Its driver is simulated: it has a
frame at each period, and the time of that moment is in the picture.
"""

import time
import zlib
from collections import deque
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource, convert_RGB_to_grayscale

from bench import scene
from bench.counter import Counter

_IMAGE = image_pb2.Image
_QUALITY = 75
_QUEUED_FRAMES = 4  # what a V4L2 driver has usually


class Ticks:
    """When a camera has its frames: every period, cameras of different names not at the same moment."""

    def __init__(self, name: str, fps: float) -> None:
        self._period_ns = round(1e9 / fps)
        self._phase_ns = zlib.crc32(name.encode()) % self._period_ns

    def last(self) -> int:
        """The number of the last frame."""
        return (time.monotonic_ns() - self._phase_ns) // self._period_ns

    def time_ns(self, tick: int) -> int:
        """When frame `tick` is there."""
        return tick * self._period_ns + self._phase_ns

    def wait(self, tick: int) -> None:
        """Sleep until frame `tick` is there."""
        time.sleep(max(0, self.time_ns(tick) - time.monotonic_ns()) / 1e9)


class Driver(Protocol):
    """Where frames come from."""

    def read(self) -> int:
        """Return the number of the frame that a read brings; blocks as a read does."""
        ...


class PlainDriver:
    """Has no memory: a read waits for the next frame, and who comes late has missed one."""

    def __init__(self, ticks: Ticks) -> None:
        self._ticks = ticks

    def read(self) -> int:
        """Wait for the next frame."""
        tick = self._ticks.last() + 1
        self._ticks.wait(tick)
        return tick


class QueueingDriver:
    """Has four buffers as V4L2 has: the oldest comes first, and what comes while all are full is dropped."""

    def __init__(self, ticks: Ticks) -> None:
        self._ticks = ticks
        self._queue: deque[int] = deque()
        self._filled = ticks.last()

    def read(self) -> int:
        """Take the oldest frame out of the queue; wait for one if it is empty."""
        self._fill()
        while not self._queue:
            self._ticks.wait(self._filled + 1)
            self._fill()
        return self._queue.popleft()

    def _fill(self) -> None:
        newest, room = self._ticks.last(), _QUEUED_FRAMES - len(self._queue)
        self._queue.extend(range(self._filled + 1, min(newest, self._filled + room) + 1))
        self._filled = newest


class BenchCamera(CameraInterface):  # type: ignore[misc]  # the SDK has no types
    """One camera. It does per frame and per request what the tutorial's class does."""

    def __init__(self, pictures: Any, ticks: Ticks, driver: Driver, counter: Counter) -> None:
        super().__init__()
        self.rows, self.cols = pictures.shape[1:3]
        self._pictures = pictures
        self._ticks = ticks
        self._driver = driver
        self._counter = counter

    def blocking_capture(self) -> tuple[Any, float]:
        """Return the next picture, and the time before the read, as the tutorial does."""
        begun_s = time.time()
        tick = self._driver.read()
        picture = np.array(self._pictures[tick % len(self._pictures)])  # a new array, as OpenCV's read() makes one
        scene.stamp(picture, self._ticks.time_ns(tick))
        self._counter.count(tick)
        return picture, begun_s

    def image_decode(self, image_data: Any, image_proto: Any, image_req: Any) -> None:
        """Make what was asked for, at the cost of the tutorial's own."""
        pixels = image_data
        if image_req.pixel_format == _IMAGE.PIXEL_FORMAT_GREYSCALE_U8:
            pixels = convert_RGB_to_grayscale(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        image_proto.pixel_format = image_req.pixel_format or _IMAGE.PIXEL_FORMAT_RGB_U8
        if image_req.resize_ratio not in (0, 1):
            image_proto.rows = int(image_proto.rows * image_req.resize_ratio)
            image_proto.cols = int(image_proto.cols * image_req.resize_ratio)
            pixels = cv2.resize(pixels, (image_proto.cols, image_proto.rows), interpolation=cv2.INTER_AREA)
        if image_req.image_format == _IMAGE.FORMAT_RAW:
            image_proto.format = _IMAGE.FORMAT_RAW
            image_proto.data = pixels.tobytes()
        else:
            image_proto.format = _IMAGE.FORMAT_JPEG
            quality = int(image_req.quality_percent) or _QUALITY
            image_proto.data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def make_source(name: str, pictures: str, fps: float, queued: bool, counter: str) -> Any:
    """Make the camera `name` that shows the pictures in a file: what a configuration names as its factory."""
    ticks = Ticks(name, fps)
    driver = QueueingDriver(ticks) if queued else PlainDriver(ticks)
    camera = BenchCamera(np.load(pictures, mmap_mode="r"), ticks, driver, Counter(Path(counter)))
    formats = [_IMAGE.PIXEL_FORMAT_GREYSCALE_U8, _IMAGE.PIXEL_FORMAT_RGB_U8]
    return VisualImageSource(name, camera, rows=camera.rows, cols=camera.cols, pixel_formats=formats)
