"""Where a point in front of the sensor appears in the picture that is sent, as `image_pb2.ImageSource` says it.

The configured model is that of the frame at the calibration's size. It follows the pixels through everything that is
done to them: another frame size, crop, rotation, mirroring, and the resizing of one answer. A rotation turns the
sensor's frame as well (see servicer/mounting.py), so that what comes out is a model of the same kind. A mirror image is
no rotation: its focal length is negative along the mirrored axis, and the frame stays.
"""

from typing import Any

import numpy as np

from servicer.orientation import Matrix, Orientation
from supervision.camera_settings import CameraModelSettings


def describe(
    source: Any,
    model: CameraModelSettings,
    orientation: Orientation,
    frame_size: tuple[int, int],
    sent_size: tuple[int, int],
) -> None:
    """Fill in the camera model of an `image_pb2.ImageSource`; sizes are (rows, cols). Raises NothingLeftError."""
    upright_size = orientation.size(*frame_size)
    pixels = _scaling(upright_size, sent_size) @ orientation.pixel_map(*frame_size)
    matrix = pixels @ _scaling((model.height, model.width), frame_size) @ _camera_matrix(model)
    matrix[:2, :2] = matrix[:2, :2] @ orientation.turn().T  # seen from the turned sensor frame
    if model.kind == "brown_conrady":
        brown_conrady = source.pinhole_brown_conrady.intrinsics
        _fill(brown_conrady.pinhole_intrinsics, matrix)
        brown_conrady.k1, brown_conrady.k2, p1, p2, brown_conrady.k3 = model.distortion
        # The tangential part moves a point along the vector (p2, p1), which turns with the frame.
        brown_conrady.p2, brown_conrady.p1 = orientation.turn() @ (p2, p1)
    elif model.kind == "kannala_brandt":
        kannala_brandt = source.kannala_brandt.intrinsics
        _fill(kannala_brandt.pinhole_intrinsics, matrix)
        kannala_brandt.k1, kannala_brandt.k2, kannala_brandt.k3, kannala_brandt.k4 = model.distortion
    else:
        _fill(source.pinhole.intrinsics, matrix)


def _camera_matrix(model: CameraModelSettings) -> Matrix:
    (focal_x, focal_y), (centre_x, centre_y) = model.focal_length, model.principal_point
    return np.array([[focal_x, model.skew, centre_x], [0.0, focal_y, centre_y], [0.0, 0.0, 1.0]])


def _scaling(size: tuple[int, int], new_size: tuple[int, int]) -> Matrix:
    """The map between pixels of one picture in two sizes; (0, 0) is the centre of the first pixel, not its corner."""
    down, across = new_size[0] / size[0], new_size[1] / size[1]
    return np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])


def _fill(intrinsics: Any, matrix: Matrix) -> None:
    (focal_x, skew_x, centre_x), (skew_y, focal_y, centre_y), _ = (matrix + 0.0).tolist()  # without -0.0
    intrinsics.focal_length.x, intrinsics.focal_length.y = focal_x, focal_y
    intrinsics.principal_point.x, intrinsics.principal_point.y = centre_x, centre_y
    intrinsics.skew.x, intrinsics.skew.y = skew_x, skew_y
