"""A first camera class, in the style of the SDK's tutorial: no parameters, and OpenCV's pixels called RGB."""

import time

import cv2
import numpy as np
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface

GREY = image_pb2.Image.PIXEL_FORMAT_GREYSCALE_U8
RGB = image_pb2.Image.PIXEL_FORMAT_RGB_U8


class PlainCam(CameraInterface):
    """Whatever OpenCV opens. It takes the word of a request for what its pixels are."""

    def __init__(self, device):
        self.device = cv2.VideoCapture(device)
        if not self.device.isOpened():
            raise RuntimeError(f"nothing opens {device}")

    def blocking_capture(self):
        """Read a frame; the time is from before."""
        begun = time.time()
        got_it, picture = self.device.read()
        if not got_it:
            raise RuntimeError("no more frames")
        return picture, begun

    def image_decode(self, image_data, image_proto, image_req):
        """Shrink, and pass on; nobody swaps blue and red, which is right in a JPEG and wrong in RAW."""
        image_proto.pixel_format = image_req.pixel_format or RGB
        if image_proto.pixel_format == GREY:
            image_data = cv2.cvtColor(image_data, cv2.COLOR_BGR2GRAY)
        if 0 < image_req.resize_ratio < 1:
            image_proto.rows = int(image_req.resize_ratio * image_proto.rows)
            image_proto.cols = int(image_req.resize_ratio * image_proto.cols)
            image_data = cv2.resize(image_data, (image_proto.cols, image_proto.rows))
        if image_req.image_format == image_pb2.Image.FORMAT_RLE:
            raise RuntimeError("no run lengths")
        if image_req.image_format == image_pb2.Image.FORMAT_RAW:
            image_proto.format = image_pb2.Image.FORMAT_RAW
            image_proto.data = np.ascontiguousarray(image_data).tobytes()
        else:
            image_proto.format = image_pb2.Image.FORMAT_JPEG
            quality = int(image_req.quality_percent) or 80
            image_proto.data = cv2.imencode(".jpg", image_data, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
