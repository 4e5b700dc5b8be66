"""What OpenCV can only be told through its environment, before it is loaded."""

from capture_worker.jpeg import MAX_PIXELS
from supervision.camera_settings import CameraSettings


def opencv_environment(settings: CameraSettings) -> dict[str, str]:
    """Return the variables for this camera: limits instead of OpenCV's 10 and 30 s, low delay, and less noise.

    A stream's damaged frames are no errors to an operator, and a failed opening is reported in our own words. Where
    OpenCV decodes what a device compressed, it shall not allocate 3 GB because four broken bytes say so.
    """
    variables = {
        "OPENCV_LOG_LEVEL": "FATAL",
        "OPENCV_FFMPEG_LOGLEVEL": "8",  # AV_LOG_FATAL
        "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": str(settings.read_limit_s),
    }
    if settings.driver == "opencv":
        variables["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)
    if "://" in str(settings.device):
        # This replaces OpenCV's own default, which is the first of these. A file would lose frames by it.
        variables["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|threads;1"
    return variables
