"""What OpenCV can only be told through its environment, before it is loaded."""

import math

from supervision.settings import CameraSettings


def read_limit_s(settings: CameraSettings) -> int:
    """Return after how many seconds a read without a frame has failed (whole ones: OpenCV's V4L2 knows no others)."""
    return max(2, math.ceil(settings.capture_timeout_s))


def opencv_environment(settings: CameraSettings) -> dict[str, str]:
    """Return the variables for this camera: limits instead of OpenCV's 10 and 30 s, low delay, and less noise.

    A stream's damaged frames are no errors to an operator, and a failed opening is reported in our own words.
    """
    variables = {
        "OPENCV_LOG_LEVEL": "FATAL",
        "OPENCV_FFMPEG_LOGLEVEL": "8",  # AV_LOG_FATAL
        "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": str(read_limit_s(settings)),
    }
    if "://" in str(settings.device):
        # This replaces OpenCV's own default, which is the first of these. A file would lose frames by it.
        variables["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|threads;1"
    return variables
