"""Image data of every kind that people return."""

import time

import cv2
import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource

BLUE = np.full((24, 32, 3), (255, 0, 0), np.uint8)  # in OpenCV's order
DEPTHS = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 50
JPEG = cv2.imencode(".jpg", BLUE)[1]

DATA = {
    "bytes": JPEG.tobytes(),
    "bytearray": bytearray(JPEG),
    "memoryview": memoryview(JPEG),
    "imencoded": JPEG.reshape(-1),
    "column": JPEG.reshape(-1, 1),
    "row": JPEG.reshape(1, -1),
    "grey": BLUE[:, :, 0],
    "grey1": BLUE[:, :, :1],
    "bgr": BLUE,
    "rgb": BLUE[:, :, ::-1],
    "bgra": np.dstack([BLUE, BLUE[:, :, :1]]),
    "rgba": np.dstack([BLUE[:, :, ::-1], BLUE[:, :, :1]]),
    "uint16": DEPTHS,
    "uint16_1": DEPTHS[:, :, None],
    "big_endian": DEPTHS.astype(">u2"),
    "dict": {"picture": BLUE},
    "float": BLUE.astype(np.float32) / 255,
    "png": cv2.imencode(".png", BLUE)[1].tobytes(),
    "depth_object": ("depths", DEPTHS),
    "none": None,
    "empty": b"",
    "empty_array": np.zeros((0, 0, 3), np.uint8),
    "no_axis": np.array(7, np.uint8),
    "cut_jpeg": JPEG.tobytes()[:200],
    "object": object(),
}


class Kind(CameraInterface):
    """Returns one kind of data; its own `image_decode` understands some that nobody else does."""

    def __init__(self, kind):
        self.kind = kind

    def blocking_capture(self, **kwargs):
        """Return it at once."""
        return DATA[self.kind], time.time()

    def image_decode(self, image_data, image_proto, image_req):
        """Turn it into pixels, and those into what was asked for."""
        if image_req.pixel_format == image_pb2.Image.PIXEL_FORMAT_DEPTH_U16:
            image_proto.rows, image_proto.cols = DEPTHS.shape
            image_proto.data = image_data[1].tobytes()
            image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_DEPTH_U16
            return
        picture = {
            "dict": lambda: image_data["picture"],
            "float": lambda: (image_data * 255).astype(np.uint8),
            "png": lambda: cv2.imdecode(np.frombuffer(image_data, np.uint8), cv2.IMREAD_COLOR),
        }[self.kind]()
        if image_req.image_format == image_pb2.Image.FORMAT_JPEG:
            image_proto.data = cv2.imencode(".jpg", picture)[1].tobytes()
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_RGB_U8


def make_depth(kind):
    """Make a source that says it sends depths."""
    return VisualImageSource(kind, Kind(kind), rows=24, cols=32, pixel_formats=[image_pb2.Image.PIXEL_FORMAT_DEPTH_U16])


class Alpha(Kind):
    """Has pixels with alpha, and says so of a JPEG too, which has none."""

    def image_decode(self, image_data, image_proto, image_req):
        """Swap for RAW, as OpenCV does for JPEG."""
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_RGBA_U8
        if image_req.image_format == image_pb2.Image.FORMAT_RAW:
            image_proto.data = cv2.cvtColor(image_data, cv2.COLOR_BGRA2RGBA).tobytes()
        else:
            image_proto.data = cv2.imencode(".jpg", image_data[:, :, :3])[1].tobytes()


def make_alpha():
    """Make a source that says so."""
    return VisualImageSource(
        "alpha", Alpha("bgra"), rows=24, cols=32, pixel_formats=[image_pb2.Image.PIXEL_FORMAT_RGBA_U8]
    )
