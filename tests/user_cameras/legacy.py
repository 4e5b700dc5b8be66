"""Camera classes for older SDKs, which take less."""

import time

import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource
from contrast_camera import contrast_spec


class Before33(CameraInterface):
    """Captures without parameters, as before SDK 3.3."""

    def __init__(self):
        self.captures = 0

    def blocking_capture(self):
        """Count captures in the picture."""
        self.captures += 1
        return np.full((24, 32), self.captures % 256, np.uint8), time.time()

    def image_decode(self, image_data, image_proto, image_req):
        """Send grey pixels."""
        image_proto.data = image_data.tobytes()
        image_proto.format = image_pb2.Image.FORMAT_RAW
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U8


class Before31(Before33):
    """Makes pictures without the request, as before SDK 3.1."""

    def image_decode(self, image_data, image_proto, image_format, quality_percent):
        """Send grey pixels; the format of the proto is the one that was asked for."""
        if image_format != image_pb2.Image.FORMAT_RAW:
            raise TypeError(f"format {image_format} at {quality_percent} %")
        image_proto.data = image_data.tobytes()


def with_parameters():
    """Declare parameters that the class cannot take."""
    return VisualImageSource("old", Before33(), param_spec=contrast_spec(1.0))
