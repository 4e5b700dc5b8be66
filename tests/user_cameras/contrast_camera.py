"""A camera with a custom parameter, as a user of the SDK writes one: `Contrast`, from 0 to 255."""

import time

import numpy as np
from bosdyn.api import image_pb2, service_customization_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource


class ContrastCamera(CameraInterface):
    """Half of its picture is dark and half is light; `Contrast` is the difference."""

    def __init__(self, rows, cols):
        super().__init__()
        self.rows, self.cols = rows, cols
        self.contrast = 0.0

    def blocking_capture(self, *, custom_params=None, **kwargs):
        """Take a picture with the contrast that is asked for; without, with the one of last time."""
        with self.capture_lock:
            time.sleep(0.01)
            if custom_params is not None and "Contrast" in custom_params.values:
                self.contrast = custom_params.values["Contrast"].double_value.value
            picture = np.zeros((self.rows, self.cols, 3), np.uint8)
            picture[:, self.cols // 2 :] = round(self.contrast)
            return picture, time.time()

    def image_decode(self, image_data, image_proto, image_req):
        """Send the pixels."""
        if image_req.image_format != image_pb2.Image.FORMAT_RAW:
            raise ValueError("RAW only")
        image_proto.data = image_data.tobytes()
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_RGB_U8


def contrast_spec(default):
    """Describe the parameter to clients."""
    spec = service_customization_pb2.DictParam.Spec()
    contrast = spec.specs["Contrast"].spec.double_spec
    contrast.default_value.value = default
    contrast.min_value.value = 0.0
    contrast.max_value.value = 255.0
    return spec


def make_source(name="contrast", rows=48, cols=64, default=50.0):
    """Make the image source."""
    camera = ContrastCamera(rows, cols)
    return VisualImageSource(
        name,
        camera,
        rows=rows,
        cols=cols,
        gain=lambda: 1.0 + camera.contrast / 100,
        exposure=lambda: 0.01,
        pixel_formats=[image_pb2.Image.PIXEL_FORMAT_RGB_U8],
        param_spec=contrast_spec(default),
    )
