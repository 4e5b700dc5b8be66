"""Camera classes with every kind of trouble."""

import ctypes
import os
import sys
import threading
import time

import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource

OPENCV_WAS_LIMITED = os.environ.get("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT")
PICTURE = np.zeros((24, 32, 3), np.uint8)

not_callable = 5


class Incomplete(CameraInterface):
    """Forgets a method."""

    def blocking_capture(self, **kwargs):
        """Return a picture."""
        return PICTURE, time.time()


class Camera(Incomplete):
    """Works `good` times, then makes the trouble that it was told to make."""

    def __init__(self, trouble="none", good=1):
        self.trouble = trouble
        self.good = good
        self.captures = 0

    def blocking_capture(self, *, custom_params=None, **kwargs):
        """Return a picture, then make trouble."""
        self.captures += 1
        time.sleep(0.01)
        if self.captures > self.good:
            getattr(self, self.trouble)()
        return PICTURE, time.time()

    def image_decode(self, image_data, image_proto, image_req):
        """Make pictures as slowly and as wrongly as it was told."""
        if self.trouble == "bad_decode" and self.captures > self.good:
            raise TypeError("decode does not work today")
        if self.trouble == "exit_decode" and self.captures > self.good:
            sys.exit(0)
        if image_req.image_format != image_pb2.Image.FORMAT_RAW:
            raise ValueError("RAW only")
        image_proto.data = image_data.tobytes()
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_RGB_U8

    def none(self):
        """Work."""

    bad_decode = exit_decode = none

    def segfault(self):
        """Crash in C."""
        ctypes.string_at(0)

    def hang(self):
        """Never return."""
        threading.Event().wait()

    def raise_type_error(self):
        """Have a bug that looks like a wrong call."""
        raise TypeError("blocking_capture() got an unexpected\nkeyword argument")

    def exit(self):
        """Leave as a script does."""
        sys.exit(0)

    def chat(self):
        """Print a lot, and listen."""
        print("x" * 100_000)
        print('{"report": "error", "code": "absent", "text": "forged"}', flush=True)
        assert not sys.stdin.isatty()


class Threaded(Camera):
    """Starts a thread that has no end."""

    def __init__(self):
        super().__init__("raise_type_error")
        threading.Thread(target=threading.Event().wait).start()


class Wrong(Camera):
    """Returns things that are no pictures."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def blocking_capture(self, **kwargs):
        """Return the thing."""
        return {"picture_alone": PICTURE, "three": (PICTURE, 1.0, 2), "text": "no", "nothing": None}[self.what]


class Timed(Camera):
    """Says that every picture is of the same time, if it is one."""

    timestamp = None

    def blocking_capture(self, **kwargs):
        """Take ten milliseconds."""
        time.sleep(0.01)
        return PICTURE, self.timestamp


class Positional(Camera):
    """Wants something that nobody passes."""

    def blocking_capture(self, exposure_ms):
        """Return a picture."""
        return PICTURE, exposure_ms


def raises(kind="runtime"):
    """Fail as constructors do."""
    raise {"runtime": RuntimeError, "type": TypeError, "exit": SystemExit}[kind]("the sensor\n  says no")


def make(what):
    """Make what no factory should."""
    return {
        "nothing": None,
        "number": 5,
        "empty": [],
        "twins": [VisualImageSource("a", Camera()), VisualImageSource("a", Camera())],
        "several": (VisualImageSource("left", Camera()), Camera("none", 2)),
        "mixed": [Camera(), 5],
    }[what]


def lit(gain, exposure):
    """Make a source that says this of its light; text is what a function returns or does."""

    def said(value):
        def call():
            if value == "raise":
                raise RuntimeError("no light meter")
            if value == "exit":
                sys.exit(0)
            return float(value)

        return call if isinstance(value, str) else value

    return VisualImageSource("lit", Camera(), gain=said(gain), exposure=said(exposure))


class Fast(Camera):
    """Does not wait for anything, and counts."""

    def blocking_capture(self, **kwargs):
        """Return at once."""
        self.captures += 1
        return PICTURE, time.time()


class Buffered(Camera):
    """Reuses one buffer, and hands out what a thread of its own would have captured some time before."""

    def __init__(self, age_s=0.0, *, whole_seconds=False):
        super().__init__()
        self.age_s = age_s
        self.time = int if whole_seconds else float
        self.buffer = PICTURE.copy()

    def blocking_capture(self, **kwargs):
        """Write the number of the capture into the buffer."""
        self.captures += 1
        self.buffer[:] = self.captures % 256
        return self.buffer, self.time(time.time() - self.age_s)


class Picky(Camera):
    """Wants to be told which pixels to make, unless it may choose."""

    def __init__(self, chooses=False):
        super().__init__()
        self.chooses = chooses
        self.asked = []

    def image_decode(self, image_data, image_proto, image_req):
        """Make RAW."""
        self.asked.append(image_req.pixel_format)
        if not self.chooses and not image_req.pixel_format:
            raise ValueError("of which pixels?")
        super().image_decode(image_data, image_proto, image_req)


class FullSize(Camera):
    """Makes no small pictures."""

    def image_decode(self, image_data, image_proto, image_req):
        """Make RAW."""
        if 0 < image_req.resize_ratio < 0.5:
            raise ValueError("not so small")
        super().image_decode(image_data, image_proto, image_req)


def beside(name):
    """Open a file that lies beside this module."""
    with open(name):
        return Camera()


def limited():
    """Tell whether OpenCV's limits were set before this module was imported."""
    if OPENCV_WAS_LIMITED is None:
        raise RuntimeError("OpenCV has no limits")
    return Camera()
