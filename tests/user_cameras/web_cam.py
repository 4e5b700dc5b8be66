"""A camera class as a payload developer writes it for an image service of the SDK: OpenCV's VideoCapture, wrapped."""

import os
import time

import cv2
from bosdyn.api import image_pb2
from bosdyn.client.image_service_helpers import CameraInterface, VisualImageSource


class FileCam(CameraInterface):
    """Reads a webcam or a video file. It never calls the base class's constructor."""

    def __init__(self, path, jpeg_quality=80):
        self.image_source_name = os.path.basename(path)
        self.jpeg_quality = jpeg_quality
        self.video = cv2.VideoCapture(path)
        if not self.video.isOpened():
            raise RuntimeError(f"no video in {path}")
        self.rows = int(self.video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.cols = int(self.video.get(cv2.CAP_PROP_FRAME_WIDTH))

    def blocking_capture(self, *, custom_params=None, **kwargs):
        """Read the next frame."""
        now = time.time()
        ok, frame = self.video.read()
        if not ok:
            raise RuntimeError("the video is over")
        return frame, now

    def image_decode(self, image_data, image_proto, image_req):
        """Make a JPEG, or RGB pixels."""
        if image_req.image_format == image_pb2.Image.FORMAT_RAW:
            image_proto.data = cv2.cvtColor(image_data, cv2.COLOR_BGR2RGB).tobytes()
            image_proto.format = image_pb2.Image.FORMAT_RAW
        elif image_req.image_format in (image_pb2.Image.FORMAT_JPEG, image_pb2.Image.FORMAT_UNKNOWN):
            quality = int(image_req.quality_percent) or self.jpeg_quality
            image_proto.data = cv2.imencode(".jpg", image_data, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            image_proto.format = image_pb2.Image.FORMAT_JPEG
        else:
            raise ValueError("only JPEG and RAW")
        image_proto.pixel_format = image_pb2.Image.PIXEL_FORMAT_RGB_U8


def make_sources(paths):
    """Make an image source for each path, as the service of the SDK wants them."""
    sources = []
    for path in paths:
        cam = FileCam(path)
        formats = [image_pb2.Image.PIXEL_FORMAT_RGB_U8]
        sources.append(
            VisualImageSource(cam.image_source_name, cam, rows=cam.rows, cols=cam.cols, pixel_formats=formats)
        )
    return sources
